/* The Watch service: a gRPC stream in both directions that lives long, in front of the proxy's watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/wire.h"
#include "proxy/h2_client.h"
#include "proxy/h2_connection.h"
#include "proxy/watch/hub_state.h"
#include "proxy/watch_bench.h"

#define WATCH "/etcdserverpb.Watch/Watch"

enum { REVISION = 10 };

static struct bench bench; /* too large for a stack */
static struct buffer requests;
static int64_t revision;

static int open_bench(void **state) {
    (void)state;
    bench_open(&bench);
    revision = REVISION;
    return 0;
}

static int close_bench(void **state) {
    (void)state;
    bench_close(&bench);
    buffer_free(&requests);
    return 0;
}

/* --- what goes in --- */

static void add_message(struct bytes body, bool compressed) {
    grpc_write_prefix(buffer_reserve(&requests, GRPC_PREFIX), compressed, (uint32_t)body.length);
    requests.length += GRPC_PREFIX;
    buffer_append_bytes(&requests, body);
}

static void add_create(const char *key, const char *range_end) {
    struct buffer message = {0};
    size_t mark = wire_begin_message(&message, 1);
    wire_put_bytes(&message, 1, bytes_from_text(key));
    wire_put_bytes(&message, 2, bytes_from_text(range_end));
    wire_end_message(&message, mark);
    add_message(buffer_bytes(&message), false);
    buffer_free(&message);
}

static const struct request_headers plain = {.path = WATCH, .content_type = "application/grpc"};

/* Sends `requests` as its first messages, and has them answered. */
static struct heard_stream *open_stream(struct h2_client *client, struct request_headers headers, bool open) {
    struct heard_stream *stream = client_request_with(client, headers, buffer_bytes(&requests), 0, open);
    bench_settle(&bench);
    answer_asks(&bench.node, revision, -1);
    bench_settle(&bench);
    return stream;
}

static struct heard_stream *watch_all(struct h2_client *client) {
    requests.length = 0;
    add_create("a", "z");
    return open_stream(client, plain, true);
}

/* Changes a key to a value of this length. */
static void change(size_t length) {
    struct stream_record record = {0};
    char *value = must_zalloc(length + 1);
    memset(value, 'v', length);
    revision++;
    put_event(&record, revision, "key", value, false);
    publish(&bench.node, &record, revision, revision);
    free(value);
    bench_settle(&bench);
}

/* --- what comes out --- */

struct heard {
    unsigned responses, created, canceled, events;
    int64_t last_revision;
};

static bool take_message(struct bytes *body, struct bytes *message) {
    if (body->length == 0)
        return false;
    assert_true(body->length >= GRPC_PREFIX);
    const uint8_t *p = body->data;
    size_t length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (body->length < GRPC_PREFIX + length)
        return false; /* comes yet */
    *message = bytes_of(p + GRPC_PREFIX, length);
    *body = bytes_of(p + GRPC_PREFIX + length, body->length - GRPC_PREFIX - length);
    return true;
}

static int64_t event_revision(struct bytes event) {
    struct wire_reader reader = wire_reader_of(event);
    struct wire_field field;
    int64_t found = 0;
    while (wire_next(&reader, &field)) {
        if (field.number != 2)
            continue;
        struct wire_reader inner = wire_reader_of(field.bytes);
        while (wire_next(&inner, &field)) {
            if (field.number == 3)
                found = (int64_t)field.value;
        }
    }
    return found;
}

/* Events have to come without a gap. */
static struct heard heard(const struct heard_stream *stream) {
    struct heard heard = {.last_revision = REVISION};
    struct bytes body = buffer_bytes(&stream->body);
    struct bytes message;
    while (take_message(&body, &message)) {
        struct wire_reader reader = wire_reader_of(message);
        struct wire_field field;
        heard.responses++;
        while (wire_next(&reader, &field)) {
            heard.created += field.number == 3;
            heard.canceled += field.number == 4;
            if (field.number != 11)
                continue;
            heard.events++;
            assert_int_equal(event_revision(field.bytes), heard.last_revision + 1);
            heard.last_revision++;
        }
        assert_false(reader.malformed);
    }
    return heard;
}

