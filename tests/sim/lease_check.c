/* lease_check: see lease_check.h. */
#include "lease_check.h"

#include <inttypes.h>

#include "common/wire.h"

#define SECOND_US UINT64_C(1000000)
enum { CLOCK_SLACK_SECONDS = 2 }; /* an election timeout that a new primary adds, and rounding */

/* LeaseKeepAliveResponse, LeaseTimeToLiveResponse, LeaseLeasesResponse: whichever it is. */
struct answer {
    int64_t id, ttl, granted;
    struct buffer keys; /* each followed by a blank */
    int64_t *leases;
    size_t lease_count;
    bool malformed;
};

bool lease_is_question(uint16_t method) {
    return method == METHOD_LEASE_KEEP_ALIVE || method == METHOD_LEASE_TIME_TO_LIVE ||
           method == METHOD_LEASE_LEASES;
}

static int64_t first_number(struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    return wire_next(&reader, &field) && field.number == 1 ? (int64_t)field.value : 0;
}

static void decode_list(const struct operation *operation, struct arena *arena, struct answer *answer) {
    struct wire_reader reader = wire_reader_of(buffer_bytes(&operation->answer));
    struct wire_field field;
    answer->leases = arena_zalloc(arena, (operation->answer.length + 1) * sizeof *answer->leases);
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            answer->leases[answer->lease_count++] = first_number(field.bytes);
        else
            answer->malformed = true;
    }
    answer->malformed |= reader.malformed;
}

static void decode(const struct operation *operation, struct arena *arena, struct answer *answer) {
    struct wire_reader reader = wire_reader_of(buffer_bytes(&operation->answer));
    struct wire_field field;
    *answer = (struct answer){0};
    if (operation->call.method == METHOD_LEASE_LEASES) {
        decode_list(operation, arena, answer);
        return;
    }
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            answer->id = (int64_t)field.value;
        else if (field.number == 3)
            answer->ttl = (int64_t)field.value;
        else if (field.number == 4)
            answer->granted = (int64_t)field.value;
        else if (field.number == 5)
            buffer_printf(&answer->keys, "%.*s ", (int)field.bytes.length, (const char *)field.bytes.data);
        else
            answer->malformed = true;
    }
    answer->malformed |= reader.malformed;
}

static struct lease_request question_of(const struct operation *operation) {
    struct lease_request request = {0};
    if (operation->call.method != METHOD_LEASE_LEASES)
        REQUIRE(lease_request_decode(buffer_bytes(&operation->body), &request));
    return request;
}

/* --- does the answer hold right after entry `index`? --- */

static bool renewal_holds(const struct judge *judge, const struct answer *answer, uint64_t index) {
    const struct reference_lease *lease = reference_lease_at(judge->reference, answer->id, index);
    return answer->ttl == (lease == NULL ? 0 : lease->ttl);
}

static bool life_holds(const struct judge *judge, const struct answer *answer, bool keys, uint64_t index) {
    const struct reference_lease *lease = reference_lease_at(judge->reference, answer->id, index);
    if (lease == NULL)
        return answer->ttl == -1 && answer->granted == 0 && answer->keys.length == 0;
    struct buffer attached = {0};
    if (keys)
        reference_attached(judge->reference, answer->id, judge->revisions[index], &attached);
    bool same = bytes_equal(buffer_bytes(&attached), buffer_bytes(&answer->keys));
    buffer_free(&attached);
    return same && answer->granted == lease->ttl && answer->ttl <= lease->ttl + CLOCK_SLACK_SECONDS;
}

static bool list_holds(const struct judge *judge, const struct answer *answer, uint64_t index) {
    size_t count = 0, alive = 0;
    const struct reference_lease *leases = reference_leases(judge->reference, &count);
    for (size_t i = 0; i < count; i++)
        alive += leases[i].from <= index && (leases[i].to == 0 || index < leases[i].to);
    if (alive != answer->lease_count)
        return false;
    for (size_t i = 0; i < answer->lease_count; i++) {
        if (reference_lease_at(judge->reference, answer->leases[i], index) == NULL)
            return false;
    }
    return true;
}

static bool holds(const struct judge *judge, const struct operation *operation, const struct answer *answer,
                  uint64_t index) {
    if (judge->revisions[index] != operation->revision)
        return false;
    if (operation->call.method == METHOD_LEASE_KEEP_ALIVE)
        return renewal_holds(judge, answer, index);
    if (operation->call.method == METHOD_LEASE_TIME_TO_LIVE)
        return life_holds(judge, answer, question_of(operation).keys, index);
    return list_holds(judge, answer, index);
}

