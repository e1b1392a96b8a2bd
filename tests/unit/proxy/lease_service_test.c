/* The Lease service: its unary RPCs, and LeaseKeepAlive, the proxy's simplest stream in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/wire.h"
#include "proxy/h2_client.h"
#include "proxy/h2_connection.h"

#define KEEP_ALIVE "/etcdserverpb.Lease/LeaseKeepAlive"

enum { IN_FLIGHT = 128, REVISION = 9, TTL = 60 };

static struct bench bench; /* too large for a stack */
static struct buffer request_bytes;

static int open_bench(void **state) {
    (void)state;
    bench_open(&bench);
    return 0;
}

static int close_bench(void **state) {
    (void)state;
    bench_close(&bench);
    buffer_free(&request_bytes);
    return 0;
}

/* --- what goes in --- */

static void add_message(struct bytes body, bool compressed) {
    grpc_write_prefix(buffer_reserve(&request_bytes, GRPC_PREFIX), compressed, (uint32_t)body.length);
    request_bytes.length += GRPC_PREFIX;
    buffer_append_bytes(&request_bytes, body);
}

/* A message of LeaseKeepAliveRequest, with so many bytes in a field that nobody knows. */
static void add_keepalive(int64_t id, size_t filler) {
    struct buffer body = {0};
    wire_put_int64(&body, 1, id);
    if (filler > 0) {
        uint8_t *unknown = must_zalloc(filler);
        wire_put_bytes(&body, 99, bytes_of(unknown, filler));
        free(unknown);
    }
    add_message(buffer_bytes(&body), false);
    buffer_free(&body);
}

static struct heard_stream *open_stream(struct h2_client *client, size_t step, bool open) {
    struct request_headers headers = {.path = KEEP_ALIVE, .content_type = "application/grpc"};
    struct heard_stream *stream =
        client_request_with(client, headers, buffer_bytes(&request_bytes), step, open);
    bench_settle(&bench);
    return stream;
}

static struct bytes unary_message(int64_t one, int64_t two) {
    struct buffer body = {0};
    wire_put_int64(&body, 1, one);
    wire_put_int64(&body, 2, two);
    request_bytes.length = 0;
    add_message(buffer_bytes(&body), false);
    buffer_free(&body);
    return buffer_bytes(&request_bytes);
}

/* --- the node behind --- */

static int64_t number_in(struct bytes message, uint32_t number) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    int64_t value = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == number)
            value = (int64_t)field.value;
    }
    assert_false(reader.malformed);
    return value;
}

static int64_t asked_id(const struct fake_record *record) {
    assert_int_equal(record->kind, BUS_PROXY_READ);
    assert_int_equal(record->method, METHOD_LEASE_KEEP_ALIVE);
    return number_in(buffer_bytes(&record->body), 1);
}

static void answer_with(const struct fake_record *record, uint16_t status) {
    struct buffer body = {0};
    if (status == STATUS_OK) {
        wire_put_int64(&body, 2, asked_id(record));
        wire_put_int64(&body, 3, TTL);
    }
    fake_answer(&bench.node, &(struct bus_result){.id = record->id,
                                                  .status = status,
                                                  .revision = REVISION,
                                                  .term = 2,
                                                  .header = true,
                                                  .body = buffer_bytes(&body)});
    buffer_free(&body);
    bench_settle(&bench);
}

static void answer_number(size_t i) {
    answer_with(&bench.node.apply.records[i], STATUS_OK);
}

/* Answers all that has been asked and is asked meanwhile; the largest number in flight. */
static size_t answer_all(void) {
    size_t most = 0;
    while (bench.node.apply.record_count > 0) {
        static struct fake_record asked[FAKE_RECORDS];
        size_t count = bench.node.apply.record_count;
        most = count > most ? count : most;
        memcpy(asked, bench.node.apply.records, count * sizeof *asked);
        bench.node.apply.record_count = 0;
        for (size_t i = 0; i < count; i++) {
            struct buffer body = {0};
            wire_put_int64(&body, 2, asked_id(&asked[i]));
            wire_put_int64(&body, 3, TTL);
            bus_put_result(bench.node.apply.far, BUS_APPLY_RESULT,
                           &(struct bus_result){.id = asked[i].id,
                                                .revision = REVISION,
                                                .term = 2,
                                                .header = true,
                                                .body = buffer_bytes(&body)});
            buffer_free(&body);
            buffer_free(&asked[i].body);
        }
        bench_settle(&bench);
    }
    return most;
}

