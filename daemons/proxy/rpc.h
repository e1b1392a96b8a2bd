/*
 * rpc: one RPC of a client, from its headers to its trailers: what the services see of HTTP/2.
 *
 * h2_connection makes a `struct rpc_stream` for every HTTP/2 stream, collects the request message in it and
 * calls rpc_dispatch(). The service answers, now or later, with one of rpc_reply_*() and rpc_end(). When the
 * client goes away first, rpc_abandon() cancels what is under way and the stream is reused.
 *
 * Where the client streams too (Watch, LeaseKeepAlive), the service is a `struct rpc_stream_service`: it is
 * opened with the headers and given one message after the other. It may hold the stream: then the client runs
 * out of window. Such streams live for days: what they hold for their client they bound themselves, by
 * rpc_backlog(); it never keeps other requests of the connection waiting.
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
    RPC_BACKLOG_LOW = 64 << 10,
};

struct h2_connection;
struct server;
struct status_calls;
struct rpc_stream;

/* What serves a streaming request. Nothing but close() is called once the RPC has ended. */
struct rpc_stream_service {
    void (*open)(struct rpc_stream *stream);
    /* The next message, valid during the call. It may rpc_hold(), and end the RPC. */
    void (*message)(struct rpc_stream *stream, struct bytes message);
    /* The client will send nothing more. */
    void (*half_closed)(struct rpc_stream *stream);
    /* The backlog fell below RPC_BACKLOG_LOW; or rpc_resume_later(). */
    void (*drained)(struct rpc_stream *stream);
    /* The RPC is over, whoever ended it. Once for each open(). */
    void (*close)(struct rpc_stream *stream);
    /* Whose client wants a leader (hasleader) ends after three election timeouts without one. */
    bool ends_without_leader;
};

struct rpc_stream {
    struct h2_connection *connection;
    struct server *server;
    /* In the pool, or in the connection's list of requests that wait to be started, or of drained streams. */
    struct rpc_stream *next;
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
    size_t request_held;  /* bytes in the connection's accounts */
    size_t complete_held; /* of these, bytes that will be released without the client sending more */
    struct buffer path;   /* only when the path is not in the table */
    uint64_t start_us;
    uint64_t deadline_us; /* from grpc-timeout; 0: none */

    /* A streaming request. */
    const struct rpc_stream_service *service; /* NULL: the request is one message */
    void *state;                              /* the service's */
    bool open;                                /* to be closed yet */
    bool held;                                /* the service takes no message now */
    bool delivering;                          /* messages are being handed over */
    bool half_closed;                         /* the service knows */
    bool drained;                             /* in the connection's list: the service is to know */
    struct buffer unread;                     /* DATA that came while held, from unread_at on */
    size_t unread_at;

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
    size_t message_at; /* where the message that is being built begins */
    size_t part_bytes; /* in response, not reported to the role as taken */

    struct proxy_call call;      /* of a streaming request: its deadline */
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

/* NULL: the RPC has one request message. */
const struct rpc_stream_service *rpc_stream_service(uint8_t rpc);
/* The request message is complete. */
void rpc_dispatch(struct rpc_stream *stream);
/* The client is gone: cancels what is under way. */
void rpc_abandon(struct rpc_stream *stream);
/* Closes the service of a streaming request, if it is open. */
void rpc_close_service(struct rpc_stream *stream);

/* --- for the services; in h2_response.c --- */
/* One whole message: the parts, concatenated. Compressed if the client asked for it and it is not large. */
void rpc_reply(struct rpc_stream *stream, struct bytes head, struct bytes body);
/* The first part of a message that comes in parts and is never compressed; then the parts, the last one
 * marked. */
void rpc_reply_begin(struct rpc_stream *stream, struct bytes head, struct bytes body, uint64_t total_body);
void rpc_reply_part(struct rpc_stream *stream, struct bytes body, bool last);
/*
 * A message built in place: append to the buffer that begin returns, nothing else, until commit. Compressed
 * as by rpc_reply(). Not once the RPC has ended.
 */
struct buffer *rpc_begin(struct rpc_stream *stream);
void rpc_commit(struct rpc_stream *stream);
/* Bytes that HTTP/2 has not taken yet. */
static inline size_t rpc_backlog(const struct rpc_stream *stream) {
    return stream->response.length - stream->response_at;
}
/* Ends the RPC with a status of the table (trailers, or trailers-only when nothing was replied). */
void rpc_end(struct rpc_stream *stream, uint16_t status);
void rpc_fail(struct rpc_stream *stream, const struct grpc_failure *failure);
/* Ends the RPC by resetting its stream: what the client has not taken is thrown away. */
void rpc_cut(struct rpc_stream *stream, uint16_t status);

/* --- for services of streaming requests; in h2_messages.c --- */
/* No further message is handed over until rpc_resume(). */
void rpc_hold(struct rpc_stream *stream);
/* May hand over messages before it returns. */
void rpc_resume(struct rpc_stream *stream);
/* Where that may not be: drained() is called soon, from outside of everything. */
void rpc_resume_later(struct rpc_stream *stream);
/* Closes the service's side and ends the RPC. From outside the service, or as the last thing it does. */
void rpc_break_off(struct rpc_stream *stream, uint16_t status);
void rpc_break_off_undecodable(struct rpc_stream *stream);

/* Writes a ResponseHeader as field 1 (revision 0: left out). */
void rpc_put_header(const struct rpc_stream *stream, struct buffer *out, uint64_t revision);

#endif
