/*
 * grpc_client: see grpc_client.h. One nghttp2 session a connection; its output is gathered in one buffer and
 * written with one send, its input is read in chunks of 64 KB.
 */
#include "ops/load/grpc_client.h"

#include "common/status.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    PREFIX_SIZE = 5,
    READ_CHUNK = 64 * 1024,
    WINDOW = 16 * 1024 * 1024, /* a measuring client must not be what flow control waits for */
    OUTPUT_KEPT = 1024 * 1024,
};

bool grpc_endpoint_parse(const char *text, struct grpc_endpoint *endpoint) {
    const char *colon = strrchr(text, ':');
    char host[sizeof endpoint->authority];
    if (colon == NULL || strlen(text) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->address_length = found->ai_addrlen;
    snprintf(endpoint->authority, sizeof endpoint->authority, "%s", text);
    freeaddrinfo(found);
    return true;
}

/* --- calls ------------------------------------------------------------------------------------------ */

static void unlink_call(struct grpc_call *call) {
    struct grpc_connection *connection = call->connection;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        connection->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    call->previous = call->next = NULL;
    call->connection = NULL;
    connection->in_flight--;
}

static void finish_call(struct grpc_call *call, unsigned outcome) {
    unlink_call(call);
    struct bytes response = {0};
    size_t length = call->discard ? call->discarded : call->response.length;
    if (outcome == GRPC_OK && call->received == NULL) {
        if (length < PREFIX_SIZE)
            outcome = GRPC_INTERNAL; /* OK without a message is no answer */
        else
            response =
                bytes_of(call->discard ? NULL : call->response.data + PREFIX_SIZE, length - PREFIX_SIZE);
    }
    call->done(call, outcome, response);
}

/* A stream's messages are gathered with their prefixes; between two of them there is nothing to send. */
static ssize_t read_stream(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)session, (void)stream, (void)flags, (void)user;
    struct grpc_call *call = source->ptr;
    size_t left = call->message.length - call->sent;
    size_t count = left < room ? left : room;
    if (count == 0)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(out, call->message.data + call->sent, count);
    call->sent += count;
    if (call->sent == call->message.length) {
        buffer_reset(&call->message, OUTPUT_KEPT);
        call->sent = 0;
    }
    return (ssize_t)count;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *out, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)session, (void)stream, (void)user;
    struct grpc_call *call = source->ptr;
    size_t total = PREFIX_SIZE + call->message.length;
    size_t written = 0;
    while (written < room && call->sent < PREFIX_SIZE) {
        size_t at = call->sent++; /* a zero byte (not compressed), then the length, big end first */
        uint64_t length = call->message.length;
        out[written++] = (uint8_t)((length >> (8 * (PREFIX_SIZE - 1 - at))) & 0xff);
    }
    size_t more = total - call->sent < room - written ? total - call->sent : room - written;
    if (more > 0) {
        memcpy(out + written, call->message.data + (call->sent - PREFIX_SIZE), more);
        call->sent += more;
        written += more;
    }
    if (call->sent == total)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)written;
}

