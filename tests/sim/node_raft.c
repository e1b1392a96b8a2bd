/*
 * node_raft: the raft daemon in the simulator. As main.c: open the storage, start the role, tick; after each
 * round take one persist and one fetch, execute them outside the role and hand the completion back inside.
 * Here the execution and the completion are events at random later times, so that anything can come between.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "node.h"
#include "raft/raft_storage.h"

enum {
    ELECTION_MS = 1000,
    HEARTBEAT_MS = 100,
    SYNC_LONGEST_US = 60000,
    QUIET_SYNC_LONGEST_US = 1000,
    PREPARE_LONGEST_US = 200000,
};

struct raft_daemon {
    struct raft_role *role;
    struct raft_storage *storage;
    struct raft_persist persist;
    struct raft_fetch *fetch; /* under way */
    bool preparing;
    bool doomed; /* planted bug: from now on nothing is written, a kill is on its way */
};

enum { DOOMED_HIGH_US = 100000 };

bool node_plant_no_sync, node_plant_early;

/* A well disk is quick: a long log must be replayed before the node is asked whether it is well. */
static uint64_t disk_delay(struct node *node) {
    return random_delay(&node->random, 1, node->world->quiescent ? QUIET_SYNC_LONGEST_US : SYNC_LONGEST_US);
}

static void note_entries(struct node *node, const struct raft_persist *persist) {
    for (size_t i = 0; i < persist->count; i++) {
        const struct wal_entry *entry = &persist->entries[i];
        log_truth_note(&node->log, node->world, entry->index, entry->term, entry->type, entry->data);
    }
}

/* True when an action of this process failed as the disk was told to: production ends the process, so do we.
 */
static bool ended_by_disk(struct daemon *daemon, int result) {
    if (result == 0 || daemon->process.zombie || !node_disk_failed(daemon->node))
        return false;
    process_kill(&daemon->process, false);
    return true;
}

static void write_log(struct daemon *daemon, const struct raft_persist *persist) {
    struct node *node = daemon->node;
    note_entries(node, persist);
    int result = raft_storage_persist(daemon->raft->storage, persist);
    if (ended_by_disk(daemon, result) || daemon->process.zombie)
        return;
    if (result != 0)
        world_fail(node->world, "raft cannot write its log: error %d", -result);
    node->world->counts.releases += persist->release;
    log_truth_durable(&node->log);
}

/* A sole member leads, and all of its log is durable, before anyone can connect. */
static void settle(struct daemon *daemon) {
    struct raft_persist persist;
    while (!daemon->process.zombie && raft_role_take_persist(daemon->raft->role, &persist)) {
        write_log(daemon, &persist);
        raft_role_persisted(daemon->raft->role);
    }
}

static bool raft_start(struct daemon *daemon, char error[512]) {
    struct node *node = daemon->node;
    struct raft_daemon *raft = daemon->raft = must_zalloc(sizeof *raft);
    struct raft_role_options options = {
        .member = node->member,
        .cluster = node->membership.cluster,
        .proxies = NODE_PROXIES,
        .heartbeat_ms = HEARTBEAT_MS,
        .election_ms = ELECTION_MS,
        .pre_vote = true,
        .seed = random_next(&node->random),
        .bootstrap = &node->membership,
        .client_urls = "http://127.0.0.1:2379",
        .cache_bytes = node->cache_bytes,
        .release_bytes = node->release_bytes,
    };
    raft->role = raft_role_new(&options);
    struct raft_storage_options storage = {
        .disk = guarded_disk(node->disk),
        .member_directory = NODE_MEMBER_DIRECTORY,
        .wal_directory = NODE_MEMBER_DIRECTORY "/wal",
        .member = node->member,
        .cluster = node->membership.cluster,
        .nonce = random_next(&node->random),
        .segment_bytes = node->segment_bytes,
        .sync = !node_plant_no_sync,
    };
    raft->storage = raft_storage_open(&storage, raft->role, error);
    if (raft->storage == NULL)
        return false;
    if (!raft_role_start(raft->role, node->world->now_us, error))
        return false;
    if (!daemon->process.zombie)
        log_truth_reopened(&node->log, node->world, raft_role_status(raft->role).durable);
    settle(daemon);
    return true;
}

static void raft_stop(struct daemon *daemon) {
    struct raft_daemon *raft = daemon->raft;
    daemon->raft = NULL;
    if (raft == NULL)
        return;
    if (raft->storage != NULL)
        raft_storage_close(raft->storage);
    raft_role_free(raft->role);
    free(raft);
}

static struct bus_handler raft_handler(struct daemon *daemon, enum bus_role peer, uint8_t slot) {
    if (peer == BUS_ROLE_PROXY)
        return raft_role_proxy_handler(daemon->raft->role, slot);
    if (peer == BUS_ROLE_APPLY)
        return raft_role_apply_handler(daemon->raft->role);
    return raft_role_maint_handler(daemon->raft->role);
}

