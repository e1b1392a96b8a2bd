/*
 * interest: the keys whose events somebody wants: a set of ranges as a row of disjoint intervals in key
 * order.
 *
 * Ranges may overlap and differ in whether prev_kv is wanted; the row holds each stretch of keys once,
 * with `previous` where at least one range over it asks for that. A key is found by binary search: what a
 * change of a watched store costs before anything is encoded.
 */
#ifndef QUORATE_APPLY_WATCH_INTEREST_H
#define QUORATE_APPLY_WATCH_INTEREST_H

#include "common/bytes.h"

struct interest_span {
    struct bytes lower, upper; /* [lower, upper) */
    bool open;                 /* no upper end */
    bool previous;
};

/* Zero-initialised wants nothing. */
struct interest {
    struct interest_span *spans;
    size_t count;
    struct buffer keys; /* what the spans borrow from */
};

/* Reads bus_range_put's sequence; copies. False (and *out wants nothing): malformed, or more than `limit`. */
bool interest_parse(struct interest *out, struct bytes ranges, size_t limit);
void interest_free(struct interest *interest);
/* Whether the key is in it. *previous is set then. */
bool interest_match(const struct interest *interest, struct bytes key, bool *previous);

#endif
