/* interest: see interest.h. */
#include "proxy/watch/interest.h"

#include <stdlib.h>

#include "proxy/watch/interval_tree.h"
#include "proxy/watch/key_index.h"

static struct interest *find(const struct interest_index *index, struct bytes key, struct bytes range_end) {
    return range_is_key(range_end) ? key_index_find(&index->keys, key)
                                   : interval_find(index->ranges, key, range_end);
}

static struct interest *make(struct bytes key, struct bytes range_end) {
    struct interest *interest = must_zalloc(sizeof *interest + key.length + range_end.length);
    uint8_t *place = (uint8_t *)(interest + 1);
    if (key.length > 0)
        memcpy(place, key.data, key.length);
    if (range_end.length > 0)
        memcpy(place + key.length, range_end.data, range_end.length);
    interest->key = bytes_of(place, key.length);
    interest->range_end = bytes_of(place + key.length, range_end.length);
    interest->first_match = interest->last_match = NO_MATCH;
    return interest;
}

struct interest *interest_take(struct interest_index *index, struct bytes key, struct bytes range_end,
                               bool previous) {
    struct interest *interest = find(index, key, range_end);
    if (interest == NULL) {
        interest = make(key, range_end);
        if (range_is_key(range_end))
            key_index_add(&index->keys, interest);
        else
            index->ranges = interval_add(index->ranges, interest);
        index->count++;
        index->bytes += key.length + range_end.length;
    }
    interest->watchers++;
    interest->previous += previous;
    return interest;
}

bool interest_release(struct interest_index *index, struct interest *interest, bool previous) {
    interest->previous -= previous;
    if (--interest->watchers > 0)
        return previous && interest->previous == 0;
    if (range_is_key(interest->range_end))
        key_index_remove(&index->keys, interest);
    else
        index->ranges = interval_remove(index->ranges, interest);
    index->count--;
    index->bytes -= interest->key.length + interest->range_end.length;
    for (unsigned lane = 0; lane < LANES; lane++)
        free((void *)interest->lanes[lane].list);
    free(interest);
    return true;
}

void interest_list_add(struct interest_list *list, struct interest *interest) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        list->list = must_realloc((void *)list->list, list->capacity * sizeof(struct interest *));
    }
    list->list[list->count++] = interest;
}

void interest_list_free(struct interest_list *list) {
    free((void *)list->list);
    *list = (struct interest_list){0};
}

void interest_index_match(const struct interest_index *index, struct bytes key, struct interest_list *out) {
    out->count = 0;
    struct interest *exact = key_index_find(&index->keys, key);
    if (exact != NULL)
        interest_list_add(out, exact);
    interval_match(index->ranges, key, out);
}

void interest_index_all(const struct interest_index *index, struct interest_list *out) {
    out->count = 0;
    key_index_all(&index->keys, out);
    interval_all(index->ranges, out);
}

void interest_index_free(struct interest_index *index) {
    REQUIRE(index->count == 0);
    key_index_free(&index->keys);
}
