/* drop: see drop.h. The filter is asked for every entry of every merge, by RocksDB's threads. */
#include "apply/store/drop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/log.h"

enum {
    NUMBER_LENGTH = 8,
    BOUND_LENGTH = 1 + NUMBER_LENGTH,
    GARBAGE_BYTES = 4 << 20, /* less than that is not worth a merge */
    GARBAGE_SHARE = 4,       /* nor is less than one part in so many of all */
};

struct drop {
    rocksdb_compactionfilter_t *filter;
    rocksdb_t *database;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, stopping, asked;
    atomic_uint_least64_t below; /* 0: nothing is dropped */
    atomic_uint_least8_t prefix;
};

static uint64_t number_in(const uint8_t *key) {
    uint64_t number = 0;
    for (int i = 0; i < NUMBER_LENGTH; i++)
        number = number << 8 | key[1 + i];
    return number;
}

static unsigned char is_dropped(void *context, int level, const char *key, size_t key_length,
                                const char *value, size_t value_length, char **new_value,
                                size_t *new_value_length, unsigned char *value_changed) {
    struct drop *drop = context;
    const uint8_t *data = (const uint8_t *)key;
    (void)level;
    (void)value;
    (void)value_length;
    (void)new_value;
    (void)new_value_length;
    (void)value_changed;
    uint64_t below = atomic_load_explicit(&drop->below, memory_order_acquire);
    return key_length >= BOUND_LENGTH && below != 0 &&
           data[0] == atomic_load_explicit(&drop->prefix, memory_order_relaxed) && number_in(data) < below;
}

static const char *filter_name(void *context) {
    (void)context;
    return "quorate.drop";
}

static void keep_state(void *context) {
    (void)context; /* drop_free frees it */
}

struct drop *drop_new(rocksdb_options_t *options) {
    struct drop *drop = must_zalloc(sizeof *drop);
    pthread_mutex_init(&drop->lock, NULL);
    pthread_cond_init(&drop->changed, NULL);
    drop->filter = rocksdb_compactionfilter_create(drop, keep_state, is_dropped, filter_name);
    rocksdb_compactionfilter_set_ignore_snapshots(drop->filter, 1); /* RocksDB has no other kind any more */
    rocksdb_options_set_compaction_filter(options, drop->filter);
    return drop;
}

static void put_bound(char place[BOUND_LENGTH], uint8_t prefix, uint64_t number) {
    place[0] = (char)prefix;
    for (int i = 0; i < NUMBER_LENGTH; i++)
        place[1 + i] = (char)(number >> (56 - 8 * i));
}

static uint64_t bytes_between(struct drop *drop, const char *lower, const char *upper) {
    const size_t length = BOUND_LENGTH;
    uint64_t bytes = 0;
    char *error = NULL;
    rocksdb_approximate_sizes(drop->database, 1, &lower, &length, &upper, &length, &bytes, &error);
    if (error != NULL)
        LOG_FATAL("the database failed", F_STR("operation", "sizes"), F_STR("error", error));
    return bytes;
}

static bool worth_a_merge(struct drop *drop, const char *lower, const char *upper) {
    uint64_t total = 0;
    uint64_t garbage = bytes_between(drop, lower, upper);
    rocksdb_property_int(drop->database, "rocksdb.total-sst-files-size", &total);
    return garbage >= GARBAGE_BYTES && garbage >= total / GARBAGE_SHARE;
}

/* Merges beside those that RocksDB does of itself, which go on. */
static void merge(struct drop *drop, const char *lower, const char *upper) {
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compact_range_opt(drop->database, options, lower, BOUND_LENGTH, upper, BOUND_LENGTH);
    rocksdb_compactoptions_destroy(options);
}

static void drop_now(struct drop *drop) {
    char lower[BOUND_LENGTH];
    char upper[BOUND_LENGTH];
    char *error = NULL;
    uint8_t prefix = atomic_load(&drop->prefix);
    put_bound(lower, prefix, 0);
    put_bound(upper, prefix, atomic_load(&drop->below));
    rocksdb_delete_file_in_range(drop->database, lower, sizeof lower, upper, sizeof upper, &error);
    if (error != NULL)
        LOG_FATAL("the database failed", F_STR("operation", "delete files"), F_STR("error", error));
    if (worth_a_merge(drop, lower, upper))
        merge(drop, lower, upper);
}

static void *run(void *context) {
    struct drop *drop = context;
    pthread_mutex_lock(&drop->lock);
    while (!drop->stopping) {
        if (!drop->asked) {
            pthread_cond_wait(&drop->changed, &drop->lock);
            continue;
        }
        drop->asked = false;
        pthread_mutex_unlock(&drop->lock);
        drop_now(drop);
        pthread_mutex_lock(&drop->lock);
    }
    pthread_mutex_unlock(&drop->lock);
    return NULL;
}

void drop_start(struct drop *drop, rocksdb_t *database) {
    drop->database = database;
    if (pthread_create(&drop->thread, NULL, run, drop) != 0)
        LOG_FATAL("cannot start a thread");
    drop->started = true;
}

void drop_below(struct drop *drop, uint8_t prefix, uint64_t below) {
    REQUIRE(below >= atomic_load(&drop->below));
    atomic_store(&drop->prefix, prefix);
    atomic_store_explicit(&drop->below, below, memory_order_release);
    pthread_mutex_lock(&drop->lock);
    drop->asked = true;
    pthread_cond_signal(&drop->changed);
    pthread_mutex_unlock(&drop->lock);
}

void drop_stop(struct drop *drop) {
    if (!drop->started)
        return;
    pthread_mutex_lock(&drop->lock);
    drop->stopping = true;
    pthread_cond_signal(&drop->changed);
    pthread_mutex_unlock(&drop->lock);
    rocksdb_disable_manual_compaction(drop->database);
    pthread_join(drop->thread, NULL);
}

void drop_free(struct drop *drop) {
    rocksdb_compactionfilter_destroy(drop->filter);
    pthread_mutex_destroy(&drop->lock);
    pthread_cond_destroy(&drop->changed);
    free(drop);
}
