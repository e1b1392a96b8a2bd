/* reads: see reads.h. This file holds the queues; answering is in read_inline.c, jobs are in job_queue.c. */
#include "apply/reads_internal.h"

#include <stdlib.h>

void reads_queue_init(struct read_queue *queue) {
    queue->head = NULL;
    queue->tail = &queue->head;
}

void reads_queue_append(struct read_queue *queue, struct read *read) {
    read->next = NULL;
    *queue->tail = read;
    queue->tail = &read->next;
}

static struct read *queue_take(struct read_queue *queue) {
    struct read *read = queue->head;
    if (read == NULL)
        return NULL;
    queue->head = read->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    return read;
}

struct reads *reads_new(struct mvcc *mvcc, const struct reads_options *options) {
    struct reads *reads = must_zalloc(sizeof *reads);
    reads->mvcc = mvcc;
    reads->options = *options;
    reads->budget.limit = (size_t)options->answer_bytes;
    atomic_init(&reads->budget.used, 0);
    reads_queue_init(&reads->round);
    reads_queue_init(&reads->lease_waiting);
    for (int slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        reads_queue_init(&reads->slots[slot].waiting);
    reads->waiting.tail = &reads->waiting.head;
    reads->urgent.tail = &reads->urgent.head;
    reads->fresh.tail = &reads->fresh.head;
    reads->continued.tail = &reads->continued.head;
    reads->returned.tail = &reads->returned.head;
    return reads;
}

void reads_free(struct reads *reads) {
    for (uint8_t slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        reads_forget_proxy(reads, slot);
        undelivered_clear(&reads->slots[slot].undelivered);
    }
    job_take_returned(reads);
    job_give_snapshots(reads);
    struct apply_job *job = NULL;
    while ((job = reads_take_job(reads)) != NULL)
        job_free(job); /* checkpoints and nudges; all others are cancelled */
    arena_free(&reads->arena);
    free(reads);
}

void reads_set_link(struct reads *reads, uint8_t slot, struct bus_link *link) {
    reads->slots[slot].link = link;
}

void reads_set_term(struct reads *reads, uint64_t term) {
    reads->term = term;
}

void reads_serve(struct reads *reads) {
    reads->serving = true;
}

bool reads_may_answer(const struct reads *reads, uint8_t slot, int64_t revision) {
    struct bus_link *link = slot < BUS_PROXY_SLOTS ? reads->slots[slot].link : NULL;
    const struct bus_hello *peer = link == NULL ? NULL : bus_link_peer(link);
    return peer != NULL && peer->position <= (uint64_t)revision;
}

void reads_refuse(struct reads *reads, uint64_t id, uint16_t status) {
    struct bus_link *link = reads->slots[bus_id_slot(id)].link;
    bus_put_result(link, BUS_APPLY_RESULT,
                   &(struct bus_result){.id = id,
                                        .status = status,
                                        .header = true,
                                        .revision = (uint64_t)reads->mvcc->revision,
                                        .term = reads->term});
}

static void read_fill(struct read *read, const struct bus_request *request, uint64_t now_us) {
    read->id = request->id;
    read->method = request->method;
    read->deadline_us = request->time_left == 0 ? 0 : now_us + (uint64_t)request->time_left * 1000;
    read->length = request->body.length;
    if (request->body.length != 0)
        memcpy(read->data, request->body.data, request->body.length);
}

void reads_add(struct reads *reads, const struct bus_request *request, uint64_t now_us) {
    uint8_t slot = bus_id_slot(request->id);
    if (slot >= BUS_PROXY_SLOTS || reads->slots[slot].link == NULL ||
        !bus_link_is_up(reads->slots[slot].link))
        return;
    struct read *read = arena_alloc(&reads->arena, sizeof *read + request->body.length);
    read_fill(read, request, now_us);
    reads_queue_append(&reads->round, read);
}

/* Removes the read with this id. */
static bool queue_remove(struct read_queue *queue, uint64_t id, bool allocated, size_t *bytes) {
    for (struct read **place = &queue->head; *place != NULL; place = &(*place)->next) {
        struct read *read = *place;
        if (read->id != id)
            continue;
        *place = read->next;
        if (read->next == NULL)
            queue->tail = place;
        *bytes -= allocated ? sizeof *read + read->length : 0;
        if (allocated)
            free(read);
        return true;
    }
    return false;
}

void reads_cancel(struct reads *reads, uint64_t id) {
    uint8_t slot = bus_id_slot(id);
    if (slot >= BUS_PROXY_SLOTS)
        return;
    size_t unused = 0;
    struct apply_job *job = job_find(reads, id);
    if (job != NULL)
        job_cancel(reads, job);
    else if (!queue_remove(&reads->round, id, false, &unused))
        queue_remove(&reads->slots[slot].waiting, id, true, &reads->slots[slot].waiting_bytes);
}

void reads_consumed(struct reads *reads, uint64_t id, uint64_t bytes) {
    struct apply_job *job = job_find(reads, id);
    if (job == NULL)
        return;
    job->consumed += bytes;
    if (job->consumed > job->sent)
        job->consumed = job->sent;
    job->progress_us = reads->now_us;
    if (job->state == JOB_PARKED)
        job_advance(reads, job);
}

static void cancel_of_slot(struct reads *reads, struct apply_job *job, const void *context) {
    const uint8_t *slot = context;
    if (job->slot == *slot)
        job_cancel(reads, job);
}

static bool is_of_slot(const struct read *read, uint64_t slot) {
    return bus_id_slot(read->id) == slot;
}

/* The round's reads of the slot stay queued: reads_run finds its link down. */
void reads_forget_proxy(struct reads *reads, uint8_t slot) {
    struct proxy_slot *proxy = &reads->slots[slot];
    struct read *read = NULL;
    while ((read = queue_take(&proxy->waiting)) != NULL)
        free(read);
    proxy->waiting_bytes = 0;
    read_lease_drop(reads, is_of_slot, slot);
    job_each(reads, cancel_of_slot, &slot);
}

void reads_deliver(struct reads *reads, const struct outcome *outcome) {
    uint8_t slot = bus_id_slot(outcome->id);
    if (slot >= BUS_PROXY_SLOTS || reads->slots[slot].link == NULL)
        return;
    if (!bus_link_is_up(reads->slots[slot].link)) {
        undelivered_keep(&reads->slots[slot].undelivered, outcome);
        return;
    }
    if (!reads_may_answer(reads, slot, outcome->revision))
        return;
    if (outcome->status == STATUS_OK)
        read_put_body(reads, outcome->id, outcome->revision, outcome->body);
    else
        reads_refuse(reads, outcome->id, outcome->status);
}

void reads_meet_proxy(struct reads *reads, uint8_t slot) {
    struct undelivered_result *result = NULL;
    while (bus_link_is_up(reads->slots[slot].link) &&
           (result = undelivered_take(&reads->slots[slot].undelivered)) != NULL) {
        reads_deliver(reads, &result->outcome);
        free(result);
    }
}

/* --- running --- */

static bool blocked(const struct reads *reads, uint8_t slot) {
    return !reads->serving || !reads_may_answer(reads, slot, reads->mvcc->revision) ||
           bus_link_room(reads->slots[slot].link) == 0;
}

static void make_wait(struct reads *reads, uint8_t slot, const struct read *read) {
    struct proxy_slot *proxy = &reads->slots[slot];
    size_t size = sizeof *read + read->length;
    if (proxy->waiting_bytes + size > WAITING_REFUSE_BYTES) {
        reads_refuse(reads, read->id, STATUS_TOO_MANY_REQUESTS);
        return;
    }
    struct read *copy = memcpy(must_alloc(size), read, size);
    reads_queue_append(&proxy->waiting, copy);
    proxy->waiting_bytes += size;
}

static void run_round(struct reads *reads) {
    struct read *read = NULL;
    while ((read = queue_take(&reads->round)) != NULL) {
        uint8_t slot = bus_id_slot(read->id);
        if (!bus_link_is_up(reads->slots[slot].link))
            continue;
        if (reads->slots[slot].waiting.head != NULL || blocked(reads, slot))
            make_wait(reads, slot, read);
        else
            read_answer(reads, read);
    }
}

static void run_waiting(struct reads *reads, uint8_t slot) {
    struct proxy_slot *proxy = &reads->slots[slot];
    while (proxy->waiting.head != NULL && !blocked(reads, slot)) {
        struct read *read = queue_take(&proxy->waiting);
        proxy->waiting_bytes -= sizeof *read + read->length;
        read_answer(reads, read);
        free(read);
    }
    bool hold = proxy->waiting_bytes > WAITING_HOLD_BYTES;
    if (proxy->link != NULL && hold != proxy->held)
        bus_link_hold(proxy->link, hold);
    proxy->held = hold;
}

static void release_round_snapshot(struct reads *reads) {
    if (reads->snapshot != NULL)
        reads->mvcc->store->operations->release_snapshot(reads->snapshot);
    reads->snapshot = NULL;
}

void reads_run(struct reads *reads) {
    reads->round_ends = true;
    read_lease_again(reads);
    for (uint8_t slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        if (reads->slots[slot].waiting.head != NULL || reads->slots[slot].held)
            run_waiting(reads, slot);
    }
    run_round(reads);
    job_take_returned(reads);
    job_give_snapshots(reads);
    release_round_snapshot(reads);
    arena_reset(&reads->arena);
    reads->round_ends = false;
}

static void advance_parked(struct reads *reads, struct apply_job *job, const void *context) {
    const uint8_t *slot = context;
    if (job->slot == *slot && job->state == JOB_PARKED)
        job_advance(reads, job);
}

void reads_room(struct reads *reads, uint8_t slot) {
    job_each(reads, advance_parked, &slot);
    run_waiting(reads, slot);
    job_give_snapshots(reads);
    release_round_snapshot(reads);
}

/* The deadline is for getting an answer. How long one that has begun may take is for the proxy to say, by a
 * cancel: ended here, it would leave a client waiting for the rest. */
static void expire_job(struct reads *reads, struct apply_job *job, const void *context) {
    const uint64_t *now_us = context;
    if (!job->begun && job->deadline_us != 0 && job->deadline_us <= *now_us)
        job_cancel(reads, job);
}

static bool is_late(const struct read *read, uint64_t now_us) {
    return read->deadline_us != 0 && read->deadline_us <= now_us;
}

void reads_expire(struct reads *reads, uint64_t now_us) {
    reads->now_us = now_us;
    job_relieve_memory(reads, now_us);
    job_each(reads, expire_job, &now_us);
    read_lease_drop(reads, is_late, now_us);
    reads->lease_again = true;
    for (uint8_t slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        struct proxy_slot *proxy = &reads->slots[slot];
        for (struct read **place = &proxy->waiting.head; *place != NULL;) {
            struct read *read = *place;
            if (!is_late(read, now_us)) {
                place = &read->next;
                continue;
            }
            *place = read->next;
            if (read->next == NULL)
                proxy->waiting.tail = place;
            proxy->waiting_bytes -= sizeof *read + read->length;
            free(read);
        }
    }
}
