/*
 * request: decoders against messages written by Google's protobuf from etcd's rpc.proto (the byte arrays),
 * against every truncation of them, and against hand-made oddities. The intervals and the log entry's
 * wrapping too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/request.h"
#include "common/wire.h"

static const uint8_t range_message[] = {0x0a, 0x03, 0x6b, 0x00, 0xff, 0x12, 0x01, 0x00, 0x18, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x20, 0x80, 0x80,
                                        0x80, 0x80, 0x80, 0x20, 0x28, 0x02, 0x30, 0x03, 0x38, 0x01, 0x40,
                                        0x01, 0x48, 0x01, 0x50, 0xac, 0x02, 0x58, 0x80, 0x80, 0x80, 0x80,
                                        0x80, 0x80, 0x80, 0x80, 0x40, 0x60, 0x01, 0x68, 0x02};
static const uint8_t put_message[] = {0x0a, 0x03, 0x6b, 0x65, 0x79, 0x12, 0x05, 0x76, 0x76, 0x76,
                                      0x76, 0x76, 0x18, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0x01, 0x20, 0x01, 0x28, 0x01, 0x30, 0x01};
static const uint8_t delete_message[] = {0x0a, 0x01, 0x61, 0x12, 0x01, 0x62, 0x18, 0x01};
static const uint8_t compaction_message[] = {0x08, 0x4d, 0x10, 0x01};
static const uint8_t alarm_message[] = {0x08, 0x01, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0x01, 0x18, 0x01};
static const uint8_t compare_version_message[] = {0x08, 0x03, 0x1a, 0x01, 0x6b, 0x20, 0x05};
static const uint8_t compare_value_message[] = {0x08, 0x02, 0x10, 0x03, 0x1a, 0x01, 0x6b, 0x3a, 0x00};
static const uint8_t txn_message[] = {0x0a, 0x07, 0x10, 0x01, 0x1a, 0x01, 0x78, 0x28, 0x09, 0x12,
                                      0x08, 0x12, 0x06, 0x0a, 0x01, 0x70, 0x12, 0x01, 0x71, 0x12,
                                      0x05, 0x0a, 0x03, 0x0a, 0x01, 0x72, 0x1a, 0x05, 0x1a, 0x03,
                                      0x0a, 0x01, 0x64, 0x1a, 0x02, 0x22, 0x00};

#define MESSAGE(array) bytes_of(array, sizeof(array))

static void assert_text(struct bytes actual, const char *expected) {
    assert_true(bytes_equal(actual, bytes_from_text(expected)));
}

static void test_range(void **state) {
    (void)state;
    struct range_request request;
    assert_true(range_request_decode(MESSAGE(range_message), &request));
    assert_true(bytes_equal(request.key, bytes_of("k\0\xff", 3)));
    assert_true(bytes_equal(request.range_end, bytes_of("", 1)));
    assert_int_equal(request.limit, -1);
    assert_int_equal(request.revision, INT64_C(1) << 40);
    assert_int_equal(request.sort_order, SORT_DESCEND);
    assert_int_equal(request.sort_target, SORT_BY_MOD);
    assert_true(request.serializable && request.keys_only && request.count_only);
    assert_int_equal(request.min_mod_revision, 300);
    assert_int_equal(request.max_mod_revision, INT64_C(1) << 62);
    assert_int_equal(request.min_create_revision, 1);
    assert_int_equal(request.max_create_revision, 2);
}

static void test_put_delete_compaction_alarm(void **state) {
    (void)state;
    struct put_request put;
    assert_true(put_request_decode(MESSAGE(put_message), &put));
    assert_text(put.key, "key");
    assert_text(put.value, "vvvvv");
    assert_int_equal(put.lease, -2);
    assert_true(put.prev_kv && put.ignore_value && put.ignore_lease);
    struct delete_range_request delete_range;
    assert_true(delete_range_request_decode(MESSAGE(delete_message), &delete_range));
    assert_text(delete_range.key, "a");
    assert_text(delete_range.range_end, "b");
    assert_true(delete_range.prev_kv);
    struct compaction_request compaction;
    assert_true(compaction_request_decode(MESSAGE(compaction_message), &compaction));
    assert_int_equal(compaction.revision, 77);
    assert_true(compaction.physical);
    struct alarm_request alarm;
    assert_true(alarm_request_decode(MESSAGE(alarm_message), &alarm));
    assert_int_equal(alarm.action, 1);
    assert_int_equal(alarm.alarm, 1);
    assert_true(alarm.member_id == UINT64_MAX);
}

static void test_an_empty_message_is_all_defaults(void **state) {
    (void)state;
    struct range_request range;
    assert_true(range_request_decode((struct bytes){0}, &range));
    assert_int_equal(range.key.length, 0);
    assert_int_equal(range.limit, 0);
    struct request_op operation;
    assert_true(request_op_decode((struct bytes){0}, &operation));
    assert_int_equal(operation.kind, OP_NONE);
    struct internal_request internal;
    assert_true(internal_request_decode((struct bytes){0}, &internal));
    assert_int_equal(internal.number, 0);
}

static void test_compare(void **state) {
    (void)state;
    struct compare compare;
    assert_true(compare_decode(MESSAGE(compare_version_message), &compare));
    assert_int_equal(compare.result, COMPARE_NOT_EQUAL);
    assert_int_equal(compare.target, COMPARE_VERSION);
    assert_int_equal(compare.operand, 4);
    assert_int_equal(compare.number, 5);
    assert_true(compare_decode(MESSAGE(compare_value_message), &compare));
    assert_int_equal(compare.result, COMPARE_LESS);
    assert_int_equal(compare.target, COMPARE_VALUE);
    assert_int_equal(compare.operand, 7);
    assert_int_equal(compare.value.length, 0);
    static const uint8_t both[] = {0x20, 0x05, 0x28, 0x06}; /* the later member of the oneof holds */
    assert_true(compare_decode(MESSAGE(both), &compare));
    assert_int_equal(compare.operand, 5);
    assert_int_equal(compare.number, 6);
}

