/*
 * watched_keys: the keys whose events somebody wants: a set of ranges as a row of disjoint intervals in
 * key order.
 *
 * Ranges may overlap and differ in whether prev_kv is wanted; the row holds each stretch of keys once,
 * with `previous` where at least one range over it asks for that. A key is found by binary search: what a
 * change of a watched store costs before anything is encoded.
 */
#ifndef QUORATE_APPLY_WATCH_WATCHED_KEYS_H
#define QUORATE_APPLY_WATCH_WATCHED_KEYS_H

#include "common/bytes.h"

struct watched_span {
    struct bytes lower, upper; /* [lower, upper) */
    bool open;                 /* no upper end */
    bool previous;
};

/* Zero-initialised wants nothing. */
struct watched_keys {
    struct watched_span *spans;
    size_t count;
    struct buffer keys; /* what the spans borrow from */
};

/* Reads bus_range_put's sequence; copies. False (and *out wants nothing): malformed, or more than `limit`. */
bool watched_keys_parse(struct watched_keys *out, struct bytes ranges, size_t limit);
void watched_keys_free(struct watched_keys *watched);
/* Whether the key is in it. *previous is set then. */
bool watched_keys_match(const struct watched_keys *watched, struct bytes key, bool *previous);

#endif
