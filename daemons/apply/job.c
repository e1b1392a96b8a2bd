/* job: see job.h. */
#include "apply/job.h"

#include <stdlib.h>

#include "apply/apply_role.h"
#include "apply/lease/lease_message.h"
#include "apply/mvcc/mvcc.h"
#include "apply/mvcc/txn.h"

struct apply_job *job_new(enum job_kind kind, uint64_t id, uint8_t slot) {
    struct apply_job *job = must_zalloc(sizeof *job);
    job->kind = kind;
    job->id = id;
    job->slot = slot;
    atomic_init(&job->cancelled, false);
    return job;
}

void job_free(struct apply_job *job) {
    if (job->kind == JOB_RANGE)
        range_read_free(&job->range);
    if (job->kind == JOB_HISTORY)
        history_read_free(&job->history);
    if (job->snapshot != NULL)
        job->store->operations->release_snapshot(job->snapshot);
    buffer_free(&job->body);
    buffer_free(&job->answer);
    free(job);
}

bool apply_job_is_long(const struct apply_job *job) {
    return job->slices > 0 || job->kind == JOB_CHECKPOINT;
}

static void run_range(struct apply_job *job) {
    job->finished = range_read_step(&job->range, job->slice);
    job->status = job->range.status;
    job->total = job->range.total;
}

/* One slice whatever its size: a transaction's ranges are few and it is the client that chose them. */
static void run_txn(struct apply_job *job) {
    struct txn_read_limits limits = {
        .keys = UINT64_MAX, .bytes = MVCC_ANSWER_LIMIT, .cancelled = &job->cancelled};
    job->answer.length = 0;
    job->status = txn_read(&job->view, buffer_bytes(&job->body), &limits, &job->answer);
    if (job->status == TXN_READ_TOO_LARGE)
        job->status = STATUS_TOO_MANY_REQUESTS;
    job->finished = true;
    job->total = job->answer.length;
}

static void run_lease_keys(struct apply_job *job) {
    struct lease_walk walk;
    struct bytes key;
    lease_walk_open(&walk, job->store, job->snapshot, job->lease);
    while (job->status == STATUS_OK && !atomic_load(&job->cancelled) && lease_walk_next(&walk, &key)) {
        lease_message_put_key(&job->answer, key);
        if (job->answer.length > MVCC_ANSWER_LIMIT)
            job->status = STATUS_TOO_MANY_REQUESTS;
    }
    lease_walk_close(&walk);
    job->finished = true;
    job->total = job->answer.length;
}

static void run_leases(struct apply_job *job) {
    lease_message_put_list(&job->answer, &job->body);
    job->finished = true;
    job->total = job->answer.length;
}

static void run_checkpoint(struct apply_job *job) {
    buffer_append_byte(&job->body, 0);
    job->result = job->store->operations->checkpoint(job->store, (const char *)job->body.data,
                                                     mvcc_applied_key(), &job->answer);
    job->body.length--;
    job->finished = true;
}

void apply_job_run(struct apply_job *job) {
    job->slices++;
    if (atomic_load(&job->cancelled) && job->kind != JOB_CHECKPOINT)
        return;
    switch (job->kind) {
    case JOB_RANGE:
        run_range(job);
        break;
    case JOB_TXN:
        run_txn(job);
        break;
    case JOB_HISTORY:
        job->finished = history_read_step(&job->history, job->slice);
        break;
    case JOB_LEASE_KEYS:
        run_lease_keys(job);
        break;
    case JOB_LEASES:
        run_leases(job);
        break;
    case JOB_CHECKPOINT:
        run_checkpoint(job);
        break;
    case JOB_ANSWER:
    case JOB_NUDGE:
        break;
    }
}

struct buffer *job_output(struct apply_job *job) {
    static struct buffer nothing;
    if (job->kind == JOB_HISTORY)
        return &job->history.out;
    if (job->kind == JOB_RANGE)
        return range_read_ready(&job->range) ? &job->range.out : &nothing;
    return job->finished ? &job->answer : &nothing;
}

const struct buffer *job_parts(const struct apply_job *job) {
    if (job->kind == JOB_HISTORY)
        return &job->history.parts;
    return job->kind == JOB_RANGE && job->range.stream ? &job->range.parts : NULL;
}

size_t job_output_memory(const struct apply_job *job) {
    switch (job->kind) {
    case JOB_RANGE:
        return job->answer.capacity + job->range.out.capacity;
    case JOB_HISTORY:
        return job->history.out.capacity + job->history.part.capacity;
    default:
        return job->answer.capacity;
    }
}

void job_trim(struct apply_job *job) {
    if (job->kind == JOB_RANGE)
        buffer_free(&job->range.out);
    if (job->kind == JOB_HISTORY)
        buffer_free(&job->history.out);
}

void job_output_sent(struct apply_job *job) {
    job->sent_of_out = 0;
    job->part_at = 0;
    if (job->kind == JOB_RANGE)
        range_read_sent(&job->range);
    else if (job->kind == JOB_HISTORY)
        history_read_sent(&job->history);
    else
        buffer_free(&job->answer);
}
