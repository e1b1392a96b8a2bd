/*
 * memory_store: the smallest thing that keeps store.h's promises, for unit tests: a sorted array per state,
 * copied on every write. A crash goes back to the state at the last flush. What is to be dropped goes from
 * all states, snapshots included: at once and whole, or by chance.
 */
#ifndef QUORATE_TESTS_UNIT_APPLY_MEMORY_STORE_H
#define QUORATE_TESTS_UNIT_APPLY_MEMORY_STORE_H

#include <stdlib.h>

#include "apply/store/store.h"

struct pair {
    struct bytes key, value; /* owned */
};

struct store_snapshot {
    unsigned references;
    struct store_snapshot *next, **place; /* in the list of all states */
    struct pair *pairs;
    size_t count, capacity;
};

struct memory_store {
    struct store head;
    struct store_snapshot *now, *durable;
    struct store_snapshot *states; /* all, snapshots included */
    uint64_t drop_below;
    uint8_t drop_prefix;
    unsigned keep_one_in; /* of what is to be dropped, each time; 0: none stays */
    uint64_t random;
    unsigned open_iterators;
    unsigned flush_after; /* so many writes from now; 0: never */
};

struct store_iterator {
    struct memory_store *store;
    struct store_snapshot *state;
    size_t at, first, end;
};

struct store_batch {
    struct pair *pairs; /* value.data NULL and length SIZE_MAX: delete */
    size_t count, capacity;
};

static inline struct bytes memory_copy(struct bytes bytes) {
    uint8_t *data = must_alloc(bytes.length + 1);
    if (bytes.length != 0)
        memcpy(data, bytes.data, bytes.length);
    return bytes_of(data, bytes.length);
}

static inline void memory_unref(struct store_snapshot *state) {
    if (state == NULL || --state->references > 0)
        return;
    *state->place = state->next;
    if (state->next != NULL)
        state->next->place = state->place;
    for (size_t i = 0; i < state->count; i++) {
        free((void *)state->pairs[i].key.data);
        free((void *)state->pairs[i].value.data);
    }
    free(state->pairs);
    free(state);
}

static inline struct store_snapshot *memory_new_state(struct memory_store *memory) {
    struct store_snapshot *state = must_zalloc(sizeof *state);
    state->references = 1;
    state->next = memory->states;
    state->place = &memory->states;
    if (state->next != NULL)
        state->next->place = &state->next;
    memory->states = state;
    return state;
}

