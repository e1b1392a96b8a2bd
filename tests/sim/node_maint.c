/*
 * node_maint: the maintenance daemon in the simulator, asking for checkpoints far more often than in life. A
 * checkpoint is known to the store model by its name; what reads it takes its time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "maint/maint_role.h"
#include "node.h"

enum { WORK_LONGEST_US = 100000, ASK_ONE_IN = 10 };

bool node_plant_overlook;

/* --- checkpoints of the store model --- */

struct sim_checkpoint {
    struct checkpoint head;
    struct node *node;
    struct sim_store *store;
    char directory[MAINT_PATH];
};

struct checkpoint_cursor {
    struct sim_checkpoint *checkpoint;
    struct buffer upper, key, value; /* key: the last one; before the first, the lower bound */
    bool positioned;
};

static struct sim_checkpoint *of(struct checkpoint *checkpoint) {
    return (struct sim_checkpoint *)checkpoint;
}

static bool checkpoint_get(struct checkpoint *base, struct bytes key, struct buffer *value) {
    return sim_store_checkpoint_get(of(base)->store, of(base)->directory, key, value);
}

static struct checkpoint_cursor *open_cursor(struct checkpoint *base, struct bytes lower,
                                             struct bytes upper) {
    struct checkpoint_cursor *cursor = must_zalloc(sizeof *cursor);
    cursor->checkpoint = of(base);
    buffer_append_bytes(&cursor->key, lower);
    buffer_append_bytes(&cursor->upper, upper);
    return cursor;
}

static bool read_next(struct checkpoint_cursor *cursor, struct bytes *key, struct bytes *value) {
    struct sim_checkpoint *checkpoint = cursor->checkpoint;
    struct buffer found = {0};
    bool any =
        sim_store_checkpoint_next(checkpoint->store, checkpoint->directory, buffer_bytes(&cursor->key),
                                  !cursor->positioned, buffer_bytes(&cursor->upper), &found, &cursor->value);
    cursor->positioned = true;
    if (any) {
        buffer_free(&cursor->key);
        cursor->key = found;
        *key = buffer_bytes(&cursor->key);
        *value = buffer_bytes(&cursor->value);
    }
    return any;
}

static bool cursor_next(struct checkpoint_cursor *cursor, struct bytes *key, struct bytes *value) {
    bool any = read_next(cursor, key, value);
    while (any && node_plant_overlook && random_chance(&cursor->checkpoint->node->random, 9, 10))
        any = read_next(cursor, key, value);
    return any;
}

static void close_cursor(struct checkpoint_cursor *cursor) {
    buffer_free(&cursor->upper);
    buffer_free(&cursor->key);
    buffer_free(&cursor->value);
    free(cursor);
}

static void close_checkpoint(struct checkpoint *base) {
    free(base);
}

static const struct checkpoint_operations checkpoint_operations = {
    .get = checkpoint_get,
    .open_cursor = open_cursor,
    .next = cursor_next,
    .close_cursor = close_cursor,
    .close = close_checkpoint,
};

static struct checkpoint *open_checkpoint(void *context, const char *directory) {
    struct node *node = context;
    if (!sim_store_has_checkpoint(node->store, directory)) {
        world_fail(node->world, "apply named the checkpoint %s, which is not there", directory);
        return NULL;
    }
    struct sim_checkpoint *checkpoint = must_zalloc(sizeof *checkpoint);
    checkpoint->head.operations = &checkpoint_operations;
    checkpoint->node = node;
    checkpoint->store = node->store;
    snprintf(checkpoint->directory, sizeof checkpoint->directory, "%s", directory);
    node->world->counts.checkpoints++;
    return &checkpoint->head;
}

static void remove_checkpoint(void *context, const char *directory) {
    struct node *node = context;
    (void)sim_store_remove_checkpoint(node->store, directory);
}

/* --- the daemon --- */

static bool maint_start(struct daemon *daemon, char error[512]) {
    (void)error;
    struct node *node = daemon->node;
    node->compactions = 0;
    struct maint_options options = {
        .work_directory = NODE_MEMBER_DIRECTORY "/maint",
        .incarnation = random_next(&node->random),
        .auto_compaction = {.retention = random_between(&node->random, 500, 5000)},
    };
    daemon->maint = maint_role_new(&options, node->world->now_us);
    return true;
}

static void maint_stop(struct daemon *daemon) {
    if (daemon->maint != NULL)
        maint_role_free(daemon->maint);
    daemon->maint = NULL;
}

static struct bus_handler maint_handler(struct daemon *daemon, enum bus_role peer, uint8_t slot) {
    if (peer == BUS_ROLE_PROXY)
        return maint_role_proxy_handler(daemon->maint, slot);
    if (peer == BUS_ROLE_RAFT)
        return maint_role_raft_handler(daemon->maint);
    return maint_role_apply_handler(daemon->maint);
}

static void maint_attach(struct daemon *daemon, enum bus_role peer, uint8_t slot, struct bus_link *link) {
    if (peer == BUS_ROLE_PROXY)
        maint_role_attach_proxy(daemon->maint, slot, link);
    else if (peer == BUS_ROLE_RAFT)
        maint_role_attach_raft(daemon->maint, link);
    else
        maint_role_attach_apply(daemon->maint, link);
}

static void maint_tick(struct daemon *daemon) {
    struct node *node = daemon->node;
    maint_role_tick(daemon->maint, node->world->now_us);
    if (random_chance(&node->random, 1, ASK_ONE_IN))
        (void)maint_role_request_checkpoint(daemon->maint, node->world->now_us);
}

static void done_body(void *context, uint64_t unused) {
    struct daemon *daemon = context;
    (void)unused;
    maint_role_work_done(daemon->maint, daemon->node->world->now_us);
}

static void work(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    struct node *node = daemon->node;
    if (!daemon->process.alive || daemon->process.incarnation != incarnation)
        return;
    struct checkpoint_files files = {.open = open_checkpoint, .remove = remove_checkpoint, .context = node};
    maint_work_run(node->maint_work, &files);
    process_run(&daemon->process, done_body, daemon, 0);
}

static void maint_end_round(struct daemon *daemon) {
    struct node *node = daemon->node;
    maint_role_end_round(daemon->maint, node->world->now_us);
    uint64_t compactions = maint_role_state(daemon->maint).compactions;
    node->world->counts.compactions += compactions - node->compactions;
    node->compactions = compactions;
    struct maint_work *taken = maint_role_take_work(daemon->maint);
    if (taken == NULL || daemon->process.zombie)
        return;
    node->maint_work = taken;
    world_after(node->world, random_delay(&node->random, 1, WORK_LONGEST_US), work, daemon,
                daemon->process.incarnation);
}

const struct daemon_kind maint_kind = {
    .role = BUS_ROLE_MAINT,
    .tick_us = 100000,
    .start = maint_start,
    .handler = maint_handler,
    .attach = maint_attach,
    .tick = maint_tick,
    .end_round = maint_end_round,
    .stop = maint_stop,
};
