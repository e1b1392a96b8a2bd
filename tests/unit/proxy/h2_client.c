/* h2_client: see h2_client.h. */
#include "proxy/h2_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- what nghttp2 tells --- */

static struct heard_stream *find(struct h2_client *client, int32_t id) {
    return nghttp2_session_get_stream_user_data(client->session, id);
}

static void copy(char *out, size_t size, const uint8_t *text, size_t length) {
    snprintf(out, size, "%.*s", (int)length, (const char *)text);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                     void *user_data) {
    (void)session;
    (void)flags;
    struct heard_stream *stream = find(user_data, frame->hd.stream_id);
    char text[16];
    copy(text, sizeof text, value, length);
    struct bytes key = bytes_of(name, name_length);
    if (stream == NULL)
        return 0;
    if (bytes_equal(key, bytes_from_text(":status")))
        stream->http_status = (unsigned)strtoul(text, NULL, 10);
    else if (bytes_equal(key, bytes_from_text("grpc-status")))
        stream->grpc_status = (int)strtol(text, NULL, 10);
    else if (bytes_equal(key, bytes_from_text("grpc-message")))
        copy(stream->message, sizeof stream->message, value, length);
    else if (bytes_equal(key, bytes_from_text("content-type")))
        copy(stream->content_type, sizeof stream->content_type, value, length);
    else if (bytes_equal(key, bytes_from_text("grpc-encoding")))
        copy(stream->encoding, sizeof stream->encoding, value, length);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    (void)session;
    struct h2_client *client = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->goaway = true;
        client->goaway_code = frame->goaway.error_code;
        client->goaway_last = frame->goaway.last_stream_id;
        copy(client->goaway_text, sizeof client->goaway_text, frame->goaway.opaque_data,
             frame->goaway.opaque_data_len);
    }
    struct heard_stream *stream = frame->hd.stream_id == 0 ? NULL : find(client, frame->hd.stream_id);
    if (stream != NULL && frame->hd.type == NGHTTP2_HEADERS) {
        stream->trailers = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        stream->headers = true;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t length,
                   void *user_data) {
    (void)session;
    (void)flags;
    struct h2_client *client = user_data;
    struct heard_stream *stream = find(client, id);
    client->received += length;
    if (stream != NULL)
        buffer_append(&stream->body, data, length);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data) {
    (void)session;
    const struct h2_client *client = user_data;
    struct heard_stream *stream = find(user_data, id);
    if (stream != NULL) {
        stream->closed = true;
        stream->closed_at = client->received;
        stream->reset = code;
    }
    return 0;
}

static ssize_t give_request(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                            uint32_t *flags, nghttp2_data_source *source, void *user_data) {
    (void)session;
    (void)id;
    (void)user_data;
    struct heard_stream *stream = source->ptr;
    size_t left = stream->request_length - stream->request_at;
    size_t now = left < length ? left : length;
    if (stream->request_step != 0 && now > stream->request_step)
        now = stream->request_step;
    if (now == 0 && stream->request_open)
        return NGHTTP2_ERR_DEFERRED;
    if (now > 0)
        memcpy(out, stream->request + stream->request_at, now);
    stream->request_at += now;
    if (stream->request_at == stream->request_length && !stream->request_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)now;
}

/* --- moving bytes --- */

