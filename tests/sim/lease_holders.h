/*
 * lease_holders: clients that hold leases: grant one, hang keys on it, keep it alive for a while, ask about
 * it, and in the end revoke it or let it expire. Several know the same few ids, so that one meets what
 * another did.
 */
#ifndef QUORATE_SIM_LEASE_HOLDERS_H
#define QUORATE_SIM_LEASE_HOLDERS_H

#include "asking.h"

enum {
    LEASE_SHARED_IDS = 5,      /* ids 1.. that anybody may name in a put */
    LEASE_SHORT_SECONDS = 3,   /* the longest TTL of a lease that is to expire in a run */
    LEASE_LONG_SECONDS = 1000, /* one that is not; */
    LEASE_LONG_IDS = 1000000,  /* their ids begin here */
};

struct lease_holders;

struct lease_holders *lease_holders_new(struct world *world, struct node *node, struct history *history);
void lease_holders_free(struct lease_holders *holders);
void lease_holders_start(struct lease_holders *holders);
void lease_holders_proxy_died(struct lease_holders *holders, unsigned slot);
/* Nothing is asked from now on: what is left of the leases expires. */
void lease_holders_stop(struct lease_holders *holders);
/* Asks which leases there are. */
struct operation *lease_holders_list(struct lease_holders *holders);

#endif
