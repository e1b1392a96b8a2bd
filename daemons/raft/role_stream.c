/*
 * role_stream: the one FIFO stream to apply: committed and durable entries in index order, reads between
 * them. Entries come from memory; older ones through fetch actions, one chunk at a time.
 */
#include <inttypes.h>

#include "common/log.h"
#include "raft/role_state.h"

/* What makes room is not to wait for room: revocations of leases may come on for longer than others. */
enum { LEASE_APPLY_GAP = 2 * RAFT_APPLY_GAP };

static uint64_t streamable(const struct raft_role *role) {
    uint64_t commit = raft_core_commit(role->core);
    uint64_t durable = raft_core_durable(role->core);
    return commit < durable ? commit : durable;
}

/* The entry from memory or from the last fetch; else asks for a fetch. */
static bool find_entry(struct raft_role *role, uint64_t index, struct bus_entry *out) {
    struct raft_entry entry;
    if (raft_log_get(role->log, index, &entry)) {
        *out = (struct bus_entry){.index = index, .term = entry.term, .type = entry.type, .data = entry.data};
        return true;
    }
    const struct raft_fetch *fetch = &role->fetch;
    if (role->fetch_state == FETCH_DONE && index >= fetch->from && index - fetch->from < fetch->count) {
        const struct wal_entry *old = &fetch->entries[index - fetch->from];
        *out = (struct bus_entry){.index = index, .term = old->term, .type = old->type, .data = old->data};
        return true;
    }
    if (role->fetch_state == FETCH_IDLE || role->fetch_state == FETCH_DONE) {
        role->fetch.from = index;
        role->fetch.to = streamable(role);
        role->fetch.limit_bytes =
            role->options.cache_bytes < RAFT_FETCH_BYTES ? role->options.cache_bytes : RAFT_FETCH_BYTES;
        role->fetch_state = FETCH_WANTED;
    }
    return false;
}

static void drop_fetched(struct raft_role *role) {
    if (role->fetch_state != FETCH_DONE || role->stream_next <= role->fetch.from + role->fetch.count - 1)
        return;
    role->fetch.count = 0;
    buffer_reset(&role->fetch.data, 0);
    role->fetch_state = FETCH_IDLE;
}

void role_stream(struct raft_role *role) {
    struct bus_entry entry;
    uint64_t last = streamable(role);
    if (!role->apply_up || role->stream_next > last)
        return;
    while (role->stream_next <= last && bus_link_room(role->apply) > 0 &&
           find_entry(role, role->stream_next, &entry)) {
        if (!bus_put_entry(role->apply, &entry))
            return;
        role->stream_next++;
    }
    drop_fetched(role);
}

bool role_put_read(struct raft_role *role, const struct bus_request *request, uint64_t index) {
    return role->apply_up && role->stream_next > index && bus_link_room(role->apply) > 0 &&
           bus_put_request(role->apply, BUS_RAFT_READ, request);
}

struct raft_fetch *raft_role_take_fetch(struct raft_role *role) {
    if (role->fetch_state != FETCH_WANTED)
        return NULL;
    role->fetch_state = FETCH_RUNNING;
    role->fetch.count = 0;
    role->fetch.data.length = 0;
    return &role->fetch;
}

void raft_role_fetched(struct raft_role *role) {
    REQUIRE(role->fetch_state == FETCH_RUNNING && role->fetch.count > 0);
    role->fetch_state = FETCH_DONE;
}

/* --- the link to apply ---------------------------------------------------------------------------------- */

static void greet(void *context, struct bus_hello *hello) {
    const struct raft_role *role = context;
    hello->node = role->options.member;
    hello->cluster = role->options.cluster;
    hello->term = raft_core_term(role->core);
    hello->position = role->log->last;
    hello->durable = raft_core_commit(role->core);
}

static bool fits_log(struct raft_role *role, uint64_t applied) {
    if (applied > role->log->last)
        role_fail(
            role,
            "apply stands at index %" PRIu64 " but this member's log ends at %" PRIu64
            ": the log has lost acknowledged entries or belongs to another database; remove this member "
            "from the cluster and add it again with an empty data directory, or restore it from a backup",
            applied, role->log->last);
    else if (applied < role->log->base_index)
        role_fail(
            role,
            "apply stands at index %" PRIu64 " but this member's log begins behind %" PRIu64
            ": the database is older than the log; remove this member from the cluster and add it again "
            "with an empty data directory, or restore it from a backup",
            applied, role->log->base_index);
    return raft_role_failure(role) == NULL;
}

static void up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct raft_role *role = context;
    struct bus_raft_state state = role_raft_state(role);
    if (!fits_log(role, peer->position))
        return;
    role->apply_up = true;
    role->stream_next = peer->position + 1;
    role->applied = peer->position;
    memset(role->lag, 0, sizeof role->lag); /* a replay is no lag until it has had its second */
    role->apply_durable = peer->durable < peer->position ? peer->durable : peer->position;
    bus_put_raft_state(link, &state);
    LOG_INFO("apply is connected", F_U64("applied-index", role->applied),
             F_U64("durable-index", role->apply_durable), F_U64("last-index", role->log->last));
}

/* The proxies ask their reads again by themselves once apply is back. */
static void down(void *context, struct bus_link *link) {
    struct raft_role *role = context;
    (void)link;
    role->apply_up = false;
    role->apply_losses++;
    read_queue_drop_all(&role->reads);
}

static void record(void *context, struct bus_link *link, const struct bus_record *received) {
    struct raft_role *role = context;
    struct bus_progress progress;
    if (!role->apply_up)
        return; /* refused: the daemon is about to end */
    if (received->kind == BUS_APPLY_PROPOSE && role_propose_own(role, received, LEASE_APPLY_GAP))
        return;
    if (received->kind != BUS_APPLY_PROGRESS || !bus_get_progress(received, &progress) ||
        progress.applied >= role->stream_next || progress.durable > progress.applied ||
        progress.applied < role->applied) {
        bus_link_reset(link, "apply sent what it may not send, or an index it cannot have reached");
        return;
    }
    role->applied = progress.applied;
    if (progress.durable > role->apply_durable) {
        role->apply_durable = progress.durable;
        role_want_release(role);
    }
}

struct bus_handler raft_role_apply_handler(struct raft_role *role) {
    return (struct bus_handler){.greet = greet, .up = up, .down = down, .record = record, .context = role};
}

void raft_role_attach_apply(struct raft_role *role, struct bus_link *link) {
    role->apply = link;
}