/* True when a byte moved. */
static bool push_out(struct h2_client *client) {
    size_t before = client->out_at;
    while (client->out_at < client->out.length) {
        ssize_t sent = send(client->fd, client->out.data + client->out_at,
                            client->out.length - client->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            break;
        client->out_at += (size_t)sent;
    }
    bool moved = client->out_at > before;
    if (client->out_at == client->out.length)
        client->out.length = client->out_at = 0;
    return moved;
}

static bool send_client(struct h2_client *client) {
    const uint8_t *data = NULL;
    ssize_t length = 0;
    while (!client->raw && client->out.length == 0 &&
           (length = nghttp2_session_mem_send(client->session, &data)) > 0) {
        buffer_append(&client->out, data, (size_t)length);
        if (client->out.length >= 65536 || !push_out(client))
            break;
    }
    return push_out(client) || length > 0;
}

static bool receive_client(struct h2_client *client) {
    static uint8_t data[65536];
    if (client->mute || client->closed)
        return false;
    ssize_t length = recv(client->fd, data, sizeof data, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return false;
    if (length <= 0)
        client->closed = true;
    else if (client->raw)
        buffer_append(&client->heard, data, (size_t)length);
    else {
        client->heard.length = 0;
        buffer_append(&client->heard, data, (size_t)length);
        client->closed = nghttp2_session_mem_recv(client->session, data, (size_t)length) < 0;
    }
    return true;
}

/* What epoll would say, taken from epoll. */
static bool serve(struct bench *bench) {
    struct epoll_event events[64];
    int count = epoll_wait(bench->server->epoll_fd, events, 64, 0);
    combiner_enter(&bench->server->combiner);
    for (int i = 0; i < count; i++)
        client_ready(events[i].data.ptr, events[i].events);
    combiner_leave(&bench->server->combiner);
    return count > 0;
}

void bench_settle(struct bench *bench) {
    /* A client that is mute leaves its socket full: nothing to wait for. Sockets ready for ever do not exist.
     */
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < bench->client_count; i++)
            moved = send_client(bench->clients[i]) || moved;
        moved = serve(bench) || moved;
        fake_node_settle(&bench->node);
        combiner_enter(&bench->server->combiner);
        combiner_leave(&bench->server->combiner);
        for (unsigned i = 0; i < bench->client_count; i++)
            moved = receive_client(bench->clients[i]) || moved;
    }
}

void bench_wait(struct bench *bench, uint64_t microseconds) {
    bench->server->now_us += microseconds;
    bench->node.now_us = bench->server->now_us;
    combiner_enter(&bench->server->combiner);
    proxy_role_tick(bench->node.role, bench->server->now_us);
    server_check_clients(bench->server);
    combiner_leave(&bench->server->combiner);
    bench_settle(bench);
}

/* --- opening and closing --- */

void bench_open(struct bench *bench) {
    memset(bench, 0, sizeof *bench);
    config_set_defaults(&bench->config);
    fake_node_open(&bench->node, &(struct proxy_role_config){.slot = 1,
                                                             .id_seed = 5000,
                                                             .timeout_us = 7000000,
                                                             .pending_limit = 65536,
                                                             .waiting_bytes = 64 << 20,
                                                             .max_request_bytes = 1572864,
                                                             .election_us = 1000000,
                                                             .watch_progress_us = 600000000,
                                                             .seed = 42});
    bench->server = server_new(&bench->config);
    bench->server->role = bench->node.role;
    bench->node.now_us = bench->server->now_us;
    fake_link_up(&bench->node.raft, false);
    fake_link_up(&bench->node.apply, false);
}

static struct h2_client *connect_client(struct bench *bench) {
    struct h2_client *client = must_zalloc(sizeof *client);
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    REQUIRE(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    client->fd = fds[0];
    client_open(bench->server, stream_plain(fds[1]));
    client->server_side = bench->server->connections;
    bench->clients[bench->client_count++] = client;
    return client;
}

struct h2_client *bench_client(struct bench *bench, uint32_t stream_window) {
    struct h2_client *client = connect_client(bench);
    client->streams = must_zalloc(CLIENT_STREAMS * sizeof *client->streams);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    /* Streams beyond what the server allows are opened all the same until it says how many. */
    nghttp2_option_set_peer_max_concurrent_streams(option, CLIENT_STREAMS);
    nghttp2_option_set_no_auto_window_update(option, bench->manual_windows);
    REQUIRE(nghttp2_session_client_new2(&client->session, callbacks, client, option) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window};
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, &window, stream_window == 0 ? 0 : 1);
    return client;
}

