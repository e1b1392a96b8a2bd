/*
 * hot_cache: metadata of recently used keys, so that a put or a compare of a hot key asks the store nothing.
 *
 * Exact: every change of a key passes through hot_cache_put, so what is found is the truth as of the last
 * executed operation (also that a key does not exist). Values are not held. Bounded: 65,536 entries, four to
 * a set, the least recently used of a set goes; keys longer than HOT_KEY_LIMIT are not held. About 11 MB when
 * full.
 */
#ifndef QUORATE_APPLY_MVCC_HOT_CACHE_H
#define QUORATE_APPLY_MVCC_HOT_CACHE_H

#include "apply/mvcc/record.h"

enum { HOT_KEY_LIMIT = 96 };

struct hot_cache;

struct hot_cache *hot_cache_new(void);
void hot_cache_free(struct hot_cache *cache);
/* True: *record is set, without value; record->modified.main 0 says that the key never existed. */
bool hot_cache_get(struct hot_cache *cache, struct bytes key, uint64_t hash, struct record *record);
/* record NULL: the key does not exist. */
void hot_cache_put(struct hot_cache *cache, struct bytes key, uint64_t hash, const struct record *record);

#endif
