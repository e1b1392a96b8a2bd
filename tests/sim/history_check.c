/* history_check: the judgement on a run (history.h says what is demanded). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/wire.h"
#include "judge.h"
#include "lease_check.h"

void judge_init(struct judge *judge, struct history *history, const struct log_truth *log, uint64_t last) {
    *judge = (struct judge){.world = history->world, .history = history, .log = log, .last = last};
    judge->reference = reference_new();
    judge->revisions = must_zalloc((last + 1) * sizeof *judge->revisions);
    judge->ids = must_zalloc((last + 1) * sizeof *judge->ids);
}

void judge_free(struct judge *judge) {
    reference_free(judge->reference);
    free(judge->revisions);
    free(judge->ids);
}

/* --- the log --- */

static uint64_t tag_of(struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == TAG_FIELD)
            return field.value;
    }
    return 0;
}

static uint16_t method_of(uint32_t number) {
    switch (number) {
    case INTERNAL_PUT:
        return METHOD_PUT;
    case INTERNAL_DELETE_RANGE:
        return METHOD_DELETE_RANGE;
    case INTERNAL_TXN:
        return METHOD_TXN;
    case INTERNAL_COMPACTION:
        return METHOD_COMPACT;
    case INTERNAL_LEASE_GRANT:
        return METHOD_LEASE_GRANT;
    case INTERNAL_LEASE_REVOKE:
        return METHOD_LEASE_REVOKE;
    default:
        return METHOD_NONE;
    }
}

/* A physical compaction is answered when it is done, and by then there may be later revisions (check_write).
 */
static bool right_revision(const struct operation *operation, uint64_t expected) {
    struct compaction_request request;
    bool later = operation->call.method == METHOD_COMPACT &&
                 compaction_request_decode(buffer_bytes(&operation->body), &request) && request.physical;
    return operation->revision == expected || (later && operation->revision > expected);
}

static void compare_answer(struct judge *judge, const struct operation *operation,
                           const struct outcome *expected) {
    struct buffer text = {0};
    bool decoded = true;
    if (operation->status == STATUS_OK)
        decoded = response_text(operation->call.method, buffer_bytes(&operation->answer), &text);
    bool same = decoded && operation->status == expected->status &&
                (operation->status != STATUS_OK || right_revision(operation, expected->revision)) &&
                bytes_equal(buffer_bytes(&text), buffer_bytes(&expected->text));
    if (!same)
        world_fail(judge->world,
                   "%s (entry %" PRIu64 "): answered %.*s, expected status %u revision %" PRIu64 " %.*s",
                   operation_text(operation), operation->index, (int)text.length, (const char *)text.data,
                   expected->status, expected->revision, (int)expected->text.length,
                   (const char *)expected->text.data);
    buffer_free(&text);
}

/* The outcome of a write is not known to its client. */
static bool is_open(const struct operation *operation) {
    if (operation->end != OPERATION_ANSWERED)
        return true;
    switch (operation->status) {
    case STATUS_TIMEOUT:
    case STATUS_TIMEOUT_LEADER_FAILED:
    case STATUS_TIMEOUT_CONNECTION_LOST:
    case STATUS_TIMEOUT_WAIT_APPLIED:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_LEADER_CHANGED:
        return true;
    default:
        return false;
    }
}

/* A write with this answer was not done and never will be. */
static bool is_refusal(uint16_t status) {
    return status == STATUS_TOO_MANY_REQUESTS || status == STATUS_NO_LEADER || status == STATUS_NOT_LEADER ||
           status == STATUS_REQUEST_TOO_LARGE;
}

static void check_entry(struct judge *judge, uint64_t index, const struct internal_request *request,
                        struct operation *operation) {
    if (operation->index != 0) {
        world_fail(judge->world, "%s stands twice in the log, at %" PRIu64 " and %" PRIu64,
                   operation_text(operation), operation->index, index);
        return;
    }
    operation->index = index;
    if (!bytes_equal(request->body, buffer_bytes(&operation->body)))
        world_fail(judge->world, "%s: entry %" PRIu64 " has other bytes", operation_text(operation), index);
    if (operation->end != OPERATION_PENDING && request->id != operation->id)
        world_fail(judge->world, "%s: entry %" PRIu64 " has id %016" PRIx64, operation_text(operation), index,
                   request->id);
    judge->ids[judge->id_count++] = request->id;
    struct outcome expected;
    reference_execute(judge->reference, index, operation->call.method, request->body, &expected);
    if (!is_open(operation)) {
        if (is_refusal(operation->status))
            world_fail(judge->world, "%s was refused, but is entry %" PRIu64, operation_text(operation),
                       index);
        else
            compare_answer(judge, operation, &expected);
        if (index > operation->durable)
            world_fail(judge->world,
                       "%s was answered when only %" PRIu64 " entries were durable, it is %" PRIu64,
                       operation_text(operation), operation->durable, index);
    }
    buffer_free(&expected.text);
}

