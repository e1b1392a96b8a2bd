/*
 * job: a piece of work that runs outside the combiner, slice by slice: a Range, a transaction that only
 * reads, the events of the past, the keys of a lease, all leases, or a checkpoint. Or nothing but an answer
 * that waits for its client (ANSWER), or nothing at all, so that there is another round soon (NUDGE).
 *
 * Owner: reads.c inside the combiner, except between take and done, when the taker owns it; only `cancelled`
 * is touched by both.
 */
#ifndef QUORATE_APPLY_JOB_H
#define QUORATE_APPLY_JOB_H

#include <stdatomic.h>

#include "apply/watch/history_read.h"

enum job_kind {
    JOB_RANGE,
    JOB_TXN,
    JOB_HISTORY,
    JOB_LEASE_KEYS,
    JOB_LEASES,
    JOB_ANSWER,
    JOB_CHECKPOINT,
    JOB_NUDGE
};
enum job_state { JOB_WAITING, JOB_READY, JOB_TAKEN, JOB_RETURNED, JOB_PARKED };

struct apply_job {
    struct apply_job *next;  /* in a queue */
    struct apply_job *chain; /* all jobs of one hash bucket */
    enum job_kind kind;
    enum job_state state;
    uint64_t id;
    uint8_t slot;
    uint64_t deadline_us; /* 0: none */
    atomic_bool cancelled;
    unsigned slices; /* run so far */

    struct store *store;
    struct recent_mark mark;         /* WAITING for a snapshot */
    struct store_snapshot *snapshot; /* a reference of ours; NULL: only RANGE, TXN, LEASE_KEYS have one */
    /* The request, which `range.request` borrows from; LEASES: what lessor_list brought; or a directory. */
    struct buffer body;

    struct range_read range; /* RANGE */
    struct view view;        /* TXN */
    struct history_read history;
    int64_t lease; /* LEASE_KEYS */
    struct buffer
        answer; /* TXN, LEASE_KEYS, LEASES, ANSWER: the whole body; CHECKPOINT: the value read back */
    int result; /* CHECKPOINT: 0 or -errno */

    /* set by the owner for the next slice; set by the slice */
    struct range_slice slice;
    bool finished;
    uint16_t status;
    int64_t revision;

    /* pacing */
    bool begun;         /* the first part was sent */
    size_t sent_of_out; /* bytes of the present output that were sent */
    size_t part_at;     /* next of job_parts */
    uint64_t total, sent, consumed;
    uint64_t progress_us; /* when the client last took something */
    size_t held;          /* bytes of output, as counted in reads->held */
};

struct apply_job *job_new(enum job_kind kind, uint64_t id, uint8_t slot);
void job_free(struct apply_job *job);
/* What is to be sent now; empty while the answer is being built. */
struct buffer *job_output(struct apply_job *job);
/* The uint32_t lengths of the parts that the output consists of; NULL: it is one body. */
const struct buffer *job_parts(const struct apply_job *job);
/* Memory that the output takes. */
size_t job_output_memory(const struct apply_job *job);
/* The output is empty, and stays so for a while. */
void job_trim(struct apply_job *job);
/* The output was sent whole. */
void job_output_sent(struct apply_job *job);

#endif
