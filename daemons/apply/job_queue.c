/*
 * job_queue: jobs from the round that makes them to the last byte that the client took.
 *
 * Memory. What jobs hold of answers that cannot go yet is counted. Above HELD_LIMIT (and, for all but first
 * slices, beyond OUT_LIMIT jobs at work) further slices wait; and while they do, answers whose clients have
 * taken nothing for STALL_US are given up: a client that never reads must not hold the memory that others
 * wait for.
 *
 * WAITING (for a snapshot) -> READY (in a queue) -> TAKEN -> RETURNED -> its output is sent -> READY again,
 * or PARKED while the link is full or the client is a window behind, or freed. A job cancelled while it is in
 * somebody's hands or queue is freed when it comes out.
 */
#include "apply/reads_internal.h"
#include "common/log.h"

enum {
    LARGEST_ANSWER = INT32_MAX,
    SMALLEST_WINDOW = 64 * 1024,
    HELD_LIMIT = 128 << 20,
    OUT_LIMIT = 16,
    STALL_US = 2000000
};

static void list_append(struct job_list *list, struct apply_job *job) {
    job->next = NULL;
    *list->tail = job;
    list->tail = &job->next;
}

static struct apply_job *list_take(struct job_list *list) {
    struct apply_job *job = list->head;
    if (job == NULL)
        return NULL;
    list->head = job->next;
    if (list->head == NULL)
        list->tail = &list->head;
    return job;
}

static struct apply_job **bucket_of(struct reads *reads, uint64_t id) {
    return &reads->buckets[(id ^ id >> 42) % JOB_BUCKETS];
}

struct apply_job *job_find(struct reads *reads, uint64_t id) {
    struct apply_job *job = reads->job_count == 0 ? NULL : *bucket_of(reads, id);
    while (job != NULL && job->id != id)
        job = job->chain;
    return job;
}

void job_add(struct reads *reads, struct apply_job *job) {
    struct apply_job **bucket = bucket_of(reads, job->id);
    job->state = JOB_PARKED;
    job->chain = *bucket;
    *bucket = job;
    job->progress_us = reads->now_us;
    reads->job_count++;
}

/* Counts what the job's output takes now. */
static void account(struct reads *reads, struct apply_job *job) {
    size_t held = job_output_memory(job);
    reads->held += held - job->held;
    job->held = held;
}

bool job_memory_is_short(const struct reads *reads) {
    return reads->held >= HELD_LIMIT;
}

static void forget_list(struct reads *reads, struct apply_job *job) {
    if (job->kind != JOB_LEASES)
        return;
    reads->lease_lists -= job->body.length;
    buffer_free(&job->body);
}

static void unlink_job(struct reads *reads, struct apply_job *job) {
    struct apply_job **place = bucket_of(reads, job->id);
    while (*place != job)
        place = &(*place)->chain;
    *place = job->chain;
    forget_list(reads, job);
    reads->held -= job->held;
    reads->job_count--;
}

static void end_job(struct reads *reads, struct apply_job *job) {
    unlink_job(reads, job);
    job_free(job);
}

void reads_nudge(struct reads *reads) {
    if (reads->nudged)
        return;
    reads->nudged = true;
    struct apply_job *job = job_new(JOB_NUDGE, 0, 0);
    job->state = JOB_READY;
    list_append(&reads->urgent, job);
}

void job_give_snapshot(struct reads *reads, struct apply_job *job) {
    struct store *store = reads->mvcc->store;
    if (reads->snapshot == NULL)
        reads->snapshot = store->operations->snapshot(store);
    job->snapshot = store->operations->retain(reads->snapshot);
    struct view view = mvcc_view(reads->mvcc, job->snapshot);
    view.revision = job->revision;
    view.store_flags = STORE_SCAN;
    job->view = job->range.view = view;
    job_make_ready(reads, job);
}

void job_await_snapshot(struct reads *reads, struct apply_job *job) {
    account(reads, job);
    job->mark = mvcc_request_snapshot(reads->mvcc);
    job->state = JOB_WAITING;
    list_append(&reads->waiting, job);
}

