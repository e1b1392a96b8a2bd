/*
 * etcd_log: logs as etcd leaves them (no marks), and logs whose bytes are whole but whose content no crash
 * can explain.
 */
#include "raft/wal/log_model.h"

#include <errno.h>

#include "raft/wal/record.h"

enum { TINY_SEGMENT = 4096 };
static const char first_segment[] = "wal/0000000000000000-0000000000000000.wal";

struct fixture {
    struct model_disk *model;
    struct disk *disk;
    struct log_model *written, *found;
    uint64_t random;
    struct buffer content; /* the first segment */
    uint32_t crc;
    size_t last; /* offset of its last record */
    char error[512];
};

/* A directory, and in `content` the beginning of a segment as etcd writes it. */
static void begin(struct fixture *fixture) {
    static const uint8_t crc_record[] = {4, 0, 0, 0, 0, 0, 0, 0x84, 8, 4, 16, 0, 0, 0, 0, 0};
    fill_payload();
    *fixture = (struct fixture){.model = model_disk_new(9), .random = 9};
    fixture->disk = model_disk_interface(fixture->model);
    fixture->written = calloc(1, sizeof *fixture->written);
    fixture->found = calloc(1, sizeof *fixture->found);
    log_model_clear(fixture->written);
    assert_int_equal(fixture->disk->operations->make_directory(fixture->disk, "wal"), 0);
    assert_int_equal(fixture->disk->operations->sync_directory(fixture->disk, "."), 0);
    buffer_append(&fixture->content, crc_record, sizeof crc_record);
    wal_put_metadata(&fixture->content, &fixture->crc, &test_metadata);
    wal_put_snapshot(&fixture->content, &fixture->crc, &(struct wal_snapshot){0});
}

static void put_entry(struct fixture *fixture, uint64_t index, size_t length) {
    struct wal_entry entry = {.index = index, .term = 2, .data = bytes_of(test_payload + index, length)};
    fixture->last = fixture->content.length;
    wal_put_entry(&fixture->content, &fixture->crc, &entry);
}

static void put_commit(struct fixture *fixture, uint64_t commit) {
    fixture->last = fixture->content.length;
    wal_put_state(&fixture->content, &fixture->crc,
                  &(struct wal_hard_state){.term = 2, .vote = 1, .commit = commit});
}

static void plant(struct fixture *fixture, size_t zeros_behind) {
    memset(buffer_reserve(&fixture->content, zeros_behind), 0, zeros_behind);
    fixture->content.length += zeros_behind;
    model_disk_plant(fixture->model, first_segment, 0, buffer_bytes(&fixture->content));
}

static void destroy(struct fixture *fixture) {
    model_disk_free(fixture->model);
    buffer_free(&fixture->content);
    free(fixture->written);
    free(fixture->found);
}

static enum wal_open_result open_log(struct fixture *fixture, struct wal **wal) {
    struct wal_visitor visitor = log_model_visitor(fixture->found);
    struct wal_metadata metadata;
    enum wal_open_result result =
        wal_open(fixture->disk, "wal", 5, TINY_SEGMENT, &visitor, &metadata, wal, fixture->error);
    if (result == WAL_OPENED)
        assert_int_equal(metadata.cluster, test_metadata.cluster);
    return result;
}

static enum wal_open_result try_open(struct fixture *fixture) {
    struct wal *wal = NULL;
    enum wal_open_result result = open_log(fixture, &wal);
    wal_close(wal);
    return result;
}

/* 20 entries of 900 bytes, each after a state. */
static void plant_twenty(struct fixture *fixture, size_t zeros_behind) {
    begin(fixture);
    for (uint64_t index = 1; index <= 20; index++) {
        struct wal_entry entry = {.index = index, .term = 2, .data = bytes_of(test_payload + index, 900)};
        log_model_entry(fixture->written, &entry);
        put_commit(fixture, index - 1);
        put_entry(fixture, index, 900);
    }
    plant(fixture, zeros_behind);
}

/* The first records of a log that etcd 3.4.23 wrote: crc, metadata, snapshot, a membership change, a state,
 * an empty entry, a state. */
