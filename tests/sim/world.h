/*
 * world: virtual time, the queue of what happens next, the trace, and the verdict on one run.
 *
 * Everything in a run happens inside an event taken from this queue, in order of (time, order of scheduling):
 * no thread, no real clock, no address decides anything, so a seed and a commit reproduce a run exactly.
 * Failures are noted (the first one is kept) and end the run; they never abort the program, so that a
 * campaign can go on. A PANIC inside a role does abort: main.c runs seeds in children for that reason.
 */
#ifndef QUORATE_SIM_WORLD_H
#define QUORATE_SIM_WORLD_H

#include "common/bytes.h"
#include "random.h"

struct world;
/* argument: whatever the scheduler needs to recognise a stale event (an incarnation, a connection number). */
typedef void (*world_action)(void *context, uint64_t argument);

struct world_counts {
    uint64_t events, kills, crashes, restarts, frames, frames_lost, frames_late, frames_twice;
    uint64_t operations, acknowledged, failed, unknown;
    uint64_t parts, jobs, fetches, releases, checkpoints, compactions,
        disk_faults; /* paths that a run may or may not take */
    uint64_t watches, watch_responses, watch_events, watch_compacted, watch_fragments, watch_progress;
    uint64_t leases, renewals, expiries, lease_checkpoints;
};

struct world_event {
    uint64_t at_us, order;
    world_action action;
    void *context;
    uint64_t argument;
};

struct world {
    uint64_t seed;
    uint64_t now_us;
    uint64_t hash;  /* of every line of the trace, printed or not */
    bool print;     /* print the trace to standard output */
    bool quiescent; /* the faults are over: delays are short, nothing is killed any more */
    bool failed;
    char failure[1024]; /* the first failure, one sentence */
    struct world_counts counts;
    struct world_event *heap;
    size_t heap_count, heap_capacity;
    uint64_t order;
};

void world_init(struct world *world, uint64_t seed, bool print);
void world_free(struct world *world);

/* Runs action(context, argument) after delay_us of virtual time, behind everything scheduled for then. */
void world_after(struct world *world, uint64_t delay_us, world_action action, void *context,
                 uint64_t argument);
/* Takes the next event. False when there is none at or before until_us, or the run has failed. */
bool world_step(struct world *world, uint64_t until_us);

/* One line of the trace, prefixed by the virtual time. */
void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The run has failed: a sentence naming what was expected and what was seen. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The run that is under way in this process; the log and clock stand-ins have no other way to find it. */
extern struct world *world_current;

#endif
