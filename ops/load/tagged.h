/*
 * tagged: the client side of a fault campaign. It writes what can be checked afterwards, records what it was
 * promised, and watches that no answer contradicts an earlier one.
 *
 * Writers, one request outstanding each, alternate between
 *   a tag       put /tag/<writer>/<n> = "<writer>,<n>", every n once: tells whether a write was lost or
 * doubled; a register  put /reg/<writer> = "<n>", growing (every 4th): tells whether a read goes back in
 * time. Readers, one request outstanding each, get registers, alternately linearizable and serializable.
 * Violations: backward    header revision, or a register's mod_revision or value, below what this client saw
 * before; stale       a linearizable answer older than what any client had been told before it was asked.
 *
 * The log file, one line a write that was sent (S tag, R register):
 *   A S|R <writer> <n> <revision>     acknowledged at header revision
 *   U S|R <writer> <n> <gRPC code>    outcome unknown (17: connection lost)
 *   X S|R <writer> <n> <gRPC code>    refused: surely not executed
 * Standard output, one line an event (times: CLOCK_MONOTONIC microseconds; class: write, linearizable,
 * serializable):
 *   ready
 *   gap <class> <client> <last success> <next success>       longer than gap_us
 *   recovered <mark> <class> <first> <all>    since `mark` a request started later succeeded for some / every
 * client violation <text> total acknowledged <a> unknown <u> refused <x> reads <r> violations <v> Standard
 * input: "mark <id>" starts measuring a recovery; "stop" or end of file ends the run.
 */
#ifndef QUORATE_LOAD_TAGGED_H
#define QUORATE_LOAD_TAGGED_H

#include "ops/load/grpc_client.h"

struct tagged_options {
    const struct grpc_endpoint *endpoints;
    size_t endpoint_count;
    size_t writers, readers; /* connections; a reader's has one linearizable and one serializable reader */
    uint64_t pause_us;       /* of a client between two requests */
    uint64_t gap_us;         /* 50 ms */
    uint64_t timeout_us;     /* a request unanswered for so long is given up; its outcome is unknown */
    const char *log_path;
};

/* Blocks until stopped. Returns the number of violations, or -1 when the log can't be written. */
long tagged_run(const struct tagged_options *options);

#endif