/* --- what comes out --- */

/* The ids of all answers so far, in their order; each is checked. */
static size_t answers(const struct heard_stream *stream, int64_t *ids, size_t limit) {
    struct bytes left = buffer_bytes(&stream->body);
    size_t count = 0;
    while (left.length > 0) {
        struct wire_field field;
        struct wire_reader reader;
        const uint8_t *p = left.data;
        assert_true(left.length >= GRPC_PREFIX);
        size_t length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        assert_int_equal(p[0], 0);
        assert_true(left.length >= GRPC_PREFIX + length);
        struct bytes message = bytes_of(p + GRPC_PREFIX, length);
        reader = wire_reader_of(message);
        assert_true(wire_next(&reader, &field) && field.number == 1);
        assert_int_equal(number_in(field.bytes, 3), REVISION);
        assert_int_equal(number_in(message, 3), TTL);
        if (count < limit)
            ids[count] = number_in(message, 2);
        count++;
        left = bytes_of(p + GRPC_PREFIX + length, left.length - GRPC_PREFIX - length);
    }
    return count;
}

static void check_answers(const struct heard_stream *stream, size_t expected) {
    int64_t ids[16];
    assert_int_equal(answers(stream, ids, 16), expected);
    for (size_t i = 0; i < expected; i++)
        assert_int_equal(ids[i], i + 1);
}

static void check_end(const struct heard_stream *stream, int code, const char *message) {
    assert_true(stream->closed);
    assert_int_equal(stream->http_status, 200);
    assert_int_equal(stream->grpc_status, code);
    assert_string_equal(stream->message, message);
}

static void nothing_is_left(const struct h2_client *client) {
    const struct h2_connection *h2 = client->server_side->h2;
    assert_int_equal(h2->streams, 0);
    assert_int_equal(h2->request_bytes, 0);
    assert_int_equal(h2->complete_bytes, 0);
    assert_int_equal(h2->response_bytes, 0);
    assert_int_equal(proxy_role_view(bench.node.role).pending, 0);
}

/* --- messages and answers --- */

static void messages_are_answered_one_by_one(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    assert_int_equal(bench.node.apply.record_count, 0);
    for (int64_t id = 1; id <= 5; id++) {
        request_bytes.length = 0;
        add_keepalive(id, 0);
        client_send(client, stream, buffer_bytes(&request_bytes));
        bench_settle(&bench);
        answer_number((size_t)id - 1);
        check_answers(stream, (size_t)id);
    }
    assert_false(stream->closed);
    assert_string_equal(stream->content_type, "application/grpc");
}

static void order_of_answers_is_that_of_messages(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= 4; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    assert_int_equal(bench.node.apply.record_count, 4);
    answer_number(2);
    answer_number(1);
    check_answers(stream, 0);
    answer_number(0);
    check_answers(stream, 3);
    answer_number(3);
    check_answers(stream, 4);
}

static void message_over_many_frames(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_keepalive(1, 300);
    add_keepalive(2, 0);
    struct heard_stream *stream = open_stream(client, 1, true);
    answer_all();
    check_answers(stream, 2);
    assert_int_equal(client->server_side->h2->request_bytes, 0);
}

