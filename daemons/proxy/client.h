/*
 * client: one client connection: its byte stream, what it speaks (found out by looking at the first
 * bytes: HTTP/2's preface or else HTTP/1.1) and the output that the socket has not taken yet.
 *
 * Failure modes: a client that does not speak up within HANDSHAKE_US is closed; one that does not take its
 * output is not read from until it does, so that what is held for it is bounded.
 */
#ifndef QUORATE_PROXY_CLIENT_H
#define QUORATE_PROXY_CLIENT_H

#include "common/stream.h"

#define CLIENT_HANDSHAKE_US UINT64_C(20000000)

enum client_kind { CLIENT_SNIFFING, CLIENT_HTTP2, CLIENT_HTTP1 };

struct server;
struct h2_connection;
struct http1_connection;

struct client {
    struct client *next, *previous; /* all connections of the server */
    struct client *dirty_next;
    struct server *server;
    struct stream stream;
    enum client_kind kind;
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

void client_open(struct server *server, struct stream stream);
/* epoll says so. */
void client_ready(struct client *client, uint32_t events);
/* Something is to be written (or closed) at the end of this round. */
void client_touch(struct client *client);
/* End of a round: writes; closes what is broken or finished. */
void client_flush(struct client *client);
/* Once a second. leaderless: for longer than a stream waits that wants a leader. */
void client_check(struct client *client, uint64_t now_us, bool leaderless);
/* The daemon stops. first: say so; late: there is no time left. Called again until the connection is closed.
 */
void client_stop(struct client *client, bool first, bool late);
/* Puts it into the server's graveyard. */
void client_close(struct client *client);
void client_free(struct client *client);

#endif
