/* The Lease requests as bytes: fields, what is ignored, what is malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/request.h"
#include "common/wire.h"

static struct buffer message;

static struct bytes finished(void) {
    return buffer_bytes(&message);
}

static int forget(void **state) {
    (void)state;
    buffer_free(&message);
    return 0;
}

static void test_grant(void **state) {
    (void)state;
    struct lease_request request;
    wire_put_int64(&message, 1, 60);
    wire_put_int64(&message, 2, -5);
    wire_put_bytes(&message, 77, bytes_from_text("of a later version"));
    assert_true(lease_grant_request_decode(finished(), &request));
    assert_int_equal(request.ttl, 60);
    assert_int_equal(request.id, -5);
    assert_true(lease_grant_request_decode((struct bytes){0}, &request));
    assert_true(request.id == 0 && request.ttl == 0);
}

static void test_others(void **state) {
    (void)state;
    struct lease_request request;
    wire_put_int64(&message, 1, INT64_MIN);
    assert_true(lease_request_decode(finished(), &request));
    assert_true(request.id == INT64_MIN && !request.keys && request.grant == 0);
    wire_put_bool(&message, 2, true);
    wire_put_uint64(&message, LEASE_REQUEST_GRANT, 17);
    assert_true(lease_request_decode(finished(), &request));
    assert_true(request.id == INT64_MIN && request.keys && request.grant == 17);
}

static void test_malformed(void **state) {
    (void)state;
    struct lease_request request;
    wire_put_bytes(&message, 1, bytes_from_text("text"));
    assert_false(lease_request_decode(finished(), &request));
    assert_false(lease_grant_request_decode(finished(), &request));
    assert_false(lease_request_decode(bytes_of("\x08", 1), &request));
    assert_false(lease_grant_request_decode(bytes_of("\x10\xff", 2), &request));
}

static void put_checkpoint(int64_t id, int64_t remaining, uint64_t grant) {
    size_t element = wire_begin_message(&message, 1);
    wire_put_int64(&message, 1, id);
    wire_put_int64(&message, 2, remaining);
    wire_put_uint64(&message, LEASE_REQUEST_GRANT, grant);
    wire_end_message(&message, element);
}

static void test_checkpoints(void **state) {
    (void)state;
    struct lease_checkpoint checkpoint;
    put_checkpoint(7, 300, 0);
    wire_put_uint64(&message, 9, 1);
    put_checkpoint(-8, 0, 44);
    struct wire_reader reader = wire_reader_of(finished());
    assert_true(lease_checkpoint_next(&reader, &checkpoint));
    assert_true(checkpoint.id == 7 && checkpoint.remaining == 300 && checkpoint.grant == 0);
    assert_true(lease_checkpoint_next(&reader, &checkpoint));
    assert_true(checkpoint.id == -8 && checkpoint.remaining == 0 && checkpoint.grant == 44);
    assert_false(lease_checkpoint_next(&reader, &checkpoint));
    assert_false(reader.malformed);
    reader = wire_reader_of(bytes_of("\x0a\x01\x08", 3));
    assert_false(lease_checkpoint_next(&reader, &checkpoint));
    assert_true(reader.malformed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_grant, forget),
        cmocka_unit_test_teardown(test_others, forget),
        cmocka_unit_test_teardown(test_malformed, forget),
        cmocka_unit_test_teardown(test_checkpoints, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
