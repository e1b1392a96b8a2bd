/* Which watchers a key concerns, which ranges are told to apply, what the ring keeps, where responses are
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/request.h"
#include "proxy/watch/encoded.h"
#include "proxy/watch/interest.h"
#include "proxy/watch/ranges.h"
#include "proxy/watch/ring.h"

enum { ROUNDS = 20000, MANY = 700 };

static uint64_t random_state = 7;

static unsigned below(unsigned bound) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((random_state >> 33) % bound);
}

/* One to four letters out of three, the least of which is zero: keys that extend one another and touch. */
static struct bytes random_key(uint8_t place[4]) {
    size_t length = 1 + below(4);
    for (size_t i = 0; i < length; i++)
        place[i] = (uint8_t)below(3);
    return bytes_of(place, length);
}

static struct bytes random_end(struct bytes key, uint8_t place[4]) {
    if (below(3) == 0)
        return (struct bytes){0};
    if (below(20) == 0)
        return bytes_of("", 1);
    struct bytes end = random_key(place);
    for (unsigned i = 0; bytes_compare(end, key) <= 0 || range_is_open(end); i++) {
        if (i == 50)
            return (struct bytes){0};
        end = random_key(place);
    }
    return end;
}

struct held {
    struct interest *interest;
    bool previous;
};

static void check_match(const struct interest_index *index, const struct held *held, size_t count,
                        struct bytes probe) {
    struct interest_list found = {0};
    interest_index_match(index, probe, &found);
    for (size_t i = 0; i < found.count; i++) {
        assert_true(interval_contains(found.list[i]->key, found.list[i]->range_end, probe));
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(found.list[i], found.list[j]);
    }
    for (size_t i = 0; i < count; i++) {
        bool expected = interval_contains(held[i].interest->key, held[i].interest->range_end, probe);
        bool got = false;
        for (size_t j = 0; j < found.count; j++)
            got = got || found.list[j] == held[i].interest;
        assert_int_equal(got, expected);
    }
    interest_list_free(&found);
}

static bool told(const struct ranges *ranges, struct bytes probe, bool *previous) {
    struct buffer body = {0};
    ranges_put(ranges, &body);
    struct bytes left = buffer_bytes(&body);
    struct bus_range range;
    bool found = false;
    while (bus_range_next(&left, &range)) {
        if (!interval_contains(range.key, range.range_end, probe))
            continue;
        assert_false(found); /* disjoint */
        found = true;
        *previous = range.previous;
    }
    assert_int_equal(left.length, 0);
    buffer_free(&body);
    return found;
}

static void check_told(const struct ranges *ranges, const struct held *held, size_t count,
                       struct bytes probe) {
    bool previous = false;
    assert_true(ranges->count <= RANGES_MOST);
    bool found = told(ranges, probe, &previous);
    for (size_t i = 0; i < count; i++) {
        if (interval_contains(held[i].interest->key, held[i].interest->range_end, probe))
            assert_true(found && (previous || !held[i].previous));
    }
}

/* Random interests come and go; what is found and what is told always holds for every key. */
static void index_and_ranges_hold_what_is_watched(void **state) {
    (void)state;
    static struct held held[MANY];
    struct interest_index index = {.keys.seed = 99};
    struct ranges ranges = {0};
    size_t count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t places[3][4];
        bool grow = count == 0 || (count < MANY && below(MANY) > count / 2 + below(MANY) / 2);
        if (grow) {
            struct bytes key = random_key(places[0]);
            struct bytes end = random_end(key, places[1]);
            bool previous = below(10) == 0;
            held[count++] = (struct held){interest_take(&index, key, end, previous), previous};
            ranges_cover(&ranges, key, end, previous);
        } else {
            size_t gone = below((unsigned)count);
            interest_release(&index, held[gone].interest, held[gone].previous);
            held[gone] = held[--count];
        }
        if (round % 500 == 0) {
            struct interest_list all = {0};
            interest_index_all(&index, &all);
            assert_int_equal(all.count, index.count);
            ranges_rebuild(&ranges, &all);
            assert_false(ranges_rebuild(&ranges, &all));
            interest_list_free(&all);
        }
        struct bytes probe = random_key(places[2]);
        if (round % 8 == 0)
            check_match(&index, held, count, probe);
        check_told(&ranges, held, count, probe);
    }
    for (size_t i = 0; i < count; i++)
        interest_release(&index, held[i].interest, held[i].previous);
    interest_index_free(&index);
    ranges_free(&ranges);
}

/* Around the length from which on keys are cut: letters before it are 'x' or the highest there is. */
static struct bytes random_long_key(struct buffer *place) {
    size_t length = RANGE_KEY_BYTES - 2 + below(5);
    unsigned highest = below(3) == 0 ? (unsigned)length : below(3);
    place->length = 0;
    memset(buffer_reserve(place, length), below(3) == 0 ? 0xff : 'x', length);
    place->length = length;
    for (size_t i = RANGE_KEY_BYTES - 2; i < length; i++)
        place->data[i] = below(4) == 0 ? 0xff : (uint8_t)('a' + below(3));
    if (highest < length)
        place->data[highest] = 0xff;
    return buffer_bytes(place);
}

