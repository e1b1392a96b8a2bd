/*
 * node_maint: the maintenance daemon in the simulator, asking for checkpoints far more often than in life. A
 * checkpoint is known to the store model by its name; looking into it finds what apply says, if it is there.
 */
#include <stdlib.h>

#include "maint/maint_role.h"
#include "node.h"

enum { CHECK_LONGEST_US = 100000, ASK_ONE_IN = 10 };

static bool maint_start(struct daemon *daemon, char error[512]) {
    (void)error;
    struct node *node = daemon->node;
    daemon->maint =
        maint_role_new(NODE_MEMBER_DIRECTORY "/maint", random_next(&node->random), node->world->now_us);
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

static void done_body(void *context, uint64_t found) {
    struct daemon *daemon = context;
    maint_role_work_done(daemon->maint, found, daemon->node->world->now_us);
}

static void check(void *context, uint64_t incarnation) {
    struct daemon *daemon = context;
    struct node *node = daemon->node;
    if (!daemon->process.alive || daemon->process.incarnation != incarnation)
        return;
    const struct maint_work *work = &node->maint_work;
    bool there = sim_store_remove_checkpoint(node->store, work->directory);
    if (work->index != 0 && !there)
        world_fail(node->world, "apply named the checkpoint %s, which is not there", work->directory);
    node->world->counts.checkpoints += there;
    process_run(&daemon->process, done_body, daemon, work->index);
}

static void maint_end_round(struct daemon *daemon) {
    struct node *node = daemon->node;
    maint_role_end_round(daemon->maint, node->world->now_us);
    if (!maint_role_take_work(daemon->maint, &node->maint_work) || daemon->process.zombie)
        return;
    world_after(node->world, random_delay(&node->random, 1, CHECK_LONGEST_US), check, daemon,
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
