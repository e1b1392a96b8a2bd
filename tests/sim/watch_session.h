/*
 * watch_session: one Watch RPC from its client's side: what was asked, what the proxy answered, and the
 * checks that need nothing but the stream itself.
 *
 * What the proxy commits stands in the stream's backlog until the client takes it; what was not taken when
 * the proxy dies is lost, and the client goes on from what it has. Every commit is checked (whoever may see
 * it):
 *   - it decodes, with a header of this node whose term does not go back;
 *   - creates are answered in order, each with the id it has to have; nothing is said of an id before its
 *     `created` or behind its `canceled`, nor of one that nobody asked for;
 *   - revisions ascend, all events of a revision come in one response (or group of fragments), fragments only
 * to who asked for them;
 *   - a refusal has etcd's reason, and is one only where there is a reason.
 * What the events must be is judged at the end of the run, by the log (watch_check.h), from the notes made
 * here.
 */
#ifndef QUORATE_SIM_WATCH_SESSION_H
#define QUORATE_SIM_WATCH_SESSION_H

#include "history.h"
#include "node.h"
#include "proxy/watch/watch.h"

enum watch_note_kind {
    NOTE_CREATED,  /* revision: of the store, as the header says */
    NOTE_EVENT,    /* revision: its own */
    NOTE_GROUP,    /* an empty last fragment; revision: of the events before */
    NOTE_PROGRESS, /* everything up to this revision has been said */
    NOTE_CANCELED, /* revision: the compacted one; 0: another reason */
    NOTE_FREED,    /* the id of one that was canceled as compacted is free again; never among the notes */
};

/* Something that was said of one subscription. */
struct watch_note {
    enum watch_note_kind kind;
    bool deleted;
    bool whole; /* events: the last one of a response that is no fragment, or the last fragment */
    uint64_t revision;
    uint64_t now, previous; /* fingerprints (kv.h); previous 0: no prev_kv */
    uint64_t durable;       /* entries that were durable then */
    uint64_t commit;        /* number of the response in its session */
};

/* What somebody wants to see, for as long as it takes: over many sessions, as clientv3's watcher. */
struct watch_wish {
    struct watch_wish *next;
    struct buffer key, range_end; /* as asked for; an empty key means "\0" */
    unsigned filters;             /* WATCH_NO_* */
    bool previous, fragment, progress;
    int64_t start; /* where the next subscription begins; 0: now */
    bool retired;  /* its client has lost interest */
    struct subscription *first, **last;
};

enum subscription_state {
    SUBSCRIPTION_ASKED,
    SUBSCRIPTION_LIVE,
    SUBSCRIPTION_HELD,    /* canceled as compacted; the id is taken until the client cancels as well */
    SUBSCRIPTION_LEAVING, /* the client has canceled */
    SUBSCRIPTION_ENDED,
};

/* A watcher's stay in one session. */
struct subscription {
    struct subscription *next; /* of the watcher */
    struct watch_wish *wish;
    struct watch_session *session;
    enum subscription_state state;
    int64_t start;
    int64_t wanted;      /* the id that was asked for; 0: any */
    int64_t id;          /* it has to get */
    const char *refusal; /* it has to be refused, with this reason; NULL: it has not */
    uint64_t revision;   /* of the last event */
    bool group_open;     /* the last response was a fragment, and not the last one */
    bool compacted;      /* canceled as such: nothing more may be said of it but that its id is free */
    struct history_mark before;
    struct watch_note *notes;
    size_t count, capacity;
};

/* A request for progress. */
struct progress_request {
    struct progress_request *next;
    struct history_mark before;
    uint64_t revision; /* of the answer; 0: none yet */
};

/* A response that waits to be taken. */
struct watch_told {
    struct subscription *subscription; /* NULL: all that were live then */
    enum watch_note_kind kind;
    bool whole;
    uint64_t revision, header_revision;
    size_t length;
};

struct watch_session {
    struct watch_session *next;
    struct world *world;
    struct history *history;
    struct node *node;
    unsigned number, slot;
    uint64_t incarnation;        /* of the proxy */
    struct watch_stream *stream; /* NULL: over */
    bool ended;                  /* by the proxy */
    uint16_t end_status;
    bool needs_leader;
    struct buffer response;
    struct subscription **subscriptions; /* in the order of their requests */
    size_t count, capacity, answered;
    int64_t next_id;
    uint64_t term;
    struct watch_told *queue; /* queue[taken - 1]: the last one taken */
    size_t commits, taken, queue_capacity;
    size_t backlog, backlog_factor;    /* the proxy is told backlog x factor */
    struct progress_request *progress; /* the last one first; one at a time is unanswered */
    void (*committed)(struct watch_session *session);
    void *owner;
};

struct watch_session *watch_session_new(struct node *node, struct history *history, unsigned slot);
void watch_session_free(struct watch_session *session);
/* These four inside the proxy. */
void watch_session_open(struct watch_session *session);
/* id 0: the proxy's choice. */
void watch_session_create(struct watch_session *session, struct watch_wish *wish, int64_t id);
void watch_session_cancel(struct watch_session *session, int64_t id);
/* One must not be under way already (watch_session_awaits_progress). */
void watch_session_ask_progress(struct watch_session *session);
void watch_session_close(struct watch_session *session);
/* The client takes the next response; false when there is none. */
bool watch_session_take(struct watch_session *session, struct watch_told *told);

static inline bool watch_session_awaits_progress(const struct watch_session *session) {
    return session->progress != NULL && session->progress->revision == 0;
}

bool watch_wish_covers(const struct watch_wish *wish, struct bytes key);
void watch_wish_free(struct watch_wish *wish);
const char *subscription_text(const struct subscription *subscription);

#endif
