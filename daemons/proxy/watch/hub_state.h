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
    WATCHER_ENDED,    /* its history was compacted; its id is taken until the client cancels it, as in etcd */
};

struct watcher {
    struct watch_stream *stream;
    struct interest *interest; /* NULL: ENDED */
    int64_t id;
    int64_t start; /* the revision the client wants to start from; 0: the present */
    int64_t next;
    int64_t covered; /* from here on the event stream has everything for it, unless it had a gap */
    struct watcher *queue_next, *queue_previous;
    uint32_t place;      /* in its lane */
    uint32_t scan_place; /* among the members of its scan */
    uint8_t state;       /* enum watcher_state */
    uint8_t lane;
    uint8_t queue;   /* enum wait */
    uint8_t filters; /* WATCH_NO_* */
    bool previous, fragment, notify;
    bool quiet;  /* nothing was sent to it in the present progress interval */
    bool within; /* it was given a part of the events of revision `next`, as a fragment */
};

/* Where a watcher that is BEHIND waits. */
enum wait { WAIT_RING, WAIT_SHORT, WAIT_LONG, WAITS, WAIT_NONE = WAITS };
struct watcher_queue {
    struct watcher *head, *tail;
};

struct watch_stream {
    struct watch_hub *hub;
    struct watch_client client;
    struct watch_options options;
    struct watch_stream *next, *previous; /* all of the hub */
    struct watcher **watchers;            /* created and not canceled by the client, by id */
    size_t count, capacity;
    int64_t next_id;
    int64_t latest_start; /* no watcher starts later */
    size_t asks;          /* its requests in the hub's queue: the stream's memory outlives them */
    size_t progress_asks; /* of them, for progress */
    size_t unsynced;      /* watchers that are not SYNCED */
    size_t stopped;       /* of them, STOPPED */
    size_t notified;      /* watchers that want progress by themselves */
    uint64_t notify_us;   /* when they are looked at next */
    size_t backlog;       /* bytes its client has not taken, as last seen */
    uint64_t taken_us;    /* when the client last took some, or had none to take */
    size_t answers;       /* bytes of answers to its requests since the backlog was low */
    struct watch_stream *progress_next;
    bool progress_wanted; /* asked for, and not all were SYNCED: in the hub's list */
    bool ended;           /* by us or by its owner: nothing may be sent */
    bool closed;          /* by its owner */
};

/* A read of history for many watchers at once. */
enum { SCAN_MEMBERS = 1024 };
struct scan {
    struct proxy_call call; /* under way while there are members, and until the role says so */
    struct watch_hub *hub;
    struct watcher *members[SCAN_MEMBERS]; /* NULL: has left */
    uint32_t member_count;                 /* places in use */
    uint32_t staying;                      /* of them, still here */
    uint8_t lane;
    int64_t through;       /* everything up to here was given */
    int64_t open_revision; /* events of it have come, not all; 0: none */
    bool fragmented;       /* and were given as fragments */
    struct buffer body;    /* of the request */
    struct buffer held;    /* events of the open revision that were not given */
    size_t owed;           /* bytes taken that apply is not told of while a member is slow */
    uint64_t stalled_us;   /* since when; 0: not */
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
    struct watch_limits limits; /* with the defaults filled in */
    struct interest_index index;
    struct ranges ranges;
    bool ranges_changed; /* since they were told to apply */
    size_t released;     /* interests that went, or want less, since the ranges were made anew */
    struct ring ring;
    int64_t position; /* the last revision of the event stream */
    struct batch batch;
    struct encoded fed; /* scratch: what one watcher gets from the ring */
    struct watcher_queue queues[WAITS];
    struct scan scans[SCANS];
    uint64_t retry_us; /* after a scan failed: none is begun before */
    size_t backlog;    /* of all streams */
    struct buffer scratch;
    struct buffer header; /* the ResponseHeader sent last, as field 1 */
    struct proxy_view header_view;
    int64_t header_revision;
    struct watch_stream *streams;
    size_t stream_count, watcher_count;
    size_t needing_leader;         /* streams that end without one */
    size_t stopped, slow;          /* watchers: STOPPED; created and not SYNCED */
    uint64_t events_given;         /* not counted in metrics yet */
    uint64_t leaderless_us;        /* since when; 0: there is a leader */
    uint64_t check_us;             /* when streams are looked at for what nobody says */
    uint64_t notify_us;            /* when the next progress notification is due */
    uint64_t jitter;               /* state of a random sequence */
    struct watch_stream *progress; /* streams whose request for progress waits */
    bool progress_changed;         /* watchers of one of them have, since they were looked at */
    int64_t progress_start;        /* the earliest future that one of them waits for */
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
/* Its next revision is gone: it is ENDED. */
void watcher_compacted(struct watcher *watcher, int64_t compacted);
/*
 * Gives it what it has not been given of these events, or as much as its client's backlog allows: then it is
 * STOPPED. `more`: all are of one revision, of which more will come: they go out as fragments.
 */
void watcher_give(struct watcher *watcher, const struct encoded *events, bool more);
/* The revision it was given fragments of has no more events for it. */
void watcher_finish_fragments(struct watcher *watcher);

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

/* Ends the RPC. */
void stream_end(struct watch_stream *stream, uint16_t status);
/* And throws away what the client has not taken. */
void stream_cut(struct watch_stream *stream, uint16_t status);

/* --- flow.c --- */
/* May so many bytes of events be put on what the client has not taken yet? */
bool flow_admits(struct watch_stream *stream, size_t bytes);
/* So many bytes were put there. */
void flow_sent(struct watch_stream *stream, size_t bytes, bool answer);
/* A request has come. False: the client asks without end and reads nothing: the stream was ended. */
bool flow_hears(struct watch_stream *stream);
void flow_resume(struct watch_stream *stream);
void flow_forget(struct watch_stream *stream);
/* Looks at all streams with STOPPED watchers, and when all together have much at those that take nothing. */
void flow_check(struct watch_hub *hub);

/* --- queue.c --- */
/* The watcher is not SYNCED, or no longer, and has to get from `next` to the stream. */
void catch_up(struct watcher *watcher);
void queue_leave(struct watcher *watcher);
/* Feeds from the ring those who can be, within a bound. */
void queue_feed(struct watch_hub *hub);

/* --- scan.c --- */
void scan_begin_all(struct watch_hub *hub);
void scan_left(struct watcher *watcher);
/* Tells apply what was taken; ends what nobody needs any longer. */
void scan_check(struct watch_hub *hub);
bool scan_owes(const struct watch_hub *hub);
void scan_free_all(struct watch_hub *hub);

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
/* Once all of the stream's watchers are SYNCED, and there are some. What the round has brought must have gone
 * out.
 */
void progress_send_when_synced(struct watch_stream *stream);
void progress_forget(struct watch_stream *stream);
/* Its watchers have changed: a request that waits may be answered now. */
void progress_changed(const struct watch_stream *stream);
void progress_deferred(struct watch_hub *hub);
/* Another watcher of the stream wants notifications. */
void progress_notify(struct watch_stream *stream);
void progress_notify_all(struct watch_hub *hub);

/* --- hub.c --- */
/* What the round has brought so far goes out. */
void hub_deliver(struct watch_hub *hub);
static inline uint64_t hub_now_us(const struct watch_hub *hub) {
    return hub->role->timers.now_us;
}

#endif
