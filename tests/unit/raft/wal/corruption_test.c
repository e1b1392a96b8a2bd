/*
 * corruption: what was durable and has changed is refused by name and offset, never cut off in silence; what
 * only an interrupted write can leave is cut off.
 */
#include "raft/wal/log_model.h"

#include <errno.h>

#include "raft/wal/record.h"

enum { TINY_SEGMENT = 4096, SEGMENTS = 8 };

struct saved {
    char path[64];
    uint8_t content[64 << 10];
    size_t length;
};

struct fixture {
    struct model_disk *model;
    struct disk *disk;
    struct log_model *written, *found;
    uint64_t random;
    struct saved saved[SEGMENTS];
    size_t count;
    uint64_t last_write; /* offset in the last segment of the last write; without a closing mark */
    uint64_t end;        /* offset behind it */
    char error[512];
};

static void see_file(void *context, const char *name) {
    struct fixture *fixture = context;
    assert_true(fixture->count < SEGMENTS);
    snprintf(fixture->saved[fixture->count++].path, sizeof fixture->saved[0].path, "wal/%s", name);
}

static int compare_saved(const void *a, const void *b) {
    return strcmp(((const struct saved *)a)->path, ((const struct saved *)b)->path);
}

static void save(struct fixture *fixture) {
    fixture->count = 0;
    assert_int_equal(fixture->disk->operations->list(fixture->disk, "wal", see_file, fixture), 0);
    qsort(fixture->saved, fixture->count, sizeof fixture->saved[0], compare_saved);
    for (size_t i = 0; i < fixture->count; i++) {
        struct bytes content = model_disk_content(fixture->model, fixture->saved[i].path);
        assert_true(content.length <= sizeof fixture->saved[i].content);
        memcpy(fixture->saved[i].content, content.data, content.length);
        fixture->saved[i].length = content.length;
    }
}

static void restore(struct fixture *fixture) {
    for (size_t i = 0; i < fixture->count; i++) {
        struct saved *saved = &fixture->saved[i];
        model_disk_cut(fixture->model, saved->path, saved->length);
        model_disk_plant(fixture->model, saved->path, 0, bytes_of(saved->content, saved->length));
    }
}

static uint64_t written_end(const struct saved *saved) {
    uint64_t end = saved->length;
    while (end > 0 && saved->content[end - 1] == 0)
        end--;
    return (end + 7) / 8 * 8;
}

/* Three segments of small writes. The process is killed, or closes the log in order. */
static void build(struct fixture *fixture, uint64_t seed, bool close_in_order) {
    fill_payload();
    memset(fixture, 0, sizeof *fixture);
    fixture->model = model_disk_new(seed);
    fixture->random = seed;
    fixture->disk = model_disk_interface(fixture->model);
    fixture->written = calloc(1, sizeof *fixture->written);
    fixture->found = calloc(1, sizeof *fixture->found);
    log_model_clear(fixture->written);
    struct wal *wal = NULL;
    assert_int_equal(wal_create(fixture->disk, "wal", &test_metadata, seed, TINY_SEGMENT, &wal), 0);
    do {
        save(fixture);
        fixture->last_write = written_end(&fixture->saved[fixture->count - 1]);
        struct wal_entry entries[5];
        size_t count = 1 + (size_t)draw_number(&fixture->random, 5);
        for (size_t i = 0; i < count; i++) {
            entries[i] = make_entry(&fixture->random, fixture->written->last + 1, 2, 120);
            log_model_entry(fixture->written, &entries[i]);
        }
        fixture->written->state =
            (struct wal_hard_state){.term = 2, .vote = 1, .commit = fixture->written->last};
        assert_int_equal(wal_append(wal, entries, count, &fixture->written->state, true), 0);
        save(fixture);
        fixture->end = written_end(&fixture->saved[fixture->count - 1]);
    } while (fixture->count < 3 || fixture->end < 2000);
    if (!close_in_order)
        model_disk_kill(fixture->model);
    wal_close(wal);
    save(fixture);
}

static void destroy(struct fixture *fixture) {
    model_disk_free(fixture->model);
    free(fixture->written);
    free(fixture->found);
}

static enum wal_open_result try_open(struct fixture *fixture) {
    struct wal_visitor visitor = log_model_visitor(fixture->found);
    struct wal_metadata metadata;
    struct wal *wal = NULL;
    enum wal_open_result result =
        wal_open(fixture->disk, "wal", 5, TINY_SEGMENT, &visitor, &metadata, &wal, fixture->error);
    if (result == WAL_OPENED) {
        if (fixture->found->last >= fixture->found->first)
            assert_readable(wal, fixture->found, fixture->found->first, fixture->found->last, 1000);
        wal_close(wal);
    }
    return result;
}

/* The message names the file that is damaged (or the one that shows it) and a remedy. */
static void assert_names(const struct fixture *fixture, size_t segment) {
    bool named =
        strstr(fixture->error, fixture->saved[segment].path) != NULL ||
        (segment + 1 < fixture->count && strstr(fixture->error, fixture->saved[segment + 1].path) != NULL);
    assert_true(named);
    assert_non_null(strstr(fixture->error, "offset"));
    assert_non_null(strstr(fixture->error, "Restore this member"));
}

/* All that came back is what was written, up to where it ends. */
static void assert_prefix(const struct fixture *fixture) {
    assert_true(fixture->found->last <= fixture->written->last);
    for (uint64_t index = 1; index <= fixture->found->last; index++)
        assert_true(same_entry(fixture->written, fixture->found, index));
}

