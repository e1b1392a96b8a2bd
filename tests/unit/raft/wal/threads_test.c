/*
 * threads: one thread appends and releases, one prepares segments, one reads, on a real disk; for the thread
 * sanitizer above all. Everything read is what was written.
 */
#include "raft/wal/log_model.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { ENTRIES = 3000 };

struct shared {
    struct wal *wal;
    atomic_uint_fast64_t first, last; /* what may be read */
    atomic_bool done;
};

static size_t length_of(uint64_t index) {
    return (size_t)(index * 7919 % 600);
}

static void *prepare(void *context) {
    struct shared *shared = context;
    while (!atomic_load(&shared->done)) {
        if (wal_wants_prepare(shared->wal) && wal_prepare(shared->wal) != 0)
            abort();
        sched_yield();
    }
    return NULL;
}

static void check_entry(void *context, const struct wal_entry *entry) {
    uint64_t *next = context;
    if (entry->index != (*next)++ || entry->data.length != length_of(entry->index) ||
        (entry->data.length != 0 &&
         memcmp(entry->data.data, test_payload + entry->index, entry->data.length) != 0))
        abort();
}

static void *read_back(void *context) {
    struct shared *shared = context;
    uint64_t random = 1;
    while (!atomic_load(&shared->done)) {
        uint64_t first = atomic_load(&shared->first);
        uint64_t last = atomic_load(&shared->last);
        uint64_t next = first + draw_number(&random, last - first + 1);
        int result = wal_read(shared->wal, next, last, 20000, check_entry, &next);
        if (result != 0 && result != -ENOENT) /* released meanwhile */
            abort();
        wal_counts(shared->wal);
    }
    return NULL;
}

static void remove_file(void *context, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    unlink(path);
}

static void all_at_once(void **state) {
    (void)state;
    fill_payload();
    char directory[] = "/tmp/wal-threads-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/wal", directory);
    struct shared shared = {.first = 1, .last = 1};
    assert_int_equal(wal_create(disk_linux(), path, &test_metadata, 1, 32 << 10, &shared.wal), 0);
    struct wal_entry first = {.index = 1, .term = 1, .data = bytes_of(test_payload + 1, length_of(1))};
    assert_int_equal(wal_append(shared.wal, &first, 1, NULL, true), 0);
    pthread_t preparer;
    pthread_t reader;
    assert_int_equal(pthread_create(&preparer, NULL, prepare, &shared), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_back, &shared), 0);
    for (uint64_t index = 2; index <= ENTRIES; index++) {
        struct wal_entry entry = {
            .index = index, .term = 1, .data = bytes_of(test_payload + index, length_of(index))};
        struct wal_hard_state hard_state = {.term = 1, .vote = 1, .commit = index - 1};
        assert_int_equal(wal_append(shared.wal, &entry, 1, &hard_state, index % 50 == 0), 0);
        atomic_store(&shared.last, index);
        if (index % 500 == 0) {
            struct wal_snapshot snapshot = {.index = index - 200, .term = 1};
            atomic_store(&shared.first, index - 199);
            assert_int_equal(wal_mark_snapshot(shared.wal, &snapshot), 0);
            assert_int_equal(wal_release(shared.wal, index - 200), 0);
        }
    }
    atomic_store(&shared.done, true);
    pthread_join(preparer, NULL);
    pthread_join(reader, NULL);
    wal_close(shared.wal);
    disk_linux()->operations->list(disk_linux(), path, remove_file, path);
    rmdir(path);
    rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