static void compressed_messages(void **state) {
    (void)state;
    struct buffer packed = {0};
    struct buffer body = {0};
    wire_put_int64(&body, 1, -5);
    grpc_gzip(buffer_bytes(&body), &packed);
    add_message(buffer_bytes(&packed), true);
    buffer_free(&body);
    buffer_free(&packed);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {
        .path = KEEP_ALIVE, .content_type = "application/grpc", .encoding = "gzip"};
    struct heard_stream *stream = client_request_with(client, headers, buffer_bytes(&request_bytes), 0, true);
    bench_settle(&bench);
    assert_int_equal(asked_id(fake_last(&bench.node.apply)), -5);
    answer_all();
    assert_string_equal(stream->encoding, "gzip");
    assert_int_equal(stream->body.data[0], 1);
    struct grpc_failure failure;
    memmove(stream->body.data, stream->body.data + GRPC_PREFIX, stream->body.length - GRPC_PREFIX);
    stream->body.length -= GRPC_PREFIX;
    assert_true(grpc_gunzip(&stream->body, 1000, &failure));
    assert_int_equal(number_in(buffer_bytes(&stream->body), 2), -5);
}

static void ten_thousand_messages(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    static int64_t ids[COUNT];
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= COUNT; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    assert_int_equal(answer_all(), IN_FLIGHT);
    assert_int_equal(answers(stream, ids, COUNT), COUNT);
    for (int64_t i = 0; i < COUNT; i++)
        assert_int_equal(ids[i], i + 1);
    client_half_close(client, stream);
    bench_settle(&bench);
    check_end(stream, 0, "");
    nothing_is_left(client);
}

/* --- ends --- */

static void half_close_ends_behind_the_answers(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_keepalive(1, 0);
    add_keepalive(2, 0);
    struct heard_stream *stream = open_stream(client, 0, false);
    answer_number(0);
    assert_false(stream->closed);
    answer_number(1);
    check_answers(stream, 2);
    check_end(stream, 0, "");
    nothing_is_left(client);
}

static void half_close_without_a_message(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = open_stream(client, 0, false);
    check_end(stream, 0, "");
}

static void half_close_while_held(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= 3 * IN_FLIGHT; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, false);
    assert_false(stream->closed);
    answer_all();
    assert_int_equal(answers(stream, NULL, 0), 3 * IN_FLIGHT);
    check_end(stream, 0, "");
    nothing_is_left(client);
}

static void failure_ends_behind_earlier_answers(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= 4; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    answer_number(3);
    answer_with(&bench.node.apply.records[1], STATUS_NO_LEADER);
    assert_false(stream->closed);
    answer_number(0);
    check_answers(stream, 1);
    check_end(stream, 14, "etcdserver: no leader");
    assert_int_equal(fake_last(&bench.node.apply)->kind, BUS_PROXY_CANCEL);
    nothing_is_left(client);
}

static void unanswered_question_times_out(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_keepalive(1, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    bench_wait(&bench, 6990000);
    assert_false(stream->closed);
    bench_wait(&bench, 20000);
    check_end(stream, 14, "etcdserver: request timed out");
    nothing_is_left(client);
}

static void clients_deadline_ends_a_stream(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {
        .path = KEEP_ALIVE, .content_type = "application/grpc", .timeout = "20S"};
    add_keepalive(1, 0);
    struct heard_stream *stream = client_request_with(client, headers, buffer_bytes(&request_bytes), 0, true);
    bench_settle(&bench);
    answer_all();
    bench_wait(&bench, 19990000);
    assert_false(stream->closed);
    bench_wait(&bench, 20000);
    check_end(stream, 4, "context deadline exceeded");
    nothing_is_left(client);
}

static void reset_frees_everything(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= 3 * IN_FLIGHT; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    assert_true(client->server_side->h2->request_bytes > 0);
    nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    bench_settle(&bench);
    nothing_is_left(client);
    assert_int_equal(bench.node.apply.record_count, 2 * IN_FLIGHT);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        assert_int_equal(bench.node.apply.records[IN_FLIGHT + i].kind, BUS_PROXY_CANCEL);
}

static void lost_connection_frees_everything(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= 3 * IN_FLIGHT; id++)
        add_keepalive(id, 0);
    open_stream(client, 0, true);
    bench_disconnect(&bench, client);
    assert_int_equal(proxy_role_view(bench.node.role).pending, 0);
    assert_null(bench.server->connections);
}

