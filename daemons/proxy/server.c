/* server: see server.h. */
#include "proxy/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "proxy/h2_connection.h"

enum {
    EVENTS_PER_WAIT = 256,
    ACCEPTS_PER_EVENT = 64,
    FREE_STREAMS = 2048,
    FLUSHES_PER_ROUND = 4,
    WAIT_MS = 1000,
    STOPPING_WAIT_MS = 10,
};

#define HOUSEKEEPING_US UINT64_C(1000000)
#define STOP_WITHIN_US UINT64_C(2000000)

/* --- streams --- */

struct rpc_stream *server_take_stream(struct server *server) {
    struct rpc_stream *stream = server->free_streams;
    if (server->stream_count >= SERVER_STREAMS)
        return NULL;
    server->stream_count++;
    if (stream == NULL) {
        stream = must_zalloc(sizeof *stream);
    } else {
        server->free_streams = stream->next;
        server->free_stream_count--;
        struct buffer request = stream->request;
        struct buffer response = stream->response;
        *stream = (struct rpc_stream){.request = request, .response = response};
    }
    stream->server = server;
    return stream;
}

void server_give_stream(struct server *server, struct rpc_stream *stream) {
    server->stream_count--;
    buffer_free(&stream->path);
    buffer_free(&stream->text);
    buffer_reset(&stream->request, RPC_BUFFER_KEEP);
    buffer_reset(&stream->response, RPC_BUFFER_KEEP);
    if (server->free_stream_count >= FREE_STREAMS) {
        buffer_free(&stream->request);
        buffer_free(&stream->response);
        free(stream);
        return;
    }
    stream->next = server->free_streams;
    server->free_streams = stream;
    server->free_stream_count++;
}

/* --- rounds --- */

/* One atomic addition a round instead of one a message. */
static void report_counts(struct server *server) {
    if (server->received_bytes != 0)
        metric_add(METRIC_ETCD_NETWORK_CLIENT_GRPC_RECEIVED_BYTES_TOTAL, server->received_bytes);
    if (server->sent_bytes != 0)
        metric_add(METRIC_ETCD_NETWORK_CLIENT_GRPC_SENT_BYTES_TOTAL, server->sent_bytes);
    server->received_bytes = 0;
    server->sent_bytes = 0;
    while (server->counted_rpcs != 0) {
        uint8_t rpc = (uint8_t)__builtin_ctzll(server->counted_rpcs);
        server->counted_rpcs &= server->counted_rpcs - 1;
        metric_rpc_messages(rpc, server->messages[rpc].received, server->messages[rpc].sent);
        if (server->messages[rpc].received != 0)
            metric_add(rpc_is_unary(rpc) ? METRIC_ETCD_SERVER_CLIENT_REQUESTS_TOTAL
                                         : METRIC_ETCD_SERVER_CLIENT_REQUESTS_TOTAL_STREAM,
                       server->messages[rpc].received);
        server->messages[rpc].received = 0;
        server->messages[rpc].sent = 0;
    }
}

static void flush_clients(struct server *server) {
    struct client *list = server->dirty;
    server->dirty = NULL;
    while (list != NULL) {
        struct client *connection = list;
        list = connection->dirty_next;
        connection->dirty = false;
        if (!connection->closed)
            client_flush(connection);
    }
}

static void wake(struct server *server) {
    uint64_t one = 1;
    if (write(server->wake_fd, &one, sizeof one) < 0)
        LOG_WARN("cannot write an eventfd", F_ERRNO(errno));
}

/* The round may have been another thread's, and the loop asleep until later than it should now. */
static void wake_in_time(struct server *server) {
    uint64_t next = server->dirty != NULL ? 0 : proxy_role_next_us(server->role);
    if (next >= server->wakes_us)
        return;
    server->wakes_us = next;
    wake(server);
}

/*
 * Links first: the daemons behind them go to work while we write to sockets. Writing may cancel calls, report
 * bytes as taken or make room for what watchers wait for, so the role ends the round again, and there may be
 * more to write, if any socket was written.
 */
