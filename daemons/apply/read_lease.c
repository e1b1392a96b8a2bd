/*
 * read_lease: requests to the lessor: they are reads for everybody but the clock of their lease.
 *
 * They are answered at the end of a round alone, with the time of that moment: a renewal must not begin
 * earlier than its answer says. What cannot be answered yet waits (for this member to lead, or for a
 * revocation or a cleared checkpoint to be executed) until something moved, or the deadline.
 */
#include <stdlib.h>

#include "common/request.h"

#include "apply/lease/lease_message.h"
#include "apply/reads_internal.h"

enum { LEASE_WAITING_BYTES = 4 << 20 }; /* then requests are refused */

static struct bus_link *link_of(const struct reads *reads, const struct read *read) {
    return reads->slots[bus_id_slot(read->id)].link;
}

/* --- answers; false: not yet --- */

static bool answer_keep_alive(struct reads *reads, const struct read *read, int64_t id) {
    int64_t ttl = 0;
    if (lessor_renew(reads->options.lessor, id, &ttl) == LEASE_WAIT)
        return false;
    struct buffer *body = bus_begin_result(link_of(reads, read));
    if (body == NULL)
        return true;
    lease_message_put_renewal(body, id, ttl);
    struct bus_result result = {
        .id = read->id, .header = true, .revision = (uint64_t)reads->mvcc->revision, .term = reads->term};
    bus_commit_result(link_of(reads, read), BUS_APPLY_RESULT, &result);
    return true;
}

static void put_keys(struct reads *reads, struct buffer *out, int64_t id) {
    struct lease_walk walk;
    struct bytes key;
    lease_walk_open(&walk, reads->mvcc->store, NULL, id);
    while (lease_walk_next(&walk, &key))
        lease_message_put_key(out, key);
    lease_walk_close(&walk);
}

static bool answer_time_to_live(struct reads *reads, const struct read *read,
                                const struct lease_request *request) {
    struct lease_life life;
    struct buffer body = {0};
    enum lease_answer answer = lessor_time_to_live(reads->options.lessor, request->id, &life);
    if (answer == LEASE_WAIT)
        return false;
    lease_message_put_life(&body, request->id, answer == LEASE_UNKNOWN ? NULL : &life);
    bool keys = request->keys && answer == LEASE_ANSWERED;
    if (keys && life.keys > reads->options.inline_keys) {
        struct apply_job *job = job_of_read(reads, read, JOB_LEASE_KEYS);
        job->lease = request->id;
        job->answer = body;
        job_give_snapshot(reads, job);
        return true;
    }
    if (keys)
        put_keys(reads, &body, request->id);
    read_put_body(reads, read->id, reads->mvcc->revision, buffer_bytes(&body));
    buffer_free(&body);
    return true;
}

/* A list takes time and memory for every lease: no more of them at a time than answers may take. */
static void answer_leases(struct reads *reads, const struct read *read) {
    struct buffer expiries = {0};
    struct buffer body = {0};
    size_t bytes = reads->mvcc->leases.count * sizeof(struct lease_expiry);
    if (reads->lease_lists > 0 && reads->lease_lists + bytes > reads->options.answer_bytes) {
        reads_refuse(reads, read->id, STATUS_TOO_MANY_REQUESTS);
        return;
    }
    lessor_list(reads->options.lessor, &expiries);
    if (expiries.length > reads->options.inline_keys * sizeof(struct lease_expiry)) {
        struct apply_job *job = job_of_read(reads, read, JOB_LEASES);
        buffer_free(&job->body);
        job->body = expiries;
        reads->lease_lists += expiries.length;
        job_make_ready(reads, job);
        return;
    }
    lease_message_put_list(&body, &expiries);
    read_put_body(reads, read->id, reads->mvcc->revision, buffer_bytes(&body));
    buffer_free(&expiries);
    buffer_free(&body);
}

static bool answer(struct reads *reads, const struct read *read) {
    struct lease_request request;
    if (read->method == METHOD_LEASE_LEASES) {
        answer_leases(reads, read);
        return true;
    }
    if (!lease_request_decode(bytes_of(read->data, read->length), &request)) {
        reads_refuse(reads, read->id, STATUS_UNDECODABLE);
        return true;
    }
    if (read->method == METHOD_LEASE_KEEP_ALIVE)
        return answer_keep_alive(reads, read, request.id);
    return answer_time_to_live(reads, read, &request);
}

/* --- waiting --- */

void read_lease(struct reads *reads, const struct read *read) {
    if (reads->round_ends && answer(reads, read))
        return;
    size_t size = sizeof *read + read->length;
    if (reads->lease_waiting_bytes + size > LEASE_WAITING_BYTES) {
        reads_refuse(reads, read->id, STATUS_TOO_MANY_REQUESTS);
        return;
    }
    reads_queue_append(&reads->lease_waiting, memcpy(must_alloc(size), read, size));
    reads->lease_waiting_bytes += size;
    reads->lease_again |= !reads->round_ends;
}

static void forget(struct reads *reads, struct read *read) {
    reads->lease_waiting_bytes -= sizeof *read + read->length;
    free(read);
}

void read_lease_again(struct reads *reads) {
    if (lessor_moved(reads->options.lessor))
        reads->lease_again = true;
    if (!reads->lease_again || reads->lease_waiting.head == NULL)
        return;
    reads->lease_again = false;
    struct read_queue waited = reads->lease_waiting;
    struct read *read = NULL;
    reads_queue_init(&reads->lease_waiting);
    while ((read = waited.head) != NULL) {
        waited.head = read->next;
        if (bus_link_room(link_of(reads, read)) > 0 && answer(reads, read))
            forget(reads, read);
        else
            reads_queue_append(&reads->lease_waiting, read);
    }
}

void read_lease_drop(struct reads *reads, bool (*over)(const struct read *, uint64_t), uint64_t argument) {
    struct read_queue kept;
    struct read *read = reads->lease_waiting.head;
    reads_queue_init(&kept);
    while (read != NULL) {
        struct read *next = read->next;
        if (over(read, argument))
            forget(reads, read);
        else
            reads_queue_append(&kept, read);
        read = next;
    }
    reads->lease_waiting = kept;
    if (kept.head == NULL)
        reads->lease_waiting.tail = &reads->lease_waiting.head;
}