static void check_end(const struct heard_stream *stream, int code, const char *message) {
    assert_true(stream->closed);
    assert_int_equal(stream->grpc_status, code);
    assert_string_equal(stream->message, message);
}

static void put_is_served(struct h2_client *client) {
    struct heard_stream *put =
        client_request(client, "/etcdserverpb.KV/Put", bytes_of("\0\0\0\0\3\x0a\1k", 8));
    bench_settle(&bench);
    fake_answer(&bench.node, &(struct bus_result){.id = fake_last(&bench.node.raft)->id});
    bench_settle(&bench);
    check_end(put, 0, "");
}

/* --- */

static void events_follow_the_creation(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = watch_all(client);
    assert_int_equal(heard(stream).created, 1);
    for (unsigned i = 1; i <= 20; i++) {
        change(i);
        assert_int_equal(heard(stream).events, i);
    }
    assert_false(stream->closed);
    assert_int_equal(client->server_side->h2->response_bytes, 0);
}

static void half_close_does_not_end_a_watch(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_create("a", "z");
    struct heard_stream *stream = open_stream(client, plain, false);
    change(5);
    assert_int_equal(heard(stream).events, 1);
    assert_false(stream->closed);
}

static void requests_that_ask_nothing(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_message((struct bytes){0}, false);
    add_message(bytes_of("\x22\0", 2), false);
    add_create("a", "z");
    struct heard_stream *stream = open_stream(client, plain, true);
    assert_int_equal(heard(stream).responses, 1);
    assert_false(stream->closed);
}

static void garbage_ends_the_stream(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    add_create("a", "z");
    add_message(bytes_of("\x0a\x7f", 2), false);
    struct heard_stream *stream = open_stream(client, plain, true);
    check_end(stream, 13, "grpc: failed to unmarshal the received message: unexpected EOF");
    change(5);
    put_is_served(client);
    assert_int_equal(client->server_side->h2->streams, 0);
}

static void reset_and_lost_connection(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct h2_client *other = bench_client(&bench, 0);
    struct heard_stream *stream = watch_all(client);
    watch_all(client);
    struct heard_stream *last = watch_all(other);
    nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    bench_settle(&bench);
    assert_int_equal(client->server_side->h2->streams, 1);
    change(5);
    assert_int_equal(heard(stream).events, 0);
    assert_int_equal(heard(&client->streams[1]).events, 1);
    bench_disconnect(&bench, client);
    change(5);
    assert_int_equal(heard(last).events, 2);
}

static void deadline_and_stop(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = plain;
    headers.timeout = "3S";
    add_create("a", "z");
    struct heard_stream *limited = open_stream(client, headers, true);
    struct heard_stream *endless = watch_all(client);
    bench_wait(&bench, 2900000);
    change(5);
    bench_wait(&bench, 110000);
    check_end(limited, 4, "context deadline exceeded");
    change(5);
    assert_int_equal(heard(limited).events, 1);
    assert_int_equal(heard(endless).events, 2);
    client_stop(client->server_side, true, false);
    bench_settle(&bench);
    check_end(endless, 14, "etcdserver: server stopped");
    change(5);
}

static void compressed_both_ways(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct request_headers headers = plain;
    struct buffer packed = {0};
    headers.encoding = "gzip";
    add_create("a", "z");
    grpc_gzip(bytes_of(requests.data + GRPC_PREFIX, requests.length - GRPC_PREFIX), &packed);
    requests.length = 0;
    add_message(buffer_bytes(&packed), true);
    struct heard_stream *stream = open_stream(client, headers, true);
    buffer_free(&packed);
    stream->body.length = 0;
    change(10000); /* packed */
    assert_true(stream->body.length > GRPC_PREFIX && stream->body.length < 1000);
    struct bytes body = buffer_bytes(&stream->body);
    struct bytes message;
    assert_int_equal(stream->body.data[0], 1);
    assert_true(take_message(&body, &message));
    struct grpc_failure failure;
    struct buffer plain_message = {0};
    buffer_append_bytes(&plain_message, message);
    assert_true(grpc_gunzip(&plain_message, 20000, &failure));
    assert_true(plain_message.length > 10000);
    buffer_free(&plain_message);
    stream->body.length = 0;
    change(100000); /* too large for it */
    assert_int_equal(stream->body.data[0], 0);
    assert_true(stream->body.length > 100000);
}