static void test_txn(void **state) {
    (void)state;
    size_t counts[4];
    assert_true(txn_count(MESSAGE(txn_message), counts));
    assert_int_equal(counts[TXN_COMPARE], 1);
    assert_int_equal(counts[TXN_SUCCESS], 2);
    assert_int_equal(counts[TXN_FAILURE], 2);
    static const enum request_op_kind expected[4][2] = {
        [TXN_SUCCESS] = {OP_PUT, OP_RANGE}, [TXN_FAILURE] = {OP_DELETE_RANGE, OP_TXN}};
    for (enum txn_part part = TXN_SUCCESS; part <= TXN_FAILURE; part++) {
        struct wire_reader reader = wire_reader_of(MESSAGE(txn_message));
        struct bytes element;
        for (size_t i = 0; i < 2; i++) {
            struct request_op operation;
            assert_true(txn_next(&reader, part, &element));
            assert_true(request_op_decode(element, &operation));
            assert_int_equal(operation.kind, expected[part][i]);
        }
        assert_false(txn_next(&reader, part, &element));
        assert_false(reader.malformed);
    }
}

typedef bool (*decoder)(struct bytes message);
static bool decode_range(struct bytes message) {
    struct range_request request;
    return range_request_decode(message, &request);
}
static bool decode_put(struct bytes message) {
    struct put_request request;
    return put_request_decode(message, &request);
}
static bool decode_delete(struct bytes message) {
    struct delete_range_request request;
    return delete_range_request_decode(message, &request);
}
static bool decode_compaction(struct bytes message) {
    struct compaction_request request;
    return compaction_request_decode(message, &request);
}
static bool decode_alarm(struct bytes message) {
    struct alarm_request request;
    return alarm_request_decode(message, &request);
}
static bool decode_compare(struct bytes message) {
    struct compare compare;
    return compare_decode(message, &compare);
}
static bool decode_operation(struct bytes message) {
    struct request_op operation;
    return request_op_decode(message, &operation);
}
static bool decode_txn(struct bytes message) {
    size_t counts[4];
    return txn_count(message, counts);
}
static bool decode_internal(struct bytes message) {
    struct internal_request request;
    return internal_request_decode(message, &request);
}

static const decoder decoders[] = {decode_range,      decode_put,   decode_delete,
                                   decode_compaction, decode_alarm, decode_compare,
                                   decode_operation,  decode_txn,   decode_internal};

/* Copies exactly, so that a byte read too far is seen by ASan. */
static bool decode_exact(decoder decode, const uint8_t *data, size_t length) {
    uint8_t *copy = malloc(length == 0 ? 1 : length);
    memcpy(copy, data, length);
    bool result = decode(bytes_of(copy, length));
    free(copy);
    return result;
}

