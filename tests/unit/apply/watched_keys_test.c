/* watched_keys: what ranges hold, against asking each of them; and bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apply/watch/watched_keys.h"
#include "common/bus/contract.h"
#include "common/request.h"

enum { MOST = 40, ROUNDS = 400, PROBES = 200 };

static uint32_t state = 12345;

static unsigned below(unsigned limit) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

/* Few and short ones, so that ranges touch and overlap. */
static struct bytes random_key(uint8_t place[4]) {
    size_t length = 1 + below(3);
    for (size_t i = 0; i < length; i++)
        place[i] = (uint8_t)(below(8) == 0 ? 0 : 'a' + below(4));
    return bytes_of(place, length);
}

static void check_probe(const struct watched_keys *watched, const struct bus_range *ranges, size_t count,
                        struct bytes probe) {
    bool expected = false;
    bool expected_previous = false;
    for (size_t i = 0; i < count; i++) {
        if (!interval_contains(ranges[i].key, ranges[i].range_end, probe))
            continue;
        expected = true;
        expected_previous |= ranges[i].previous;
    }
    bool previous = false;
    assert_int_equal(watched_keys_match(watched, probe, &previous), expected);
    if (expected)
        assert_int_equal(previous, expected_previous);
}

static void test_as_each_range_says(void **unused) {
    (void)unused;
    static uint8_t places[MOST][2][4];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct bus_range ranges[MOST];
        struct buffer body = {0};
        struct watched_keys watched;
        size_t count = below(MOST);
        for (size_t i = 0; i < count; i++) {
            ranges[i] = (struct bus_range){.key = random_key(places[i][0]), .previous = below(3) == 0};
            if (below(3) != 0)
                ranges[i].range_end = random_key(places[i][1]);
            bus_range_put(&body, &ranges[i]);
        }
        assert_true(watched_keys_parse(&watched, buffer_bytes(&body), MOST));
        for (size_t i = 1; i < watched.count; i++)
            assert_true(bytes_compare(watched.spans[i - 1].upper, watched.spans[i].lower) <= 0);
        for (unsigned probe = 0; probe < PROBES; probe++) {
            uint8_t place[4];
            check_probe(&watched, ranges, count, random_key(place));
        }
        watched_keys_free(&watched);
        buffer_free(&body);
    }
}

static void test_neighbours_are_merged(void **unused) {
    (void)unused;
    struct buffer body = {0};
    struct watched_keys watched;
    static const char *const ends[] = {"a", "c", "c", "f", "b", "e", "x", "z"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i += 2) {
        struct bus_range range = {.key = bytes_from_text(ends[i]), .range_end = bytes_from_text(ends[i + 1])};
        bus_range_put(&body, &range);
    }
    assert_true(watched_keys_parse(&watched, buffer_bytes(&body), 4));
    assert_int_equal(watched.count, 2);
    watched_keys_free(&watched);
    buffer_free(&body);
}

static void test_bounds(void **unused) {
    (void)unused;
    struct buffer body = {0};
    struct watched_keys watched;
    bool previous = false;
    assert_true(watched_keys_parse(&watched, (struct bytes){0}, 0));
    assert_false(watched_keys_match(&watched, bytes_from_text("a"), &previous));
    for (int i = 0; i < 3; i++)
        bus_range_put(&body, &(struct bus_range){.key = bytes_from_text("a")});
    assert_true(watched_keys_parse(&watched, buffer_bytes(&body), 3));
    watched_keys_free(&watched);
    assert_false(watched_keys_parse(&watched, buffer_bytes(&body), 2));
    assert_int_equal(watched.count, 0);
    assert_false(watched_keys_parse(&watched, bytes_of(body.data, body.length - 1), 3));
    assert_false(watched_keys_match(&watched, bytes_from_text("a"), &previous));
    buffer_free(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_each_range_says),
        cmocka_unit_test(test_neighbours_are_merged),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