static void flip_every_byte(bool close_in_order) {
    struct fixture *fixture = malloc(sizeof *fixture);
    build(fixture, close_in_order ? 3 : 4, close_in_order);
    size_t last = fixture->count - 1;
    for (size_t segment = 0; segment <= last; segment++) {
        uint64_t end = written_end(&fixture->saved[segment]);
        for (uint64_t offset = 0; offset < end; offset += close_in_order ? 3 : 1) {
            restore(fixture);
            model_disk_flip_bit(fixture->model, fixture->saved[segment].path, offset,
                                (unsigned)draw_number(&fixture->random, 8));
            bool closed =
                segment < last || offset < fixture->last_write || (close_in_order && offset < fixture->end);
            enum wal_open_result result = try_open(fixture);
            if (closed && result != WAL_CORRUPT)
                fail_msg("a flip at %llu of %s went unseen", (unsigned long long)offset,
                         fixture->saved[segment].path);
            if (result == WAL_CORRUPT)
                assert_names(fixture, segment);
            else
                assert_prefix(fixture);
        }
    }
    destroy(fixture);
    free(fixture);
}

static void a_flip_before_the_last_write_is_corruption(void **state) {
    (void)state;
    flip_every_byte(false);
}

static void after_an_orderly_stop_a_flip_anywhere_is_corruption(void **state) {
    (void)state;
    flip_every_byte(true);
}

static void a_cut_file_is_corruption(void **state) {
    (void)state;
    struct fixture *fixture = malloc(sizeof *fixture);
    build(fixture, 5, false);
    for (size_t segment = 0; segment < fixture->count; segment++)
        for (uint64_t length = 0; length < fixture->saved[segment].length; length += 37) {
            restore(fixture);
            model_disk_cut(fixture->model, fixture->saved[segment].path, length);
            assert_int_equal(try_open(fixture), WAL_CORRUPT);
            assert_names(fixture, segment);
        }
    destroy(fixture);
    free(fixture);
}

/* What a torn write leaves: zeros from some point of the last write on. */
static void zeros_in_the_last_write_are_a_torn_tail(void **state) {
    (void)state;
    static const uint8_t zeros[TINY_SEGMENT];
    struct fixture *fixture = malloc(sizeof *fixture);
    build(fixture, 6, false);
    const char *path = fixture->saved[fixture->count - 1].path;
    for (uint64_t from = fixture->last_write; from < fixture->end; from++) {
        restore(fixture);
        model_disk_plant(fixture->model, path, from, bytes_of(zeros, (size_t)(fixture->end - from)));
        assert_int_equal(try_open(fixture), WAL_OPENED);
        assert_prefix(fixture);
        assert_int_equal(try_open(fixture), WAL_OPENED); /* and it stays so */
        assert_prefix(fixture);
    }
    for (uint64_t from = 0; from < fixture->last_write - 8; from += 8) {
        restore(fixture);
        model_disk_plant(fixture->model, path, from, bytes_of(zeros, 8));
        bool already_zero = memcmp(fixture->saved[fixture->count - 1].content + from, zeros, 8) == 0;
        assert_int_equal(try_open(fixture), already_zero ? WAL_OPENED : WAL_CORRUPT);
    }
    destroy(fixture);
    free(fixture);
}

static void garbage_behind_the_end_is_cleared(void **state) {
    (void)state;
    struct fixture *fixture = malloc(sizeof *fixture);
    build(fixture, 7, false);
    const char *path = fixture->saved[fixture->count - 1].path;
    for (size_t gap = 0; gap < 300; gap += 8) {
        restore(fixture);
        model_disk_plant(fixture->model, path, fixture->end + gap,
                         bytes_of(test_payload, (size_t)draw_number(&fixture->random, 700)));
        assert_int_equal(try_open(fixture), WAL_OPENED);
        assert_int_equal(fixture->found->last, fixture->written->last);
        assert_prefix(fixture);
    }
    destroy(fixture);
    free(fixture);
}

/*
 * A user's value that holds copies of the segment's own marks (at every alignment) proves nothing: when the
 * write with it is damaged, that is a torn tail.
 */
static void copied_marks_prove_nothing(void **state) {
    (void)state;
    struct fixture *fixture = malloc(sizeof *fixture);
    for (size_t shift = 0; shift < 8; shift++) {
        build(fixture, 8, false);
        struct wal_visitor visitor = log_model_visitor(fixture->found);
        struct wal_metadata metadata;
        struct wal *wal = NULL;
        assert_int_equal(
            wal_open(fixture->disk, "wal", 5, 64 << 10, &visitor, &metadata, &wal, fixture->error),
            WAL_OPENED);
        struct saved *saved = &fixture->saved[fixture->count - 1];
        struct wal_entry entry = {.index = fixture->written->last + 1,
                                  .term = 2,
                                  .data = bytes_of(saved->content + shift, (size_t)fixture->end)};
        log_model_entry(fixture->written, &entry);
        assert_int_equal(wal_append(wal, &entry, 1, NULL, true), 0);
        size_t length = entry.data.length;
        save(fixture);
        model_disk_kill(fixture->model);
        wal_close(wal);
        model_disk_flip_bit(fixture->model, saved->path, written_end(saved) - length, 3);
        assert_int_equal(try_open(fixture), WAL_OPENED);
        assert_int_equal(fixture->found->last, fixture->written->last - 1);
        assert_prefix(fixture);
        destroy(fixture);
    }
    free(fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flip_before_the_last_write_is_corruption),
        cmocka_unit_test(after_an_orderly_stop_a_flip_anywhere_is_corruption),
        cmocka_unit_test(a_cut_file_is_corruption),
        cmocka_unit_test(zeros_in_the_last_write_are_a_torn_tail),
        cmocka_unit_test(garbage_behind_the_end_is_cleared),
        cmocka_unit_test(copied_marks_prove_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
