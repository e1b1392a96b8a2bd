/*
 * run: see run.h. A run is a phase of faults under load, then a quiet phase in which everything must come
 * back: pending calls end, new writes and reads succeed through every proxy. Then the history is judged.
 */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "clients.h"
#include "judge.h"
#include "lease_check.h"
#include "lease_holders.h"
#include "node.h"
#include "subscribers.h"

enum {
    FAULT_GAP_LOW_US = 20000,
    FAULT_GAP_HIGH_US = 1500000,
    FAULTS_SHORTEST_US = 500000,
    FAULTS_LONGEST_US = 8000000,
    SETTLE_US = 2500000,    /* after the last fault until the node must be well */
    PROBE_US = 2000000,     /* within which a well node answers */
    CALLS_END_US = 8000000, /* the server's own limit, and a bit */
    COMPACTED_US = 5000000, /* a compaction that breaks off is tried again after seconds */
    EXPIRED_US = 4000000,   /* a short TTL, an election timeout, and a bit */
    LIST_EVERY_US = 200000,
    PAST_PROBES = 8,
    WATCHED_US = 1500000, /* within which all watchers of a well node have everything */
};

/* Who uses the node. */
struct users {
    struct history history;
    struct clients *clients;
    struct lease_holders *holders;
    struct subscribers *subscribers;
};

struct faults {
    struct world *world;
    struct node *node;
    struct random random;
    uint64_t gap_us; /* mean pause between faults */
    bool stopped;
};

static void fail_disk(struct faults *faults) {
    /* One draw a statement: the order of arguments is the compiler's. */
    uint64_t operations = random_delay(&faults->random, 1, 60);
    int error = random_chance(&faults->random, 1, 4) ? ENOSPC : EIO;
    node_fail_disk(faults->node, operations, error);
}

static void inject(void *context, uint64_t argument) {
    (void)argument;
    struct faults *faults = context;
    struct random *random = &faults->random;
    if (faults->stopped)
        return;
    unsigned daemon = (unsigned)random_below(random, NODE_DAEMONS);
    uint64_t dice = random_below(random, 100);
    if (dice < 35)
        node_kill(faults->node, daemon);
    else if (dice < 65)
        node_kill_soon(faults->node, daemon, random_delay(random, 1, 60), false);
    else if (dice < 72)
        node_kill_soon(faults->node, NODE_RAFT, random_delay(random, 1, 60), true);
    else if (dice < 75)
        node_kill_soon(faults->node, daemon, random_delay(random, 1, 60), true);
    else if (dice < 80)
        node_crash(faults->node);
    else if (dice < 83)
        fail_disk(faults);
    else
        node_break_link(faults->node, (unsigned)random_below(random, NODE_EDGES));
    world_after(faults->world, random_between(random, 1, 2 * faults->gap_us), inject, faults, 0);
}

static void run_until(struct world *world, uint64_t until_us) {
    while (world_step(world, until_us))
        continue;
    if (world->now_us < until_us)
        world->now_us = until_us;
}

/* Until no call is pending, at the latest after limit_us. */
static void run_until_answered(struct world *world, const struct history *history, uint64_t limit_us) {
    uint64_t until_us = world->now_us + limit_us;
    while (history->pending > 0 && world_step(world, until_us))
        continue;
}

/* The node must be well: every proxy takes a write and reads it back. Returns the last revision. */
static uint64_t probe(struct world *world, struct clients *clients, const struct history *history) {
    struct operation *probes[2 * NODE_PROXIES];
    uint64_t revision = 0;
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        probes[slot] = clients_probe_write(clients, slot);
    run_until_answered(world, history, PROBE_US);
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        probes[NODE_PROXIES + slot] = clients_probe_read(clients, slot, 0);
    run_until_answered(world, history, PROBE_US);
    for (unsigned i = 0; i < 2 * NODE_PROXIES; i++) {
        if (probes[i]->end != OPERATION_ANSWERED || probes[i]->status != STATUS_OK)
            world_fail(world, "after the faults, no success within %d ms: %s", PROBE_US / 1000,
                       operation_text(probes[i]));
        else if (probes[i]->revision > revision)
            revision = probes[i]->revision;
    }
    return revision;
}

/* Everything at some revisions of the past, which compactions may have passed or not. */
static void probe_past(struct world *world, struct clients *clients, const struct history *history,
                       uint64_t revision, struct random *random) {
    uint64_t at = revision;
    for (unsigned i = 0; i < PAST_PROBES && at > 1; i++) {
        at -= 1 + random_below(random, at / 4);
        (void)clients_probe_read(clients, i % NODE_PROXIES, at);
    }
    run_until_answered(world, history, PROBE_US);
}

/* A write whose answer was lost waits for its deadline; a read is asked again. */
static void check_no_read_hangs(struct world *world, const struct history *history) {
    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = history->operations[i];
        if (operation->end == OPERATION_PENDING && operation->call.route != PROXY_WRITE)
            world_fail(world, "%d ms after the faults, a read hangs: %s", SETTLE_US / 1000,
                       operation_text(operation));
    }
}

