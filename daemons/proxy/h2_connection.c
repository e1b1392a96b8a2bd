/*
 * h2_connection: see h2_connection.h. Here: what arrives. h2_response.c: what goes out.
 *
 * HTTP messaging checks of nghttp2 are off: clients of etcd send authorities that RFC 3986 does not know
 * ("#initially=[...]"). What matters of a request is checked in headers_complete().
 */
#include "proxy/h2_connection.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"
#include "proxy/server.h"

enum { STREAM_CREDIT_STEP = 256 << 10, MAX_PING_STRIKES = 2 };

#define IDLE_PING_US UINT64_C(7200000000)

/* A client's frames come stream by stream: mostly it is the one we had last, and nghttp2 need not look it up.
 */
static struct rpc_stream *stream_of(struct h2_connection *connection, int32_t id) {
    if (connection->current == NULL || connection->current->id != id)
        connection->current = nghttp2_session_get_stream_user_data(connection->session, id);
    return connection->current;
}

/* --- headers --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct h2_connection *connection = user_data;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct rpc_stream *stream = server_take_stream(connection->server);
    stream->connection = connection;
    stream->id = frame->hd.stream_id;
    stream->rpc = RPC_UNKNOWN;
    stream->start_us = connection->server->now_us;
    nghttp2_session_set_stream_user_data(session, stream->id, stream);
    connection->current = stream;
    stream->all_next = connection->all;
    if (connection->all != NULL)
        connection->all->all_previous = stream;
    connection->all = stream;
    connection->streams++;
    connection->header_failure.code = GRPC_OK;
    connection->http_status = 200;
    connection->method[0] = '\0';
    return 0;
}

static bool has_prefix(struct bytes text, const char *prefix, size_t length) {
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

static void take_content_type(struct rpc_stream *stream, struct bytes value) {
    static const char grpc[] = "application/grpc";
    size_t length = sizeof grpc - 1;
    struct h2_connection *connection = stream->connection;
    if (has_prefix(value, grpc, length) &&
        (value.length == length || value.data[length] == '+' || value.data[length] == ';')) {
        stream->grpc_content = true;
        stream->proto_content = has_prefix(bytes_of(value.data + length, value.length - length), "+proto", 6);
        return;
    }
    grpc_fail(&connection->header_failure, GRPC_INVALID_ARGUMENT,
              "invalid gRPC request content-type \"%.*s\"", (int)(value.length < 100 ? value.length : 100),
              (const char *)value.data);
    connection->http_status = 415;
}

static void take_timeout(struct rpc_stream *stream, struct bytes value) {
    struct h2_connection *connection = stream->connection;
    struct grpc_failure failure;
    uint64_t timeout = 0;
    if (grpc_parse_timeout(value, &timeout, &failure)) {
        stream->deadline_us = stream->start_us + timeout;
        return;
    }
    if (connection->http_status == 200) {
        connection->header_failure = failure;
        connection->http_status = 400;
    }
}

static void take_encoding(struct rpc_stream *stream, struct bytes value) {
    struct h2_connection *connection = stream->connection;
    if (bytes_equal(value, bytes_from_text("gzip")))
        stream->gzip = true;
    else if (!bytes_equal(value, bytes_from_text("identity")) && connection->header_failure.code == GRPC_OK)
        grpc_fail(&connection->header_failure, GRPC_UNIMPLEMENTED,
                  "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                  (int)(value.length < 100 ? value.length : 100), (const char *)value.data);
}

static void take_method(struct rpc_stream *stream, struct bytes value) {
    struct h2_connection *connection = stream->connection;
    stream->post = bytes_equal(value, bytes_from_text("POST"));
    if (!stream->post)
        snprintf(connection->method, sizeof connection->method, "%.*s", (int)value.length,
                 (const char *)value.data);
}

static void take_path(struct rpc_stream *stream, struct bytes value) {
    stream->rpc = rpc_find(value, stream->connection->last_rpc);
    if (stream->rpc == RPC_UNKNOWN)
        buffer_append_bytes(&stream->path, value);
    else
        stream->connection->last_rpc = stream->rpc;
}

#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *data, size_t length, uint8_t flags, void *user_data) {
    (void)session;
    (void)flags;
    struct h2_connection *connection = user_data;
    struct rpc_stream *stream = connection->current;
    if (stream == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct bytes value = bytes_of(data, length);
    stream->header_bytes += (uint32_t)(name_length + length + 32);
    if (stream->header_bytes > H2_HEADER_BYTES)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    switch (name_length) {
    case 5:
        if (IS(":path"))
            take_path(stream, value);
        break;
    case 7:
        if (IS(":method"))
            take_method(stream, value);
        break;
    case 12:
        if (IS("content-type"))
            take_content_type(stream, value);
        else if (IS("grpc-timeout"))
            take_timeout(stream, value);
        break;
    case 13:
        if (IS("grpc-encoding"))
            take_encoding(stream, value);
        break;
    default:
        break;
    }
    return 0;
}

/* In grpc-go's order. */
static void headers_complete(struct h2_connection *connection, struct rpc_stream *stream) {
    struct grpc_failure *failure = &connection->header_failure;
    if (!stream->grpc_content && connection->http_status != 415) {
        grpc_fail(failure, GRPC_INVALID_ARGUMENT, "invalid gRPC request content-type \"\"");
        connection->http_status = 415;
    } else if (connection->http_status == 200 && !stream->post) {
        grpc_fail(failure, GRPC_INTERNAL, "Received a HEADERS frame with :method \"%s\" which should be POST",
                  connection->method);
        connection->http_status = 405;
    } else if (connection->http_status == 200 &&
               (stream->rpc == RPC_UNKNOWN || !rpc_is_served(stream->rpc))) {
        rpc_unknown(stream, failure);
    }
    if (failure->code != GRPC_OK)
        h2_refuse(stream, connection->http_status, failure);
}

