/* history_read: see history_read.h. */
#include "apply/watch/history_read.h"

#include "apply/watch/encode.h"

enum {
    PART_TARGET = 64 << 10,
    PART_LIMIT = 256 << 10,
    PROGRESS_RECORDS = 200000,
    COST_BYTES = 1024,  /* so much of a value costs like another record */
    COST_PREVIOUS = 10, /* a lookup, possibly on disk */
};

bool history_read_begin(struct history_read *read, const struct view *view,
                        const struct history_request *request) {
    *read = (struct history_read){.view = *view,
                                  .part_target = PART_TARGET,
                                  .part_limit = PART_LIMIT,
                                  .to = request->to,
                                  .next = {.main = request->from}};
    read->view.snapshot = NULL;
    read->view.recent = NULL;
    read->slice_from = request->from;
    return watched_keys_parse(&read->keys, request->ranges, HISTORY_RANGES_LIMIT);
}

void history_read_sent(struct history_read *read) {
    read->out.length = 0;
    read->parts.length = 0;
}

void history_read_free(struct history_read *read) {
    watched_keys_free(&read->keys);
    buffer_free(&read->part);
    buffer_free(&read->encoded);
    buffer_free(&read->out);
    buffer_free(&read->parts);
}

/* --- parts --- */

/* A part of the first `length` bytes of what was gathered. */
static void put_part(struct history_read *read, enum history_part kind, int64_t through, size_t length) {
    size_t left = read->part.length - length;
    uint32_t size = (uint32_t)(HISTORY_HEAD + length);
    history_head_put(&read->out, &(struct history_head){.part = kind, .through = through});
    buffer_append(&read->out, read->part.data, length);
    buffer_append(&read->parts, &size, sizeof size);
    if (left > 0)
        memmove(read->part.data, read->part.data + length, left);
    read->part.length = left;
    read->whole = 0;
    read->since_part = 0;
}

/* All of what was gathered, and everything before `main`, is complete. */
static void reach_revision(struct history_read *read, int64_t main) {
    read->whole = read->part.length;
    read->current = main;
    if (read->part.length >= read->part_target || read->since_part >= PROGRESS_RECORDS)
        put_part(read, HISTORY_COMPLETE, main - 1, read->part.length);
}

static void add_event(struct history_read *read, const struct event *event) {
    size_t size = event_size(event);
    if (read->part.length + size > read->part_limit && read->whole > 0)
        put_part(read, HISTORY_COMPLETE, read->current - 1, read->whole);
    if (read->part.length + size > read->part_limit && read->part.length > 0)
        put_part(read, HISTORY_PARTIAL, read->current, read->part.length);
    event_put(&read->part, event);
}

/* --- records --- */

/* What was there before the revision: nested txns can change a key twice in one. */
static bool find_previous(struct history_read *read, const struct record *record, struct found *found) {
    struct revision previous = record->previous;
    struct bytes key;
    if (record_is_creation(record) || record->modified.main - 1 < read->view.compacted)
        return false;
    do {
        if (previous.main == 0 || !view_at(&read->view, previous, &key, found))
            return false;
        previous = found->record.previous;
    } while (found->record.modified.main == record->modified.main);
    return !found->record.tombstone;
}

/* Returns what it cost. */
static uint64_t take_record(struct history_read *read, struct bytes encoded, struct revision at) {
    uint64_t cost = 1 + encoded.length / COST_BYTES;
    struct bytes key;
    struct record record;
    bool with_previous = false;
    read->since_part++;
    record_load_log(encoded, at, &key, &record);
    if (!watched_keys_match(&read->keys, key, &with_previous))
        return cost;
    struct found found = {0};
    bool has_previous = with_previous && find_previous(read, &record, &found);
    struct event event = event_encode(&read->encoded, key, &record, has_previous ? &found.record : NULL);
    add_event(read, &event);
    view_release(&read->view, &found);
    return cost + (with_previous ? COST_PREVIOUS : 0);
}

static struct store_iterator *open_log(const struct history_read *read) {
    uint8_t lower[LOG_KEY_LENGTH];
    uint8_t upper[LOG_KEY_LENGTH];
    struct store *store = read->view.store;
    log_key_store(lower, read->next);
    log_key_store(upper, (struct revision){.main = read->to + 1});
    return store->operations->iterate(store, NULL, bytes_of(lower, sizeof lower),
                                      bytes_of(upper, sizeof upper), STORE_SCAN);
}

/* Walks until the slice is used up. True: to the end. */
static bool walk(struct history_read *read, struct store_iterator *iterator, struct range_slice slice) {
    const struct store_operations *operations = read->view.store->operations;
    uint8_t first[LOG_KEY_LENGTH];
    uint64_t cost = 0;
    log_key_store(first, read->next);
    bool valid = operations->seek(iterator, bytes_of(first, sizeof first));
    for (; valid; valid = operations->next(iterator)) {
        read->next = log_key_load(operations->key(iterator));
        if (read->next.main != read->current)
            reach_revision(read, read->next.main);
        if (cost >= slice.keys || read->out.length >= slice.bytes)
            return false;
        cost += take_record(read, operations->value(iterator), read->next);
    }
    return true;
}

bool history_read_step(struct history_read *read, struct range_slice slice) {
    read->slice_from = read->next.main;
    struct store_iterator *iterator = open_log(read);
    bool complete = walk(read, iterator, slice);
    read->view.store->operations->close_iterator(iterator);
    if (complete)
        put_part(read, HISTORY_COMPLETE, read->to, read->part.length);
    else if (read->whole > 0)
        put_part(read, HISTORY_COMPLETE, read->current - 1, read->whole);
    return complete;
}

bool history_read_check(struct history_read *read, int64_t compacted) {
    if (read->slice_from >= compacted)
        return true;
    history_read_sent(read);
    read->part.length = 0;
    put_part(read, HISTORY_COMPACTED, compacted, 0);
    return false;
}
