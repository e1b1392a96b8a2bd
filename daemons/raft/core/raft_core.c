/* raft_core: see raft_core.h. Roles, terms, dispatch of messages, and what has to be durable before what. */
#include "raft/core/core_state.h"

#include <stdlib.h>

enum { APPEND_BYTES = 1 << 20 };

void *core_grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    return must_realloc(array, *capacity * size);
}

/* splitmix64: any seed will do. */
static uint64_t next_random(struct raft_core *core) {
    uint64_t x = core->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct raft_core *raft_core_new(const struct raft_core_options *options) {
    REQUIRE(options->id != 0 && options->heartbeat_ticks > 0 &&
            options->election_ticks > options->heartbeat_ticks);
    struct raft_core *core = must_zalloc(sizeof *core);
    core->options = *options;
    if (core->options.append_bytes == 0)
        core->options.append_bytes = APPEND_BYTES;
    core->random = options->seed;
    raft_log_init(&core->log, options->cache_bytes);
    core_reset_election_timer(core);
    /* Late answers to an earlier incarnation of ours must not be taken for answers to this one. */
    core->read_number = next_random(core) >> 8;
    return core;
}

void raft_core_free(struct raft_core *core) {
    raft_log_free(&core->log);
    free(core->messages);
    free(core->held);
    free(core->reads);
    free(core->read_states);
    free(core);
}

/* --- loading -------------------------------------------------------------------------------------------- */

struct raft_log *raft_core_loading_log(struct raft_core *core) {
    return &core->log;
}

void raft_core_load_state(struct raft_core *core, const struct raft_hard_state *state) {
    core->term = state->term;
    core->vote = state->vote;
    core->commit = state->commit;
}

/* A member that stays keeps what is known of it. */
void raft_core_set_peers(struct raft_core *core, const struct raft_peer *peers, size_t count) {
    struct progress next[RAFT_PEER_LIMIT];
    REQUIRE(count <= RAFT_PEER_LIMIT);
    for (size_t i = 0; i < count; i++) {
        const struct progress *known = core_peer(core, peers[i].id);
        next[i] = known != NULL
                      ? *known
                      : (struct progress){.id = peers[i].id, .next = core->log.last + 1, .active = true};
        next[i].learner = peers[i].learner;
    }
    memcpy(core->peers, next, count * sizeof *next);
    core->peer_count = count;
    core->self = core_peer(core, core->options.id);
    if (core->role == CORE_LEADER && !core_is_voter(core)) {
        core_become_follower(core, core->term, 0); /* 4.2.2: a leader that was removed steps down */
    } else if (core->role == CORE_LEADER) {
        replication_advance_commit(core); /* the quorum may have become smaller */
        core->broadcast = true;
    }
}

void raft_core_bootstrap(struct raft_core *core, const struct bytes *changes, size_t count) {
    raft_log_reset(&core->log, 0, 0);
    core->term = 1;
    core->vote = 0;
    for (size_t i = 0; i < count; i++)
        core->commit = raft_log_append(&core->log, 1, RAFT_ENTRY_CONF_CHANGE, changes[i]);
    core->unsaved = 1;
    core_changed(core);
}

void raft_core_start(struct raft_core *core) {
    if (core->unsaved == 0) {
        core->saved = raft_core_hard_state(core);
        core->durable = core->log.last;
        core->unsaved = core->log.last + 1;
    }
    /* A torn write may have left entries without the hard state behind them. No vote was given in that term.
     */
    if (core->term < raft_log_last_term(&core->log))
        core_enter_term(core, raft_log_last_term(&core->log));
    if (core->commit < core->log.base_index)
        core->commit = core->log.base_index;
    REQUIRE(core->commit <= core->log.last);
    if (core_is_voter(core) && core_voters(core) == 1)
        election_start(core, false, false);
}

/* --- timers --------------------------------------------------------------------------------------------- */

/* 3.4: timeouts are spread over [election, 2 * election) so that votes are rarely split. */
void core_reset_election_timer(struct raft_core *core) {
    unsigned ticks = core->options.election_ticks;
    core->election_elapsed = 0;
    core->election_timeout = ticks + (unsigned)(next_random(core) % ticks);
}

static void leader_tick(struct raft_core *core) {
    if (++core->election_elapsed >= core->options.election_ticks) {
        core->election_elapsed = 0;
        core->transferee = 0; /* 3.10: a transfer that takes longer is given up */
        if (!replication_quorum_active(core)) {
            core_become_follower(core, core->term, 0);
            return;
        }
    }
    if (++core->heartbeat_elapsed >= core->options.heartbeat_ticks)
        replication_heartbeat(core);
}

void raft_core_tick(struct raft_core *core) {
    if (core->role == CORE_LEADER)
        leader_tick(core);
    else if (++core->election_elapsed >= core->election_timeout)
        election_start(core, false, core->options.pre_vote);
}

void raft_core_campaign(struct raft_core *core) {
    election_start(core, false, core->options.pre_vote);
}

/* --- roles ---------------------------------------------------------------------------------------------- */

/* 3.3. What was held to be said in the old term is no longer of use to anyone. */
void core_enter_term(struct raft_core *core, uint64_t term) {
    core->term = term;
    core->vote = 0;
    core->held_count = 0;
    core_changed(core);
}

void core_become_follower(struct raft_core *core, uint64_t term, uint64_t leader) {
    if (term != core->term)
        core_enter_term(core, term);
    core->role = CORE_FOLLOWER;
    core->leader = leader;
    core->transferee = 0;
    read_index_drop(core);
    core_reset_election_timer(core);
}

/* 6.4 and 8: a new leader commits an empty entry of its term, to learn what is committed. */
void core_become_leader(struct raft_core *core) {
    core->role = CORE_LEADER;
    core->leader = core->options.id;
    core->transferee = 0;
    core->election_elapsed = 0;
    core->heartbeat_elapsed = 0;
    read_index_drop(core);
    replication_reset(core);
    core->change_index = replication_append(core, RAFT_ENTRY_NORMAL, (struct bytes){0});
}

enum raft_proposed raft_core_propose(struct raft_core *core, uint16_t type, struct bytes data) {
    if (core->role != CORE_LEADER)
        return RAFT_NOT_LEADER;
    if (core->transferee != 0)
        return RAFT_TRANSFERRING;
    if (type != RAFT_ENTRY_NORMAL && core->change_index > core->commit)
        return RAFT_CHANGE_PENDING;
    uint64_t index = replication_append(core, type, data);
    if (type != RAFT_ENTRY_NORMAL)
        core->change_index = index;
    return RAFT_PROPOSED;
}

bool raft_core_transfer(struct raft_core *core, uint64_t to) {
    struct progress *peer = core_peer(core, to);
    if (core->role != CORE_LEADER || peer == NULL || peer->learner || peer == core->self)
        return false;
    core->transferee = to;
    core->election_elapsed = 0;
    core->broadcast = true;
    if (peer->match == core->log.last)
        core_send(core, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = to, .term = core->term});
    return true;
}

