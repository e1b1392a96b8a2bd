/* wire: against protobuf-c's encoding of the same values, at the edges of varints, and on malformed input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/wire.h"
#include "proto/bus.pb-c.h"

static const uint64_t edges[] = {
    0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 35, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
enum { EDGES = sizeof edges / sizeof *edges };

static void test_writing_equals_protobuf_c(void **state) {
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        Quorate__BusHello message = QUORATE__BUS_HELLO__INIT;
        message.role = (uint32_t)edges[i];
        message.node = edges[i];
        message.incarnation = edges[EDGES - 1 - i];
        message.largest_id = edges[i] / 3;
        uint8_t expected[256];
        size_t length = quorate__bus_hello__pack(&message, expected);
        struct buffer buffer = {0};
        wire_put_uint64(&buffer, 1, message.role);
        wire_put_uint64(&buffer, 3, message.node);
        wire_put_int64(&buffer, 4, (int64_t)message.incarnation);
        wire_put_uint64(&buffer, 12, message.largest_id);
        assert_int_equal(buffer.length, length);
        if (length > 0)
            assert_memory_equal(buffer.data, expected, length);
        buffer_free(&buffer);
    }
}

static void test_reading_equals_protobuf_c(void **state) {
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        Quorate__BusRaftState message = QUORATE__BUS_RAFT_STATE__INIT;
        message.term = edges[i];
        message.cluster = edges[EDGES - 1 - i];
        uint8_t packed[128];
        size_t length = quorate__bus_raft_state__pack(&message, packed);
        struct wire_reader reader = wire_reader_of(bytes_of(packed, length));
        struct wire_field field;
        uint64_t values[7] = {0};
        while (wire_next(&reader, &field)) {
            assert_int_equal(field.type, WIRE_VARINT);
            assert_true(field.number < 7);
            values[field.number] = field.value;
        }
        assert_false(reader.malformed);
        assert_true(values[2] == message.term && values[6] == message.cluster);
    }
}

static void test_varint_sizes(void **state) {
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        struct buffer buffer = {0};
        wire_put_varint(&buffer, edges[i]);
        assert_int_equal(buffer.length, wire_varint_size(edges[i]));
        buffer_free(&buffer);
    }
}

static void test_all_types_and_defaults(void **state) {
    (void)state;
    struct buffer buffer = {0};
    wire_put_uint64(&buffer, 1, 0);
    wire_put_bool(&buffer, 2, false);
    wire_put_bytes(&buffer, 3, (struct bytes){0});
    assert_int_equal(buffer.length, 0);
    wire_put_uint64_always(&buffer, 1, 0);
    wire_put_bytes_always(&buffer, 3, (struct bytes){0});
    wire_put_bool(&buffer, 2, true);
    wire_put_bytes(&buffer, 0x1fffffff, bytes_from_text("text"));
    static const uint8_t fixed[] = {0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2d, 1, 2, 3, 0x80};
    buffer_append(&buffer, fixed, sizeof fixed);

    struct wire_reader reader = wire_reader_of(buffer_bytes(&buffer));
    struct wire_field field;
    assert_true(wire_next(&reader, &field) && field.number == 1 && field.value == 0);
    assert_true(wire_next(&reader, &field) && field.number == 3 && field.bytes.length == 0);
    assert_true(wire_next(&reader, &field) && field.number == 2 && field.value == 1);
    assert_true(wire_next(&reader, &field) && field.number == 0x1fffffff);
    assert_true(bytes_equal(field.bytes, bytes_from_text("text")));
    assert_true(wire_next(&reader, &field) && field.type == WIRE_FIXED64);
    assert_true(field.value == 0x0807060504030201);
    assert_true(wire_next(&reader, &field) && field.type == WIRE_FIXED32 && field.value == 0x80030201);
    assert_false(wire_next(&reader, &field));
    assert_false(reader.malformed);
    buffer_free(&buffer);
}

/* Messages of all sizes around the points where the length takes another byte, nested. */
static void test_nested_messages(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 126, 127, 128, 129, 16383, 16384, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *filler = must_alloc(sizes[i]);
        memset(filler, 'x', sizes[i]);
        struct buffer buffer = {0};
        wire_put_uint64(&buffer, 9, 9);
        size_t outer = wire_begin_message(&buffer, 1);
        wire_put_uint64(&buffer, 5, 5);
        size_t inner = wire_begin_message(&buffer, 2);
        wire_put_bytes_always(&buffer, 3, bytes_of(filler, sizes[i]));
        wire_end_message(&buffer, inner);
        wire_put_uint64(&buffer, 6, 6);
        wire_end_message(&buffer, outer);
        wire_put_uint64(&buffer, 8, 8);

        struct wire_field field;
        struct wire_reader top = wire_reader_of(buffer_bytes(&buffer));
        assert_true(wire_next(&top, &field) && field.number == 9);
        assert_true(wire_next(&top, &field) && field.number == 1 && field.type == WIRE_BYTES);
        struct wire_reader middle = wire_reader_of(field.bytes);
        assert_true(wire_next(&top, &field) && field.number == 8);
        assert_false(wire_next(&top, &field) || top.malformed);
        assert_true(wire_next(&middle, &field) && field.number == 5);
        assert_true(wire_next(&middle, &field) && field.number == 2);
        struct wire_reader bottom = wire_reader_of(field.bytes);
        assert_true(wire_next(&middle, &field) && field.number == 6);
        assert_false(wire_next(&middle, &field) || middle.malformed);
        assert_true(wire_next(&bottom, &field) && field.number == 3);
        assert_true(bytes_equal(field.bytes, bytes_of(filler, sizes[i])));
        buffer_free(&buffer);
        free(filler);
    }
}

