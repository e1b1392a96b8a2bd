/*
 * election: votes and pre-votes (thesis 3.4, 3.6.1 election restriction, 9.6 pre-vote, 4.2.3 and 6.2 leader
 * lease against disruptive members, 3.10 transfer).
 *
 * A vote counts, our own too, when term and vote are durable where it was given; so do requests, because a
 * candidate that forgot its candidature could vote for another in the same term.
 */
#include "raft/core/core_state.h"

static void reset_votes(struct raft_core *core) {
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i].vote = VOTE_NONE;
}

static struct raft_message request_to(struct raft_core *core, uint64_t to, bool pre_vote, bool forced) {
    return (struct raft_message){
        .type = pre_vote ? RAFT_PRE_VOTE : RAFT_VOTE,
        .to = to,
        .term = core->term + (pre_vote ? 1 : 0),
        .log_index = core->log.last,
        .log_term = raft_log_last_term(&core->log),
        .forced = forced,
    };
}

/* Pre-vote: nothing is promised, term and vote stay as they are (9.6). */
static void ask_before(struct raft_core *core) {
    core->role = CORE_PRE_CANDIDATE;
    core->leader = 0;
    for (size_t i = 0; i < core->peer_count; i++) {
        if (&core->peers[i] != core->self && !core->peers[i].learner)
            core_send(core, request_to(core, core->peers[i].id, true, false));
    }
    struct raft_message own = {
        .type = RAFT_PRE_VOTE_RESPONSE, .from = core->options.id, .term = core->term + 1};
    election_step_response(core, &own);
}

static void ask(struct raft_core *core, bool forced) {
    core->role = CORE_CANDIDATE;
    core->leader = 0;
    core_enter_term(core, core->term + 1);
    core->vote = core->options.id;
    for (size_t i = 0; i < core->peer_count; i++) {
        if (&core->peers[i] != core->self && !core->peers[i].learner)
            core_send_when_durable(core, request_to(core, core->peers[i].id, false, forced));
    }
    core_send_when_durable(
        core, (struct raft_message){.type = RAFT_VOTE_RESPONSE, .to = core->options.id, .term = core->term});
}

void election_start(struct raft_core *core, bool forced, bool pre_vote) {
    if (!core_is_voter(core) || core->role == CORE_LEADER)
        return;
    read_index_drop(core);
    reset_votes(core);
    core_reset_election_timer(core);
    if (pre_vote)
        ask_before(core);
    else
        ask(core, forced);
}

/* 3.6.1: whoever gets our vote has at least what we have. */
static bool is_up_to_date(const struct raft_core *core, const struct raft_message *message) {
    uint64_t last_term = raft_log_last_term(&core->log);
    if (message->log_term != last_term)
        return message->log_term > last_term;
    return message->log_index >= core->log.last;
}

void election_step_request(struct raft_core *core, const struct raft_message *message) {
    bool pre_vote = message->type == RAFT_PRE_VOTE;
    bool free = core->vote == message->from || (core->vote == 0 && core->leader == 0) ||
                (pre_vote && message->term > core->term);
    bool grant = free && is_up_to_date(core, message);
    struct raft_message response = {
        .type = pre_vote ? RAFT_PRE_VOTE_RESPONSE : RAFT_VOTE_RESPONSE,
        .to = message->from,
        .term = grant ? message->term : core->term,
        .reject = !grant,
    };
    if (pre_vote || !grant) {
        core_send(core, response);
        return;
    }
    if (core->vote != message->from) {
        core->vote = message->from;
        core_changed(core);
    }
    core_reset_election_timer(core);
    core_send_when_durable(core, response);
}

static uint64_t granted(const struct raft_core *core, const struct progress *peer) {
    (void)core;
    return peer->vote == VOTE_GRANTED;
}

/* Refused by so many that no majority can be had any more. */
static uint64_t not_refused(const struct raft_core *core, const struct progress *peer) {
    (void)core;
    return peer->vote != VOTE_REFUSED;
}

void election_step_response(struct raft_core *core, const struct raft_message *message) {
    bool pre_vote = message->type == RAFT_PRE_VOTE_RESPONSE;
    uint64_t expected = core->term + (pre_vote && !message->reject ? 1 : 0);
    struct progress *peer = core_peer(core, message->from);
    if (core->role != (pre_vote ? CORE_PRE_CANDIDATE : CORE_CANDIDATE) || peer == NULL ||
        message->term != expected)
        return;
    if (peer->vote == VOTE_NONE)
        peer->vote = message->reject ? VOTE_REFUSED : VOTE_GRANTED;
    if (quorum_reached(core, granted) != 0) {
        if (pre_vote)
            election_start(core, false, false);
        else
            core_become_leader(core);
    } else if (quorum_reached(core, not_refused) == 0) {
        core_become_follower(core, core->term, 0);
    }
}
