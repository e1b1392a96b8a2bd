/* store_rocksdb: what store.h promises, on the real thing, in a temporary directory; and the layout others
 * rely on. */
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply/generation.h"
#include "apply/mvcc/mvcc.h"
#include "apply/store/remove_directory.h"
#include "apply/store/store_rocksdb.h"
#include "common/store_format.h"

static const struct store_rocksdb_options options = {.cache_bytes = 8 << 20, .memtable_bytes = 4 << 20};
static char directory[64], database[80];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/quorate-store-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(database, sizeof database, "%s/db", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_directory(database);
    assert_int_equal(remove_directory(directory), 0);
    return 0;
}

static struct store *open_database(void) {
    char error[512];
    struct store *store = store_rocksdb_open(database, &options, error);
    assert_non_null(store);
    return store;
}

static struct bytes text(const char *string) {
    return bytes_from_text(string);
}

static void put(struct store *store, const char *key, const char *value) {
    struct store_batch *batch = store->operations->new_batch(store);
    store->operations->batch_put(batch, text(key), text(value));
    store->operations->write(store, batch);
    store->operations->free_batch(batch);
}

static void assert_value(struct store *store, struct store_snapshot *snapshot, const char *key,
                         const char *expected) {
    struct store_value value = {0};
    bool found = store_get(store, snapshot, text(key), &value);
    assert_int_equal(found, expected != NULL);
    if (found)
        assert_true(bytes_equal(value.bytes, text(expected)));
    store_release(store, &value);
}

static void test_batches_and_snapshots(void **state) {
    (void)state;
    struct store *store = open_database();
    put(store, "a", "1");
    struct store_snapshot *snapshot = store->operations->snapshot(store);
    struct store_batch *batch = store->operations->new_batch(store);
    store->operations->batch_put(batch, text("a"), text("2"));
    store->operations->batch_put(batch, text("b"), text("3"));
    store->operations->batch_delete(batch, text("b"));
    assert_value(store, NULL, "a", "1");
    store->operations->write(store, batch);
    store->operations->batch_clear(batch);
    store->operations->write(store, batch);
    store->operations->free_batch(batch);
    assert_value(store, NULL, "a", "2");
    assert_value(store, NULL, "b", NULL);
    store->operations->release_snapshot(store->operations->retain(snapshot));
    assert_value(store, snapshot, "a", "1");
    store->operations->release_snapshot(snapshot);
    store->operations->close(store);
}

static void test_iterator_keeps_its_bounds(void **state) {
    (void)state;
    struct store *store = open_database();
    const struct store_operations *operations = store->operations;
    for (const char *key = "abcdef"; *key != 0; key++)
        put(store, (char[]){*key, 0}, "v");
    struct store_iterator *iterator = operations->iterate(store, NULL, text("b"), text("e"), STORE_SCAN);
    put(store, "bb", "later");
    assert_true(operations->seek(iterator, text("a")));
    assert_true(bytes_equal(operations->key(iterator), text("b")));
    assert_true(operations->next(iterator));
    assert_true(bytes_equal(operations->key(iterator), text("c")));
    assert_true(operations->next(iterator));
    assert_false(operations->next(iterator));
    assert_true(operations->last(iterator));
    assert_true(bytes_equal(operations->key(iterator), text("d")));
    assert_true(bytes_equal(operations->value(iterator), text("v")));
    assert_true(operations->previous(iterator));
    assert_true(operations->previous(iterator));
    assert_false(operations->previous(iterator));
    operations->close_iterator(iterator);
    iterator = operations->iterate(store, NULL, text("e"), (struct bytes){0}, 0);
    assert_true(operations->last(iterator));
    assert_true(bytes_equal(operations->key(iterator), text("f")));
    operations->close_iterator(iterator);
    operations->close(store);
}

static void assert_durable(struct store *store, const char *expected) {
    struct store_value value = {0};
    assert_int_equal(store->operations->durable_get(store, text("a"), &value), expected != NULL);
    if (expected != NULL)
        assert_true(bytes_equal(value.bytes, text(expected)));
    store_release(store, &value);
}

