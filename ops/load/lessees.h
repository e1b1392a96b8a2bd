/*
 * lessees: leases that are kept alive for a while and then left to end, or revoked; and what may never happen
 * to one of them.
 *
 * Each holder grants a lease, attaches keys to it in one transaction, renews it every third of its TTL for
 * some time, and then lets go. A watch of all these keys says when they were deleted:
 * - not before a TTL has passed since the last answered renewal was sent, unless the lease is revoked;
 * - all keys of a lease in one revision;
 * - not later than a TTL, an election timeout and some slack after the last renewal was sent, or after the
 * latest disturbance: an apply that begins anew, or a new leader, gives every lease its time once more.
 *
 * Key: LESSEES_PREFIX <number of the lease, 8 digits>/<k>. The IDs begin at LESSEES_FIRST_LEASE.
 */
#ifndef QUORATE_LOAD_LESSEES_H
#define QUORATE_LOAD_LESSEES_H

#include "ops/load/loop.h"
#include "ops/load/watch_message.h"

#define LESSEES_PREFIX "/l/"

struct lessees_options {
    size_t holders;
    uint64_t seed, timeout_us;
    /* A compaction nobody needs to be told of: the watch of the keys may be overtaken by it. */
    bool compacting;
    bool misremember; /* takes the first lease for renewed longer than it was (witness.h) */
    void (*violated)(void *owner, const char *what, int64_t seen, int64_t before);
    void *owner;
};

struct lessees_totals {
    uint64_t granted, renewed, expired, revoked;
};

struct lessees;

/* Connection 0 carries the watch, the holders share the others: at least two, which must outlive them. */
struct lessees *lessees_create(const struct lessees_options *options, struct grpc_connection *connections,
                               size_t connection_count);
/* go: may new leases be begun and old ones renewed? */
void lessees_run(struct lessees *lessees, uint64_t now, bool go);
/* Something was killed. */
void lessees_disturbed(struct lessees *lessees, uint64_t now);
/* Leases that are not known to have ended, or whose holders wait for an answer. */
size_t lessees_alive(const struct lessees *lessees);
const struct lessees_totals *lessees_totals(const struct lessees *lessees);
void lessees_free(struct lessees *lessees);

/* The lease a key belongs to. False: it is no key of a lease. */
bool lessees_key_parse(struct bytes key, size_t *lease);

#endif
