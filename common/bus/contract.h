/*
 * contract: every record that may cross the bus, named by its owner (the sender), with a typed pair of
 * functions each: `bus_put_<kind>` writes it, `bus_get_<kind>` reads it. The talk graph is in
 * ARCHITECTURE.md; a kind that arrives on a link it does not belong to makes the receiver reset the link.
 *
 * Kinds are appended, never reordered; BUS_CONTRACT_VERSION changes when the meaning of one changes.
 *
 * Request ids: 16 bits member, 6 bits proxy slot, 42 bits counter. A proxy counts from its microsecond clock
 * and never from below the largest id that raft names in its HELLO (of writes and reads: an answer on its way
 * to an earlier process of the slot must not meet an id given anew).
 */
#ifndef QUORATE_COMMON_BUS_CONTRACT_H
#define QUORATE_COMMON_BUS_CONTRACT_H

#include "common/bus/bus.h"

enum bus_kind {
    BUS_NONE,

    /* proxy -> raft: a write. id, method, body = an encoded InternalRaftRequest (common/request.h). */
    BUS_PROXY_PROPOSE,
    /* proxy -> raft: a linearizable read. proxy -> apply: a serializable one. id, method, body = request. */
    BUS_PROXY_READ,
    /* proxy -> raft and apply (both, where a request may be at either): forget id. A write stays valid. */
    BUS_PROXY_CANCEL,
    /* proxy -> apply: the client took `position` more bytes of the streamed answer id. */
    BUS_PROXY_CONSUMED,
    /* proxy -> raft: a cluster RPC or status. id, method (MEMBER_LIST, STATUS), body = request. */
    BUS_PROXY_CLUSTER,

    /* raft -> proxy: id will not be done. code = status. Sent for proposals and reads alike. */
    BUS_RAFT_REFUSED,
    /* raft -> proxy: the answer to BUS_PROXY_CLUSTER. id, code = status, body without header. */
    BUS_RAFT_RESULT,
    /* raft -> proxy, apply, maint: role, term, leader; whenever one of them changes and after each HELLO. */
    BUS_RAFT_STATE,
    /* raft -> apply: a committed entry, durable in this node's WAL, in index order without a gap. */
    BUS_RAFT_ENTRY,
    /* raft -> apply: a confirmed linearizable read, behind the entry it has to see. As BUS_PROXY_READ. */
    BUS_RAFT_READ,

    /*
     * apply -> proxy: the outcome of a proposal or a read, whole or in chunks. The first one of a connection
     * has id 0: from then on apply knows the proxy, and what comes to it through raft is answered.
     */
    BUS_APPLY_RESULT,
    /* apply -> raft: position = applied index, epoch = durable index. At most one a round. */
    BUS_APPLY_PROGRESS,
    /* apply -> maint: the outcome of BUS_MAINT_CHECKPOINT: id, code, position = index inside the checkpoint.
     */
    BUS_APPLY_CHECKPOINT,

    /* maint -> apply: make a hard-linked checkpoint in the directory named by the body. id. */
    BUS_MAINT_CHECKPOINT,

    /* proxy -> apply: the ranges whose events this proxy wants from now on, all of them (bus_ranges). */
    BUS_PROXY_RANGES,
    /* proxy -> apply: method WATCH asks for a watch, body = WatchCreateRequest; WATCH_PROGRESS for the
     * present revision. Answered in the event stream. */
    BUS_PROXY_WATCH,
    /* apply -> proxy: the answer to BUS_PROXY_WATCH (bus_watch_answer). */
    BUS_APPLY_WATCH,
    /* apply -> proxy: all events of the proxy's ranges from one revision to another (bus_events). */
    BUS_APPLY_EVENTS,
    /* apply -> raft: a proposal of its own (lease expiry, checkpoints), valid in one term only
     * (bus_proposal).
     */
    BUS_APPLY_PROPOSE,
    /* maint -> raft: the same (auto-compaction). */
    BUS_MAINT_PROPOSE,
    /* apply -> maint: where the store stands, at most once a tick (bus_apply_state). */
    BUS_APPLY_STATE,
    /* maint -> apply: begin a physical compaction: as BUS_MAINT_CHECKPOINT, and answered like it. */
    BUS_MAINT_COMPACT,
    /* maint -> apply: a piece of the plan (bus_plan). apply -> maint: so far it is carried out. */
    BUS_MAINT_PLAN,
    BUS_APPLY_PLANNED,

