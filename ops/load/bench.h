/*
 * bench: drives a server with a workload and measures.
 *
 * Closed loop (rate 0): every stream sends its next request when its last is answered. Open loop: requests
 * are due at a fixed rate whatever the server does, and a latency counts from the moment a request was due,
 * so a server that stalls cannot hide it (no coordinated omission).
 *
 * SIGINT and SIGTERM end a measurement early; what was measured until then is the result. A server that
 * nobody can connect to for 10 seconds ends it without one.
 */
#ifndef QUORATE_LOAD_BENCH_H
#define QUORATE_LOAD_BENCH_H

#include "ops/load/grpc_client.h"
#include "ops/load/windows.h"
#include "ops/load/workload.h"

struct bench_options {
    const struct grpc_endpoint *endpoints;
    size_t endpoint_count;
    size_t threads, connections, streams;
    double rate;                 /* requests a second, all threads together; 0: closed loop */
    double warmup_s, duration_s; /* answers during warm-up are not measured */
    uint64_t requests;           /* instead of a duration: stop after so many; 0: by duration */
    bool prefill;                /* first write every key once, in order */
    bool prefill_only, progress;
    double window_s; /* also latencies by windows of this length; 0: not */
    struct workload workload;
};

struct bench_result {
    double elapsed_s;   /* the measured span */
    uint64_t completed; /* all answers, warm-up and stragglers too: what the server's CPU time was spent on */
    uint64_t prefilled;
    double prefill_s;
    uint64_t dropped;                          /* connections lost or refused */
    uint64_t outcomes[GRPC_OUTCOMES];          /* all answers by gRPC code */
    struct histogram latency[OPERATION_COUNT]; /* of what succeeded within the span */
    double began_s;                            /* when the span began: CLOCK_MONOTONIC */
    struct windows windows;                    /* by when a request was due, all operations together */
};

/* Blocks until done. The result is large: allocate it zeroed; bench_result_free frees what it holds.
 * False: no server; a message has been printed. */
bool bench_run(const struct bench_options *options, struct bench_result *result);
void bench_result_free(struct bench_result *result);

#endif
