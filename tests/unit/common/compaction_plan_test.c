/* compaction_plan: what was put comes out, and nothing malformed does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/compaction_plan.h"

static const struct plan_item items[] = {
    {.kind = PLAN_KEEP, .at = {.main = INT64_MAX, .sub = UINT32_MAX}},
    {.kind = PLAN_TOMBSTONE,
     .at = {.main = 0x0102030405060708, .sub = 9},
     .key = {(const uint8_t *)"key", 3}},
    {.kind = PLAN_TOMBSTONE, .at = {.main = 2}},
    {.kind = PLAN_FORGET, .at = {.main = 1}},
};
enum { ITEMS = sizeof items / sizeof *items };

static void put_all(struct buffer *out) {
    for (size_t i = 0; i < ITEMS; i++)
        plan_item_put(out, &items[i]);
}

static void test_round_trip(void **state) {
    (void)state;
    struct buffer buffer = {0};
    struct plan_item item;
    put_all(&buffer);
    struct bytes rest = buffer_bytes(&buffer);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_true(plan_item_next(&rest, &item));
        assert_int_equal(item.kind, items[i].kind);
        assert_int_equal(revision_compare(item.at, items[i].at), 0);
        assert_true(bytes_equal(item.key, items[i].key));
    }
    assert_false(plan_item_next(&rest, &item));
    assert_int_equal(rest.length, 0);
    buffer_free(&buffer);
}

/* Wherever it is cut, what is whole comes out and the rest is left over. */
static void test_cut(void **state) {
    (void)state;
    struct buffer buffer = {0};
    put_all(&buffer);
    for (size_t length = 0; length < buffer.length; length++) {
        struct bytes rest = bytes_of(buffer.data, length);
        struct plan_item item;
        size_t count = 0;
        while (plan_item_next(&rest, &item))
            count++;
        assert_true(count < ITEMS);
        struct buffer whole = {0};
        for (size_t i = 0; i < count; i++)
            plan_item_put(&whole, &items[i]);
        assert_int_equal(whole.length + rest.length, length);
        buffer_free(&whole);
    }
    buffer_free(&buffer);
}

static void test_unknown_kind(void **state) {
    (void)state;
    struct buffer buffer = {0};
    struct plan_item item;
    plan_item_put(&buffer, &items[0]);
    for (unsigned kind = 0; kind < 256; kind++) {
        buffer.data[0] = (uint8_t)kind;
        struct bytes rest = buffer_bytes(&buffer);
        assert_int_equal(plan_item_next(&rest, &item), kind == PLAN_KEEP || kind == PLAN_FORGET);
    }
    buffer_free(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_unknown_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
