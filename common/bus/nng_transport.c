/*
 * nng_transport: see nng_transport.h for what it guards against.
 *
 * Order of events. One receive is outstanding. Its callback first fixes the frame's place in the combiner's
 * queue, then re-arms, then runs the role. Re-arming first would let another thread queue the next frame
 * ahead of this one; re-arming after the role ran would leave the socket unread during an fdatasync. Queueing
 * is one short lock, so this order costs nothing and the next frame joins the round that is under way.
 *
 * Pipes. nng tells of a pipe's start and end on threads of its own, so the frames of a new pipe may overtake
 * its ADD_POST, and REM_POST of the old pipe (or of a rejected one) may come after ADD_POST of the new.
 * `watch` puts that in order: every event names its pipe; a frame of an unknown pipe announces it; a pipe
 * that was replaced or removed is remembered and never heard again.
 *
 * Sending. nng_sendmsg with NNG_FLAG_NONBLOCK takes no completion, so no thread hop. The link's window keeps
 * fewer frames under way than SENDBUF holds; should the buffer be full nevertheless, the pipe is closed and
 * both ends shake hands anew.
 */
#include "common/bus/nng_transport.h"

#include <nng/nng.h>
#include <nng/protocol/pair1/pair.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

enum {
    SEND_BUFFER = 128, /* messages; above BUS_WINDOW_FRAMES plus what a handshake needs */
    RECEIVE_BUFFER = 64,
    RECONNECT_MIN_MS = 10,
    RECONNECT_MAX_MS = 200,
    DEAF_AFTER_MS = 1000,  /* a listener without a pipe for so long is made anew */
    STUCK_AFTER_MS = 1000, /* a pipe without a completed handshake for so long is closed */
    PIPES_REMEMBERED = 32,
};
_Static_assert(SEND_BUFFER >= 2 * BUS_WINDOW_FRAMES, "a window of frames must fit twice");

/* Which pipe is the peer; kept under `lock` by nng's threads and the tick. */
struct pipe_watch {
    pthread_mutex_t lock;
    uint32_t present; /* 0: none */
    uint32_t gone[PIPES_REMEMBERED];
    size_t next_gone;
};

struct nng_transport {
    nng_socket socket;
    nng_aio *receive;
    struct combiner *combiner;
    struct bus_link *link;
    struct pipe_watch watch;
    char url[64];
    bool listens;

    /* inside the combiner */
    uint32_t pipe; /* whose frames the link hears */
    _Atomic(bool) up;

    /* the tick's own */
    nng_listener listener;
    bool listening;
    bool peer_seen;      /* since the listener was made */
    uint64_t revived_at; /* ms; when the listener was made, or the last tick with a peer */
    uint32_t stuck_pipe;
    uint64_t stuck_since;
};

enum event_kind { EVENT_CONNECTED, EVENT_DISCONNECTED, EVENT_FRAME };

struct transport_event {
    struct combiner_event base;
    struct nng_transport *transport;
    enum event_kind kind;
    uint32_t pipe;
    nng_msg *message;
};

static void handle_event(struct combiner_event *base) {
    struct transport_event *event = (struct transport_event *)base;
    struct nng_transport *transport = event->transport;
    switch (event->kind) {
    case EVENT_CONNECTED:
        transport->pipe = event->pipe;
        bus_link_connected(transport->link);
        break;
    case EVENT_DISCONNECTED:
        transport->pipe = 0;
        bus_link_disconnected(transport->link);
        break;
    case EVENT_FRAME:
        bus_link_frame(transport->link, bytes_of(nng_msg_body(event->message), nng_msg_len(event->message)));
        nng_msg_free(event->message);
        break;
    }
    atomic_store_explicit(&transport->up, bus_link_is_up(transport->link), memory_order_relaxed);
    free(event);
}

static void queue_event(struct nng_transport *transport, enum event_kind kind, uint32_t pipe,
                        nng_msg *message) {
    struct transport_event *event = must_alloc(sizeof *event);
    *event = (struct transport_event){
        .base.handle = handle_event, .transport = transport, .kind = kind, .pipe = pipe, .message = message};
    combiner_queue(transport->combiner, &event->base);
}

/* --- the pipe watch; all with the lock held, so that events are queued in the order of the decisions --- */

static bool is_gone(const struct pipe_watch *watch, uint32_t pipe) {
    for (size_t i = 0; i < PIPES_REMEMBERED; i++) {
        if (watch->gone[i] == pipe)
            return true;
    }
    return false;
}