void job_give_snapshots(struct reads *reads) {
    while (reads->waiting.head != NULL) {
        struct apply_job *job = reads->waiting.head;
        bool cancelled = atomic_load(&job->cancelled);
        if (!cancelled && !mvcc_snapshot_ready(reads->mvcc, job->mark)) {
            reads_nudge(reads);
            return;
        }
        list_take(&reads->waiting);
        if (cancelled)
            end_job(reads, job);
        else
            job_give_snapshot(reads, job);
    }
}

/* How far an answer may be ahead of its client: less when there are many. */
static size_t window(const struct reads *reads) {
    size_t share = reads->budget.limit / (reads->job_count + 1);
    if (share > WINDOW_BYTES)
        return WINDOW_BYTES;
    return share < SMALLEST_WINDOW ? SMALLEST_WINDOW : share;
}

static size_t window_left(const struct reads *reads, const struct apply_job *job) {
    uint64_t ahead = job->sent - job->consumed;
    size_t limit = window(reads);
    return ahead >= limit ? 0 : limit - (size_t)ahead;
}

void job_make_ready(struct reads *reads, struct apply_job *job) {
    size_t left = window_left(reads, job);
    job->slice =
        (struct range_slice){.keys = SLICE_KEYS, .bytes = left < RANGE_PART_BYTES ? left : RANGE_PART_BYTES};
    job->state = JOB_READY;
    list_append(job->slices == 0 && job_parts(job) == NULL ? &reads->fresh : &reads->continued, job);
}

void job_cancel(struct reads *reads, struct apply_job *job) {
    atomic_store(&job->cancelled, true);
    if (job->state == JOB_PARKED)
        end_job(reads, job);
}

/* The next record's bytes; a stream's are one part. */
static struct bytes next_chunk(struct apply_job *job, const struct buffer *out) {
    size_t length = out->length - job->sent_of_out;
    const struct buffer *parts = job_parts(job);
    if (parts != NULL) {
        uint32_t part = 0;
        memcpy(&part, parts->data + job->part_at * sizeof part, sizeof part);
        length = part;
    } else if (length > RECORD_BYTES) {
        length = RECORD_BYTES;
    }
    return bytes_of(out->data + job->sent_of_out, length);
}

static void send_chunk(struct reads *reads, struct apply_job *job, struct buffer *out) {
    struct bytes chunk = next_chunk(job, out);
    bool last = job->finished && job->sent_of_out + chunk.length == out->length;
    bool stream = job_parts(job) != NULL;
    struct bus_result result = {.id = job->id,
                                .status = STATUS_OK,
                                .more = !last,
                                .header = stream ? last : !job->begun,
                                .revision = (uint64_t)job->revision,
                                .total = stream ? 0 : job->total,
                                .term = reads->term,
                                .body = chunk};
    bus_put_result(reads->slots[job->slot].link, BUS_APPLY_RESULT, &result);
    job->begun = true;
    job->sent += chunk.length;
    job->sent_of_out += chunk.length;
    job->part_at++;
}

/* False: something is left that cannot go now. */
static bool send_output(struct reads *reads, struct apply_job *job) {
    struct buffer *out = job_output(job);
    struct bus_link *link = reads->slots[job->slot].link;
    while (job->sent_of_out < out->length) {
        if (window_left(reads, job) == 0 || bus_link_room(link) == 0)
            return false;
        send_chunk(reads, job, out);
    }
    if (out->length > 0)
        job_output_sent(job);
    return true;
}

/* An answer that turned out to be empty still has to be said. */
static void send_empty(struct reads *reads, const struct apply_job *job) {
    bus_put_result(reads->slots[job->slot].link, BUS_APPLY_RESULT,
                   &(struct bus_result){.id = job->id,
                                        .status = STATUS_OK,
                                        .header = true,
                                        .revision = (uint64_t)job->revision,
                                        .term = reads->term});
}

/* Compaction may take history away from a read that is under way, but only below the compacted revision. */
static void check_missing(const struct reads *reads, const struct apply_job *job) {
    int64_t missing = job->kind == JOB_RANGE ? job->range.view.missing : job->view.missing;
    if (missing != 0 && missing >= reads->mvcc->compacted)
        LOG_FATAL("the database lacks a record of its history; remove the member's data and let it rejoin",
                  F_I64("read-revision", missing), F_I64("compact-revision", reads->mvcc->compacted));
}

