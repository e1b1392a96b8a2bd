/* node_proxy: the proxy daemon in the simulator: the role without its HTTP side. Clients call it directly. */
#include "node.h"
#include "proxy/proxy_role.h"

enum { CLOCK_STEP_BACK_US = 3000000 };

/* The wall clock that seeds request ids may be set back while the proxy is down. */
static uint64_t wall_clock(struct node *node) {
    if (random_chance(&node->random, 1, 4))
        node->clock_skew_us -= (int64_t)random_below(&node->random, CLOCK_STEP_BACK_US);
    return (uint64_t)((int64_t)node->world->now_us + node->clock_skew_us) + node->clock_base_us;
}

static bool proxy_start(struct daemon *daemon, char error[512]) {
    (void)error;
    struct proxy_role_config config = {
        .slot = daemon->slot,
        .id_seed = wall_clock(daemon->node),
        .timeout_us = 7000000,
        .pending_limit = 1000,
        .waiting_bytes = 1 << 20,
        .max_request_bytes = 1572864,
        .watch_limits = daemon->node->watch_limits,
        .election_us = 1000000,
        .watch_progress_us = 1000000,
        .seed = daemon->node->world->now_us,
    };
    daemon->proxy = proxy_role_new(&config);
    return true;
}

static void proxy_stop(struct daemon *daemon) {
    if (daemon->proxy != NULL)
        proxy_role_free(daemon->proxy);
    daemon->proxy = NULL;
}

static struct bus_handler proxy_handler(struct daemon *daemon, enum bus_role peer, uint8_t slot) {
    (void)slot;
    return proxy_role_handler(daemon->proxy, peer);
}

/* The role takes its three links at once: the last one attached completes them. */
static void proxy_attach(struct daemon *daemon, enum bus_role peer, uint8_t slot, struct bus_link *link) {
    (void)slot;
    (void)link;
    struct bus_link *links[BUS_ROLE_MAINT + 1] = {0};
    for (unsigned i = 0; i < daemon->link_count; i++)
        links[daemon->links[i].peer] = daemon->links[i].link;
    if (peer == BUS_ROLE_MAINT)
        proxy_role_attach(daemon->proxy, links[BUS_ROLE_RAFT], links[BUS_ROLE_APPLY], links[BUS_ROLE_MAINT]);
}

static void proxy_tick(struct daemon *daemon) {
    proxy_role_tick(daemon->proxy, daemon->node->world->now_us);
}

static void proxy_end_round(struct daemon *daemon) {
    proxy_role_end_round(daemon->proxy);
}

const struct daemon_kind proxy_kind = {
    .role = BUS_ROLE_PROXY,
    .tick_us = 10000,
    .start = proxy_start,
    .handler = proxy_handler,
    .attach = proxy_attach,
    .tick = proxy_tick,
    .end_round = proxy_end_round,
    .stop = proxy_stop,
};
