/*
 * store: the ordered key-value store under apply, as an interface: RocksDB in production
 * (store_rocksdb.h), a model of what RocksDB promises in the simulator and in unit tests.
 *
 * What is promised. Keys are ordered as unsigned bytes, a prefix before its extensions. A batch is applied
 * whole or not at all, and is visible to every get, iterator and snapshot taken after write() returned.
 * Nothing is durable until a flush: after a crash the store stands at some earlier state that was complete
 * after a write() (a prefix of the batches, never part of one), at least the state at the begin of the last
 * flush that finished. There is no log of its own: the Raft log is the log.
 *
 * Failure modes. Reading finds a key or does not; writing succeeds. Everything else (I/O error, corruption,
 * full disk) is the environment failing: the implementation logs and ends the process (LOG_FATAL), because a
 * member that cannot trust its store must not answer. Only checkpoint reports failure: it harms nobody.
 *
 * Threading. write, flush, flush_wait, drop_below: one thread at a time. get, snapshot, iterate, durable_get,
 * checkpoint, sizes: any thread, concurrently with that one. An iterator, a batch or a value belongs to one
 * thread at a time.
 */
#ifndef QUORATE_APPLY_STORE_STORE_H
#define QUORATE_APPLY_STORE_STORE_H

#include "common/bytes.h"

struct store;
struct store_snapshot; /* an immutable view of everything, reference-counted */
struct store_iterator;
struct store_batch;

/* A value lent by the store, until store_release. Zero-initialised is released. */
struct store_value {
    struct bytes bytes;
    void *handle; /* of the implementation; may be NULL */
};

struct store_sizes {
    uint64_t total;  /* bytes the store takes, on disk and not yet flushed; never 0 */
    uint64_t in_use; /* estimate of what would remain if all garbage were collected; never 0 */
};

enum {
    STORE_SCAN = 1, /* iterate: a long read; must not displace what is cached for others */
};

struct store_operations {
    /* Value of a key; snapshot NULL: the current state. False: no such key (nothing to release). */
    bool (*get)(struct store *store, struct store_snapshot *snapshot, struct bytes key,
                struct store_value *value);
    void (*release)(struct store_value *value);
    /* The value as of the last finished flush, i.e. what a crash now would at least leave. */
    bool (*durable_get)(struct store *store, struct bytes key, struct store_value *value);

    /* A view of the state now, with one reference, which the caller owns. */
    struct store_snapshot *(*snapshot)(struct store *store);
    struct store_snapshot *(*retain)(struct store_snapshot *snapshot);
    void (*release_snapshot)(struct store_snapshot *snapshot);

    /*
     * Over keys in [lower, upper) of the snapshot (NULL: of the state at creation); an empty upper is open.
     * Bounds are copied. Not positioned: call seek or last first. All four return whether there is a current
     * entry. key and value are borrowed until the next call on the iterator. Must be closed before its
     * snapshot.
     */
    struct store_iterator *(*iterate)(struct store *store, struct store_snapshot *snapshot,
                                      struct bytes lower, struct bytes upper, int flags);
    bool (*seek)(struct store_iterator *iterator, struct bytes key); /* first entry >= key */
    bool (*last)(struct store_iterator *iterator);                   /* last entry in bounds */
    bool (*next)(struct store_iterator *iterator);
    bool (*previous)(struct store_iterator *iterator);
    struct bytes (*key)(struct store_iterator *iterator);
    struct bytes (*value)(struct store_iterator *iterator);
    void (*close_iterator)(struct store_iterator *iterator);

    /* Reusable: clear empties it. Later operations on a key win over earlier ones of the same batch. Copies.
     */
    struct store_batch *(*new_batch)(struct store *store);
    void (*batch_put)(struct store_batch *batch, struct bytes key, struct bytes value);
    void (*batch_delete)(struct store_batch *batch, struct bytes key);
    void (*batch_clear)(struct store_batch *batch);
    void (*free_batch)(struct store_batch *batch);
    void (*write)(struct store *store, struct store_batch *batch);

    /*
     * Begins to make the present state durable, without waiting. False: one is under way already (call again
     * later). That it is finished shows in durable_get.
     */
    bool (*flush)(struct store *store);
    /* The same, and returns when it is durable. */
    void (*flush_wait)(struct store *store);

    /*
     * A complete, durable, immutable copy (hard links) in `directory`, which must not exist yet and lie on
     * the same file system. It holds a state between the call and the return; *value gets (is appended) the
     * value that `key` has in it. May take long; needs no lock of the caller. 0, or -errno with nothing left
     * behind.
     */
    int (*checkpoint)(struct store *store, const char *directory, struct bytes key, struct buffer *value);

    /*
     * Nobody asks any more for the keys that begin with `prefix` and a number (8 bytes, big-endian) less than
     * `below`: from now on the store forgets any of them at any time, some sooner, some later, some never;
     * durably, whatever else is durable, and from under snapshots and iterators too. One prefix only; `below`
     * never falls. Does not wait. Not remembered by the store: to be called again after it was opened.
     */
    void (*drop_below)(struct store *store, uint8_t prefix, uint64_t below);

    struct store_sizes (*sizes)(struct store *store);
    /* Flushes and closes. Snapshots, iterators, batches and values must be gone. */
    void (*close)(struct store *store);
};

/* The head of every implementation's own struct. */
struct store {
    const struct store_operations *operations;
};

static inline bool store_get(struct store *store, struct store_snapshot *snapshot, struct bytes key,
                             struct store_value *value) {
    return store->operations->get(store, snapshot, key, value);
}

static inline void store_release(struct store *store, struct store_value *value) {
    if (value->handle != NULL)
        store->operations->release(value);
    *value = (struct store_value){0};
}

#endif
