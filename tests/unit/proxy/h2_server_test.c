/* The proxy over HTTP/2, from a client's bytes to its records on the bus and back. etcd-api.md 6.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/wire.h"
#include "proxy/h2_client.h"
#include "proxy/h2_connection.h"

#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"

static struct bench bench; /* too large for a stack */

static uint8_t put_message[64], range_message[64];
static struct bytes put_request, range_request;

static struct bytes framed(uint8_t *out, struct bytes body) {
    grpc_write_prefix(out, false, (uint32_t)body.length);
    if (body.length > 0)
        memcpy(out + GRPC_PREFIX, body.data, body.length);
    return bytes_of(out, GRPC_PREFIX + body.length);
}

static int open_bench(void **state) {
    (void)state;
    struct buffer body = {0};
    wire_put_bytes(&body, 1, bytes_from_text("key"));
    range_request = framed(range_message, buffer_bytes(&body));
    wire_put_bytes(&body, 2, bytes_from_text("value"));
    put_request = framed(put_message, buffer_bytes(&body));
    buffer_free(&body);
    bench_open(&bench);
    return 0;
}

static int close_bench(void **state) {
    (void)state;
    bench_close(&bench);
    return 0;
}

static struct bytes filled(size_t length) {
    static uint8_t bytes[8 << 20];
    REQUIRE(length <= sizeof bytes);
    memset(bytes, 'x', length);
    return bytes_of(bytes, length);
}

static void answer(uint64_t id, struct bytes body) {
    fake_answer(&bench.node,
                &(struct bus_result){.id = id, .revision = 9, .term = 2, .header = true, .body = body});
    bench_settle(&bench);
}

static uint64_t last_id(void) {
    return fake_last(&bench.node.raft)->id;
}

/* The message of a whole response: after prefix and ResponseHeader, which are checked. */
static struct bytes message_of(const struct heard_stream *stream) {
    assert_true(stream->body.length >= GRPC_PREFIX);
    const uint8_t *p = stream->body.data;
    size_t length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    assert_int_equal(stream->body.length, GRPC_PREFIX + length);
    struct wire_reader reader = wire_reader_of(bytes_of(p + GRPC_PREFIX, length));
    struct wire_field field;
    assert_true(wire_next(&reader, &field));
    assert_int_equal(field.number, 1);
    struct wire_reader header = wire_reader_of(field.bytes);
    uint64_t numbers[5] = {0};
    while (wire_next(&header, &field))
        numbers[field.number] = field.value;
    assert_true(numbers[1] == FAKE_CLUSTER && numbers[2] == FAKE_MEMBER && numbers[3] == 9 &&
                numbers[4] == 2);
    return bytes_of(reader.cursor, (size_t)(reader.end - reader.cursor));
}

static void check_ok(const struct heard_stream *stream) {
    assert_int_equal(stream->http_status, 200);
    assert_int_equal(stream->grpc_status, 0);
    assert_string_equal(stream->message, "");
    assert_true(stream->closed && stream->trailers);
    assert_int_equal(stream->reset, NGHTTP2_NO_ERROR);
}

static void check_failed(const struct heard_stream *stream, unsigned http, int code, const char *message) {
    assert_int_equal(stream->http_status, http);
    assert_int_equal(stream->grpc_status, code);
    assert_string_equal(stream->message, message);
    assert_true(stream->trailers && stream->closed);
    assert_int_equal(stream->body.length, 0);
}

/* --- the ordinary way --- */

static void put_and_its_answer(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, PUT, put_request);
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.raft)->method, METHOD_PUT);
    assert_false(stream->headers);
    answer(last_id(), bytes_from_text("body"));
    check_ok(stream);
    assert_string_equal(stream->content_type, "application/grpc");
    assert_true(bytes_equal(message_of(stream), bytes_from_text("body")));
    assert_int_equal(client->server_side->h2->streams, 0);
    assert_int_equal(client->server_side->h2->request_bytes, 0);
    assert_int_equal(client->server_side->h2->response_bytes, 0);
}

static void request_in_single_bytes(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = PUT, .content_type = "application/grpc+proto"};
    struct heard_stream *stream = client_request_with(client, headers, put_request, 1, false);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(stream);
    assert_string_equal(stream->content_type, "application/grpc+proto");
}

