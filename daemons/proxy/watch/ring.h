/*
 * ring: the recent past of the event stream, as it came: what a round delivers is read from here, and so is
 * what a watcher missed that stopped for a moment or begins a little in the past.
 *
 * Bounded by bytes and by events; the round's own are never dropped before its end. An event's bytes stand
 * here once, whoever watches it.
 */
#ifndef QUORATE_PROXY_WATCH_RING_H
#define QUORATE_PROXY_WATCH_RING_H

#include "common/bus/contract.h"

/* Of one record of the stream: all events with from <= revision <= to. */
struct ring_block {
    int64_t from, to;
    size_t events, length;
    uint8_t body[];
};

struct ring {
    struct ring_block **blocks; /* circular */
    size_t head, count, capacity;
    size_t bytes, events;
    int64_t oldest; /* everything of the stream from this revision on is here */
};

/* Copies a record with so many events, at least one. */
const struct ring_block *ring_append(struct ring *ring, const struct bus_events *events, size_t count);
/* Down to these bounds. */
void ring_trim(struct ring *ring, size_t bytes, size_t events);
/* The stream goes on from `oldest`. */
void ring_clear(struct ring *ring, int64_t oldest);
/* The number of the first block with to >= revision; ring->count if there is none. */
size_t ring_seek(const struct ring *ring, int64_t revision);
const struct ring_block *ring_at(const struct ring *ring, size_t number);
void ring_free(struct ring *ring);

#endif
