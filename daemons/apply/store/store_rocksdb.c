/*
 * store_rocksdb: see store.h for the contract, building-blocks.md 2 for why the options are what they are.
 *
 * Memory: the block cache holds index and filter blocks too, so that memory does not grow with the number of
 * keys; three write buffers at most. Threads: one for flushes, one for merges, one that drops (drop.h).
 * Every error of a read, a write or of the background is LOG_FATAL: a failed flush must not be retried here
 * (RocksDB 7.8 may misorder updates), and a store in doubt must not answer.
 */
#include "apply/store/store_rocksdb.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

#include "apply/store/drop.h"
#include "apply/store/remove_directory.h"

enum {
    PERSISTED_TIER = 2,
    BACKGROUND_JOBS = 2,
    WRITE_BUFFERS = 3,
    LEVEL0_FILES = 8, /* files of level 0 before they are merged down: half the merges of the default 4 */
    FILE_BYTES = 16 << 20, /* at the first level below level 0, twice as much at each further one */
    OPEN_FILES = 1000,
    BLOCK_BYTES = 16 * 1024,
    LOG_LEVEL_WARNINGS = 2,
    LARGE_BATCH = 16 << 20,
};

struct rocksdb_store {
    struct store head;
    rocksdb_t *database;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read, *read_durable;
    rocksdb_writeoptions_t *write;
    rocksdb_flushoptions_t *flush, *flush_wait;
    struct drop *drop;
};

struct store_snapshot {
    struct rocksdb_store *store;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
    atomic_uint references;
};

struct store_iterator {
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *read;
    struct buffer lower, upper; /* RocksDB borrows them */
};

struct store_batch {
    rocksdb_writebatch_t *batch;
};

static struct rocksdb_store *of(struct store *store) {
    return (struct rocksdb_store *)store;
}

static void check(char *error, const char *what) {
    if (error != NULL)
        LOG_FATAL("the database failed", F_STR("operation", what), F_STR("error", error));
}

/* --- reading --- */

static bool get_with(struct rocksdb_store *store, const rocksdb_readoptions_t *read, struct bytes key,
                     struct store_value *value) {
    char *error = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(store->database, read, (const char *)key.data, key.length, &error);
    check(error, "get");
    if (slice == NULL)
        return false;
    size_t length = 0;
    const char *data = rocksdb_pinnableslice_value(slice, &length);
    *value = (struct store_value){.bytes = bytes_of(data, length), .handle = slice};
    return true;
}

static bool get(struct store *store, struct store_snapshot *snapshot, struct bytes key,
                struct store_value *value) {
    return get_with(of(store), snapshot == NULL ? of(store)->read : snapshot->read, key, value);
}

static bool durable_get(struct store *store, struct bytes key, struct store_value *value) {
    return get_with(of(store), of(store)->read_durable, key, value);
}

static void release(struct store_value *value) {
    rocksdb_pinnableslice_destroy(value->handle);
}

static struct store_snapshot *take_snapshot(struct store *store) {
    struct store_snapshot *snapshot = must_alloc(sizeof *snapshot);
    snapshot->store = of(store);
    snapshot->snapshot = rocksdb_create_snapshot(of(store)->database);
    snapshot->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(snapshot->read, snapshot->snapshot);
    atomic_init(&snapshot->references, 1);
    return snapshot;
}

