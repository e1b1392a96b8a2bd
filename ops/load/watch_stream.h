/*
 * watch_stream: one Watch RPC with several watches on it, resumed like etcd's clientv3 does it, and what no
 * server may ever do to one of them.
 *
 * Happy path: the owner fills in connection, watchers and callbacks and calls watch_stream_open whenever the
 * connection is usable. All watchers are created in their order; each event goes to `event` once, `created`
 * says from which revision on a watcher watches.
 * Failure modes. When the RPC or its connection ends, `ended` is called and the owner opens it again: every
 * watcher goes on behind the last revision it has seen completely, by event or by progress. What contradicts
 * the contract of a watch (an event twice, out of order, a revision in two responses, an answer to nobody) is
 * told through `violated` in words.
 */
#ifndef QUORATE_LOAD_WATCH_STREAM_H
#define QUORATE_LOAD_WATCH_STREAM_H

#include "ops/load/grpc_client.h"
#include "ops/load/watch_message.h"

enum watcher_state {
    WATCHER_WAITING,   /* to be created */
    WATCHER_ASKED,     /* the request is sent */
    WATCHER_LIVE,      /* created */
    WATCHER_CANCELING, /* to be created anew once its end is confirmed */
};

struct watcher {
    /* The owner's. start_revision: of the first creation. */
    struct watch_create create;

    /* The stream's. */
    enum watcher_state state;
    int64_t id;            /* while live or canceling */
    int64_t next;          /* the revision to resume from; 0: never created yet */
    int64_t last;          /* of the last event; 0: none */
    struct watcher *queue; /* next one to be created */
};

struct watch_stream {
    /* The owner's. */
    struct grpc_connection *connection;
    struct watcher *watchers; /* an array; `stride` bytes from one to the next */
    size_t count, stride;
    bool one_by_one; /* a creation waits for the answer to the one before, as in clientv3 */
    void (*created)(struct watch_stream *stream, struct watcher *watcher, int64_t revision);
    void (*event)(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event);
    void (*progress)(struct watch_stream *stream, int64_t revision); /* may be NULL */
    void (*restarted)(struct watch_stream *stream,
                      struct watcher *watcher); /* no more events of the former */
    /* The server ended a watch because its next revision is compacted, it says, at `revision`. False, or
     * NULL: it should not have. Else `restarted` follows, and it is created as `create` says. */
    bool (*compacted)(struct watch_stream *stream, struct watcher *watcher, int64_t revision);
    void (*ended)(struct watch_stream *stream, unsigned outcome);
    void (*violated)(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                     int64_t before); /* watcher may be NULL */
    void *owner;

    /* The stream's. */
    struct grpc_call call;
    struct watcher **by_id;
    size_t ids, id_room;
    struct watcher *queue, **queue_end; /* asked ones first */
    size_t asked;
    struct buffer request;
};

/* Starts the RPC; it must not be running and the connection must be usable. */
void watch_stream_open(struct watch_stream *stream);
bool watch_stream_running(const struct watch_stream *stream);
/* Ends a live watch and creates it anew from start_revision (not 0). False: it is not live now. */
bool watch_stream_restart(struct watch_stream *stream, struct watcher *watcher, int64_t start_revision);
/* Asks how far all watches of the stream are. */
void watch_stream_ask_progress(struct watch_stream *stream);
void watch_stream_free(struct watch_stream *stream);

#endif