static void answers_out_of_order(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *first = client_request(client, PUT, put_request);
    bench_settle(&bench);
    uint64_t first_id = last_id();
    struct heard_stream *second = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    answer(last_id(), bytes_from_text("two"));
    check_ok(second);
    assert_false(first->closed);
    answer(first_id, bytes_from_text("one"));
    check_ok(first);
    assert_true(bytes_equal(message_of(first), bytes_from_text("one")));
}

static void gzip_is_answered_with_gzip(void **state) {
    (void)state;
    static uint8_t request[256];
    struct buffer packed = {0};
    grpc_gzip(bytes_of(put_request.data + GRPC_PREFIX, put_request.length - GRPC_PREFIX), &packed);
    grpc_write_prefix(request, true, (uint32_t)packed.length);
    memcpy(request + GRPC_PREFIX, packed.data, packed.length);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = PUT, .content_type = "application/grpc", .encoding = "gzip"};
    struct heard_stream *stream =
        client_request_with(client, headers, bytes_of(request, GRPC_PREFIX + packed.length), 0, false);
    buffer_free(&packed);
    bench_settle(&bench);
    answer(last_id(), filled(10000));
    check_ok(stream);
    assert_string_equal(stream->encoding, "gzip");
    assert_int_equal(stream->body.data[0], 1);
    assert_true(stream->body.length < 1000);
    struct grpc_failure failure;
    memmove(stream->body.data, stream->body.data + GRPC_PREFIX, stream->body.length - GRPC_PREFIX);
    stream->body.length -= GRPC_PREFIX;
    assert_true(grpc_gunzip(&stream->body, 20000, &failure));
    assert_true(stream->body.length > 10000);
}

static void failures_of_the_node_are_trailers_only(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, PUT, put_request);
    bench_settle(&bench);
    fake_answer(&bench.node, &(struct bus_result){.id = last_id(), .status = STATUS_NO_SPACE});
    bench_settle(&bench);
    check_failed(stream, 200, 8, "etcdserver: mvcc: database space exceeded");
}

static void checks_answer_without_the_node(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *empty = client_request(client, PUT, bytes_of("\0\0\0\0\0", 5));
    struct heard_stream *broken = client_request(client, PUT, bytes_of("\0\0\0\0\2\x0a\x7f", 7));
    bench_settle(&bench);
    check_failed(empty, 200, 3, "etcdserver: key is not provided");
    check_failed(broken, 200, 13, "grpc: error unmarshalling request: unexpected EOF");
    assert_int_equal(bench.node.raft.record_count, 0);
}

static void client_timeout(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = RANGE, .content_type = "application/grpc", .timeout = "100m"};
    struct heard_stream *stream = client_request_with(client, headers, range_request, 0, false);
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.raft)->time_left, 100);
    bench_wait(&bench, 99000);
    assert_false(stream->closed);
    bench_wait(&bench, 1000);
    check_failed(stream, 200, 4, "context deadline exceeded");
}

static void reset_by_the_client_cancels(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.raft)->kind, BUS_PROXY_CANCEL);
    assert_int_equal(client->server_side->h2->streams, 0);
    assert_int_equal(proxy_role_view(bench.node.role).pending, 0);
}

static void health_service(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *good =
        client_request(client, "/grpc.health.v1.Health/Check", bytes_of("\0\0\0\0\0", 5));
    struct heard_stream *bad =
        client_request(client, "/grpc.health.v1.Health/Check", bytes_of("\0\0\0\0\3\x0a\1x", 8));
    struct heard_stream *watch =
        client_request(client, "/grpc.health.v1.Health/Watch", bytes_of("\0\0\0\0\0", 5));
    bench_settle(&bench);
    check_ok(good);
    assert_memory_equal(good->body.data, "\0\0\0\0\2\x08\1", 7);
    check_failed(bad, 200, 5, "unknown service");
    assert_int_equal(watch->body.length, 7);
    assert_false(watch->closed);
}

/* --- requests that are no proper RPC --- */

static struct heard_stream *refused(struct h2_client *client, struct request_headers headers) {
    struct heard_stream *stream = client_request_with(client, headers, put_request, 0, false);
    bench_settle(&bench);
    return stream;
}

