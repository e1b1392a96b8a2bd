/*
 * nng_transport: bus frames over nng pair1 on ipc://, the only file pair that knows nng.
 *
 * Debian's nng 1.5.2 needs guarding (building-blocks.md 1): a connect-and-close deafens an ipc listener
 * (#1518), a rejected second peer's messages vanish, queued messages reach the next incarnation, closing
 * sockets may crash. So: names are relative to the runtime directory (0700), sockets 0600, the listener is
 * watched and re-created when it has been without a peer for a second, nothing is closed while the daemon
 * lives, exactly one receive is outstanding a socket, and sends never block and carry no completion.
 *
 * Every event (connected, disconnected, frame) is posted to the daemon's combiner and handled inside it by
 * the link, on the nng thread that brought it when the role is idle.
 */
#ifndef QUORATE_COMMON_BUS_NNG_TRANSPORT_H
#define QUORATE_COMMON_BUS_NNG_TRANSPORT_H

#include "common/bus/bus.h"
#include "common/combiner.h"

struct nng_transport;

/*
 * Opens one socket. listen: we own the name and listen on "ipc://<socket_name>", else we dial (and redial for
 * ever, 10 to 200 ms). The handler is the role's. Returns NULL and logs when the name cannot be listened on
 * (a live process holds it). The link is in nng_transport_link(). Callbacks may run before this returns: open
 * between combiner_enter and combiner_leave, so that none does before the role knows all its links.
 */
struct nng_transport *nng_transport_open(const char *socket_name, bool listen, struct combiner *combiner,
                                         enum bus_role own_role, uint8_t own_slot, enum bus_role peer_role,
                                         uint8_t peer_slot, uint64_t incarnation, struct bus_handler handler);
struct bus_link *nng_transport_link(struct nng_transport *transport);
/* Call about every 100 ms, outside the combiner, always from the same thread: revives a deaf listener. */
void nng_transport_tick(struct nng_transport *transport, uint64_t now_ms);

#endif
