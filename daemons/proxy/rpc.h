/*
 * rpc: one RPC of a client, from its headers to its trailers: what the services see of HTTP/2.
 *
 * h2_connection makes a `struct rpc_stream` for every HTTP/2 stream, collects the request message in it and
 * calls rpc_dispatch(). The service answers, now or later, with one of rpc_reply_*() and rpc_end(). When the
 * client goes away first, rpc_abandon() cancels what is under way and the stream is reused.
 *
 * Threading: inside the combiner. Ownership: streams are pooled by the server.
 */
#ifndef QUORATE_PROXY_RPC_H
#define QUORATE_PROXY_RPC_H

#include "common/rpc_table.h"
#include "proxy/grpc_message.h"
#include "proxy/proxy_role.h"

enum {
    RPC_UNKNOWN = RPC_COUNT,
    RPC_BUFFER_KEEP = 4096, /* capacity a pooled stream's buffers may keep */
};

struct h2_connection;
struct server;
struct status_calls;

struct rpc_stream {
    struct h2_connection *connection;
    struct server *server;
    struct rpc_stream
        *next; /* in the pool, or in the connection's list of requests that wait to be started */
    struct rpc_stream *all_next, *all_previous; /* all of the connection */
    int32_t id;
    uint8_t rpc; /* enum rpc, or RPC_UNKNOWN */

    /* The request. */
    bool post, grpc_content, proto_content;
    bool needs_leader;  /* metadata hasleader: true */
    bool gzip;          /* grpc-encoding: gzip; the reply is gzip too */
    bool remote_closed; /* the client's side has ended */
    bool request_done;  /* the message is complete or given up: further data is ignored */
    bool queued;        /* in the connection's list of requests that wait to be started */
    bool started;       /* handed to its service; counted in metrics */
    uint32_t header_bytes;
    uint32_t unconsumed; /* received bytes of the stream's window not given back */
    struct grpc_reader reader;
    struct buffer request;
    size_t request_held; /* bytes in the connection's accounts */
    struct buffer path;  /* only when the path is not in the table */
    uint64_t start_us;
    uint64_t deadline_us; /* from grpc-timeout; 0: none */

    /* The response: messages with their prefixes, not yet taken by HTTP/2. */
    bool responding; /* response headers were submitted */
    bool ended;      /* code and message are set: trailers follow the last byte */
    bool deferred;   /* HTTP/2 asked for data when there was none */
    bool parts;      /* comes in parts: the role hears what the client has taken */
    bool shares;     /* the connection with others, frame by frame */
    bool partial;    /* a message was begun and is not complete */
    uint8_t code;
    const char *message; /* static, or in text */
    struct buffer text;
    struct buffer response;
    size_t response_at;
    size_t part_bytes; /* in response, not reported to the role as taken */

    struct proxy_call call;
    struct status_calls *status; /* Maintenance.Status asks two daemons */
};

static inline struct rpc_stream *rpc_of_call(struct proxy_call *call) {
    return (struct rpc_stream *)(void *)((char *)call - offsetof(struct rpc_stream, call));
}

/* What a path names, RPC_UNKNOWN if nothing. likely: tried first. */
uint8_t rpc_find(struct bytes path, uint8_t likely);
bool rpc_is_unary(uint8_t rpc);
/* Whether this release answers it. */
bool rpc_is_served(uint8_t rpc);
/* "unknown method X for service Y" and relatives, as grpc-go words them. */
void rpc_unknown(const struct rpc_stream *stream, struct grpc_failure *failure);

/* The request message is complete. */
void rpc_dispatch(struct rpc_stream *stream);
/* The client is gone: cancels what is under way. */
void rpc_abandon(struct rpc_stream *stream);

/* --- for the services; in h2_response.c --- */
/* One whole message: the parts, concatenated. Compressed if the client asked for it and it is not large. */
void rpc_reply(struct rpc_stream *stream, struct bytes head, struct bytes body);
/* The first part of a message that comes in parts and is never compressed; then the parts, the last one
 * marked. */
void rpc_reply_begin(struct rpc_stream *stream, struct bytes head, struct bytes body, uint64_t total_body);
void rpc_reply_part(struct rpc_stream *stream, struct bytes body, bool last);
/* Ends the RPC with a status of the table (trailers, or trailers-only when nothing was replied). */
void rpc_end(struct rpc_stream *stream, uint16_t status);
void rpc_fail(struct rpc_stream *stream, const struct grpc_failure *failure);

/* Writes a ResponseHeader as field 1 (revision 0: left out). */
void rpc_put_header(const struct rpc_stream *stream, struct buffer *out, uint64_t revision);

#endif
