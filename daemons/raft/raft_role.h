/*
 * raft_role: the raft daemon's loop, pure: bus links and I/O completions in, records and I/O actions out.
 *
 * Happy path. The environment makes a role, loads the log into it (raft_storage_open does both of that) and
 * starts it. Proposals from the proxies become log entries; at the end of a round raft_role_take_persist
 * hands out whatever is not on disk yet, the environment writes and syncs it with the role free, and
 * raft_role_persisted lets the core count it. Entries that are committed and durable here go to apply in
 * index order; confirmed reads go down the same link behind the entries they have to see.
 *
 * Failure modes.
 * - apply is away: the log goes on; reads wait for it, proposals are refused once apply is more than 5000
 *   entries and one second behind.
 * - apply comes back at an older index: the log is streamed from there, from memory or through fetch actions.
 * - apply stands beyond the log, or before its first entry: raft_role_failure says so, and how to rejoin.
 * - apply or the disk is slow: the proxy links are held, so that they run out of credit.
 * - a failed write or sync never gets back here: the environment ends the daemon.
 *
 * Purity: no clock, thread, file or nng below. Time enters through raft_role_tick (and start) alone:
 * deadlines and ages have the tick's resolution. Threading: everything is called inside the daemon's
 * combiner; the contents of a persist or fetch action may be read (fetch: written) outside it until its
 * completion.
 */
#ifndef QUORATE_RAFT_RAFT_ROLE_H
#define QUORATE_RAFT_RAFT_ROLE_H

#include "common/bus/bus.h"
#include "common/membership.h"
#include "raft/wal/wal.h"

enum {
    RAFT_CACHE_BYTES = 32 << 20,       /* newest entries kept in memory */
    RAFT_UNPERSISTED_LIMIT = 16 << 20, /* above it the proxy links are held */
    RAFT_READ_QUEUE_BYTES = 16 << 20,  /* reads that wait; above it they are refused */
    RAFT_APPLY_GAP = 5000,             /* entries apply may be behind, unless it is for less than a second */
    RAFT_ENTRY_LIMIT = 4 << 20,        /* largest entry; the proxy's max-request-bytes lies below */
    RAFT_FETCH_BYTES = 1 << 20,        /* one fetch of older entries from the WAL */
};

struct raft_role;

struct raft_role_options {
    uint64_t member, cluster; /* our ids */
    unsigned proxies;         /* slots 0..proxies-1 exist */
    uint32_t heartbeat_ms, election_ms;
    bool pre_vote;
    uint64_t seed;                      /* randomness of election timeouts */
    const struct membership *bootstrap; /* the initial cluster; used (copied) when the log is new */
    const char *client_urls;            /* our advertised ones, comma-separated; copied */
    size_t cache_bytes;                 /* 0: RAFT_CACHE_BYTES */
    uint64_t release_bytes;             /* log released in steps of so many bytes; 0: WAL_SEGMENT_BYTES */
};

struct raft_role *raft_role_new(const struct raft_role_options *options);
void raft_role_free(struct raft_role *role);

/* --- loading, before raft_role_start: the members file (if there is one) first, then the WAL's records ---
 */

/* What the members file holds: the cluster as of `index`. */
struct raft_members {
    uint64_t index;
    uint64_t largest_id[BUS_PROXY_SLOTS]; /* request ids seen in the log up to index, by proxy slot */
    struct membership membership;
};
void raft_role_load_members(struct raft_role *role, const struct raft_members *members);
/* Give this to wal_open; valid as long as the role. */
struct wal_visitor raft_role_visitor(struct raft_role *role);

/*
 * Bootstraps a new log or goes on with the loaded one; a single member campaigns at once. False and a
 * sentence in error when what was loaded does not fit together.
 */
bool raft_role_start(struct raft_role *role, uint64_t now_us, char error[512]);

/* --- links: give the handler to the link, then attach the link --- */

struct bus_handler raft_role_proxy_handler(struct raft_role *role, unsigned slot);
struct bus_handler raft_role_apply_handler(struct raft_role *role);
struct bus_handler raft_role_maint_handler(struct raft_role *role);
void raft_role_attach_proxy(struct raft_role *role, unsigned slot, struct bus_link *link);
void raft_role_attach_apply(struct raft_role *role, struct bus_link *link);
void raft_role_attach_maint(struct raft_role *role, struct bus_link *link);

/* --- events --- */

/* At most every heartbeat interval; half of it is a good period. now_us: monotonic. */
void raft_role_tick(struct raft_role *role, uint64_t now_us);
/* Once after all events of a round: streams to apply, answers, and flushes every link. Then take actions. */
void raft_role_end_round(struct raft_role *role);

/* --- actions --- */

/*
 * One step of durable work, in this order: append (entries and hard state, one write, one sync); then, if
 * release is set, make `members` durable as the members file, mark the snapshot, release the log up to it.
 */
struct raft_persist {
    const struct wal_entry *entries; /* borrowed from the role until raft_role_persisted */
    size_t count;
    bool has_state;
    struct wal_hard_state state;
    bool release;
    struct wal_snapshot snapshot;       /* the index to release; conf_state borrowed */
    const struct raft_members *members; /* borrowed */
};
/*
 * True if something is to be made durable and no persist is under way. The environment then does all of it
 * (raft_storage_persist), outside the combiner if it can, and calls raft_role_persisted inside it.
 */
bool raft_role_take_persist(struct raft_role *role, struct raft_persist *out);
void raft_role_persisted(struct raft_role *role);

/* Older entries that apply needs and memory no longer holds. Filled by raft_storage_fetch. */
struct raft_fetch {
    uint64_t from, to;  /* inclusive, all durable */
    size_t limit_bytes; /* of data; at least one entry */
    /* filled in: `count` entries from `from` on (an array of `capacity`, grown with must_realloc) */
    struct wal_entry *entries;
    size_t count, capacity;
    struct buffer data; /* what the entries' data points into */
};
/* The fetch to do, or NULL; one at a time, may run beside a persist. */
struct raft_fetch *raft_role_take_fetch(struct raft_role *role);
void raft_role_fetched(struct raft_role *role);

/* --- what the environment looks at --- */

/* NULL, or a sentence after which the daemon must end (log it as fatal). */
const char *raft_role_failure(const struct raft_role *role);

struct raft_role_status {
    uint16_t role; /* enum raft_role_kind */
    uint64_t term, leader, commit, last, durable, base;
    uint64_t applied, apply_durable; /* as apply reported */
    uint64_t leader_changes;         /* since start: times a leader became known */
    uint64_t proposals, proposals_refused;
    uint64_t proposals_dropped; /* of apply and maint */
    size_t reads_waiting;
    bool apply_up;
};
struct raft_role_status raft_role_status(const struct raft_role *role);
const struct membership *raft_role_membership(const struct raft_role *role);

#endif