/* What daemons propose themselves: leases that expired, checkpoints of leases, compactions. */
static void execute_own(struct judge *judge, uint64_t index, const struct internal_request *request) {
    struct outcome outcome = {0};
    if (request->number == INTERNAL_LEASE_REVOKE || request->number == INTERNAL_COMPACTION)
        reference_execute(judge->reference, index, method_of(request->number), request->body, &outcome);
    else if (request->number == INTERNAL_LEASE_CHECKPOINT)
        judge->world->counts.lease_checkpoints++;
    else
        world_fail(judge->world, "entry %" PRIu64 " holds what nobody asked for", index);
    buffer_free(&outcome.text);
}

static void execute_asked(struct judge *judge, uint64_t index, const struct internal_request *request) {
    uint64_t tag = tag_of(request->body);
    if (tag == 0 || tag > judge->history->count) {
        world_fail(judge->world, "entry %" PRIu64 " holds what nobody asked for", index);
        return;
    }
    struct operation *operation = judge->history->operations[tag - 1];
    if (operation->call.method != method_of(request->number))
        world_fail(judge->world, "%s: entry %" PRIu64 " is another method", operation_text(operation), index);
    else
        check_entry(judge, index, request, operation);
}

static void walk_log(struct judge *judge) {
    judge->revisions[0] = reference_revision(judge->reference);
    for (uint64_t index = 1; index <= judge->last && !judge->world->failed; index++) {
        const struct truth_entry *entry = &judge->log->entries[index - 1];
        struct internal_request request;
        if (entry->type == 0 && entry->data.length > 0) {
            REQUIRE(internal_request_decode(entry->data, &request));
            if (request.id == 0)
                execute_own(judge, index, &request);
            else
                execute_asked(judge, index, &request);
        }
        judge->revisions[index] = reference_revision(judge->reference);
    }
}

