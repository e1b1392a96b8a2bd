/*
 * connection: one client connection: its byte stream, what it speaks (found out by looking at the first
 * bytes: HTTP/2's preface or else HTTP/1.1) and the output that the socket has not taken yet.
 *
 * Failure modes: a client that does not speak up within HANDSHAKE_US is closed; one that does not take its
 * output is not read from until it does, so that what is held for it is bounded.
 */
#ifndef QUORATE_PROXY_CONNECTION_H
#define QUORATE_PROXY_CONNECTION_H

#include "common/stream.h"

#define CONNECTION_HANDSHAKE_US UINT64_C(20000000)

enum connection_kind { CONNECTION_SNIFFING, CONNECTION_HTTP2, CONNECTION_HTTP1 };

struct server;
struct h2_connection;
struct http1_connection;

struct connection {
    struct connection *next, *previous; /* all connections of the server */
    struct connection *dirty_next;
    struct server *server;
    struct stream stream;
    enum connection_kind kind;
    struct h2_connection *h2;
    struct http1_connection *http1;
    struct buffer out; /* what the socket did not take */
    size_t out_at;
    uint8_t sniffed_bytes;
    uint32_t events; /* epoll's interest */
    bool dirty;
    bool broken; /* no more input or output: to be closed at the end of the round */
    bool closed;
    bool stop_at_end; /* the daemon stops: closed once the output is written */
    uint64_t opened_us;
};

void connection_open(struct server *server, struct stream stream);
/* epoll says so. */
void connection_ready(struct connection *connection, uint32_t events);
/* Something is to be written (or closed) at the end of this round. */
void connection_touch(struct connection *connection);
/* End of a round: writes; closes what is broken or finished. */
void connection_flush(struct connection *connection);
/* Once a second. */
void connection_check(struct connection *connection, uint64_t now_us);
/* The daemon stops. first: say so; late: there is no time left. Called again until the connection is closed.
 */
void connection_stop(struct connection *connection, bool first, bool late);
/* Puts it into the server's graveyard. */
void connection_close(struct connection *connection);
void connection_free(struct connection *connection);

#endif
