/*
 * witness: the client side of a watch campaign. Many watchers of many kinds, kept alive while daemons die,
 * and in the end each one's events compared with the store's whole history.
 *
 * Writers change the store (churn.h). Watchers ask for single keys, one writer's keys, several writers' keys
 * or everything; some with prev_kv, some with filters. Some begin now, some at old revisions; they are ended
 * and begun anew at random moments. Some connections are read slowly: in bursts, or by trickles. They resume
 * like clientv3's (watch_stream.h), also from the revisions of progress answers. What one watch saw from its
 * creation to its end is an *episode*; its digest must be that of the history from its first revision to its
 * last. Every stream that is not slow has a watcher on the pulse: by it the recovery after a kill is
 * measured.
 *
 * Standard input: "mark <id>" begins measuring a recovery; "stop" or end of file ends the run: writers stop,
 * the history is read and checked (history.h), watchers get time to catch up, episodes are compared. Standard
 * output, one line an event (times: CLOCK_MONOTONIC microseconds): ready recovered <mark> watch <first> <all>
 * the first / every stream has got a pulse put after the mark violation <text> total <name> <number> ...
 */
#ifndef QUORATE_LOAD_WITNESS_H
#define QUORATE_LOAD_WITNESS_H

#include "ops/load/grpc_client.h"

/* Does one thing wrong, to see that the comparison finds it. */
enum witness_plant {
    PLANT_NOTHING,
    PLANT_DROP,    /* a watcher overlooks an event */
    PLANT_DOUBLE,  /* sees one twice */
    PLANT_ALTER,   /* sees another version */
    PLANT_PROMISE, /* a writer remembers another write than it was promised */
    PLANT_LEASE    /* a holder takes its lease for renewed */
};

struct witness_options {
    const struct grpc_endpoint *endpoints;
    size_t endpoint_count;
    size_t watchers, writers, lessees;
    double rate;      /* writes a second */
    uint64_t seed;    /* of what is written and watched; not of when it happens */
    bool no_progress; /* ask for no progress answers (etcd before 3.4.25 gives them too early) */
    uint64_t timeout_us;
    uint64_t compact_every_us, compact_keep; /* 0: never; revisions that are left */
    enum witness_plant plant;
};

/* Blocks until stopped and compared. Returns the number of violations. */
long witness_run(const struct witness_options *options);

#endif
