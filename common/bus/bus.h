/*
 * bus: typed, batched, credit-controlled records between two daemons, over whatever moves frames.
 *
 * One `struct bus_link` is one end of one edge of the talk graph (DESIGN.md section 2). It is a pure state
 * machine: it knows nothing of nng, threads or time. Below it sits a `struct bus_transport` (nng in
 * production, a hostile model in the simulator); above it sits the daemon's role.
 *
 * Happy path. The transport says it is connected; both ends send HELLO (role, slot, node, incarnation,
 * connection number, contract version, position); each answers the other's HELLO; when an end has seen a
 * HELLO that answers its own, the link is up. Records put on the link during a round are packed into one DATA
 * frame, sent by bus_link_flush at the end of the round. Every frame acknowledges what the role has consumed,
 * which is the sender's credit; when no DATA goes back, a CREDIT frame does.
 *
 * Failure modes.
 * - The transport disconnects, or the peer says HELLO with another connection number: `down`, then a new
 *   handshake, then `up`. What was pending or in flight is gone: the link never sends anything twice. The
 *   role decides (a read may be asked again; a write handed to the bus never is).
 * - A frame of an earlier connection, or meant for one, arrives (nng delivers what was queued for a dead peer
 *   to its next incarnation): dropped silently and counted.
 * - A gap, a repeat or garbage in the sequence: the link goes down and shakes hands anew.
 * - Another contract version or an unexpected role: the link never comes up; `refused` is logged each time.
 * - The peer consumes nothing: bus_link_room falls to 0; the role must stop putting (and usually `hold`s the
 *   link that feeds it, so that pressure travels back to the client).
 *
 * Threading: a link belongs to its daemon's combiner; every call and every callback happens inside it.
 */
#ifndef QUORATE_COMMON_BUS_BUS_H
#define QUORATE_COMMON_BUS_BUS_H

#include "common/bytes.h"

enum {
    BUS_CONTRACT_VERSION = 1,
    BUS_PROXY_SLOTS = 8,          /* proxies a node may have: slot 0..7 */
    BUS_WINDOW_BYTES = 8 << 20,   /* unconsumed bytes a sender may have under way */
    BUS_WINDOW_FRAMES = 32,       /* unconsumed frames; below the transport's own queue length */
    BUS_FRAME_TARGET = 1 << 20,   /* a frame is closed when it grows past this */
    BUS_FRAME_LIMIT = 8 << 20,    /* a larger frame is garbage */
    BUS_RECORD_LIMIT = 5 << 20,   /* body: an event with two values of requests of up to 2 MiB */
    BUS_PENDING_LIMIT = 16 << 20, /* bytes a role may put on a link that has no credit; then room is 0 */
};

enum bus_role { BUS_ROLE_NONE, BUS_ROLE_PROXY, BUS_ROLE_RAFT, BUS_ROLE_APPLY, BUS_ROLE_MAINT };
const char *bus_role_name(enum bus_role role);

/* Who the peer is and where it stands. Sent as proto/bus.proto BusHello. */
struct bus_hello {
    enum bus_role role;
    uint8_t slot;         /* proxies: 0..7; others 0 */
    uint64_t node;        /* member id; 0 while not known yet */
    uint64_t incarnation; /* random per process start */
    uint64_t connection;  /* unique per handshake */
    uint32_t contract;    /* BUS_CONTRACT_VERSION */
    uint64_t position;    /* raft->apply: last index; apply->raft: applied index; apply->proxy and
                             proxy->apply: revision (the last one seen); proxy->raft: last request id */
    uint64_t durable;     /* apply->raft: durable index; raft->apply: commit index */
    uint64_t cluster;     /* cluster id; 0 while not known */
    uint64_t term;        /* raft: current term */
    uint64_t largest_id;  /* raft->proxy: largest request id of the proxy's slot seen in the log */
};

/*
 * The hot-path record header: fixed, little-endian, 48 bytes on the wire, body padded to 8. What `code`,
 * `position` and `epoch` mean belongs to the kind: contract.h has a typed pair of functions for each.
 */