static nghttp2_nv header_field(const char *name, const char *value) {
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

bool grpc_connection_usable(const struct grpc_connection *connection) {
    return connection->connected && !connection->draining && !connection->failed;
}

void grpc_connection_call(struct grpc_connection *connection, struct grpc_call *call) {
    REQUIRE(call->connection == NULL && grpc_connection_usable(connection));
    nghttp2_nv headers[] = {
        header_field(":method", "POST"),
        header_field(":scheme", "http"),
        header_field(":path", call->path),
        header_field(":authority", connection->endpoint->authority),
        header_field("content-type", "application/grpc"),
        header_field("te", "trailers"),
    };
    nghttp2_data_provider provider = {.source.ptr = call,
                                      .read_callback = call->received != NULL ? read_stream : read_request};
    call->sent = call->discarded = 0;
    call->outcome = GRPC_CONNECTION_LOST;
    buffer_reset(&call->response, OUTPUT_KEPT);
    call->stream = nghttp2_submit_request(connection->session, NULL, headers,
                                          sizeof headers / sizeof headers[0], &provider, call);
    if (call->stream < 0) /* only when stream ids are used up or memory is */
        PANIC("nghttp2_submit_request: %s", nghttp2_strerror(call->stream));
    call->connection = connection;
    call->previous = NULL;
    call->next = connection->calls;
    if (call->next != NULL)
        call->next->previous = call;
    connection->calls = call;
    connection->in_flight++;
}

void grpc_call_send(struct grpc_call *call, struct bytes message) {
    uint8_t *prefix = buffer_reserve(&call->message, PREFIX_SIZE);
    prefix[0] = 0; /* not compressed */
    for (size_t i = 1; i < PREFIX_SIZE; i++)
        prefix[i] = (uint8_t)(message.length >> (8 * (PREFIX_SIZE - 1 - i)) & 0xff);
    call->message.length += PREFIX_SIZE;
    buffer_append_bytes(&call->message, message);
    if (call->connection != NULL) /* fails when nothing was deferred: then it is on its way anyhow */
        nghttp2_session_resume_data(call->connection->session, call->stream);
}

void grpc_call_cancel(struct grpc_call *call) {
    call->outcome = GRPC_CANCELLED;
    nghttp2_submit_rst_stream(call->connection->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
}

void grpc_call_free(struct grpc_call *call) {
    buffer_free(&call->message);
    buffer_free(&call->response);
}

/* --- what the server sends -------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *user) {
    (void)flags, (void)user;
    if (name_length != 11 || memcmp(name, "grpc-status", 11) != 0)
        return 0;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    unsigned code = 0;
    for (size_t i = 0; i < value_length && i < 3 && value[i] >= '0' && value[i] <= '9'; i++)
        code = code * 10 + (unsigned)(value[i] - '0');
    call->outcome = code < GRPC_CONNECTION_LOST ? code : (unsigned)GRPC_UNKNOWN;
    return 0;
}

/* Length of the message behind a prefix. */
static size_t message_length(const uint8_t *prefix) {
    return (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | (size_t)prefix[4];
}

/* Completes the message that came in part before; returns how much of the data that took. */
static size_t complete_message(struct grpc_call *call, const uint8_t *data, size_t length) {
    struct buffer *part = &call->response;
    size_t used = 0;
    for (; part->length < PREFIX_SIZE && used < length; used++)
        buffer_append_byte(part, data[used]);
    if (part->length < PREFIX_SIZE)
        return used;
    size_t missing = PREFIX_SIZE + message_length(part->data) - part->length;
    size_t taken = missing < length - used ? missing : length - used;
    buffer_append(part, data + used, taken);
    if (taken == missing) {
        call->received(call, bytes_of(part->data + PREFIX_SIZE, part->length - PREFIX_SIZE));
        buffer_reset(part, OUTPUT_KEPT);
    }
    return used + taken;
}

/* Hands out every message that is complete, most of them without copying; keeps the rest. */
static void take_messages(struct grpc_call *call, const uint8_t *data, size_t length) {
    while (length > 0) {
        size_t used;
        if (call->response.length > 0 || length < PREFIX_SIZE ||
            length - PREFIX_SIZE < message_length(data)) {
            used = complete_message(call, data, length);
        } else {
            used = PREFIX_SIZE + message_length(data);
            call->received(call, bytes_of(data + PREFIX_SIZE, used - PREFIX_SIZE));
        }
        data += used;
        length -= used;
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t length, void *user) {
    (void)flags, (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL)
        return 0;
    if (call->received != NULL)
        take_messages(call, data, length);
    else if (call->discard)
        call->discarded += length;
    else
        buffer_append(&call->response, data, length);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *user) {
    (void)error, (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call != NULL)
        finish_call(call, call->outcome);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)session;
    struct grpc_connection *connection = user;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        connection->draining = true;
    return 0;
}

/* --- the connection --------------------------------------------------------------------------------- */

static void start_session(struct grpc_connection *connection) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        PANIC("out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option_set_peer_max_concurrent_streams(option, 1U << 20); /* until the server names its own */
    if (nghttp2_session_client_new2(&connection->session, callbacks, connection, option) != 0)
        PANIC("out of memory");
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    uint32_t window = connection->window != 0 ? connection->window : WINDOW;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
    };
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, (int32_t)window);
}

static void watch_socket(struct grpc_connection *connection, int operation, bool writable) {
    uint32_t events = connection->paused ? 0 : EPOLLIN;
    if (writable)
        events |= EPOLLOUT;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(connection->epoll, operation, connection->socket, &event) != 0)
        PANIC("epoll_ctl: %s", strerror(errno));
    connection->want_writable = writable;
}

