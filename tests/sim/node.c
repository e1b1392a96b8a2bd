/*
 * node: see node.h. Processes die by process_kill (from outside, or at a boundary inside their code); both
 * end in daemon_died(), which closes their sockets, frees the role and arranges the restart.
 */
#include "node.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/bus/contract.h"

enum {
    RESTART_LOW_US = 1000,
    RESTART_HIGH_US = 1000000,
    CRASH_RESTART_HIGH_US = 2000000,
};

/* --- starting --- */

static void tick_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    daemon->kind->tick(daemon);
}

static void tick(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (!daemon->process.alive || daemon->process.incarnation != incarnation)
        return;
    world_after(daemon->node->world, daemon->kind->tick_us, tick, daemon, incarnation);
    process_run(&daemon->process, tick_body, daemon, 0);
}

static void open_links(struct daemon *daemon) {
    uint64_t incarnation = random_next(&daemon->node->random) | 1;
    for (unsigned i = 0; i < daemon->link_count; i++) {
        struct daemon_link *link = &daemon->links[i];
        struct bus_handler handler = daemon->kind->handler(daemon, link->peer, link->peer_slot);
        link->link = bus_link_new(link->name, daemon->kind->role, daemon->slot, link->peer, link->peer_slot,
                                  incarnation, edge_transport(link->end),
                                  tamper_handler(&link->tamper, handler, &daemon->node->tamper_random));
        if (daemon->node->pending_bytes != 0)
            bus_link_limit(link->link, daemon->node->pending_bytes);
        daemon->kind->attach(daemon, link->peer, link->peer_slot, link->link);
    }
    for (unsigned i = 0; i < daemon->link_count; i++)
        edge_open(daemon->links[i].end, daemon->links[i].link);
}

static void start_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    char error[512] = "";
    if (!daemon->kind->start(daemon, error)) {
        if (daemon->process.zombie)
            return;
        if (daemon->kind->role == BUS_ROLE_RAFT && node_disk_failed(daemon->node))
            process_kill(&daemon->process, false);
        else
            world_fail(daemon->node->world, "%s refuses to start: %s", daemon->name, error);
        return;
    }
    open_links(daemon);
    uint64_t first = random_below(&daemon->node->random, daemon->kind->tick_us);
    world_after(daemon->node->world, first, tick, daemon, daemon->process.incarnation);
}

static void start(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    struct process *process = &daemon->process;
    if (process->alive || process->incarnation != incarnation)
        return;
    process->incarnation++;
    process->alive = true;
    process->round_open = false;
    world_trace(daemon->node->world, "start %s", daemon->name);
    process_run(process, start_body, daemon, 0);
}

static void start_later(struct daemon *daemon, uint64_t high_us) {
    uint64_t high = daemon->node->world->quiescent ? RESTART_LOW_US * 20 : high_us;
    uint64_t delay = random_delay(&daemon->node->random, RESTART_LOW_US, high);
    world_after(daemon->node->world, delay, start, daemon, daemon->process.incarnation);
    daemon->node->world->counts.restarts++;
}

/* --- dying --- */

static void tear_down(struct daemon *daemon) {
    struct node *node = daemon->node;
    if (!daemon->process.alive)
        return;
    /* What the role does while it is freed is seen by nobody. */
    daemon->process.zombie = true;
    for (unsigned i = 0; i < daemon->link_count; i++) {
        if (daemon->links[i].link != NULL)
            edge_close(daemon->links[i].end);
    }
    if (daemon->proxy != NULL && node->proxy_died != NULL)
        node->proxy_died(node->context, daemon->slot);
    daemon->kind->stop(daemon);
    for (unsigned i = 0; i < daemon->link_count; i++) {
        bus_link_free(daemon->links[i].link);
        daemon->links[i].link = NULL;
        tamper_free(&daemon->links[i].tamper);
    }
    daemon->process.alive = false;
    daemon->process.zombie = false;
    daemon->process.kill_after = 0;
    if (daemon->kind->role == BUS_ROLE_RAFT)
        model_disk_kill(node->disk);
    if (daemon->kind->role == BUS_ROLE_APPLY)
        sim_store_crash(node->store);
}

