/*
 * sim_bus: the transport below a bus link, as hostile as nng on ipc:// can be, and then some.
 *
 * An edge joins two processes. While both live, it connects after a delay (sometimes long: a deaf listener);
 * each end hears of a connection and of its end at its own time. Frames travel in order with random delays.
 * When a connection ends, what is under way is, by chance, lost from some point on, delivered late (even into
 * the next connection), kept for the next incarnation of a dead receiver, or delivered a second time to it.
 * Only what no transport does is left out: a frame is never changed, and frames never overtake each other.
 */
#ifndef QUORATE_SIM_BUS_H
#define QUORATE_SIM_BUS_H

#include "common/bus/bus.h"
#include "process.h"

struct edge;
struct edge_end;

/* name: the socket's, borrowed. Process 0 listens, process 1 dials. Both must outlive the edge. */
struct edge *edge_new(struct world *world, struct random *random, const char *name, struct process *listener,
                      struct process *dialer);
void edge_free(struct edge *edge);
/* side 0: the listener's. */
struct edge_end *edge_side(struct edge *edge, unsigned side);
/* What the link of this end sends through; valid while its process lives. */
struct bus_transport edge_transport(struct edge_end *end);
/* The end's process has started and opened its socket. The link stays the caller's. */
void edge_open(struct edge_end *end, struct bus_link *link);
/* The end's process is dead (before its link is freed). */
void edge_close(struct edge_end *end);
/* Ends a connection although both processes live. */
void edge_break(struct edge *edge);

#endif
