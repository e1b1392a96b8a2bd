/* fanout_parts: what the parts of fanout share: watching (fanout.c), putting, and reporting. */
#ifndef QUORATE_LOAD_FANOUT_PARTS_H
#define QUORATE_LOAD_FANOUT_PARTS_H

#include "ops/load/fanout.h"
#include "ops/load/histogram.h"
#include "ops/load/loop.h"
#include "ops/load/watch_stream.h"

enum { FANOUT_SHOWN = 10, FANOUT_IDLE_NS = 20 * 1000 * 1000 };

struct fan_watcher {
    struct watcher watch; /* first */
    uint64_t sum, count;  /* of the events it got */
};

/* What the acknowledged puts to a key add up to. */
struct tally {
    uint64_t sum, count;
};

struct put {
    struct grpc_call call; /* first: a call is its put */
    struct fanout *fanout;
    struct grpc_connection *connection;
    struct put *next_free;
    uint64_t number, key;
    uint64_t due_ns;
    size_t missing; /* events */
    bool waiting;   /* for the acknowledgement */
};

struct fanout {
    const struct fanout_options *options;
    struct loop loop;
    struct watch_stream *streams;
    size_t stream_count;
    struct fan_watcher *watchers;
    size_t live;
    size_t *watchers_of; /* keys: how many watch each */
    struct tally *tallies;
    struct put *puts, *free_puts;
    size_t put_count, outstanding;
    uint64_t random, issued;
    double interval_ns;
    uint64_t start_ns, measure_ns, end_ns;
    bool stopping;
    double create_s, elapsed_s;
    uint64_t events, span_events, acknowledged, failed, ended_streams;
    long violations;
    struct histogram event_latency, put_latency;
};

static inline bool fanout_everybody(const struct fanout *fanout) {
    return fanout->options->kind == FANOUT_PREFIX;
}

/* fanout_puts.c */
void fanout_make_puts(struct fanout *fanout);
/* Starts every put that is due on a free slot. */
void fanout_start_puts(struct fanout *fanout);
/* Nanoseconds until a put is due. */
uint64_t fanout_wait_time(const struct fanout *fanout, uint64_t now);
/* The slot is free again once the put is acknowledged and has no event missing. */
void fanout_release(struct put *put);
/* Reads the number of the put out of a value. */
bool fanout_read_number(struct bytes value, uint64_t *number);

/* fanout_report.c: how many watchers got more or less than was put; the result. */
size_t fanout_compare(const struct fanout *fanout);
void fanout_report(const struct fanout *fanout, size_t wrong);

#endif
