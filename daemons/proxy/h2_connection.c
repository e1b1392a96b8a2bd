/*
 * h2_connection: see h2_connection.h. Here: the session, its control frames, its streams' ends. h2_request.c
 * and h2_messages.c: what arrives on a stream. h2_response.c: what goes out.
 */
#include "proxy/h2_connection.h"

#include <stdlib.h>

#include "proxy/server.h"

enum { MAX_PING_STRIKES = 2, RESET_BURST = 10000, RESETS_A_SECOND = 1000 };

#define IDLE_PING_US UINT64_C(7200000000)

/* --- frames --- */

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
        stream = h2_stream_of(connection, frame->hd.stream_id);
        if (stream == NULL)
            break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            stream->remote_closed = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
            h2_headers_complete(connection, stream);
        }
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            h2_request_ended(stream);
        break;
    case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
            break;
        stream = h2_stream_of(connection, frame->hd.stream_id);
        if (stream != NULL)
            h2_request_ended(stream);
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
    const struct rpc_stream *stream = h2_stream_of(connection, frame->hd.stream_id);
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
        h2_remove_waiting(connection, stream);
    h2_forget_drained(stream);
    rpc_abandon(stream);
    h2_release_request(stream);
    if (stream->service == NULL)
        connection->response_bytes -= rpc_backlog(stream);
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
    struct rpc_stream *stream = h2_stream_of(user_data, id);
    if (stream != NULL)
        drop_stream(user_data, stream);
    return 0;
}

/* --- the connection --- */

nghttp2_session_callbacks *h2_callbacks_new(void) {
    nghttp2_session_callbacks *callbacks = NULL;
    REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data);
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
    /* A client in trouble resets every request that runs into its deadline: by nghttp2's own limit of 33 a
     * second it would lose its connection, and with it its watches. A flood ends it still. */
    nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESETS_A_SECOND);
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
    connection->invalid_frames = 0; /* so many a second are garbage; a few in days are not */
    const struct config *config = connection->server->config;
    if (connection->ping_sent_us != 0)
        return now_us - connection->ping_sent_us < config->grpc_keepalive_timeout * UINT64_C(1000);
    if (now_us - connection->last_read_us < config->grpc_keepalive_interval * UINT64_C(1000))
        return true;
    nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
    connection->ping_sent_us = now_us;
    return true;
}

void h2_output_taken(struct h2_connection *connection) {
    h2_start_waiting(connection);
    h2_tell_drained(connection);
}

void h2_without_leader(struct h2_connection *connection) {
    for (struct rpc_stream *at = connection->all; at != NULL; at = at->all_next) {
        if (at->service != NULL && at->service->ends_without_leader && at->needs_leader)
            rpc_break_off(at, STATUS_NO_LEADER);
    }
}

static void end_endless_streams(struct h2_connection *connection) {
    for (struct rpc_stream *at = connection->all; at != NULL; at = at->all_next) {
        if (at->service != NULL)
            rpc_break_off(at, STATUS_STOPPED);
    }
}

void h2_shutdown(struct h2_connection *connection, bool final) {
    connection->draining = !final;
    end_endless_streams(connection);
    if (final)
        nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(connection->session), NGHTTP2_NO_ERROR,
                              NULL, 0);
    else
        nghttp2_submit_shutdown_notice(connection->session);
}
