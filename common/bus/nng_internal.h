/*
 * nng_internal: what nng_transport.c (endpoint, events, tick) and nng_connection.c (one stream) share.
 *
 * Locks: `lock` guards what is marked so, and every start of an asynchronous operation on a stream that
 * another thread may close: nng 1.5.2 never completes an operation that is started on a closed stream.
 * Nothing is called under it that calls back. The combiner's own lock is taken inside it, never the other way
 * round.
 */
#ifndef QUORATE_COMMON_BUS_NNG_INTERNAL_H
#define QUORATE_COMMON_BUS_NNG_INTERNAL_H

#include <nng/nng.h>
#include <stdatomic.h>

#include "common/bus/nng_transport.h"

/* Received bytes; whole frames are handed to the role in place. */
struct chunk {
    struct combiner_event event;
    struct connection *connection;
    struct chunk *next; /* among the spare ones */
    size_t length, capacity;
    size_t whole; /* bytes of whole frames, from the start */
    uint8_t data[];
};

struct connection {
    struct nng_transport *transport;
    nng_stream *stream;
    nng_aio *receive;    /* one receive is outstanding until the stream ends */
    nng_aio *send;       /* without completion: the usual way out */
    nng_aio *resume;     /* with completion: when the kernel's buffer was full */
    struct chunk *chunk; /* being received into */
    struct combiner_event begin, end, resumed;
    bool closing; /* under lock */

    /* inside the combiner */
    struct buffer flying;  /* lent to `resume` */
    size_t flown;          /* of these, bytes already written */
    struct buffer waiting; /* behind them */
    bool resuming, ended;
};

struct nng_transport {
    struct combiner *combiner;
    struct bus_link *link;
    char url[64];
    bool listens;
    nng_stream_listener *listener;
    nng_stream_dialer *dialer;
    nng_aio *
        connector; /* accepts, dials, or waits to do so; always one of them while there is no reason not to */
    bool pausing;  /* the connector waits; its callback's own */
    nng_duration pause; /* the next wait, ms; its callback's own */

    pthread_mutex_t lock;
    struct connection *present; /* under lock: the peer's, from connect to end of stream */
    uint64_t serial;            /* under lock: of `present` */
    struct chunk *spare;        /* under lock */
    unsigned spares;            /* under lock */
    atomic_size_t queued;       /* bytes of chunks in the combiner's queue */

    struct connection *connection; /* inside the combiner: whose frames the link hears */
    atomic_bool up;                /* the link, as last seen */

    uint64_t stuck_serial, stuck_since; /* the tick's own */
};

/* nng_connection.c. The stream becomes the connection's. With the lock held. */
struct connection *connection_new(struct nng_transport *transport, nng_stream *stream);
/* Makes the end of the stream come; may be called again. With the lock held. */
void connection_close(struct connection *connection);
/* Inside the combiner. False: the connection is not usable any more. */
bool connection_send(struct connection *connection, struct bytes frame);

/* nng_transport.c: the connection's events, inside the combiner. */
void transport_begins(struct nng_transport *transport, struct connection *connection);
void transport_ends(struct nng_transport *transport, struct connection *connection);
void transport_hears(struct nng_transport *transport, struct connection *connection, struct bytes frame);
/* nng_transport.c: with the lock held, when the stream has ended and its end is queued. */
void transport_reconnects(struct nng_transport *transport);

#endif
