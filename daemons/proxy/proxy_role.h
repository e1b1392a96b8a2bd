/*
 * proxy_role: what the proxy does with requests once they are checked: give each an id, send it where it
 * belongs, wait for its result, its deadline or its cancellation. Pure: no socket, no clock, no thread.
 *
 * Happy path. A caller embeds a `struct proxy_call` in its own object, fills the upper half and hands it to
 * proxy_role_call(). The role takes an id, puts the record on the link to raft (writes, linearizable reads,
 * cluster requests) or apply (serializable reads) and remembers the call in a table. The result record comes
 * over the link to apply (or raft) and is handed to call->result; with the last part the call has ended.
 *
 * Failure modes.
 * - A link is down or full: the call waits here, first in first out, until it can be sent or its deadline
 * passes. Writes and linearizable reads wait for both raft and apply, because their result comes from apply.
 * - A link goes down: reads under way are asked again, with a new id, when it is up. A write that was put on
 * a link is never sent again: it waits for its result or its deadline. If raft comes back as another process
 *   whose log does not know the write's id, the call ends at once with "request timed out, possibly due to
 *   previous leader failure" (the outcome stays open for the client, as with any time-out).
 * - A streamed answer whose first part was passed on cannot be asked again: the call ends with Unavailable.
 * - A write with a limit of its own has lost what it waits for when apply is lost: the role's limit counts
 * from then on.
 * - Too many calls, or too many bytes of waiting calls: "too many requests" at once.
 * - A result for an id nobody waits for: dropped.
 *
 * Time is microseconds of a monotonic clock; it may be handed in late but never runs backward.
 * Threading: everything inside the daemon's combiner.
 */
#ifndef QUORATE_PROXY_PROXY_ROLE_H
#define QUORATE_PROXY_PROXY_ROLE_H

#include "common/bus/bus.h"
#include "common/bus/contract.h"
#include "common/request.h"
#include "common/status.h"

struct proxy_role;

/* No request is larger, whatever is configured: with all around it, it has to fit into a record of the bus.
 */
enum { PROXY_REQUEST_LIMIT = 2 << 20 };

/* Of what watches keep and send; 0: what suits a node (watch/hub.c). Smaller ones are for tests. */
struct watch_limits {
    size_t ring_bytes, ring_events; /* of recent events kept */
    size_t piece_bytes;             /* a response is cut between revisions beyond */
    size_t fragment_bytes;          /* a fragment; 0: max_request_bytes and 512 KiB, as etcd */
    size_t held_bytes; /* of one revision read from history; beyond: fragments, asked for or not */
};

struct proxy_role_config {
    uint8_t slot;               /* 0..7 */
    uint64_t id_seed;           /* microseconds of the wall clock at start: the first counter of our ids */
    uint64_t timeout_us;        /* the server's own limit: 5 s + 2 x election timeout */
    size_t pending_limit;       /* calls; beyond: STATUS_TOO_MANY_REQUESTS */
    size_t waiting_bytes;       /* bodies of calls that wait for a link; beyond: STATUS_TOO_MANY_REQUESTS */
    size_t max_request_bytes;   /* of an encoded InternalRaftRequest; beyond: STATUS_REQUEST_TOO_LARGE */
    uint64_t election_us;       /* election timeout: streams that need a leader end after three without */
    uint64_t watch_progress_us; /* between progress notifications; less than 100 ms counts as that */
    uint64_t seed;              /* random: hashing, jitter */
    struct watch_limits watch_limits;
};

/* Where a call goes. */
enum proxy_route {
    PROXY_WRITE,             /* proposal to raft; result from apply */
    PROXY_LINEARIZABLE_READ, /* to raft, which passes it on to apply */
    PROXY_SERIALIZABLE_READ, /* to apply */
    PROXY_CLUSTER,           /* to raft, answered by raft */
};

struct proxy_result {
    uint16_t status;   /* enum status */
    bool first;        /* the first part (or the only one) */
    bool more;         /* further parts follow; the call has not ended */
    bool header;       /* RANGE_STREAM: this part carries the ResponseHeader */
    uint64_t revision; /* for the ResponseHeader; 0: unknown */
    uint64_t total;    /* first of several parts of a unary answer: length of the whole body */
    struct bytes body; /* the response message without field 1; borrowed for the callback */
};

