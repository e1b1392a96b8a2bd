/*
 * read_inline: answers reads inside the round. One key is one lookup; a Range or a reading transaction
 * gets a small budget and becomes a job over the round's snapshot when that is not enough. The events of
 * the past are always read by a job.
 */
#include "common/request.h"
#include "common/wire.h"

#include "apply/mvcc/message.h"
#include "apply/mvcc/txn.h"
#include "apply/reads_internal.h"
#include "proto/bus.pb-c.h"

enum { RESPONSE_KVS = 2, RESPONSE_COUNT = 4, INLINE_BYTES = 4 << 20 };

static struct bus_link *link_of(const struct reads *reads, uint64_t id) {
    return reads->slots[bus_id_slot(id)].link;
}

static struct bus_result result_of(const struct reads *reads, uint64_t id, int64_t revision) {
    return (struct bus_result){
        .id = id, .status = STATUS_OK, .header = true, .revision = (uint64_t)revision, .term = reads->term};
}

void read_put_body(struct reads *reads, uint64_t id, int64_t revision, struct bytes body) {
    struct bus_result result = result_of(reads, id, revision);
    if (body.length <= RECORD_BYTES) {
        result.body = body;
        bus_put_result(link_of(reads, id), BUS_APPLY_RESULT, &result);
        return;
    }
    struct apply_job *job = job_new(JOB_ANSWER, id, bus_id_slot(id));
    buffer_append_bytes(&job->answer, body);
    job->finished = true;
    job->total = body.length;
    job->revision = revision;
    job_add(reads, job);
    job_advance(reads, job);
}

/* --- jobs out of reads --- */

struct apply_job *job_of_read(struct reads *reads, const struct read *read, enum job_kind kind) {
    struct apply_job *job = job_new(kind, read->id, bus_id_slot(read->id));
    job->deadline_us = read->deadline_us;
    job->store = reads->mvcc->store;
    job->revision = reads->mvcc->revision;
    buffer_append(&job->body, read->data, read->length);
    job_add(reads, job);
    return job;
}

/* The Range goes on from where its first slice stopped: at the same revision. */
static void continue_as_job(struct reads *reads, const struct read *read, struct range_read *range,
                            bool done) {
    struct apply_job *job = job_of_read(reads, read, JOB_RANGE);
    struct range_request request;
    REQUIRE(range_request_decode(buffer_bytes(&job->body), &request));
    range->request.key = range->interval.key = request.key;
    range->request.range_end = range->interval.range_end = request.range_end;
    job->range = *range;
    job->finished = done;
    job->status = range->status;
    job->total = range->total;
    if (done)
        job_advance(reads, job);
    else
        job_await_snapshot(reads, job);
}

/* --- Range --- */

/* The commonest read: the current state of one key, written straight into the link. */
static bool answer_point(struct reads *reads, const struct read *read, const struct range_request *request) {
    if (request->range_end.length != 0 || request->revision > 0 || request->count_only ||
        request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
        request->min_create_revision != 0 || request->max_create_revision != 0 ||
        !range_sort_option_valid(request))
        return false;
    struct bus_result result = result_of(reads, read->id, reads->mvcc->revision);
    struct view view = mvcc_view(reads->mvcc, NULL);
    struct found found;
    uint64_t examined = 0;
    bool exists = view_get(&view, request->key, view.revision, &found, &examined);
    if (exists && found.record.value.length + request->key.length > RECORD_BYTES - 256) {
        view_release(&view, &found);
        return false;
    }
    struct buffer *body = bus_begin_result(link_of(reads, read->id));
    if (body != NULL) {
        if (exists) {
            message_put_key_value(body, RESPONSE_KVS, request->key, &found.record, request->keys_only);
            wire_put_int64(body, RESPONSE_COUNT, 1);
        }
        bus_commit_result(link_of(reads, read->id), BUS_APPLY_RESULT, &result);
    }
    view_release(&view, &found);
    return true;
}

/* A large answer that would be kept for its client has to go when there is no room for it. */
static void put_answer(struct reads *reads, uint64_t id, int64_t revision, struct bytes body) {
    if (body.length > RECORD_BYTES && job_memory_is_short(reads))
        reads_refuse(reads, id, STATUS_TOO_MANY_REQUESTS);
    else
        read_put_body(reads, id, revision, body);
}

static void put_range(struct reads *reads, const struct read *read, struct range_read *range) {
    if (range->status != STATUS_OK)
        reads_refuse(reads, read->id, range->status);
    else
        put_answer(reads, read->id, reads->mvcc->revision, buffer_bytes(&range->out));
    range_read_free(range);
}

static uint16_t begin_range(struct reads *reads, const struct range_request *request, bool stream,
                            struct range_read *range) {
    struct view view = mvcc_view(reads->mvcc, NULL);
    return range_read_begin(range, &view, request, stream, &reads->budget, BUILD_BYTES);
}

/* While memory is short, what does not fit the round begins again when there is some, and holds none till
 * then. */