static int order_of_ids(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void check_ids(struct judge *judge) {
    qsort(judge->ids, judge->id_count, sizeof *judge->ids, order_of_ids);
    for (size_t i = 1; i < judge->id_count; i++) {
        if (judge->ids[i] == judge->ids[i - 1])
            world_fail(judge->world, "id %016" PRIx64 " was used twice", judge->ids[i]);
    }
}

/* --- the answers --- */

static void check_write(struct judge *judge, const struct operation *operation) {
    if (!is_open(operation) && operation->index == 0 && !is_refusal(operation->status))
        world_fail(judge->world, "%s is not in the log: an answered write is lost",
                   operation_text(operation));
    if (operation->status == STATUS_OK && operation->revision > judge_revision(judge, operation->durable))
        world_fail(judge->world, "%s: its revision was not durable", operation_text(operation));
}

/* The revision that a Range names; 0: none, or it is a transaction. */
static uint64_t named_revision(const struct operation *operation) {
    struct range_request request;
    if (operation->call.method == METHOD_TXN ||
        !range_request_decode(buffer_bytes(&operation->body), &request))
        return 0;
    return (uint64_t)request.revision;
}

/* Clients ask for revisions that they have seen, so none is in the future; one may be compacted. */
static void check_refused_read(struct judge *judge, const struct operation *operation) {
    if (operation->status == STATUS_FUTURE_REVISION)
        world_fail(judge->world, "%s: a revision seen before is called a future one",
                   operation_text(operation));
    /* Which branch a transaction took at which revision is not known then. */
    if (operation->status != STATUS_COMPACTED || operation->call.method == METHOD_TXN)
        return;
    uint64_t compacted = reference_compacted(judge->reference, operation->durable);
    if (named_revision(operation) >= compacted)
        world_fail(judge->world, "%s: revision %" PRIu64 " was not compacted, the largest one was %" PRIu64,
                   operation_text(operation), named_revision(operation), compacted);
}

static void check_read(struct judge *judge, const struct operation *operation) {
    if (operation->end != OPERATION_ANSWERED)
        return;
    if (operation->status != STATUS_OK) {
        check_refused_read(judge, operation);
        return;
    }
    if (operation->revision > judge_revision(judge, operation->durable)) {
        world_fail(judge->world,
                   "%s saw more than the %" PRIu64 " durable entries, which end at revision %" PRIu64,
                   operation_text(operation), operation->durable, judge_revision(judge, operation->durable));
        return;
    }
    uint64_t named = named_revision(operation);
    uint64_t compacted = reference_compacted(judge->reference, operation->before.index);
    if (named != 0 && named < compacted)
        world_fail(judge->world, "%s: revision %" PRIu64 " had been compacted at %" PRIu64,
                   operation_text(operation), named, compacted);
    struct outcome expected;
    reference_read(judge->reference, operation->call.method, buffer_bytes(&operation->body),
                   operation->revision, &expected);
    compare_answer(judge, operation, &expected);
    buffer_free(&expected.text);
}

/* The list of members names one member (field 2). */
static void check_cluster(struct judge *judge, const struct operation *operation) {
    if (operation->end != OPERATION_ANSWERED || operation->status != STATUS_OK)
        return;
    struct wire_reader reader = wire_reader_of(buffer_bytes(&operation->answer));
    struct wire_field field;
    unsigned members = 0;
    while (wire_next(&reader, &field))
        members += field.number == 2;
    if (members != 1)
        world_fail(judge->world, "%s names %u members", operation_text(operation), members);
}

static void raise_to(uint64_t *value, uint64_t to) {
    if (to > *value)
        *value = to;
}

static bool has_revision(const struct operation *operation) {
    return operation->end == OPERATION_ANSWERED && operation->status == STATUS_OK &&
           operation->call.route != PROXY_CLUSTER;
}

/* For every operation and every mark: what had been told by then. */
static void fill_marks(struct history *history) {
    struct history_mark told = {0};
    for (size_t i = 0; i < history->event_count; i++) {
        const struct history_event *event = &history->events[i];
        struct operation *operation = event->operation;
        raise_to(&told.revision, event->revision);
        if (event->mark != NULL)
            *event->mark = told;
        if (operation == NULL)
            continue;
        if (event->start)
            operation->before = told;
        else if (has_revision(operation)) {
            raise_to(&told.revision, operation->revision);
            raise_to(&told.index, operation->index);
        }
    }
}

static void check_real_time(struct judge *judge, const struct operation *operation, bool strict) {
    if (!has_revision(operation))
        return;
    bool serializable = operation->call.route == PROXY_SERIALIZABLE_READ;
    if ((!serializable || strict) && operation->revision < operation->before.revision)
        world_fail(judge->world, "%s began after revision %" PRIu64 " had been seen",
                   operation_text(operation), operation->before.revision);
    if (operation->index != 0 && operation->index <= operation->before.index)
        world_fail(judge->world, "%s is entry %" PRIu64 ", but began after %" PRIu64 " was answered",
                   operation_text(operation), operation->index, operation->before.index);
}

/* No proxy process may show a revision older than one it had shown when the read began. */
static void check_proxies(struct judge *judge) {
    struct history *history = judge->history;
    enum { SLOTS = BUS_PROXY_SLOTS };
    uint64_t shown[SLOTS] = {0};
    uint64_t incarnations[SLOTS] = {0};
    uint64_t *at_start = must_zalloc((history->count + 1) * sizeof *at_start);
    for (size_t i = 0; i < history->event_count && !judge->world->failed; i++) {
        struct operation *operation = history->events[i].operation;
        if (operation == NULL)
            continue;
        unsigned slot = operation->slot;
        if (incarnations[slot] < operation->proxy_incarnation) {
            incarnations[slot] = operation->proxy_incarnation;
            shown[slot] = 0;
        }
        if (history->events[i].start)
            at_start[operation->tag - 1] = shown[slot];
        else if (has_revision(operation)) {
            if (operation->revision < at_start[operation->tag - 1])
                world_fail(judge->world, "%s went back from revision %" PRIu64, operation_text(operation),
                           at_start[operation->tag - 1]);
            raise_to(&shown[slot], operation->revision);
        }
    }
    free(at_start);
}

void history_check(struct judge *judge, bool strict) {
    struct history *history = judge->history;
    walk_log(judge);
    check_ids(judge);
    fill_marks(history);
    for (size_t i = 0; i < history->count && !judge->world->failed; i++) {
        const struct operation *operation = history->operations[i];
        if (operation->call.route == PROXY_WRITE)
            check_write(judge, operation);
        else if (operation->call.route == PROXY_CLUSTER)
            check_cluster(judge, operation);
        else if (lease_is_question(operation->call.method))
            lease_check_answer(judge, operation);
        else
            check_read(judge, operation);
        check_real_time(judge, operation, strict);
    }
    check_proxies(judge);
    lease_check_times(judge);
}