static void improper_requests(void **state) {
    (void)state;
    static const char grpc[] = "application/grpc";
    struct h2_client *client = bench_client(&bench, 0);
    check_failed(refused(client, (struct request_headers){.path = PUT}), 415, 3,
                 "invalid gRPC request content-type \"\"");
    check_failed(refused(client, (struct request_headers){.path = PUT, .content_type = "application/json"}),
                 415, 3, "invalid gRPC request content-type \"application/json\"");
    check_failed(
        refused(client, (struct request_headers){.path = PUT, .content_type = grpc, .method = "GET"}), 405,
        13, "Received a HEADERS frame with :method \"GET\" which should be POST");
    check_failed(
        refused(client, (struct request_headers){.path = PUT, .content_type = grpc, .timeout = "5x"}), 400,
        13, "malformed grpc-timeout: transport: timeout unit is not recognized: \"5x\"");
    check_failed(
        refused(client, (struct request_headers){.path = PUT, .content_type = grpc, .encoding = "snappy"}),
        200, 12, "grpc: Decompressor is not installed for grpc-encoding \"snappy\"");
    check_failed(
        refused(client, (struct request_headers){.path = "/etcdserverpb.KV/Foo", .content_type = grpc}), 200,
        12, "unknown method Foo for service etcdserverpb.KV");
    check_failed(refused(client, (struct request_headers){.path = "/x.Y/Foo", .content_type = grpc}), 200, 12,
                 "unknown service x.Y");
    check_failed(refused(client, (struct request_headers){.path = "/etcdserverpb.KV/RangeStreams",
                                                          .content_type = grpc}),
                 200, 12, "unknown method RangeStreams for service etcdserverpb.KV");
    check_failed(refused(client, (struct request_headers){.path = "/xyz", .content_type = grpc}), 200, 12,
                 "malformed method name: \"/xyz\"");
    /* The connection is as good as ever. */
    struct heard_stream *put = client_request(client, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(put);
}

static void improper_messages(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *none = client_request(client, PUT, (struct bytes){0});
    struct heard_stream *cut = client_request(client, PUT, bytes_of("\0\0\0\0\5ab", 7));
    struct heard_stream *flag = client_request(client, PUT, bytes_of("\1\0\0\0\2ab", 7));
    struct heard_stream *format = client_request(client, PUT, bytes_of("\2\0\0\0\2ab", 7));
    bench_settle(&bench);
    check_failed(none, 200, 13, "EOF");
    check_failed(cut, 200, 13, "unexpected EOF");
    check_failed(flag, 200, 13, "grpc: compressed flag set with identity or empty encoding");
    check_failed(format, 200, 13, "grpc: received unexpected payload format 2");
}

/* The client still sends: trailers, then RST_STREAM(NO_ERROR). */
static void message_above_the_limit(void **state) {
    (void)state;
    static uint8_t start[4096];
    grpc_write_prefix(start, false, 2097153);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = PUT, .content_type = "application/grpc"};
    struct heard_stream *stream =
        client_request_with(client, headers, bytes_of(start, sizeof start), 0, true);
    bench_settle(&bench);
    check_failed(stream, 200, 8, "grpc: received message larger than max (2097153 vs. 2097152)");
    assert_int_equal(stream->reset, NGHTTP2_NO_ERROR);
}

static void further_messages_are_ignored(void **state) {
    (void)state;
    static uint8_t twice[128];
    memcpy(twice, put_request.data, put_request.length);
    memcpy(twice + put_request.length, put_request.data, put_request.length);
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, PUT, bytes_of(twice, 2 * put_request.length));
    bench_settle(&bench);
    assert_int_equal(bench.node.raft.record_count, 1);
    answer(last_id(), (struct bytes){0});
    check_ok(stream);
}

static void too_many_header_bytes(void **state) {
    (void)state;
    static char filler[20000];
    memset(filler, 'f', sizeof filler - 1);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = PUT, .content_type = "application/grpc", .filler = filler};
    struct heard_stream *stream = client_request_with(client, headers, put_request, 0, false);
    bench_settle(&bench);
    assert_true(stream->closed || client->closed);
    assert_int_equal(stream->grpc_status, -1);
    struct heard_stream *next = client_request(client, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(next);
}

/* --- answers in parts --- */