static void stopping_ends_streams(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    client_stop(client->server_side, true, false);
    bench_settle(&bench);
    check_end(stream, 14, "etcdserver: server stopped");
    client_stop(client->server_side, false, false);
    bench_settle(&bench);
    assert_true(client->closed);
}

static void questions_are_asked_again_after_a_lost_link(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_keepalive(1, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    fake_link_down(&bench.node.apply);
    fake_forget(&bench.node.apply);
    bench_settle(&bench);
    fake_link_up(&bench.node.apply, true);
    bench_settle(&bench);
    assert_int_equal(bench.node.apply.record_count, 1);
    answer_all();
    check_answers(stream, 1);
}

/* --- what is no message --- */

static void broken(const void *bytes, size_t length, bool open, int code, const char *message) {
    fake_forget(&bench.node.apply);
    request_bytes.length = 0;
    add_keepalive(1, 0);
    buffer_append(&request_bytes, bytes, length);
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = open_stream(client, 0, open);
    assert_int_equal(asked_id(&bench.node.apply.records[0]), 1);
    check_end(stream, code, message);
    nothing_is_left(client);
    bench_disconnect(&bench, client);
}

static void garbage_in_the_middle(void **state) {
    (void)state;
    broken("\2\0\0\0\0", 5, true, 13, "grpc: received unexpected payload format 2");
    broken("\1\0\0\0\2ab", 7, true, 13, "grpc: compressed flag set with identity or empty encoding");
    broken("\0\0\0\0\2\x08\xff", 7, true, 13,
           "grpc: failed to unmarshal the received message: unexpected EOF");
    broken("\0\0\0\0\5ab", 7, false, 13, "unexpected EOF");
    broken("\0\0", 2, false, 13, "unexpected EOF");
    broken("\0\x10\0\0\0", 5, true, 8, "grpc: received message larger than max (268435456 vs. 2097152)");
}

static void tell_leader(uint64_t leader) {
    bus_put_raft_state(bench.node.raft.far, &(struct bus_raft_state){.role = RAFT_FOLLOWER,
                                                                     .term = 2,
                                                                     .leader = leader,
                                                                     .member = FAKE_MEMBER,
                                                                     .cluster = FAKE_CLUSTER});
    bench_settle(&bench);
}

static void no_leader(void **state) {
    (void)state;
    tell_leader(0);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {
        .path = KEEP_ALIVE, .content_type = "application/grpc", .leader = "true"};
    struct heard_stream *stream = client_request_with(client, headers, (struct bytes){0}, 0, true);
    bench_settle(&bench);
    check_end(stream, 14, "etcdserver: no leader");
}

static void leader_that_is_lost(void **state) {
    (void)state;
    tell_leader(FAKE_MEMBER);
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = {
        .path = KEEP_ALIVE, .content_type = "application/grpc", .leader = "true"};
    struct heard_stream *needs = client_request_with(client, headers, (struct bytes){0}, 0, true);
    struct heard_stream *does_not = open_stream(client, 0, true);
    bench_wait(&bench, 1000000);
    tell_leader(0);
    bench_wait(&bench, 2900000);
    tell_leader(7);
    bench_wait(&bench, 1000000); /* in time */
    tell_leader(0);
    bench_wait(&bench, 2900000);
    assert_false(needs->closed);
    bench_wait(&bench, 200000);
    check_end(needs, 14, "etcdserver: no leader");
    assert_false(does_not->closed);
}

/* --- flow control --- */

/* More than all windows together, while the node answers nothing: what is held is bounded, and nothing lost.
 */
static void sender_that_is_faster_than_the_node(void **state) {
    (void)state;
    enum { COUNT = 6000, FILLER = 1000 };
    struct h2_client *client = bench_client(&bench, 0);
    for (int64_t id = 1; id <= COUNT; id++)
        add_keepalive(id, FILLER);
    struct heard_stream *stream = open_stream(client, 0, true);
    assert_int_equal(bench.node.apply.record_count, IN_FLIGHT);
    assert_in_range(client->server_side->h2->request_bytes, 1, H2_STREAM_WINDOW);
    /* The connection's window is open: others are served. */
    struct heard_stream *range =
        client_request(client, "/etcdserverpb.KV/Range", bytes_of("\0\0\0\0\3\x0a\1k", 8));
    bench_settle(&bench);
    fake_answer(&bench.node, &(struct bus_result){.id = fake_last(&bench.node.raft)->id});
    bench_settle(&bench);
    check_end(range, 0, "");
    assert_int_equal(answer_all(), IN_FLIGHT);
    assert_int_equal(answers(stream, NULL, 0), COUNT);
    assert_int_equal(client->server_side->h2->request_bytes, 0);
}

/* A client that asks and takes no answer: the stream is held, its connection's other requests are not. */
static void reader_that_is_slower_than_the_node(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    struct h2_client *client = bench_client(&bench, 1000);
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE,
                            &(nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}, 1);
    for (int64_t id = 1; id <= COUNT; id++)
        add_keepalive(id, 0);
    struct heard_stream *stream = open_stream(client, 0, true);
    answer_all();
    assert_int_equal(stream->body.length, 0);
    const struct rpc_stream *held = client->server_side->h2->all;
    assert_true(held->held);
    assert_in_range(rpc_backlog(held), RPC_BACKLOG_LOW, RPC_BACKLOG_LOW + 100 * IN_FLIGHT);
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE,
                            &(nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000}, 1);
    bench_settle(&bench);
    answer_all();
    assert_int_equal(answers(stream, NULL, 0), COUNT);
}

