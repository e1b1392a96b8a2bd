/* lease_check: what must hold of leases after every entry, whatever it was. */
#ifndef QUORATE_TESTS_UNIT_APPLY_LEASE_CHECK_H
#define QUORATE_TESTS_UNIT_APPLY_LEASE_CHECK_H

#include "apply/mvcc/mvcc.h"

/* Appends the attached keys, a blank behind each. What is in the batch is written for it. */
static inline uint64_t lease_check_keys(struct mvcc *mvcc, int64_t id, struct buffer *keys) {
    struct lease_walk walk;
    struct bytes key;
    uint64_t count = 0;
    mvcc_commit(mvcc);
    lease_walk_open(&walk, mvcc->store, NULL, id);
    for (; lease_walk_next(&walk, &key); count++) {
        buffer_append_bytes(keys, key);
        buffer_append_byte(keys, ' ');
    }
    lease_walk_close(&walk);
    return count;
}

static inline uint64_t lease_check_rows(struct mvcc *mvcc, uint8_t prefix) {
    const struct store_operations *operations = mvcc->store->operations;
    const uint8_t lower[] = {prefix};
    const uint8_t upper[] = {(uint8_t)(prefix + 1)};
    struct store_iterator *iterator =
        operations->iterate(mvcc->store, NULL, bytes_of(lower, 1), bytes_of(upper, 1), 0);
    uint64_t count = 0;
    for (bool valid = operations->seek(iterator, bytes_of(lower, 1)); valid;
         valid = operations->next(iterator))
        count++;
    operations->close_iterator(iterator);
    return count;
}

/*
 * The attachments are the live keys' lease fields: each such key hangs on its lease, every lease counts its
 * keys, and there are no further rows.
 */
static inline void lease_check(struct mvcc *mvcc) {
    const struct interval all = {.range_end = bytes_of("", 1)};
    uint64_t fields = 0;
    uint64_t counted = 0;
    mvcc_commit(mvcc);
    struct view view = mvcc_view(mvcc, NULL);
    struct cursor cursor;
    cursor_open(&cursor, &view, &all, view.revision, false);
    while (cursor_next(&cursor) == CURSOR_ITEM) {
        if (cursor.record.lease == 0)
            continue;
        struct lease_walk walk;
        struct bytes key;
        bool attached = false;
        lease_walk_open(&walk, mvcc->store, NULL, cursor.record.lease);
        while (lease_walk_next(&walk, &key))
            attached |= bytes_equal(key, cursor.key);
        lease_walk_close(&walk);
        REQUIRE(attached);
        REQUIRE(lease_book_find(&mvcc->leases, cursor.record.lease) != NULL);
        fields++;
    }
    cursor_close(&cursor);
    for (size_t i = 0; i < mvcc->leases.slot_count; i++) {
        const struct lease *lease = mvcc->leases.slots[i];
        struct buffer keys = {0};
        REQUIRE(lease == NULL || lease_check_keys(mvcc, lease->id, &keys) == lease->keys);
        counted += lease == NULL ? 0 : lease->keys;
        buffer_free(&keys);
    }
    REQUIRE(fields == counted);
    REQUIRE(lease_check_rows(mvcc, PREFIX_ATTACHMENT) == counted);
    REQUIRE(lease_check_rows(mvcc, PREFIX_LEASE) == mvcc->leases.count);
}

#endif
