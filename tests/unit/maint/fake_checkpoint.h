/*
 * fake_checkpoint: a checkpoint in memory: sorted pairs. There is one at a time, whatever its directory is
 * called; what was removed is remembered.
 */
#ifndef QUORATE_TESTS_UNIT_MAINT_FAKE_CHECKPOINT_H
#define QUORATE_TESTS_UNIT_MAINT_FAKE_CHECKPOINT_H

#include <stdlib.h>

#include "common/store_format.h"
#include "common/store_record.h"
#include "maint/checkpoint.h"

struct fake_pair {
    struct bytes key, value; /* owned by the arena */
};

struct fake_checkpoint {
    struct checkpoint head;
    struct fake_pair *pairs;
    size_t count, capacity;
    struct arena arena;
    unsigned open, cursors; /* now */
    bool cannot_open;
    unsigned fail_after; /* so many entries; 0: never */
    char removed[4][4096];
    unsigned removals;
};

struct checkpoint_cursor {
    struct fake_checkpoint *fake;
    struct buffer lower, upper;
    size_t at;
    bool positioned, ended;
};

static inline size_t fake_lower(const struct fake_checkpoint *fake, struct bytes key) {
    size_t at = 0;
    while (at < fake->count && bytes_compare(fake->pairs[at].key, key) < 0)
        at++;
    return at;
}

static inline void fake_put(struct fake_checkpoint *fake, struct bytes key, struct bytes value) {
    size_t at = fake_lower(fake, key);
    bool exists = at < fake->count && bytes_equal(fake->pairs[at].key, key);
    if (!exists) {
        if (fake->count == fake->capacity) {
            fake->capacity = 2 * fake->capacity + 64;
            fake->pairs = must_realloc(fake->pairs, fake->capacity * sizeof *fake->pairs);
        }
        memmove(&fake->pairs[at + 1], &fake->pairs[at], (fake->count - at) * sizeof *fake->pairs);
        fake->count++;
    }
    fake->pairs[at] = (struct fake_pair){arena_copy(&fake->arena, key), arena_copy(&fake->arena, value)};
}

static inline void fake_put_index(struct fake_checkpoint *fake, uint64_t index) {
    uint8_t value[STORE_APPLIED_LENGTH] = {0};
    for (int i = 0; i < 8; i++)
        value[i] = (uint8_t)(index >> (8 * i));
    fake_put(fake, bytes_from_text(STORE_APPLIED_KEY), bytes_of(value, sizeof value));
}

/* A record of the log, or (kept) of what is kept of it. */
static inline void fake_put_log(struct fake_checkpoint *fake, bool kept, struct bytes user_key,
                                const struct record *record) {
    uint8_t key[LOG_KEY_LENGTH];
    uint8_t value[512];
    REQUIRE(user_key.length + record->value.length + RECORD_HEAD_LIMIT <= sizeof value);
    if (kept)
        kept_key_store(key, record->modified);
    else
        log_key_store(key, record->modified);
    size_t length = record_store_log(value, user_key, record);
    fake_put(fake, bytes_of(key, sizeof key), bytes_of(value, length));
}

static inline void fake_put_current(struct fake_checkpoint *fake, struct bytes user_key,
                                    const struct record *record) {
    uint8_t value[512];
    struct buffer key = {0};
    REQUIRE(record->value.length + RECORD_HEAD_LIMIT <= sizeof value);
    buffer_append_byte(&key, PREFIX_CURRENT);
    buffer_append_bytes(&key, user_key);
    fake_put(fake, buffer_bytes(&key), bytes_of(value, record_store_current(value, record)));
    buffer_free(&key);
}

static inline bool fake_get(struct checkpoint *base, struct bytes key, struct buffer *value) {
    struct fake_checkpoint *fake = (struct fake_checkpoint *)base;
    size_t at = fake_lower(fake, key);
    REQUIRE(fake->open == 1);
    if (at == fake->count || !bytes_equal(fake->pairs[at].key, key))
        return false;
    buffer_append_bytes(value, fake->pairs[at].value);
    return true;
}

static inline struct checkpoint_cursor *fake_open_cursor(struct checkpoint *base, struct bytes lower,
                                                         struct bytes upper) {
    struct fake_checkpoint *fake = (struct fake_checkpoint *)base;
    struct checkpoint_cursor *cursor = must_zalloc(sizeof *cursor);
    cursor->fake = fake;
    fake->cursors++;
    buffer_append_bytes(&cursor->lower, lower);
    buffer_append_bytes(&cursor->upper, upper);
    return cursor;
}

/* As strict as RocksDB: not to be called again after the end. */
static inline bool fake_next(struct checkpoint_cursor *cursor, struct bytes *key, struct bytes *value) {
    struct fake_checkpoint *fake = cursor->fake;
    REQUIRE(!cursor->ended);
    cursor->at = cursor->positioned ? cursor->at + 1 : fake_lower(fake, buffer_bytes(&cursor->lower));
    cursor->positioned = true;
    if (fake->fail_after > 0 && --fake->fail_after == 0)
        fake->head.failed = true;
    cursor->ended = fake->head.failed || cursor->at >= fake->count ||
                    bytes_compare(fake->pairs[cursor->at].key, buffer_bytes(&cursor->upper)) >= 0;
    if (cursor->ended)
        return false;
    *key = fake->pairs[cursor->at].key;
    *value = fake->pairs[cursor->at].value;
    return true;
}

static inline void fake_close_cursor(struct checkpoint_cursor *cursor) {
    cursor->fake->cursors--;
    buffer_free(&cursor->lower);
    buffer_free(&cursor->upper);
    free(cursor);
}

static inline void fake_close(struct checkpoint *base) {
    struct fake_checkpoint *fake = (struct fake_checkpoint *)base;
    REQUIRE(fake->open == 1 && fake->cursors == 0);
    fake->open = 0;
}

static const struct checkpoint_operations fake_operations = {
    .get = fake_get,
    .open_cursor = fake_open_cursor,
    .next = fake_next,
    .close_cursor = fake_close_cursor,
    .close = fake_close,
};

static inline struct checkpoint *fake_open(void *context, const char *directory) {
    struct fake_checkpoint *fake = context;
    (void)directory;
    REQUIRE(fake->open == 0);
    if (fake->cannot_open)
        return NULL;
    fake->open = 1;
    fake->head = (struct checkpoint){.operations = &fake_operations};
    return &fake->head;
}

static inline void fake_remove(void *context, const char *directory) {
    struct fake_checkpoint *fake = context;
    REQUIRE(fake->open == 0);
    strcpy(fake->removed[fake->removals++ % 4], directory);
}

static inline struct checkpoint_files fake_files(struct fake_checkpoint *fake) {
    return (struct checkpoint_files){.open = fake_open, .remove = fake_remove, .context = fake};
}

static inline void fake_free(struct fake_checkpoint *fake) {
    free(fake->pairs);
    arena_free(&fake->arena);
    *fake = (struct fake_checkpoint){0};
}

#endif
