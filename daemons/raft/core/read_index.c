/*
 * read_index: linearizable reads without a log entry (thesis 6.4).
 *
 * A leader may use its commit index for a read once it has committed an entry of its own term, and has heard
 * from a quorum, after the read came in, that nobody has taken its place. A batch of reads is one number; the
 * heartbeats carry the newest, and an acknowledgement of a number confirms all before it.
 */
#include "raft/core/core_state.h"

static bool term_has_commit(const struct raft_core *core) {
    uint64_t term = 0;
    return raft_log_term(&core->log, core->commit, &term) && term == core->term;
}

static bool alone(const struct raft_core *core) {
    return core_is_voter(core) && core_voters(core) == 1;
}

bool raft_core_read_now(const struct raft_core *core, uint64_t *index) {
    if (core->role != CORE_LEADER || !alone(core) || !term_has_commit(core))
        return false;
    *index = core->commit;
    return true;
}

static void confirmed(struct raft_core *core, uint64_t context, uint64_t index) {
    core->read_states = core_grow(core->read_states, &core->read_state_capacity, core->read_state_count,
                                  sizeof *core->read_states);
    core->read_states[core->read_state_count++] =
        (struct raft_read_state){.context = context, .index = index};
}

static void answer(struct raft_core *core, const struct pending_read *read) {
    if (read->from == core->options.id)
        confirmed(core, read->context, read->index);
    else
        core_send(core, (struct raft_message){.type = RAFT_READ_INDEX_RESPONSE,
                                              .to = read->from,
                                              .term = core->term,
                                              .context = read->context,
                                              .log_index = read->index});
}

static uint64_t acknowledged(const struct raft_core *core, const struct progress *peer) {
    return peer == core->self ? core->read_number : peer->read_context;
}

void read_index_acknowledged(struct raft_core *core) {
    uint64_t number = quorum_reached(core, acknowledged);
    size_t done = 0;
    while (done < core->read_count && core->reads[done].number <= number && core->reads[done].index != 0)
        answer(core, &core->reads[done++]);
    core->read_count -= done;
    if (core->read_count > 0)
        memmove(core->reads, core->reads + done, core->read_count * sizeof *core->reads);
}

/* Confirms what can be confirmed at once and asks the others about the rest. */
static void ask(struct raft_core *core) {
    read_index_acknowledged(core);
    if (core->read_count > 0)
        replication_heartbeat(core);
}

static void add(struct raft_core *core, uint64_t from, uint64_t context) {
    if (core->read_count >= RAFT_READ_BATCH_LIMIT)
        return;
    core->reads = core_grow(core->reads, &core->read_capacity, core->read_count, sizeof *core->reads);
    core->reads[core->read_count++] = (struct pending_read){
        .number = core->read_number,
        .from = from,
        .context = context,
        .index = term_has_commit(core) ? core->commit : 0,
    };
    if (term_has_commit(core))
        ask(core);
}

uint64_t raft_core_read_index(struct raft_core *core) {
    if (core->leader == 0)
        return 0;
    uint64_t number = ++core->read_number;
    if (core->role == CORE_LEADER)
        add(core, core->options.id, number);
    else
        core_send(core,
                  (struct raft_message){
                      .type = RAFT_READ_INDEX, .to = core->leader, .term = core->term, .context = number});
    return number;
}

void read_index_term_committed(struct raft_core *core) {
    if (core->read_count == 0 || core->reads[core->read_count - 1].index != 0 || !term_has_commit(core))
        return;
    for (size_t i = 0; i < core->read_count; i++) {
        if (core->reads[i].index == 0)
            core->reads[i].index = core->commit;
    }
    ask(core);
}

void read_index_step_request(struct raft_core *core, const struct raft_message *message) {
    if (core->role != CORE_LEADER || core_peer(core, message->from) == NULL)
        return;
    core->read_number++;
    add(core, message->from, message->context);
}

void read_index_step_response(struct raft_core *core, const struct raft_message *message) {
    if (message->from == core->leader)
        confirmed(core, message->context, message->log_index);
}

void read_index_drop(struct raft_core *core) {
    core->read_count = 0;
}

uint64_t read_index_newest(const struct raft_core *core) {
    for (size_t i = core->read_count; i > 0; i--) {
        if (core->reads[i - 1].index != 0)
            return core->reads[i - 1].number;
    }
    return 0;
}