static uint32_t dice(uint32_t *state, uint32_t sides) {
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % sides;
}

/* Streams cut, mutated and reset at any point leave nothing behind. */
static void mutated_streams(void **state) {
    (void)state;
    uint32_t random = 11;
    struct h2_client *client = bench_client(&bench, 0);
    for (unsigned round = 0; round < 1500; round++) {
        request_bytes.length = 0;
        for (uint32_t i = dice(&random, 300); i > 0; i--)
            add_keepalive(i, dice(&random, 20) == 0 ? 500 : 0);
        for (uint32_t i = dice(&random, 3); i > 0 && request_bytes.length > 0; i--)
            request_bytes.data[dice(&random, (uint32_t)request_bytes.length)] = (uint8_t)dice(&random, 4);
        struct heard_stream *stream =
            open_stream(client, dice(&random, 2) * (1 + dice(&random, 50)), dice(&random, 2) == 0);
        if (dice(&random, 2) == 0 && bench.node.apply.record_count > 0)
            answer_number(0);
        if (!stream->closed)
            nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        bench_settle(&bench);
        nothing_is_left(client);
        fake_forget(&bench.node.apply);
    }
}

/* --- unary --- */

static const struct fake_record *proposed(struct h2_client *client, const char *path, struct bytes message,
                                          uint32_t field, struct internal_request *internal) {
    client_request(client, path, message);
    bench_settle(&bench);
    const struct fake_record *record = fake_last(&bench.node.raft);
    assert_int_equal(record->kind, BUS_PROXY_PROPOSE);
    assert_true(internal_request_decode(buffer_bytes(&record->body), internal));
    assert_int_equal(internal->number, field);
    return record;
}

#define GRANT "/etcdserverpb.Lease/LeaseGrant"

static struct lease_request granted(struct h2_client *client, int64_t ttl, int64_t id) {
    struct internal_request internal;
    struct lease_request request;
    const struct fake_record *record =
        proposed(client, GRANT, unary_message(ttl, id), INTERNAL_LEASE_GRANT, &internal);
    assert_int_equal(record->method, METHOD_LEASE_GRANT);
    assert_true(lease_grant_request_decode(internal.body, &request));
    return request;
}

static void grant_chooses_what_the_client_leaves_open(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct lease_request first = granted(client, 60, 0);
    struct lease_request second = granted(client, 60, 0);
    assert_true(first.id > 0 && second.id > 0 && first.id != second.id);
    assert_int_equal(first.ttl, 60);
    assert_int_equal(granted(client, 60, -7).id, -7);
    assert_int_equal(granted(client, INT64_C(9000000000), 1).ttl, INT64_C(9000000000));
}