/* A compaction must come to its end. (Not in every run: it takes long, in simulated time.) */
static void finish_compaction(struct world *world, struct clients *clients, const struct history *history,
                              uint64_t revision) {
    struct operation *compact = clients_probe_compact(clients, 0, revision);
    run_until_answered(world, history, COMPACTED_US);
    bool done = compact->status == STATUS_OK || compact->status == STATUS_COMPACTED;
    if (compact->end != OPERATION_ANSWERED || !done)
        world_fail(world, "after the faults, no compaction within %d ms: %s", COMPACTED_US / 1000,
                   operation_text(compact));
}

/* Nobody keeps a lease alive any more: the short ones must end. */
static void finish_leases(struct world *world, struct lease_holders *holders, const struct history *history) {
    uint64_t until_us = world->now_us + EXPIRED_US;
    size_t left = 1;
    while (left > 0 && !world->failed && world->now_us < until_us) {
        struct operation *list = lease_holders_list(holders);
        run_until_answered(world, history, PROBE_US);
        if (list->end != OPERATION_ANSWERED || list->status != STATUS_OK)
            world_fail(world, "after the faults, leases cannot be listed: %s", operation_text(list));
        left = lease_list_count(list, LEASE_LONG_IDS);
        if (left > 0)
            run_until(world, world->now_us + LIST_EVERY_US);
    }
    if (left > 0)
        world_fail(world, "%d ms after the faults, %zu leases have not expired", EXPIRED_US / 1000, left);
}

/* Every watcher must come to have everything. */
static void finish_watches(struct world *world, struct subscribers *subscribers, uint64_t revision) {
    uint64_t until_us = world->now_us + WATCHED_US;
    bool all = false;
    while (!(all = subscribers_have_everything(subscribers, revision)) && world_step(world, until_us))
        continue;
    if (!all)
        world_fail(world, "%d ms after revision %" PRIu64 ", a watcher has not heard of it",
                   WATCHED_US / 1000, revision);
}

static void quiet_phase(struct world *world, struct node *node, struct users *users, struct random *random) {
    const struct history *history = &users->history;
    world->quiescent = true;
    for (unsigned i = 0; i < NODE_DAEMONS; i++)
        node_kill_soon(node, i, 0, false);
    node_fail_disk(node, 0, EIO);
    clients_stop(users->clients);
    lease_holders_stop(users->holders);
    subscribers_stop(users->subscribers);
    world_trace(world, "the faults are over");
    run_until(world, world->now_us + SETTLE_US);
    if (!node_all_alive(node))
        world_fail(world, "a daemon did not come back");
    check_no_read_hangs(world, history);
    run_until_answered(world, history, CALLS_END_US);
    if (history->pending > 0)
        world_fail(world, "%zu calls never ended", history->pending);
    finish_leases(world, users->holders, history);
    uint64_t revision = probe(world, users->clients, history);
    probe_past(world, users->clients, history, revision, random);
    if (world->seed % 3 == 0)
        finish_compaction(world, users->clients, history, revision);
    finish_watches(world, users->subscribers, revision);
}

/* What raft has not begun to write (a proposal of its own or of apply's) is no part of the log yet. */
static void judge_run(struct users *users, const struct log_truth *log, uint64_t last) {
    last = last < log->count ? last : log->count;
    struct judge judge;
    judge_init(&judge, &users->history, log, last);
    history_check(&judge, true);
    if (!judge.world->failed)
        subscribers_check(users->subscribers, &judge);
    judge_free(&judge);
}

static void proxy_died(void *context, unsigned slot) {
    struct users *users = context;
    clients_proxy_died(users->clients, slot);
    lease_holders_proxy_died(users->holders, slot);
    subscribers_proxy_died(users->subscribers, slot);
}

void run_seed(uint64_t seed, const struct run_options *options, struct run_result *result) {
    struct world world;
    struct users users;
    world_init(&world, seed, options->print);
    struct node *node = node_new(&world);
    history_init(&users.history, &world);
    users.clients = clients_new(&world, node, &users.history);
    users.holders = lease_holders_new(&world, node, &users.history);
    users.subscribers = subscribers_new(&world, node, &users.history);
    node->proxy_died = proxy_died;
    node->context = &users;
    struct faults faults = {.world = &world, .node = node, .random = random_stream(seed, 5)};
    faults.gap_us = random_delay(&faults.random, FAULT_GAP_LOW_US, FAULT_GAP_HIGH_US);

    node_start(node);
    clients_start(users.clients);
    lease_holders_start(users.holders);
    subscribers_start(users.subscribers);
    world_after(&world, faults.gap_us, inject, &faults, 0);
    run_until(&world, world.now_us + random_delay(&faults.random, FAULTS_SHORTEST_US, FAULTS_LONGEST_US));
    faults.stopped = true;
    quiet_phase(&world, node, &users, &faults.random);
    if (!world.failed)
        judge_run(&users, &node->log, node_last_index(node));

    *result = (struct run_result){
        .failed = world.failed, .hash = world.hash, .simulated_us = world.now_us, .counts = world.counts};
    (void)snprintf(result->failure, sizeof result->failure, "%s", world.failure);
    node_free(node);
    clients_free(users.clients);
    lease_holders_free(users.holders);
    subscribers_free(users.subscribers);
    history_free(&users.history);
    world_free(&world);
}
