/* The buffer of late writes stays about as large as it may be, whatever is written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"

#include "memory_store.h"
#include "requests.h"

/* In the proportions of production, but for the snapshots that wait: none do. */
enum { LIMIT = 160 << 10, SPILL_LIMIT = 120 << 10, SPILL_STEP = 1 << 10 };

static struct memory_store *store;
static struct mvcc mvcc;

static int setup(void **state) {
    char error[256];
    (void)state;
    store = memory_store_new();
    assert_true(mvcc_open(&mvcc, &store->head, 1, error));
    mvcc.recent.limit = LIMIT;
    mvcc.spill_limit = SPILL_LIMIT;
    mvcc.spill_step = SPILL_STEP;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    mvcc_close(&mvcc);
    memory_close(&store->head);
    return 0;
}

static struct bytes key_of(unsigned number, char place[16]) {
    return bytes_of(place, (size_t)snprintf(place, 16, "%u", number));
}

static void put(unsigned number, struct bytes value) {
    char place[16];
    struct buffer body = {0};
    struct buffer entry = {0};
    struct outcome outcome;
    encode_put(&body, &(struct put_request){.key = key_of(number, place), .value = value});
    struct internal_request request = {.number = INTERNAL_PUT, .body = buffer_bytes(&body)};
    internal_request_encode(&entry, &request);
    mvcc_execute(&mvcc, mvcc.index + 1, 1, 0, buffer_bytes(&entry), &outcome);
    buffer_free(&body);
    buffer_free(&entry);
}

static void get(unsigned number, struct bytes value) {
    char place[16];
    struct view view = mvcc_view(&mvcc, NULL);
    struct found found;
    uint64_t examined = 0;
    assert_true(view_get(&view, key_of(number, place), view.revision, &found, &examined));
    assert_true(bytes_equal(found.record.value, value));
    view_release(&view, &found);
}

static void commit(size_t round_bytes) {
    mvcc_commit(&mvcc);
    assert_in_range(mvcc.recent.bytes, 0, LIMIT + LIMIT / 4 + 2 * round_bytes);
}

/* As a member has them that was away for long. */
static void test_many_small_writes_in_one_round(void **state) {
    (void)state;
    enum { ROUNDS = 30, PUTS = 300, ENTRY_BYTES = 192 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PUTS; i++)
            put(round * PUTS + i, (struct bytes){0});
        commit((size_t)PUTS * ENTRY_BYTES);
    }
}

/* Many more bytes are read than written: what is read lies between what is to be spilled. */
static void test_many_large_reads_between_few_writes(void **state) {
    (void)state;
    enum { ROUNDS = 60, KEYS = 1000, READS = 50, ENTRY_BYTES = 1200 };
    static uint8_t place[1000];
    struct bytes value = bytes_of(place, sizeof place);
    memset(place, 'v', sizeof place);
    for (unsigned i = 0; i < KEYS; i++) {
        put(i, value);
        if (i % 20 == 19)
            commit(20 * ENTRY_BYTES);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < READS; i++) {
            get((round * READS + i) % KEYS, value);
            if (i % 5 == 0)
                put(KEYS + round * READS + i, (struct bytes){0});
        }
        commit((size_t)READS * ENTRY_BYTES);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_small_writes_in_one_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_large_reads_between_few_writes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
