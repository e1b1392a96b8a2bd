/*
 * history: what clients asked and what they were told, and the judgement on it at the end of a run.
 *
 * Every request carries a tag of its own in a field that etcd's messages do not have (ignored by all, as
 * unknown fields are), so that its bytes can be found again in the log, whatever they ask for.
 *
 * history_check() executes the log with the reference model and demands, beside each rule's place there:
 *   - a tag stands at most once in the log, an id too; a request's bytes are unchanged and under its id;
 *   - what was acknowledged is in the log, was durable when it was, and was answered as the reference does;
 *   - what was refused is not in the log;
 *   - every read shows exactly the reference's state at the revision it names, which had become durable;
 *   - real time: whatever began after an answer was there sees that answer's state or a newer one. This holds
 *     for serializable reads too, as the node has one member (per proxy process; for all when `strict`);
 *   - compaction: what a compaction took away before a read began is refused, and nothing else is.
 * What watchers and lease holders were told is judged in watch_check.c and lease_check.c.
 */
#ifndef QUORATE_SIM_HISTORY_H
#define QUORATE_SIM_HISTORY_H

#include "log_truth.h"
#include "proxy/proxy_role.h"
#include "world.h"

enum operation_end {
    OPERATION_PENDING,
    OPERATION_ANSWERED,
    OPERATION_ABANDONED, /* cancelled, or its proxy died: nobody was told anything */
};

/* A moment: the largest revision and log index that any client had been told of by then. */
struct history_mark {
    uint64_t revision, index;
};

struct operation {
    struct proxy_call call; /* first: results are cast back */
    struct history *history;
    struct asker *asker;                        /* who put it to the proxy */
    void (*ended)(struct operation *operation); /* told once it has; NULL: nobody */
    void *context;                              /* of `ended` */
    uint64_t tag;
    unsigned client, slot;
    uint64_t proxy_incarnation;
    struct buffer body;
    enum operation_end end;
    uint16_t status;
    uint64_t revision;
    struct buffer answer;
    uint64_t announced; /* length of an answer in parts, as its first part said; 0: one part */
    size_t taken;       /* bytes of the answer the client has not reported as taken yet */
    uint64_t id;        /* the last one it was given */
    uint64_t durable;   /* index that was durable when it was answered */
    uint64_t started_us, ended_us;
    /* Filled in by history_check(): */
    uint64_t index;             /* in the log; 0: not there */
    struct history_mark before; /* when it began */
};

/* An operation begins or ends, a moment is marked, or (all else empty) a client was told of a revision. */
struct history_event {
    struct operation *operation;
    bool start;
    struct history_mark *mark;
    uint64_t revision;
};

struct history {
    struct world *world;
    struct operation **operations; /* operations[tag - 1] */
    size_t count, capacity;
    struct history_event *events;
    size_t event_count, event_capacity;
    size_t pending;
    uint64_t told; /* largest revision given to history_told() */
};

enum { TAG_FIELD = 1000 };

void history_init(struct history *history, struct world *world);
void history_free(struct history *history);
/* A new operation, with its tag, not begun. Lives as long as the history. */
struct operation *history_add(struct history *history);
void history_begin(struct operation *operation);
void history_end(struct operation *operation, enum operation_end end);
/* The mark is filled in by history_check() with what had been told by now. It must stay where it is. */
void history_mark_now(struct history *history, struct history_mark *mark);
/* Some client was told, otherwise than by an operation, that the store has reached this revision. */
void history_told(struct history *history, uint64_t revision);
/* One line about it, for failures and the trace. Valid until the next call. */
const char *operation_text(const struct operation *operation);

struct judge;
/* Executes the judge's log and compares all answers with it. Notes failures in the world. */
void history_check(struct judge *judge, bool strict);

#endif
