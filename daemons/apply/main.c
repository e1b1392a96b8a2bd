/*
 * quorate-apply - the daemon that executes the log and answers reads
 *
 * SYNOPSIS
 *     quorate-apply --config FILE      started by quorate (or systemd)
 *
 * DESCRIPTION
 *     Takes committed entries from raft in log order, executes them into its database (RocksDB), and answers
 * the proxies: results of writes, and reads. It never runs ahead of the log of its node, and after a crash
 *     goes on from its last flush by replaying the log.
 *     Links: dials raft.apply; listens on apply.proxy-N and apply.maint.
 *
 * FILES
 *     <data>/member/generation   names the directory of the database
 *     <data>/member/gen-N        the database
 *
 * SECURITY
 *     Touches its links and <data>/member; no network.
 *
 * BUGS
 *     Auth and alarms come with later releases: such entries are answered "not implemented".
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apply/apply_role.h"
#include "apply/generation.h"
#include "apply/job_pool.h"
#include "apply/store/remove_directory.h"
#include "apply/store/store_rocksdb.h"
#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/service.h"

enum { POOL_THREADS = 2, TICK_MS = 100, PATH_SIZE = 4096 };

struct daemon {
    struct service service;
    struct combiner combiner;
    char member_directory[PATH_SIZE];
    struct store *store;
    struct apply_role *role;
    struct job_pool *pool;
    struct nng_transport *raft, *maint, *proxies[BUS_PROXY_SLOTS];

    struct tick_event {
        struct combiner_event event;
        struct daemon *daemon;
        atomic_bool pending;
    } tick;
    struct combiner_event stop;
    bool stopping; /* inside the combiner */
};

/* Everything that was executed is in the database by now; make it durable, so that the next start replays
 * nothing. */
static _Noreturn void stop(struct daemon *daemon) {
    daemon->store->operations->flush_wait(daemon->store);
    LOG_INFO("stopped", F_U64("applied-index", apply_role_state(daemon->role).index));
    _exit(0); /* nng's and the pool's threads live on until the end */
}

static void end_round(void *context) {
    struct daemon *daemon = context;
    struct apply_job *job = NULL;
    apply_role_end_round(daemon->role, clock_monotonic_us());
    while ((job = apply_role_take_job(daemon->role)) != NULL)
        job_pool_add(daemon->pool, job);
    if (daemon->stopping)
        stop(daemon);
}

static void handle_tick(struct combiner_event *event) {
    struct tick_event *tick = (struct tick_event *)event;
    atomic_store(&tick->pending, false);
    apply_role_tick(tick->daemon->role, clock_monotonic_us());
}

static void handle_stop(struct combiner_event *event) {
    struct daemon *daemon = (struct daemon *)((char *)event - offsetof(struct daemon, stop));
    daemon->stopping = true;
}

/* Posts instead of entering: under load the combiner may not be free for long. */
static void tick(void *context, uint64_t now_ms) {
    struct daemon *daemon = context;
    if (!atomic_exchange(&daemon->tick.pending, true))
        combiner_post(&daemon->combiner, &daemon->tick.event);
    nng_transport_tick(daemon->raft, now_ms);
    nng_transport_tick(daemon->maint, now_ms);
    for (unsigned slot = 0; slot < daemon->service.config.proxies; slot++)
        nng_transport_tick(daemon->proxies[slot], now_ms);
}

/* --- the database --- */

static void generation_path(char path[PATH_SIZE], const char *member_directory, uint64_t generation) {
    if (snprintf(path, PATH_SIZE, "%s/gen-%llu", member_directory, (unsigned long long)generation) >=
        PATH_SIZE)
        LOG_FATAL("the path of the data directory is too long");
}

static void remove_stale(void *context, uint64_t generation) {
    char path[PATH_SIZE];
    generation_path(path, context, generation);
    int result = remove_directory(path);
    if (result != 0)
        LOG_ERROR("cannot remove an old database", F_STR("path", path), F_ERRNO(-result));
    else
        LOG_INFO("removed an old database", F_STR("path", path));
}

