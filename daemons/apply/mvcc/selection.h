/*
 * selection: the first N of a stream of key versions by a sort attribute, in little memory: keys, and 32
 * bytes each, but no values: whoever writes the answer gets the records by key. (Not by revision: compaction
 * takes the log away, also from under a snapshot.)
 *
 * Happy path: selection_add for each candidate, in key order (ties keep it); selection_order in slices until
 * it says done; then entries[0 .. count) are in output order. While N is reached, a heap drops the worst.
 * Sorting by value keeps the first 8 bytes and fetches both values on a tie.
 */
#ifndef QUORATE_APPLY_MVCC_SELECTION_H
#define QUORATE_APPLY_MVCC_SELECTION_H

#include "common/request.h"

#include "apply/mvcc/view.h"

struct selected {
    uint64_t attribute;
    uint8_t *key; /* owned */
    uint32_t key_length;
    uint32_t ordinal; /* place in key order */
    uint32_t size;    /* bytes in the answer */
};

struct selection {
    struct view *view; /* for ties of values */
    int64_t revision;
    int32_t target; /* enum sort_target, not KEY */
    bool descending;
    uint64_t limit; /* 0: all */
    struct selected *entries;
    size_t count, capacity;
    size_t key_bytes; /* what the keys take */
    uint32_t seen;
    bool heap;        /* the heap property holds */
    size_t sift_at;   /* building the heap: entries from here on are done */
    size_t unordered; /* ordering: entries from here on are in place */
    bool ordering;
};

/* revision: that of the read; the view is that of the running slice (it may be another one each time). */
void selection_begin(struct selection *selection, struct view *view, int64_t revision,
                     const struct range_request *request, uint64_t limit);
/* Bytes that the selection will hold after one more was added, for a budget. */
size_t selection_bytes_to_add(const struct selection *selection, struct bytes key);
/* Copies the key. */
void selection_add(struct selection *selection, struct bytes key, const struct record *record, uint32_t size);
static inline struct bytes selected_key(const struct selected *entry) {
    return bytes_of(entry->key, entry->key_length);
}
/* Up to *budget steps, which it lowers. True: done. */
bool selection_order(struct selection *selection, uint64_t *budget);
void selection_free(struct selection *selection);

#endif
