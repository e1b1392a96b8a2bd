/* http1: requests whole and in pieces, what is malformed, what is too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/http1.h"

static struct http1_request request;

static enum http1_parse parse(const char *text) {
    return http1_parse(bytes_from_text(text), &request);
}

static bool is(struct bytes bytes, const char *text) {
    return bytes_equal(bytes, bytes_from_text(text));
}

static void a_request(void **state) {
    (void)state;
    const char *text = "GET /health?exclude=NOSPACE HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nGET";
    assert_int_equal(parse(text), HTTP1_REQUEST);
    assert_true(is(request.method, "GET"));
    assert_true(is(request.path, "/health"));
    assert_true(is(request.query, "exclude=NOSPACE"));
    assert_true(request.keep_alive);
    assert_false(request.has_body);
    assert_int_equal(request.length, strlen(text) - 3);
}

static void every_prefix_is_incomplete(void **state) {
    (void)state;
    const char text[] = "GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (size_t length = 0; length < sizeof text - 1; length++)
        assert_int_equal(http1_parse(bytes_of(text, length), &request), HTTP1_INCOMPLETE);
    assert_int_equal(parse(text), HTTP1_REQUEST);
    assert_false(request.keep_alive);
}

static void keeping_the_connection(void **state) {
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), HTTP1_REQUEST);
    assert_false(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n"), HTTP1_REQUEST);
    assert_true(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\nconnection: CLOSE\n\n"), HTTP1_REQUEST);
    assert_false(request.keep_alive);
}

static void bodies(void **state) {
    (void)state;
    assert_int_equal(parse("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), HTTP1_REQUEST);
    assert_true(request.has_body);
    assert_int_equal(parse("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), HTTP1_REQUEST);
    assert_false(request.has_body);
    assert_int_equal(parse("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_REQUEST);
    assert_true(request.has_body);
}

static void malformed(void **state) {
    (void)state;
    const char *const texts[] = {"\r\n",
                                 "GET\r\n",
                                 "GET /\r\n",
                                 "GET / HTTP/2.0\r\n",
                                 "GET foo HTTP/1.1\r\n",
                                 "GET  / HTTP/1.1\r\n",
                                 "G@T / HTTP/1.1\r\n",
                                 "GET / HTTP/1.1\r\nno colon\r\n",
                                 "GET / HTTP/1.1\r\nbad name: x\r\n",
                                 "GET / HTTP/1.1\r\n: x\r\n",
                                 "\x16\x03\x01\x02\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(parse(texts[i]), HTTP1_MALFORMED);
}

static void too_large(void **state) {
    (void)state;
    struct buffer text = {0};
    buffer_printf(&text, "GET / HTTP/1.1\r\nX: ");
    while (text.length < HTTP1_HEAD_LIMIT - 1)
        buffer_append_byte(&text, 'a');
    assert_int_equal(http1_parse(buffer_bytes(&text), &request), HTTP1_INCOMPLETE);
    buffer_append_byte(&text, 'a');
    assert_int_equal(http1_parse(buffer_bytes(&text), &request), HTTP1_TOO_LARGE);
    buffer_free(&text);
}

static void parameters(void **state) {
    (void)state;
    struct bytes query = bytes_from_text("a=1&&b&=x&c=2=3&d=");
    struct bytes name;
    struct bytes value;
    assert_true(http1_next_parameter(&query, &name, &value) && is(name, "a") && is(value, "1"));
    assert_true(http1_next_parameter(&query, &name, &value) && is(name, "b") && is(value, ""));
    assert_true(http1_next_parameter(&query, &name, &value) && is(name, "c") && is(value, "2=3"));
    assert_true(http1_next_parameter(&query, &name, &value) && is(name, "d") && is(value, ""));
    assert_false(http1_next_parameter(&query, &name, &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request),  cmocka_unit_test(every_prefix_is_incomplete),
        cmocka_unit_test(bodies),     cmocka_unit_test(keeping_the_connection),
        cmocka_unit_test(malformed),  cmocka_unit_test(too_large),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
