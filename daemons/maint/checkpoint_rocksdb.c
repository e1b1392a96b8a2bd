/*
 * checkpoint_rocksdb: see checkpoint_rocksdb.h. Reading a checkpoint must not cost the node memory: few open
 * files, a small cache that holds their indexes too, and nothing that is scanned stays in it.
 */
#include "maint/checkpoint_rocksdb.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

enum { OPEN_FILES = 64, CACHE_BYTES = 16 << 20, READ_AHEAD = 512 << 10 };

struct rocksdb_checkpoint {
    struct checkpoint head;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read;
    rocksdb_t *database;
};

struct checkpoint_cursor {
    struct rocksdb_checkpoint *checkpoint;
    rocksdb_readoptions_t *read;
    rocksdb_iterator_t *iterator;
    struct buffer lower, upper; /* RocksDB borrows them */
    bool positioned;
};

static struct rocksdb_checkpoint *of(struct checkpoint *checkpoint) {
    return (struct rocksdb_checkpoint *)checkpoint;
}

static bool failed(struct rocksdb_checkpoint *checkpoint, char *error) {
    if (error == NULL)
        return false;
    LOG_ERROR("cannot read a checkpoint", F_STR("error", error));
    rocksdb_free(error);
    checkpoint->head.failed = true;
    return true;
}

static bool get(struct checkpoint *base, struct bytes key, struct buffer *value) {
    char *error = NULL;
    size_t length = 0;
    char *found =
        rocksdb_get(of(base)->database, of(base)->read, (const char *)key.data, key.length, &length, &error);
    if (failed(of(base), error) || found == NULL)
        return false;
    buffer_append(value, found, length);
    rocksdb_free(found);
    return true;
}

static struct checkpoint_cursor *open_cursor(struct checkpoint *base, struct bytes lower,
                                             struct bytes upper) {
    struct checkpoint_cursor *cursor = must_zalloc(sizeof *cursor);
    cursor->checkpoint = of(base);
    buffer_append_bytes(&cursor->lower, lower);
    buffer_append_bytes(&cursor->upper, upper);
    cursor->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(cursor->read, 0);
    rocksdb_readoptions_set_readahead_size(cursor->read, READ_AHEAD);
    rocksdb_readoptions_set_iterate_upper_bound(cursor->read, (const char *)cursor->upper.data,
                                                cursor->upper.length);
    cursor->iterator = rocksdb_create_iterator(of(base)->database, cursor->read);
    return cursor;
}

static bool next(struct checkpoint_cursor *cursor, struct bytes *key, struct bytes *value) {
    if (cursor->positioned)
        rocksdb_iter_next(cursor->iterator);
    else
        rocksdb_iter_seek(cursor->iterator, (const char *)cursor->lower.data, cursor->lower.length);
    cursor->positioned = true;
    if (!rocksdb_iter_valid(cursor->iterator)) {
        char *error = NULL;
        rocksdb_iter_get_error(cursor->iterator, &error);
        failed(cursor->checkpoint, error);
        return false;
    }
    size_t length = 0;
    const char *data = rocksdb_iter_key(cursor->iterator, &length);
    *key = bytes_of(data, length);
    data = rocksdb_iter_value(cursor->iterator, &length);
    *value = bytes_of(data, length);
    return true;
}

static void close_cursor(struct checkpoint_cursor *cursor) {
    rocksdb_iter_destroy(cursor->iterator);
    rocksdb_readoptions_destroy(cursor->read);
    buffer_free(&cursor->lower);
    buffer_free(&cursor->upper);
    free(cursor);
}

static void free_checkpoint(struct rocksdb_checkpoint *checkpoint) {
    rocksdb_readoptions_destroy(checkpoint->read);
    rocksdb_options_destroy(checkpoint->options);
    free(checkpoint);
}

static void close_checkpoint(struct checkpoint *base) {
    rocksdb_close(of(base)->database);
    free_checkpoint(of(base));
}

static const struct checkpoint_operations operations = {
    .get = get,
    .open_cursor = open_cursor,
    .next = next,
    .close_cursor = close_cursor,
    .close = close_checkpoint,
};

static void set_cache(rocksdb_options_t *options) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(CACHE_BYTES);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache); /* the table options hold their own reference */
}

static struct checkpoint *open_checkpoint(void *context, const char *directory) {
    struct rocksdb_checkpoint *checkpoint = must_zalloc(sizeof *checkpoint);
    char *error = NULL;
    (void)context;
    checkpoint->head.operations = &operations;
    checkpoint->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(checkpoint->read, 1);
    checkpoint->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(checkpoint->options, 0);
    rocksdb_options_set_max_open_files(checkpoint->options, OPEN_FILES);
    set_cache(checkpoint->options);
    checkpoint->database = rocksdb_open_for_read_only(checkpoint->options, directory, 0, &error);
    if (!failed(checkpoint, error))
        return &checkpoint->head;
    free_checkpoint(checkpoint);
    return NULL;
}

/* --- directories --- */

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *where) {
    (void)state;
    (void)kind;
    (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* rm -r; does not follow links. 0 or -errno. */
static int remove_tree(const char *path) {
    enum { DESCRIPTORS = 8 };
    if (nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

static void remove_checkpoint(void *context, const char *directory) {
    (void)context;
    int status = remove_tree(directory);
    if (status != 0)
        LOG_ERROR("cannot remove a checkpoint", F_STR("directory", directory), F_ERRNO(-status));
}

int empty_directory(const char *path) {
    int status = remove_tree(path);
    if (status == 0 && mkdir(path, 0700) != 0)
        status = -errno;
    return status;
}

const struct checkpoint_files checkpoint_rocksdb_files = {
    .open = open_checkpoint,
    .remove = remove_checkpoint,
};