/* --- the request message --- */

void h2_release_request(struct rpc_stream *stream) {
    struct h2_connection *connection = stream->connection;
    connection->request_bytes -= stream->request_held;
    if (stream->request_done)
        connection->complete_bytes -= stream->request_held;
    stream->request_held = 0;
    buffer_reset(&stream->request, RPC_BUFFER_KEEP);
}

static void give_up_request(struct rpc_stream *stream, const struct grpc_failure *failure) {
    h2_release_request(stream);
    stream->request_done = true;
    rpc_fail(stream, failure);
}

static void start(struct rpc_stream *stream) {
    stream->started = true;
    metric_rpc_started(stream->rpc);
    rpc_dispatch(stream);
}

static void request_complete(struct h2_connection *connection, struct rpc_stream *stream) {
    struct grpc_failure failure;
    if (grpc_reader_compressed(&stream->reader)) {
        if (!stream->gzip) {
            grpc_fail(&failure, GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
            give_up_request(stream, &failure);
            return;
        }
        if (!grpc_gunzip(&stream->request, connection->server->message_limit, &failure)) {
            give_up_request(stream, &failure);
            return;
        }
        connection->request_bytes += stream->request.length - stream->request_held;
        stream->request_held = stream->request.length;
    }
    stream->request_done = true;
    connection->complete_bytes += stream->request_held;
    connection->server->received_bytes += stream->request.length;
    if (connection->response_bytes <= H2_RESPONSE_BYTES && connection->waiting == NULL) {
        start(stream);
        return;
    }
    stream->queued = true;
    stream->next = NULL;
    *connection->waiting_tail = stream;
    connection->waiting_tail = &stream->next;
}

void h2_start_waiting(struct h2_connection *connection) {
    while (connection->waiting != NULL && connection->response_bytes <= H2_RESPONSE_BYTES) {
        struct rpc_stream *stream = connection->waiting;
        connection->waiting = stream->next;
        if (connection->waiting == NULL)
            connection->waiting_tail = &connection->waiting;
        stream->queued = false;
        start(stream);
    }
}

static void remove_waiting(struct h2_connection *connection, struct rpc_stream *stream) {
    struct rpc_stream **at = &connection->waiting;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    if (*at == NULL)
        connection->waiting_tail = at;
    stream->queued = false;
}

/* A message that needs more room than this connection may take while nothing complete will give any back. */
static bool overfull(const struct h2_connection *connection) {
    return connection->request_bytes > H2_REQUEST_BYTES && connection->complete_bytes == 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t length,
                   void *user_data) {
    (void)flags;
    struct h2_connection *connection = user_data;
    connection->credit += length;
    struct rpc_stream *stream = stream_of(connection, id);
    if (stream == NULL || stream->request_done)
        return 0;
    struct grpc_failure failure;
    struct bytes data = bytes_of(bytes, length);
    enum grpc_read read = grpc_reader_feed(&stream->reader, &data, &stream->request,
                                           connection->server->message_limit, &failure);
    connection->request_bytes += stream->request.length - stream->request_held;
    stream->request_held = stream->request.length;
    if (read == GRPC_READ_COMPLETE) {
        request_complete(connection, stream);
        return 0;
    }
    if (read == GRPC_READ_MORE && overfull(connection)) {
        grpc_fail(&failure, GRPC_RESOURCE_EXHAUSTED, "grpc: too many incomplete requests on this connection");
        read = GRPC_READ_FAILED;
    }
    if (read == GRPC_READ_FAILED) {
        give_up_request(stream, &failure);
        return 0;
    }
    stream->unconsumed += (uint32_t)length;
    if (stream->unconsumed >= STREAM_CREDIT_STEP) {
        nghttp2_session_consume_stream(session, id, stream->unconsumed);
        stream->unconsumed = 0;
    }
    return 0;
}

/* The client has ended its side. */
static void request_ended(struct rpc_stream *stream) {
    stream->remote_closed = true;
    if (stream->request_done)
        return;
    struct grpc_failure failure;
    grpc_reader_ended(&stream->reader, &failure);
    give_up_request(stream, &failure);
}

/* --- other frames --- */

/* grpc-go's keepalive enforcement. */
static void on_ping(struct h2_connection *connection) {
    uint64_t now = connection->server->now_us;
    uint64_t least = connection->streams > 0
                         ? connection->server->config->grpc_keepalive_min_time * UINT64_C(1000)
                         : IDLE_PING_US;
    bool first = connection->last_ping_us == 0;
    bool early = !first && now - connection->last_ping_us < least;
    connection->last_ping_us = now;
    if (connection->reset_strikes) {
        connection->reset_strikes = false;
        connection->ping_strikes = 0;
        return;
    }
    if (!early || ++connection->ping_strikes <= MAX_PING_STRIKES)
        return;
    static const char reason[] = "too_many_pings";
    nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(connection->session),
                          NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)reason, sizeof reason - 1);
    connection->calmed = true;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    (void)session;
    struct h2_connection *connection = user_data;
    struct rpc_stream *stream = NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        stream = stream_of(connection, frame->hd.stream_id);
        if (stream == NULL)
            break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            stream->remote_closed = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
            headers_complete(connection, stream);
        }
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            request_ended(stream);
        break;
    case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
            break;
        stream = stream_of(connection, frame->hd.stream_id);
        if (stream != NULL)
            request_ended(stream);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            connection->ping_sent_us = 0;
        else
            on_ping(connection);
        break;
    case NGHTTP2_SETTINGS:
        connection->settled = true;
        break;
    default:
        break;
    }
    return 0;
}

