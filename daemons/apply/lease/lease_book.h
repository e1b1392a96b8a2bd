/*
 * lease_book: the leases there are and the keys attached to them: replicated state, changed by log entries
 * alone, the same on every member. When a lease expires is the lessor's business (lessor.h).
 *
 * In the store: 'l' id -> TTL, checkpointed remaining TTL, number of keys, index of the grant; 'k' id key ->
 * nothing, one row for each attached key. In memory: one struct a lease, found by hash; keys are only in the
 * store, so memory grows with leases and not with keys.
 *
 * What entries change goes into the batch when that is written (lease_book_save): behind the log's records,
 * whose ascending keys are cheap for the store as long as no others lie between them; and one row for a
 * lease, however often it changed. An entry counts keys apart (`change`) until it is complete: a large delete
 * is written in parts, and executed again if a crash comes between; what its parts save must not count half.
 *
 * Threading: one thread at a time, the one that executes.
 */
#ifndef QUORATE_APPLY_LEASE_LEASE_BOOK_H
#define QUORATE_APPLY_LEASE_LEASE_BOOK_H

#include "apply/store/store.h"

/* Of the lessor alone. */
struct lease_clock {
    uint64_t expiry_us;   /* 0: not set yet */
    uint64_t cleared_us;  /* when clearing the checkpoint was proposed; 0: it was not */
    size_t place;         /* in the expiry heap */
    uint64_t cost;        /* of the revocation under way; 0: none is */
    uint64_t proposed_us; /* it */
    bool awaited;         /* a request waits for what becomes of it */
    bool checkpointing;   /* a checkpoint of it is to be proposed, or was, and has not been executed */
};

struct lease {
    int64_t id;        /* any but 0 */
    int64_t ttl;       /* granted, seconds; > 0 */
    int64_t remaining; /* checkpointed, seconds, at most ttl; 0: none, the TTL counts */
    uint64_t grant;    /* index of the entry that granted it: ids come again */
    uint64_t keys;     /* attached, as of the last complete entry */
    int64_t change;    /* of that number, by the running entry */
    bool touched;      /* by the running entry */
    bool unsaved;      /* by an entry since the last write */
    struct lease_clock clock;
};

/* Who is told what became of leases. Zero-initialised: nobody. */
struct lease_observer {
    void *context;
    void (*granted)(void *context, struct lease *lease);
    void (*revoked)(void *context, struct lease *lease); /* gone when this returns */
    void (*checkpointed)(void *context, struct lease *lease);
};

struct lease_list {
    int64_t *ids;
    size_t count, capacity;
};

struct lease_book {
    struct store *store;
    struct store_batch *batch;
    uint64_t hash_seed;
    struct lease **slots; /* NULL: empty; at most half of them are used */
    size_t slot_count, count;
    struct lease_list touched, unsaved;
    struct buffer rows; /* for the batch: attachments, and leases that are gone */
    struct buffer scratch;
    struct lease_observer observer;
};

/* Loads what the store holds. False: it does not decode. hash_seed: any number, private. */
bool lease_book_open(struct lease_book *book, struct store *store, struct store_batch *batch,
                     uint64_t hash_seed);
void lease_book_close(struct lease_book *book);

/* NULL: there is none. */
struct lease *lease_book_find(const struct lease_book *book, int64_t id);
/* There must be none with this id. ttl > 0. grant: index of the entry. */
struct lease *lease_book_grant(struct lease_book *book, int64_t id, int64_t ttl, uint64_t grant);
/* Its keys must be detached, or deleted, by the same entry. */
void lease_book_revoke(struct lease_book *book, struct lease *lease);
/* remaining: seconds; what is out of range is brought into it. */
void lease_book_checkpoint(struct lease_book *book, struct lease *lease, int64_t remaining);
/* A key changes from one lease to another; 0: none. Both must exist. Returns the bytes that the batch gets.
 */
size_t lease_book_move(struct lease_book *book, struct bytes key, int64_t from, int64_t to);

/* The running entry is complete. */
void lease_book_settle(struct lease_book *book);
/* Puts what changed into the batch, which is about to be written. */
void lease_book_save(struct lease_book *book);

/* Walks the attached keys in order, as of the last write (or in a snapshot). */
struct lease_walk {
    struct store *store;
    struct store_iterator *iterator;
    bool valid, started;
};
void lease_walk_open(struct lease_walk *walk, struct store *store, struct store_snapshot *snapshot,
                     int64_t id);
/* False: at the end. The key is borrowed until the next call. */
bool lease_walk_next(struct lease_walk *walk, struct bytes *key);
void lease_walk_close(struct lease_walk *walk);

#endif
