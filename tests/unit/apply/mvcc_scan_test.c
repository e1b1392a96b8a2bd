/*
 * Scans over many keys of which some are in the store, some only in the buffer of late writes, some deleted:
 * forward and backward, whole and in parts, against a sorted array. Enough keys for the index of the buffer
 * to split and lose leaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"

#include "memory_store.h"
#include "requests.h"

enum { KEYS = 3000, ROUNDS = 60, CHANGES = 600, SCANS = 40 };

static uint64_t random_state = 88172645463325252u;
static struct memory_store *store;
static struct mvcc mvcc;
static bool live[KEYS];

static uint64_t draw(uint64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static struct bytes key_of(uint64_t number, char place[16]) {
    return bytes_of(place, (size_t)snprintf(place, 16, "key%05u", (unsigned)number));
}

static void change(uint64_t number, bool put) {
    char place[16];
    struct bytes key = key_of(number, place);
    struct buffer body = {0};
    struct buffer entry = {0};
    struct outcome outcome;
    if (put)
        encode_put(&body, &(struct put_request){.key = key, .value = key});
    else
        encode_delete(&body, &(struct delete_range_request){.key = key});
    struct internal_request request = {.number = put ? INTERNAL_PUT : INTERNAL_DELETE_RANGE,
                                       .body = buffer_bytes(&body)};
    internal_request_encode(&entry, &request);
    mvcc_execute(&mvcc, mvcc.index + 1, 1, 0, buffer_bytes(&entry), &outcome);
    live[number] = put;
    buffer_free(&body);
    buffer_free(&entry);
}

static void scan(uint64_t first, uint64_t end, bool backward, bool resume) {
    char lower[16];
    char upper[16];
    char place[16];
    struct interval interval = {.key = key_of(first, lower), .range_end = key_of(end, upper)};
    struct view view = mvcc_view(&mvcc, NULL);
    struct cursor cursor;
    cursor_open(&cursor, &view, &interval, view.revision, backward);
    for (uint64_t i = first; i < end; i++) {
        uint64_t number = backward ? end - 1 - (i - first) : i;
        if (!live[number])
            continue;
        assert_int_equal(cursor_next(&cursor), CURSOR_ITEM);
        struct bytes key = key_of(number, place);
        assert_true(bytes_equal(cursor.key, key));
        assert_true(bytes_equal(cursor.record.value, key));
        if (resume && draw(20) == 0) {
            cursor_close(&cursor);
            cursor_resume(&cursor, &view, &interval, view.revision, backward, key);
        }
    }
    assert_int_equal(cursor_next(&cursor), CURSOR_END);
    cursor_close(&cursor);
}

static void test_scans(void **state) {
    (void)state;
    char error[256];
    store = memory_store_new();
    assert_true(mvcc_open(&mvcc, &store->head, 7, error));
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t middle = draw(KEYS);
        for (int i = 0; i < CHANGES; i++)
            change(draw(4) == 0 ? draw(KEYS) : (middle + draw(400)) % KEYS, draw(3) != 0);
        mvcc.spill_limit = draw(5) == 0 ? 0 : draw(400000);
        mvcc.recent.limit = mvcc.spill_limit + 50000;
        for (uint64_t commits = draw(20); commits > 0; commits--)
            mvcc_commit(&mvcc);
        for (int i = 0; i < SCANS; i++) {
            uint64_t first = draw(KEYS);
            uint64_t end = first + 1 + draw(draw(3) == 0 ? KEYS - first : 10);
            scan(first, end < KEYS ? end : KEYS, draw(2) == 0, draw(2) == 0);
        }
        scan(0, KEYS, round % 2 == 0, round % 3 == 0);
    }
    mvcc_close(&mvcc);
    memory_close(&store->head);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
