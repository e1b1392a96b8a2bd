/* process: see process.h. */
#include "process.h"

enum { ROUND_LONGEST_US = 200 };

struct process *process_current;

void process_run_outside(struct process *process, world_action body, void *context, uint64_t argument) {
    if (!process->alive)
        return;
    REQUIRE(process_current == NULL);
    process_current = process;
    if (setjmp(process->escape) == 0)
        body(context, argument);
    else if (!process->zombie)
        world_fail(process->world, "%s ended itself with a fatal log line", process->name);
    process_current = NULL;
    if (!process->zombie)
        return;
    process->zombie = false;
    process->died(process->context, process->kill_is_crash);
}

static void call_end_round(void *context, uint64_t argument) {
    (void)argument;
    struct process *process = context;
    process->end_round(process->context);
}

static void round_ends(void *context, uint64_t incarnation) {
    struct process *process = context;
    if (process->incarnation != incarnation)
        return;
    process->round_open = false;
    process_run_outside(process, call_end_round, process, 0);
}

void process_run(struct process *process, world_action body, void *context, uint64_t argument) {
    if (!process->alive)
        return;
    if (!process->round_open) {
        process->round_open = true;
        uint64_t length =
            random_chance(process->random, 1, 2) ? 0 : random_delay(process->random, 1, ROUND_LONGEST_US);
        world_after(process->world, length, round_ends, process, process->incarnation);
    }
    process_run_outside(process, body, context, argument);
}

bool process_boundary(struct process *process) {
    if (process->zombie)
        return false;
    if (process->kill_after == 0 || --process->kill_after > 0)
        return true;
    process_kill(process, process->kill_is_crash);
    /* The last operation was either just done or just not done. */
    return random_chance(process->random, 1, 2);
}

void process_kill(struct process *process, bool crash) {
    if (!process->alive)
        return;
    process->kill_after = 0;
    process->kill_is_crash = crash;
    world_trace(process->world, "%s %s%s", crash ? "CRASH at" : "KILL", process->name,
                process_current == process ? " (in the middle)" : "");
    if (process_current == process)
        process->zombie = true;
    else
        process->died(process->context, crash);
}