static void test_truncated_and_garbled_messages(void **state) {
    (void)state;
    const struct bytes messages[] = {MESSAGE(range_message),         MESSAGE(put_message),
                                     MESSAGE(delete_message),        MESSAGE(compaction_message),
                                     MESSAGE(alarm_message),         MESSAGE(compare_version_message),
                                     MESSAGE(compare_value_message), MESSAGE(txn_message)};
    uint64_t random = 88172645463325252;
    for (size_t m = 0; m < sizeof messages / sizeof *messages; m++) {
        for (size_t d = 0; d < sizeof decoders / sizeof *decoders; d++) {
            for (size_t length = 0; length <= messages[m].length; length++)
                (void)decode_exact(decoders[d], messages[m].data, length);
            uint8_t garbled[64];
            for (unsigned round = 0; round < 500; round++) {
                memcpy(garbled, messages[m].data, messages[m].length);
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                garbled[random % messages[m].length] = (uint8_t)(random >> 32);
                (void)decode_exact(decoders[d], garbled, messages[m].length);
            }
        }
    }
    assert_false(decode_exact(decode_put, put_message, 4)); /* in the middle of the key */
    assert_false(decode_exact(decode_txn, txn_message, sizeof txn_message - 1));
}

static void test_wrong_wire_types_are_malformed(void **state) {
    (void)state;
    static const uint8_t number_as_key[] = {0x08, 0x01};
    static const uint8_t bytes_as_limit[] = {0x1a, 0x01, 0x61};
    assert_false(decode_range(MESSAGE(number_as_key)));
    assert_false(decode_range(MESSAGE(bytes_as_limit)));
    assert_false(decode_put(MESSAGE(number_as_key)));
    assert_false(decode_operation(MESSAGE(number_as_key)));
    assert_false(decode_txn(MESSAGE(number_as_key)));
    static const uint8_t unknown[] = {0xa0, 0x06, 0x01, 0xa2, 0x06, 0x01, 0x61, 0xa5, 0x06, 1, 2, 3, 4};
    assert_true(decode_range(MESSAGE(unknown))); /* fields of a newer client are ignored */
}

static void test_internal_request(void **state) {
    (void)state;
    struct buffer entry = {0};
    struct internal_request in = {.id = UINT64_MAX,
                                  .auth_revision = 7,
                                  .username = bytes_from_text("alice"),
                                  .number = INTERNAL_PUT,
                                  .body = MESSAGE(put_message)};
    internal_request_encode(&entry, &in);
    assert_true(entry.length <= internal_request_size(&in));
    struct internal_request out;
    assert_true(internal_request_decode(buffer_bytes(&entry), &out));
    assert_true(out.id == UINT64_MAX);
    assert_int_equal(out.auth_revision, 7);
    assert_text(out.username, "alice");
    assert_int_equal(out.number, INTERNAL_PUT);
    assert_true(bytes_equal(out.body, in.body));

    entry.length = 0; /* an empty request is still named: an empty Put is a Put */
    in.body = (struct bytes){0};
    internal_request_encode(&entry, &in);
    assert_true(internal_request_decode(buffer_bytes(&entry), &out));
    assert_int_equal(out.number, INTERNAL_PUT);
    assert_int_equal(out.body.length, 0);
    buffer_free(&entry);
}

static void test_intervals(void **state) {
    (void)state;
    struct bytes none = {0};
    struct bytes all = bytes_of("", 1);
    assert_true(interval_contains(bytes_from_text("a"), none, bytes_from_text("a")));
    assert_false(interval_contains(bytes_from_text("a"), none, bytes_from_text("ab")));
    assert_true(interval_contains(bytes_from_text("a"), bytes_from_text("c"), bytes_from_text("a")));
    assert_true(interval_contains(bytes_from_text("a"), bytes_from_text("c"), bytes_from_text("bzzz")));
    assert_false(interval_contains(bytes_from_text("a"), bytes_from_text("c"), bytes_from_text("c")));
    assert_false(interval_contains(bytes_from_text("b"), bytes_from_text("c"), bytes_from_text("a")));
    assert_true(interval_contains(bytes_from_text("b"), all, bytes_from_text("zz")));
    assert_false(interval_contains(bytes_from_text("b"), all, bytes_from_text("a")));
    assert_false(interval_contains(bytes_from_text("c"), bytes_from_text("a"), bytes_from_text("b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_put_delete_compaction_alarm),
        cmocka_unit_test(test_an_empty_message_is_all_defaults),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_txn),
        cmocka_unit_test(test_truncated_and_garbled_messages),
        cmocka_unit_test(test_wrong_wire_types_are_malformed),
        cmocka_unit_test(test_internal_request),
        cmocka_unit_test(test_intervals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