static void remember_gone(struct pipe_watch *watch, uint32_t pipe) {
    if (is_gone(watch, pipe))
        return;
    watch->gone[watch->next_gone] = pipe;
    watch->next_gone = (watch->next_gone + 1) % PIPES_REMEMBERED;
}

/* True when the pipe is the peer from here on. */
static bool adopt(struct nng_transport *transport, uint32_t pipe) {
    struct pipe_watch *watch = &transport->watch;
    if (pipe == watch->present)
        return true;
    if (is_gone(watch, pipe))
        return false;
    if (watch->present != 0) {
        remember_gone(watch, watch->present);
        queue_event(transport, EVENT_DISCONNECTED, watch->present, NULL);
    }
    watch->present = pipe;
    queue_event(transport, EVENT_CONNECTED, pipe, NULL);
    return true;
}

static void dismiss(struct nng_transport *transport, uint32_t pipe) {
    remember_gone(&transport->watch, pipe);
    if (transport->watch.present == pipe) {
        transport->watch.present = 0;
        queue_event(transport, EVENT_DISCONNECTED, pipe, NULL);
    }
}

/* --- nng's callbacks --- */

static uint32_t pipe_number(nng_pipe pipe) {
    int id = nng_pipe_id(pipe);
    return id < 0 ? 0 : (uint32_t)id;
}

/* Only our own user (or root) may talk to a daemon; the directory's mode says the same. */
static void check_peer(nng_pipe pipe, nng_pipe_ev event, void *context) {
    (void)event;
    struct nng_transport *transport = context;
    uint64_t user = UINT64_MAX;
    int error = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &user);
    if (error == 0 && (user == getuid() || user == 0))
        return;
    LOG_WARN("bus peer of another user rejected", F_STR("socket", transport->url), F_U64("user", user));
    (void)nng_pipe_close(pipe);
}

static void pipe_event(nng_pipe pipe, nng_pipe_ev event, void *context) {
    struct nng_transport *transport = context;
    pthread_mutex_lock(&transport->watch.lock);
    if (event == NNG_PIPE_EV_ADD_POST)
        (void)adopt(transport, pipe_number(pipe));
    else
        dismiss(transport, pipe_number(pipe));
    pthread_mutex_unlock(&transport->watch.lock);
    combiner_run(transport->combiner);
}

static void queue_frame(struct nng_transport *transport, nng_msg *message) {
    uint32_t pipe = pipe_number(nng_msg_get_pipe(message));
    pthread_mutex_lock(&transport->watch.lock);
    bool heard = adopt(transport, pipe);
    if (heard)
        queue_event(transport, EVENT_FRAME, pipe, message);
    pthread_mutex_unlock(&transport->watch.lock);
    if (!heard)
        nng_msg_free(message);
}

static void received(void *context) {
    struct nng_transport *transport = context;
    int error = nng_aio_result(transport->receive);
    if (error == NNG_ECLOSED)
        return;
    if (error == 0)
        queue_frame(transport, nng_aio_get_msg(transport->receive));
    else
        LOG_WARN("bus receive failed", F_STR("socket", transport->url), F_STR("error", nng_strerror(error)));
    nng_recv_aio(transport->socket, transport->receive);
    combiner_run(transport->combiner);
}

/* --- sending: inside the combiner --- */

static bool send_frame(void *context, struct bytes frame) {
    struct nng_transport *transport = context;
    nng_msg *message = NULL;
    if (nng_msg_alloc(&message, frame.length) != 0)
        PANIC("out of memory: %zu bytes", frame.length);
    memcpy(nng_msg_body(message), frame.data, frame.length);
    int error = nng_sendmsg(transport->socket, message, NNG_FLAG_NONBLOCK);
    if (error == 0)
        return true;
    nng_msg_free(message);
    LOG_WARN("bus send failed", F_STR("socket", transport->url), F_STR("error", nng_strerror(error)));
    (void)nng_pipe_close((nng_pipe){.id = transport->pipe});
    return false;
}

/* --- opening --- */

