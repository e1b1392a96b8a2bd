/*
 * watch: all watches of this proxy's clients: which there are, what each has seen, and what it gets next.
 *
 * Pure: no socket, no clock, no thread. A gRPC Watch stream (or the simulator) opens a `struct watch_stream`,
 * hands it the client's WatchRequests and is given WatchResponses to send.
 *
 * Happy path. A create request asks apply for admission (BUS_PROXY_WATCH); the answer comes in the event
 * stream and says which revision everything later will come behind. A watcher of the present is *synced* from
 * then on: each event of the stream is matched (exact keys by hash, ranges in an interval tree) and what a
 * round brought a watcher goes out as one response. A watcher of the past *catches up*: history is asked of
 * apply in chunks, several watchers in one scan, until the ring of recent events (or the stream) can take
 * over.
 *
 * Failure modes.
 * - A client does not take its responses: its watchers stop where they are (only their next revision is
 *   kept) and go on from the ring, or from history, when it has. Memory is bounded, no event is lost.
 * - apply is gone, or its stream has a gap: all synced watchers fall back the same way from where they are.
 * - History is compacted away: the watcher ends, `canceled` with compact_revision.
 * - No leader for three election timeouts: streams that asked for one (hasleader) end with NO_LEADER.
 *
 * Rules of every message: etcd-api.md section 1.6. Threading: inside the daemon's combiner.
 */
#ifndef QUORATE_PROXY_WATCH_WATCH_H
#define QUORATE_PROXY_WATCH_WATCH_H

#include "common/bytes.h"

struct proxy_role;
struct watch_stream;

/* What a stream's owner does for it. None may call back into watch_*. */
struct watch_client {
    /* Where to build the next WatchResponse: append to the buffer, nothing else, until commit. */
    struct buffer *(*begin)(void *context);
    void (*commit)(void *context);
    /* Bytes that were committed and that the client has not taken yet. */
    size_t (*backlog)(void *context);
    /* Ends the RPC with an enum status. The stream is dead; its owner still closes it. */
    void (*end)(void *context, uint16_t status);
    /* The same, and what the client has not taken is thrown away: it knows by how its RPC ends. */
    void (*cut)(void *context, uint16_t status);
    /* watch_full() no longer. May be NULL. */
    void (*room)(void *context);
    void *context;
};

enum { WATCH_BACKLOG_LOW = 64 << 10 };

struct watch_options {
    bool needs_leader; /* metadata hasleader */
};

/* client and options are copied. */
struct watch_stream *watch_open(struct proxy_role *role, const struct watch_client *client,
                                const struct watch_options *options);
/* A WatchRequest. False: it does not decode. */
bool watch_receive(struct watch_stream *stream, struct bytes message);
/* Very many of its requests wait for apply: its owner should not hand over more until it hears of room. */
bool watch_full(const struct watch_stream *stream);
/*
 * The client took so much of its backlog that it is below WATCH_BACKLOG_LOW, having been above: watchers that
 * stopped may go on. (Watchers that had to stop earlier, because all clients together lag, find out by time.)
 */
void watch_drained(struct watch_stream *stream);
/* The RPC is over, whoever ended it. */
void watch_close(struct watch_stream *stream);

#endif
