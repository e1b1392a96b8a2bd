/*
 * h2_messages: the messages of a streaming request, handed to its service one by one as they become complete.
 *
 * A service that takes no more holds the stream: what still comes is kept as it came and its window is not
 * given back, so that it is at most H2_STREAM_WINDOW. When a connection's streams keep more than
 * H2_REQUEST_BYTES of that, its own window is not given back either, until some service goes on.
 *
 * Failure modes: bytes that are no gRPC message, or a message cut off by the client's end, end the RPC as in
 * grpc-go; messages before them have been handed over.
 */
#include "common/metrics.h"
#include "proxy/h2_connection.h"
#include "proxy/server.h"

static void break_off(struct rpc_stream *stream, const struct grpc_failure *failure) {
    if (stream->ended)
        return;
    rpc_close_service(stream);
    rpc_fail(stream, failure);
}

void rpc_break_off(struct rpc_stream *stream, uint16_t status) {
    if (stream->ended)
        return;
    rpc_close_service(stream);
    rpc_end(stream, status);
}

void rpc_break_off_undecodable(struct rpc_stream *stream) {
    struct grpc_failure failure;
    grpc_fail(&failure, GRPC_INTERNAL, "grpc: failed to unmarshal the received message: unexpected EOF");
    break_off(stream, &failure);
}

/* --- from the client's bytes to messages --- */

static void account(struct rpc_stream *stream) {
    struct h2_connection *connection = stream->connection;
    size_t unread = stream->unread.length - stream->unread_at;
    size_t held = stream->request.length + unread;
    connection->request_bytes += held - stream->request_held;
    connection->complete_bytes += unread - stream->complete_held;
    stream->request_held = held;
    stream->complete_held = unread;
}

static void hand_over(struct rpc_stream *stream) {
    struct server *server = stream->server;
    grpc_reader_next(&stream->reader);
    server->received_bytes += stream->request.length;
    server_count_messages(server, stream->rpc, 1, 0);
    stream->service->message(stream, buffer_bytes(&stream->request));
    buffer_reset(&stream->request, RPC_BUFFER_KEEP);
}

/* Takes from the front of *data what the service takes. Calls of the service may ask for more meanwhile. */
static void deliver(struct rpc_stream *stream, struct bytes *data) {
    struct grpc_failure failure;
    stream->delivering = true;
    while (!stream->held && !stream->ended) {
        enum grpc_read read = grpc_reader_feed(&stream->reader, data, &stream->request,
                                               stream->server->message_limit, &failure);
        if (read == GRPC_READ_MORE)
            break;
        if (read == GRPC_READ_COMPLETE && h2_unpack(stream, &failure))
            hand_over(stream);
        else
            break_off(stream, &failure);
    }
    stream->delivering = false;
}

static void check_share(struct rpc_stream *stream) {
    struct grpc_failure failure;
    account(stream);
    if (!h2_overfull(stream->connection) || stream->reader.prefix_have == 0)
        return;
    grpc_fail(&failure, GRPC_RESOURCE_EXHAUSTED, "grpc: too many incomplete requests on this connection");
    break_off(stream, &failure);
}

void h2_stream_data(struct rpc_stream *stream, struct bytes data) {
    size_t length = data.length;
    deliver(stream, &data);
    if (stream->ended)
        return;
    buffer_append_bytes(&stream->unread, data);
    h2_consumed(stream, length - data.length);
    check_share(stream);
}

/* --- the client's end --- */

/* Once all before it is handed over. */
static void tell_half_closed(struct rpc_stream *stream) {
    struct grpc_failure failure;
    if (!stream->remote_closed || stream->half_closed || stream->ended || stream->unread.length != 0)
        return;
    if (stream->reader.prefix_have != 0) {
        grpc_reader_ended(&stream->reader, &failure);
        break_off(stream, &failure);
        return;
    }
    stream->half_closed = true;
    stream->service->half_closed(stream);
}

void h2_stream_half_closed(struct rpc_stream *stream) {
    tell_half_closed(stream);
}

/* --- holding --- */

void rpc_hold(struct rpc_stream *stream) {
    stream->held = true;
}

static void deliver_unread(struct rpc_stream *stream) {
    struct bytes data =
        bytes_of(stream->unread.data + stream->unread_at, stream->unread.length - stream->unread_at);
    size_t before = data.length;
    deliver(stream, &data);
    if (stream->ended)
        return;
    stream->unread_at += before - data.length;
    buffer_forget_used(&stream->unread, &stream->unread_at);
    if (stream->unread.length == 0)
        buffer_free(&stream->unread);
    h2_consumed(stream, before - data.length);
    check_share(stream);
}

void rpc_resume(struct rpc_stream *stream) {
    stream->held = false;
    if (stream->delivering || stream->ended)
        return;
    if (stream->unread.length != 0)
        deliver_unread(stream);
    tell_half_closed(stream);
    client_touch(stream->connection->owner);
}

/* --- room again --- */

void h2_stream_drained(struct rpc_stream *stream) {
    if (stream->drained)
        return;
    stream->drained = true;
    stream->next = stream->connection->drained;
    stream->connection->drained = stream;
}

void h2_forget_drained(struct rpc_stream *stream) {
    if (!stream->drained)
        return;
    struct rpc_stream **at = &stream->connection->drained;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    stream->drained = false;
}

void rpc_resume_later(struct rpc_stream *stream) {
    h2_stream_drained(stream);
    client_touch(stream->connection->owner);
}

/* Not from within HTTP/2's taking: a service may have more to say at once. */
void h2_tell_drained(struct h2_connection *connection) {
    struct rpc_stream *at = NULL;
    while ((at = connection->drained) != NULL) {
        h2_forget_drained(at);
        if (!at->ended)
            at->service->drained(at);
    }
}

/* --- the beginning --- */

static void take_deadline(struct proxy_call *call, const struct proxy_result *result) {
    rpc_break_off(rpc_of_call(call), result->status);
}

void h2_open_stream(struct rpc_stream *stream) {
    if (!h2_start(stream))
        return;
    if (stream->deadline_us != 0) {
        stream->call.deadline_us = stream->deadline_us;
        stream->call.result = take_deadline;
        proxy_role_alarm(stream->server->role, &stream->call);
    }
    stream->open = true;
    stream->service->open(stream);
}
