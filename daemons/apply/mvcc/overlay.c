/* overlay: see overlay.h. A chained hash that doubles; order is an array of all entries ever put. */
#include "apply/mvcc/overlay.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 1024, KEEP_BUCKETS = 64 * 1024 };

uint64_t key_hash(struct bytes key, uint64_t seed) {
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = seed ^ (key.length * odd);
    size_t at = 0;
    for (; at + 8 <= key.length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, key.data + at, 8);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 29;
    }
    uint64_t tail = 0;
    if (at < key.length)
        memcpy(&tail, key.data + at, key.length - at);
    hash = (hash ^ tail) * odd;
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

void overlay_clear(struct overlay *overlay) {
    if (overlay->bucket_count > KEEP_BUCKETS) {
        free(overlay->buckets);
        overlay->buckets = NULL;
        overlay->bucket_count = 0;
    } else if (overlay->count > overlay->bucket_count / 8) {
        memset(overlay->buckets, 0, overlay->bucket_count * sizeof(struct overlay_entry *));
    } else {
        for (size_t i = 0; i < overlay->count; i++)
            overlay->buckets[overlay->order[i]->hash & (overlay->bucket_count - 1)] = NULL;
    }
    if (overlay->capacity > KEEP_BUCKETS) {
        free(overlay->order);
        overlay->order = NULL;
        overlay->capacity = 0;
    }
    overlay->count = 0;
    arena_reset(&overlay->arena);
}

void overlay_free(struct overlay *overlay) {
    free(overlay->buckets);
    free(overlay->order);
    arena_free(&overlay->arena);
    *overlay = (struct overlay){0};
}

struct overlay_entry *overlay_find(const struct overlay *overlay, struct bytes key, uint64_t hash) {
    if (overlay->count == 0)
        return NULL;
    struct overlay_entry *entry = overlay->buckets[hash & (overlay->bucket_count - 1)];
    while (entry != NULL && (entry->hash != hash || !bytes_equal(overlay_key(entry), key)))
        entry = entry->next;
    return entry;
}

/* Entries of one key keep their relative order in the chain: newest first. */
static void link_entry(struct overlay *overlay, struct overlay_entry *entry) {
    struct overlay_entry **bucket = &overlay->buckets[entry->hash & (overlay->bucket_count - 1)];
    entry->next = *bucket;
    *bucket = entry;
}

static void grow_buckets(struct overlay *overlay) {
    overlay->bucket_count = overlay->bucket_count == 0 ? FIRST_BUCKETS : overlay->bucket_count * 4;
    free(overlay->buckets);
    overlay->buckets = must_zalloc(overlay->bucket_count * sizeof(struct overlay_entry *));
    for (size_t i = 0; i < overlay->count; i++)
        link_entry(overlay, overlay->order[i]);
}

static void append_order(struct overlay *overlay, struct overlay_entry *entry) {
    if (overlay->count == overlay->capacity) {
        overlay->capacity = overlay->capacity == 0 ? FIRST_BUCKETS : overlay->capacity * 2;
        overlay->order = must_realloc(overlay->order, overlay->capacity * sizeof(struct overlay_entry *));
    }
    overlay->order[overlay->count++] = entry;
}

struct overlay_entry *overlay_put(struct overlay *overlay, struct bytes key, uint64_t hash,
                                  const struct record *record) {
    if (overlay->count >= overlay->bucket_count)
        grow_buckets(overlay);
    struct overlay_entry *older = overlay_find(overlay, key, hash);
    if (older != NULL)
        older->superseded = true;
    struct overlay_entry *entry = arena_alloc(&overlay->arena, sizeof *entry + 1 + key.length +
                                                                   RECORD_HEAD_LIMIT + record->value.length);
    uint8_t *place = (uint8_t *)(entry + 1);
    place[0] = PREFIX_CURRENT;
    if (key.length != 0)
        memcpy(place + 1, key.data, key.length);
    uint8_t *encoded = place + 1 + key.length;
    size_t length = record_store_current(encoded, record);
    *entry = (struct overlay_entry){.hash = hash,
                                    .store_key = bytes_of(place, key.length + 1),
                                    .encoded = bytes_of(encoded, length),
                                    .record = *record};
    entry->record.value = bytes_of(encoded + length - record->value.length, record->value.length);
    link_entry(overlay, entry);
    append_order(overlay, entry);
    return entry;
}

static int by_key(const void *left, const void *right) {
    const struct overlay_entry *const *a = left;
    const struct overlay_entry *const *b = right;
    return bytes_compare((*a)->store_key, (*b)->store_key);
}

static bool wanted(const struct overlay_entry *entry, struct bytes lower, struct bytes upper) {
    struct bytes key = overlay_key(entry);
    return !entry->superseded && bytes_compare(key, lower) >= 0 &&
           (upper.length == 0 || bytes_compare(key, upper) < 0);
}

size_t overlay_collect(struct overlay *overlay, struct bytes lower, struct bytes upper,
                       struct overlay_entry ***entries) {
    size_t count = 0;
    for (size_t i = 0; i < overlay->count; i++)
        count += wanted(overlay->order[i], lower, upper);
    *entries = NULL;
    if (count == 0)
        return 0;
    struct overlay_entry **found = arena_alloc(&overlay->arena, count * sizeof(struct overlay_entry *));
    size_t at = 0;
    for (size_t i = 0; i < overlay->count; i++) {
        if (wanted(overlay->order[i], lower, upper))
            found[at++] = overlay->order[i];
    }
    qsort(found, count, sizeof(struct overlay_entry *), by_key);
    *entries = found;
    return count;
}
