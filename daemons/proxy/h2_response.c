/*
 * h2_response: what goes out on a stream: response headers, messages, trailers; or trailers alone.
 *
 * A service appends messages to stream->response; HTTP/2 takes them through read_response() as windows allow,
 * and the trailers follow the last byte. Whatever has to live until HTTP/2 wrote it is static or copied by
 * nghttp2.
 */
#include "common/clock.h"
#include "common/metrics.h"
#include "proxy/h2_connection.h"
#include "proxy/server.h"

enum {
    SHARE_ABOVE = 16 << 10,
    COMPRESS_UP_TO = 64 << 10, /* a millisecond of compressing holds everybody up */
};

#define HEADER(header_name, header_value)                                                                    \
    {                                                                                                        \
        .name = (uint8_t *)(header_name), .namelen = sizeof(header_name) - 1,                                \
        .value = (uint8_t *)(header_value), .valuelen = sizeof(header_value) - 1,                            \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                                \
    }

/* nghttp2's header struct lacks the const; with NO_COPY it only reads. */
static uint8_t *unconst(const char *text) {
    union {
        const char *in;
        uint8_t *out;
    } cast = {.in = text};
    return cast.out;
}

static nghttp2_nv content_type(const struct rpc_stream *stream) {
    return stream->proto_content ? (nghttp2_nv)HEADER("content-type", "application/grpc+proto")
                                 : (nghttp2_nv)HEADER("content-type", "application/grpc");
}

static nghttp2_nv http_status_header(unsigned status) {
    switch (status) {
    case 400:
        return (nghttp2_nv)HEADER(":status", "400");
    case 405:
        return (nghttp2_nv)HEADER(":status", "405");
    case 415:
        return (nghttp2_nv)HEADER(":status", "415");
    default:
        return (nghttp2_nv)HEADER(":status", "200");
    }
}

static nghttp2_nv grpc_status_header(uint8_t code) {
    static const char numbers[][3] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                      "9", "10", "11", "12", "13", "14", "15", "16"};
    nghttp2_nv header = HEADER("grpc-status", "");
    const char *number = numbers[code <= GRPC_UNAUTHENTICATED ? code : GRPC_UNKNOWN];
    header.value = unconst(number);
    header.valuelen = strlen(number);
    return header;
}

static nghttp2_nv grpc_message_header(const struct rpc_stream *stream) {
    nghttp2_nv header = HEADER("grpc-message", "");
    if (stream->text.length != 0) {
        header.value = stream->text.data;
        header.valuelen = stream->text.length;
        header.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    } else if (stream->message != NULL) {
        header.value = unconst(stream->message);
        header.valuelen = strlen(stream->message);
    }
    return header;
}

static void submit_trailers(struct rpc_stream *stream) {
    stream->connection->talking = stream->connection->talking || !stream->remote_closed;
    const nghttp2_nv trailers[] = {grpc_status_header(stream->code), grpc_message_header(stream)};
    nghttp2_submit_trailer(stream->connection->session, stream->id, trailers, 2);
}

/* The client's HTTP/2 took what was buffered of an answer in parts: apply may send more. */
static void report_taken(struct rpc_stream *stream) {
    if (stream->part_bytes == 0)
        return;
    proxy_role_consumed(stream->server->role, &stream->call, stream->part_bytes);
    stream->part_bytes = 0;
}

static ssize_t read_response(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                             uint32_t *flags, nghttp2_data_source *source, void *user_data) {
    (void)session;
    (void)id;
    struct h2_connection *connection = user_data;
    struct rpc_stream *stream = source->ptr;
    size_t left = rpc_backlog(stream);
    size_t now = left < length ? left : length;
    if (now > 0) {
        memcpy(out, stream->response.data + stream->response_at, now);
        /* Go clients measure bandwidth by a PING for every batch of DATA. */
        connection->reset_strikes = true;
    }
    stream->response_at += now;
    if (stream->service == NULL)
        connection->response_bytes -= now;
    else if (left >= RPC_BACKLOG_LOW && left - now < RPC_BACKLOG_LOW)
        h2_stream_drained(stream);
    if (now == left) {
        stream->response_at = 0;
        buffer_reset(&stream->response, RPC_BUFFER_KEEP);
        report_taken(stream);
        if (stream->ended) {
            *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(stream);
        } else if (now == 0) {
            stream->deferred = true;
            return NGHTTP2_ERR_DEFERRED;
        }
    }
    return (ssize_t)now;
}

static void submit_headers(struct rpc_stream *stream) {
    const nghttp2_nv headers[] = {http_status_header(200), content_type(stream),
                                  HEADER("grpc-encoding", "gzip")};
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_response};
    nghttp2_submit_response(stream->connection->session, stream->id, headers, stream->gzip ? 3 : 2,
                            &provider);
    stream->responding = true;
    stream->connection->reset_strikes = true;
}

/* There is something new for HTTP/2 to take. */
static void wake(struct rpc_stream *stream) {
    if (!stream->responding)
        submit_headers(stream);
    if (stream->deferred) {
        stream->deferred = false;
        nghttp2_session_resume_data(stream->connection->session, stream->id);
    }
    client_touch(stream->connection->owner);
}

static void submit_only_trailers(struct rpc_stream *stream, unsigned http_status) {
    const nghttp2_nv headers[] = {http_status_header(http_status), content_type(stream),
                                  grpc_status_header(stream->code), grpc_message_header(stream)};
    nghttp2_submit_response(stream->connection->session, stream->id, headers, 4, NULL);
    stream->responding = true;
    stream->connection->reset_strikes = true;
    stream->connection->talking = stream->connection->talking || !stream->remote_closed;
    client_touch(stream->connection->owner);
}

