/*
 * node_apply: the apply daemon in the simulator. As main.c, but jobs (reads that take long) are run and
 * handed back at random later times, in any order.
 */
#include <stdlib.h>

#include "apply/apply_role.h"
#include "node.h"

enum { JOBS = 64, JOB_LONGEST_US = 50000, CLOCK_LEAPS_AFTER_US = 300000, CLOCK_LEAP_US = 1500000 };
enum {
    ELECTION_US = 100000
}; /* what is added to leases at a start: little, or it would hide that one ends early */

bool node_plant_clock;

struct apply_daemon {
    struct apply_role *role;
    uint64_t started_us;
    struct apply_job *jobs[JOBS]; /* taken, not handed back yet; NULL: free */
};

static uint64_t apply_now(const struct daemon *daemon) {
    uint64_t now_us = daemon->node->world->now_us;
    bool leap = node_plant_clock && now_us - daemon->apply->started_us > CLOCK_LEAPS_AFTER_US;
    return leap ? now_us + CLOCK_LEAP_US : now_us;
}

static bool apply_start(struct daemon *daemon, char error[512]) {
    struct node *node = daemon->node;
    struct apply_daemon *apply = daemon->apply = must_zalloc(sizeof *apply);
    struct apply_options options = {
        .store = sim_store_open(node->store),
        .member_directory = NODE_MEMBER_DIRECTORY,
        .quota_bytes = UINT64_C(2) << 30,
        .flush_entries = node->flush_entries,
        .flush_interval_us = 3000000,
        .inline_keys = node->inline_keys,
        .election_us = ELECTION_US,
        .lease_checkpoint_us = node->lease_checkpoint_us,
        .large_delete_keys = node->large_delete_keys,
        .history_part_bytes = node->history_part_bytes,
        .publish_bytes = node->publish_bytes,
    };
    apply->started_us = node->world->now_us;
    apply->role = apply_role_new(&options, apply_now(daemon), error);
    return apply->role != NULL;
}

static void apply_stop(struct daemon *daemon) {
    struct apply_daemon *apply = daemon->apply;
    daemon->apply = NULL;
    if (apply == NULL)
        return;
    for (unsigned i = 0; i < JOBS; i++) {
        if (apply->jobs[i] != NULL)
            apply_role_job_done(apply->role, apply->jobs[i]);
    }
    if (apply->role != NULL)
        apply_role_free(apply->role);
    free(apply);
}

static struct bus_handler apply_handler(struct daemon *daemon, enum bus_role peer, uint8_t slot) {
    if (peer == BUS_ROLE_PROXY)
        return apply_role_proxy_handler(daemon->apply->role, slot);
    if (peer == BUS_ROLE_RAFT)
        return apply_role_raft_handler(daemon->apply->role);
    return apply_role_maint_handler(daemon->apply->role);
}

static void apply_attach(struct daemon *daemon, enum bus_role peer, uint8_t slot, struct bus_link *link) {
    if (peer == BUS_ROLE_PROXY)
        apply_role_set_proxy_link(daemon->apply->role, slot, link);
    else if (peer == BUS_ROLE_RAFT)
        apply_role_set_raft_link(daemon->apply->role, link);
    else
        apply_role_set_maint_link(daemon->apply->role, link);
}

static void apply_tick(struct daemon *daemon) {
    apply_role_tick(daemon->apply->role, apply_now(daemon));
}

static void job_body(void *context, uint64_t index) {
    struct daemon *daemon = context;
    struct apply_job *job = daemon->apply->jobs[index];
    apply_job_run(job);
    daemon->node->world->counts.jobs++;
    daemon->apply->jobs[index] = NULL;
    apply_role_job_done(daemon->apply->role, job);
}

/* argument: incarnation and place in jobs[] */
static void run_job(void *context, uint64_t argument) {
    struct daemon *daemon = context;
    if (daemon->process.alive && daemon->process.incarnation == argument / JOBS)
        process_run(&daemon->process, job_body, daemon, argument % JOBS);
}

static void take_jobs(struct daemon *daemon) {
    struct apply_daemon *apply = daemon->apply;
    struct node *node = daemon->node;
    for (unsigned i = 0; i < JOBS; i++) {
        if (apply->jobs[i] != NULL)
            continue;
        apply->jobs[i] = apply_role_take_job(apply->role);
        if (apply->jobs[i] == NULL)
            return;
        world_after(node->world, random_delay(&node->random, 1, JOB_LONGEST_US), run_job, daemon,
                    daemon->process.incarnation * JOBS + i);
    }
}

static void apply_end_round(struct daemon *daemon) {
    apply_role_end_round(daemon->apply->role, apply_now(daemon));
    take_jobs(daemon);
}

const struct daemon_kind apply_kind = {
    .role = BUS_ROLE_APPLY,
    .tick_us = 100000,
    .start = apply_start,
    .handler = apply_handler,
    .attach = apply_attach,
    .tick = apply_tick,
    .end_round = apply_end_round,
    .stop = apply_stop,
};