static void answer_in_parts_follows_the_client(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 1000);
    client->mute = true;
    struct heard_stream *stream = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    uint64_t id = last_id();
    struct bytes part = filled(60000);
    struct bus_result result = {
        .id = id, .revision = 9, .term = 2, .header = true, .more = true, .total = 120000, .body = part};
    fake_answer(&bench.node, &result);
    bench_settle(&bench);
    /* The stream's window is 1000 bytes and the client silent: nothing is reported as taken. */
    assert_int_equal(bench.node.apply.record_count, 0);
    client->mute = false;
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.apply)->kind, BUS_PROXY_CONSUMED);
    assert_int_equal(fake_last(&bench.node.apply)->position, 60000);
    result.more = false;
    result.header = false;
    fake_answer(&bench.node, &result);
    bench_settle(&bench);
    check_ok(stream);
    assert_int_equal(message_of(stream).length, 120000);
}

static void half_an_answer_is_reset_as_unavailable(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    fake_answer(&bench.node,
                &(struct bus_result){.id = last_id(), .more = true, .total = 120000, .body = filled(60000)});
    bench_settle(&bench);
    fake_link_down(&bench.node.apply);
    bench_settle(&bench);
    assert_true(stream->closed);
    assert_int_equal(stream->reset, NGHTTP2_REFUSED_STREAM);
}

static void range_stream_messages(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, "/etcdserverpb.KV/RangeStream", range_request);
    bench_settle(&bench);
    uint64_t id = last_id();
    fake_answer(&bench.node,
                &(struct bus_result){.id = id, .more = true, .body = bytes_of("\x0a\2\x12\0", 4)});
    bench_settle(&bench);
    assert_int_equal(stream->body.length, GRPC_PREFIX + 4);
    fake_answer(
        &bench.node,
        &(struct bus_result){.id = id, .header = true, .revision = 9, .body = bytes_of("\x0a\2\x20\1", 4)});
    bench_settle(&bench);
    check_ok(stream);
    struct bytes last = bytes_of(stream->body.data + (size_t)2 * GRPC_PREFIX + 4,
                                 stream->body.length - (size_t)2 * GRPC_PREFIX - 4);
    struct wire_reader reader = wire_reader_of(last);
    struct wire_field field;
    assert_true(wire_next(&reader, &field) && field.number == 1);
    reader = wire_reader_of(field.bytes);
    assert_true(wire_next(&reader, &field) && field.number == 1 && field.type == WIRE_BYTES);
    assert_true(wire_next(&reader, &field) && field.number == 4 && field.value == 1);
}

/* --- load, floods, silence --- */

/* One stream's window is closed: the others go on. */
static void no_head_of_line_blocking(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 100);
    struct heard_stream *stuck = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, stuck->id, 0);
    uint64_t stuck_id = last_id();
    struct heard_stream *free_one = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    client->mute = true;
    answer(stuck_id, filled(100000));
    client->mute = false;
    answer(last_id(), filled(20));
    check_ok(free_one);
}

/* A small answer does not wait for the end of a large one that began earlier. */
static void large_answers_share(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 100 << 20);
    struct heard_stream *large = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    uint64_t large_id = last_id();
    struct heard_stream *small = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    client->mute = true;
    answer(large_id, filled(3 << 20));
    answer(last_id(), filled(20));
    client->mute = false;
    bench_settle(&bench);
    check_ok(large);
    check_ok(small);
    assert_true(small->closed_at < 1 << 20);
}