static void answer_range(struct reads *reads, const struct read *read) {
    struct range_request request;
    bool stream = read->method == METHOD_RANGE_STREAM;
    if (!range_request_decode(bytes_of(read->data, read->length), &request)) {
        reads_refuse(reads, read->id, STATUS_UNDECODABLE);
        return;
    }
    reads->mvcc->counts.ranges++;
    if (!stream && answer_point(reads, read, &request))
        return;
    struct range_read range;
    uint16_t status = begin_range(reads, &request, stream, &range);
    if (status != STATUS_OK) {
        reads_refuse(reads, read->id, status);
        return;
    }
    struct range_slice slice = {.keys = reads->options.inline_keys, .bytes = RECORD_BYTES};
    bool done = range_read_step(&range, slice);
    if (done && !stream) {
        put_range(reads, read, &range);
        return;
    }
    if (job_memory_is_short(reads)) {
        range_read_free(&range);
        begin_range(reads, &request, stream, &range);
        done = false;
    }
    continue_as_job(reads, read, &range, done);
}

/* --- a transaction that only reads --- */

static void answer_txn(struct reads *reads, const struct read *read) {
    struct bytes message = bytes_of(read->data, read->length);
    struct txn_shape shape;
    uint16_t status = txn_inspect(message, &shape);
    if (status == STATUS_OK && shape.writes)
        status = STATUS_UNDECODABLE; /* a write must come through the log */
    if (status != STATUS_OK) {
        reads_refuse(reads, read->id, status);
        return;
    }
    struct view view = mvcc_view(reads->mvcc, NULL);
    struct txn_read_limits limits = {.keys = reads->options.inline_keys, .bytes = INLINE_BYTES};
    struct buffer answer = {0};
    status = txn_read(&view, message, &limits, &answer);
    reads->mvcc->counts.txns++;
    if (status == TXN_READ_UNFINISHED || status == TXN_READ_TOO_LARGE) {
        job_await_snapshot(reads, job_of_read(reads, read, JOB_TXN));
    } else if (status != STATUS_OK) {
        reads_refuse(reads, read->id, status);
    } else {
        put_answer(reads, read->id, view.revision, buffer_bytes(&answer));
    }
    buffer_free(&answer);
}

/* --- the events of the past --- */

/* What is all there is to say, without reading anything: one part without events. */
static void put_history_head(struct reads *reads, const struct read *read, enum history_part part,
                             int64_t through) {
    struct buffer body = {0};
    history_head_put(&body, &(struct history_head){.part = part, .through = through});
    read_put_body(reads, read->id, reads->mvcc->revision, buffer_bytes(&body));
    buffer_free(&body);
}

/* Always a job: lookups of previous records may read the disk, and nobody waits for the past in a hurry. */
static void start_history(struct reads *reads, const struct read *read,
                          const struct history_request *request) {
    struct view view = mvcc_view(reads->mvcc, NULL);
    struct history_read history;
    if (!history_read_begin(&history, &view, request)) {
        reads_refuse(reads, read->id, STATUS_UNDECODABLE);
        return;
    }
    if (reads->options.history_part_bytes != 0) {
        history.part_target = reads->options.history_part_bytes;
        history.part_limit = 4 * history.part_target;
    }
    struct apply_job *job = job_of_read(reads, read, JOB_HISTORY);
    buffer_free(&job->body);
    job->history = history;
    job_make_ready(reads, job);
}

static void answer_history(struct reads *reads, const struct read *read) {
    const struct mvcc *mvcc = reads->mvcc;
    struct history_request request;
    if (!history_request_get(bytes_of(read->data, read->length), &request)) {
        reads_refuse(reads, read->id, STATUS_UNDECODABLE);
        return;
    }
    if (request.to > mvcc->revision)
        request.to = mvcc->revision;
    if (request.from < mvcc->compacted)
        put_history_head(reads, read, HISTORY_COMPACTED, mvcc->compacted);
    else if (request.from > request.to)
        put_history_head(reads, read, HISTORY_COMPLETE, request.to);
    else
        start_history(reads, read, &request);
}

/* --- the rest --- */

static void answer_status(struct reads *reads, const struct read *read) {
    struct mvcc *mvcc = reads->mvcc;
    struct store_sizes sizes = mvcc->store->operations->sizes(mvcc->store);
    Quorate__BusApplyStatus status = QUORATE__BUS_APPLY_STATUS__INIT;
    status.applied_index = mvcc->index;
    status.term = mvcc->term;
    status.revision = mvcc->revision;
    status.db_size = sizes.total;
    status.db_size_in_use = sizes.in_use;
    status.quota = reads->options.quota_bytes;
    uint8_t packed[128];
    size_t length = quorate__bus_apply_status__get_packed_size(&status);
    REQUIRE(length <= sizeof packed);
    quorate__bus_apply_status__pack(&status, packed);
    read_put_body(reads, read->id, mvcc->revision, bytes_of(packed, length));
}

void read_answer(struct reads *reads, const struct read *read) {
    switch (read->method) {
    case METHOD_RANGE:
    case METHOD_HEALTH:
    case METHOD_RANGE_STREAM:
        answer_range(reads, read);
        break;
    case METHOD_TXN:
        answer_txn(reads, read);
        break;
    case METHOD_WATCH_HISTORY:
        answer_history(reads, read);
        break;
    case METHOD_STATUS:
        answer_status(reads, read);
        break;
    case METHOD_ALARM: /* a list of alarms: there are none in this release */
        read_put_body(reads, read->id, reads->mvcc->revision, (struct bytes){0});
        break;
    case METHOD_LEASE_KEEP_ALIVE:
    case METHOD_LEASE_TIME_TO_LIVE:
    case METHOD_LEASE_LEASES:
        read_lease(reads, read);
        break;
    default:
        reads_refuse(reads, read->id, STATUS_UNIMPLEMENTED);
        break;
    }
}