/* The RPC has ended but the client still talks: nobody listens any more. (Submitted earlier, it would go
 * first.) */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct h2_connection *connection = user_data;
    if (!connection->talking || frame->hd.type != NGHTTP2_HEADERS ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    const struct rpc_stream *stream = stream_of(connection, frame->hd.stream_id);
    if (stream != NULL && !stream->remote_closed)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data) {
    (void)session;
    (void)frame;
    (void)error;
    struct h2_connection *connection = user_data;
    return ++connection->invalid_frames > H2_INVALID_FRAMES ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void drop_stream(struct h2_connection *connection, struct rpc_stream *stream) {
    if (stream->queued)
        remove_waiting(connection, stream);
    rpc_abandon(stream);
    h2_release_request(stream);
    connection->response_bytes -= stream->response.length - stream->response_at;
    connection->streams--;
    if (stream->all_next != NULL)
        stream->all_next->all_previous = stream->all_previous;
    if (stream->all_previous != NULL)
        stream->all_previous->all_next = stream->all_next;
    else
        connection->all = stream->all_next;
    if (connection->current == stream)
        connection->current = NULL;
    server_give_stream(connection->server, stream);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user_data) {
    (void)error;
    (void)session;
    struct rpc_stream *stream = stream_of(user_data, id);
    if (stream != NULL)
        drop_stream(user_data, stream);
    return 0;
}

/* --- the connection --- */

nghttp2_session_callbacks *h2_callbacks_new(void) {
    nghttp2_session_callbacks *callbacks = NULL;
    REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    return callbacks;
}

nghttp2_option *h2_option_new(void) {
    nghttp2_option *option = NULL;
    REQUIRE(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    return option;
}

struct h2_connection *h2_new(struct server *server, struct client *owner) {
    struct h2_connection *connection = must_zalloc(sizeof *connection);
    connection->server = server;
    connection->owner = owner;
    connection->waiting_tail = &connection->waiting;
    connection->last_rpc = RPC_UNKNOWN;
    connection->last_read_us = server->now_us;
    REQUIRE(nghttp2_session_server_new2(&connection->session, server->h2_callbacks, connection,
                                        server->h2_option) == 0);
    uint32_t streams = server->config->max_streams;
    const nghttp2_settings_entry settings[] = {
        /* Cheaper scheduling; see make_room_for_others() in h2_response.c. */
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams < H2_MAX_STREAMS ? streams : H2_MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BYTES},
    };
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                            sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
    return connection;
}

void h2_free(struct h2_connection *connection) {
    /* nghttp2 does not report streams that die with their session: we find them by our own list. */
    while (connection->all != NULL)
        drop_stream(connection, connection->all);
    nghttp2_session_del(connection->session);
    free(connection);
}

/* Gives the client its window back, unless this connection holds too much: then once it holds less. */
static void give_credit(struct h2_connection *connection) {
    if (connection->credit == 0)
        return;
    if (connection->request_bytes > H2_REQUEST_BYTES && connection->complete_bytes > 0)
        return;
    nghttp2_session_consume_connection(connection->session, connection->credit);
    connection->credit = 0;
}

bool h2_receive(struct h2_connection *connection, struct bytes data) {
    connection->last_read_us = connection->server->now_us;
    ssize_t used = nghttp2_session_mem_recv(connection->session, data.data, data.length);
    if (used < 0)
        return false;
    give_credit(connection);
    return true;
}

bool h2_output(struct h2_connection *connection, struct bytes *out) {
    give_credit(connection);
    const uint8_t *data = NULL;
    ssize_t length = nghttp2_session_mem_send(connection->session, &data);
    *out = bytes_of(data, length > 0 ? (size_t)length : 0);
    return length >= 0;
}

bool h2_finished(const struct h2_connection *connection) {
    if (nghttp2_session_want_write(connection->session))
        return false;
    return connection->calmed || (!connection->draining && !nghttp2_session_want_read(connection->session));
}

bool h2_keepalive(struct h2_connection *connection, uint64_t now_us) {
    const struct config *config = connection->server->config;
    if (connection->ping_sent_us != 0)
        return now_us - connection->ping_sent_us < config->grpc_keepalive_timeout * UINT64_C(1000);
    if (now_us - connection->last_read_us < config->grpc_keepalive_interval * UINT64_C(1000))
        return true;
    nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
    connection->ping_sent_us = now_us;
    return true;
}

void h2_shutdown(struct h2_connection *connection, bool final) {
    connection->draining = !final;
    if (final)
        nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(connection->session), NGHTTP2_NO_ERROR,
                              NULL, 0);
    else
        nghttp2_submit_shutdown_notice(connection->session);
}
