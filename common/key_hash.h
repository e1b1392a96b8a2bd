/*
 * key_hash: where a key stands in a hash table, for tables whose keys clients choose.
 *
 * Seeded, and every word goes through a multiplication by a secret whose upper half is folded into the lower:
 * whoever does not know the seed can't find keys that collide. (A product cut to its lower half would not do:
 * flipping a word's highest bit then changes the same bits whatever the seed is, and the next word can flip
 * them back.)
 */
#ifndef QUORATE_COMMON_KEY_HASH_H
#define QUORATE_COMMON_KEY_HASH_H

#include "common/bytes.h"

/* seed: random and private to the process. All 64 bits of the result are good. */
uint64_t key_hash(struct bytes key, uint64_t seed);

#endif
