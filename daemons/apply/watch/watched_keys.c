/*
 * watched_keys: see watched_keys.h. The row is built by a sweep over the ends of all ranges in key order,
 * counting those that are open.
 */
#include "apply/watch/watched_keys.h"

#include <stdlib.h>

#include "common/bus/contract.h"

/* Where ranges begin or end. */
struct range_end {
    struct bytes key;
    int ranges, previous; /* by how much the numbers of open ranges change here */
};

static int compare_ends(const void *a, const void *b) {
    return bytes_compare(((const struct range_end *)a)->key, ((const struct range_end *)b)->key);
}

/* SIZE_MAX: malformed, or more than the limit. */
static size_t count_ranges(struct bytes ranges, size_t limit) {
    struct bus_range range;
    size_t count = 0;
    while (bus_range_next(&ranges, &range)) {
        if (++count > limit)
            return SIZE_MAX;
    }
    return ranges.length == 0 ? count : SIZE_MAX;
}

/* keys has room: what is borrowed from it does not move. */
static struct bytes store_key(struct buffer *keys, struct bytes key, bool zero_behind) {
    size_t begin = keys->length;
    buffer_append_bytes(keys, key);
    if (zero_behind)
        buffer_append_byte(keys, 0);
    return bytes_of(keys->data + begin, keys->length - begin);
}

/* Writes the one or two ends of a range; returns how many. */
static size_t put_ends(struct range_end *ends, struct buffer *keys, const struct bus_range *range) {
    bool point = range->range_end.length == 0;
    bool open = range->range_end.length == 1 && range->range_end.data[0] == 0;
    if (!point && !open && bytes_compare(range->range_end, range->key) <= 0)
        return 0;
    struct bytes upper = store_key(keys, point ? range->key : range->range_end, point);
    struct bytes lower = point ? bytes_of(upper.data, range->key.length) : store_key(keys, range->key, false);
    ends[0] = (struct range_end){.key = lower, .ranges = 1, .previous = range->previous};
    ends[1] = (struct range_end){.key = upper, .ranges = -1, .previous = -(int)range->previous};
    return open ? 1 : 2;
}

static bool adjoins(const struct watched_span *span, struct bytes lower, bool previous) {
    return !span->open && span->previous == previous && bytes_equal(span->upper, lower);
}

static void add_span(struct watched_keys *watched, const struct range_end *from, const struct range_end *to,
                     bool previous) {
    struct watched_span *last = watched->count == 0 ? NULL : &watched->spans[watched->count - 1];
    if (last == NULL || !adjoins(last, from->key, previous)) {
        last = &watched->spans[watched->count++];
        *last = (struct watched_span){.lower = from->key, .previous = previous};
    }
    last->open = to == NULL;
    last->upper = to == NULL ? (struct bytes){0} : to->key;
}

static void sweep(struct watched_keys *watched, struct range_end *ends, size_t count) {
    int ranges = 0;
    int previous = 0;
    qsort(ends, count, sizeof *ends, compare_ends);
    for (size_t i = 0; i < count; i++) {
        const struct range_end *next = i + 1 < count ? &ends[i + 1] : NULL;
        ranges += ends[i].ranges;
        previous += ends[i].previous;
        if (ranges > 0 && (next == NULL || !bytes_equal(ends[i].key, next->key)))
            add_span(watched, &ends[i], next, previous > 0);
    }
}

bool watched_keys_parse(struct watched_keys *out, struct bytes ranges, size_t limit) {
    size_t count = count_ranges(ranges, limit);
    *out = (struct watched_keys){0};
    if (count == SIZE_MAX)
        return false;
    if (count == 0)
        return true;
    struct range_end *ends = must_alloc(2 * count * sizeof *ends);
    struct bus_range range;
    size_t end_count = 0;
    buffer_reserve(&out->keys, ranges.length + count);
    while (bus_range_next(&ranges, &range))
        end_count += put_ends(ends + end_count, &out->keys, &range);
    out->spans = must_alloc(2 * count * sizeof *out->spans);
    sweep(out, ends, end_count);
    free(ends);
    return true;
}

void watched_keys_free(struct watched_keys *watched) {
    free(watched->spans);
    buffer_free(&watched->keys);
    *watched = (struct watched_keys){0};
}

bool watched_keys_match(const struct watched_keys *watched, struct bytes key, bool *previous) {
    size_t low = 0;
    size_t high = watched->count;
    while (low < high) { /* the first span that begins behind the key */
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(watched->spans[middle].lower, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    const struct watched_span *span = &watched->spans[low - 1];
    *previous = span->previous;
    return span->open || bytes_compare(key, span->upper) < 0;
}
