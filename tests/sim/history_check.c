/* history_check: the judgement on a run (history.h says what is demanded). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/wire.h"
#include "history.h"
#include "reference.h"

struct judge {
    struct history *history;
    struct world *world;
    const struct log_truth *log;
    uint64_t last;
    struct reference *reference;
    uint64_t *revisions; /* revisions[i]: of the store after entry i */
    uint64_t *ids;       /* of the log's requests, for finding one used twice */
    size_t id_count;
};

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
    default:
        return METHOD_COMPACT;
    }
}

static void compare_answer(struct judge *judge, const struct operation *operation,
                           const struct outcome *expected) {
    struct buffer text = {0};
    bool decoded = true;
    if (operation->status == STATUS_OK)
        decoded = response_text(operation->call.method, buffer_bytes(&operation->answer), &text);
    bool same = decoded && operation->status == expected->status &&
                (operation->status != STATUS_OK || operation->revision == expected->revision) &&
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
    reference_execute(judge->reference, operation->call.method, request->body, &expected);
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

static void walk_log(struct judge *judge) {
    judge->revisions[0] = reference_revision(judge->reference);
    for (uint64_t index = 1; index <= judge->last && !judge->world->failed; index++) {
        const struct truth_entry *entry = &judge->log->entries[index - 1];
        struct internal_request request;
        if (entry->type == 0 && entry->data.length > 0) {
            REQUIRE(internal_request_decode(entry->data, &request));
            uint64_t tag = tag_of(request.body);
            if (tag == 0 || tag > judge->history->count) {
                world_fail(judge->world, "entry %" PRIu64 " holds what nobody asked for", index);
                return;
            }
            struct operation *operation = judge->history->operations[tag - 1];
            if (operation->call.method != method_of(request.number))
                world_fail(judge->world, "%s: entry %" PRIu64 " is another method", operation_text(operation),
                           index);
            else
                check_entry(judge, index, &request, operation);
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
}

/* Clients ask for revisions that they have seen, so none is in the future; one may be compacted. */
static void check_refused_read(struct judge *judge, const struct operation *operation) {
    if (operation->status == STATUS_FUTURE_REVISION)
        world_fail(judge->world, "%s: a revision seen before is called a future one",
                   operation_text(operation));
    /* Which branch a transaction took at which revision is not known then. */
    if (operation->status != STATUS_COMPACTED || operation->call.method == METHOD_TXN)
        return;
    struct outcome expected;
    reference_read(judge->reference, operation->call.method, buffer_bytes(&operation->body),
                   reference_revision(judge->reference), &expected);
    if (expected.status != STATUS_COMPACTED)
        world_fail(judge->world, "%s: what it asked for was never compacted", operation_text(operation));
    buffer_free(&expected.text);
}

static void check_read(struct judge *judge, const struct operation *operation) {
    if (operation->end != OPERATION_ANSWERED)
        return;
    if (operation->status != STATUS_OK) {
        check_refused_read(judge, operation);
        return;
    }
    uint64_t durable = operation->durable < judge->last ? operation->durable : judge->last;
    if (operation->revision > judge->revisions[durable]) {
        world_fail(judge->world,
                   "%s saw more than the %" PRIu64 " durable entries, which end at revision %" PRIu64,
                   operation_text(operation), durable, judge->revisions[durable]);
        return;
    }
    struct outcome expected;
    reference_read(judge->reference, operation->call.method, buffer_bytes(&operation->body),
                   operation->revision, &expected);
    /* A compaction that came later must not matter; it is the one thing the reference does not date. */
    if (expected.status == STATUS_OK)
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

/* What later operations must not fall behind. */
struct seen {
    uint64_t revision, index;
};

static void raise_to(uint64_t *value, uint64_t to) {
    if (to > *value)
        *value = to;
}

static bool has_revision(const struct operation *operation) {
    return operation->end == OPERATION_ANSWERED && operation->status == STATUS_OK &&
           operation->call.route != PROXY_CLUSTER;
}

static void check_real_time(struct judge *judge, bool strict) {
    struct history *history = judge->history;
    struct seen all = {0};
    struct seen *at_start = must_zalloc((history->count + 1) * sizeof *at_start);
    for (size_t i = 0; i < history->event_count && !judge->world->failed; i++) {
        struct operation *operation = history->events[i].operation;
        struct seen *floor = &at_start[operation->tag - 1];
        if (history->events[i].start) {
            *floor = all;
            continue;
        }
        if (!has_revision(operation))
            continue;
        bool serializable = operation->call.route == PROXY_SERIALIZABLE_READ;
        if ((!serializable || strict) && operation->revision < floor->revision)
            world_fail(judge->world, "%s began after revision %" PRIu64 " had been seen",
                       operation_text(operation), floor->revision);
        if (operation->index != 0 && operation->index <= floor->index)
            world_fail(judge->world, "%s is entry %" PRIu64 ", but began after %" PRIu64 " was answered",
                       operation_text(operation), operation->index, floor->index);
        raise_to(&all.revision, operation->revision);
        raise_to(&all.index, operation->index);
    }
    free(at_start);
}

/* No proxy process may show a revision older than one it had shown when the read began. */
static void check_proxies(struct judge *judge) {
    struct history *history = judge->history;
    enum { SLOTS = BUS_PROXY_SLOTS };
    struct seen shown[SLOTS] = {0};
    uint64_t incarnations[SLOTS] = {0};
    uint64_t *at_start = must_zalloc((history->count + 1) * sizeof *at_start);
    for (size_t i = 0; i < history->event_count && !judge->world->failed; i++) {
        struct operation *operation = history->events[i].operation;
        unsigned slot = operation->slot;
        if (incarnations[slot] < operation->proxy_incarnation) {
            incarnations[slot] = operation->proxy_incarnation;
            shown[slot] = (struct seen){0};
        }
        if (history->events[i].start)
            at_start[operation->tag - 1] = shown[slot].revision;
        else if (has_revision(operation)) {
            if (operation->revision < at_start[operation->tag - 1])
                world_fail(judge->world, "%s went back from revision %" PRIu64, operation_text(operation),
                           at_start[operation->tag - 1]);
            raise_to(&shown[slot].revision, operation->revision);
        }
    }
    free(at_start);
}

void history_check(struct history *history, const struct log_truth *log, uint64_t last, bool strict) {
    struct judge judge = {.history = history, .world = history->world, .log = log, .last = last};
    judge.reference = reference_new();
    judge.revisions = must_zalloc((last + 1) * sizeof *judge.revisions);
    judge.ids = must_zalloc((last + 1) * sizeof *judge.ids);
    walk_log(&judge);
    check_ids(&judge);
    for (size_t i = 0; i < history->count && !history->world->failed; i++) {
        const struct operation *operation = history->operations[i];
        if (operation->call.route == PROXY_WRITE)
            check_write(&judge, operation);
        else if (operation->call.route == PROXY_CLUSTER)
            check_cluster(&judge, operation);
        else
            check_read(&judge, operation);
    }
    check_proxies(&judge);
    check_real_time(&judge, strict);
    reference_free(judge.reference);
    free(judge.revisions);
    free(judge.ids);
}
