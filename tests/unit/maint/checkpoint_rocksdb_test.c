/* checkpoint_rocksdb: a compaction plan out of a real checkpoint; what is not one, or is damaged, is told. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <rocksdb/c.h>

#include "common/log.h"
#include "maint/checkpoint_rocksdb.h"
#include "maint/maint_work.h"

#include "fake_checkpoint.h"

enum { KEYS = 3000, COMPACTED = 10000 };

static char directory[64], database[80], copy[80];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/quorate-maint-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(database, sizeof database, "%s/db", directory);
    snprintf(copy, sizeof copy, "%s/copy", directory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(empty_directory(directory), 0);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

/* Each key put before COMPACTED and again after; every third one deleted before it and never seen again. */
static void fill(struct fake_checkpoint *fake) {
    fake_put_index(fake, 77);
    for (int64_t i = 0; i < KEYS; i++) {
        uint8_t name[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        bool gone = i % 3 == 0;
        struct record older = {.create = 2 + i, .version = 1, .modified = {.main = 2 + i}, .tombstone = gone};
        struct record newer = {.create = 2 + i,
                               .version = 2,
                               .modified = {.main = COMPACTED + 1 + i},
                               .previous = {.main = 2 + i}};
        fake_put_log(fake, false, bytes_of(name, 2), &older);
        if (!gone)
            fake_put_log(fake, false, bytes_of(name, 2), &newer);
        fake_put_current(fake, bytes_of(name, 2), gone ? &older : &newer);
    }
}

static void make_checkpoint(void) {
    struct fake_checkpoint fake = {0};
    char *error = NULL;
    fill(&fake);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_t *source = rocksdb_open(options, database, &error);
    assert_null(error);
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(write, 1);
    for (size_t i = 0; i < fake.count; i++) {
        const struct fake_pair *pair = &fake.pairs[i];
        rocksdb_put(source, write, (const char *)pair->key.data, pair->key.length,
                    (const char *)pair->value.data, pair->value.length, &error);
        assert_null(error);
    }
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(source, &error);
    rocksdb_checkpoint_create(checkpoint, copy, 0, &error);
    assert_null(error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    rocksdb_writeoptions_destroy(write);
    rocksdb_close(source);
    rocksdb_options_destroy(options);
    fake_free(&fake);
}

static struct maint_work plan_work(uint64_t index) {
    struct maint_work work = {.kind = WORK_PLAN, .index = index, .physical = -1, .compacted = COMPACTED};
    snprintf(work.directory, sizeof work.directory, "%s", copy);
    return work;
}

static bool exists(const char *path) {
    struct stat there;
    return stat(path, &there) == 0;
}

static void test_plan(void **state) {
    (void)state;
    uint64_t counts[PLAN_TOMBSTONE + 1] = {0};
    make_checkpoint();
    struct maint_work work = plan_work(77);
    while (!work.finished) {
        assert_true(exists(copy));
        maint_work_run(&work, &checkpoint_rocksdb_files);
        assert_false(work.failed);
        struct bytes rest = buffer_bytes(&work.items);
        struct plan_item item;
        while (plan_item_next(&rest, &item))
            counts[item.kind]++;
    }
    assert_false(exists(copy));
    assert_int_equal(counts[PLAN_KEEP], KEYS - KEYS / 3);
    assert_int_equal(counts[PLAN_TOMBSTONE], KEYS / 3);
    assert_int_equal(counts[PLAN_FORGET], 0);
    maint_work_free(&work);
}

static void test_check(void **state) {
    (void)state;
    make_checkpoint();
    struct maint_work work = plan_work(77);
    work.kind = WORK_CHECK;
    maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_true(work.finished && !work.failed);
    assert_false(exists(copy));
    maint_work_free(&work);
}

static void test_given_up_half_way(void **state) {
    (void)state;
    make_checkpoint();
    struct maint_work work = plan_work(77);
    maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_false(work.finished);
    work.kind = WORK_REMOVE;
    maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_true(work.finished);
    assert_false(exists(copy));
    maint_work_free(&work);
}

static void test_not_a_checkpoint(void **state) {
    (void)state;
    struct maint_work work = plan_work(77);
    maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_true(work.finished && work.failed);
    maint_work_free(&work);
    make_checkpoint();
    work = plan_work(78);
    maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_true(work.finished && work.failed);
    assert_false(exists(copy));
    maint_work_free(&work);
}

/* A bit flips in the middle of the largest file. */
static void damage(void) {
    char path[400];
    char largest[400] = "";
    off_t size = 0;
    struct stat file;
    DIR *entries = opendir(copy);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        snprintf(path, sizeof path, "%s/%s", copy, entry->d_name);
        if (strstr(entry->d_name, ".sst") == NULL || stat(path, &file) != 0 || file.st_size <= size)
            continue;
        size = file.st_size;
        strcpy(largest, path);
    }
    closedir(entries);
    FILE *stream = fopen(largest, "r+");
    assert_non_null(stream);
    fseek(stream, size / 2, SEEK_SET);
    int byte = fgetc(stream);
    fseek(stream, size / 2, SEEK_SET);
    fputc(byte ^ 0x10, stream);
    fclose(stream);
}

static void test_damaged(void **state) {
    (void)state;
    make_checkpoint();
    damage();
    struct maint_work work = plan_work(77);
    while (!work.finished)
        maint_work_run(&work, &checkpoint_rocksdb_files);
    assert_true(work.failed);
    assert_false(exists(copy));
    maint_work_free(&work);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_plan),    CASE(test_check), CASE(test_given_up_half_way), CASE(test_not_a_checkpoint),
        CASE(test_damaged),
    };
    log_init("test", "fatal");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
