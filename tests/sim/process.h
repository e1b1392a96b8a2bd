/*
 * process: what the simulator knows of one daemon: whether it lives, when it may be interrupted, and its
 * rounds.
 *
 * A daemon's code runs only between process_enter and process_leave, as it runs only inside its combiner in
 * production. What follows a round is as there: after the events that came together, `end_round` runs once, a
 * little later, and whatever arrives meanwhile belongs to the same round.
 *
 * Being killed in the middle. Every operation that the outside can see (a frame sent, a disk or store
 * operation) is a boundary: process_boundary() says whether it still takes effect. When a kill is armed and
 * its count runs out, the process becomes a zombie: its code runs on to the end of the event, but nothing it
 * does has an effect any more, and when it leaves, it is torn down. To everyone else it died at that
 * boundary.
 */
#ifndef QUORATE_SIM_PROCESS_H
#define QUORATE_SIM_PROCESS_H

#include <setjmp.h>

#include "world.h"

struct process {
    struct world *world;
    struct random *random;
    const char *name;
    bool alive;
    bool zombie;          /* killed in the middle of what runs now */
    bool round_open;      /* events were handled, end_round is scheduled */
    uint64_t incarnation; /* counts starts; tells stale events from ours */
    uint64_t kill_after;  /* boundaries until an armed kill; 0: none is armed */
    bool kill_is_crash;   /* the armed kill takes the whole machine */
    jmp_buf escape;       /* where log_exit() returns to */
    void (*end_round)(void *context);
    /* Tears the process down; called outside its code. crash: the machine goes with it. */
    void (*died)(void *context, bool crash);
    void *context;
};

/* Runs body(context, argument) inside the process if it lives, and opens a round. */
void process_run(struct process *process, world_action body, void *context, uint64_t argument);
/* The same without a round behind it: I/O done outside the combiner. */
void process_run_outside(struct process *process, world_action body, void *context, uint64_t argument);
/* At every operation that can be seen from outside. False: it must have no effect. */
bool process_boundary(struct process *process);
/* Kills it now, or, when its code is running, at this point of it. */
void process_kill(struct process *process, bool crash);
/* The process whose code runs, or NULL. */
extern struct process *process_current;

#endif