void node_crash(struct node *node) {
    world_trace(node->world, "CRASH of the machine");
    node->world->counts.crashes++;
    for (unsigned i = 0; i < NODE_DAEMONS; i++)
        tear_down(&node->daemons[i]);
    model_disk_power_loss(node->disk);
    for (unsigned i = 0; i < NODE_DAEMONS; i++)
        start_later(&node->daemons[i], CRASH_RESTART_HIGH_US);
}

static void daemon_died(void *context, bool crash) {
    struct daemon *daemon = context;
    if (crash) {
        node_crash(daemon->node);
        return;
    }
    daemon->node->world->counts.kills++;
    tear_down(daemon);
    start_later(daemon, RESTART_HIGH_US);
}

void node_kill(struct node *node, unsigned daemon) {
    process_kill(&node->daemons[daemon].process, false);
}

void node_kill_soon(struct node *node, unsigned daemon, uint64_t boundaries, bool crash) {
    struct process *process = &node->daemons[daemon].process;
    process->kill_after = boundaries;
    process->kill_is_crash = crash;
}

void node_fail_disk(struct node *node, uint64_t operations, int error) {
    node->disk_failing = operations > 0;
    model_disk_fail_at(node->disk, operations, error);
    node->disk_fails_at = model_disk_operations(node->disk) + operations;
}

bool node_disk_failed(struct node *node) {
    if (!node->disk_failing || model_disk_operations(node->disk) < node->disk_fails_at)
        return false;
    node->disk_failing = false;
    node->world->counts.disk_faults++;
    world_trace(node->world, "a disk operation failed");
    return true;
}

void node_break_link(struct node *node, unsigned edge) {
    edge_break(node->edges[edge]);
}

bool node_all_alive(const struct node *node) {
    for (unsigned i = 0; i < NODE_DAEMONS; i++) {
        if (!node->daemons[i].process.alive)
            return false;
    }
    return true;
}

/* --- the proxies, for clients --- */

struct proxy_role *node_proxy(struct node *node, unsigned slot) {
    return node->daemons[slot].process.alive ? node->daemons[slot].proxy : NULL;
}

void node_in_proxy(struct node *node, unsigned slot, world_action body, void *context) {
    process_run(&node->daemons[slot].process, body, context, 0);
}

/* --- making one --- */

static void end_round(void *context) {
    struct daemon *daemon = context;
    daemon->kind->end_round(daemon);
}

static void make_daemon(struct node *node, unsigned index, const struct daemon_kind *kind, uint8_t slot) {
    struct daemon *daemon = &node->daemons[index];
    *daemon = (struct daemon){.node = node, .kind = kind, .slot = slot};
    (void)snprintf(daemon->name, sizeof daemon->name, kind->role == BUS_ROLE_PROXY ? "%s-%u" : "%s",
                   bus_role_name(kind->role), slot);
    daemon->process = (struct process){
        .world = node->world,
        .random = &node->random,
        .name = daemon->name,
        .end_round = end_round,
        .died = daemon_died,
        .context = daemon,
    };
}

static void add_link(struct daemon *daemon, const char *name, struct edge_end *end,
                     const struct daemon *peer) {
    REQUIRE(daemon->link_count < DAEMON_LINKS);
    daemon->links[daemon->link_count++] =
        (struct daemon_link){.end = end, .name = name, .peer = peer->kind->role, .peer_slot = peer->slot};
}

static void make_edge(struct node *node, unsigned *count, unsigned listener, unsigned dialer) {
    struct daemon *listening = &node->daemons[listener];
    struct daemon *dialing = &node->daemons[dialer];
    char *name = node->edge_names[*count];
    bus_socket_name(name, listening->kind->role, dialing->kind->role, dialing->slot);
    struct edge *edge =
        edge_new(node->world, &node->bus_random, name, &listening->process, &dialing->process);
    add_link(listening, name, edge_side(edge, 0), dialing);
    add_link(dialing, name, edge_side(edge, 1), listening);
    node->edges[(*count)++] = edge;
}