/* --- flow control --- */

static void set_window(struct h2_client *client, uint32_t bytes) {
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE,
                            &(nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes}, 1);
    bench_settle(&bench);
}

/* Watches that nobody reads hold more than all other responses may: those go on all the same. */
static void unread_watches_keep_nobody_waiting(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *streams[20];
    for (unsigned i = 0; i < 20; i++)
        streams[i] = watch_all(client);
    struct h2_client *deaf = client;
    set_window(deaf, 0);
    for (unsigned i = 0; i < 12; i++)
        change(60000);
    set_window(deaf, 1000);
    put_is_served(deaf);
    set_window(deaf, 65535);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(heard(streams[i]).events, 12);
}

/* A client that always takes something and never all: what it took is forgotten. */
/* Cut off: the stream is reset, what it had not taken is gone at once, and the connection serves on. */
static void cut_off_for_want_of_memory(void **state) {
    (void)state;
    struct h2_client *client = bench_client(&bench, 0);
    bench.manual_windows = true;
    struct h2_client *deaf = bench_client(&bench, 1000);
    const struct heard_stream *stream = watch_all(deaf);
    const struct heard_stream *other = watch_all(client);
    change(100000);
    assert_true(heard(other).events == 1 && heard(stream).events == 0);
    struct watch_stream *cut = bench.node.role->watch->streams;
    while (cut->backlog < 90000)
        cut = cut->next;
    stream_cut(cut, STATUS_TOO_MANY_REQUESTS);
    assert_int_equal(cut->client.backlog(cut->client.context), 0);
    bench_settle(&bench);
    assert_true(stream->closed);
    assert_int_equal(stream->reset, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(stream->grpc_status, -1);
    assert_int_equal(deaf->server_side->h2->streams, 0);
    change(10);
    assert_int_equal(heard(other).events, 2);
    put_is_served(deaf);
}

static void always_behind(void **state) {
    (void)state;
    enum { CHANGES = 300, EACH = 30000 };
    bench.manual_windows = true;
    struct h2_client *client = bench_client(&bench, 0);
    nghttp2_submit_window_update(client->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    struct heard_stream *stream = watch_all(client);
    const struct rpc_stream *served = client->server_side->h2->all;
    for (unsigned i = 0; i < CHANGES; i++) {
        change(EACH);
        if (i >= 3)
            nghttp2_submit_window_update(client->session, NGHTTP2_FLAG_NONE, stream->id, EACH);
        bench_settle(&bench);
        assert_true(i < 3 || rpc_backlog(served) > 0);
        assert_true(served->response.length < 10 * EACH);
    }
    nghttp2_submit_window_update(client->session, NGHTTP2_FLAG_NONE, stream->id, 1 << 30);
    bench_settle(&bench);
    assert_int_equal(heard(stream).events, CHANGES);
    assert_true(served->response.capacity <= RPC_BUFFER_KEEP);
}

static void send_creates(struct h2_client *client, struct heard_stream *stream, unsigned count,
                         const char *range_end) {
    requests.length = 0;
    for (unsigned i = 0; i < count; i++)
        add_create("b", range_end);
    client_send(client, stream, buffer_bytes(&requests));
    bench_settle(&bench);
}

/* Answers what was asked until nothing is asked any more; the most that was asked at once. */
static size_t answer_creates(void) {
    size_t most = 0;
    while (bench.node.apply.record_count > 0) {
        size_t count = bench.node.apply.record_count;
        most = count > most ? count : most;
        bench.node.apply.record_count = 0;
        for (size_t i = 0; i < count; i++) {
            struct fake_record *record = &bench.node.apply.records[i];
            if (record->kind == BUS_PROXY_WATCH)
                bus_put_watch_answer(
                    bench.node.apply.far,
                    &(struct bus_watch_answer){.id = record->id, .revision = revision, .compacted = -1});
            buffer_free(&record->body);
        }
        bench_settle(&bench);
        bench_settle(&bench); /* what was asked at the end of a round */
    }
    return most;
}

/* More creates in one go than apply answers: the rest waits in the stream's window. */
static void creates_faster_than_apply(void **state) {
    (void)state;
    enum { COUNT = 10000, IN_FLIGHT = 2000 };
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = watch_all(client);
    fake_forget(&bench.node.apply);
    send_creates(client, stream, COUNT, "");
    const struct rpc_stream *served = client->server_side->h2->all;
    assert_true(served->held);
    assert_in_range(client->server_side->h2->request_bytes, 1, H2_STREAM_WINDOW);
    put_is_served(client);
    assert_in_range(answer_creates(), IN_FLIGHT, IN_FLIGHT + 1); /* and a record of ranges */
    assert_int_equal(heard(stream).created, COUNT + 1);
    assert_false(served->held);
    assert_int_equal(client->server_side->h2->request_bytes, 0);
    change(5);
    assert_int_equal(heard(stream).events, 1);
}

/* A client that asks and takes no answer is not read from; when it takes them, all is answered. */
static void creates_without_taking_answers(void **state) {
    (void)state;
    enum { COUNT = 30000 };
    struct h2_client *client = bench_client(&bench, 0);
    struct heard_stream *stream = watch_all(client);
    fake_forget(&bench.node.apply);
    set_window(client, 0);
    send_creates(client, stream, COUNT, "a"); /* an empty range: a refusal */
    answer_creates();
    const struct rpc_stream *served = client->server_side->h2->all;
    assert_true(served->held);
    assert_in_range(rpc_backlog(served), 1 << 20, (1 << 20) + 400000);
    set_window(client, 1 << 30);
    answer_creates();
    assert_int_equal(heard(stream).created, COUNT + 1);
    assert_int_equal(client->server_side->h2->request_bytes, 0);
}

static uint32_t dice(uint32_t *state, uint32_t sides) {
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % sides;
}

/* Streams of random requests, mutated, cut and reset at any point, while events go on. */
static void mutated_streams(void **state) {
    (void)state;
    uint32_t random = 5;
    struct h2_client *client = bench_client(&bench, 0);
    for (unsigned round = 0; round < 500; round++) {
        requests.length = 0;
        for (uint32_t i = dice(&random, 30); i > 0; i--) {
            static const uint8_t cancel[] = {0x12, 2, 8, 0};
            static const uint8_t progress[] = {0x1a, 0};
            uint32_t kind = dice(&random, 4);
            if (kind < 2)
                add_create(kind == 0 ? "key" : "a", kind == 0 ? "" : "z");
            else
                add_message(kind == 2 ? bytes_of(cancel, sizeof cancel) : bytes_of(progress, sizeof progress),
                            false);
        }
        for (uint32_t i = dice(&random, 3); i > 0 && requests.length > 0; i--)
            requests.data[dice(&random, (uint32_t)requests.length)] = (uint8_t)dice(&random, 24);
        struct heard_stream *stream = client_request_with(client, plain, buffer_bytes(&requests),
                                                          dice(&random, 2) * 3, dice(&random, 2) == 0);
        bench_settle(&bench);
        if (dice(&random, 2) == 0)
            answer_asks(&bench.node, revision, -1);
        change(dice(&random, 1000));
        if (!stream->closed && dice(&random, 8) != 0)
            nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        bench_settle(&bench);
        answer_asks(&bench.node, revision, -1);
        fake_forget(&bench.node.apply);
    }
    put_is_served(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(events_follow_the_creation),
        TEST(half_close_does_not_end_a_watch),
        TEST(requests_that_ask_nothing),
        TEST(garbage_ends_the_stream),
        TEST(reset_and_lost_connection),
        TEST(deadline_and_stop),
        TEST(compressed_both_ways),
        TEST(unread_watches_keep_nobody_waiting),
        TEST(cut_off_for_want_of_memory),
        TEST(always_behind),
        TEST(creates_faster_than_apply),
        TEST(creates_without_taking_answers),
        TEST(mutated_streams),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