/* Streams above the bound, opened before the client could know it, are refused; the rest is served. */
static void too_many_streams(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    client->mute = true;
    for (unsigned i = 0; i < 2 * H2_MAX_STREAMS; i++)
        client_request_with(client,
                            (struct request_headers){.path = RANGE, .content_type = "application/grpc"},
                            range_request, 0, true);
    bench_settle(&bench);
    client->mute = false;
    bench_settle(&bench);
    assert_true(client->server_side->closed || client->server_side->h2->streams <= H2_MAX_STREAMS);
    unsigned refused_count = 0;
    for (unsigned i = 0; i < client->stream_count; i++)
        refused_count += client->streams[i].closed && client->streams[i].reset == NGHTTP2_REFUSED_STREAM;
    assert_true(client->closed || client->goaway || refused_count > 0);
    struct h2_client *other = bench_client(&bench, 0);
    struct heard_stream *put = client_request(other, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(put);
}

/* Whoever comes when all clients together have too many streams is refused; the others go on. */
static void too_many_streams_of_all(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *early = client_request(client, PUT, put_request);
    bench_settle(&bench);
    bench.server->stream_count += SERVER_STREAMS - 1;
    struct heard_stream *late = client_request(client, PUT, put_request);
    bench_settle(&bench);
    assert_true(late->closed);
    assert_int_equal(late->reset, NGHTTP2_REFUSED_STREAM);
    answer(last_id(), (struct bytes){0});
    check_ok(early);
    struct heard_stream *next = client_request(client, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(next);
    bench.server->stream_count -= SERVER_STREAMS - 1;
    assert_int_equal(bench.server->stream_count, 0);
}

/* A client that asks for much and reads nothing holds a bounded amount of memory and nobody else up. */
static void client_that_never_reads(void **state) {
    (void)state;
    struct h2_client *deaf = bench_client(&bench, 65535);
    struct h2_client *other = bench_client(&bench, 0);
    bench_settle(&bench);
    deaf->mute = true;
    for (unsigned i = 0; i < 900; i++)
        client_request(deaf, RANGE, range_request);
    bench_settle(&bench);
    struct h2_connection *h2 = deaf->server_side->h2;
    size_t answered = 0;
    while (answered < bench.node.raft.record_count) {
        answer(bench.node.raft.records[answered++].id, filled(60000));
        assert_true(h2->response_bytes < (size_t)900 * 61000);
    }
    assert_true(h2->waiting != NULL || h2->response_bytes < (size_t)900 * 61000);
    struct heard_stream *put = client_request(other, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(put);
    /* Further requests wait while so much is held. */
    size_t before = bench.node.raft.record_count;
    client_request(deaf, RANGE, range_request);
    bench_settle(&bench);
    assert_int_equal(bench.node.raft.record_count, before);
    /* When it reads again, everything comes. */
    deaf->mute = false;
    bench_settle(&bench);
    while (answered < bench.node.raft.record_count)
        answer(bench.node.raft.records[answered++].id, filled(10));
    for (unsigned i = 0; i < deaf->stream_count; i++)
        check_ok(&deaf->streams[i]);
}

/* Many large requests that never become complete: the connection's share is bounded. */
static void incomplete_requests_are_bounded(void **state) {
    (void)state;
    static uint8_t start[1 << 20];
    grpc_write_prefix(start, false, 2000000);
    struct h2_client *client = bench_client(&bench, 0);
    for (unsigned i = 0; i < 40; i++)
        client_request_with(client, (struct request_headers){.path = PUT, .content_type = "application/grpc"},
                            bytes_of(start, sizeof start), 0, true);
    bench_settle(&bench);
    assert_true(client->server_side->h2->request_bytes <= H2_REQUEST_BYTES + H2_CONNECTION_WINDOW);
    unsigned exhausted = 0;
    for (unsigned i = 0; i < client->stream_count; i++)
        exhausted += client->streams[i].grpc_status == 8;
    assert_true(exhausted > 20);
    /* What is complete and small is served. */
    struct heard_stream *put = client_request(client, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(put);
}

static void ping(struct h2_client *client) {
    nghttp2_submit_ping(client->session, NGHTTP2_FLAG_NONE, NULL);
    bench_settle(&bench);
}

static void too_many_pings(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    client_request(client, RANGE, range_request);
    bench_settle(&bench);
    for (unsigned i = 0; i < 3; i++)
        ping(client);
    assert_false(client->goaway);
    ping(client);
    assert_true(client->goaway && client->closed);
    assert_int_equal(client->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(client->goaway_text, "too_many_pings");
}

static void pings_between_answers_are_fine(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (unsigned i = 0; i < 20; i++) {
        client_request(client, RANGE, range_request);
        bench_settle(&bench);
        ping(client);
        answer(last_id(), (struct bytes){0});
    }
    assert_false(client->goaway);
}

static void pings_at_the_allowed_pace_are_fine(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    client_request(client, "/grpc.health.v1.Health/Watch", bytes_of("\0\0\0\0\0", 5));
    for (unsigned i = 0; i < 20; i++) {
        bench_wait(&bench, 5000000);
        ping(client);
    }
    assert_false(client->goaway);
}

static void silent_peer_is_pinged_and_given_up(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    bench_settle(&bench);
    bench_wait(&bench, UINT64_C(7200000000));
    assert_false(client->closed);
    bench_wait(&bench, 20000000);
    assert_false(client->closed);
    client->mute = true;
    bench_wait(&bench, UINT64_C(7200000000));
    bench_wait(&bench, 20000000);
    assert_true(client->server_side->closed || bench.server->connections == NULL);
}

static void stop_says_goaway_and_finishes_what_is_in_flight(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, RANGE, range_request);
    bench_settle(&bench);
    client_stop(client->server_side, true, false);
    bench_settle(&bench);
    assert_true(client->goaway);
    assert_int_equal(client->goaway_last, INT32_MAX);
    client_stop(client->server_side, false, false);
    bench_settle(&bench);
    assert_false(client->closed);
    answer(last_id(), (struct bytes){0});
    check_ok(stream);
    client_stop(client->server_side, false, false);
    bench_settle(&bench);
    /* A second GOAWAY, on stream 0, names stream 1. (The client's nghttp2 does not report it any more.) */
    assert_int_equal(client->heard.length, 17);
    assert_memory_equal(client->heard.data, "\0\0\x08\7\0\0\0\0\0\0\0\0\1\0\0\0\0", 17);
    assert_true(client->closed);
}

/* --- no HTTP/2 at all --- */

static void garbage_closes_the_connection(void **state) {
    (void)state;
    static const char *const garbage[] = {"\x16\x03\x01\x02\x00\x01\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a settings frame at all"};
    for (unsigned i = 0; i < 3; i++) {
        struct h2_client *client = bench_raw_client(&bench);
        raw_send(client, garbage[i], i == 0 ? 7 : strlen(garbage[i]));
        bench_settle(&bench);
        assert_true(client->closed);
    }
}

static uint32_t dice(uint32_t *state, uint32_t sides) {
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % sides;
}

/* The bytes of a proper session with some requests. */
static void record_session(struct buffer *out) {
    struct h2_client *client = bench_client(&bench, 0);
    for (unsigned i = 0; i < 4; i++)
        client_request(client, i % 2 == 0 ? PUT : RANGE, i % 2 == 0 ? put_request : range_request);
    const uint8_t *data = NULL;
    for (ssize_t length = 0; (length = nghttp2_session_mem_send(client->session, &data)) > 0;)
        buffer_append(out, data, (size_t)length);
    bench_disconnect(&bench, client);
}

/* Bytes changed, left out, repeated: whatever comes of it, the server lives and serves others. */
static void mutated_sessions(void **state) {
    (void)state;
    struct buffer session = {0};
    uint32_t random = 7;
    record_session(&session);
    for (unsigned round = 0; round < 600; round++) {
        struct h2_client *client = bench_raw_client(&bench);
        struct buffer mutated = {0};
        buffer_append_bytes(&mutated, buffer_bytes(&session));
        for (uint32_t changes = 1 + dice(&random, 4); changes > 0; changes--) {
            size_t at = 24 + dice(&random, (uint32_t)mutated.length - 24);
            uint32_t kind = dice(&random, 8);
            if (kind == 0)
                mutated.length = at + 1;
            else if (kind == 1)
                buffer_append(&mutated, session.data + at % session.length,
                              session.length - at % session.length);
            else
                mutated.data[at] = (uint8_t)dice(&random, 256);
        }
        raw_send(client, mutated.data, mutated.length);
        bench_settle(&bench);
        buffer_free(&mutated);
        bench_disconnect(&bench, client);
    }
    buffer_free(&session);
    assert_null(bench.server->connections);
    assert_int_equal(proxy_role_view(bench.node.role).pending, 0);
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *put = client_request(client, PUT, put_request);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(put);
}

static void half_a_preface_times_out(void **state) {
    (void)state;
    struct h2_client *silent = bench_raw_client(&bench);
    struct h2_client *half = bench_raw_client(&bench);
    raw_send(half, "PRI * HTTP/2.0\r\n", 16);
    struct h2_client *begun = bench_raw_client(&bench);
    raw_send(begun, "PR", 2);
    bench_settle(&bench);
    bench_wait(&bench, CLIENT_HANDSHAKE_US);
    assert_false(silent->closed || half->closed || begun->closed);
    bench_wait(&bench, 1);
    assert_true(silent->closed && half->closed && begun->closed);
}

static void http1_pages(void **state) {
    (void)state;
    struct h2_client *client = bench_raw_client(&bench);
    static const char two[] = "GET /version HTTP/1.1\r\n\r\nPOST /health HTTP/1.1\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof two; i++) {
        raw_send(client, two + i, 1);
        bench_settle(&bench);
    }
    buffer_append_byte(&client->heard, 0);
    const char *heard = (const char *)client->heard.data;
    assert_non_null(
        strstr(heard, "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}"));
    assert_non_null(strstr(heard, "405 Method Not Allowed\r\nAllow: GET\r\n"));
    assert_false(client->closed);
}

static void tell_leader(uint64_t leader) {
    bus_put_raft_state(bench.node.raft.far, &(struct bus_raft_state){.role = RAFT_LEADER,
                                                                     .term = 2,
                                                                     .leader = leader,
                                                                     .member = FAKE_MEMBER,
                                                                     .cluster = FAKE_CLUSTER});
    bench_settle(&bench);
}

static void etcds_metadata(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {.path = RANGE, .content_type = "application/grpc", .leader = "true"};
    tell_leader(0);
    check_failed(refused(client, headers), 200, 14, "etcdserver: no leader");
    tell_leader(FAKE_MEMBER);
    headers.api_version = "3.7.1 \xc3\xa9";
    struct heard_stream *stream = client_request_with(client, headers, range_request, 0, false);
    bench_settle(&bench);
    answer(last_id(), (struct bytes){0});
    check_ok(stream);
    static const char *const bad[] = {"\xff", "3.7\xc3", "\xc3(", "\xed\xa0"};
    for (unsigned i = 0; i < 4; i++) {
        headers.api_version = bad[i];
        check_failed(refused(client, headers), 200, 3, "etcdserver: invalid client api version");
    }
}

static void health_page_without_a_leader(void **state) {
    (void)state;
    struct h2_client *client = bench_raw_client(&bench);
    static const char request[] = "GET /health HTTP/1.1\r\n\r\n";
    raw_send(client, request, sizeof request - 1);
    bench_settle(&bench);
    answer(fake_last(&bench.node.apply)->id, (struct bytes){0});
    buffer_append_byte(&client->heard, 0);
    assert_non_null(
        strstr((const char *)client->heard.data, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}"));
}

/* The health page asks the node: alarms from apply, a linearizable read through raft. */
static void health_page(void **state) {
    (void)state;
    struct h2_client *client = bench_raw_client(&bench);
    tell_leader(FAKE_MEMBER);
    static const char request[] = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    raw_send(client, request, sizeof request - 1);
    bench_settle(&bench);
    assert_int_equal(client->heard.length, 0);
    assert_int_equal(fake_last(&bench.node.apply)->method, METHOD_ALARM);
    assert_int_equal(fake_last(&bench.node.raft)->method, METHOD_HEALTH);
    answer(last_id(), (struct bytes){0});
    /* AlarmResponse{alarms: {memberID 1, alarm NOSPACE}} */
    answer(fake_last(&bench.node.apply)->id, bytes_of("\x12\4\x08\1\x10\1", 6));
    buffer_append_byte(&client->heard, 0);
    const char *heard = (const char *)client->heard.data;
    assert_non_null(strstr(heard, "HTTP/1.1 503"));
    assert_non_null(strstr(heard, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}"));
    assert_true(client->closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(put_and_its_answer),
        TEST(request_in_single_bytes),
        TEST(answers_out_of_order),
        TEST(gzip_is_answered_with_gzip),
        TEST(failures_of_the_node_are_trailers_only),
        TEST(checks_answer_without_the_node),
        TEST(client_timeout),
        TEST(reset_by_the_client_cancels),
        TEST(health_service),
        TEST(improper_requests),
        TEST(improper_messages),
        TEST(message_above_the_limit),
        TEST(further_messages_are_ignored),
        TEST(too_many_header_bytes),
        TEST(answer_in_parts_follows_the_client),
        TEST(half_an_answer_is_reset_as_unavailable),
        TEST(range_stream_messages),
        TEST(no_head_of_line_blocking),
        TEST(large_answers_share),
        TEST(too_many_streams),
        TEST(too_many_streams_of_all),
        TEST(client_that_never_reads),
        TEST(incomplete_requests_are_bounded),
        TEST(too_many_pings),
        TEST(pings_between_answers_are_fine),
        TEST(pings_at_the_allowed_pace_are_fine),
        TEST(silent_peer_is_pinged_and_given_up),
        TEST(stop_says_goaway_and_finishes_what_is_in_flight),
        TEST(garbage_closes_the_connection),
        TEST(mutated_sessions),
        TEST(half_a_preface_times_out),
        TEST(http1_pages),
        TEST(etcds_metadata),
        TEST(health_page),
        TEST(health_page_without_a_leader),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
