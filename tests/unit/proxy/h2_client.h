/*
 * h2_client: a proxy's server in this process, the fake node behind it, and clients of it over socket pairs:
 * HTTP/2 with nghttp2, or raw bytes. One thread: nothing moves but in bench_settle().
 */
#ifndef QUORATE_TESTS_H2_CLIENT_H
#define QUORATE_TESTS_H2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "proxy/fake_node.h"
#include "proxy/server.h"

enum { CLIENT_STREAMS = 20000 };

/* What a client has heard of one stream. */
struct heard_stream {
    int32_t id;
    unsigned http_status;
    int grpc_status; /* -1: none yet */
    char message[300];
    char content_type[40];
    char encoding[16];
    struct buffer body;
    bool headers, trailers, closed;
    size_t closed_at; /* body bytes of all streams the client had received by then */
    uint32_t reset;   /* error code of the stream's end */
    const uint8_t *request;
    size_t request_length, request_at, request_step; /* step: bytes a DATA frame */
    bool request_open;                               /* the client's side does not end */
};

struct h2_client {
    int fd;
    struct client *server_side;
    nghttp2_session *session;
    struct heard_stream *streams; /* by order of request */
    unsigned stream_count;
    size_t received;
    bool mute;   /* does not read */
    bool goaway; /* heard */
    uint32_t goaway_code;
    int32_t goaway_last;
    char goaway_text[64];
    bool closed; /* the server closed the connection */
    bool raw;
    struct buffer out; /* what the socket did not take */
    size_t out_at;
    struct buffer heard; /* raw clients: all; others: the last bytes that came */
};

struct bench {
    struct config config;
    struct server *server;
    struct fake_node node;
    struct h2_client *clients[8];
    unsigned client_count;
    bool manual_windows; /* new clients give windows by nghttp2_submit_window_update() alone */
};

/* Links are up. */
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);
/* Moves bytes and frames everywhere until nothing moves. */
void bench_settle(struct bench *bench);
/* The same after time has passed. */
void bench_wait(struct bench *bench, uint64_t microseconds);

/* stream_window: the client's SETTINGS_INITIAL_WINDOW_SIZE; 0: standard. */
struct h2_client *bench_client(struct bench *bench, uint32_t stream_window);
struct h2_client *bench_raw_client(struct bench *bench);
/* The client goes away. */
void bench_disconnect(struct bench *bench, struct h2_client *client);
void raw_send(struct h2_client *client, const void *data, size_t length);

struct request_headers {
    const char *method, *path, *content_type, *timeout, *encoding, *filler, *leader, *api_version;
};
/* POST, application/grpc. Sends as far as windows allow; the body has to stay. */
struct heard_stream *client_request(struct h2_client *client, const char *path, struct bytes body);
struct heard_stream *client_request_with(struct h2_client *client, struct request_headers headers,
                                         struct bytes body, size_t step, bool open);
/* Goes on with an open request whose bytes so far are sent; these have to stay. */
void client_send(struct h2_client *client, struct heard_stream *stream, struct bytes more);
/* The client's side of an open request ends. */
void client_half_close(struct h2_client *client, struct heard_stream *stream);

#endif
