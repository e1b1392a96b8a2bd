/*
 * quorate-raft: consensus and the log of one member.
 *
 * SYNOPSIS
 *     quorate-raft --config FILE
 *
 * DESCRIPTION
 *     Opens (or founds) the write-ahead log, takes proposals and linearizable reads from the proxies, and
 * sends apply the entries that are committed and durable here, in order. Started and restarted by quorate or
 * by systemd; starts from its own files alone, whether apply is there or not.
 *
 * SECURITY
 *     Touches <data-dir>/member/wal, <data-dir>/member/members and the runtime directory. Listens on no
 * network. Never looks into a request beyond its id.
 *
 * EXIT STATUS
 *     0 after SIGTERM or SIGINT. 1 when the environment failed it, after a line that says how: a log that is
 *     corrupt or somebody else's, a failed write or sync, a database that does not fit the log.
 *
 * BUGS
 *     One member: several need the peer links, which this release does not have.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/bus/contract.h"
#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/membership.h"
#include "common/metrics.h"
#include "common/service.h"
#include "raft/io.h"
#include "raft/raft_role.h"
#include "raft/raft_storage.h"

struct daemon {
    struct service service;
    struct combiner combiner;
    struct raft_role *role;
    struct raft_io io;
    struct nng_transport *transports[BUS_PROXY_SLOTS + 2];
    size_t transport_count;
    uint64_t leader_changes_seen, refused_seen, dropped_seen;
};

static void end_round(void *context) {
    struct daemon *daemon = context;
    raft_role_end_round(daemon->role);
    const char *failure = raft_role_failure(daemon->role);
    if (failure != NULL)
        LOG_FATAL("cannot go on", F_STR("error", failure));
    raft_io_take(&daemon->io);
}

static void after(void *context) {
    struct daemon *daemon = context;
    raft_io_run(&daemon->io);
}

static void publish_metrics(struct daemon *daemon) {
    struct raft_role_status status = raft_role_status(daemon->role);
    metric_set(METRIC_ETCD_SERVER_HAS_LEADER, status.leader != 0);
    metric_set(METRIC_ETCD_SERVER_IS_LEADER, status.role == RAFT_LEADER);
    metric_set(METRIC_ETCD_SERVER_IS_LEARNER, status.role == RAFT_LEARNER);
    metric_set(METRIC_ETCD_SERVER_PROPOSALS_COMMITTED_TOTAL, (int64_t)status.commit);
    metric_set(METRIC_ETCD_SERVER_PROPOSALS_PENDING,
               status.last > status.applied ? (int64_t)(status.last - status.applied) : 0);
    metric_add(METRIC_ETCD_SERVER_LEADER_CHANGES_SEEN_TOTAL,
               status.leader_changes - daemon->leader_changes_seen);
    metric_add(METRIC_ETCD_SERVER_PROPOSALS_FAILED_TOTAL, status.proposals_refused - daemon->refused_seen);
    daemon->leader_changes_seen = status.leader_changes;
    metric_add(METRIC_QUORATE_OWN_PROPOSALS_DROPPED_TOTAL, status.proposals_dropped - daemon->dropped_seen);
    daemon->refused_seen = status.proposals_refused;
    daemon->dropped_seen = status.proposals_dropped;
}

static void tick(void *context, uint64_t now_ms) {
    struct daemon *daemon = context;
    combiner_enter(&daemon->combiner);
    raft_role_tick(daemon->role, now_ms * 1000);
    publish_metrics(daemon);
    combiner_leave(&daemon->combiner);
    for (size_t i = 0; i < daemon->transport_count; i++)
        nng_transport_tick(daemon->transports[i], now_ms);
}

static struct bus_link *listen_for(struct daemon *daemon, enum bus_role peer, uint8_t slot,
                                   struct bus_handler handler) {
    char name[32];
    bus_socket_name(name, BUS_ROLE_RAFT, peer, slot);
    struct nng_transport *transport = nng_transport_open(name, true, &daemon->combiner, BUS_ROLE_RAFT, 0,
                                                         peer, slot, daemon->service.incarnation, handler);
    if (transport == NULL)
        LOG_FATAL("cannot listen", F_STR("socket", name));
    daemon->transports[daemon->transport_count++] = transport;
    return nng_transport_link(transport);
}

/* Inside the combiner, so that no event comes before its link is attached. */
static void open_links(struct daemon *daemon) {
    struct raft_role *role = daemon->role;
    combiner_enter(&daemon->combiner);
    raft_role_attach_apply(role, listen_for(daemon, BUS_ROLE_APPLY, 0, raft_role_apply_handler(role)));
    raft_role_attach_maint(role, listen_for(daemon, BUS_ROLE_MAINT, 0, raft_role_maint_handler(role)));
    for (unsigned slot = 0; slot < daemon->service.config.proxies; slot++) {
        struct bus_handler handler = raft_role_proxy_handler(role, slot);
        raft_role_attach_proxy(role, slot, listen_for(daemon, BUS_ROLE_PROXY, (uint8_t)slot, handler));
    }
    combiner_leave(&daemon->combiner);
}