void job_advance(struct reads *reads, struct apply_job *job) {
    job->state = JOB_PARKED;
    check_missing(reads, job);
    if (job->finished && job->status == STATUS_OK && job->total > LARGEST_ANSWER)
        job->status = STATUS_TOO_MANY_REQUESTS;
    if (job->finished && job->status != STATUS_OK) {
        reads_refuse(reads, job->id, job->status);
        end_job(reads, job);
        return;
    }
    bool sent = send_output(reads, job);
    if (sent && job->finished) {
        if (!job->begun)
            send_empty(reads, job);
        end_job(reads, job);
        return;
    }
    if (sent && window_left(reads, job) >= SMALLEST_WINDOW / 2)
        job_make_ready(reads, job);
    else if (sent)
        job_trim(job);
    account(reads, job);
}

/* An answer that has begun cannot be refused any more: with this the proxy resets its stream. */
static void give_up_stalled(struct reads *reads, struct apply_job *job, const void *context) {
    const uint64_t *now_us = context;
    if (job->state != JOB_PARKED || job->held == 0 || *now_us - job->progress_us < STALL_US)
        return;
    reads_refuse(reads, job->id, STATUS_TOO_MANY_REQUESTS);
    end_job(reads, job);
}

void job_relieve_memory(struct reads *reads, uint64_t now_us) {
    if (job_memory_is_short(reads) && (reads->fresh.head != NULL || reads->continued.head != NULL))
        job_each(reads, give_up_stalled, &now_us);
}

void job_take_returned(struct reads *reads) {
    struct apply_job *job = NULL;
    while ((job = list_take(&reads->returned)) != NULL) {
        job->state = JOB_PARKED;
        if (atomic_load(&job->cancelled)) {
            end_job(reads, job);
            continue;
        }
        if (job->kind == JOB_HISTORY && !history_read_check(&job->history, reads->mvcc->compacted))
            job->finished = true;
        job_advance(reads, job);
    }
}

void job_each(struct reads *reads, void (*visit)(struct reads *, struct apply_job *, const void *),
              const void *context) {
    for (size_t bucket = 0; bucket < JOB_BUCKETS && reads->job_count > 0; bucket++) {
        struct apply_job *next = NULL;
        for (struct apply_job *job = reads->buckets[bucket]; job != NULL; job = next) {
            next = job->chain;
            visit(reads, job, context);
        }
    }
}

void reads_queue_checkpoint(struct reads *reads, struct apply_job *job) {
    job->state = JOB_READY;
    list_append(&reads->urgent, job);
}

static struct apply_job *take_ready(struct reads *reads) {
    struct apply_job *job = list_take(&reads->urgent);
    if (job != NULL || job_memory_is_short(reads))
        return job;
    job = list_take(&reads->fresh);
    if (job == NULL && reads->out < OUT_LIMIT)
        job = list_take(&reads->continued);
    return job;
}

/* Checkpoints do not come back here. */
static bool counts_as_out(const struct apply_job *job) {
    return job->kind != JOB_CHECKPOINT && job->kind != JOB_NUDGE;
}

struct apply_job *reads_take_job(struct reads *reads) {
    for (;;) {
        struct apply_job *job = take_ready(reads);
        if (job == NULL)
            return NULL;
        job->state = JOB_TAKEN;
        if (!atomic_load(&job->cancelled)) {
            reads->out += counts_as_out(job);
            return job;
        }
        end_job(reads, job);
    }
}

void reads_job_done(struct reads *reads, struct apply_job *job) {
    if (job->kind == JOB_NUDGE) {
        reads->nudged = false;
        job_free(job);
        return;
    }
    reads->out--;
    forget_list(reads, job);
    account(reads, job);
    job->state = JOB_RETURNED;
    list_append(&reads->returned, job);
}

size_t reads_job_count(const struct reads *reads) {
    return reads->job_count;
}
