/*
 * reads_internal: the state shared by reads.c (queues), read_inline.c and read_lease.c (answering in the
 * round) and job_queue.c (jobs and their pace). Nobody else includes this.
 */
#ifndef QUORATE_APPLY_READS_INTERNAL_H
#define QUORATE_APPLY_READS_INTERNAL_H

#include "apply/job.h"
#include "apply/reads.h"
#include "apply/undelivered.h"

enum {
    JOB_BUCKETS = 1024,
    RECORD_BYTES = 64 * 1024,        /* of an answer that goes out in parts */
    SLICE_KEYS = 20000,              /* examined by a job before it makes room for others */
    WINDOW_BYTES = 1 << 20,          /* an answer may be so far ahead of its client */
    BUILD_BYTES = 4 << 20,           /* an answer is built whole up to this */
    WAITING_HOLD_BYTES = 1 << 20,    /* of a proxy's waiting reads: then its link is held */
    WAITING_REFUSE_BYTES = 16 << 20, /* then reads that come through raft are refused */
};

/* A request that waits: in the round's arena, or (waiting) allocated. */
struct read {
    struct read *next;
    uint64_t id;
    uint16_t method;
    uint64_t deadline_us; /* 0: none */
    size_t length;
    uint8_t data[];
};

struct read_queue {
    struct read *head, **tail;
};

struct proxy_slot {
    struct bus_link *link; /* NULL: no such proxy */
    struct read_queue waiting;
    size_t waiting_bytes;
    bool held;
    struct undelivered undelivered; /* while the link is down */
};

struct job_list {
    struct apply_job *head, **tail;
};

struct reads {
    struct mvcc *mvcc;
    struct reads_options options;
    struct answer_budget budget;
    struct proxy_slot slots[BUS_PROXY_SLOTS];
    struct arena arena; /* of the round */
    struct read_queue round;
    struct store_snapshot *snapshot; /* of the round; NULL until a job takes it */
    uint64_t term;
    bool serving;
    bool round_ends; /* inside reads_run */

    struct read_queue lease_waiting; /* requests to the lessor, allocated */
    size_t lease_waiting_bytes;
    bool lease_again; /* they are to be asked again */

    struct apply_job *buckets[JOB_BUCKETS]; /* jobs that answer, by id */
    struct job_list waiting;                /* for a snapshot */
    struct job_list urgent;                 /* ready: what takes no memory */
    struct job_list fresh, continued;       /* ready: first slice, further slices */
    bool nudged;                            /* a NUDGE is under way */
    struct job_list returned;
    size_t job_count;
    size_t held;        /* bytes of answers that jobs hold */
    size_t lease_lists; /* of lists of leases that were collected and are to be sorted */
    size_t out;         /* jobs at work */
    uint64_t now_us;
};

/* reads.c */
void reads_queue_init(struct read_queue *queue);
void reads_queue_append(struct read_queue *queue, struct read *read);
/* Whether something may be sent to the proxy now: up, not ahead of us. */
bool reads_may_answer(const struct reads *reads, uint8_t slot, int64_t revision);
/* Sends a result without body. */
void reads_refuse(struct reads *reads, uint64_t id, uint16_t status);

/* read_inline.c: answers the read, or makes it a job. */
void read_answer(struct reads *reads, const struct read *read);
/* Puts a whole body: as one record, or as an answer in parts. */
void read_put_body(struct reads *reads, uint64_t id, int64_t revision, struct bytes body);
/* A job that answers the read; it has the request, and nothing to run on yet. */
struct apply_job *job_of_read(struct reads *reads, const struct read *read, enum job_kind kind);

/* read_lease.c: answers the read, or makes it wait. */
void read_lease(struct reads *reads, const struct read *read);
/* At the end of a round: asks again for those that wait, if there is a reason. */
void read_lease_again(struct reads *reads);
/* Forgets the waiting ones for which `over` holds. */
void read_lease_drop(struct reads *reads, bool (*over)(const struct read *, uint64_t), uint64_t argument);

/* job_queue.c */
void job_add(struct reads *reads, struct apply_job *job);
struct apply_job *job_find(struct reads *reads, uint64_t id);
/* Asks for another slice. */
void job_make_ready(struct reads *reads, struct apply_job *job);
/* Sends what it has; then frees, parks or readies it. Not while it is taken. */
void job_advance(struct reads *reads, struct apply_job *job);
/* Frees it, now or when it comes back. */
void job_cancel(struct reads *reads, struct apply_job *job);
void job_take_returned(struct reads *reads);
/* Whether answers hold so much that large ones have to wait. */
bool job_memory_is_short(const struct reads *reads);
/* Then: gives up those whose clients take nothing. */
void job_relieve_memory(struct reads *reads, uint64_t now_us);
/* Calls visit for every job that answers; it may cancel the job it is given. */
void job_each(struct reads *reads, void (*visit)(struct reads *, struct apply_job *, const void *),
              const void *context);
/*
 * The job goes on over a snapshot at its revision, the present one: at once when possible, else in one of the
 * next rounds.
 */
void job_await_snapshot(struct reads *reads, struct apply_job *job);
/* The job goes on over the round's snapshot. */
void job_give_snapshot(struct reads *reads, struct apply_job *job);
/* Gives those that waited long enough the round's snapshot. */
void job_give_snapshots(struct reads *reads);

#endif