static size_t often_small(struct random *random, uint64_t least, uint64_t most) {
    return random_chance(random, 1, 2) ? 0 : (size_t)random_delay(random, least, most);
}

static void choose_watch_sizes(struct node *node) {
    struct random *random = &node->random;
    node->history_part_bytes = often_small(random, 1, 10000);
    node->publish_bytes = often_small(random, 100, 10000);
    node->watch_limits = (struct watch_limits){
        .ring_bytes = often_small(random, 1, 100000),
        .ring_events = often_small(random, 1, 300),
        .piece_bytes = often_small(random, 1, 5000),
        .fragment_bytes = often_small(random, 1, 1000),
        .held_bytes = often_small(random, 1, 1000),
    };
}

static void choose_sizes(struct node *node) {
    struct random *random = &node->random;
    node->segment_bytes = UINT64_C(4096) << random_below(random, 5);
    node->release_bytes = UINT64_C(512) << random_below(random, 8);
    node->flush_entries = random_between(random, 5, 200);
    node->cache_bytes = (size_t)UINT64_C(1) << random_between(random, 8, 20);
    node->inline_keys = (uint32_t)random_between(random, 1, 32);
    node->lease_checkpoint_us = random_between(random, 50000, 500000);
    node->large_delete_keys = random_chance(random, 1, 4) ? random_between(random, 1, 4) : 0;
    choose_watch_sizes(node);
    if (random_chance(random, 1, 4))
        node->pending_bytes = (size_t)random_delay(random, 100, 100000);
    /* In some runs the counter of request ids, 42 bits of the clock, wraps. */
    node->clock_base_us = UINT64_C(1) << 52;
    if (random_chance(random, 1, 4))
        node->clock_base_us -= random_below(random, 8000000);
}

struct node *node_new(struct world *world) {
    struct node *node = must_zalloc(sizeof *node);
    node->world = world;
    node->random = random_stream(world->seed, 1);
    node->bus_random = random_stream(world->seed, 2);
    node->store_random = random_stream(world->seed, 3);
    node->tamper_random = random_stream(world->seed, 8);
    node->disk = model_disk_new(random_next(&node->random));
    choose_sizes(node);
    char error[256];
    REQUIRE(membership_bootstrap("sim=http://127.0.0.1:2380", "sim", "sim", &node->membership, &node->member,
                                 error));
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        make_daemon(node, slot, &proxy_kind, (uint8_t)slot);
    make_daemon(node, NODE_RAFT, &raft_kind, 0);
    make_daemon(node, NODE_APPLY, &apply_kind, 0);
    make_daemon(node, NODE_MAINT, &maint_kind, 0);
    unsigned edges = 0;
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++) {
        make_edge(node, &edges, NODE_RAFT, slot);
        make_edge(node, &edges, NODE_APPLY, slot);
        make_edge(node, &edges, NODE_MAINT, slot);
    }
    make_edge(node, &edges, NODE_RAFT, NODE_APPLY);
    make_edge(node, &edges, NODE_RAFT, NODE_MAINT);
    make_edge(node, &edges, NODE_APPLY, NODE_MAINT);
    node->store = sim_store_new(world, &node->store_random, &node->daemons[NODE_APPLY].process);
    return node;
}

void node_start(struct node *node) {
    for (unsigned i = 0; i < NODE_DAEMONS; i++)
        start_later(&node->daemons[i], 20000);
}

void node_free(struct node *node) {
    for (unsigned i = 0; i < NODE_DAEMONS; i++)
        tear_down(&node->daemons[i]);
    for (unsigned i = 0; i < NODE_EDGES; i++)
        edge_free(node->edges[i]);
    sim_store_free(node->store);
    model_disk_free(node->disk);
    log_truth_free(&node->log);
    free(node);
}
