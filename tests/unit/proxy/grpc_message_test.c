/* grpc_message: framing in fragments, limits, gzip, timeouts, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/grpc_message.h"

enum { LIMIT = 1000 };

static const uint8_t hello[] = {0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 0, 1, 'x'};

/* Fed in steps of `step` bytes, the first message comes out and what follows it stays. */
static void fragments_of_any_size(void **state) {
    (void)state;
    for (size_t step = 1; step <= sizeof hello; step++) {
        struct grpc_reader reader = {0};
        struct buffer message = {0};
        struct grpc_failure failure;
        enum grpc_read read = GRPC_READ_MORE;
        size_t at = 0;
        while (read == GRPC_READ_MORE) {
            size_t now = step < sizeof hello - at ? step : sizeof hello - at;
            struct bytes data = bytes_of(hello + at, now);
            read = grpc_reader_feed(&reader, &data, &message, LIMIT, &failure);
            at += now - data.length;
        }
        assert_int_equal(read, GRPC_READ_COMPLETE);
        assert_int_equal(at, 10);
        assert_true(bytes_equal(buffer_bytes(&message), bytes_from_text("hello")));
        grpc_reader_next(&reader);
        message.length = 0;
        struct bytes rest = bytes_of(hello + at, sizeof hello - at);
        assert_int_equal(grpc_reader_feed(&reader, &rest, &message, LIMIT, &failure), GRPC_READ_COMPLETE);
        assert_int_equal(message.length, 1);
        buffer_free(&message);
    }
}

static void empty_message(void **state) {
    (void)state;
    struct grpc_reader reader = {0};
    struct buffer message = {0};
    struct grpc_failure failure;
    struct bytes data = bytes_of("\0\0\0\0\0", 5);
    assert_int_equal(grpc_reader_feed(&reader, &data, &message, LIMIT, &failure), GRPC_READ_COMPLETE);
    assert_int_equal(message.length, 0);
    assert_false(grpc_reader_compressed(&reader));
    buffer_free(&message);
}

static void check_failure(const char *prefix, enum grpc_code code, const char *text) {
    struct grpc_reader reader = {0};
    struct buffer message = {0};
    struct grpc_failure failure;
    struct bytes data = bytes_of(prefix, GRPC_PREFIX);
    assert_int_equal(grpc_reader_feed(&reader, &data, &message, 2097152, &failure), GRPC_READ_FAILED);
    assert_int_equal(failure.code, code);
    assert_string_equal(failure.text, text);
    buffer_free(&message);
}

static void bad_prefixes(void **state) {
    (void)state;
    check_failure("\0\x00\x20\x00\x01", GRPC_RESOURCE_EXHAUSTED,
                  "grpc: received message larger than max (2097153 vs. 2097152)");
    check_failure("\0\xff\xff\xff\xff", GRPC_RESOURCE_EXHAUSTED,
                  "grpc: received message larger than max (4294967295 vs. 2097152)");
    check_failure("\2\0\0\0\0", GRPC_INTERNAL, "grpc: received unexpected payload format 2");
}

static void end_of_the_clients_side(void **state) {
    (void)state;
    struct grpc_reader reader = {0};
    struct grpc_failure failure;
    grpc_reader_ended(&reader, &failure);
    assert_int_equal(failure.code, GRPC_INTERNAL);
    assert_string_equal(failure.text, "EOF");
    reader.prefix_have = 3;
    grpc_reader_ended(&reader, &failure);
    assert_string_equal(failure.text, "unexpected EOF");
}

static void gzip_there_and_back(void **state) {
    (void)state;
    struct buffer plain = {0};
    for (unsigned i = 0; i < 100000; i++)
        buffer_append_byte(&plain, (uint8_t)(i % 251));
    struct buffer packed = {0};
    grpc_gzip(buffer_bytes(&plain), &packed);
    assert_true(packed.length < plain.length);
    struct grpc_failure failure;
    assert_true(grpc_gunzip(&packed, 100000, &failure));
    assert_true(bytes_equal(buffer_bytes(&plain), buffer_bytes(&packed)));

    struct buffer again = {0};
    grpc_gzip(buffer_bytes(&plain), &again);
    assert_false(grpc_gunzip(&again, 99999, &failure));
    assert_int_equal(failure.code, GRPC_RESOURCE_EXHAUSTED);
    buffer_free(&plain);
    buffer_free(&packed);
    buffer_free(&again);
}

static void gzip_of_garbage(void **state) {
    (void)state;
    struct buffer message = {0};
    struct grpc_failure failure;
    buffer_append(&message, "garbage!", 8);
    assert_false(grpc_gunzip(&message, LIMIT, &failure));
    assert_int_equal(failure.code, GRPC_INTERNAL);
    message.length = 0;
    assert_false(grpc_gunzip(&message, LIMIT, &failure));
    struct buffer cut = {0};
    grpc_gzip(bytes_from_text("something that is cut off"), &cut);
    cut.length -= 10;
    assert_false(grpc_gunzip(&cut, LIMIT, &failure));
    buffer_free(&message);
    buffer_free(&cut);
}

static void prefix_is_written_big_endian(void **state) {
    (void)state;
    uint8_t out[GRPC_PREFIX];
    grpc_write_prefix(out, true, 0x01020304);
    assert_memory_equal(out, "\1\1\2\3\4", GRPC_PREFIX);
}

static uint64_t timeout_of(const char *text) {
    uint64_t microseconds = 0;
    struct grpc_failure failure;
    assert_true(grpc_parse_timeout(bytes_from_text(text), &microseconds, &failure));
    return microseconds;
}

static void bad_timeout(const char *text, const char *reason) {
    uint64_t microseconds = 0;
    struct grpc_failure failure = {0};
    assert_false(grpc_parse_timeout(bytes_from_text(text), &microseconds, &failure));
    assert_int_equal(failure.code, GRPC_INTERNAL);
    assert_non_null(strstr(failure.text, "malformed grpc-timeout: "));
    assert_non_null(strstr(failure.text, reason));
}

static void timeouts(void **state) {
    (void)state;
    assert_int_equal(timeout_of("5S"), 5000000);
    assert_int_equal(timeout_of("100m"), 100000);
    assert_int_equal(timeout_of("7u"), 7);
    assert_int_equal(timeout_of("1n"), 1);
    assert_int_equal(timeout_of("2M"), 120000000);
    assert_int_equal(timeout_of("99999999H"), UINT64_C(99999999) * 3600000000);
    bad_timeout("", "too short");
    bad_timeout("S", "too short");
    bad_timeout("123456789S", "too long");
    bad_timeout("5x", "unit is not recognized");
    bad_timeout("5", "too short");
    bad_timeout("a5S", "invalid syntax");
    bad_timeout("-5S", "invalid syntax");
}

static void percent_encoding(void **state) {
    (void)state;
    struct buffer out = {0};
    grpc_percent_encode("a b%\n\xc3\xa9~", &out);
    assert_true(bytes_equal(buffer_bytes(&out), bytes_from_text("a b%25%0A%C3%A9~")));
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_of_any_size),
        cmocka_unit_test(empty_message),
        cmocka_unit_test(bad_prefixes),
        cmocka_unit_test(end_of_the_clients_side),
        cmocka_unit_test(gzip_there_and_back),
        cmocka_unit_test(gzip_of_garbage),
        cmocka_unit_test(prefix_is_written_big_endian),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(percent_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
