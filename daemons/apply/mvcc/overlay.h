/*
 * overlay: the changes of the present round, not yet in the store: key -> its newest record.
 *
 * Point lookups are by hash. For scans inside a transaction the entries of an interval are collected in key
 * order. Entries also stay in the order of writing, so that a transaction finds its own revision.sub again.
 * Memory is the round's arena; clear forgets everything at once.
 */
#ifndef QUORATE_APPLY_MVCC_OVERLAY_H
#define QUORATE_APPLY_MVCC_OVERLAY_H

#include "apply/mvcc/record.h"

struct overlay_entry {
    struct overlay_entry *next; /* of the bucket */
    uint64_t hash;
    struct bytes store_key; /* 'c' and the user key */
    struct bytes encoded;   /* as the store will hold it */
    struct record record;   /* value borrows from encoded */
    bool superseded;        /* a later entry has the key */
};

struct overlay {
    struct arena arena;
    struct overlay_entry **buckets;
    size_t bucket_count; /* a power of two */
    struct overlay_entry **order;
    size_t count, capacity;
};

static inline struct bytes overlay_key(const struct overlay_entry *entry) {
    return bytes_of(entry->store_key.data + 1, entry->store_key.length - 1);
}

void overlay_clear(struct overlay *overlay);
void overlay_free(struct overlay *overlay);
/* NULL: the round did not write the key. */
struct overlay_entry *overlay_find(const struct overlay *overlay, struct bytes key, uint64_t hash);
/* Copies key and value. */
struct overlay_entry *overlay_put(struct overlay *overlay, struct bytes key, uint64_t hash,
                                  const struct record *record);
/*
 * The newest entries with keys in [lower, upper) (empty upper: open), in key order, in an array of the
 * arena. Returns how many.
 */
size_t overlay_collect(struct overlay *overlay, struct bytes lower, struct bytes upper,
                       struct overlay_entry ***entries);

/* Seeded hash of a key, also used by the hot cache. */
uint64_t key_hash(struct bytes key, uint64_t seed);

#endif
