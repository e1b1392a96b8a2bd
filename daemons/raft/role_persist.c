/*
 * role_persist: what goes to disk and when. One piece of work at a time: either the newest entries with the
 * hard state (all that came in during the last sync), or, rarely, a release of the log's beginning.
 */
#include <stdlib.h>

#include "raft/role_state.h"

uint64_t role_unpersisted_bytes(const struct raft_role *role) {
    return role->log->bytes - role->durable_bytes;
}

/* A mark every quarter of a release step; when there is no place left, the newest moves along. */
void role_mark_log(struct raft_role *role) {
    uint64_t step = role->options.release_bytes / 4 + 1;
    uint64_t since = role->mark_count == 0 ? role->released_bytes : role->marks[role->mark_count - 1].bytes;
    if (role->log->bytes - since < step)
        return;
    if (role->mark_count == LOG_MARKS)
        role->mark_count--;
    role->marks[role->mark_count++] = (struct log_mark){.index = role->log->last, .bytes = role->log->bytes};
}

/*
 * Called when apply's durable index has moved. The release is exact at that index, so it waits while a
 * membership change lies behind it: the members file and the snapshot record speak of one and the same index.
 */
void role_want_release(struct raft_role *role) {
    uint64_t durable = role->apply_durable;
    size_t passed = 0;
    while (passed < role->mark_count && role->marks[passed].index <= durable)
        passed++;
    if (role->persist == PERSIST_RELEASE || passed == 0 || role->last_change > durable ||
        durable <= role->log->base_index || durable > raft_core_durable(role->core) ||
        durable > raft_core_commit(role->core) ||
        role->marks[passed - 1].bytes - role->released_bytes < role->options.release_bytes)
        return;
    role->release_index = durable;
}

static void take_release(struct raft_role *role, struct raft_persist *out) {
    uint64_t term = 0;
    REQUIRE(raft_log_term(role->log, role->release_index, &term));
    role->conf_state.length = 0;
    membership_encode_conf_state(&role->membership, &role->conf_state);
    role->members = (struct raft_members){.index = role->release_index, .membership = role->membership};
    memcpy(role->members.largest_id, role->largest_id, sizeof role->largest_id);
    *out = (struct raft_persist){
        .release = true,
        .snapshot = {.index = role->release_index,
                     .term = term,
                     .conf_state = buffer_bytes(&role->conf_state)},
        .members = &role->members,
    };
    role->persist = PERSIST_RELEASE;
    role->released_last = true;
}

static void take_append(struct raft_role *role, const struct raft_ready *ready, struct raft_persist *out) {
    size_t count = ready->first <= ready->last ? (size_t)(ready->last - ready->first + 1) : 0;
    if (count > role->batch_capacity) {
        role->batch_capacity = count * 2;
        role->batch = must_realloc(role->batch, role->batch_capacity * sizeof *role->batch);
    }
    for (size_t i = 0; i < count; i++) {
        struct raft_entry entry;
        REQUIRE(raft_log_get(role->log, ready->first + i, &entry));
        role->batch[i] = (struct wal_entry){
            .index = entry.index, .term = entry.term, .type = entry.type, .data = entry.data};
    }
    *out = (struct raft_persist){
        .entries = role->batch,
        .count = count,
        .has_state = ready->has_state,
        .state = {.term = ready->state.term, .vote = ready->state.vote, .commit = ready->state.commit},
    };
    role->taken_bytes = role->log->bytes;
    role->persist = PERSIST_APPEND;
    role->released_last = false;
}

bool raft_role_take_persist(struct raft_role *role, struct raft_persist *out) {
    struct raft_ready ready;
    if (role->persist != PERSIST_IDLE)
        return false;
    if (role->last_change > role->release_index)
        role->release_index = 0; /* the membership has moved on since: wait until apply has, too */
    if (role->release_index != 0 && !role->released_last)
        take_release(role, out);
    else if (raft_core_take(role->core, &ready))
        take_append(role, &ready, out);
    else
        return false;
    return true;
}

static void released(struct raft_role *role) {
    size_t passed = 0;
    while (passed < role->mark_count && role->marks[passed].index <= role->release_index)
        passed++;
    role->released_bytes = role->marks[passed - 1].bytes;
    role->mark_count -= passed;
    memmove(role->marks, role->marks + passed, role->mark_count * sizeof *role->marks);
    raft_core_release(role->core, role->release_index);
    role->release_index = 0;
}

void raft_role_persisted(struct raft_role *role) {
    REQUIRE(role->persist != PERSIST_IDLE);
    bool release = role->persist == PERSIST_RELEASE;
    role->persist = PERSIST_IDLE;
    if (release) {
        released(role);
        return;
    }
    raft_core_persisted(role->core);
    role->durable_bytes = role->taken_bytes;
    role_mark_log(role);
}
