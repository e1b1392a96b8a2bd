/*
 * ranges: what this proxy wants events of, told to apply: all interests, coarsened to a few disjoint ranges.
 *
 * Keys may be as long as requests, but all ranges have to fit into one record of the bus: of a key only the
 * first RANGE_KEY_BYTES count, and the range is as much wider.
 *
 * Growing is cheap and frequent: a new interest inside a range changes nothing. Beyond RANGES_MOST ranges the
 * neighbours that are closest in the order of keys become one, down to RANGES_MERGED. Shrinking means
 * starting over from all interests, which the hub does now and then.
 */
#ifndef QUORATE_PROXY_WATCH_RANGES_H
#define QUORATE_PROXY_WATCH_RANGES_H

#include "proxy/watch/interest.h"

enum { RANGES_MOST = 64, RANGES_MERGED = 48, RANGE_KEY_BYTES = 512 };

struct wide_range {
    struct bytes key;
    struct bytes end; /* exclusive; not looked at when open */
    bool open;        /* has no end */
    bool previous;    /* somebody wants prev_kv */
};

/* In key order, disjoint and not touching. Bytes in one buffer. */
struct ranges {
    struct wide_range list[RANGES_MOST];
    size_t count;
    struct buffer bytes;
};

/* Takes the range in. False: it was covered. */
bool ranges_cover(struct ranges *ranges, struct bytes key, struct bytes range_end, bool previous);
/* Anew, from these interests; the list is sorted. True: something changed. */
bool ranges_rebuild(struct ranges *ranges, struct interest_list *interests);
/* As bus_range_next takes them. */
void ranges_put(const struct ranges *ranges, struct buffer *out);
void ranges_free(struct ranges *ranges);

#endif