static uint64_t resolve_members(const struct config *config, struct membership *bootstrap) {
    char error[256];
    uint64_t own_id = 0;
    if (!membership_bootstrap(config->initial_cluster, config->cluster_token, config->name, bootstrap,
                              &own_id, error))
        LOG_FATAL("cannot use the initial cluster", F_STR("error", error));
    if (bootstrap->count != 1)
        LOG_FATAL("this release runs clusters of one member",
                  F_STR("initial-cluster", config->initial_cluster));
    return own_id;
}

static struct raft_storage *open_storage(struct daemon *daemon, uint64_t member, uint64_t cluster) {
    const struct config *config = &daemon->service.config;
    char directory[4096];
    char error[512];
    snprintf(directory, sizeof directory, "%s/member", config->data_directory);
    if (strcmp(config->initial_state, "existing") == 0 &&
        wal_exists(disk_linux(), config->wal_directory) != 1)
        LOG_FATAL("initial-cluster-state is existing, but there is no log and nobody to join",
                  F_STR("dir", config->wal_directory));
    struct raft_storage_options options = {
        .disk = disk_linux(),
        .member_directory = directory,
        .wal_directory = config->wal_directory,
        .member = member,
        .cluster = cluster,
        .nonce = clock_random(),
        .sync = !config->unsafe_no_fsync,
    };
    struct raft_storage *storage = raft_storage_open(&options, daemon->role, error);
    if (storage == NULL)
        LOG_FATAL("cannot open the log", F_STR("error", error));
    return storage;
}

/* Role and log; a sole member leads when this returns. */
static void start_role(struct daemon *daemon) {
    const struct config *config = &daemon->service.config;
    struct membership bootstrap;
    char error[512];
    uint64_t member = resolve_members(config, &bootstrap);
    daemon->role = raft_role_new(&(struct raft_role_options){
        .member = member,
        .cluster = bootstrap.cluster,
        .proxies = config->proxies,
        .heartbeat_ms = config->heartbeat_interval,
        .election_ms = config->election_timeout,
        .pre_vote = config->pre_vote,
        .seed = clock_random(),
        .bootstrap = &bootstrap,
        .client_urls = config->advertise_client_urls,
    });
    struct raft_storage *storage = open_storage(daemon, member, bootstrap.cluster);
    if (!raft_role_start(daemon->role, clock_monotonic_us(), error))
        LOG_FATAL("cannot start from the log", F_STR("error", error));
    raft_io_settle(daemon->role, storage);
    metric_set(METRIC_ETCD_SERVER_ID, (int64_t)member);
    combiner_init(&daemon->combiner, end_round, after, daemon);
    raft_io_start(&daemon->io, &daemon->combiner, daemon->role, storage);
}

/* Returns inside the combiner, with no write under way. */
static void stop(struct daemon *daemon) {
    combiner_enter(&daemon->combiner);
    while (!raft_io_idle(&daemon->io)) {
        combiner_leave(&daemon->combiner);
        usleep(1000);
        combiner_enter(&daemon->combiner);
    }
}

int main(int argc, char **argv) {
    static struct daemon daemon;
    service_start(&daemon.service, argc, argv, "raft");
    start_role(&daemon);
    open_links(&daemon);
    service_ready(&daemon.service);
    unsigned period = daemon.service.config.heartbeat_interval / 2;
    service_run(&daemon.service, period == 0 ? 1 : period, tick, &daemon);
    stop(&daemon);
    LOG_INFO("stopped");
    /* nng's threads still run and closing its sockets is what it does worst: the kernel does it. */
    _exit(0);
}