/* The other process of the next test: writes, flushes, writes, and dies. */
static int run_crash(const char *path) {
    snprintf(database, sizeof database, "%s", path);
    struct store *store = open_database();
    put(store, "a", "1");
    assert_durable(store, NULL);
    store->operations->flush_wait(store);
    put(store, "a", "2");
    assert_durable(store, "1");
    assert_value(store, NULL, "a", "2");
    _exit(0);
}

/* Not a plain fork: RocksDB's threads would be missing in it. */
static void test_durable_is_what_a_crash_leaves(void **state) {
    (void)state;
    pid_t child = 0;
    char *arguments[] = {(char[]){"store_rocksdb_test"}, (char[]){"crash"}, database, NULL};
    assert_int_equal(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct store *store = open_database();
    assert_value(store, NULL, "a", "1");
    put(store, "a", "3");
    assert_true(store->operations->flush(store)); /* without waiting; closing waits */
    store->operations->close(store);
    store = open_database();
    assert_value(store, NULL, "a", "3");
    store->operations->close(store);
}

static void test_checkpoint(void **state) {
    (void)state;
    char copy[96];
    struct buffer value = {0};
    struct store *store = open_database();
    put(store, "a", "1");
    snprintf(copy, sizeof copy, "%s/copy", directory);
    assert_int_equal(store->operations->checkpoint(store, copy, text("a"), &value), 0);
    assert_true(bytes_equal(buffer_bytes(&value), text("1")));
    put(store, "a", "2");
    assert_true(store->operations->checkpoint(store, copy, text("a"), &value) < 0); /* exists */
    struct stat there;
    assert_int_equal(stat(copy, &there), 0);
    assert_int_equal(remove_directory(copy), 0);
    store->operations->close(store);
    buffer_free(&value);
}

enum { NUMBERED = 24000, NUMBERED_BYTES = 1000 };

static struct bytes numbered_key(uint8_t place[10], uint8_t prefix, uint64_t number) {
    place[0] = prefix;
    for (int i = 0; i < 8; i++)
        place[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    place[9] = 'x';
    return bytes_of(place, 10);
}

/* What does not compress. */
static void put_numbered(struct store *store) {
    struct store_batch *batch = store->operations->new_batch(store);
    static uint8_t value[NUMBERED_BYTES];
    uint64_t random = 1;
    for (uint64_t number = 0; number < NUMBERED; number++) {
        uint8_t place[10];
        for (size_t i = 0; i < sizeof value; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            value[i] = (uint8_t)(random >> 56);
        }
        store->operations->batch_put(batch, numbered_key(place, 'h', number), bytes_of(value, sizeof value));
        if (number % 100 == 0)
            store->operations->batch_put(batch, numbered_key(place, 'g', number), text("stays"));
        if (number % 100 != 99)
            continue;
        store->operations->write(store, batch);
        store->operations->batch_clear(batch);
    }
    store->operations->free_batch(batch);
    store->operations->flush_wait(store);
}

static bool holds(struct store *store, struct store_snapshot *snapshot, uint8_t prefix, uint64_t number) {
    uint8_t place[10];
    struct store_value value = {0};
    bool found = store_get(store, snapshot, numbered_key(place, prefix, number), &value);
    store_release(store, &value);
    return found;
}

/* Another thread drops: there is nothing to wait for but the space. */
static uint64_t wait_until_smaller(struct store *store, uint64_t limit) {
    uint64_t total = 0;
    for (int i = 0; i < 2000 && (total = store->operations->sizes(store).total) > limit; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return total;
}

static void test_drop_below_gives_space_back(void **state) {
    (void)state;
    const uint64_t below = NUMBERED * 9 / 10;
    struct store *store = open_database();
    put_numbered(store);
    struct store_snapshot *snapshot = store->operations->snapshot(store);
    uint64_t before = store->operations->sizes(store).total;
    assert_true(before > (uint64_t)NUMBERED * NUMBERED_BYTES);
    store->operations->drop_below(store, 'h', below);
    assert_true(wait_until_smaller(store, before / 5) <= before / 5);
    for (uint64_t number = below; number < NUMBERED; number++)
        assert_true(holds(store, NULL, 'h', number) && holds(store, snapshot, 'h', number));
    for (uint64_t number = 0; number < NUMBERED; number += 100)
        assert_true(holds(store, NULL, 'g', number));
    assert_false(holds(store, NULL, 'h', below / 2) || holds(store, snapshot, 'h', below / 2));
    store->operations->release_snapshot(snapshot);
    store->operations->close(store);
    store = open_database();
    assert_false(holds(store, NULL, 'h', below / 2));
    assert_true(holds(store, NULL, 'h', below));
    store->operations->drop_below(store, 'h', NUMBERED); /* and closed while that may be under way */
    store->operations->close(store);
}

static void test_sizes_are_never_nothing(void **state) {
    (void)state;
    struct store *store = open_database();
    struct store_sizes sizes = store->operations->sizes(store);
    assert_true(sizes.total > 0 && sizes.in_use > 0);
    store->operations->close(store);
}

static void test_second_opener_is_refused(void **state) {
    (void)state;
    char error[512] = "";
    struct store *store = open_database();
    assert_null(store_rocksdb_open(database, &options, error));
    assert_non_null(strstr(error, database));
    store->operations->close(store);
}

/* maint reads the index of a checkpoint through common/store_format.h. */
static void test_applied_key_is_where_maint_looks(void **state) {
    (void)state;
    char error[256];
    struct mvcc mvcc;
    struct outcome outcome;
    struct store_value value = {0};
    struct store *store = open_database();
    assert_true(mvcc_open(&mvcc, store, 1, error));
    for (uint64_t index = 1; index <= 700; index++)
        mvcc_execute(&mvcc, index, 1, 0, (struct bytes){0}, &outcome);
    mvcc_commit(&mvcc);
    assert_true(store_get(store, NULL, text(STORE_APPLIED_KEY), &value));
    assert_int_equal(store_applied_index(value.bytes), 700);
    assert_int_equal(mvcc_applied_index(value.bytes), 700);
    store_release(store, &value);
    mvcc_close(&mvcc);
    store->operations->close(store);
}

static void count_stale(void *context, uint64_t generation) {
    *(uint64_t *)context += generation;
}

static void make(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", database, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void test_generations(void **state) {
    (void)state;
    struct disk *disk = disk_linux();
    char error[512] = "";
    char path[128];
    uint64_t generation = 0;
    uint64_t stale = 0;
    assert_true(generation_current(disk, database, &generation, error));
    assert_int_equal(generation, 1);
    make("gen-1");
    make("gen-7");
    make("gen-x");
    assert_int_equal(generation_switch(disk, database, 7), 0);
    assert_true(generation_current(disk, database, &generation, error));
    assert_int_equal(generation, 7);
    assert_int_equal(generation_each_stale(disk, database, 7, count_stale, &stale), 0);
    assert_int_equal(stale, 1);

    snprintf(path, sizeof path, "%s/generation", database);
    FILE *file = fopen(path, "w");
    fputs("generation 1\nchecksum 00000000\n", file);
    fclose(file);
    assert_false(generation_current(disk, database, &generation, error));
    assert_non_null(strstr(error, "checksum"));
    unlink(path);
    assert_false(generation_current(disk, database, &generation, error));
    assert_non_null(strstr(error, "missing"));
    static const char *const names[] = {"gen-1", "gen-7", "gen-x"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", database, names[i]);
        assert_int_equal(remove_directory(path), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "crash") == 0)
        return run_crash(argv[2]);
    const struct CMUnitTest tests[] = {
        CASE(test_batches_and_snapshots),
        CASE(test_iterator_keeps_its_bounds),
        CASE(test_durable_is_what_a_crash_leaves),
        CASE(test_checkpoint),
        CASE(test_drop_below_gives_space_back),
        CASE(test_sizes_are_never_nothing),
        CASE(test_second_opener_is_refused),
        CASE(test_applied_key_is_where_maint_looks),
        CASE(test_generations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
