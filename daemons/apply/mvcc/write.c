/* write: see write.h. */
#include "apply/mvcc/write.h"

#include "common/key_hash.h"
#include "common/wire.h"

#include "apply/mvcc/message.h"

enum { PUT_PREVIOUS = 2, DELETE_DELETED = 2, DELETE_PREVIOUS = 3 };

static bool key_is_live(struct mvcc *mvcc, struct bytes key) {
    struct record record;
    mvcc_lookup(mvcc, key, key_hash(key, mvcc->hash_seed), &record);
    return record.modified.main != 0 && !record.tombstone;
}

static bool finds_what_it_keeps(struct mvcc *mvcc, const struct put_request *request) {
    return (!request->ignore_value && !request->ignore_lease) || key_is_live(mvcc, request->key);
}

static bool lease_is_missing(const struct mvcc *mvcc, const struct put_request *request) {
    return request->lease != 0 && lease_book_find(&mvcc->leases, request->lease) == NULL;
}

uint16_t put_check(struct mvcc *mvcc, const struct put_request *request) {
    if (lease_is_missing(mvcc, request))
        return STATUS_LEASE_NOT_FOUND;
    return finds_what_it_keeps(mvcc, request) ? STATUS_OK : STATUS_KEY_NOT_FOUND;
}

uint16_t put_check_in_txn(struct mvcc *mvcc, const struct put_request *request) {
    if (!finds_what_it_keeps(mvcc, request))
        return STATUS_KEY_NOT_FOUND;
    return lease_is_missing(mvcc, request) ? STATUS_LEASE_NOT_FOUND : STATUS_OK;
}

/* The record that follows `older` (which may be a tombstone, or nothing). */
static struct record successor(const struct record *older, int64_t main) {
    bool live = older->modified.main != 0 && !older->tombstone;
    return (struct record){.create = live ? older->create : main,
                           .version = live ? older->version + 1 : 1,
                           .previous = older->modified};
}

void put_run(struct mvcc *mvcc, const struct put_request *request) {
    uint64_t hash = key_hash(request->key, mvcc->hash_seed);
    struct record older;
    struct found found = {0};
    struct view view = mvcc_inner_view(mvcc);
    mvcc_lookup(mvcc, request->key, hash, &older);
    struct record record = successor(&older, mvcc->revision + 1);
    record.value = request->value;
    record.lease = request->lease;
    if (request->prev_kv || request->ignore_value || request->ignore_lease) {
        uint64_t examined = 0;
        bool live = view_get(&view, request->key, view.revision, &found, &examined);
        if (live && request->prev_kv)
            message_put_key_value(&mvcc->result, PUT_PREVIOUS, request->key, &found.record, false);
        if (live && request->ignore_value)
            record.value = found.record.value;
        if (live && request->ignore_lease)
            record.lease = found.record.lease;
    }
    mvcc_change(mvcc, request->key, hash, &older, &record);
    mvcc->counts.puts++;
    mvcc->counts.put_bytes += request->key.length + record.value.length;
    view_release(&view, &found);
}

void delete_key(struct mvcc *mvcc, struct bytes key, const struct record *older) {
    struct record tombstone = {.previous = older->modified, .tombstone = true};
    mvcc_change(mvcc, key, key_hash(key, mvcc->hash_seed), older, &tombstone);
    mvcc->counts.deletes++;
}

static uint64_t delete_point(struct mvcc *mvcc, const struct delete_range_request *request) {
    struct record older;
    mvcc_lookup(mvcc, request->key, key_hash(request->key, mvcc->hash_seed), &older);
    if (older.modified.main == 0 || older.tombstone)
        return 0;
    if (request->prev_kv) {
        struct view view = mvcc_inner_view(mvcc);
        struct found found;
        uint64_t examined = 0;
        if (view_get(&view, request->key, view.revision, &found, &examined))
            message_put_key_value(&mvcc->result, DELETE_PREVIOUS, request->key, &found.record, false);
        view_release(&view, &found);
    }
    delete_key(mvcc, request->key, &older);
    return 1;
}

/* Deletes up to `most` keys behind *position (none yet: has no data), in key order. Returns how many. */
static uint64_t delete_some(struct mvcc *mvcc, const struct delete_range_request *request,
                            struct buffer *position, uint64_t most, int64_t revision) {
    struct view view = mvcc_inner_view(mvcc);
    struct interval interval = {.key = request->key, .range_end = request->range_end};
    struct cursor cursor;
    uint64_t deleted = 0;
    if (position->data == NULL)
        cursor_open(&cursor, &view, &interval, revision, false);
    else
        cursor_resume(&cursor, &view, &interval, revision, false, buffer_bytes(position));
    while (deleted < most && cursor_next(&cursor) == CURSOR_ITEM) {
        if (request->prev_kv && mvcc->result.length <= MVCC_ANSWER_LIMIT)
            message_put_key_value(&mvcc->result, DELETE_PREVIOUS, cursor.key, &cursor.record, false);
        delete_key(mvcc, cursor.key, &cursor.record);
        deleted++;
    }
    if (deleted == most) {
        position->length = 0;
        buffer_append_bytes(position, cursor.key);
    }
    cursor_close(&cursor);
    return deleted;
}

/*
 * `parts`: the batch is written on the way. Then a crash can leave the first keys deleted, at a revision that
 * no reader sees yet, because index and revision move on only with the last part. The entry is executed
 * again, at the same revision: the cursor still shows those keys, as of before, and the same tombstones are
 * written once more.
 */
static uint64_t delete_interval(struct mvcc *mvcc, const struct delete_range_request *request, bool parts) {
    uint64_t most = parts ? mvcc->large_delete_keys : UINT64_MAX;
    int64_t revision = parts ? mvcc->revision : mvcc_inner_revision(mvcc);
    struct buffer position = {0};
    uint64_t total = 0;
    uint64_t deleted = 0;
    do {
        if (total > 0)
            mvcc_commit_part(mvcc);
        deleted = delete_some(mvcc, request, &position, most, revision);
        total += deleted;
    } while (deleted == most);
    buffer_free(&position);
    return total;
}

void delete_range_run(struct mvcc *mvcc, const struct delete_range_request *request, bool parts) {
    /* `deleted` precedes the pairs on the wire, but is known after them: put it behind, then swap. */
    size_t begin = mvcc->result.length;
    bool point = request->range_end.length == 0;
    uint64_t deleted = point ? delete_point(mvcc, request) : delete_interval(mvcc, request, parts);
    size_t pairs = mvcc->result.length - begin;
    wire_put_uint64(&mvcc->result, DELETE_DELETED, deleted);
    size_t length = mvcc->result.length - begin - pairs;
    uint8_t head[16];
    if (pairs == 0 || length == 0)
        return;
    REQUIRE(length <= sizeof head);
    uint8_t *place = mvcc->result.data + begin;
    memcpy(head, place + pairs, length);
    memmove(place + length, place, pairs);
    memcpy(place, head, length);
}