static void raft_attach(struct daemon *daemon, enum bus_role peer, uint8_t slot, struct bus_link *link) {
    if (peer == BUS_ROLE_PROXY)
        raft_role_attach_proxy(daemon->raft->role, slot, link);
    else if (peer == BUS_ROLE_APPLY)
        raft_role_attach_apply(daemon->raft->role, link);
    else
        raft_role_attach_maint(daemon->raft->role, link);
}

static void raft_tick(struct daemon *daemon) {
    raft_role_tick(daemon->raft->role, daemon->node->world->now_us);
}

/* --- actions --- */

static bool is_current(const struct daemon *daemon, uint64_t incarnation) {
    return daemon->process.alive && daemon->process.incarnation == incarnation;
}

static void persisted_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    raft_role_persisted(daemon->raft->role);
}

static void persisted(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (is_current(daemon, incarnation))
        process_run(&daemon->process, persisted_body, daemon, 0);
}

static void persist_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    write_log(daemon, &daemon->raft->persist);
}

static void kill_doomed(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (is_current(daemon, incarnation))
        process_kill(&daemon->process, false);
}

/* The planted bug: true when this write is acknowledged and never done. */
static bool doom(struct daemon *daemon) {
    struct node *node = daemon->node;
    const struct raft_persist *persist = &daemon->raft->persist;
    if (!node_plant_early || persist->release || !random_chance(&node->random, 1, 50))
        return false;
    daemon->raft->doomed = true;
    note_entries(node, persist);
    world_after(node->world, random_below(&node->random, DOOMED_HIGH_US), kill_doomed, daemon,
                daemon->process.incarnation);
    return true;
}

static void persist(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (!is_current(daemon, incarnation) || daemon->raft->doomed)
        return;
    struct node *node = daemon->node;
    if (doom(daemon)) {
        world_after(node->world, 1, persisted, daemon, incarnation);
        return;
    }
    world_trace(node->world, "raft writes %zu entries%s", daemon->raft->persist.count,
                daemon->raft->persist.release ? " and releases" : "");
    process_run_outside(&daemon->process, persist_body, daemon, 0);
    world_after(node->world, disk_delay(node), persisted, daemon, incarnation);
}

static void fetched_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    daemon->raft->fetch = NULL;
    daemon->node->world->counts.fetches++;
    raft_role_fetched(daemon->raft->role);
}

static void fetched(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (is_current(daemon, incarnation))
        process_run(&daemon->process, fetched_body, daemon, 0);
}

static void fetch_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    int result = raft_storage_fetch(daemon->raft->storage, daemon->raft->fetch);
    if (result != 0 && !daemon->process.zombie)
        world_fail(daemon->node->world, "raft cannot read its log: error %d", -result);
}

static void fetch(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (!is_current(daemon, incarnation))
        return;
    struct node *node = daemon->node;
    world_trace(node->world, "raft fetches %" PRIu64 "..%" PRIu64, daemon->raft->fetch->from,
                daemon->raft->fetch->to);
    process_run_outside(&daemon->process, fetch_body, daemon, 0);
    world_after(node->world, disk_delay(node), fetched, daemon, incarnation);
}

static void prepare_body(void *context, uint64_t argument) {
    (void)argument;
    struct daemon *daemon = context;
    daemon->raft->preparing = false;
    int result = raft_storage_prepare(daemon->raft->storage);
    if (!ended_by_disk(daemon, result) && result != 0 && !daemon->process.zombie)
        world_fail(daemon->node->world, "raft cannot prepare a segment: error %d", -result);
}

static void prepare(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    if (is_current(daemon, incarnation))
        process_run_outside(&daemon->process, prepare_body, daemon, 0);
}

static void raft_end_round(struct daemon *daemon) {
    struct raft_daemon *raft = daemon->raft;
    struct node *node = daemon->node;
    uint64_t incarnation = daemon->process.incarnation;
    raft_role_end_round(raft->role);
    const char *failure = raft_role_failure(raft->role);
    if (failure != NULL && !daemon->process.zombie)
        world_fail(node->world, "raft gives up: %s", failure);
    if (raft_role_take_persist(raft->role, &raft->persist))
        world_after(node->world, disk_delay(node), persist, daemon, incarnation);
    if (raft->fetch == NULL) {
        raft->fetch = raft_role_take_fetch(raft->role);
        if (raft->fetch != NULL)
            world_after(node->world, disk_delay(node), fetch, daemon, incarnation);
    }
    if (!raft->preparing && raft_storage_wants_prepare(raft->storage)) {
        raft->preparing = true;
        world_after(node->world, random_delay(&node->random, 1, PREPARE_LONGEST_US), prepare, daemon,
                    incarnation);
    }
}

uint64_t node_last_index(const struct node *node) {
    const struct raft_daemon *raft = node->daemons[NODE_RAFT].raft;
    return raft == NULL || !node->daemons[NODE_RAFT].process.alive ? 0 : raft_role_status(raft->role).last;
}

const struct daemon_kind raft_kind = {
    .role = BUS_ROLE_RAFT,
    .tick_us = HEARTBEAT_MS * 1000 / 2,
    .start = raft_start,
    .handler = raft_handler,
    .attach = raft_attach,
    .tick = raft_tick,
    .end_round = raft_end_round,
    .stop = raft_stop,
};
