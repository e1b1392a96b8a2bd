/*
 * h2_connection: HTTP/2 of one client connection, with nghttp2; turns streams into `struct rpc_stream` and
 * back.
 *
 * Bounds. Streams: SETTINGS_MAX_CONCURRENT_STREAMS, and SERVER_STREAMS in all. Request bytes held: beyond
 * REQUEST_BYTES the connection's window is not opened any further until requests are done. Response bytes
 * held: beyond RESPONSE_BYTES complete requests wait and are started as the client takes responses; those of
 * streaming requests do not count, their services bound them. Header bytes of a request: HEADER_BYTES. Pings:
 * etcd's enforcement policy. Garbage, floods and invalid frames end the connection.
 */
#ifndef QUORATE_PROXY_H2_CONNECTION_H
#define QUORATE_PROXY_H2_CONNECTION_H

#include <nghttp2/nghttp2.h>

#include "proxy/rpc.h"

enum {
    H2_MAX_STREAMS = 10000, /* some clients have a stream for each of thousands of watches */
    H2_STREAM_WINDOW = 1 << 20,
    H2_CONNECTION_WINDOW = 4 << 20,
    H2_REQUEST_BYTES = 8 << 20,
    H2_RESPONSE_BYTES = 8 << 20,
    H2_HEADER_BYTES = 16 << 10,
    H2_INVALID_FRAMES = 64,
};

struct client;

struct h2_connection {
    nghttp2_session *session;
    struct server *server;
    struct client *owner;
    struct rpc_stream *all;                     /* open streams */
    struct rpc_stream *current;                 /* whose frame came last */
    struct rpc_stream *waiting, **waiting_tail; /* complete requests that may not start yet */
    struct rpc_stream *drained;                 /* streams whose service is to know that it has room again */
    struct grpc_failure header_failure;         /* of the headers being received; code 0: none */
    unsigned http_status;                       /* that goes with it */
    char method[16];                            /* of these headers, cut */
    unsigned streams;                           /* open */
    size_t request_bytes;                       /* held, of requests complete or not */
    size_t complete_bytes;                      /* of these, what will be released by itself */
    size_t response_bytes;                      /* not taken by HTTP/2 yet, without streaming requests */
    size_t credit;                              /* received bytes whose window is not given back yet */
    unsigned invalid_frames;
    unsigned ping_strikes;
    bool reset_strikes;
    bool settled;  /* the client's SETTINGS came: handshake done */
    bool calmed;   /* told to calm down: closed once that is written */
    bool talking;  /* an RPC may have ended while its client's side had not */
    bool draining; /* GOAWAY was announced, the one that names the last stream is to follow */
    uint8_t last_rpc;
    uint64_t last_ping_us;
    uint64_t last_read_us;
    uint64_t ping_sent_us; /* our keepalive ping without an answer; 0: none */
};

nghttp2_session_callbacks *h2_callbacks_new(void);
nghttp2_option *h2_option_new(void);
struct h2_connection *h2_new(struct server *server, struct client *owner);
/* Frees all streams; their calls are cancelled. */
void h2_free(struct h2_connection *connection);
/* False: the connection is beyond saving. */
bool h2_receive(struct h2_connection *connection, struct bytes data);
/* After output was taken: starts requests that waited for room, tells services of streams that they have it.
 */
void h2_output_taken(struct h2_connection *connection);
/* The next piece of output, empty when there is none now; valid until the next call. False: failure. */
bool h2_output(struct h2_connection *connection, struct bytes *out);
/* Nothing to send and nothing to receive: may be closed. */
bool h2_finished(const struct h2_connection *connection);
/* Once a second: keepalive pings. False: the client does not answer. */
bool h2_keepalive(struct h2_connection *connection, uint64_t now_us);
/* There has been no leader for long: ends streams that wanted one. */
void h2_without_leader(struct h2_connection *connection);
/* GOAWAY: first announces, and ends streams that would go on for ever; then (final) names the last stream. */
void h2_shutdown(struct h2_connection *connection, bool final);

/* --- h2_request.c, for h2_connection.c --- */
int h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data);
int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                 size_t name_length, const uint8_t *data, size_t length, uint8_t flags, void *user_data);
int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t length,
               void *user_data);
void h2_headers_complete(struct h2_connection *connection, struct rpc_stream *stream);
/* The client has ended its side. */
void h2_request_ended(struct rpc_stream *stream);
void h2_remove_waiting(struct h2_connection *connection, struct rpc_stream *stream);
void h2_start_waiting(struct h2_connection *connection);
/* Marks the RPC as begun. False: it has ended for want of a leader. */
bool h2_start(struct rpc_stream *stream);
/* A message that needs more room than this connection may take while nothing will give any back. */
bool h2_overfull(const struct h2_connection *connection);
/* A message came in compressed form: unpacks it. */
bool h2_unpack(struct rpc_stream *stream, struct grpc_failure *failure);
/* So many bytes of the stream's window are free again. */
void h2_consumed(struct rpc_stream *stream, size_t bytes);
/* NULL: no such stream. */
struct rpc_stream *h2_stream_of(struct h2_connection *connection, int32_t id);
/* The request's bytes are not needed any longer. */
void h2_release_request(struct rpc_stream *stream);

/* --- h2_messages.c: streaming requests --- */
void h2_open_stream(struct rpc_stream *stream);
void h2_stream_data(struct rpc_stream *stream, struct bytes data);
void h2_stream_half_closed(struct rpc_stream *stream);
/* HTTP/2 took bytes and the backlog is small now. */
void h2_stream_drained(struct rpc_stream *stream);
void h2_tell_drained(struct h2_connection *connection);
void h2_forget_drained(struct rpc_stream *stream);

/* --- h2_response.c, for h2_request.c --- */
/* Ends a stream before its RPC began, with an HTTP status of its own. */
void h2_refuse(struct rpc_stream *stream, unsigned http_status, const struct grpc_failure *failure);

#endif
