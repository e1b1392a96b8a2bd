/*
 * dirty_index: the dirty entries of `recent` by key, so that a scan looks only at those near its interval.
 *
 * Two levels: an array of leaves in key order, each with at most LEAF_ENTRIES entries in no order. Adding is
 * a binary search over the leaves and an append; replacing an entry by a newer one of its key and removing
 * one need no search, since each entry knows its leaf and place. A full leaf is split at its median. A scan
 * copies and sorts one leaf at a time. Bounded by recent's limit on unspilled bytes.
 */
#ifndef QUORATE_APPLY_MVCC_DIRTY_INDEX_H
#define QUORATE_APPLY_MVCC_DIRTY_INDEX_H

#include "common/bytes.h"

enum { LEAF_ENTRIES = 128 };

struct recent_entry;
struct dirty_leaf;

struct dirty_index {
    struct dirty_leaf **leaves; /* in key order; never none */
    size_t count, capacity;
};

void dirty_index_init(struct dirty_index *index);
void dirty_index_free(struct dirty_index *index);
void dirty_index_add(struct dirty_index *index, struct recent_entry *entry);
/* The newer entry of the same key takes the place of the older one. */
void dirty_index_replace(struct recent_entry *older, struct recent_entry *newer);
void dirty_index_remove(struct dirty_index *index, struct recent_entry *entry);

/*
 * The entries of one leaf inside [lower, upper) (empty upper: open), copied in key order; returns how many.
 * Forward: of the leaf that holds `lower`; *next is then the lower bound of what follows. Backward: of the
 * leaf that holds what lies before `upper`; *next is then the upper bound of what remains. False in *more:
 * nothing follows. *next is borrowed from the index until it is changed.
 */
size_t dirty_index_collect(const struct dirty_index *index, struct bytes lower, struct bytes upper,
                           bool backward, struct recent_entry *entries[LEAF_ENTRIES], struct bytes *next,
                           bool *more);

#endif
