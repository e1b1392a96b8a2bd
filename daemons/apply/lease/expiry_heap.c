/* expiry_heap: see expiry_heap.h. A binary heap in an array. */
#include "apply/lease/expiry_heap.h"

#include <stdlib.h>

enum { FIRST_ENTRIES = 64 };

static void put(struct expiry_heap *heap, size_t place, struct expiry_entry entry) {
    heap->entries[place] = entry;
    entry.lease->clock.place = place;
}

/* Moves the entry from a free place to where it belongs. */
static void sift(struct expiry_heap *heap, size_t place, struct expiry_entry entry) {
    while (place > 0 && entry.at_us < heap->entries[(place - 1) / 2].at_us) {
        put(heap, place, heap->entries[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (size_t child = 2 * place + 1; child < heap->count; child = 2 * place + 1) {
        if (child + 1 < heap->count && heap->entries[child + 1].at_us < heap->entries[child].at_us)
            child++;
        if (entry.at_us <= heap->entries[child].at_us)
            break;
        put(heap, place, heap->entries[child]);
        place = child;
    }
    put(heap, place, entry);
}

void expiry_heap_add(struct expiry_heap *heap, struct lease *lease, uint64_t at_us) {
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? FIRST_ENTRIES : heap->capacity * 2;
        heap->entries = must_realloc(heap->entries, heap->capacity * sizeof *heap->entries);
    }
    heap->count++;
    sift(heap, heap->count - 1, (struct expiry_entry){.at_us = at_us, .lease = lease});
}

void expiry_heap_move(struct expiry_heap *heap, struct lease *lease, uint64_t at_us) {
    sift(heap, lease->clock.place, (struct expiry_entry){.at_us = at_us, .lease = lease});
}

void expiry_heap_remove(struct expiry_heap *heap, struct lease *lease) {
    size_t place = lease->clock.place;
    heap->count--;
    if (place < heap->count)
        sift(heap, place, heap->entries[heap->count]);
}

void expiry_heap_free(struct expiry_heap *heap) {
    free(heap->entries);
    *heap = (struct expiry_heap){0};
}