static void test_a_head_with_a_known_length(void **state) {
    (void)state;
    struct buffer buffer = {0};
    wire_put_message_head(&buffer, 4, 3);
    buffer_append(&buffer, "abc", 3);
    struct wire_reader reader = wire_reader_of(buffer_bytes(&buffer));
    struct wire_field field;
    assert_true(wire_next(&reader, &field) && field.number == 4);
    assert_true(bytes_equal(field.bytes, bytes_from_text("abc")));
    buffer_free(&buffer);
}

static void assert_malformed(const uint8_t *data, size_t length) {
    uint8_t *copy = malloc(length); /* exactly: a byte read too far is seen by ASan */
    memcpy(copy, data, length);
    struct wire_reader reader = wire_reader_of(bytes_of(copy, length));
    struct wire_field field;
    unsigned fields = 0;
    while (wire_next(&reader, &field))
        fields++;
    assert_true(reader.malformed);
    assert_false(wire_next(&reader, &field)); /* it stays at its end */
    assert_int_equal(fields, 0);
    free(copy);
}

static void test_malformed(void **state) {
    (void)state;
    static const uint8_t cases[][12] = {
        {1, 0x80},                                                              /* the tag does not end */
        {1, 0x08},                                                              /* no value */
        {2, 0x08, 0x80},                                                        /* the value does not end */
        {2, 0x00, 0x00},                                                        /* field number 0 */
        {2, 0x0a, 0x01},                                                        /* longer than the message */
        {3, 0x0a, 0x02, 0x61},                                                  /* by one byte */
        {11, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, /* a length of 2^64-1 */
        {11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, /* 65 bits */
        {8, 0x09, 1, 2, 3, 4, 5, 6, 7},                                         /* a short fixed64 */
        {4, 0x0d, 1, 2, 3},                                                     /* a short fixed32 */
        {2, 0x0b, 0x0c},                                                        /* a group */
        {2, 0x0e, 0x00},                                                        /* wire type 6 */
        {7, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00}, /* field number above 2^29-1 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_malformed(cases[i] + 1, cases[i][0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing_equals_protobuf_c),
        cmocka_unit_test(test_reading_equals_protobuf_c),
        cmocka_unit_test(test_varint_sizes),
        cmocka_unit_test(test_all_types_and_defaults),
        cmocka_unit_test(test_nested_messages),
        cmocka_unit_test(test_a_head_with_a_known_length),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
