/* auto_compaction: etcd's rules, minute by minute of an invented time. The revision is the minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log.h"
#include "maint/auto_compaction.h"

#define MINUTE UINT64_C(60000000)
#define HOUR_MS UINT64_C(3600000)

enum { LONGEST = 10000 };

static struct auto_compaction compaction;
static int64_t minute, compacted;
static bool leads, works; /* works: a proposal is carried out */
static int64_t asked[LONGEST];

static void begin(bool by_revision, uint64_t retention) {
    minute = 0;
    compacted = -1;
    leads = works = true;
    auto_compaction_init(
        &compaction, &(struct auto_compaction_options){.by_revision = by_revision, .retention = retention},
        1000);
}

/* Minute by minute up to (not including) `end`; remembers what was proposed in which. */
static void run(int64_t end) {
    for (; minute < end; minute++) {
        asked[minute] = 0;
        for (unsigned tenth = 0; tenth < 600; tenth += 100) {
            uint64_t now_us = 1000 + (uint64_t)minute * MINUTE + tenth * 100000;
            int64_t revision = auto_compaction_tick(&compaction, now_us, minute + 1, compacted, leads);
            if (revision == 0)
                continue;
            assert_int_equal(asked[minute], 0);
            asked[minute] = revision;
            if (works)
                compacted = revision;
        }
    }
}

static int64_t next_asked(int64_t from) {
    while (from < minute && asked[from] == 0)
        from++;
    return from;
}

/* What the oldest sample says: taken a period and one sample before, if there was one then. */
static int64_t expected(int64_t at, int64_t period, int64_t interval) {
    int64_t sampled = at - period - interval;
    return (sampled < 0 ? 0 : sampled) + 1;
}

static int teardown(void **state) {
    (void)state;
    auto_compaction_free(&compaction);
    return 0;
}

/* Sampled every 6 minutes; the first after the period, then hourly. */
static void test_period_of_hours(void **state) {
    (void)state;
    begin(false, 5 * HOUR_MS);
    run(1000);
    assert_int_equal(next_asked(0), 300);
    assert_int_equal(asked[300], 1);
    for (int64_t at = 300; at + 60 < 1000; at += 60) {
        assert_int_equal(next_asked(at + 1), at + 60);
        assert_int_equal(asked[at + 60], expected(at + 60, 300, 6));
    }
}

static void test_period_of_minutes(void **state) {
    (void)state;
    begin(false, HOUR_MS / 2);
    run(200);
    assert_int_equal(next_asked(0), 30);
    assert_int_equal(asked[30], 1);
    for (int64_t at = 30; at + 30 < 200; at += 30) {
        assert_int_equal(next_asked(at + 1), at + 30);
        assert_int_equal(asked[at + 30], expected(at + 30, 30, 3));
    }
}

/* Not leading, it samples all the same: the new leader goes on at once. */
static void test_becomes_leader(void **state) {
    (void)state;
    begin(false, HOUR_MS);
    leads = false;
    run(200);
    assert_int_equal(next_asked(0), 200);
    leads = true;
    run(210);
    int64_t at = next_asked(200);
    assert_true(at < 206);
    assert_int_equal(asked[at], expected(at, 60, 6));
}

/* What is not carried out is tried again with each sample, with what is then the period ago. */
static void test_failure(void **state) {
    (void)state;
    begin(false, HOUR_MS);
    works = false;
    run(80);
    for (int64_t at = 60; at < 80; at += 6)
        assert_int_equal(asked[at], expected(at, 60, 6));
    works = true;
    run(84);
    assert_int_equal(next_asked(79), 84);
    run(85);
    assert_int_equal(asked[84], expected(84, 60, 6));
    run(144);
    assert_int_equal(next_asked(85), 144);
}

/* A member of the cluster has compacted further: as if we had done it. */
static void test_done_by_others(void **state) {
    (void)state;
    begin(false, HOUR_MS);
    compacted = 30;
    run(200);
    assert_int_equal(next_asked(0), 120);
    assert_int_equal(asked[120], expected(120, 60, 6));
}

static void test_nothing_happens(void **state) {
    (void)state;
    begin(false, 1000); /* a second */
    for (uint64_t now_us = 1000; now_us < 100 * MINUTE; now_us += 100000) {
        int64_t revision = auto_compaction_tick(&compaction, now_us, 17, compacted, true);
        assert_true(revision == 0 || (revision == 17 && compacted == -1));
        if (revision != 0)
            compacted = revision;
    }
    assert_int_equal(compacted, 17);
}

static void test_by_revision(void **state) {
    (void)state;
    begin(true, 40);
    run(200);
    /* At minute 40 the revision is 41. */
    assert_int_equal(next_asked(0), 40);
    for (int64_t at = 40; at + 5 < 200; at += 5) {
        assert_int_equal(asked[at], at + 1 - 40);
        assert_int_equal(next_asked(at + 1), at + 5);
    }
}

static void test_by_revision_with_failures(void **state) {
    (void)state;
    begin(true, 1);
    works = false;
    run(20);
    assert_int_equal(asked[5], 5);
    assert_int_equal(asked[10], 10);
    leads = false;
    run(40);
    assert_int_equal(next_asked(20), 40);
}

static void test_off(void **state) {
    (void)state;
    begin(false, 0);
    run(300);
    assert_int_equal(next_asked(0), 300);
    begin(true, 0);
    run(300);
    assert_int_equal(next_asked(0), 300);
}

/* Samples cost memory as time passes, not as the flag says. */
static void test_longest_retention(void **state) {
    (void)state;
    begin(false, UINT64_MAX);
    run(3000);
    assert_int_equal(next_asked(0), 3000);
    assert_true(compaction.capacity <= 1024);
    auto_compaction_free(&compaction);
    begin(true, UINT64_MAX);
    run(300);
    assert_int_equal(next_asked(0), 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_period_of_hours, teardown),
        cmocka_unit_test_teardown(test_period_of_minutes, teardown),
        cmocka_unit_test_teardown(test_becomes_leader, teardown),
        cmocka_unit_test_teardown(test_failure, teardown),
        cmocka_unit_test_teardown(test_done_by_others, teardown),
        cmocka_unit_test_teardown(test_nothing_happens, teardown),
        cmocka_unit_test_teardown(test_by_revision, teardown),
        cmocka_unit_test_teardown(test_by_revision_with_failures, teardown),
        cmocka_unit_test_teardown(test_off, teardown),
        cmocka_unit_test_teardown(test_longest_retention, teardown),
    };
    log_init("test", "fatal");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