static void end_round(void *context) {
    struct server *server = context;
    proxy_role_end_round(server->role);
    bool any = server->dirty != NULL;
    for (unsigned i = 0; server->dirty != NULL && i < FLUSHES_PER_ROUND; i++) {
        flush_clients(server);
        proxy_role_end_round(server->role);
    }
    if (any)
        report_counts(server);
    wake_in_time(server);
}

struct server *server_new(const struct config *config) {
    struct server *server = must_zalloc(sizeof *server);
    server->config = config;
    server->now_us = server->leader_seen_us = clock_monotonic_us();
    uint32_t request_limit = config->max_request_bytes;
    if (request_limit > PROXY_REQUEST_LIMIT)
        request_limit = PROXY_REQUEST_LIMIT;
    server->message_limit = request_limit + GRPC_OVERHEAD_BYTES;
    server->h2_callbacks = h2_callbacks_new();
    server->h2_option = h2_option_new();
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->wake_fd < 0)
        LOG_FATAL("cannot create an epoll descriptor", F_ERRNO(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->wake_fd};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) != 0)
        LOG_FATAL("cannot watch an eventfd", F_ERRNO(errno));
    combiner_init(&server->combiner, end_round, NULL, server);
    return server;
}

void server_bury(struct server *server) {
    while (server->graveyard != NULL) {
        struct client *connection = server->graveyard;
        server->graveyard = connection->next;
        client_free(connection);
    }
}

void server_free(struct server *server) {
    server_bury(server);
    while (server->free_streams != NULL) {
        struct rpc_stream *stream = server->free_streams;
        server->free_streams = stream->next;
        buffer_free(&stream->request);
        buffer_free(&stream->response);
        free(stream);
    }
    keepalive_pool_free(&server->keepalives);
    nghttp2_session_callbacks_del(server->h2_callbacks);
    nghttp2_option_del(server->h2_option);
    buffer_free(&server->scratch);
    close(server->epoll_fd);
    close(server->wake_fd);
    free(server);
}

/* --- listening --- */

struct listening {
    struct server *server;
    char *error;
    uint8_t slot;
    bool failed;
};

static void watch_listener(struct server *server, struct listener *listener, int operation) {
    struct epoll_event event = {.events = listener->paused ? 0 : EPOLLIN, .data.ptr = listener};
    if (epoll_ctl(server->epoll_fd, operation, listener->fd, &event) != 0)
        LOG_FATAL("cannot watch a listening socket", F_ERRNO(errno));
}

static void listen_to(void *context, const struct url *url) {
    struct listening *listening = context;
    struct server *server = listening->server;
    if (listening->failed || (strcmp(url->scheme, "unix") == 0 && listening->slot != 0))
        return;
    int fds[8];
    unsigned room = SERVER_LISTENERS - server->listener_count;
    unsigned count =
        stream_listen(url, server->config->proxies > 1, fds, room < 8 ? room : 8, listening->error);
    listening->failed = count == 0;
    for (unsigned i = 0; i < count; i++) {
        struct listener *listener = &server->listeners[server->listener_count++];
        listener->fd = fds[i];
        watch_listener(server, listener, EPOLL_CTL_ADD);
    }
    if (count > 0)
        LOG_INFO("serving client traffic insecurely; this is strongly discouraged!",
                 F_STR("address", url->host), F_U64("port", url->port));
}

bool server_listen(struct server *server, uint8_t slot, char error[256]) {
    struct listening listening = {.server = server, .error = error, .slot = slot};
    const char *metrics = server->config->listen_metrics_urls;
    if (!url_list_each(server->config->listen_client_urls, listen_to, &listening)) {
        snprintf(error, 256, "malformed listen-client-urls");
        return false;
    }
    if (metrics != NULL && *metrics != '\0' && !url_list_each(metrics, listen_to, &listening)) {
        snprintf(error, 256, "malformed listen-metrics-urls");
        return false;
    }
    return !listening.failed;
}