void grpc_connection_close(struct grpc_connection *connection) {
    if (connection->socket >= 0)
        close(connection->socket);
    nghttp2_session_del(connection->session);
    connection->session = NULL;
    connection->socket = -1;
    connection->connected = connection->draining = connection->failed = connection->paused = false;
    buffer_free(&connection->output);
    connection->output_sent = 0;
}

static void fail(struct grpc_connection *connection) {
    connection->failed = true; /* nothing that `done` does may start a call here */
    while (connection->calls != NULL)
        finish_call(connection->calls, GRPC_CONNECTION_LOST);
    grpc_connection_close(connection);
    connection->down(connection);
}

void grpc_connection_open(struct grpc_connection *connection) {
    const struct grpc_endpoint *endpoint = connection->endpoint;
    connection->socket = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->socket < 0)
        PANIC("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int room = (int)connection->window; /* else the kernel would read what a slow client does not */
    if (room > 0)
        setsockopt(connection->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (connect(connection->socket, (const struct sockaddr *)&endpoint->address, endpoint->address_length) !=
            0 &&
        errno != EINPROGRESS) {
        fail(connection);
        return;
    }
    watch_socket(connection, EPOLL_CTL_ADD, true);
}

static void write_output(struct grpc_connection *connection) {
    struct buffer *output = &connection->output;
    while (connection->output_sent < output->length) {
        ssize_t count = send(connection->socket, output->data + connection->output_sent,
                             output->length - connection->output_sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            connection->failed = errno != EAGAIN;
            break;
        }
        connection->output_sent += (size_t)count;
    }
    if (connection->output_sent == output->length) {
        buffer_reset(output, OUTPUT_KEPT);
        connection->output_sent = 0;
    }
    bool waiting = output->length > 0 && !connection->failed;
    if (waiting != connection->want_writable)
        watch_socket(connection, EPOLL_CTL_MOD, waiting);
}

/* Moves what nghttp2 wants to send into the output buffer and writes. Sets `failed` instead of closing. */
static void push(struct grpc_connection *connection) {
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t length = nghttp2_session_mem_send(connection->session, &data);
        if (length < 0)
            connection->failed = true;
        if (length <= 0)
            break;
        buffer_append(&connection->output, data, (size_t)length);
    }
    if (connection->output.length > 0)
        write_output(connection);
}

void grpc_connection_flush(struct grpc_connection *connection) {
    if (!connection->connected)
        return;
    push(connection);
    bool drained = connection->draining && connection->in_flight == 0;
    if (connection->failed || drained)
        fail(connection);
}

void grpc_connection_pause(struct grpc_connection *connection, bool paused) {
    if (!connection->connected || connection->paused == paused)
        return;
    connection->paused = paused;
    watch_socket(connection, EPOLL_CTL_MOD, connection->want_writable);
}

static void finish_connecting(struct grpc_connection *connection) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
        fail(connection);
        return;
    }
    connection->connected = true;
    watch_socket(connection, EPOLL_CTL_MOD, false);
    start_session(connection);
    if (connection->up != NULL)
        connection->up(connection);
    grpc_connection_flush(connection);
}

static void read_input(struct grpc_connection *connection) {
    static _Thread_local uint8_t chunk[READ_CHUNK];
    ssize_t count = recv(connection->socket, chunk, sizeof chunk, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0 || nghttp2_session_mem_recv(connection->session, chunk, (size_t)count) != count)
        connection->failed = true;
}

void grpc_connection_handle(struct grpc_connection *connection, uint32_t events) {
    if (connection->socket < 0)
        return;
    if (!connection->connected) {
        finish_connecting(connection);
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        read_input(connection);
    grpc_connection_flush(connection);
}