static const uint8_t from_etcd[] = {
    0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x84, 0x08, 0x04, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x81, 0x08, 0x01, 0x10, 0xe6, 0xfe, 0xb6, 0xac, 0x05, 0x1a, 0x15,
    0x08, 0xbd, 0xdb, 0x86, 0xd2, 0xd8, 0xda, 0xaa, 0xa6, 0x92, 0x01, 0x10, 0xac, 0xe8, 0xe5, 0xe9, 0xae,
    0xc2, 0xf2, 0x83, 0x73, 0x00, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x82, 0x08, 0x05, 0x10, 0xea,
    0xcb, 0xac, 0x83, 0x03, 0x1a, 0x04, 0x08, 0x00, 0x10, 0x00, 0x00, 0x00, 0x74, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x84, 0x08, 0x02, 0x10, 0x88, 0xb7, 0xf5, 0x77, 0x1a, 0x6b, 0x08, 0x01, 0x10, 0x01, 0x18,
    0x01, 0x22, 0x63, 0x08, 0x00, 0x10, 0x00, 0x18, 0xbd, 0xdb, 0x86, 0xd2, 0xd8, 0xda, 0xaa, 0xa6, 0x92,
    0x01, 0x22, 0x52, 0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x31, 0x30, 0x35, 0x34, 0x31, 0x39, 0x38, 0x38,
    0x36, 0x36, 0x31, 0x38, 0x39, 0x31, 0x38, 0x30, 0x34, 0x36, 0x30, 0x35, 0x2c, 0x22, 0x70, 0x65, 0x65,
    0x72, 0x55, 0x52, 0x4c, 0x73, 0x22, 0x3a, 0x5b, 0x22, 0x68, 0x74, 0x74, 0x70, 0x3a, 0x2f, 0x2f, 0x31,
    0x32, 0x37, 0x2e, 0x30, 0x2e, 0x30, 0x2e, 0x31, 0x3a, 0x32, 0x31, 0x32, 0x34, 0x38, 0x22, 0x5d, 0x2c,
    0x22, 0x6e, 0x61, 0x6d, 0x65, 0x22, 0x3a, 0x22, 0x64, 0x65, 0x66, 0x61, 0x75, 0x6c, 0x74, 0x22, 0x7d,
    0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x03, 0x10, 0xfe, 0xaf,
    0xb8, 0x8a, 0x08, 0x1a, 0x06, 0x08, 0x01, 0x10, 0x00, 0x18, 0x01, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x08, 0x02, 0x10, 0x97, 0xc9, 0xcc, 0xe6, 0x01, 0x1a, 0x06, 0x08, 0x00, 0x10, 0x02, 0x18,
    0x02, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x87, 0x08, 0x03, 0x10, 0xbe, 0xd6, 0xac, 0xb0, 0x07,
    0x1a, 0x0f, 0x08, 0x02, 0x10, 0xbd, 0xdb, 0x86, 0xd2, 0xd8, 0xda, 0xaa, 0xa6, 0x92, 0x01, 0x18, 0x02,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

/* Encodes again what the record holds. */
static void put_again(struct buffer *buffer, uint32_t *crc, const struct wal_record *record) {
    struct wal_metadata metadata;
    struct wal_snapshot snapshot;
    struct wal_entry entry;
    struct wal_hard_state hard_state;
    switch (record->type) {
    case WAL_RECORD_METADATA:
        assert_true(wal_metadata_decode(record->data, &metadata));
        wal_put_metadata(buffer, crc, &metadata);
        break;
    case WAL_RECORD_SNAPSHOT:
        assert_true(wal_snapshot_decode(record->data, &snapshot));
        wal_put_snapshot(buffer, crc, &snapshot);
        break;
    case WAL_RECORD_ENTRY:
        assert_true(wal_entry_decode(record->data, &entry));
        wal_put_entry(buffer, crc, &entry);
        break;
    case WAL_RECORD_STATE:
        assert_true(wal_state_decode(record->data, &hard_state));
        wal_put_state(buffer, crc, &hard_state);
        break;
    case WAL_RECORD_CRC:
        buffer_append(buffer, from_etcd, 16);
        break;
    }
}

static void our_bytes_are_those_of_etcd(void **state) {
    (void)state;
    struct buffer buffer = {0};
    uint32_t crc = 0;
    size_t length = 0;
    size_t padding = 0;
    size_t records = 0;
    for (size_t at = 0; at < sizeof from_etcd; at += WAL_FRAME_FIELD + length + padding, records++) {
        struct wal_record record;
        assert_true(wal_frame_lengths(from_etcd + at, &length, &padding));
        assert_true(wal_record_decode(bytes_of(from_etcd + at + WAL_FRAME_FIELD, length), &record));
        put_again(&buffer, &crc, &record);
        assert_int_equal(crc, record.crc);
    }
    assert_int_equal(records, 7);
    assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of(from_etcd, sizeof from_etcd)));
    buffer_free(&buffer);
}