    BUS_KIND_COUNT
};
const char *bus_kind_name(uint16_t kind);
/* The talk graph: may `sender` send this kind to `receiver`? The link asks, both ways. */
bool bus_kind_belongs(uint16_t kind, enum bus_role sender, enum bus_role receiver);

static inline uint64_t bus_request_id(uint64_t member, uint8_t slot, uint64_t counter) {
    return (member & 0xffff) << 48 | (uint64_t)(slot & 0x3f) << 42 | (counter & ((UINT64_C(1) << 42) - 1));
}
static inline uint16_t bus_id_member(uint64_t id) {
    return (uint16_t)(id >> 48);
}
static inline uint8_t bus_id_slot(uint64_t id) {
    return (uint8_t)(id >> 42 & 0x3f);
}
static inline uint64_t bus_id_counter(uint64_t id) {
    return id & ((UINT64_C(1) << 42) - 1);
}

/* Counters wrap after 50 days of microseconds: whether a was given later than b, if within half of that. */
static inline bool bus_counter_after(uint64_t a, uint64_t b) {
    uint64_t distance = bus_id_counter(bus_id_counter(a) - bus_id_counter(b));
    return distance != 0 && distance < UINT64_C(1) << 41;
}

/* BUS_PROXY_PROPOSE, BUS_PROXY_READ, BUS_RAFT_READ, BUS_PROXY_CLUSTER, and CANCEL (id alone). */
struct bus_request {
    uint64_t id;
    uint16_t method;    /* enum method */
    uint32_t time_left; /* ms */
    uint64_t auth_revision;
    struct bytes user; /* empty: no auth */
    struct bytes body;
};
bool bus_put_request(struct bus_link *link, enum bus_kind kind, const struct bus_request *request);
bool bus_get_request(const struct bus_record *record, struct bus_request *out);

bool bus_put_cancel(struct bus_link *link, uint64_t id);
bool bus_put_consumed(struct bus_link *link, uint64_t id, uint64_t bytes);

/* BUS_RAFT_STATE */
enum raft_role_kind { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER, RAFT_LEARNER };
struct bus_raft_state {
    uint16_t role; /* enum raft_role_kind */
    uint64_t term;
    uint64_t leader; /* member id, 0: none */
    uint64_t commit;
    uint64_t member, cluster; /* our ids */
    uint64_t apply_losses;    /* times raft lost its link to apply: linearizable reads must be asked again */
};
bool bus_put_raft_state(struct bus_link *link, const struct bus_raft_state *state);
bool bus_get_raft_state(const struct bus_record *record, struct bus_raft_state *out);

/* BUS_RAFT_ENTRY: raftpb.Entry. type 0 normal, 1 ConfChange, 2 ConfChangeV2. data empty: a leader's no-op. */
struct bus_entry {
    uint64_t index, term;
    uint16_t type;
    struct bytes data;
};
bool bus_put_entry(struct bus_link *link, const struct bus_entry *entry);
bool bus_get_entry(const struct bus_record *record, struct bus_entry *out);

/*
 * BUS_APPLY_RESULT. The body is the encoded response message without its header (field 1). An answer too
 * large for one record comes as several records of the same id: `more` on all but the last; the first names
 * the length of the whole, so that the proxy can write gRPC's prefix. RANGE_STREAM answers are a sequence of
 * whole RangeStreamResponse payloads, each with `more` but the last, total 0.
 * BUS_RAFT_RESULT uses the same shape.
 */
struct bus_result {
    uint64_t id;
    uint16_t status; /* enum status */
    bool more;
    bool header;       /* RANGE_STREAM: this part carries the header; unary: set on the first part */
    uint64_t revision; /* store revision for the header */
    uint64_t total;    /* length of the whole body; on the first part of several */
    uint64_t term;     /* raft term of the entry, or 0 */
    struct bytes body;
};
bool bus_put_result(struct bus_link *link, enum bus_kind kind, const struct bus_result *result);
/* Builds the body in place: append to the buffer between the calls. NULL when the link is down. */
struct buffer *bus_begin_result(struct bus_link *link);
void bus_commit_result(struct bus_link *link, enum bus_kind kind, const struct bus_result *result);
bool bus_get_result(const struct bus_record *record, struct bus_result *out);

struct bus_progress {
    uint64_t applied, durable; /* indexes */
};
bool bus_put_progress(struct bus_link *link, const struct bus_progress *progress);
bool bus_get_progress(const struct bus_record *record, struct bus_progress *out);

