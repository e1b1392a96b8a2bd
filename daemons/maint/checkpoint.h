/*
 * checkpoint: a finished copy of the database, to be read and removed: RocksDB in production
 * (checkpoint_rocksdb.h), models in the simulator and in unit tests.
 *
 * Immutable. Keys are ordered as unsigned bytes. An error is logged and sets `failed`; reading goes on as if
 * there were nothing more, so it is enough to look at the end.
 * Threading: a checkpoint and its cursors belong to one thread at a time. Everything may block.
 */
#ifndef QUORATE_MAINT_CHECKPOINT_H
#define QUORATE_MAINT_CHECKPOINT_H

#include "common/bytes.h"

struct checkpoint_cursor;

struct checkpoint {
    const struct checkpoint_operations *operations;
    bool failed;
};

struct checkpoint_operations {
    /* Appends the value. False: no such key. */
    bool (*get)(struct checkpoint *checkpoint, struct bytes key, struct buffer *value);
    /* Over the keys in [lower, upper), copied; before the first entry. Closed before the checkpoint. */
    struct checkpoint_cursor *(*open_cursor)(struct checkpoint *checkpoint, struct bytes lower,
                                             struct bytes upper);
    /* To the next entry; borrowed until the next call. False: there is none. */
    bool (*next)(struct checkpoint_cursor *cursor, struct bytes *key, struct bytes *value);
    void (*close_cursor)(struct checkpoint_cursor *cursor);
    void (*close)(struct checkpoint *checkpoint);
};

/* Where checkpoints are. */
struct checkpoint_files {
    /* NULL: it cannot be opened (logged). */
    struct checkpoint *(*open)(void *context, const char *directory);
    /* What is not there is fine; what cannot be removed is logged. */
    void (*remove)(void *context, const char *directory);
    void *context;
};

/* The consistent index inside; 0: there is none. */
uint64_t checkpoint_index(struct checkpoint *checkpoint);

#endif
