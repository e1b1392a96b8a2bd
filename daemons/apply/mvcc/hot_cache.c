/* hot_cache: see hot_cache.h. Sets of four entries; a use counter per set orders them by last use. */
#include "apply/mvcc/hot_cache.h"

#include <stdlib.h>

enum { SETS = 16384, WAYS = 4 };

struct entry {
    uint64_t hash; /* 0: empty */
    int64_t create, version, lease, modified_main, previous_main;
    uint32_t modified_sub, previous_sub;
    uint32_t used;
    uint8_t length;
    bool tombstone;
    uint8_t key[HOT_KEY_LIMIT];
};

struct hot_cache {
    uint32_t clock;
    struct entry entries[SETS][WAYS];
};

struct hot_cache *hot_cache_new(void) {
    return must_zalloc(sizeof(struct hot_cache));
}

void hot_cache_free(struct hot_cache *cache) {
    free(cache);
}

static struct entry *find(struct hot_cache *cache, struct bytes key, uint64_t hash) {
    struct entry *set = cache->entries[hash & (SETS - 1)];
    for (int way = 0; way < WAYS; way++) {
        struct entry *entry = &set[way];
        if (entry->hash == hash && bytes_equal(bytes_of(entry->key, entry->length), key))
            return entry;
    }
    return NULL;
}

bool hot_cache_get(struct hot_cache *cache, struct bytes key, uint64_t hash, struct record *record) {
    struct entry *entry = hash == 0 ? NULL : find(cache, key, hash);
    if (entry == NULL)
        return false;
    entry->used = ++cache->clock;
    *record = (struct record){.create = entry->create,
                              .version = entry->version,
                              .lease = entry->lease,
                              .modified = {.main = entry->modified_main, .sub = entry->modified_sub},
                              .previous = {.main = entry->previous_main, .sub = entry->previous_sub},
                              .tombstone = entry->tombstone};
    return true;
}

/* The least recently used entry of the set. Ages are differences, so that the counter may wrap. */
static struct entry *oldest(struct hot_cache *cache, uint64_t hash) {
    struct entry *set = cache->entries[hash & (SETS - 1)];
    struct entry *victim = &set[0];
    for (int way = 0; way < WAYS; way++) {
        if (set[way].hash == 0)
            return &set[way];
        if (cache->clock - set[way].used > cache->clock - victim->used)
            victim = &set[way];
    }
    return victim;
}

void hot_cache_put(struct hot_cache *cache, struct bytes key, uint64_t hash, const struct record *record) {
    if (key.length > HOT_KEY_LIMIT || hash == 0)
        return;
    struct entry *entry = find(cache, key, hash);
    if (entry == NULL) {
        entry = oldest(cache, hash);
        entry->hash = hash;
        entry->length = (uint8_t)key.length;
        if (key.length != 0)
            memcpy(entry->key, key.data, key.length);
    }
    struct record none = {0};
    if (record == NULL)
        record = &none;
    entry->used = ++cache->clock;
    entry->create = record->create;
    entry->version = record->version;
    entry->lease = record->lease;
    entry->modified_main = record->modified.main;
    entry->modified_sub = record->modified.sub;
    entry->previous_main = record->previous.main;
    entry->previous_sub = record->previous.sub;
    entry->tombstone = record->tombstone;
}
