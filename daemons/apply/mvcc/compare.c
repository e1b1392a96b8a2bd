/* compare: see compare.h. Numbers out of the enums behave as in etcd: an unknown target is equal, an unknown
 * result holds, an operand of another target's type counts as zero. */
#include "apply/mvcc/compare.h"

static const uint32_t operand_of_target[] = {
    [COMPARE_VERSION] = 4, [COMPARE_CREATE] = 5, [COMPARE_MOD] = 6, [COMPARE_VALUE] = 7, [COMPARE_LEASE] = 8,
};

static int order_of_numbers(int64_t a, int64_t b) {
    return a < b ? -1 : a > b;
}

static int order(const struct compare *compare, const struct record *record) {
    if (compare->target < COMPARE_VERSION || compare->target > COMPARE_LEASE)
        return 0;
    bool given = compare->operand == operand_of_target[compare->target];
    int64_t number = given ? compare->number : 0;
    switch (compare->target) {
    case COMPARE_VERSION:
        return order_of_numbers(record->version, number);
    case COMPARE_CREATE:
        return order_of_numbers(record->create, number);
    case COMPARE_MOD:
        return order_of_numbers(record->modified.main, number);
    case COMPARE_VALUE:
        return bytes_compare(record->value, given ? compare->value : (struct bytes){0});
    default:
        return order_of_numbers(record->lease, number);
    }
}

static bool satisfied(const struct compare *compare, const struct record *record) {
    int found = order(compare, record);
    switch (compare->result) {
    case COMPARE_EQUAL:
        return found == 0;
    case COMPARE_GREATER:
        return found > 0;
    case COMPARE_LESS:
        return found < 0;
    case COMPARE_NOT_EQUAL:
        return found != 0;
    default:
        return true;
    }
}

static bool holds_for_nothing(const struct compare *compare) {
    struct record none = {0};
    return compare->target != COMPARE_VALUE && satisfied(compare, &none);
}

static bool holds_at_point(struct view *view, const struct compare *compare, uint64_t *keys) {
    struct found found;
    uint64_t examined = 0;
    bool live = view_get(view, compare->key, view->revision, &found, &examined);
    bool holds = live ? satisfied(compare, &found.record) : holds_for_nothing(compare);
    view_release(view, &found);
    *keys -= examined < *keys ? examined : *keys;
    return holds;
}

bool compare_holds(struct view *view, const struct compare *compare, uint64_t *keys) {
    struct interval interval = {.key = compare->key, .range_end = compare->range_end};
    if (interval_is_point(&interval))
        return holds_at_point(view, compare, keys);
    struct cursor cursor;
    bool any = false;
    bool holds = true;
    cursor_open(&cursor, view, &interval, view->revision, false);
    cursor.budget = *keys;
    while (holds && cursor_next(&cursor) == CURSOR_ITEM) {
        any = true;
        holds = satisfied(compare, &cursor.record);
    }
    *keys = cursor.budget;
    cursor_close(&cursor);
    return any ? holds : holds_for_nothing(compare);
}
