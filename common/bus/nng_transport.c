/*
 * nng_transport: the endpoint of one link: listens or dials, admits one peer, and binds it to the link.
 *
 * The connector is one operation that is always under way: accept (again and again), or dial until there is a
 * peer and again when it is gone. A failed attempt pauses it, 10 to 50 ms. Its callback and those of the
 * connection queue their events in the order in which they happen and then run the role (combiner.h).
 *
 * A connection that comes while the peer's lives is closed at once: a dialer tries again, and the end of a
 * dead peer's stream has been seen by then. A stranger that takes the place and says nothing is thrown out by
 * the tick.
 */
#include "common/bus/nng_transport.h"

#include <stdio.h>
#include <unistd.h>

#include "common/bus/nng_internal.h"
#include "common/log.h"

enum {
    PAUSE_MIN_MS = 10,
    PAUSE_MAX_MS = 50,
    STUCK_AFTER_MS = 1000, /* a connection without a completed handshake for so long is closed */
};

/* --- inside the combiner --- */

static void note_state(struct nng_transport *transport) {
    atomic_store(&transport->up, bus_link_is_up(transport->link));
}

void transport_begins(struct nng_transport *transport, struct connection *connection) {
    transport->connection = connection;
    bus_link_connected(transport->link);
    note_state(transport);
}

void transport_ends(struct nng_transport *transport, struct connection *connection) {
    if (transport->connection != connection)
        return;
    transport->connection = NULL;
    bus_link_disconnected(transport->link);
    note_state(transport);
}

void transport_hears(struct nng_transport *transport, struct connection *connection, struct bytes frame) {
    if (transport->connection != connection)
        return;
    bus_link_frame(transport->link, frame);
    note_state(transport);
}

static bool send_frame(void *context, struct bytes frame) {
    struct nng_transport *transport = context;
    return transport->connection != NULL && connection_send(transport->connection, frame);
}

/* --- the connector --- */

static void connect_now(struct nng_transport *transport) {
    transport->pausing = false;
    if (transport->listens)
        nng_stream_listener_accept(transport->listener, transport->connector);
    else
        nng_stream_dialer_dial(transport->dialer, transport->connector);
}

static void connect_later(struct nng_transport *transport) {
    transport->pausing = true;
    nng_duration pause = transport->pause;
    transport->pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    nng_sleep_aio(pause, transport->connector);
}

/* A listener never stopped accepting. */
void transport_reconnects(struct nng_transport *transport) {
    if (!transport->listens)
        connect_later(transport);
}

/* Only our own user (or root) may talk to a daemon; the directory's mode says the same. */
static bool is_allowed(const struct nng_transport *transport, nng_stream *stream) {
    uint64_t user = UINT64_MAX;
    int error = nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &user);
    if (error == 0 && (user == getuid() || user == 0))
        return true;
    LOG_WARN("bus peer of another user rejected", F_STR("socket", transport->url), F_U64("user", user));
    return false;
}

/* True when the stream became the peer's. */
static bool admit(struct nng_transport *transport, nng_stream *stream) {
    bool allowed = is_allowed(transport, stream);
    pthread_mutex_lock(&transport->lock);
    bool admitted = allowed && transport->present == NULL;
    if (admitted) {
        transport->pause = PAUSE_MIN_MS;
        transport->serial++;
        transport->present = connection_new(transport, stream);
    }
    pthread_mutex_unlock(&transport->lock);
    if (!admitted) {
        nng_stream_close(stream);
        nng_stream_free(stream);
    }
    return admitted;
}

static void connected(void *context) {
    struct nng_transport *transport = context;
    int error = nng_aio_result(transport->connector);
    if (transport->pausing) {
        connect_now(transport);
        return;
    }
    bool admitted = error == 0 && admit(transport, nng_aio_get_output(transport->connector, 0));
    if (transport->listens && error == 0)
        connect_now(transport);
    else if (!admitted)
        connect_later(transport);
    combiner_run(transport->combiner);
}

/* --- opening --- */

static int open_listener(struct nng_transport *transport) {
    int error = nng_stream_listener_alloc(&transport->listener, transport->url);
    if (error == 0)
        error = nng_stream_listener_set_int(transport->listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    if (error == 0)
        error = nng_stream_listener_listen(transport->listener);
    return error;
}

static int open_endpoint(struct nng_transport *transport) {
    int error = transport->listens ? open_listener(transport)
                                   : nng_stream_dialer_alloc(&transport->dialer, transport->url);
    return error != 0 ? error : nng_aio_alloc(&transport->connector, connected, transport);
}

struct nng_transport *nng_transport_open(const char *socket_name, bool listen, struct combiner *combiner,
                                         enum bus_role own_role, uint8_t own_slot, enum bus_role peer_role,
                                         uint8_t peer_slot, uint64_t incarnation,
                                         struct bus_handler handler) {
    struct nng_transport *transport = must_zalloc(sizeof *transport);
    transport->combiner = combiner;
    transport->listens = listen;
    transport->pause = PAUSE_MIN_MS;
    (void)snprintf(transport->url, sizeof transport->url, "ipc://%s", socket_name);
    REQUIRE(pthread_mutex_init(&transport->lock, NULL) == 0);
    transport->link = bus_link_new(socket_name, own_role, own_slot, peer_role, peer_slot, incarnation,
                                   (struct bus_transport){.send = send_frame, .context = transport}, handler);
    int error = open_endpoint(transport);
    if (error != 0) {
        LOG_ERROR("cannot open bus socket", F_STR("socket", transport->url),
                  F_STR("error", nng_strerror(error)));
        return NULL; /* the caller ends the process: nothing is taken apart */
    }
    connect_now(transport);
    return transport;
}

struct bus_link *nng_transport_link(struct nng_transport *transport) {
    return transport->link;
}

void nng_transport_tick(struct nng_transport *transport, uint64_t now_ms) {
    bool up = atomic_load(&transport->up);
    pthread_mutex_lock(&transport->lock);
    if (transport->present == NULL || up || transport->serial != transport->stuck_serial) {
        transport->stuck_serial = transport->serial;
        transport->stuck_since = now_ms;
    } else if (now_ms - transport->stuck_since >= STUCK_AFTER_MS) {
        transport->stuck_since = now_ms;
        connection_close(transport->present);
    }
    pthread_mutex_unlock(&transport->lock);
}