struct proxy_call;

struct proxy_call {
    /* Filled by the caller. user and body stay valid and unchanged until the call has ended (see
     * body_needed). */
    enum proxy_route route;
    uint16_t method; /* enum method */
    uint64_t auth_revision;
    struct bytes user, body;
    /* The client's own deadline, absolute; 0: none. When it passes: STATUS_DEADLINE_EXCEEDED. */
    uint64_t deadline_us;
    uint64_t limit_us; /* the server's limit, if not the role's timeout_us; 0: that */
    /*
     * Called for every part, at the latest with a failure; never from inside proxy_role_cancel(), but
     * possibly from inside proxy_role_call(). After a part without `more` the role does not know the call any
     * longer.
     */
    void (*result)(struct proxy_call *call, const struct proxy_result *result);

    /* The role's. */
    struct proxy_role *role; /* NULL: not under way */
    uint64_t id;             /* 0: not on a link */
    uint64_t expires_us;     /* the earlier of deadline_us and the server's limit */
    uint8_t state;
    bool body_needed; /* false once a write was put on the link: the caller may free the body */
    uint16_t end_status;
    uint16_t timer_slot;
    struct proxy_call *timer_next, *timer_previous; /* in a slot of the timer wheel */
    struct proxy_call *next, *previous;             /* in the queue of calls that wait for a link */
};

struct proxy_role *proxy_role_new(const struct proxy_role_config *config);
/* Calls under way are dropped without a result. */
void proxy_role_free(struct proxy_role *role);

/* The handlers for our three links (dialled by us), then the links themselves. maint may be NULL. */
struct bus_handler proxy_role_handler(struct proxy_role *role, enum bus_role peer);
void proxy_role_attach(struct proxy_role *role, struct bus_link *raft, struct bus_link *apply,
                       struct bus_link *maint);

/* Starts a call. May end it (with a failure) before it returns. */
void proxy_role_call(struct proxy_role *role, struct proxy_call *call, uint64_t now_us);
/* Forgets a call (the client is gone). No callback. Harmless when the call is not under way. */
void proxy_role_cancel(struct proxy_role *role, struct proxy_call *call);
/*
 * Calls call->result with STATUS_DEADLINE_EXCEEDED once call->deadline_us has come; nothing else happens
 * until then. proxy_role_cancel() ends the waiting.
 */
void proxy_role_alarm(struct proxy_role *role, struct proxy_call *call);
/* An id that no member of the cluster gives again: of a lease whose client leaves the choice to us. */
int64_t proxy_role_unique_id(struct proxy_role *role);
/* The client took so many bytes of a streamed answer: apply may send more. */
void proxy_role_consumed(struct proxy_role *role, struct proxy_call *call, size_t bytes);
static inline bool proxy_call_under_way(const struct proxy_call *call) {
    return call->role != NULL;
}

/* Deadlines. To be called when proxy_role_next_us() has come, and about every 100 ms. */
void proxy_role_tick(struct proxy_role *role, uint64_t now_us);
/* When the next deadline may pass; UINT64_MAX: none. Early is possible, late by at most 10 ms. */
uint64_t proxy_role_next_us(const struct proxy_role *role);
/* End of a round: sends what watchers get, flushes the links. */
void proxy_role_end_round(struct proxy_role *role);

/* What the role knows of its node. Ids are 0 until raft or apply named them. */
struct proxy_view {
    uint64_t member, cluster, term;
    uint64_t leader;    /* 0: none known */
    uint16_t raft_role; /* enum raft_role_kind */
    uint64_t revision;  /* largest seen in a result */
    bool raft_up, apply_up, maint_up;
    size_t pending; /* calls under way */
};
struct proxy_view proxy_role_view(const struct proxy_role *role);
/* Writes a ResponseHeader as field 1 (revision 0: left out). */
void proxy_role_put_header(const struct proxy_role *role, struct buffer *out, uint64_t revision);

#endif
