/* follower: what a follower does with its leader's appends and heartbeats (thesis 3.5). */
#include "raft/core/core_state.h"

/* Whoever sends appends or heartbeats of our term leads it. */
static void heard_of_leader(struct raft_core *core, const struct raft_message *message) {
    REQUIRE(core->role != CORE_LEADER);
    if (core->role != CORE_FOLLOWER || core->leader != message->from)
        core_become_follower(core, core->term, message->from);
    core->election_elapsed = 0;
}

static void raise_commit(struct raft_core *core, uint64_t commit, uint64_t matching) {
    uint64_t reached = commit < matching ? commit : matching;
    if (reached > core->commit)
        core->commit = reached;
}

/* Drops entry index and all behind it; what a write under way covers of that no longer counts. */
static void overrule(struct raft_core *core, uint64_t index) {
    if (index <= core->commit)
        PANIC("raft: committed entry %llu would be overwritten (commit %llu)", (unsigned long long)index,
              (unsigned long long)core->commit);
    raft_log_truncate(&core->log, index);
    if (core->unsaved > index)
        core->unsaved = index;
    if (core->taken_last >= index)
        core->taken_last = index - 1;
    if (core->durable >= index)
        core->durable = index - 1;
}

/* 3.5: entries we have with the same term stay, the first that differs ends our log. */
static void take_entries(struct raft_core *core, const struct raft_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        uint64_t index = message->log_index + 1 + i;
        uint64_t term = 0;
        if (raft_log_term(&core->log, index, &term)) {
            if (term == entry->term)
                continue;
            overrule(core, index);
        }
        raft_log_append(&core->log, entry->term, entry->type, entry->data);
        core_changed(core);
    }
}

void follower_step_append(struct raft_core *core, const struct raft_message *message) {
    heard_of_leader(core, message);
    struct raft_message response = {.type = RAFT_APPEND_RESPONSE, .to = message->from, .term = core->term};
    uint64_t term = 0;
    if (message->log_index < core->commit) {
        response.log_index = core->commit;
        core_send_when_durable(core, response);
        return;
    }
    if (raft_log_term(&core->log, message->log_index, &term) && term == message->log_term) {
        take_entries(core, message);
        response.log_index = message->log_index + message->count;
        raise_commit(core, message->commit, response.log_index);
        core_send_when_durable(core, response);
        return;
    }
    uint64_t newest = message->log_index < core->log.last ? message->log_index : core->log.last;
    response.reject = true;
    response.last = message->log_index;
    response.log_index = replication_last_of_term(core, newest, message->log_term);
    raft_log_term(&core->log, response.log_index, &response.log_term);
    core_send(core, response);
}

void follower_step_heartbeat(struct raft_core *core, const struct raft_message *message) {
    heard_of_leader(core, message);
    /* The leader names no more than what it knows to match here. */
    raise_commit(core, message->commit, core->log.last);
    core_send(core, (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE,
                                          .to = message->from,
                                          .term = core->term,
                                          .context = message->context});
}