static int start_listener(struct nng_transport *transport) {
    int error = nng_listener_create(&transport->listener, transport->socket, transport->url);
    if (error != 0)
        return error;
    error = nng_listener_set_int(transport->listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    if (error == 0)
        error = nng_listener_start(transport->listener, 0);
    if (error != 0)
        (void)nng_listener_close(transport->listener);
    transport->listening = error == 0;
    return error;
}

static int start_dialer(struct nng_transport *transport) {
    nng_dialer dialer;
    int error = nng_dialer_create(&dialer, transport->socket, transport->url);
    return error != 0 ? error : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static int open_socket(struct nng_transport *transport) {
    int error = nng_pair1_open(&transport->socket);
    if (error != 0)
        return error;
    nng_socket socket = transport->socket;
    const struct {
        const char *option;
        int value;
    } numbers[] = {{NNG_OPT_SENDBUF, SEND_BUFFER}, {NNG_OPT_RECVBUF, RECEIVE_BUFFER}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && error == 0; i++)
        error = nng_socket_set_int(socket, numbers[i].option, numbers[i].value);
    if (error == 0)
        error = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    if (error == 0)
        error = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (error == 0)
        error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, BUS_FRAME_LIMIT);
    if (error == 0)
        error = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, check_peer, transport);
    if (error == 0)
        error = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, pipe_event, transport);
    if (error == 0)
        error = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, pipe_event, transport);
    if (error == 0)
        error = nng_aio_alloc(&transport->receive, received, transport);
    return error;
}

struct nng_transport *nng_transport_open(const char *socket_name, bool listen, struct combiner *combiner,
                                         enum bus_role own_role, uint8_t own_slot, enum bus_role peer_role,
                                         uint8_t peer_slot, uint64_t incarnation,
                                         struct bus_handler handler) {
    struct nng_transport *transport = must_zalloc(sizeof *transport);
    transport->combiner = combiner;
    transport->listens = listen;
    (void)snprintf(transport->url, sizeof transport->url, "ipc://%s", socket_name);
    REQUIRE(pthread_mutex_init(&transport->watch.lock, NULL) == 0);
    transport->link = bus_link_new(socket_name, own_role, own_slot, peer_role, peer_slot, incarnation,
                                   (struct bus_transport){.send = send_frame, .context = transport}, handler);
    int error = open_socket(transport);
    if (error == 0) {
        nng_recv_aio(transport->socket, transport->receive);
        error = listen ? start_listener(transport) : start_dialer(transport);
    }
    if (error != 0) {
        /* The caller ends the process: nothing is closed, as closing sockets is what nng 1.5.2 does worst. */
        LOG_ERROR("cannot open bus socket", F_STR("socket", transport->url),
                  F_STR("error", nng_strerror(error)));
        return NULL;
    }
    return transport;
}

struct bus_link *nng_transport_link(struct nng_transport *transport) {
    return transport->link;
}

/* --- the tick --- */

static void revive_listener(struct nng_transport *transport, uint64_t now_ms) {
    transport->revived_at = now_ms;
    if (transport->listening)
        (void)nng_listener_close(transport->listener);
    int error = start_listener(transport);
    if (error != 0)
        LOG_WARN("cannot listen again", F_STR("socket", transport->url), F_STR("error", nng_strerror(error)));
}

/*
 * nng 1.5.2 stops accepting for good when a connection ends during its negotiation, and nothing tells. So a
 * listener that lost its peer is made anew at the next tick, and then every second until the peer is back.
 */
static void watch_listener(struct nng_transport *transport, uint32_t present, uint64_t now_ms) {
    if (present != 0 || transport->revived_at == 0) {
        transport->peer_seen = present != 0;
        transport->revived_at = now_ms;
        return;
    }
    if (transport->peer_seen || now_ms - transport->revived_at >= DEAF_AFTER_MS) {
        transport->peer_seen = false;
        revive_listener(transport, now_ms);
    }
}

/* A pipe whose handshake does not come to an end (its HELLO was lost with an earlier pipe) is tried anew. */
static void watch_handshake(struct nng_transport *transport, uint32_t present, uint64_t now_ms) {
    bool up = atomic_load_explicit(&transport->up, memory_order_relaxed);
    if (present == 0 || up || present != transport->stuck_pipe) {
        transport->stuck_pipe = present;
        transport->stuck_since = now_ms;
    } else if (now_ms - transport->stuck_since >= STUCK_AFTER_MS) {
        transport->stuck_since = now_ms;
        (void)nng_pipe_close((nng_pipe){.id = present});
    }
}

void nng_transport_tick(struct nng_transport *transport, uint64_t now_ms) {
    pthread_mutex_lock(&transport->watch.lock);
    uint32_t present = transport->watch.present;
    pthread_mutex_unlock(&transport->watch.lock);
    if (transport->listens)
        watch_listener(transport, present, now_ms);
    watch_handshake(transport, present, now_ms);
}