static struct store_snapshot *retain(struct store_snapshot *snapshot) {
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

static void release_snapshot(struct store_snapshot *snapshot) {
    if (atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    rocksdb_release_snapshot(snapshot->store->database, snapshot->snapshot);
    rocksdb_readoptions_destroy(snapshot->read);
    free(snapshot);
}

/* --- iterating --- */

static struct store_iterator *iterate(struct store *store, struct store_snapshot *snapshot,
                                      struct bytes lower, struct bytes upper, int flags) {
    struct store_iterator *iterator = must_zalloc(sizeof *iterator);
    buffer_append_bytes(&iterator->lower, lower);
    buffer_append_bytes(&iterator->upper, upper);
    iterator->read = rocksdb_readoptions_create();
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(iterator->read, snapshot->snapshot);
    if (lower.length != 0)
        rocksdb_readoptions_set_iterate_lower_bound(iterator->read, (const char *)iterator->lower.data,
                                                    lower.length);
    if (upper.length != 0)
        rocksdb_readoptions_set_iterate_upper_bound(iterator->read, (const char *)iterator->upper.data,
                                                    upper.length);
    if ((flags & STORE_SCAN) != 0)
        rocksdb_readoptions_set_fill_cache(iterator->read, 0);
    iterator->iterator = rocksdb_create_iterator(of(store)->database, iterator->read);
    return iterator;
}

static bool has_entry(const struct store_iterator *iterator) {
    if (rocksdb_iter_valid(iterator->iterator))
        return true;
    char *error = NULL;
    rocksdb_iter_get_error(iterator->iterator, &error);
    check(error, "iterate");
    return false;
}

static bool seek(struct store_iterator *iterator, struct bytes key) {
    rocksdb_iter_seek(iterator->iterator, (const char *)key.data, key.length);
    return has_entry(iterator);
}

static bool last(struct store_iterator *iterator) {
    rocksdb_iter_seek_to_last(iterator->iterator);
    return has_entry(iterator);
}

static bool next(struct store_iterator *iterator) {
    rocksdb_iter_next(iterator->iterator);
    return has_entry(iterator);
}

static bool previous(struct store_iterator *iterator) {
    rocksdb_iter_prev(iterator->iterator);
    return has_entry(iterator);
}

static struct bytes iterator_key(struct store_iterator *iterator) {
    size_t length = 0;
    const char *data = rocksdb_iter_key(iterator->iterator, &length);
    return bytes_of(data, length);
}

static struct bytes iterator_value(struct store_iterator *iterator) {
    size_t length = 0;
    const char *data = rocksdb_iter_value(iterator->iterator, &length);
    return bytes_of(data, length);
}

static void close_iterator(struct store_iterator *iterator) {
    rocksdb_iter_destroy(iterator->iterator);
    rocksdb_readoptions_destroy(iterator->read);
    buffer_free(&iterator->lower);
    buffer_free(&iterator->upper);
    free(iterator);
}

/* --- writing --- */

static struct store_batch *new_batch(struct store *store) {
    (void)store;
    struct store_batch *batch = must_alloc(sizeof *batch);
    batch->batch = rocksdb_writebatch_create();
    return batch;
}

static void batch_put(struct store_batch *batch, struct bytes key, struct bytes value) {
    rocksdb_writebatch_put(batch->batch, (const char *)key.data, key.length, (const char *)value.data,
                           value.length);
}

static void batch_delete(struct store_batch *batch, struct bytes key) {
    rocksdb_writebatch_delete(batch->batch, (const char *)key.data, key.length);
}

/* clear() keeps the memory for the next round, which is not wanted after an exceptionally large one. */
static void batch_clear(struct store_batch *batch) {
    size_t length = 0;
    rocksdb_writebatch_data(batch->batch, &length);
    if (length <= LARGE_BATCH) {
        rocksdb_writebatch_clear(batch->batch);
        return;
    }
    rocksdb_writebatch_destroy(batch->batch);
    batch->batch = rocksdb_writebatch_create();
}

static void free_batch(struct store_batch *batch) {
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

static void write_batch(struct store *store, struct store_batch *batch) {
    char *error = NULL;
    rocksdb_write(of(store)->database, of(store)->write, batch->batch, &error);
    check(error, "write");
}

/* --- durability --- */

static uint64_t property(struct rocksdb_store *store, const char *name) {
    uint64_t value = 0;
    return rocksdb_property_int(store->database, name, &value) == 0 ? value : 0;
}

static void check_background(struct rocksdb_store *store) {
    if (property(store, "rocksdb.background-errors") != 0)
        LOG_FATAL("the database failed", F_STR("operation", "flush or compaction in the background"));
}

static unsigned long files_at_level0(struct rocksdb_store *store) {
    char *text = rocksdb_property_value(store->database, "rocksdb.num-files-at-level0");
    unsigned long files = text == NULL ? 0 : strtoul(text, NULL, 10);
    rocksdb_free(text);
    return files;
}

/*
 * A flush that would add one file too many to level 0 makes its caller wait for the merge, whatever its wait
 * option says, and the caller is apply's only loop: such a flush comes later.
 */
static bool flush(struct store *store) {
    check_background(of(store));
    if (property(of(store), "rocksdb.num-immutable-mem-table") != 0 ||
        files_at_level0(of(store)) > LEVEL0_FILES + LEVEL0_FILES / 2)
        return false;
    char *error = NULL;
    rocksdb_flush(of(store)->database, of(store)->flush, &error);
    check(error, "flush");
    return true;
}

static void flush_wait(struct store *store) {
    char *error = NULL;
    rocksdb_flush(of(store)->database, of(store)->flush_wait, &error);
    check(error, "flush");
}

/* Reads one value out of the finished copy, which nobody else has open. */
static char *read_back(struct rocksdb_store *store, const char *directory, struct bytes key,
                       struct buffer *value) {
    char *error = NULL;
    rocksdb_t *copy = rocksdb_open_for_read_only(store->options, directory, 0, &error);
    if (error != NULL)
        return error;
    size_t length = 0;
    char *found = rocksdb_get(copy, store->read, (const char *)key.data, key.length, &length, &error);
    buffer_append(value, found, length);
    rocksdb_free(found);
    rocksdb_close(copy);
    return error;
}

static char *make_copy(struct rocksdb_store *store, const char *directory) {
    char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(store->database, &error);
    if (error != NULL)
        return error;
    rocksdb_checkpoint_create(checkpoint, directory, 0, &error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return error;
}

static int checkpoint(struct store *store, const char *directory, struct bytes key, struct buffer *value) {
    errno = 0;
    char *error = make_copy(of(store), directory);
    bool made = error == NULL;
    if (made)
        error = read_back(of(store), directory, key, value);
    if (error == NULL)
        return 0;
    int reason = errno != 0 ? errno : EIO;
    LOG_ERROR("a checkpoint could not be made", F_STR("directory", directory), F_STR("error", error));
    rocksdb_free(error);
    if (made)
        remove_directory(directory);
    return -reason;
}

static void drop(struct store *store, uint8_t prefix, uint64_t below) {
    drop_below(of(store)->drop, prefix, below);
}

static struct store_sizes sizes(struct store *store) {
    check_background(of(store));
    uint64_t memory = property(of(store), "rocksdb.cur-size-all-mem-tables");
    struct store_sizes result = {
        .total = property(of(store), "rocksdb.total-sst-files-size") + memory,
        .in_use = property(of(store), "rocksdb.estimate-live-data-size") + memory,
    };
    result.total += result.total == 0;
    result.in_use += result.in_use == 0;
    return result;
}

/* --- opening and closing --- */

static void release_options(struct rocksdb_store *store) {
    rocksdb_options_destroy(store->options);
    drop_free(store->drop);
    rocksdb_readoptions_destroy(store->read);
    rocksdb_readoptions_destroy(store->read_durable);
    rocksdb_writeoptions_destroy(store->write);
    rocksdb_flushoptions_destroy(store->flush);
    rocksdb_flushoptions_destroy(store->flush_wait);
    free(store);
}

static void close_store(struct store *store) {
    flush_wait(store);
    drop_stop(of(store)->drop);
    rocksdb_cancel_all_background_work(of(store)->database, 1);
    rocksdb_close(of(store)->database);
    release_options(of(store));
}

static const struct store_operations rocksdb_operations = {
    .get = get,
    .release = release,
    .durable_get = durable_get,
    .snapshot = take_snapshot,
    .retain = retain,
    .release_snapshot = release_snapshot,
    .iterate = iterate,
    .seek = seek,
    .last = last,
    .next = next,
    .previous = previous,
    .key = iterator_key,
    .value = iterator_value,
    .close_iterator = close_iterator,
    .new_batch = new_batch,
    .batch_put = batch_put,
    .batch_delete = batch_delete,
    .batch_clear = batch_clear,
    .free_batch = free_batch,
    .write = write_batch,
    .flush = flush,
    .flush_wait = flush_wait,
    .checkpoint = checkpoint,
    .drop_below = drop,
    .sizes = sizes,
    .close = close_store,
};

static void set_table_options(rocksdb_options_t *options, uint64_t cache_bytes) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache); /* the table options hold their own reference */
}

static void set_background(rocksdb_options_t *options) {
    rocksdb_env_t *environment = rocksdb_create_default_env();
    rocksdb_env_set_background_threads(environment, 1);
    rocksdb_env_set_high_priority_background_threads(environment, 1);
    /* Merges keep the priority of the rest: starved by other load, they end in writes that stand still. */
    rocksdb_options_set_env(options, environment);
    rocksdb_env_destroy(environment); /* the default environment itself is never destroyed */
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1);
}

static rocksdb_options_t *make_options(const struct store_rocksdb_options *given) {
    rocksdb_options_t *options = rocksdb_options_create();
    /* Level 0 and the first below it are rewritten soon: compressing them was a tenth of apply's CPU under
     * puts. */
    static const int compression[] = {rocksdb_no_compression, rocksdb_no_compression,
                                      rocksdb_lz4_compression};
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, given->memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(options, WRITE_BUFFERS);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression_per_level(options, compression, sizeof compression / sizeof *compression);
    /* Small files of the log can be unlinked sooner; large ones are fewer, where most of them are. */
    rocksdb_options_set_target_file_size_base(options, FILE_BYTES);
    rocksdb_options_set_target_file_size_multiplier(options, 2);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, LEVEL0_FILES);
    rocksdb_options_set_max_open_files(options, OPEN_FILES);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_info_log_level(options, LOG_LEVEL_WARNINGS);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, 1 << 20);
    set_table_options(options, given->cache_bytes);
    set_background(options);
    return options;
}

static struct rocksdb_store *make_store(const struct store_rocksdb_options *given) {
    struct rocksdb_store *store = must_zalloc(sizeof *store);
    store->head.operations = &rocksdb_operations;
    store->options = make_options(given);
    store->drop = drop_new(store->options);
    store->read = rocksdb_readoptions_create();
    store->read_durable = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(store->read_durable, PERSISTED_TIER);
    store->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(store->write, 1);
    store->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(store->flush, 0);
    store->flush_wait = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(store->flush_wait, 1);
    return store;
}

struct store *store_rocksdb_open(const char *directory, const struct store_rocksdb_options *options,
                                 char error[512]) {
    struct rocksdb_store *store = make_store(options);
    char *reason = NULL;
    store->database = rocksdb_open(store->options, directory, &reason);
    if (reason == NULL) {
        drop_start(store->drop, store->database);
        return &store->head;
    }
    snprintf(
        error, 512,
        "the database in %.150s cannot be opened: %.180s; restore this member from a backup, or remove it "
        "from the cluster and add it again with an empty data directory",
        directory, reason);
    rocksdb_free(reason);
    release_options(store);
    return NULL;
}