static void grant_has_a_least_ttl(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    assert_int_equal(granted(client, 2, 1).ttl, 2);
    assert_int_equal(granted(client, 1, 1).ttl, 2);
    assert_int_equal(granted(client, 0, 1).ttl, 2);
    assert_int_equal(granted(client, INT64_MIN, 1).ttl, 2);
    bench.config.election_timeout = 5000;
    assert_int_equal(granted(client, 1, 1).ttl, 8);
    bench.config.heartbeat_interval = 300;
    assert_int_equal(granted(client, 1, 1).ttl, 8); /* 24 ticks of 300 ms */
    bench.config.election_timeout = 50000;
    assert_int_equal(granted(client, 1, 1).ttl, 75);
}

static void grant_refuses(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = client_request(client, GRANT, unary_message(INT64_C(9000000001), 1));
    bench_settle(&bench);
    check_end(stream, 11, "etcdserver: too large lease TTL");
    stream = client_request(client, GRANT, bytes_of("\0\0\0\0\2\x0a\0", 7));
    bench_settle(&bench);
    check_end(stream, 13, "grpc: error unmarshalling request: unexpected EOF");
    assert_int_equal(bench.node.raft.record_count, 0);
}

static void revoke_is_a_proposal(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct internal_request internal;
    const struct fake_record *record = proposed(client, "/etcdserverpb.Lease/LeaseRevoke",
                                                unary_message(77, 0), INTERNAL_LEASE_REVOKE, &internal);
    assert_int_equal(number_in(internal.body, 1), 77);
    fake_answer(&bench.node, &(struct bus_result){.id = record->id, .status = STATUS_LEASE_NOT_FOUND});
    bench_settle(&bench);
    check_end(&client->streams[0], 5, "etcdserver: requested lease not found");
}

static void reads_go_to_apply(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *ttl =
        client_request(client, "/etcdserverpb.Lease/LeaseTimeToLive", unary_message(77, 1));
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.apply)->method, METHOD_LEASE_TIME_TO_LIVE);
    assert_memory_equal(fake_last(&bench.node.apply)->body.data, "\x08\x4d\x10\1", 4);
    fake_answer(&bench.node, &(struct bus_result){.id = fake_last(&bench.node.apply)->id,
                                                  .revision = REVISION,
                                                  .body = bytes_of("\x10\x4d\x18\x05", 4)});
    bench_settle(&bench);
    check_end(ttl, 0, "");
    client_request(client, "/etcdserverpb.Lease/LeaseLeases", unary_message(0, 0));
    bench_settle(&bench);
    assert_int_equal(fake_last(&bench.node.apply)->method, METHOD_LEASE_LEASES);
    struct heard_stream *bad =
        client_request(client, "/etcdserverpb.Lease/LeaseLeases", bytes_of("\0\0\0\0\1\x08", 6));
    bench_settle(&bench);
    check_end(bad, 13, "grpc: error unmarshalling request: unexpected EOF");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(messages_are_answered_one_by_one),
        TEST(order_of_answers_is_that_of_messages),
        TEST(message_over_many_frames),
        TEST(compressed_messages),
        TEST(ten_thousand_messages),
        TEST(half_close_ends_behind_the_answers),
        TEST(half_close_without_a_message),
        TEST(half_close_while_held),
        TEST(failure_ends_behind_earlier_answers),
        TEST(unanswered_question_times_out),
        TEST(clients_deadline_ends_a_stream),
        TEST(reset_frees_everything),
        TEST(lost_connection_frees_everything),
        TEST(stopping_ends_streams),
        TEST(questions_are_asked_again_after_a_lost_link),
        TEST(garbage_in_the_middle),
        TEST(no_leader),
        TEST(leader_that_is_lost),
        TEST(sender_that_is_faster_than_the_node),
        TEST(reader_that_is_slower_than_the_node),
        TEST(mutated_streams),
        TEST(grant_chooses_what_the_client_leaves_open),
        TEST(grant_has_a_least_ttl),
        TEST(grant_refuses),
        TEST(revoke_is_a_proposal),
        TEST(reads_go_to_apply),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
