/*
 * interest: a range that somebody watches, with everybody who does; and the index that finds, for a key, all
 * interests it belongs to: single keys by hash, ranges in an interval tree.
 *
 * Ten thousand watchers of one prefix are one interest: an event is matched to it once and encoded once.
 *
 * Members stand in lanes: those who follow the stream, and those of each scan of history. Watchers who only
 * wait keep the interest alive but stand in none.
 */
#ifndef QUORATE_PROXY_WATCH_INTEREST_H
#define QUORATE_PROXY_WATCH_INTEREST_H

#include "common/bytes.h"

struct watcher;

#define NO_MATCH UINT32_MAX

enum { SCANS = 4, LANE_STREAM = 0, LANE_SCAN = 1, LANES = LANE_SCAN + SCANS, LANE_NONE = LANES };

/* In no order; a member knows its place (watcher.place), so that it leaves at once. */
struct members {
    struct watcher **list;
    uint32_t count, capacity;
};

struct interest {
    /* etcd's conventions, normalised: range_end empty: one key; one zero byte: all keys >= key. Owned. */
    struct bytes key, range_end;
    uint32_t watchers; /* in all, in lanes or not */
    uint32_t previous; /* of them, those who want prev_kv */
    struct members lanes[LANES];
    /* In the batch that is being collected (batch.h): its events, and its place among those touched. */
    uint32_t first_match, last_match;
    size_t touched;

    struct interest *hash_next; /* key_index */
    struct interest *left, *right;
    struct interest *furthest; /* of the subtree: the one whose range ends last */
    int height;
};

static inline bool range_is_key(struct bytes range_end) {
    return range_end.length == 0;
}
static inline bool range_is_open(struct bytes range_end) {
    return range_end.length == 1 && range_end.data[0] == 0;
}

struct key_index {
    struct interest **buckets;
    size_t capacity, count; /* capacity: a power of two, or 0 */
    uint64_t seed;
};

struct interest_index {
    struct key_index keys;
    struct interest *ranges; /* root */
    size_t count;
    size_t bytes; /* of their keys and range ends */
};

struct interest_list {
    struct interest **list;
    size_t count, capacity;
};

/* Finds or makes the interest; the caller is one more watcher of it. */
struct interest *interest_take(struct interest_index *index, struct bytes key, struct bytes range_end,
                               bool previous);
/* With its last watcher the interest goes. True: less may be wanted of apply than before. */
bool interest_release(struct interest_index *index, struct interest *interest, bool previous);
/* All interests that hold the key. */
void interest_index_match(const struct interest_index *index, struct bytes key, struct interest_list *out);
/* All there are, in no particular order. */
void interest_index_all(const struct interest_index *index, struct interest_list *out);
void interest_list_add(struct interest_list *list, struct interest *interest);
void interest_list_free(struct interest_list *list);
/* No interest may be left. */
void interest_index_free(struct interest_index *index);

#endif
