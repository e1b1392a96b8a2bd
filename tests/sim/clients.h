/*
 * clients: several clients, one request at a time each, calling the proxies' role loops as the HTTP side
 * does: few hot keys, unique values, compare-and-swap, reads of both kinds, cancellations, short deadlines. A
 * client whose proxy dies goes to another.
 */
#ifndef QUORATE_SIM_CLIENTS_H
#define QUORATE_SIM_CLIENTS_H

#include "history.h"
#include "node.h"

struct clients;

struct clients *clients_new(struct world *world, struct node *node, struct history *history);
void clients_free(struct clients *clients);
void clients_start(struct clients *clients);
/* No new requests from now on. */
void clients_stop(struct clients *clients);
void clients_proxy_died(struct clients *clients, unsigned slot);
/* A put and a read of everything through this proxy, outside the clients' own rhythm. */
struct operation *clients_probe_write(struct clients *clients, unsigned slot);
/* revision 0: the present one. */
struct operation *clients_probe_read(struct clients *clients, unsigned slot, uint64_t revision);
/* Compacts up to the revision, and waits until what is below is gone. */
struct operation *clients_probe_compact(struct clients *clients, unsigned slot, uint64_t revision);

/* Planted bug: some writes are handed to the proxy twice. */
extern bool clients_plant_twice;

#endif
