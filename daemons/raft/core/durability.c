/*
 * durability: what has to be on disk before what (thesis 3.8: term, vote and log survive a crash; 10.2.1).
 *
 * Every change that must reach the disk raises `version`. What is taken covers the version it was taken at; a
 * message that promises something is held until the version it was written at is durable. One write at a
 * time.
 */
#include "raft/core/core_state.h"

void core_changed(struct raft_core *core) {
    core->version++;
}

void core_send_when_durable(struct raft_core *core, struct raft_message message) {
    message.from = core->options.id;
    if (core->durable_version == core->version && message.to != core->options.id) {
        core_send(core, message);
        return;
    }
    core->held = core_grow(core->held, &core->held_capacity, core->held_count, sizeof *core->held);
    core->held[core->held_count++] = (struct held_message){.version = core->version, .message = message};
}

bool raft_core_take(struct raft_core *core, struct raft_ready *ready) {
    struct raft_hard_state now = raft_core_hard_state(core);
    bool promised = now.term != core->saved.term || now.vote != core->saved.vote;
    if (core->taking || (!promised && core->unsaved > core->log.last))
        return false;
    *ready = (struct raft_ready){
        .first = core->unsaved,
        .last = core->log.last,
        .has_state = promised || now.commit != core->saved.commit,
        .state = now,
    };
    core->taken_last = core->unsaved <= core->log.last ? core->log.last : core->durable;
    core->unsaved = core->log.last + 1;
    core->saved = now;
    core->taken_version = core->version;
    core->taking = true;
    return true;
}

/* What was held for it goes out; a vote for ourselves counts now. */
static void release_held(struct raft_core *core) {
    size_t kept = 0;
    size_t count = core->held_count;
    for (size_t i = 0; i < count; i++) {
        struct held_message held = core->held[i];
        if (held.version > core->durable_version)
            core->held[kept++] = held;
        else if (held.message.to == core->options.id)
            raft_core_step(core, &held.message);
        else
            core_send(core, held.message);
    }
    /* Stepping may have held more, behind the ones looked at. */
    size_t more = core->held_count - count;
    if (more > 0)
        memmove(core->held + kept, core->held + count, more * sizeof *core->held);
    core->held_count = kept + more;
}

void raft_core_persisted(struct raft_core *core) {
    REQUIRE(core->taking);
    core->taking = false;
    core->durable_version = core->taken_version;
    if (core->durable < core->taken_last)
        core->durable = core->taken_last;
    if (core->role == CORE_LEADER)
        replication_advance_commit(core);
    release_held(core);
    raft_log_evict(&core->log, core->durable);
}
