/*
 * store_format: the little that maint must know of what apply stores, to check a checkpoint: where its
 * consistent index stands. Written by apply (mvcc/); a test holds the two together.
 */
#ifndef QUORATE_COMMON_STORE_FORMAT_H
#define QUORATE_COMMON_STORE_FORMAT_H

#include "common/bytes.h"

#define STORE_APPLIED_KEY "mapplied"
enum { STORE_APPLIED_LENGTH = 32 }; /* index, term, revision, spilled revision; 8 bytes each, little-endian */

/* The index in the value of STORE_APPLIED_KEY; 0 when it is malformed. */
static inline uint64_t store_applied_index(struct bytes value) {
    uint64_t index = 0;
    if (value.length != STORE_APPLIED_LENGTH)
        return 0;
    for (unsigned i = 8; i-- > 0;)
        index = index << 8 | value.data[i];
    return index;
}

#endif