struct bus_record {
    uint16_t kind;        /* enum bus_kind, contract.h */
    uint16_t flags;       /* of the kind */
    uint16_t code;        /* method of a request, status of a result */
    uint16_t user_length; /* the body begins with so many bytes of user name (auth) */
    uint64_t id;          /* request id; 0 where there is none */
    uint64_t position;    /* revision or index */
    uint64_t epoch;       /* auth revision or term */
    uint32_t time_left;   /* milliseconds to the deadline; 0: none */
    uint32_t hop_time;    /* low 32 bits of the sender's monotonic microseconds (tracing) */
    struct bytes body;    /* borrowed: valid during the callback only */
};

struct bus_link;

/* What moves frames. Frames arrive whole or not at all, in order, possibly from an earlier connection. */
struct bus_transport {
    /* Sends a copy of the frame; never blocks. False: the transport is not connected (the frame is lost). */
    bool (*send)(void *context, struct bytes frame);
    void *context;
};

/* What the role hears. All may be NULL except record. */
struct bus_handler {
    /* Fills position, durable, cluster, term, largest_id and node of our next HELLO. */
    void (*greet)(void *context, struct bus_hello *hello);
    void (*up)(void *context, struct bus_link *link, const struct bus_hello *peer);
    void (*down)(void *context, struct bus_link *link);
    void (*record)(void *context, struct bus_link *link, const struct bus_record *record);
    /* There is room again after bus_link_room() was 0: a quarter of it, or more. Also from bus_link_flush. */
    void (*room)(void *context, struct bus_link *link);
    void *context;
};

/*
 * name: for logs ("apply.proxy-0"). own_role/slot: who we are; peer_role/peer_slot: whom we expect.
 * incarnation: random per process. The link lives until bus_link_free.
 */
struct bus_link *bus_link_new(const char *name, enum bus_role own_role, uint8_t own_slot,
                              enum bus_role peer_role, uint8_t peer_slot, uint64_t incarnation,
                              struct bus_transport transport, struct bus_handler handler);
void bus_link_free(struct bus_link *link);
const char *bus_link_name(const struct bus_link *link);
/* Another limit than BUS_PENDING_LIMIT: the simulator's links are to run out of room. */
void bus_link_limit(struct bus_link *link, size_t bytes);

/* --- for the role --- */
bool bus_link_is_up(const struct bus_link *link);
/* The peer's HELLO of the current connection; only while up. */
const struct bus_hello *bus_link_peer(const struct bus_link *link);
/* Bytes that may still be put; 0 when down. A single record may overshoot it. */
size_t bus_link_room(const struct bus_link *link);
/*
 * Puts a record: header fields of *record, body = user then body parts concatenated. Copies. False when the
 * link is down (nothing was put, the record was not and will not be sent).
 */
bool bus_link_put(struct bus_link *link, const struct bus_record *record);
/* The same, but the body is built in place: append to the returned buffer, then commit. NULL when down. */
struct buffer *bus_link_begin(struct bus_link *link);
void bus_link_commit(struct bus_link *link, const struct bus_record *record_without_body);
/* Sends what was put (as far as credit goes) and acknowledges what was consumed. At the end of each round. */
void bus_link_flush(struct bus_link *link);
/* While held, what arrives is not acknowledged: the peer runs out of credit. Records still arrive until then.
 */
void bus_link_hold(struct bus_link *link, bool hold);
/* Drops the connection and shakes hands anew (a role that found a gap in a positioned stream). */
void bus_link_reset(struct bus_link *link, const char *reason);

/* --- for the transport --- */
void bus_link_connected(struct bus_link *link);
void bus_link_disconnected(struct bus_link *link);
void bus_link_frame(struct bus_link *link, struct bytes frame);

struct bus_link_counts {
    uint64_t frames_sent, frames_received, records_sent, records_received, bytes_sent, bytes_received;
    uint64_t stale_frames, resets;
};
const struct bus_link_counts *bus_link_counts(const struct bus_link *link);

/* One log line a record, both ways, when set (config `bus-trace`). */
extern bool bus_trace;

#endif
