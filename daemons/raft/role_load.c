/*
 * role_load: from what the files hold to a started core; or, when they hold nothing, the bootstrap of a new
 * log as etcd does it: one membership change per initial member at term 1, committed.
 *
 * Failure modes: a log with a gap, a members file that does not reach the log's beginning, or an initial
 * cluster without us: refused with a sentence.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "raft/role_state.h"

void raft_role_load_members(struct raft_role *role, const struct raft_members *members) {
    role->membership = members->membership;
    role->members_index = members->index;
    role->members_loaded = true;
    role->last_change = members->index;
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        role_note_id(role, members->largest_id[slot]);
}

/* The log is empty and begins behind the index. */
static void begin_behind(struct raft_role *role, uint64_t index, uint64_t term) {
    raft_log_reset(raft_core_loading_log(role->core), index, term);
    role_forget_changes(role, 0);
    role->mark_count = 0;
    role->released_bytes = role->log->bytes;
}

static bool nothing_loaded(const struct raft_log *log) {
    return log->last == 0 && log->run_count == 0;
}

/*
 * The first record says where the log begins: the snapshot record comes later and says what lies before.
 * Where segments were released, the first entries may be dead ones, and what overwrote them begins below
 * them.
 */
static void load_entry(void *context, const struct wal_entry *entry) {
    struct raft_role *role = context;
    struct raft_log *log = raft_core_loading_log(role->core);
    if (nothing_loaded(log) || (entry->index <= log->base_index && entry->index > role->loading_base))
        begin_behind(role, entry->index - 1, 0);
    if (entry->index <= log->base_index || entry->index > log->last + 1) {
        role_fail(role,
                  "the write-ahead log has entry %" PRIu64 " behind entry %" PRIu64
                  ": entries are missing; restore this member from a backup, or remove it from the cluster "
                  "and add it again with an empty data directory",
                  entry->index, log->last);
        return;
    }
    raft_log_truncate(log, entry->index);
    role_forget_changes(role, entry->index);
    raft_log_append(log, entry->term, entry->type, entry->data);
    raft_log_evict(log, log->last);
    role_note_entry(role, entry->index, entry->type, entry->data);
    role_mark_log(role);
}

static void load_state(void *context, const struct wal_hard_state *state) {
    struct raft_role *role = context;
    role->loaded_state = true;
    role->loading_state =
        (struct raft_hard_state){.term = state->term, .vote = state->vote, .commit = state->commit};
}

static void load_snapshot(void *context, const struct wal_snapshot *snapshot) {
    struct raft_role *role = context;
    if (snapshot->index >= role->loading_base) {
        role->loading_base = snapshot->index;
        role->loading_base_term = snapshot->term;
    }
    /*
     * Beyond the last entry it stands for all that came before. As the first thing of what is left of the log
     * it says nothing of where the entries begin: those behind it may have been released for a later
     * snapshot.
     */
    if (!nothing_loaded(role->log) && snapshot->index > role->log->last)
        begin_behind(role, snapshot->index, snapshot->term);
}

struct wal_visitor raft_role_visitor(struct raft_role *role) {
    return (struct wal_visitor){
        .entry = load_entry, .state = load_state, .snapshot = load_snapshot, .context = role};
}

static void bootstrap(struct raft_role *role) {
    struct buffer data[MEMBERSHIP_LIMIT] = {0};
    struct bytes changes[MEMBERSHIP_LIMIT];
    role_forget_changes(role, 0);
    role->membership = (struct membership){.cluster = role->options.cluster};
    for (unsigned i = 0; i < role->bootstrap.count; i++) {
        const struct member *member = &role->bootstrap.members[i];
        struct buffer context = {0};
        member_encode_context(member, &context);
        conf_change_encode(&data[i], &(struct conf_change){.type = CONF_ADD_NODE,
                                                           .node = member->id,
                                                           .context = buffer_bytes(&context)});
        buffer_free(&context);
        changes[i] = buffer_bytes(&data[i]);
        role_remember_change(role, i + 1, changes[i]);
    }
    raft_core_bootstrap(role->core, changes, role->bootstrap.count);
    for (unsigned i = 0; i < role->bootstrap.count; i++)
        buffer_free(&data[i]);
}

/* The log begins behind the newest snapshot record; what the segments hold before it is history. */
static bool settle_base(struct raft_role *role, char error[512]) {
    struct raft_log *log = raft_core_loading_log(role->core);
    bool empty = log->run_count == 0;
    if (empty || role->loading_base > log->last) {
        begin_behind(role, role->loading_base, role->loading_base_term);
    } else if (role->loading_base < log->base_index) {
        snprintf(
            error, 512,
            "the write-ahead log begins with entry %" PRIu64 " but its snapshot record says %" PRIu64
            ": entries are missing; restore this member from a backup, or remove it from the cluster and "
            "add it again with an empty data directory",
            log->base_index + 1, role->loading_base);
        return false;
    } else {
        log->base_term = role->loading_base_term;
        raft_log_release(log, role->loading_base);
    }
    if (role->loading_base > 0 && (!role->members_loaded || role->members_index < role->loading_base)) {
        snprintf(
            error, 512,
            "the members file is missing or older (index %" PRIu64 ") than the log's beginning (%" PRIu64
            "); restore this member from a backup, or remove it from the cluster and add it again with an "
            "empty data directory",
            role->members_index, role->loading_base);
        return false;
    }
    return true;
}

/* What was loaded becomes the core's state. */
static bool resume(struct raft_role *role, char error[512]) {
    if (!settle_base(role, error))
        return false;
    struct raft_hard_state state = role->loading_state;
    if (state.commit < role->log->base_index)
        state.commit = role->log->base_index;
    if (state.commit > role->log->last) {
        snprintf(
            error, 512,
            "the write-ahead log ends at entry %" PRIu64 " but says that %" PRIu64
            " are committed: it has lost its end; restore this member from a backup, or remove it from the "
            "cluster and add it again with an empty data directory",
            role->log->last, state.commit);
        return false;
    }
    raft_core_load_state(role->core, &state);
    return true;
}

bool raft_role_start(struct raft_role *role, uint64_t now_us, char error[512]) {
    role->now_us = now_us;
    role->next_core_tick_us = now_us + (uint64_t)role->options.heartbeat_ms * 1000;
    if (raft_role_failure(role) != NULL) {
        snprintf(error, 512, "%s", raft_role_failure(role));
        return false;
    }
    /* The first write of a log carries its hard state behind the entries: without it nothing was founded. */
    bool fresh = !role->loaded_state && role->loading_base == 0;
    if (fresh && membership_find(&role->bootstrap, role->options.member) == NULL) {
        snprintf(error, 512, "the log is new and the initial cluster does not name this member");
        return false;
    }
    if (fresh)
        bootstrap(role);
    else if (!resume(role, error))
        return false;
    role_apply_changes(role);
    role_set_peers(role);
    role->applied = role->log->base_index;
    role->apply_durable = role->log->base_index;
    role->taken_bytes = role->durable_bytes = fresh ? 0 : role->log->bytes;
    raft_core_start(role->core);
    LOG_INFO(fresh ? "founded a new log" : "restarted from the log", F_HEX("member", role->options.member),
             F_HEX("cluster", role->options.cluster), F_U64("term", raft_core_term(role->core)),
             F_U64("first-index", role->log->base_index + 1), F_U64("last-index", role->log->last),
             F_U64("commit-index", raft_core_commit(role->core)));
    return true;
}