static uint64_t last_index(const struct judge *judge, const struct operation *operation) {
    return operation->durable < judge->last ? operation->durable : judge->last;
}

void lease_check_answer(const struct judge *judge, const struct operation *operation) {
    struct arena arena = {0};
    struct answer answer;
    if (operation->end != OPERATION_ANSWERED || operation->status != STATUS_OK)
        return;
    decode(operation, &arena, &answer);
    judge->world->counts.renewals += operation->call.method == METHOD_LEASE_KEEP_ALIVE && answer.ttl > 0;
    bool found = false;
    for (uint64_t index = operation->before.index; index <= last_index(judge, operation) && !found; index++)
        found = holds(judge, operation, &answer, index);
    if (answer.malformed || !found || answer.id != question_of(operation).id)
        world_fail(judge->world,
                   "%s: lease %" PRId64 " ttl %" PRId64 " granted %" PRId64
                   " keys %.*s (%zu leases): so it was at no"
                   " entry of %" PRIu64 "..%" PRIu64,
                   operation_text(operation), question_of(operation).id, answer.ttl, answer.granted,
                   (int)answer.keys.length, answer.keys.length == 0 ? "" : (const char *)answer.keys.data,
                   answer.lease_count, operation->before.index, operation->durable);
    buffer_free(&answer.keys);
    arena_free(&arena);
}

/* --- times --- */

/* When the lease's end, which apply proposed, went to the log; UINT64_MAX: it did not end so. */
static uint64_t expired_us(const struct judge *judge, const struct reference_lease *lease) {
    struct internal_request request;
    if (lease->to == 0)
        return UINT64_MAX;
    const struct truth_entry *entry = &judge->log->entries[lease->to - 1];
    REQUIRE(internal_request_decode(entry->data, &request));
    return request.id == 0 ? entry->noted_us : UINT64_MAX;
}

/* Whether the renewal can only have been of this lease, not of another of its id. */
static bool renewed(const struct judge *judge, const struct operation *operation,
                    const struct reference_lease *lease) {
    size_t count = 0;
    const struct reference_lease *leases = reference_leases(judge->reference, &count);
    for (size_t i = 0; i < count; i++) {
        bool possible = leases[i].id == lease->id && leases[i].from <= operation->durable &&
                        (leases[i].to == 0 || leases[i].to > operation->before.index);
        if (possible != (&leases[i] == lease))
            return false;
    }
    return true;
}

static void check_lease(const struct judge *judge, const struct reference_lease *lease) {
    const struct history *history = judge->history;
    uint64_t ttl_us = (uint64_t)lease->ttl * SECOND_US;
    uint64_t end_us = expired_us(judge, lease);
    uint64_t granted_us = judge->log->entries[lease->from - 1].noted_us;
    if (end_us < granted_us + ttl_us)
        world_fail(judge->world,
                   "lease %" PRId64 " of %" PRId64 " s, granted at %" PRIu64 " us, expired at %" PRIu64 " us",
                   lease->id, lease->ttl, granted_us, end_us);
    for (size_t i = 0; i < history->count && end_us != UINT64_MAX; i++) {
        const struct operation *operation = history->operations[i];
        if (operation->call.method == METHOD_LEASE_KEEP_ALIVE && question_of(operation).id == lease->id &&
            lease_renewal(operation) > 0 && end_us < operation->started_us + ttl_us &&
            renewed(judge, operation, lease))
            world_fail(judge->world,
                       "%s: lease %" PRId64 " of %" PRId64 " s was renewed at %" PRIu64
                       " us or later, and expired at %" PRIu64 " us",
                       operation_text(operation), lease->id, lease->ttl, operation->started_us, end_us);
    }
}

void lease_check_times(const struct judge *judge) {
    size_t count = 0;
    const struct reference_lease *leases = reference_leases(judge->reference, &count);
    judge->world->counts.leases += count;
    for (size_t i = 0; i < count && !judge->world->failed; i++) {
        judge->world->counts.expiries += expired_us(judge, &leases[i]) != UINT64_MAX;
        check_lease(judge, &leases[i]);
    }
}

/* --- for those who ask --- */

int64_t lease_renewal(const struct operation *operation) {
    struct arena arena = {0};
    struct answer answer;
    if (operation->end != OPERATION_ANSWERED || operation->status != STATUS_OK)
        return 0;
    decode(operation, &arena, &answer);
    return answer.ttl;
}

size_t lease_list_count(const struct operation *operation, int64_t limit) {
    struct arena arena = {0};
    struct answer answer;
    size_t count = 0;
    decode(operation, &arena, &answer);
    for (size_t i = 0; i < answer.lease_count; i++)
        count += answer.leases[i] < limit;
    arena_free(&arena);
    return count;
}
