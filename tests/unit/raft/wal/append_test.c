/* append: creating, appending, rotating, reopening, reading back, releasing; on a disk without faults. */
#include "raft/wal/log_model.h"

#include <errno.h>

struct fixture {
    struct model_disk *model;
    struct disk *disk;
    struct wal *wal;
    struct log_model *written, *found;
    uint64_t random;
    char error[512];
};

static void create(struct fixture *fixture) {
    fill_payload();
    *fixture = (struct fixture){.model = model_disk_new(7), .random = 1};
    fixture->disk = model_disk_interface(fixture->model);
    fixture->written = calloc(1, sizeof *fixture->written);
    fixture->found = calloc(1, sizeof *fixture->found);
    log_model_clear(fixture->written);
    assert_int_equal(wal_exists(fixture->disk, "wal"), 0);
    assert_int_equal(wal_create(fixture->disk, "wal", &test_metadata, 99, SMALL_SEGMENT, &fixture->wal), 0);
    assert_int_equal(wal_exists(fixture->disk, "wal"), 1);
}

static enum wal_open_result open_again(struct fixture *fixture) {
    struct wal_metadata metadata;
    struct wal_visitor visitor = log_model_visitor(fixture->found);
    fixture->wal = NULL;
    enum wal_open_result result = wal_open(fixture->disk, "wal", 100, SMALL_SEGMENT, &visitor, &metadata,
                                           &fixture->wal, fixture->error);
    if (result == WAL_OPENED) {
        assert_int_equal(metadata.node, test_metadata.node);
        assert_int_equal(metadata.cluster, test_metadata.cluster);
    }
    return result;
}

static void reopen(struct fixture *fixture) {
    wal_close(fixture->wal);
    assert_int_equal(open_again(fixture), WAL_OPENED);
}

static void destroy(struct fixture *fixture) {
    wal_close(fixture->wal);
    model_disk_free(fixture->model);
    free(fixture->written);
    free(fixture->found);
}

static void append(struct fixture *fixture, uint64_t from, size_t count, uint64_t term, size_t longest) {
    struct wal_entry entries[64];
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        entries[i] = make_entry(&fixture->random, from + i, term, longest);
        log_model_entry(fixture->written, &entries[i]);
    }
    assert_int_equal(wal_append(fixture->wal, entries, count, NULL, true), 0);
}

static void set_state(struct fixture *fixture, uint64_t term, uint64_t vote, uint64_t commit) {
    fixture->written->state = (struct wal_hard_state){.term = term, .vote = vote, .commit = commit};
    assert_int_equal(wal_append(fixture->wal, NULL, 0, &fixture->written->state, true), 0);
}

static void assert_same(const struct fixture *fixture) {
    assert_true(same_log(fixture->written, fixture->found));
    assert_true(same_state(&fixture->written->state, &fixture->found->state));
}

struct listing {
    size_t segments;
    char second[64]; /* path of the segment with sequence 1 */
};

static void see_file(void *context, const char *name) {
    struct listing *listing = context;
    listing->segments += strstr(name, ".wal") != NULL;
    if (strncmp(name, "0000000000000001-", 17) == 0)
        snprintf(listing->second, sizeof listing->second, "wal/%s", name);
}

static struct listing list_files(const struct fixture *fixture) {
    struct listing listing = {0};
    assert_int_equal(fixture->disk->operations->list(fixture->disk, "wal", see_file, &listing), 0);
    return listing;
}

static size_t count_segments(const struct fixture *fixture) {
    return list_files(fixture).segments;
}

static void an_empty_log_reopens(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    reopen(&fixture);
    assert_int_equal(fixture.found->last, 0);
    assert_int_equal(fixture.found->snapshot_index, 0);
    struct wal *second = NULL;
    assert_int_equal(wal_create(fixture.disk, "wal", &test_metadata, 1, SMALL_SEGMENT, &second), -EEXIST);
    destroy(&fixture);
}

static void entries_and_state_come_back(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    append(&fixture, 1, 3, 2, 100);
    set_state(&fixture, 2, 77, 2);
    append(&fixture, 4, 10, 2, 500);
    reopen(&fixture);
    assert_same(&fixture);
    append(&fixture, 14, 1, 3, 0);
    reopen(&fixture);
    assert_same(&fixture);
    destroy(&fixture);
}

static void one_append_is_one_write_and_one_sync(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    for (uint64_t index = 1; index < 40; index++) {
        uint64_t before = model_disk_operations(fixture.model);
        append(&fixture, index, 1, 2, 100);
        assert_int_equal(model_disk_operations(fixture.model) - before, 2);
    }
    destroy(&fixture);
}