/* First pair with key >= wanted. */
static inline size_t memory_lower(const struct store_snapshot *state, struct bytes key) {
    size_t low = 0;
    size_t high = state->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(state->pairs[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A state that nobody else refers to. */
static inline struct store_snapshot *memory_own(struct memory_store *memory, struct store_snapshot *state) {
    if (state->references == 1)
        return state;
    struct store_snapshot *copy = memory_new_state(memory);
    copy->capacity = copy->count = state->count;
    copy->pairs = must_alloc((state->count + 1) * sizeof(struct pair));
    for (size_t i = 0; i < state->count; i++)
        copy->pairs[i] = (struct pair){memory_copy(state->pairs[i].key), memory_copy(state->pairs[i].value)};
    state->references--;
    return copy;
}

static inline void memory_remove(struct store_snapshot *state, size_t at) {
    free((void *)state->pairs[at].key.data);
    free((void *)state->pairs[at].value.data);
    state->count--;
    memmove(&state->pairs[at], &state->pairs[at + 1], (state->count - at) * sizeof(struct pair));
}

static inline void memory_set(struct store_snapshot *state, const struct pair *pair) {
    size_t at = memory_lower(state, pair->key);
    bool exists = at < state->count && bytes_equal(state->pairs[at].key, pair->key);
    if (exists)
        memory_remove(state, at);
    if (pair->value.length == SIZE_MAX)
        return;
    if (state->count >= state->capacity) {
        state->capacity = state->capacity * 2 + 16;
        state->pairs = must_realloc(state->pairs, state->capacity * sizeof(struct pair));
    }
    memmove(&state->pairs[at + 1], &state->pairs[at], (state->count - at) * sizeof(struct pair));
    state->pairs[at] = (struct pair){memory_copy(pair->key), memory_copy(pair->value)};
    state->count++;
}

static inline bool memory_get(struct store *store, struct store_snapshot *snapshot, struct bytes key,
                              struct store_value *value) {
    struct memory_store *memory = (struct memory_store *)store;
    struct store_snapshot *state = snapshot != NULL ? snapshot : memory->now;
    size_t at = memory_lower(state, key);
    if (at == state->count || !bytes_equal(state->pairs[at].key, key))
        return false;
    value->bytes = memory_copy(state->pairs[at].value);
    value->handle = (void *)value->bytes.data;
    return true;
}

static inline bool memory_durable_get(struct store *store, struct bytes key, struct store_value *value) {
    return memory_get(store, ((struct memory_store *)store)->durable, key, value);
}

static inline void memory_release(struct store_value *value) {
    free(value->handle);
}

static inline struct store_snapshot *memory_retain(struct store_snapshot *snapshot) {
    snapshot->references++;
    return snapshot;
}

static inline struct store_snapshot *memory_snapshot(struct store *store) {
    return memory_retain(((struct memory_store *)store)->now);
}

static inline struct store_iterator *memory_iterate(struct store *store, struct store_snapshot *snapshot,
                                                    struct bytes lower, struct bytes upper, int flags) {
    struct memory_store *memory = (struct memory_store *)store;
    struct store_iterator *iterator = must_zalloc(sizeof *iterator);
    (void)flags;
    iterator->store = memory;
    iterator->state = memory_retain(snapshot != NULL ? snapshot : memory->now);
    iterator->first = memory_lower(iterator->state, lower);
    iterator->end = upper.length == 0 ? iterator->state->count : memory_lower(iterator->state, upper);
    memory->open_iterators++;
    return iterator;
}

static inline bool memory_valid(const struct store_iterator *iterator) {
    return iterator->at >= iterator->first && iterator->at < iterator->end;
}

static inline bool memory_seek(struct store_iterator *iterator, struct bytes key) {
    iterator->at = memory_lower(iterator->state, key);
    if (iterator->at < iterator->first)
        iterator->at = iterator->first;
    return memory_valid(iterator);
}

static inline bool memory_last(struct store_iterator *iterator) {
    iterator->at = iterator->end - 1;
    return iterator->end > iterator->first;
}

static inline bool memory_next(struct store_iterator *iterator) {
    iterator->at++;
    return memory_valid(iterator);
}

static inline bool memory_previous(struct store_iterator *iterator) {
    iterator->at--;
    return memory_valid(iterator);
}

static inline struct bytes memory_key(struct store_iterator *iterator) {
    REQUIRE(memory_valid(iterator));
    return iterator->state->pairs[iterator->at].key;
}

static inline struct bytes memory_value(struct store_iterator *iterator) {
    REQUIRE(memory_valid(iterator));
    return iterator->state->pairs[iterator->at].value;
}

static inline void memory_close_iterator(struct store_iterator *iterator) {
    iterator->store->open_iterators--;
    memory_unref(iterator->state);
    free(iterator);
}

static inline struct store_batch *memory_new_batch(struct store *store) {
    (void)store;
    return must_zalloc(sizeof(struct store_batch));
}

static inline void memory_batch_add(struct store_batch *batch, struct bytes key, struct bytes value) {
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity * 2 + 16;
        batch->pairs = must_realloc(batch->pairs, batch->capacity * sizeof(struct pair));
    }
    batch->pairs[batch->count++] = (struct pair){memory_copy(key), value};
}

static inline void memory_batch_put(struct store_batch *batch, struct bytes key, struct bytes value) {
    memory_batch_add(batch, key, memory_copy(value));
}

static inline void memory_batch_delete(struct store_batch *batch, struct bytes key) {
    memory_batch_add(batch, key, (struct bytes){.length = SIZE_MAX});
}

static inline void memory_batch_clear(struct store_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        free((void *)batch->pairs[i].key.data);
        free((void *)batch->pairs[i].value.data);
    }
    batch->count = 0;
}

static inline void memory_free_batch(struct store_batch *batch) {
    memory_batch_clear(batch);
    free(batch->pairs);
    free(batch);
}

static inline void memory_flush_wait(struct store *store) {
    struct memory_store *memory = (struct memory_store *)store;
    memory_unref(memory->durable);
    memory->durable = memory_retain(memory->now);
}

static inline void memory_write(struct store *store, struct store_batch *batch) {
    struct memory_store *memory = (struct memory_store *)store;
    memory->now = memory_own(memory, memory->now);
    for (size_t i = 0; i < batch->count; i++)
        memory_set(memory->now, &batch->pairs[i]);
    if (memory->flush_after > 0 && --memory->flush_after == 0)
        memory_flush_wait(store);
}

static inline bool memory_flush(struct store *store) {
    memory_flush_wait(store);
    return true;
}

static inline int memory_checkpoint(struct store *store, const char *directory, struct bytes key,
                                    struct buffer *value) {
    struct store_value found = {0};
    (void)directory;
    memory_flush_wait(store);
    if (memory_get(store, NULL, key, &found))
        buffer_append_bytes(value, found.bytes);
    memory_release(&found);
    return 0;
}

static inline bool memory_is_dropped(const struct memory_store *memory, struct bytes key) {
    uint64_t number = 0;
    if (key.length < 9 || key.data[0] != memory->drop_prefix)
        return false;
    for (int i = 0; i < 8; i++)
        number = number << 8 | key.data[1 + i];
    return number < memory->drop_below;
}

/* Forgets some of what is to be dropped, in every state on its own. Not while an iterator is open. */
static inline void memory_drop_some(struct memory_store *memory) {
    REQUIRE(memory->open_iterators == 0);
    for (struct store_snapshot *state = memory->states; state != NULL; state = state->next) {
        for (size_t at = state->count; at-- > 0;) {
            memory->random = memory->random * UINT64_C(6364136223846793005) + 1442695040888963407;
            bool stays = memory->keep_one_in > 0 && (memory->random >> 33) % memory->keep_one_in == 0;
            if (memory_is_dropped(memory, state->pairs[at].key) && !stays)
                memory_remove(state, at);
        }
    }
}

static inline void memory_drop_below(struct store *store, uint8_t prefix, uint64_t below) {
    struct memory_store *memory = (struct memory_store *)store;
    REQUIRE(below >= memory->drop_below);
    memory->drop_prefix = prefix;
    memory->drop_below = below;
    memory_drop_some(memory);
}

static inline struct store_sizes memory_sizes(struct store *store) {
    (void)store;
    return (struct store_sizes){.total = 2, .in_use = 1};
}

/* The store object survives; what was not flushed is gone. */
static inline void memory_crash(struct memory_store *memory) {
    memory_unref(memory->now);
    memory->now = memory_retain(memory->durable);
    memory->drop_below = 0;
}

static inline void memory_close(struct store *store) {
    struct memory_store *memory = (struct memory_store *)store;
    REQUIRE(memory->open_iterators == 0);
    REQUIRE(memory->now->references == (memory->now == memory->durable ? 2u : 1u));
    memory_unref(memory->now);
    memory_unref(memory->durable);
    free(memory);
}

static const struct store_operations memory_operations = {
    .get = memory_get,
    .release = memory_release,
    .durable_get = memory_durable_get,
    .snapshot = memory_snapshot,
    .retain = memory_retain,
    .release_snapshot = memory_unref,
    .iterate = memory_iterate,
    .seek = memory_seek,
    .last = memory_last,
    .next = memory_next,
    .previous = memory_previous,
    .key = memory_key,
    .value = memory_value,
    .close_iterator = memory_close_iterator,
    .new_batch = memory_new_batch,
    .batch_put = memory_batch_put,
    .batch_delete = memory_batch_delete,
    .batch_clear = memory_batch_clear,
    .free_batch = memory_free_batch,
    .write = memory_write,
    .flush = memory_flush,
    .flush_wait = memory_flush_wait,
    .checkpoint = memory_checkpoint,
    .drop_below = memory_drop_below,
    .sizes = memory_sizes,
    .close = memory_close,
};

static inline struct memory_store *memory_store_new(void) {
    struct memory_store *memory = must_zalloc(sizeof *memory);
    memory->head.operations = &memory_operations;
    memory->now = memory_new_state(memory);
    memory->now->references = 2;
    memory->durable = memory->now;
    return memory;
}

#endif