/* --- messages ------------------------------------------------------------------------------------------- */

struct progress *core_peer(struct raft_core *core, uint64_t id) {
    for (size_t i = 0; i < core->peer_count; i++) {
        if (core->peers[i].id == id)
            return &core->peers[i];
    }
    return NULL;
}

void core_send(struct raft_core *core, struct raft_message message) {
    message.from = core->options.id;
    core->messages =
        core_grow(core->messages, &core->message_capacity, core->message_count, sizeof *core->messages);
    core->messages[core->message_count++] = message;
}

static bool is_vote_request(const struct raft_message *message) {
    return message->type == RAFT_VOTE || message->type == RAFT_PRE_VOTE;
}

static bool comes_from_leader(const struct raft_message *message) {
    return message->type == RAFT_APPEND || message->type == RAFT_HEARTBEAT;
}

/* 4.2.3, 6.2: who has heard of a leader within an election timeout gives no vote, unless it transfers. */
static bool leader_is_alive(const struct raft_core *core) {
    return core->leader != 0 && core->election_elapsed < core->options.election_ticks;
}

/* True when the message is to be handled in what is now our term. */
static bool settle_newer_term(struct raft_core *core, const struct raft_message *message) {
    if (is_vote_request(message) && !message->forced && leader_is_alive(core))
        return false;
    bool promises_nothing =
        message->type == RAFT_PRE_VOTE || (message->type == RAFT_PRE_VOTE_RESPONSE && !message->reject);
    if (!promises_nothing)
        core_become_follower(core, message->term, comes_from_leader(message) ? message->from : 0);
    return true;
}

