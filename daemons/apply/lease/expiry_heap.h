/*
 * expiry_heap: leases by the time at which somebody has to look at them. A lease lies in it at that time, or
 * earlier: a renewal moves only the lease's expiry, and who looks too early puts it back in its place.
 */
#ifndef QUORATE_APPLY_LEASE_EXPIRY_HEAP_H
#define QUORATE_APPLY_LEASE_EXPIRY_HEAP_H

#include "apply/lease/lease_book.h"

struct expiry_entry {
    uint64_t at_us;
    struct lease *lease;
};
/* Zero-initialised is empty. lease->clock.place is kept. */
struct expiry_heap {
    struct expiry_entry *entries;
    size_t count, capacity;
};

void expiry_heap_add(struct expiry_heap *heap, struct lease *lease, uint64_t at_us);
void expiry_heap_move(struct expiry_heap *heap, struct lease *lease, uint64_t at_us);
void expiry_heap_remove(struct expiry_heap *heap, struct lease *lease);
/* The earliest; NULL: empty. */
static inline const struct expiry_entry *expiry_heap_first(const struct expiry_heap *heap) {
    return heap->count == 0 ? NULL : &heap->entries[0];
}
void expiry_heap_free(struct expiry_heap *heap);

#endif
