/* loop: see loop.h. */
#include "ops/load/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    REOPEN_AFTER_NS = 5 * 1000 * 1000, /* short: how soon a server is back is what gets measured */
};

uint64_t loop_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static atomic_bool interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

void loop_listen_to_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool loop_interrupted(void) {
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

static void on_down(struct grpc_connection *connection) {
    struct loop *loop = (struct loop *)connection->owner;
    connection->reopen_at_ns = loop_now_ns() + REOPEN_AFTER_NS;
    loop->down++;
    loop->dropped++;
}

void loop_create(struct loop *loop, size_t count, const struct grpc_endpoint *endpoints,
                 size_t endpoint_count) {
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .count = count};
    if (loop->epoll < 0)
        PANIC("epoll_create1: %s", strerror(errno));
    loop->connections = must_zalloc(count * sizeof *loop->connections);
    for (size_t i = 0; i < count; i++) {
        struct grpc_connection *connection = &loop->connections[i];
        connection->socket = -1;
        connection->endpoint = &endpoints[i % endpoint_count];
        connection->epoll = loop->epoll;
        connection->down = on_down;
        connection->owner = loop;
    }
}

void loop_open_all(struct loop *loop) {
    for (size_t i = 0; i < loop->count; i++)
        grpc_connection_open(&loop->connections[i]);
}

static void reopen(struct loop *loop) {
    uint64_t now = loop_now_ns();
    for (size_t i = 0; i < loop->count; i++) {
        struct grpc_connection *connection = &loop->connections[i];
        if (connection->reopen_at_ns == 0 || connection->reopen_at_ns > now)
            continue;
        connection->reopen_at_ns = 0;
        loop->down--;
        grpc_connection_open(connection);
    }
}

bool loop_run_once(struct loop *loop, uint64_t timeout_ns, const void *other) {
    if (loop->down > 0 && timeout_ns > REOPEN_AFTER_NS)
        timeout_ns = REOPEN_AFTER_NS;
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000U),
                               .tv_nsec = (long)(timeout_ns % 1000000000U)};
    struct epoll_event events[EVENTS];
    int count = epoll_pwait2(loop->epoll, events, EVENTS, &timeout, NULL);
    if (count < 0 && errno != EINTR)
        PANIC("epoll_pwait2: %s", strerror(errno));
    bool reported = false;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == other)
            reported = true;
        else
            grpc_connection_handle(events[i].data.ptr, events[i].events);
    }
    if (loop->down > 0)
        reopen(loop);
    return reported;
}

void loop_destroy(struct loop *loop) {
    for (size_t i = 0; i < loop->count; i++)
        grpc_connection_close(&loop->connections[i]);
    free(loop->connections);
    close(loop->epoll);
}