static void open_store(struct daemon *daemon) {
    const struct config *config = &daemon->service.config;
    char error[512] = "";
    char path[PATH_SIZE];
    uint64_t generation = 0;
    if (snprintf(daemon->member_directory, PATH_SIZE, "%s/member", config->data_directory) >= PATH_SIZE)
        LOG_FATAL("the path of the data directory is too long");
    if (!generation_current(disk_linux(), daemon->member_directory, &generation, error))
        LOG_FATAL("cannot find the database", F_STR("error", error));
    generation_each_stale(disk_linux(), daemon->member_directory, generation, remove_stale,
                          daemon->member_directory);
    generation_path(path, daemon->member_directory, generation);
    daemon->store =
        store_rocksdb_open(path,
                           &(struct store_rocksdb_options){.cache_bytes = config->cache_bytes,
                                                           .memtable_bytes = config->memtable_bytes},
                           error);
    if (daemon->store == NULL)
        LOG_FATAL("cannot open the database", F_STR("error", error));
    LOG_INFO("opened the database", F_STR("path", path));
}

static void open_role(struct daemon *daemon) {
    char error[256] = "";
    struct apply_options options = {.store = daemon->store,
                                    .member_directory = daemon->member_directory,
                                    .quota_bytes = daemon->service.config.quota_bytes,
                                    .election_us = (uint64_t)daemon->service.config.election_timeout * 1000,
                                    .clock_us = clock_monotonic_us,
                                    .hash_seed = clock_random()};
    daemon->role = apply_role_new(&options, clock_monotonic_us(), error);
    if (daemon->role == NULL)
        LOG_FATAL("cannot read the database", F_STR("error", error));
    struct apply_state state = apply_role_state(daemon->role);
    LOG_INFO("stands at", F_U64("applied-index", state.index), F_I64("revision", state.revision),
             F_I64("compact-revision", state.compacted));
}

/* --- links --- */

static struct nng_transport *open_link(struct daemon *daemon, const char *name, bool listen,
                                       enum bus_role peer, uint8_t slot, struct bus_handler handler) {
    struct nng_transport *transport = nng_transport_open(name, listen, &daemon->combiner, BUS_ROLE_APPLY, 0,
                                                         peer, slot, daemon->service.incarnation, handler);
    if (transport == NULL)
        LOG_FATAL("cannot open a link", F_STR("socket", name));
    return transport;
}

static void open_links(struct daemon *daemon) {
    struct apply_role *role = daemon->role;
    char name[32];
    combiner_enter(&daemon->combiner);
    for (uint8_t slot = 0; slot < daemon->service.config.proxies; slot++) {
        bus_socket_name(name, BUS_ROLE_APPLY, BUS_ROLE_PROXY, slot);
        daemon->proxies[slot] =
            open_link(daemon, name, true, BUS_ROLE_PROXY, slot, apply_role_proxy_handler(role, slot));
        apply_role_set_proxy_link(role, slot, nng_transport_link(daemon->proxies[slot]));
    }
    bus_socket_name(name, BUS_ROLE_APPLY, BUS_ROLE_MAINT, 0);
    daemon->maint = open_link(daemon, name, true, BUS_ROLE_MAINT, 0, apply_role_maint_handler(role));
    apply_role_set_maint_link(role, nng_transport_link(daemon->maint));
    bus_socket_name(name, BUS_ROLE_RAFT, BUS_ROLE_APPLY, 0);
    daemon->raft = open_link(daemon, name, false, BUS_ROLE_RAFT, 0, apply_role_raft_handler(role));
    apply_role_set_raft_link(role, nng_transport_link(daemon->raft));
    combiner_leave(&daemon->combiner);
}

/* RocksDB may keep 1000 files open; the customary soft limit is 1024 for everything. */
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv) {
    static struct daemon daemon;
    service_start(&daemon.service, argc, argv, "apply");
    raise_file_limit();
    combiner_init(&daemon.combiner, end_round, NULL, &daemon);
    daemon.tick.event.handle = handle_tick;
    daemon.tick.daemon = &daemon;
    daemon.stop.handle = handle_stop;
    open_store(&daemon);
    open_role(&daemon);
    daemon.pool = job_pool_start(POOL_THREADS, &daemon.combiner, daemon.role);
    open_links(&daemon);
    service_ready(&daemon.service);
    service_run(&daemon.service, TICK_MS, tick, &daemon);
    combiner_post(&daemon.combiner, &daemon.stop);
    for (;;)
        pause();
}
