/* ranges: see ranges.h. A single key k is the range [k, k + zero byte). */
#include "proxy/watch/ranges.h"

#include <stdlib.h>

#include "common/bus/contract.h"

/* A range with its key and end still elsewhere. For a single key, end is the key and `successor` is set. */
struct span {
    struct bytes key, end;
    bool open, successor, previous;
};

/* Behind all keys that begin as `end` does: its beginning with the last byte one higher. */
static void cut_end(struct span *span, struct arena *arena) {
    size_t length = RANGE_KEY_BYTES;
    while (length > 0 && span->end.data[length - 1] == 0xff)
        length--;
    span->successor = false;
    span->open = length == 0;
    span->end.length = length;
    if (span->open)
        return;
    uint8_t *end = arena_alloc(arena, length);
    memcpy(end, span->end.data, length);
    end[length - 1]++;
    span->end.data = end;
}

/* Long keys are cut, which makes the range wider. arena: for what can't be borrowed. */
static struct span span_of(struct bytes key, struct bytes range_end, bool previous, struct arena *arena) {
    bool single = range_is_key(range_end);
    struct span span = {.key = key,
                        .end = single ? key : range_end,
                        .open = range_is_open(range_end),
                        .successor = single,
                        .previous = previous};
    if (span.key.length > RANGE_KEY_BYTES)
        span.key.length = RANGE_KEY_BYTES;
    if (span.end.length > RANGE_KEY_BYTES)
        cut_end(&span, arena);
    return span;
}

static struct span span_of_wide(const struct wide_range *range) {
    return (struct span){
        .key = range->key, .end = range->end, .open = range->open, .previous = range->previous};
}

/* Where a span ends, compared with a key: k's successor lies directly behind k. */
static int compare_end_with_key(const struct span *span, struct bytes key) {
    if (span->open)
        return 1;
    if (!span->successor)
        return bytes_compare(span->end, key);
    if (key.length == span->end.length + 1 && key.data[span->end.length] == 0 &&
        bytes_equal(bytes_of(key.data, span->end.length), span->end))
        return 0;
    return bytes_compare(span->end, key) < 0 ? -1 : 1;
}

static int compare_ends(const struct span *a, const struct span *b) {
    if (a->open || b->open)
        return a->open - b->open;
    if (!b->successor)
        return compare_end_with_key(a, b->end);
    if (!a->successor)
        return -compare_end_with_key(b, a->end);
    return bytes_compare(a->end, b->end);
}

/* b begins at or before the end of a, and a not behind b: a takes b in. False: there is a gap. */
static bool join(struct span *a, const struct span *b) {
    if (compare_end_with_key(a, b->key) < 0)
        return false;
    if (compare_ends(a, b) < 0) {
        a->end = b->end;
        a->open = b->open;
        a->successor = b->successor;
    }
    a->previous = a->previous || b->previous;
    return true;
}

/* Spans in key order become disjoint; returns how many are left. */
static size_t join_all(struct span *spans, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !join(&spans[kept - 1], &spans[i]))
            spans[kept++] = spans[i];
    }
    return kept;
}

/* How far apart two keys are: less the longer their common beginning, then by what follows it. */
struct distance {
    size_t common;
    uint64_t difference;
    size_t number; /* of the gap */
};

static uint64_t eight_bytes(struct bytes key, size_t from) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | (from + i < key.length ? key.data[from + i] : 0);
    return value;
}

static struct distance distance_between(struct bytes low, struct bytes high, size_t number) {
    size_t shorter = low.length < high.length ? low.length : high.length;
    size_t common = 0;
    while (common < shorter && low.data[common] == high.data[common])
        common++;
    return (struct distance){.common = common,
                             .difference = eight_bytes(high, common) - eight_bytes(low, common),
                             .number = number};
}

static int closest_first(const void *left, const void *right) {
    const struct distance *a = left;
    const struct distance *b = right;
    if (a->common != b->common)
        return a->common > b->common ? -1 : 1;
    if (a->difference != b->difference)
        return a->difference < b->difference ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Closes the narrowest gaps until RANGES_MERGED spans are left. */
static size_t merge_closest(struct span *spans, size_t count) {
    struct distance *gaps = must_alloc(count * sizeof *gaps);
    bool *closed = must_zalloc(count);
    for (size_t i = 0; i + 1 < count; i++)
        gaps[i] = distance_between(spans[i].end, spans[i + 1].key, i);
    qsort(gaps, count - 1, sizeof *gaps, closest_first);
    for (size_t i = 0; i < count - RANGES_MERGED; i++)
        closed[gaps[i].number] = true;
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (!closed[i - 1]) {
            spans[kept++] = spans[i];
            continue;
        }
        struct span *into = &spans[kept - 1];
        into->end = spans[i].end;
        into->open = spans[i].open;
        into->successor = spans[i].successor;
        into->previous = into->previous || spans[i].previous;
    }
    free(gaps);
    free(closed);
    return kept;
}

