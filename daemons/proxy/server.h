/*
 * server: what all client connections of this proxy share, and the loop that serves them.
 *
 * One thread waits in epoll; it enters the daemon's combiner with the sockets that are ready. Results of the
 * bus arrive on other threads, inside the same combiner, and are written to the client's socket by the thread
 * that brought them, at the end of its round. So everything here is touched inside the combiner only.
 */
#ifndef QUORATE_PROXY_SERVER_H
#define QUORATE_PROXY_SERVER_H

#include <nghttp2/nghttp2.h>

#include "common/combiner.h"
#include "common/config.h"
#include "proxy/client.h"
#include "proxy/lease_keepalive.h"
#include "proxy/proxy_role.h"
#include "proxy/rpc.h"

enum {
    SERVER_READ_BYTES = 64 << 10,
    SERVER_WRITE_BYTES = 256 << 10,
    SERVER_LISTENERS = 32,
    SERVER_CONNECTIONS = 20000,
    SERVER_STREAMS = 250000,         /* open at a time, of all connections; 2 KB each */
    GRPC_OVERHEAD_BYTES = 512 << 10, /* of a gRPC message above max-request-bytes, as in etcd */
};

_Static_assert(RPC_COUNT <= 64, "counted_rpcs has a bit an RPC");

struct listener {
    int fd;
    bool paused; /* out of descriptors: again at the next tick */
};

struct server {
    struct combiner combiner;
    struct proxy_role *role;
    const struct config *config;
    uint64_t now_us;
    uint32_t message_limit; /* of a gRPC message */
    int epoll_fd, wake_fd;
    uint64_t wakes_us; /* when the loop wakes at the latest */
    struct listener listeners[SERVER_LISTENERS];
    unsigned listener_count;
    struct client *connections; /* all that are open */
    struct client *dirty;       /* those with something to write this round */
    struct client *graveyard;   /* closed: freed once no epoll event can name them */
    unsigned connection_count;
    uint64_t next_housekeeping_us;
    uint64_t leader_seen_us; /* when there was one, as far as we look */
    bool stopping, stopped;
    uint64_t stop_by_us;
    struct rpc_stream *free_streams;
    unsigned stream_count, free_stream_count; /* open; in the pool */
    struct keepalive_pool keepalives;
    nghttp2_option *h2_option;
    nghttp2_session_callbacks *h2_callbacks;
    struct buffer scratch; /* response headers, small bodies */
    /* What this round adds to the metrics. */
    uint64_t received_bytes, sent_bytes; /* of gRPC */
    uint64_t counted_rpcs;               /* a bit for each that has messages below */
    struct {
        uint32_t received, sent;
    } messages[RPC_COUNT];
    uint8_t read_buffer[SERVER_READ_BYTES];
    uint8_t write_buffer[SERVER_WRITE_BYTES];
};

/* The role and its links are attached by the caller before server_run. */
struct server *server_new(const struct config *config);
/* All connections have to be closed. */
void server_free(struct server *server);
/*
 * Listens on every client and metrics URL of the configuration. Ports are shared between the proxies of a
 * node; a unix socket can't be: only the first proxy (slot 0) has those. False and a sentence in error.
 */
bool server_listen(struct server *server, uint8_t slot, char error[256]);
/* Once a second: connections that are too slow, clients that do not answer, streams without a leader. */
void server_check_clients(struct server *server);
/* Frees closed connections. Only when no event fetched from epoll can name them any longer. */
void server_bury(struct server *server);
/* The loop; returns when server_stop() was called and connections are closed. On its own thread. */
void server_run(struct server *server);
/* From any other thread: GOAWAY, finish what is in flight for a moment, close. */
void server_stop(struct server *server);

static inline void server_count_messages(struct server *server, uint8_t rpc, uint32_t received,
                                         uint32_t sent) {
    server->counted_rpcs |= UINT64_C(1) << rpc;
    server->messages[rpc].received += received;
    server->messages[rpc].sent += sent;
}

/* NULL: there are too many. */
struct rpc_stream *server_take_stream(struct server *server);
void server_give_stream(struct server *server, struct rpc_stream *stream);

#endif
