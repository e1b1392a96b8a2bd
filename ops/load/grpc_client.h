/*
 * grpc_client: gRPC calls over HTTP/2 (h2c, prior knowledge), unary and streams, many at a time on one
 * connection.
 *
 * Happy path: grpc_connection_open, epoll says writable, `up` is called, grpc_connection_call starts calls,
 * each ends in its `done` exactly once. Requests started between two flushes leave in one write.
 * A call with `received` set is a stream both ways: grpc_call_send sends a message, `received` is given each
 * one that comes, and `done` has none.
 * A client that reads slowly is had by a small `window` and grpc_connection_pause.
 * Failure: whatever breaks the connection ends every call in flight with GRPC_CONNECTION_LOST (the outcome
 * of a write is then unknown), then `down` is called; the owner opens it again when it likes.
 * Threading: a connection belongs to the thread whose epoll it is registered with.
 */
#ifndef QUORATE_LOAD_GRPC_CLIENT_H
#define QUORATE_LOAD_GRPC_CLIENT_H

#include "common/bytes.h"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

enum {
    GRPC_CONNECTION_LOST = 17, /* beside gRPC's own codes 0..16 */
    GRPC_OUTCOMES = 18,
};

struct grpc_endpoint {
    struct sockaddr_storage address;
    socklen_t address_length;
    char authority[128]; /* host:port as given */
};

struct grpc_connection;

struct grpc_call {
    /* The owner's: what to send, whom to tell, and one word for itself. */
    struct buffer message; /* unary: the request, without gRPC's 5-byte prefix. A stream: empty */
    const char *path;      /* "/etcdserverpb.KV/Put"; lives as long as the call */
    bool discard;          /* unary: only the length of the answer is of interest (its data is NULL) */
    void (*received)(struct grpc_call *call, struct bytes message); /* NULL: a unary call */
    void (*done)(struct grpc_call *call, unsigned outcome, struct bytes response);
    void *owner;
    uint64_t started_ns;

    /* The client's. */
    struct grpc_connection *connection; /* while in flight, else NULL */
    struct grpc_call *previous, *next;
    struct buffer response; /* a stream: what has come of the next message */
    size_t discarded;       /* bytes of the answer, prefix included */
    size_t sent;            /* of prefix and message; a stream: of what `message` has gathered */
    int32_t stream;
    unsigned outcome;
};

struct grpc_connection {
    /* The owner's. */
    const struct grpc_endpoint *endpoint;
    int epoll;
    void (*up)(struct grpc_connection *connection); /* may be NULL */
    void (*down)(struct grpc_connection *connection);
    void *owner;
    uint64_t reopen_at_ns; /* the owner's backoff; 0: open */
    uint32_t window;       /* bytes the server may have under way to us, at least 65535; 0: plenty */

    /* The client's. */
    int socket; /* -1: closed */
    bool connected, draining, failed, want_writable, paused;
    nghttp2_session *session;
    struct grpc_call *calls; /* in flight */
    size_t in_flight;
    struct buffer output;
    size_t output_sent;
};

/* "host:port" with a numeric or resolvable host. False when it cannot be resolved. */
bool grpc_endpoint_parse(const char *text, struct grpc_endpoint *endpoint);

/* Starts connecting. Failure shows as `down`, at once or later. The connection must stay where it is. */
void grpc_connection_open(struct grpc_connection *connection);
/* True when a call may be started. */
bool grpc_connection_usable(const struct grpc_connection *connection);
/* Starts a call (not yet in flight, connection usable). It leaves with the next flush. */
void grpc_connection_call(struct grpc_connection *connection, struct grpc_call *call);
/* Sends a message on a stream, in flight or about to be started. It leaves with the next flush. */
void grpc_call_send(struct grpc_call *call, struct bytes message);
/* Gives a call up: RST_STREAM; `done` follows with outcome CANCELLED. */
void grpc_call_cancel(struct grpc_call *call);
/* What epoll said about the socket. Flushes. */
void grpc_connection_handle(struct grpc_connection *connection, uint32_t events);
void grpc_connection_flush(struct grpc_connection *connection);
/* Stops and resumes reading what the server sends. Opened again, a connection reads. */
void grpc_connection_pause(struct grpc_connection *connection, bool paused);
/* Closes without telling anyone: calls in flight are forgotten. */
void grpc_connection_close(struct grpc_connection *connection);
void grpc_call_free(struct grpc_call *call);

#endif
