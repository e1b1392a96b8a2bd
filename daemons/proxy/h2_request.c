/*
 * h2_request: what arrives on a stream: headers, then the request message. (h2_messages.c: several of them.)
 *
 * HTTP messaging checks of nghttp2 are off: clients of etcd send authorities that RFC 3986 does not know
 * ("#initially=[...]"). What matters of a request is checked in h2_headers_complete().
 */
#include <stdio.h>

#include "common/metrics.h"
#include "proxy/h2_connection.h"
#include "proxy/server.h"

enum { STREAM_CREDIT_STEP = 256 << 10 };

/* A client's frames come stream by stream: mostly it is the one we had last, and nghttp2 need not look it up.
 */
struct rpc_stream *h2_stream_of(struct h2_connection *connection, int32_t id) {
    if (connection->current == NULL || connection->current->id != id)
        connection->current = nghttp2_session_get_stream_user_data(connection->session, id);
    return connection->current;
}

/* --- headers --- */

int h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct h2_connection *connection = user_data;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct rpc_stream *stream = server_take_stream(connection->server);
    if (stream == NULL) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
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

/* Bytes that continue a sequence begun by `first`; -1 when it begins none. */
static int utf8_tail(uint8_t first) {
    if (first < 0x80)
        return 0;
    if (first >= 0xc2 && first < 0xe0)
        return 1;
    if (first >= 0xe0 && first < 0xf0)
        return 2;
    return first >= 0xf0 && first < 0xf5 ? 3 : -1;
}

static bool is_utf8(struct bytes text) {
    for (size_t i = 0; i < text.length; i++) {
        int tail = utf8_tail(text.data[i]);
        if (tail < 0 || (size_t)tail >= text.length - i)
            return false;
        for (; tail > 0; tail--) {
            if ((text.data[++i] & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

static void take_path(struct rpc_stream *stream, struct bytes value) {
    stream->rpc = rpc_find(value, stream->connection->last_rpc);
    if (stream->rpc == RPC_UNKNOWN)
        buffer_append_bytes(&stream->path, value);
    else
        stream->connection->last_rpc = stream->rpc;
}

#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)

int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                 size_t name_length, const uint8_t *data, size_t length, uint8_t flags, void *user_data) {
    (void)session;
    (void)flags;
    struct h2_connection *connection = user_data;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct rpc_stream *stream = h2_stream_of(connection, frame->hd.stream_id);
    if (stream == NULL)
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
    case 9:
        if (IS("hasleader"))
            stream->needs_leader = bytes_equal(value, bytes_from_text("true"));
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
    case 18:
        if (IS("client-api-version") && connection->header_failure.code == GRPC_OK && !is_utf8(value))
            grpc_fail(&connection->header_failure, GRPC_INVALID_ARGUMENT, "%s",
                      status_message(STATUS_INVALID_CLIENT_API_VERSION));
        break;
    default:
        break;
    }
    return 0;
}

/* In grpc-go's order. */
void h2_headers_complete(struct h2_connection *connection, struct rpc_stream *stream) {
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
    if (failure->code != GRPC_OK) {
        h2_refuse(stream, connection->http_status, failure);
        return;
    }
    stream->service = rpc_stream_service(stream->rpc);
    if (stream->service != NULL)
        h2_open_stream(stream);
}

/* --- the request message --- */

void h2_release_request(struct rpc_stream *stream) {
    struct h2_connection *connection = stream->connection;
    connection->request_bytes -= stream->request_held;
    connection->complete_bytes -= stream->complete_held;
    stream->request_held = 0;
    stream->complete_held = 0;
    buffer_reset(&stream->request, RPC_BUFFER_KEEP);
    buffer_free(&stream->unread);
}

static void give_up_request(struct rpc_stream *stream, const struct grpc_failure *failure) {
    h2_release_request(stream);
    stream->request_done = true;
    rpc_fail(stream, failure);
}

static bool leader_is_missing(const struct rpc_stream *stream) {
    struct proxy_view view = proxy_role_view(stream->server->role);
    return view.raft_up && view.leader == 0;
}

bool h2_start(struct rpc_stream *stream) {
    stream->started = true;
    metric_rpc_started(stream->rpc);
    if (!stream->needs_leader || !leader_is_missing(stream))
        return true;
    rpc_end(stream, STATUS_NO_LEADER);
    return false;
}

static void start(struct rpc_stream *stream) {
    if (h2_start(stream))
        rpc_dispatch(stream);
}

bool h2_unpack(struct rpc_stream *stream, struct grpc_failure *failure) {
    if (!grpc_reader_compressed(&stream->reader))
        return true;
    if (stream->gzip)
        return grpc_gunzip(&stream->request, stream->server->message_limit, failure);
    grpc_fail(failure, GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
    return false;
}

static void request_complete(struct h2_connection *connection, struct rpc_stream *stream) {
    struct grpc_failure failure;
    if (!h2_unpack(stream, &failure)) {
        give_up_request(stream, &failure);
        return;
    }
    connection->request_bytes += stream->request.length - stream->request_held;
    stream->request_held = stream->request.length;
    stream->request_done = true;
    stream->complete_held = stream->request_held;
    connection->complete_bytes += stream->complete_held;
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

void h2_remove_waiting(struct h2_connection *connection, struct rpc_stream *stream) {
    struct rpc_stream **at = &connection->waiting;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    if (*at == NULL)
        connection->waiting_tail = at;
    stream->queued = false;
}

bool h2_overfull(const struct h2_connection *connection) {
    return connection->request_bytes > H2_REQUEST_BYTES && connection->complete_bytes == 0;
}

void h2_consumed(struct rpc_stream *stream, size_t bytes) {
    stream->unconsumed += (uint32_t)bytes;
    if (stream->unconsumed < STREAM_CREDIT_STEP)
        return;
    nghttp2_session_consume_stream(stream->connection->session, stream->id, stream->unconsumed);
    stream->unconsumed = 0;
}

int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t length,
               void *user_data) {
    (void)session;
    (void)flags;
    struct h2_connection *connection = user_data;
    connection->credit += length;
    struct rpc_stream *stream = h2_stream_of(connection, id);
    if (stream == NULL || stream->request_done)
        return 0;
    if (stream->service != NULL) {
        h2_stream_data(stream, bytes_of(bytes, length));
        return 0;
    }
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
    if (read == GRPC_READ_MORE && h2_overfull(connection)) {
        grpc_fail(&failure, GRPC_RESOURCE_EXHAUSTED, "grpc: too many incomplete requests on this connection");
        read = GRPC_READ_FAILED;
    }
    if (read == GRPC_READ_FAILED) {
        give_up_request(stream, &failure);
        return 0;
    }
    h2_consumed(stream, length);
    return 0;
}

/* The client has ended its side. */
void h2_request_ended(struct rpc_stream *stream) {
    stream->remote_closed = true;
    if (stream->request_done)
        return;
    if (stream->service != NULL) {
        h2_stream_half_closed(stream);
        return;
    }
    struct grpc_failure failure;
    grpc_reader_ended(&stream->reader, &failure);
    give_up_request(stream, &failure);
}
