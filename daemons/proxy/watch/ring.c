/* ring: see ring.h. */
#include "proxy/watch/ring.h"

#include <stdlib.h>

enum { FIRST = 64 };

const struct ring_block *ring_at(const struct ring *ring, size_t number) {
    return ring->blocks[(ring->head + number) & (ring->capacity - 1)];
}

static void grow(struct ring *ring) {
    size_t capacity = ring->capacity == 0 ? FIRST : 2 * ring->capacity;
    struct ring_block **blocks = must_alloc(capacity * sizeof(struct ring_block *));
    for (size_t i = 0; i < ring->count; i++)
        blocks[i] = ring->blocks[(ring->head + i) & (ring->capacity - 1)];
    free((void *)ring->blocks);
    ring->blocks = blocks;
    ring->head = 0;
    ring->capacity = capacity;
}

const struct ring_block *ring_append(struct ring *ring, const struct bus_events *events, size_t count) {
    if (ring->count == ring->capacity)
        grow(ring);
    struct ring_block *block = must_alloc(sizeof *block + events->body.length);
    *block = (struct ring_block){
        .from = events->from, .to = events->to, .events = count, .length = events->body.length};
    memcpy(block->body, events->body.data, events->body.length);
    ring->blocks[(ring->head + ring->count++) & (ring->capacity - 1)] = block;
    ring->bytes += block->length;
    ring->events += block->events;
    return block;
}

static void drop_oldest(struct ring *ring) {
    struct ring_block *block = ring->blocks[ring->head];
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    ring->bytes -= block->length;
    ring->events -= block->events;
    ring->oldest = block->to + 1;
    free(block);
}

void ring_trim(struct ring *ring, size_t bytes, size_t events) {
    while (ring->bytes > bytes || ring->events > events)
        drop_oldest(ring);
}

void ring_clear(struct ring *ring, int64_t oldest) {
    while (ring->count > 0)
        drop_oldest(ring);
    ring->oldest = oldest;
}

size_t ring_seek(const struct ring *ring, int64_t revision) {
    size_t low = 0;
    size_t high = ring->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring_at(ring, middle)->to < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ring_free(struct ring *ring) {
    ring_clear(ring, 0);
    free((void *)ring->blocks);
    *ring = (struct ring){0};
}