static size_t append(struct buffer *bytes, struct bytes key, bool successor) {
    size_t place = bytes->length;
    buffer_append_bytes(bytes, key);
    if (successor)
        buffer_append_byte(bytes, 0);
    return place;
}

/* Copies the spans in; they may lie in the old bytes. */
static void store(struct ranges *ranges, struct span *spans, size_t count) {
    if (count > RANGES_MOST)
        count = merge_closest(spans, count);
    struct buffer bytes = {0};
    size_t places[2 * RANGES_MOST];
    for (size_t i = 0; i < count; i++) {
        places[2 * i] = append(&bytes, spans[i].key, false);
        places[2 * i + 1] = append(&bytes, spans[i].end, spans[i].successor);
    }
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? places[2 * i + 2] : bytes.length;
        ranges->list[i] = (struct wide_range){
            .key = bytes_of(bytes.data + places[2 * i], places[2 * i + 1] - places[2 * i]),
            .end = bytes_of(bytes.data + places[2 * i + 1], end - places[2 * i + 1]),
            .open = spans[i].open,
            .previous = spans[i].previous};
    }
    ranges->count = count;
    buffer_free(&ranges->bytes);
    ranges->bytes = bytes;
}

static bool is_covered(const struct ranges *ranges, const struct span *span) {
    for (size_t i = 0; i < ranges->count; i++) {
        struct span wide = span_of_wide(&ranges->list[i]);
        if (bytes_compare(wide.key, span->key) <= 0 && compare_ends(span, &wide) <= 0)
            return wide.previous || !span->previous;
    }
    return false;
}

bool ranges_cover(struct ranges *ranges, struct bytes key, struct bytes range_end, bool previous) {
    struct arena arena = {0};
    struct span span = span_of(key, range_end, previous, &arena);
    if (is_covered(ranges, &span)) {
        arena_free(&arena);
        return false;
    }
    struct span spans[RANGES_MOST + 1];
    size_t count = 0;
    bool placed = false;
    for (size_t i = 0; i < ranges->count; i++) {
        if (!placed && bytes_compare(span.key, ranges->list[i].key) < 0) {
            spans[count++] = span;
            placed = true;
        }
        spans[count++] = span_of_wide(&ranges->list[i]);
    }
    if (!placed)
        spans[count++] = span;
    store(ranges, spans, join_all(spans, count));
    arena_free(&arena);
    return true;
}

static int by_key(const void *left, const void *right) {
    const struct interest *a = *(struct interest *const *)left;
    const struct interest *b = *(struct interest *const *)right;
    return bytes_compare(a->key, b->key);
}

bool ranges_rebuild(struct ranges *ranges, struct interest_list *interests) {
    struct buffer before = {0};
    struct buffer after = {0};
    struct arena arena = {0};
    ranges_put(ranges, &before);
    struct span *spans = must_alloc((interests->count + 1) * sizeof *spans);
    if (interests->count > 0)
        qsort((void *)interests->list, interests->count, sizeof *interests->list, by_key);
    for (size_t i = 0; i < interests->count; i++) {
        const struct interest *interest = interests->list[i];
        spans[i] = span_of(interest->key, interest->range_end, interest->previous > 0, &arena);
    }
    store(ranges, spans, join_all(spans, interests->count));
    free(spans);
    arena_free(&arena);
    ranges_put(ranges, &after);
    bool changed = !bytes_equal(buffer_bytes(&before), buffer_bytes(&after));
    buffer_free(&before);
    buffer_free(&after);
    return changed;
}

void ranges_put(const struct ranges *ranges, struct buffer *out) {
    for (size_t i = 0; i < ranges->count; i++) {
        const struct wide_range *range = &ranges->list[i];
        struct span single = {.key = range->key, .end = range->key, .successor = true};
        struct span span = span_of_wide(range);
        struct bytes end = range->end;
        if (range->open)
            end = bytes_of("", 1);
        else if (compare_ends(&single, &span) == 0)
            end = (struct bytes){0};
        bus_range_put(out,
                      &(struct bus_range){.key = range->key, .range_end = end, .previous = range->previous});
    }
}

void ranges_free(struct ranges *ranges) {
    buffer_free(&ranges->bytes);
    *ranges = (struct ranges){0};
}