static void it_goes_on_in_a_new_segment(void **state) {
    (void)state;
    struct fixture fixture;
    plant_twenty(&fixture, 1000);
    struct wal *wal = NULL;
    assert_int_equal(open_log(&fixture, &wal), WAL_OPENED);
    assert_true(same_log(fixture.written, fixture.found));
    assert_int_equal(fixture.found->state.commit, 19);
    assert_true(model_disk_exists(fixture.model, "wal/0000000000000001-0000000000000015.wal"));
    for (uint64_t index = 21; index < 40; index++) {
        struct wal_entry entry = make_entry(&fixture.random, index, 3, 500);
        log_model_entry(fixture.written, &entry);
        assert_int_equal(wal_append(wal, &entry, 1, NULL, true), 0);
    }
    assert_readable(wal, fixture.written, 1, 39, 2000);
    wal_close(wal);
    assert_int_equal(try_open(&fixture), WAL_OPENED);
    assert_true(same_log(fixture.written, fixture.found));
    destroy(&fixture);
}

static void a_missing_sector_or_end_is_a_torn_write(void **state) {
    (void)state;
    static const uint8_t zeros[MODEL_SECTOR];
    struct fixture fixture;
    plant_twenty(&fixture, 1000);
    size_t sector = (fixture.last / MODEL_SECTOR + 1) * MODEL_SECTOR;
    model_disk_plant(fixture.model, first_segment, sector, bytes_of(zeros, sizeof zeros));
    assert_int_equal(try_open(&fixture), WAL_OPENED);
    assert_int_equal(fixture.found->last, 19);
    destroy(&fixture);

    plant_twenty(&fixture, 0);
    model_disk_cut(fixture.model, first_segment, fixture.last + 100);
    assert_int_equal(try_open(&fixture), WAL_OPENED);
    assert_int_equal(fixture.found->last, 19);
    destroy(&fixture);
}

static void any_other_damage_is_corruption(void **state) {
    (void)state;
    struct fixture fixture;
    plant_twenty(&fixture, 1000);
    for (size_t offset = 16; offset < fixture.last + 900; offset += 41) {
        model_disk_plant(fixture.model, first_segment, 0, buffer_bytes(&fixture.content));
        model_disk_flip_bit(fixture.model, first_segment, offset, 2);
        assert_int_equal(try_open(&fixture), WAL_CORRUPT);
        assert_non_null(strstr(fixture.error, first_segment));
        assert_non_null(strstr(fixture.error, "offset"));
    }
    destroy(&fixture);
}

static void assert_refused(struct fixture *fixture, const char *why) {
    plant(fixture, 1000);
    assert_int_equal(try_open(fixture), WAL_CORRUPT);
    if (strstr(fixture->error, why) == NULL)
        fail_msg("expected \"%s\" in: %s", why, fixture->error);
    destroy(fixture);
}

static void whole_bytes_with_impossible_content_are_refused(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    put_entry(&fixture, 1, 10);
    put_entry(&fixture, 3, 10);
    assert_refused(&fixture, "entries are missing");

    begin(&fixture);
    put_entry(&fixture, 1, 10);
    put_commit(&fixture, 2);
    assert_refused(&fixture, "entry 2 is committed");

    begin(&fixture);
    put_entry(&fixture, 1, 10);
    put_commit(&fixture, 1);
    put_entry(&fixture, 1, 10);
    assert_refused(&fixture, "overwrites a committed");

    begin(&fixture);
    wal_put_metadata(&fixture.content, &fixture.crc, &(struct wal_metadata){.node = 1, .cluster = 2});
    assert_refused(&fixture, "another member");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_bytes_are_those_of_etcd),
        cmocka_unit_test(it_goes_on_in_a_new_segment),
        cmocka_unit_test(a_missing_sector_or_end_is_a_torn_write),
        cmocka_unit_test(any_other_damage_is_corruption),
        cmocka_unit_test(whole_bytes_with_impossible_content_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