static void append_prefix(struct rpc_stream *stream, bool compressed, size_t length) {
    grpc_write_prefix(buffer_reserve(&stream->response, GRPC_PREFIX), compressed, (uint32_t)length);
    stream->response.length += GRPC_PREFIX;
}

/*
 * By RFC 9218's standard a response is sent to its end before the next begins. One that takes many frames
 * shares with the others frame by frame; so does one that has no end.
 */
static void make_room_for_others(struct rpc_stream *stream) {
    nghttp2_extpri priority = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(stream->connection->session, stream->id, &priority, 1);
    stream->shares = true;
}

static void appended(struct rpc_stream *stream, size_t before) {
    size_t more = stream->response.length - before;
    if ((stream->response.length > SHARE_ABOVE || stream->service != NULL) && !stream->shares)
        make_room_for_others(stream);
    if (stream->service == NULL)
        stream->connection->response_bytes += more;
    stream->server->sent_bytes += more;
    wake(stream);
}

struct buffer *rpc_begin(struct rpc_stream *stream) {
    buffer_forget_used(&stream->response, &stream->response_at);
    stream->message_at = stream->response.length;
    append_prefix(stream, false, 0);
    return &stream->response;
}

static void compress(struct buffer *message, size_t from) {
    struct buffer packed = {0};
    grpc_gzip(bytes_of(message->data + from, message->length - from), &packed);
    message->length = from;
    buffer_append_bytes(message, buffer_bytes(&packed));
    buffer_free(&packed);
}

void rpc_commit(struct rpc_stream *stream) {
    size_t body = stream->message_at + GRPC_PREFIX;
    size_t length = stream->response.length - body;
    bool pack = stream->gzip && length > 0 && length <= COMPRESS_UP_TO;
    if (pack)
        compress(&stream->response, body);
    grpc_write_prefix(stream->response.data + stream->message_at, pack,
                      (uint32_t)(stream->response.length - body));
    server_count_messages(stream->server, stream->rpc, 0, 1);
    appended(stream, stream->message_at);
}

static void append_compressed(struct rpc_stream *stream, struct bytes head, struct bytes body) {
    struct buffer plain = {0};
    struct buffer packed = {0};
    buffer_append_bytes(&plain, head);
    buffer_append_bytes(&plain, body);
    grpc_gzip(buffer_bytes(&plain), &packed);
    append_prefix(stream, true, packed.length);
    buffer_append_bytes(&stream->response, buffer_bytes(&packed));
    buffer_free(&plain);
    buffer_free(&packed);
}

void rpc_reply(struct rpc_stream *stream, struct bytes head, struct bytes body) {
    size_t before = stream->response.length;
    size_t length = head.length + body.length;
    if (stream->gzip && length > 0 && length <= COMPRESS_UP_TO) {
        append_compressed(stream, head, body);
    } else {
        buffer_reserve(&stream->response, GRPC_PREFIX + head.length + body.length);
        append_prefix(stream, false, head.length + body.length);
        buffer_append_bytes(&stream->response, head);
        buffer_append_bytes(&stream->response, body);
    }
    server_count_messages(stream->server, stream->rpc, 0, 1);
    if (stream->parts)
        stream->part_bytes += body.length;
    appended(stream, before);
}

void rpc_reply_begin(struct rpc_stream *stream, struct bytes head, struct bytes body, uint64_t total_body) {
    size_t before = stream->response.length;
    append_prefix(stream, false, head.length + total_body);
    buffer_append_bytes(&stream->response, head);
    stream->parts = true;
    stream->partial = true;
    appended(stream, before);
    rpc_reply_part(stream, body, false);
}

void rpc_reply_part(struct rpc_stream *stream, struct bytes body, bool last) {
    size_t before = stream->response.length;
    buffer_append_bytes(&stream->response, body);
    stream->part_bytes += body.length;
    if (last) {
        stream->partial = false;
        server_count_messages(stream->server, stream->rpc, 0, 1);
    }
    appended(stream, before);
}

static void end_request(struct rpc_stream *stream) {
    proxy_role_cancel(stream->server->role, &stream->call);
    h2_release_request(stream);
    stream->request_done = true;
}

static void finish(struct rpc_stream *stream, enum grpc_code code) {
    if (stream->service != NULL)
        end_request(stream);
    stream->code = (uint8_t)code;
    stream->ended = true;
    if (stream->started) {
        metric_rpc_handled(stream->rpc, code);
        if (stream->server->config->metrics_extensive)
            metric_rpc_duration_us(stream->rpc, clock_monotonic_us() - stream->start_us);
    }
    if (stream->partial) {
        /* Half a message can't be taken back. "Refused" is what gRPC clients read as Unavailable. */
        nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_REFUSED_STREAM);
        client_touch(stream->connection->owner);
    } else if (!stream->responding) {
        submit_only_trailers(stream, 200);
    } else {
        wake(stream);
    }
}

void rpc_end(struct rpc_stream *stream, uint16_t status) {
    stream->message = status == STATUS_OK ? NULL : status_message(status);
    finish(stream, status_code(status));
}

void rpc_fail(struct rpc_stream *stream, const struct grpc_failure *failure) {
    grpc_percent_encode(failure->text, &stream->text);
    finish(stream, failure->code);
}

void rpc_cut(struct rpc_stream *stream, uint16_t status) {
    REQUIRE(stream->service != NULL); /* others are in the connection's accounts */
    buffer_free(&stream->response);
    stream->response_at = 0;
    stream->partial = true;
    rpc_end(stream, status);
}

void h2_refuse(struct rpc_stream *stream, unsigned http_status, const struct grpc_failure *failure) {
    stream->request_done = true;
    stream->ended = true;
    stream->code = (uint8_t)failure->code;
    grpc_percent_encode(failure->text, &stream->text);
    submit_only_trailers(stream, http_status);
}
