/* raft_log: terms as runs, the cache and its eviction, truncation, release; against a plain array as oracle.
 */
#include "raft/core/raft_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static struct bytes text(char *out, size_t size, uint64_t index, uint64_t term) {
    int length =
        snprintf(out, size, "entry %llu of term %llu", (unsigned long long)index, (unsigned long long)term);
    return bytes_of(out, (size_t)length);
}

static void append_many(struct raft_log *log, uint64_t term, unsigned count) {
    char data[64];
    for (unsigned i = 0; i < count; i++)
        raft_log_append(log, term, 0, text(data, sizeof data, log->last + 1, term));
}

static void check_entry(const struct raft_log *log, uint64_t index, uint64_t term) {
    char data[64];
    struct raft_entry entry;
    assert_true(raft_log_get(log, index, &entry));
    assert_int_equal(entry.index, index);
    assert_int_equal(entry.term, term);
    assert_true(bytes_equal(entry.data, text(data, sizeof data, index, term)));
}

static void terms_and_data(void **state) {
    (void)state;
    struct raft_log log;
    uint64_t term = 0;
    raft_log_init(&log, 1 << 20);
    assert_true(raft_log_term(&log, 0, &term));
    assert_int_equal(term, 0);
    assert_false(raft_log_term(&log, 1, &term));
    append_many(&log, 1, 3);
    append_many(&log, 4, 2000);
    append_many(&log, 7, 1);
    assert_int_equal(log.last, 2004);
    assert_int_equal(raft_log_last_term(&log), 7);
    check_entry(&log, 1, 1);
    check_entry(&log, 3, 1);
    check_entry(&log, 4, 4);
    check_entry(&log, 2003, 4);
    check_entry(&log, 2004, 7);
    struct raft_entry entry;
    assert_false(raft_log_get(&log, 0, &entry));
    assert_false(raft_log_get(&log, 2005, &entry));

    raft_log_truncate(&log, 3);
    assert_int_equal(log.last, 2);
    assert_int_equal(raft_log_last_term(&log), 1);
    append_many(&log, 8, 2);
    check_entry(&log, 2, 1);
    check_entry(&log, 3, 8);
    raft_log_free(&log);
}

static void release_moves_the_base(void **state) {
    (void)state;
    struct raft_log log;
    struct raft_entry entry;
    uint64_t term = 0;
    raft_log_init(&log, 1 << 20);
    append_many(&log, 1, 5);
    append_many(&log, 2, 5);
    raft_log_release(&log, 7);
    assert_int_equal(log.base_index, 7);
    assert_int_equal(log.base_term, 2);
    assert_false(raft_log_term(&log, 6, &term));
    assert_true(raft_log_term(&log, 7, &term));
    assert_int_equal(term, 2);
    assert_false(raft_log_get(&log, 7, &entry));
    check_entry(&log, 8, 2);
    raft_log_release(&log, 10);
    assert_int_equal(raft_log_last_term(&log), 2);
    append_many(&log, 2, 1);
    check_entry(&log, 11, 2);
    append_many(&log, 3, 1);
    assert_int_equal(raft_log_last_term(&log), 3);
    raft_log_truncate(&log, 11);
    assert_int_equal(log.last, 10);
    assert_int_equal(raft_log_last_term(&log), 2);
    raft_log_reset(&log, 50, 9);
    assert_int_equal(raft_log_last_term(&log), 9);
    append_many(&log, 9, 1);
    check_entry(&log, 51, 9);
    raft_log_free(&log);
}

static void eviction_is_bounded_by_durability(void **state) {
    (void)state;
    struct raft_log log;
    struct raft_entry entry;
    raft_log_init(&log, 2 << 20);
    uint8_t *big = must_zalloc(100 * 1000);
    for (unsigned i = 0; i < 100; i++)
        raft_log_append(&log, 1, 0, bytes_of(big, 100 * 1000));
    raft_log_evict(&log, 0);
    assert_true(raft_log_get(&log, 1, &entry)); /* nothing is durable: nothing may go */
    raft_log_evict(&log, 35);
    assert_true(log.cached > 20 && log.cached <= 36);
    assert_false(raft_log_get(&log, log.cached - 1, &entry));
    assert_true(raft_log_get(&log, log.cached, &entry));
    raft_log_evict(&log, 100);
    assert_true(log.block_bytes <= 3 << 20);
    assert_true(raft_log_get(&log, 100, &entry));
    uint64_t term = 0;
    assert_true(raft_log_term(&log, 1, &term)); /* terms stay known */
    /* One larger than a block. */
    uint8_t *huge = must_zalloc(3 << 20);
    huge[(3 << 20) - 1] = 42;
    raft_log_append(&log, 1, 1, bytes_of(huge, 3 << 20));
    assert_true(raft_log_get(&log, 101, &entry));
    assert_int_equal(entry.data.length, 3 << 20);
    assert_int_equal(entry.data.data[(3 << 20) - 1], 42);
    assert_int_equal(entry.type, 1);
    /* Empty entries cost something too: the ring of slots stays bounded. */
    for (unsigned i = 0; i < 200 * 1000; i++) {
        raft_log_append(&log, 1, 0, (struct bytes){0});
        raft_log_evict(&log, log.last);
    }
    assert_true(log.slot_mask < 1 << 17);
    raft_log_free(&log);
    free(big);
    free(huge);
}

/* Random operations against an array of terms. */
static void agrees_with_an_array(void **state) {
    (void)state;
    static uint64_t terms[20000];
    struct raft_log log;
    raft_log_init(&log, 1 << 20);
    uint64_t base = 0;
    uint64_t last = 0;
    uint64_t term = 1;
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        int dice = rand() % 100;
        if (dice < 70 && last + 6 < sizeof terms / sizeof *terms) {
            unsigned count = 1 + (unsigned)rand() % 5;
            append_many(&log, term, count);
            for (unsigned i = 0; i < count; i++)
                terms[++last] = term;
        } else if (dice < 80) {
            term += 1 + (uint64_t)rand() % 3;
        } else if (dice < 90 && last > base) {
            uint64_t from = base + 1 + (uint64_t)rand() % (last - base);
            raft_log_truncate(&log, from);
            last = from - 1;
        } else if (last > base && dice > 97) {
            base += 1 + (uint64_t)rand() % (last - base);
            raft_log_release(&log, base);
        }
        assert_int_equal(log.last, last);
        assert_int_equal(log.base_index, base);
        for (unsigned probe = 0; probe < 5 && last > base; probe++) {
            uint64_t index = base + 1 + (uint64_t)rand() % (last - base);
            check_entry(&log, index, terms[index]);
        }
    }
    raft_log_free(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_and_data),
        cmocka_unit_test(release_moves_the_base),
        cmocka_unit_test(eviction_is_bounded_by_durability),
        cmocka_unit_test(agrees_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
