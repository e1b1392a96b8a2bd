/*
 * fanout: many watchers, puts, and what it takes until every watcher has got every event.
 *
 * A put is outstanding until it is acknowledged and all its events have arrived; connections x streams of
 * them may be, so that a server is measured at what it delivers, not at what it can put off. With a rate,
 * puts are due at fixed times and latencies count from then (bench.h). Every event is checked: none twice,
 * none out of order (watch_stream.h), and in the end each watcher's sum over (revision, put) equals that of
 * the acknowledged puts to its keys: none lost, none invented.
 *
 * FANOUT_KEYS: watcher i watches key i. FANOUT_PREFIX: all watch all keys. FANOUT_HOLD: as KEYS, but somebody
 * else puts: the watchers are kept until SIGTERM (standard output says "ready" once they are created).
 */
#ifndef QUORATE_LOAD_FANOUT_H
#define QUORATE_LOAD_FANOUT_H

#include "ops/load/grpc_client.h"
#include "ops/load/workload.h"

enum fanout_kind { FANOUT_KEYS, FANOUT_PREFIX, FANOUT_HOLD };

struct fanout_options {
    const struct grpc_endpoint *endpoints;
    size_t endpoint_count;
    enum fanout_kind kind;
    size_t watchers, watch_connections, watch_streams; /* streams on each connection */
    bool previous;                                     /* prev_kv */
    size_t connections, streams;                       /* of the puts */
    double rate, warmup_s, duration_s;
    struct workload workload; /* value_size at least 16 */
    bool json;
};

/* Blocks until done and prints the result. False when anything was wrong, lost or refused. */
bool fanout_run(const struct fanout_options *options);

#endif