static void a_new_leader_overwrites(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    for (uint64_t round = 0; round < 60; round++) {
        uint64_t back = draw_number(&fixture.random, 40);
        uint64_t from = fixture.written->last + 1;
        from = from > back + 1 ? from - back : 1;
        append(&fixture, from, 1 + (size_t)draw_number(&fixture.random, 50), 2 + round, 300);
        uint64_t last = fixture.written->last;
        assert_readable(fixture.wal, fixture.written, 1, last, 2000);
        uint64_t some = 1 + draw_number(&fixture.random, last);
        assert_readable(fixture.wal, fixture.written, some, last, SIZE_MAX);
    }
    reopen(&fixture);
    assert_same(&fixture);
    assert_readable(fixture.wal, fixture.written, 1, fixture.written->last, 1);
    destroy(&fixture);
}

static void segments_follow_each_other(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    for (uint64_t round = 0; round < 40; round++) {
        if (round % 3 == 0) {
            assert_int_equal(wal_prepare(fixture.wal), 0);
            assert_false(wal_wants_prepare(fixture.wal));
        }
        append(&fixture, fixture.written->last + 1, 10, 2, 1000);
        set_state(&fixture, 2, 5, fixture.written->last);
    }
    append(&fixture, fixture.written->last + 1, 2, 2, 40000); /* longer than a segment */
    append(&fixture, fixture.written->last + 1, 2, 2, 10);
    assert_true(count_segments(&fixture) > 8);
    assert_readable(fixture.wal, fixture.written, 1, fixture.written->last, 3000);
    reopen(&fixture);
    assert_same(&fixture);
    assert_readable(fixture.wal, fixture.written, 1, fixture.written->last, 3000);
    destroy(&fixture);
}

static void release_keeps_what_is_needed(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    for (uint64_t round = 0; round < 40; round++)
        append(&fixture, fixture.written->last + 1, 10, 2, 1000);
    set_state(&fixture, 2, 5, 400);
    size_t before = count_segments(&fixture);
    assert_int_equal(wal_release(fixture.wal, 300), 0); /* no snapshot covers it */
    assert_int_equal(count_segments(&fixture), before);

    struct wal_snapshot snapshot = {.index = 250, .term = 2, .conf_state = bytes_from_text("\x08\x01")};
    assert_int_equal(wal_mark_snapshot(fixture.wal, &snapshot), 0);
    assert_int_equal(wal_release(fixture.wal, 300), 0);
    size_t after = count_segments(&fixture);
    assert_true(after < before && after > 2);
    assert_int_equal(wal_read(fixture.wal, 1, 1, 1, check_read, fixture.found), -ENOENT);
    assert_readable(fixture.wal, fixture.written, 251, 400, 5000);

    reopen(&fixture);
    assert_same(&fixture);
    assert_true(fixture.found->first > 1 && fixture.found->first <= 251);
    assert_int_equal(fixture.found->snapshot_index, 250);
    assert_readable(fixture.wal, fixture.written, fixture.found->first, 400, 5000);
    assert_int_equal(wal_read(fixture.wal, 401, 401, 1, check_read, fixture.found), -ENOENT);
    destroy(&fixture);
}

/* etcd looks for the newest snapshot record in the log: its segment stays, whatever entries are in it. */
static void the_newest_snapshot_record_is_never_released(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    append(&fixture, 1, 20, 2, 100);
    set_state(&fixture, 2, 5, 20);
    struct wal_snapshot snapshot = {.index = 20, .term = 2};
    assert_int_equal(wal_mark_snapshot(fixture.wal, &snapshot), 0);
    struct wal_entry large = {.index = 21, .term = 2, .data = bytes_of(test_payload, SMALL_SEGMENT - 500)};
    assert_int_equal(wal_append(fixture.wal, &large, 1, NULL, true), 0); /* needs the next segment */
    log_model_entry(fixture.written, &large);
    append(&fixture, 22, 20, 2, 1000);
    size_t before = count_segments(&fixture);
    assert_int_equal(wal_release(fixture.wal, 20), 0);
    assert_int_equal(count_segments(&fixture), before);
    reopen(&fixture);
    assert_int_equal(fixture.found->snapshot_index, 20);
    destroy(&fixture);
}