struct h2_client *bench_raw_client(struct bench *bench) {
    struct h2_client *client = connect_client(bench);
    client->raw = true;
    return client;
}

void raw_send(struct h2_client *client, const void *data, size_t length) {
    ssize_t sent = send(client->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    REQUIRE(sent == (ssize_t)length || errno == EPIPE || errno == EAGAIN || sent >= 0);
}

static void free_client(struct h2_client *client) {
    for (unsigned i = 0; i < client->stream_count; i++)
        buffer_free(&client->streams[i].body);
    free(client->streams);
    if (client->session != NULL)
        nghttp2_session_del(client->session);
    buffer_free(&client->heard);
    buffer_free(&client->out);
    close(client->fd);
    free(client);
}

void bench_disconnect(struct bench *bench, struct h2_client *client) {
    unsigned place = 0;
    while (bench->clients[place] != client)
        place++;
    bench->clients[place] = bench->clients[--bench->client_count];
    free_client(client);
    bench_settle(bench);
    server_bury(bench->server);
}

void bench_close(struct bench *bench) {
    while (bench->server->connections != NULL)
        client_close(bench->server->connections);
    server_free(bench->server);
    fake_node_close(&bench->node);
    for (unsigned i = 0; i < bench->client_count; i++)
        free_client(bench->clients[i]);
    config_free(&bench->config);
}

/* --- requests --- */

static uint8_t *unconst(const char *text) {
    union {
        const char *in;
        uint8_t *out;
    } cast = {.in = text};
    return cast.out;
}

static void add(nghttp2_nv *headers, size_t *count, const char *name, const char *value) {
    if (value == NULL)
        return;
    headers[(*count)++] = (nghttp2_nv){
        .name = unconst(name), .namelen = strlen(name), .value = unconst(value), .valuelen = strlen(value)};
}

struct heard_stream *client_request_with(struct h2_client *client, struct request_headers with,
                                         struct bytes body, size_t step, bool open) {
    REQUIRE(client->stream_count < CLIENT_STREAMS);
    struct heard_stream *stream = &client->streams[client->stream_count++];
    stream->grpc_status = -1;
    stream->request = body.data;
    stream->request_length = body.length;
    stream->request_step = step;
    stream->request_open = open;
    nghttp2_nv headers[12];
    size_t count = 0;
    add(headers, &count, ":method", with.method == NULL ? "POST" : with.method);
    add(headers, &count, ":scheme", "http");
    add(headers, &count, ":path", with.path);
    add(headers, &count, ":authority", "#initially=[http://127.0.0.1:2379]");
    add(headers, &count, "content-type", with.content_type);
    add(headers, &count, "te", "trailers");
    add(headers, &count, "grpc-timeout", with.timeout);
    add(headers, &count, "grpc-encoding", with.encoding);
    add(headers, &count, "x-filler", with.filler);
    add(headers, &count, "hasleader", with.leader);
    add(headers, &count, "client-api-version", with.api_version);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = give_request};
    stream->id = nghttp2_submit_request(client->session, NULL, headers, count, &provider, stream);
    REQUIRE(stream->id > 0);
    return stream;
}

struct heard_stream *client_request(struct h2_client *client, const char *path, struct bytes body) {
    return client_request_with(
        client, (struct request_headers){.path = path, .content_type = "application/grpc"}, body, 0, false);
}

void client_send(struct h2_client *client, struct heard_stream *stream, struct bytes more) {
    REQUIRE(stream->request_open && stream->request_at == stream->request_length);
    stream->request = more.data;
    stream->request_length = more.length;
    stream->request_at = 0;
    nghttp2_session_resume_data(client->session, stream->id);
}

void client_half_close(struct h2_client *client, struct heard_stream *stream) {
    stream->request_open = false;
    nghttp2_session_resume_data(client->session, stream->id);
}
