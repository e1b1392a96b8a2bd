/*
 * loop: one thread's connections on one epoll: waits, hands out events, opens lost connections again after
 * a backoff. Callers set up each connection's endpoint, up, and owner; loop owns down and the backoff.
 */
#ifndef QUORATE_LOAD_LOOP_H
#define QUORATE_LOAD_LOOP_H

#include "ops/load/grpc_client.h"

#include <stdint.h>

struct loop {
    int epoll;
    struct grpc_connection *connections;
    size_t count;
    size_t down;      /* connections that wait for their backoff */
    uint64_t dropped; /* times a connection was lost or refused */
};

/* Makes `count` closed connections; endpoints are given out in turn. */
void loop_create(struct loop *loop, size_t count, const struct grpc_endpoint *endpoints,
                 size_t endpoint_count);
void loop_open_all(struct loop *loop);
/* Waits at most timeout_ns and handles what happened. An event whose pointer is `other` is only reported. */
bool loop_run_once(struct loop *loop, uint64_t timeout_ns, const void *other);
void loop_destroy(struct loop *loop);

uint64_t loop_now_ns(void);

/* From the first call on, SIGINT and SIGTERM do not end the program but make loop_interrupted true. */
void loop_listen_to_signals(void);
bool loop_interrupted(void);

#endif