static void a_snapshot_beyond_the_log_replaces_it(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    append(&fixture, 1, 20, 2, 100);
    struct wal_snapshot snapshot = {.index = 1000, .term = 4};
    assert_int_equal(wal_mark_snapshot(fixture.wal, &snapshot), 0);
    log_model_snapshot(fixture.written, &snapshot);
    assert_int_equal(wal_read(fixture.wal, 5, 5, 1, check_read, fixture.found), -ENOENT);
    append(&fixture, 1001, 5, 4, 100);
    assert_readable(fixture.wal, fixture.written, 1001, 1005, 1000);
    reopen(&fixture);
    assert_same(&fixture);
    assert_int_equal(fixture.found->first, 1001);
    destroy(&fixture);
}

static void an_entry_no_reader_would_take_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    uint8_t *huge = calloc(1, WAL_RECORD_LIMIT);
    struct wal_entry entry = {.index = 1, .term = 2, .data = bytes_of(huge, WAL_RECORD_LIMIT)};
    assert_int_equal(wal_append(fixture.wal, &entry, 1, NULL, true), -EMSGSIZE);
    append(&fixture, 1, 1, 2, 10); /* nothing was harmed */
    reopen(&fixture);
    assert_same(&fixture);
    free(huge);
    destroy(&fixture);
}

static void a_failed_sync_ends_the_wal(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    append(&fixture, 1, 1, 2, 10);
    model_disk_fail_at(fixture.model, 2, EIO);
    struct wal_entry entry = {.index = 2, .term = 2};
    assert_int_equal(wal_append(fixture.wal, &entry, 1, NULL, true), -EIO);
    assert_int_equal(wal_append(fixture.wal, &entry, 1, NULL, true), -EIO);
    assert_int_equal(wal_prepare(fixture.wal), -EIO);
    assert_int_equal(wal_release(fixture.wal, 1), -EIO);
    assert_false(wal_wants_prepare(fixture.wal));
    destroy(&fixture);
}

static void a_full_disk_shows_in_prepare(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    assert_int_equal(wal_prepare(fixture.wal), 0);
    model_disk_set_capacity(fixture.model, 2 * SMALL_SEGMENT + 100);
    while (!wal_wants_prepare(fixture.wal)) /* until the spare is in use */
        append(&fixture, fixture.written->last + 1, 5, 2, 100);
    assert_int_equal(wal_prepare(fixture.wal), -ENOSPC);
    append(&fixture, fixture.written->last + 1, 5, 2, 100); /* the log itself goes on */
    model_disk_set_capacity(fixture.model, 0);
    assert_int_equal(wal_prepare(fixture.wal), 0);
    reopen(&fixture);
    assert_same(&fixture);
    destroy(&fixture);
}

static void foreign_files_and_gaps_are_refused(void **state) {
    (void)state;
    struct fixture fixture;
    create(&fixture);
    for (uint64_t round = 0; round < 20; round++)
        append(&fixture, fixture.written->last + 1, 10, 2, 1000);
    wal_close(fixture.wal);
    model_disk_plant(fixture.model, "wal/0000000000000009.tmp", 0, bytes_from_text("leftover"));
    model_disk_plant(fixture.model, "wal/lost+found", 0, bytes_from_text(""));
    model_disk_plant(fixture.model, "wal/notes.txt", 0, bytes_from_text("mine"));
    assert_int_equal(open_again(&fixture), WAL_FOREIGN_FILE);
    assert_non_null(strstr(fixture.error, "notes.txt"));
    assert_int_equal(fixture.disk->operations->unlink(fixture.disk, "wal/notes.txt"), 0);

    assert_int_equal(open_again(&fixture), WAL_OPENED);
    assert_false(model_disk_exists(fixture.model, "wal/0000000000000009.tmp"));
    wal_close(fixture.wal);

    struct listing listing = list_files(&fixture);
    assert_int_equal(fixture.disk->operations->unlink(fixture.disk, listing.second), 0);
    assert_int_equal(open_again(&fixture), WAL_CORRUPT);
    assert_non_null(strstr(fixture.error, "0000000000000001 is missing"));
    fixture.wal = NULL;
    destroy(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_reopens),
        cmocka_unit_test(entries_and_state_come_back),
        cmocka_unit_test(one_append_is_one_write_and_one_sync),
        cmocka_unit_test(a_new_leader_overwrites),
        cmocka_unit_test(segments_follow_each_other),
        cmocka_unit_test(release_keeps_what_is_needed),
        cmocka_unit_test(the_newest_snapshot_record_is_never_released),
        cmocka_unit_test(a_snapshot_beyond_the_log_replaces_it),
        cmocka_unit_test(an_entry_no_reader_would_take_is_refused),
        cmocka_unit_test(a_failed_sync_ends_the_wal),
        cmocka_unit_test(a_full_disk_shows_in_prepare),
        cmocka_unit_test(foreign_files_and_gaps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
