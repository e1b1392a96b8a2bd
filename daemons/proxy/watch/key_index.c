/* key_index: see key_index.h. Chained. */
#include "proxy/watch/key_index.h"

#include <stdlib.h>

#include "common/key_hash.h"

enum { FIRST = 64 };

static struct interest **bucket(const struct key_index *index, struct bytes key) {
    return &index->buckets[key_hash(key, index->seed) & (index->capacity - 1)];
}

struct interest *key_index_find(const struct key_index *index, struct bytes key) {
    if (index->capacity == 0)
        return NULL;
    struct interest *at = *bucket(index, key);
    while (at != NULL && !bytes_equal(at->key, key))
        at = at->hash_next;
    return at;
}

static void insert(struct key_index *index, struct interest *interest) {
    struct interest **place = bucket(index, interest->key);
    interest->hash_next = *place;
    *place = interest;
}

static void grow(struct key_index *index) {
    struct key_index larger = *index;
    larger.capacity = index->capacity == 0 ? FIRST : index->capacity * 2;
    larger.buckets = must_zalloc(larger.capacity * sizeof(struct interest *));
    for (size_t i = 0; i < index->capacity; i++) {
        struct interest *next = NULL;
        for (struct interest *at = index->buckets[i]; at != NULL; at = next) {
            next = at->hash_next;
            insert(&larger, at);
        }
    }
    free((void *)index->buckets);
    *index = larger;
}

void key_index_add(struct key_index *index, struct interest *interest) {
    if (index->count >= index->capacity)
        grow(index);
    insert(index, interest);
    index->count++;
}

void key_index_remove(struct key_index *index, struct interest *interest) {
    struct interest **place = bucket(index, interest->key);
    while (*place != interest)
        place = &(*place)->hash_next;
    *place = interest->hash_next;
    index->count--;
}

void key_index_all(const struct key_index *index, struct interest_list *out) {
    for (size_t i = 0; i < index->capacity; i++) {
        for (struct interest *at = index->buckets[i]; at != NULL; at = at->hash_next)
            interest_list_add(out, at);
    }
}

void key_index_free(struct key_index *index) {
    free((void *)index->buckets);
    *index = (struct key_index){0};
}