/* BUS_MAINT_CHECKPOINT, BUS_MAINT_COMPACT (directory in body) and BUS_APPLY_CHECKPOINT (status, index). */
struct bus_checkpoint {
    uint64_t id, index;
    int64_t compact_revision; /* answer to BUS_MAINT_COMPACT: what is superseded below it is to go */
    uint16_t status;          /* 0 done, else errno-like: the text is in directory */
    struct bytes directory;
};
bool bus_put_checkpoint(struct bus_link *link, enum bus_kind kind, const struct bus_checkpoint *checkpoint);
bool bus_get_checkpoint(const struct bus_record *record, struct bus_checkpoint *out);

/*
 * BUS_PROXY_RANGES: `revision` is the last one of the event stream that the proxy has seen; apply publishes
 * nothing at or below it. body: a sequence of bus_range_put.
 */
enum { BUS_RANGES_LIMIT = 64 }; /* with more, apply resets the link */
struct bus_ranges {
    int64_t revision;
    struct bytes body;
};
struct bus_range {
    struct bytes key, range_end; /* etcd's conventions */
    bool previous;               /* somebody wants prev_kv */
};
bool bus_put_ranges(struct bus_link *link, const struct bus_ranges *ranges);
bool bus_get_ranges(const struct bus_record *record, struct bus_ranges *out);
void bus_range_put(struct buffer *out, const struct bus_range *range);
/* Takes the first of *body. False at the end, and when it is malformed: then *body is not empty. */
bool bus_range_next(struct bytes *body, struct bus_range *out);

/*
 * BUS_APPLY_WATCH: everything in the proxy's ranges up to `revision` precedes this record, everything later
 * follows. compacted: -1: none.
 */
struct bus_watch_answer {
    uint64_t id;
    uint16_t status; /* OK, or why the watch is refused (permission) */
    int64_t revision, compacted;
};
bool bus_put_watch_answer(struct bus_link *link, const struct bus_watch_answer *answer);
bool bus_get_watch_answer(const struct bus_record *record, struct bus_watch_answer *out);

/*
 * BUS_APPLY_EVENTS: all events inside the proxy's ranges with from <= revision <= to, in order; body: events
 * (common/event.h), empty: there were none. `from` beyond the last `to` + 1: what is between was not sent
 * (the link was full, or the connection is new) and has to come from history. from == to + 1 says just that,
 * or that `compacted` has changed.
 */
struct bus_events {
    int64_t from, to;
    int64_t compacted; /* -1: none */
    struct bytes body;
};
bool bus_put_events(struct bus_link *link, const struct bus_events *events);
bool bus_get_events(const struct bus_record *record, struct bus_events *out);

/* BUS_APPLY_PROPOSE, BUS_MAINT_PROPOSE: dropped by raft unless it leads in `term`; never forwarded. */
struct bus_proposal {
    uint64_t term;
    struct bytes body; /* an encoded InternalRaftRequest with id 0 */
};
bool bus_put_proposal(struct bus_link *link, enum bus_kind kind, const struct bus_proposal *proposal);
bool bus_get_proposal(const struct bus_record *record, struct bus_proposal *out);

struct bus_apply_state {
    uint64_t index;
    int64_t revision, compacted; /* logical compaction; -1: none yet */
    int64_t physical;            /* the log below it was dropped; -1: never */
    uint16_t load;               /* 0..1000: how busy apply's loop is, for pacing */
    bool awaited;                /* somebody waits for the physical compaction */
};
bool bus_put_apply_state(struct bus_link *link, const struct bus_apply_state *state);
bool bus_get_apply_state(const struct bus_record *record, struct bus_apply_state *out);

/*
 * BUS_MAINT_PLAN: id = that of the BUS_MAINT_COMPACT; body: some of its items (common/compaction_plan.h), of
 * which there are `items` so far in all. BUS_APPLY_PLANNED: `items` carried out so far in all; with `last`:
 * what is kept is durable and what the plan drops is being dropped; status not OK: the plan is void.
 */
struct bus_plan {
    uint64_t id, items;
    uint16_t status;
    bool last;
    struct bytes body;
};
bool bus_put_plan(struct bus_link *link, enum bus_kind kind, const struct bus_plan *plan);
bool bus_get_plan(const struct bus_record *record, struct bus_plan *out);

/* Socket names in the runtime directory, e.g. "raft.proxy-0", "apply.maint". Fits any buffer of 32 bytes. */
void bus_socket_name(char out[32], enum bus_role listener, enum bus_role dialer, uint8_t dialer_slot);

#endif
