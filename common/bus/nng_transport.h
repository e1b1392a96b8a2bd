/*
 * nng_transport: bus frames over nng's ipc streams, the only files that know nng (nng_*.c).
 *
 * Why streams and not pair1 sockets. In Debian's nng 1.5.2 the socket layer above the streams fails in ways
 * that cannot be repaired from outside; all were reproduced here:
 * - a connect-and-close deafens an ipc listener for good, and a peer that dies while we connect to it ends
 * our dialer (#1518: EPIPE during the negotiation is taken for "closed by us");
 * - a pipe that is closed while a message is half received is never given back (its next read is refused
 * without completing), the one reaper thread of the process waits for it for ever, and no connection of the
 * process is ever replaced again: killing a busy peer did this (figures in ARCHITECTURE.md);
 * - messages queued for a dead peer reach the next one; a rejected second peer's messages vanish.
 * The streams below know none of this, and cost less: one read and one thread hop a frame instead of two or
 * three.
 *
 * What is left to guard: a listener must go on accepting whatever its guests do, a dialer go on dialing;
 * there is one peer at a time; an operation must not be started on a closed stream (it never completes); a
 * name is held by one process only. Names are relative to the runtime directory (0700), sockets 0600.
 *
 * Every event (connected, disconnected, frames) is posted to the daemon's combiner and handled inside it by
 * the link, on the nng thread that brought it when the role is idle.
 */
#ifndef QUORATE_COMMON_BUS_NNG_TRANSPORT_H
#define QUORATE_COMMON_BUS_NNG_TRANSPORT_H

#include "common/bus/bus.h"
#include "common/combiner.h"

struct nng_transport;

/*
 * Opens one socket. listen: we own the name and listen on "ipc://<socket_name>", else we dial (and redial for
 * ever, 10 to 50 ms). The handler is the role's. Returns NULL and logs when the name cannot be listened on
 * (a live process holds it). The link is in nng_transport_link(). Callbacks may run before this returns: open
 * between combiner_enter and combiner_leave, so that none does before the role knows all its links.
 */
struct nng_transport *nng_transport_open(const char *socket_name, bool listen, struct combiner *combiner,
                                         enum bus_role own_role, uint8_t own_slot, enum bus_role peer_role,
                                         uint8_t peer_slot, uint64_t incarnation, struct bus_handler handler);
struct bus_link *nng_transport_link(struct nng_transport *transport);
/*
 * Call about every 100 ms, outside the combiner, always from the same thread: closes a connection whose
 * handshake comes to no end (a stranger in the peer's place) after a second.
 */
void nng_transport_tick(struct nng_transport *transport, uint64_t now_ms);

#endif