/* A deposed leader, or a pre-candidate that is behind, has to learn our term to get on (9.6). */
static void answer_older_term(struct raft_core *core, const struct raft_message *message) {
    struct raft_message answer = {.to = message->from, .term = core->term, .reject = true};
    if (comes_from_leader(message))
        answer.type = RAFT_APPEND_RESPONSE;
    else if (message->type == RAFT_PRE_VOTE)
        answer.type = RAFT_PRE_VOTE_RESPONSE;
    else
        return;
    core_send(core, answer);
}

static void dispatch(struct raft_core *core, const struct raft_message *message) {
    switch (message->type) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        election_step_request(core, message);
        break;
    case RAFT_PRE_VOTE_RESPONSE:
    case RAFT_VOTE_RESPONSE:
        election_step_response(core, message);
        break;
    case RAFT_APPEND:
        follower_step_append(core, message);
        break;
    case RAFT_APPEND_RESPONSE:
        replication_step_append_response(core, message);
        break;
    case RAFT_HEARTBEAT:
        follower_step_heartbeat(core, message);
        break;
    case RAFT_HEARTBEAT_RESPONSE:
        replication_step_heartbeat_response(core, message);
        break;
    case RAFT_READ_INDEX:
        read_index_step_request(core, message);
        break;
    case RAFT_READ_INDEX_RESPONSE:
        read_index_step_response(core, message);
        break;
    case RAFT_TIMEOUT_NOW:
        election_start(core, true, false);
        break;
    }
}

void raft_core_step(struct raft_core *core, const struct raft_message *message) {
    if (message->term > core->term && !settle_newer_term(core, message))
        return;
    if (message->term < core->term) {
        answer_older_term(core, message);
        return;
    }
    dispatch(core, message);
}

const struct raft_message *raft_core_messages(struct raft_core *core, size_t *count) {
    if (core->broadcast)
        replication_broadcast(core);
    *count = core->message_count;
    return core->messages;
}

void raft_core_messages_clear(struct raft_core *core) {
    core->message_count = 0;
}

const struct raft_read_state *raft_core_read_states(const struct raft_core *core, size_t *count) {
    *count = core->read_state_count;
    return core->read_states;
}

void raft_core_read_states_clear(struct raft_core *core) {
    core->read_state_count = 0;
}

/* --- what it knows -------------------------------------------------------------------------------------- */

const struct raft_log *raft_core_log(const struct raft_core *core) {
    return &core->log;
}

void raft_core_release(struct raft_core *core, uint64_t index) {
    REQUIRE(index <= core->commit && index <= core->durable);
    raft_log_release(&core->log, index);
}

enum raft_core_role raft_core_role(const struct raft_core *core) {
    return core->role;
}

uint64_t raft_core_term(const struct raft_core *core) {
    return core->term;
}

uint64_t raft_core_leader(const struct raft_core *core) {
    return core->leader;
}

uint64_t raft_core_commit(const struct raft_core *core) {
    return core->commit;
}

uint64_t raft_core_durable(const struct raft_core *core) {
    return core->durable;
}

struct raft_hard_state raft_core_hard_state(const struct raft_core *core) {
    return (struct raft_hard_state){.term = core->term, .vote = core->vote, .commit = core->commit};
}

bool raft_core_peer_needs_snapshot(const struct raft_core *core, uint64_t id) {
    for (size_t i = 0; i < core->peer_count; i++) {
        if (core->peers[i].id == id)
            return core->role == CORE_LEADER && core->peers[i].state == PROGRESS_SNAPSHOT;
    }
    return false;
}
