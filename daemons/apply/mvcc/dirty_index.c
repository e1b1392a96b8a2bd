/* dirty_index: see dirty_index.h. A leaf holds the keys from its own bound up to the next leaf's. */
#include "apply/mvcc/dirty_index.h"

#include <stdlib.h>

#include "apply/mvcc/recent.h"

struct dirty_leaf {
    struct bytes bound; /* owned; the first leaf's is empty: nothing is before it */
    uint32_t count;
    struct recent_entry *entries[LEAF_ENTRIES];
};

static struct dirty_leaf *new_leaf(struct bytes bound) {
    struct dirty_leaf *leaf = must_alloc(sizeof *leaf);
    leaf->count = 0;
    leaf->bound = (struct bytes){0};
    if (bound.length != 0)
        leaf->bound = bytes_of(memcpy(must_alloc(bound.length), bound.data, bound.length), bound.length);
    return leaf;
}

static void free_leaf(struct dirty_leaf *leaf) {
    free((void *)leaf->bound.data);
    free(leaf);
}

static void insert_leaf(struct dirty_index *index, size_t at, struct dirty_leaf *leaf) {
    if (index->count == index->capacity) {
        index->capacity = index->capacity == 0 ? 64 : index->capacity * 2;
        index->leaves = must_realloc(index->leaves, index->capacity * sizeof(struct dirty_leaf *));
    }
    memmove(&index->leaves[at + 1], &index->leaves[at], (index->count - at) * sizeof(struct dirty_leaf *));
    index->leaves[at] = leaf;
    index->count++;
}

void dirty_index_init(struct dirty_index *index) {
    *index = (struct dirty_index){0};
    insert_leaf(index, 0, new_leaf((struct bytes){0}));
}

void dirty_index_free(struct dirty_index *index) {
    for (size_t i = 0; i < index->count; i++)
        free_leaf(index->leaves[i]);
    free(index->leaves);
    *index = (struct dirty_index){0};
}

/* The leaf that holds the key: the last whose bound is not after it. */
static size_t leaf_of(const struct dirty_index *index, struct bytes key) {
    size_t low = 0;
    size_t high = index->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(index->leaves[middle]->bound, key) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int by_key(const void *left, const void *right) {
    const struct recent_entry *const *a = left;
    const struct recent_entry *const *b = right;
    return bytes_compare(recent_key(*a), recent_key(*b));
}

static void place_entry(struct dirty_leaf *leaf, struct recent_entry *entry) {
    entry->leaf = leaf;
    entry->place = leaf->count;
    leaf->entries[leaf->count++] = entry;
}

/* The upper half of a full leaf becomes the next leaf. Keys differ, so its bound is after this leaf's. */
static void split(struct dirty_index *index, size_t at) {
    struct dirty_leaf *leaf = index->leaves[at];
    struct recent_entry *entries[LEAF_ENTRIES];
    memcpy(entries, leaf->entries, sizeof entries);
    qsort(entries, LEAF_ENTRIES, sizeof(struct recent_entry *), by_key);
    struct dirty_leaf *upper = new_leaf(recent_key(entries[LEAF_ENTRIES / 2]));
    leaf->count = 0;
    for (size_t i = 0; i < LEAF_ENTRIES; i++)
        place_entry(i < LEAF_ENTRIES / 2 ? leaf : upper, entries[i]);
    insert_leaf(index, at + 1, upper);
}

void dirty_index_add(struct dirty_index *index, struct recent_entry *entry) {
    size_t at = leaf_of(index, recent_key(entry));
    if (index->leaves[at]->count == LEAF_ENTRIES) {
        split(index, at);
        at += bytes_compare(index->leaves[at + 1]->bound, recent_key(entry)) <= 0;
    }
    place_entry(index->leaves[at], entry);
}

void dirty_index_replace(struct recent_entry *older, struct recent_entry *newer) {
    newer->leaf = older->leaf;
    newer->place = older->place;
    newer->leaf->entries[newer->place] = newer;
}

/* An empty leaf goes, and its keys belong to the one before it from then on. The first leaf stays. */
static void drop_leaf(struct dirty_index *index, struct dirty_leaf *leaf) {
    size_t at = leaf_of(index, leaf->bound);
    if (at == 0)
        return;
    REQUIRE(index->leaves[at] == leaf);
    index->count--;
    memmove(&index->leaves[at], &index->leaves[at + 1], (index->count - at) * sizeof(struct dirty_leaf *));
    free_leaf(leaf);
}

void dirty_index_remove(struct dirty_index *index, struct recent_entry *entry) {
    struct dirty_leaf *leaf = entry->leaf;
    struct recent_entry *last = leaf->entries[--leaf->count];
    leaf->entries[entry->place] = last;
    last->place = entry->place;
    entry->leaf = NULL;
    if (leaf->count == 0)
        drop_leaf(index, leaf);
}

/* The leaf to look at, and where the next one begins. */
static const struct dirty_leaf *choose(const struct dirty_index *index, struct bytes lower,
                                       struct bytes upper, bool backward, struct bytes *next, bool *more) {
    size_t at = 0;
    if (!backward) {
        at = leaf_of(index, lower);
        *more = at + 1 < index->count;
        *next = *more ? index->leaves[at + 1]->bound : (struct bytes){0};
        return index->leaves[at];
    }
    at = upper.length == 0 ? index->count - 1 : leaf_of(index, upper);
    /* Bounds are the first keys of leaves: what lies before one is in the leaf before. */
    if (at > 0 && upper.length != 0 && bytes_equal(index->leaves[at]->bound, upper))
        at--;
    *next = index->leaves[at]->bound;
    *more = at > 0;
    return index->leaves[at];
}

size_t dirty_index_collect(const struct dirty_index *index, struct bytes lower, struct bytes upper,
                           bool backward, struct recent_entry *entries[LEAF_ENTRIES], struct bytes *next,
                           bool *more) {
    const struct dirty_leaf *leaf = choose(index, lower, upper, backward, next, more);
    size_t count = 0;
    for (uint32_t i = 0; i < leaf->count; i++) {
        struct bytes key = recent_key(leaf->entries[i]);
        if (bytes_compare(key, lower) >= 0 && (upper.length == 0 || bytes_compare(key, upper) < 0))
            entries[count++] = leaf->entries[i];
    }
    qsort(entries, count, sizeof(struct recent_entry *), by_key);
    if (*more && !backward && upper.length != 0 && bytes_compare(*next, upper) >= 0)
        *more = false;
    if (*more && backward && bytes_compare(*next, lower) <= 0)
        *more = false;
    return count;
}