/* Cut, ranges are wider than what is watched, never narrower. */
static void long_keys_are_cut(void **state) {
    (void)state;
    struct buffer places[3] = {{0}};
    for (unsigned round = 0; round < 2000; round++) {
        struct held held[20] = {{0}};
        struct interest_index index = {.keys.seed = 99};
        struct interest_list all = {0};
        struct ranges ranges = {0};
        for (size_t i = 0; i < 20; i++) {
            struct bytes key = random_long_key(&places[0]);
            struct bytes end = below(2) == 0 ? (struct bytes){0} : random_long_key(&places[1]);
            if (end.length != 0 && bytes_compare(end, key) <= 0)
                end = bytes_of("", 1);
            held[i].interest = interest_take(&index, key, end, false);
            ranges_cover(&ranges, key, end, false);
            check_told(&ranges, held, i + 1, random_long_key(&places[2]));
            check_told(&ranges, held, i + 1, key);
        }
        interest_index_all(&index, &all);
        ranges_rebuild(&ranges, &all);
        for (unsigned i = 0; i < 20; i++)
            check_told(&ranges, held, 20, random_long_key(&places[2]));
        for (size_t i = 0; i < ranges.count; i++)
            assert_true(ranges.list[i].key.length <= RANGE_KEY_BYTES &&
                        ranges.list[i].end.length <= RANGE_KEY_BYTES + 1);
        for (size_t i = 0; i < 20; i++)
            interest_release(&index, held[i].interest, false);
        assert_int_equal(index.bytes, 0);
        interest_list_free(&all);
        interest_index_free(&index);
        ranges_free(&ranges);
    }
    for (unsigned i = 0; i < 3; i++)
        buffer_free(&places[i]);
}

static void no_watcher_no_ranges(void **state) {
    (void)state;
    struct ranges ranges = {0};
    struct interest_list none = {0};
    assert_true(ranges_cover(&ranges, bytes_from_text("a"), (struct bytes){0}, false));
    assert_false(ranges_cover(&ranges, bytes_from_text("a"), (struct bytes){0}, false));
    assert_true(ranges_cover(&ranges, bytes_from_text("a"), (struct bytes){0}, true));
    assert_true(ranges_rebuild(&ranges, &none));
    assert_int_equal(ranges.count, 0);
    ranges_free(&ranges);
}

/* Neighbours melt together, far ones stay apart. */
static void the_closest_ranges_become_one(void **state) {
    (void)state;
    struct ranges ranges = {0};
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = 0; j < 10; j++) {
            char key[16];
            snprintf(key, sizeof key, "group%u/key%u", i, j);
            ranges_cover(&ranges, bytes_from_text(key), (struct bytes){0}, false);
        }
    }
    assert_true(ranges.count <= RANGES_MOST);
    bool previous = false;
    assert_false(told(&ranges, bytes_from_text("group3/z"), &previous));
    assert_false(told(&ranges, bytes_from_text("group"), &previous));
    ranges_free(&ranges);
}

static void ring_is_bounded_and_seeks(void **state) {
    (void)state;
    static uint8_t body[1 << 20];
    struct ring ring = {.oldest = 5};
    for (int64_t revision = 5; revision < 105; revision += 2) {
        struct bus_events events = {
            .from = revision, .to = revision + 1, .body = bytes_of(body, sizeof body)};
        assert_non_null(ring_append(&ring, &events, 3));
        assert_int_equal(ring_seek(&ring, revision + 2), ring.count);
        if (revision % 10 == 1)
            ring_trim(&ring, 16 << 20, 65536);
    }
    ring_trim(&ring, 16 << 20, 65536);
    assert_int_equal(ring.count, 16);
    assert_int_equal(ring.bytes, 16 << 20);
    assert_int_equal(ring.events, 48);
    assert_int_equal(ring.oldest, 73);
    assert_int_equal(ring_at(&ring, ring_seek(&ring, 73))->from, 73);
    assert_int_equal(ring_at(&ring, ring_seek(&ring, 76))->from, 75);
    ring_clear(&ring, 200);
    assert_true(ring.count == 0 && ring.bytes == 0 && ring.oldest == 200);
    ring_free(&ring);
}

static void pieces_are_whole_revisions(void **state) {
    (void)state;
    static const int64_t revisions[] = {2, 2, 3, 5, 5, 5, 6};
    struct encoded encoded = {0};
    uint8_t message[100] = {0};
    for (size_t i = 0; i < 7; i++)
        encoded_add(&encoded, &(struct event){.revision = revisions[i], .message = bytes_of(message, 98)},
                    false);
    assert_int_equal(encoded.body.length, 700);
    assert_int_equal(encoded_from(&encoded, 1), 0);
    assert_int_equal(encoded_from(&encoded, 3), 2);
    assert_int_equal(encoded_from(&encoded, 4), 3);
    assert_int_equal(encoded_from(&encoded, 7), 7);
    assert_int_equal(encoded_piece(&encoded, 0, 700), 7);
    assert_int_equal(encoded_piece(&encoded, 0, 699), 6);
    assert_int_equal(encoded_piece(&encoded, 0, 599), 3);
    assert_int_equal(encoded_piece(&encoded, 0, 300), 3);
    assert_int_equal(encoded_piece(&encoded, 0, 299), 2);
    assert_int_equal(encoded_piece(&encoded, 0, 10), 2); /* one at least */
    assert_int_equal(encoded_piece(&encoded, 3, 10), 6);
    assert_int_equal(encoded_piece(&encoded, 2, 100), 3);
    assert_int_equal(encoded_piece(&encoded, 6, 10), 7);
    encoded_free(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_and_ranges_hold_what_is_watched),
        cmocka_unit_test(long_keys_are_cut),
        cmocka_unit_test(no_watcher_no_ranges),
        cmocka_unit_test(the_closest_ranges_become_one),
        cmocka_unit_test(ring_is_bounded_and_seeks),
        cmocka_unit_test(pieces_are_whole_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
