/*
 * hub_state: what the files of watch/ share: the hub, its streams, and a watcher's life.
 *
 *   asked of apply ──▶ (created) ──▶ SYNCED ◀────────────────────┐
 *                          │           │ gap in the stream, slow │
 *                          ▼           ▼                         │
 *                       BEHIND ──▶ SCANNING ──▶ (ring) ──────────┘
 *                          ▲           │
 *                          └─ STOPPED ◀┘ the client does not take what it is given
 *
 * `next` is the first revision a watcher has not been given. While it is SYNCED, and no longer, it has also
 * been given everything up to the hub's position.
 */
#ifndef QUORATE_PROXY_WATCH_HUB_STATE_H
#define QUORATE_PROXY_WATCH_HUB_STATE_H

#include "proxy/proxy_role_state.h"
#include "proxy/watch/batch.h"
#include "proxy/watch/hub.h"
#include "proxy/watch/ranges.h"
#include "proxy/watch/ring.h"
#include "proxy/watch/watch.h"

enum watcher_state {
    WATCHER_ASKING,   /* apply has not answered; not among its stream's watchers yet */
    WATCHER_SYNCED,   /* member of the stream's lane */
    WATCHER_BEHIND,   /* waits to be fed from the ring or from history */
    WATCHER_SCANNING, /* member of a scan's lane */
    WATCHER_STOPPED,  /* waits for its client */
};

struct watcher {
    struct watch_stream *stream;
    struct interest *interest;
    int64_t id;
    int64_t next;
    int64_t covered; /* from here on the event stream has everything for it, unless it had a gap */
    uint32_t place;  /* in its lane */
    uint8_t state;   /* enum watcher_state */
    uint8_t lane;
    uint8_t filters; /* WATCH_NO_* */
    bool previous, fragment, notify;
    bool quiet; /* nothing was sent to it in the present progress interval */
};

struct watch_stream {
    struct watch_hub *hub;
    struct watch_client client;
    struct watch_options options;
    struct watch_stream *next, *previous; /* all of the hub */
    struct watcher **watchers;            /* created and not canceled, by id */
    size_t count, capacity;
    int64_t next_id;
    size_t asks;          /* its requests in the hub's queue: the stream's memory outlives them */
    size_t progress_asks; /* of them, for progress */
    size_t unsynced;      /* watchers that are not SYNCED */
    bool progress_wanted; /* asked for, and not all were SYNCED */
    bool ended;           /* by us or by its owner: nothing may be sent */
    bool closed;          /* by its owner */
};

/* A request that waits for apply's answer; all of the hub are answered in their order. */
enum ask_kind { ASK_CREATE, ASK_CANCEL, ASK_PROGRESS };
struct ask {
    struct ask *next;
    uint64_t id;
    struct watch_stream *stream;
    enum ask_kind kind;
    struct watcher *watcher; /* CREATE; NULL: refused already, with the reason */
    const char *reason;
    int64_t watch_id; /* CREATE: what the client wants (0: any), CANCEL */
    int64_t start_revision;
};

struct watch_hub {
    struct proxy_role *role;
    struct interest_index index;
    struct ranges ranges;
    bool ranges_changed; /* since they were told to apply */
    struct ring ring;
    int64_t position; /* the last revision of the event stream */
    struct batch batch;
    struct buffer scratch;
    struct buffer header; /* the ResponseHeader sent last, as field 1 */
    struct proxy_view header_view;
    int64_t header_revision;
    struct watch_stream *streams;
    size_t stream_count, watcher_count;
    struct ask *asks, *asks_end;
    struct ask *unsent; /* the first that is not on the link */
    size_t ask_count;
};

/* --- watcher.c --- */
void watcher_join(struct watcher *watcher, unsigned lane, enum watcher_state state);
/* Leaves its lane. */
void watcher_rest(struct watcher *watcher, enum watcher_state state);
void watcher_free(struct watcher *watcher);
bool watcher_wants(const struct watcher *watcher, const struct event *event);
/* It ends: its next revision is gone. */
void watcher_compacted(struct watcher *watcher, int64_t compacted);
/* Gives it what it has not been given of these events. */
void watcher_give(struct watcher *watcher, const struct encoded *events);

/* --- response.c --- */
struct response {
    int64_t revision; /* of the header; 0: left out */
    int64_t watch_id;
    bool created, canceled, fragment;
    int64_t compact_revision;
    const char *reason; /* NULL: none */
    struct bytes events;
};
void response_send(struct watch_stream *stream, const struct response *response);

/* --- stream.c --- */
struct watcher *stream_find(const struct watch_stream *stream, int64_t id);
void stream_add(struct watch_stream *stream, struct watcher *watcher);
void stream_remove(struct watch_stream *stream, const struct watcher *watcher);
/* Its last request was answered after it was closed. */
void stream_free_if_done(struct watch_stream *stream);
/* The latest revision we know of. */
int64_t hub_revision(const struct watch_hub *hub);

/* --- ask.c --- */
void ask_create(struct watch_stream *stream, const struct watch_create_request *request);
void ask_cancel(struct watch_stream *stream, int64_t watch_id);
void ask_progress(struct watch_stream *stream);
/* Puts what waits on the link, as far as that takes it. */
void ask_send(struct watch_hub *hub);
/* All that are unanswered are to be asked again. */
void ask_again(struct watch_hub *hub);
void ask_answered(struct watch_hub *hub, const struct bus_watch_answer *answer);
void ask_free_all(struct watch_hub *hub);

/* --- progress.c --- */
void progress_send_if_synced(struct watch_stream *stream);

/* --- hub.c --- */
/* What the round has brought so far goes out. */
void hub_deliver(struct watch_hub *hub);
/* The watcher is not SYNCED and has to get from `next` to the stream. */
void hub_catch_up(struct watcher *watcher);

#endif