static void accept_some(struct server *server, struct listener *listener) {
    for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct stream stream;
        enum stream_accept_result result = STREAM_ACCEPT_EXHAUSTED;
        if (server->connection_count < SERVER_CONNECTIONS)
            result = stream_accept(listener->fd, &stream);
        if (result == STREAM_ACCEPT_NONE)
            return;
        if (result == STREAM_ACCEPT_EXHAUSTED) {
            LOG_WARN("too many connections: no new ones for a moment",
                     F_U64("connections", server->connection_count));
            listener->paused = true;
            watch_listener(server, listener, EPOLL_CTL_MOD);
            return;
        }
        client_open(server, stream);
    }
}

/* --- the loop --- */

static bool is_listener(const struct server *server, const void *pointer) {
    return (const char *)pointer >= (const char *)server->listeners &&
           (const char *)pointer < (const char *)(server->listeners + SERVER_LISTENERS);
}

static void handle_event(struct server *server, const struct epoll_event *event) {
    if (event->data.ptr == &server->wake_fd) {
        uint64_t count = 0;
        if (read(server->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
            LOG_WARN("cannot read an eventfd", F_ERRNO(errno));
    } else if (is_listener(server, event->data.ptr)) {
        accept_some(server, event->data.ptr);
    } else {
        client_ready(event->data.ptr, event->events);
    }
}

static void check_stop(struct server *server) {
    if (!server->stopping || server->stopped)
        return;
    bool first = server->stop_by_us == 0;
    if (first) {
        server->stop_by_us = server->now_us + STOP_WITHIN_US;
        for (unsigned i = 0; i < server->listener_count; i++)
            close(server->listeners[i].fd);
    }
    bool late = server->now_us >= server->stop_by_us;
    struct client *next = NULL;
    for (struct client *at = server->connections; at != NULL; at = next) {
        next = at->next;
        client_stop(at, first, late);
    }
    server->stopped = late || server->connections == NULL;
}

void server_check_clients(struct server *server) {
    uint64_t patience_us = 3000 * (uint64_t)server->config->election_timeout;
    if (proxy_role_view(server->role).leader != 0)
        server->leader_seen_us = server->now_us;
    bool leaderless = server->now_us - server->leader_seen_us >= patience_us;
    for (struct client *at = server->connections; at != NULL; at = at->next)
        client_check(at, server->now_us, leaderless);
}

static void housekeeping(struct server *server) {
    if (server->now_us < server->next_housekeeping_us)
        return;
    server->next_housekeeping_us = server->now_us + HOUSEKEEPING_US;
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct listener *listener = &server->listeners[i];
        if (!listener->paused || server->stopping)
            continue;
        listener->paused = false;
        watch_listener(server, listener, EPOLL_CTL_MOD);
    }
    server_check_clients(server);
}

static int wait_ms(struct server *server) {
    uint64_t longest = server->now_us + (server->stopping ? STOPPING_WAIT_MS : WAIT_MS) * UINT64_C(1000);
    uint64_t next = proxy_role_next_us(server->role);
    if (next > longest)
        next = longest;
    server->wakes_us = next;
    return next <= server->now_us ? 0 : (int)((next - server->now_us + 999) / 1000);
}

void server_run(struct server *server) {
    struct epoll_event events[EVENTS_PER_WAIT];
    int wait = 0;
    while (!server->stopped) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS_PER_WAIT, wait);
        if (count < 0 && errno != EINTR)
            LOG_FATAL("epoll_wait failed", F_ERRNO(errno));
        combiner_enter(&server->combiner);
        server->now_us = clock_monotonic_us();
        for (int i = 0; i < count; i++)
            handle_event(server, &events[i]);
        proxy_role_tick(server->role, server->now_us);
        housekeeping(server);
        check_stop(server);
        server_bury(server);
        wait = wait_ms(server);
        combiner_leave(&server->combiner);
    }
}

void server_stop(struct server *server) {
    combiner_enter(&server->combiner);
    server->stopping = true;
    combiner_leave(&server->combiner);
    wake(server);
}
