/*
 * expiry: many leases with keys that all end, and how punctually they do.
 *
 * (1) Grants the leases, (2) attaches the keys, one transaction a lease, and says "ready", (3) renews each
 * lease once, spread evenly over `spread_s`, and (4) waits, watching the deletions. A lease is due its TTL
 * after its renewal was *sent*: a deletion before that is an early one, a violation; after it, it is late by
 * so much. All keys of a lease must go in one revision.
 *
 * Key: <prefix><number of the lease, 8 digits>/<number of the key, 4 digits>. The IDs begin at
 * EXPIRY_FIRST_LEASE.
 */
#ifndef QUORATE_LOAD_EXPIRY_H
#define QUORATE_LOAD_EXPIRY_H

#include "ops/load/grpc_client.h"

enum { EXPIRY_FIRST_LEASE = 1 << 29, EXPIRY_KEYS_LIMIT = 128 };

struct expiry_options {
    const struct grpc_endpoint *endpoints;
    size_t endpoint_count;
    size_t leases, keys_each; /* 1 to EXPIRY_KEYS_LIMIT, etcd's limit for a transaction */
    uint64_t ttl_s;           /* longer than (1), (2) and half of (3) take */
    double spread_s;
    size_t connections, streams; /* of (1) and (2) */
    const char *prefix;
    bool json;
};

/* Blocks until every lease is gone, or for `ttl_s` + 10 minutes; prints the result. False when something
 * failed, was early, or is still there. */
bool expiry_run(const struct expiry_options *options);

#endif
