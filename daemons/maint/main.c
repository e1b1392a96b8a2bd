/*
 * quorate-maint - the maintenance daemon of a node
 *
 * SYNOPSIS
 *     quorate-maint --config FILE      started by quorate (or systemd)
 *
 * DESCRIPTION
 *     Works on hard-linked checkpoints of the database, which apply makes on request; never on the live one.
 *     In this release it proves that path: some seconds after start and then daily it has a checkpoint made,
 *     opens it read-only, compares its index with what apply says, and removes it.
 *     Links: dials raft.maint and apply.maint, listens on maint.proxy-N.
 *
 * SECURITY
 *     Touches its links and <data>/member/maint; no network, no client data leaves it.
 *
 * BUGS
 *     Compaction, defragmentation, snapshots, hashes and backups come with later releases.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/service.h"
#include "maint/checkpoint_check.h"
#include "maint/maint_role.h"

struct daemon {
    struct service service;
    struct combiner combiner;
    struct maint_role *role;
    struct nng_transport *raft, *apply, *proxies[BUS_PROXY_SLOTS];
    bool ready; /* inside the combiner */

    /* The thread that looks into checkpoints, and its one piece of work. */
    pthread_t checker;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct maint_work work;
    bool has_work;
};

static void end_round(void *context) {
    struct daemon *daemon = context;
    maint_role_end_round(daemon->role, clock_monotonic_us());
    if (!daemon->ready && maint_role_state(daemon->role).ready) {
        daemon->ready = true;
        service_ready(&daemon->service);
    }
}

static _Noreturn void *run_checker(void *context) {
    struct daemon *daemon = context;
    for (;;) {
        pthread_mutex_lock(&daemon->lock);
        while (!daemon->has_work)
            pthread_cond_wait(&daemon->changed, &daemon->lock);
        daemon->has_work = false;
        pthread_mutex_unlock(&daemon->lock);
        uint64_t found = daemon->work.index == 0 ? 0 : checkpoint_index(daemon->work.directory);
        int status = remove_tree(daemon->work.directory);
        if (status != 0)
            LOG_ERROR("cannot remove a checkpoint", F_STR("directory", daemon->work.directory),
                      F_ERRNO(-status));
        combiner_enter(&daemon->combiner);
        maint_role_work_done(daemon->role, found, clock_monotonic_us());
        combiner_leave(&daemon->combiner);
    }
}

/* Outside the combiner: hands the role's work to the checker, which is idle whenever there is some. */
static void pass_work_on(struct daemon *daemon) {
    struct maint_work work;
    combiner_enter(&daemon->combiner);
    bool any = maint_role_take_work(daemon->role, &work);
    combiner_leave(&daemon->combiner);
    if (!any)
        return;
    pthread_mutex_lock(&daemon->lock);
    daemon->work = work;
    daemon->has_work = true;
    pthread_cond_signal(&daemon->changed);
    pthread_mutex_unlock(&daemon->lock);
}

static void tick(void *context, uint64_t now_ms) {
    struct daemon *daemon = context;
    combiner_enter(&daemon->combiner);
    maint_role_tick(daemon->role, clock_monotonic_us());
    combiner_leave(&daemon->combiner);
    pass_work_on(daemon);
    nng_transport_tick(daemon->raft, now_ms);
    nng_transport_tick(daemon->apply, now_ms);
    for (unsigned slot = 0; slot < daemon->service.config.proxies; slot++)
        nng_transport_tick(daemon->proxies[slot], now_ms);
}

static struct nng_transport *open_link(struct daemon *daemon, bool listen, enum bus_role peer, uint8_t slot,
                                       struct bus_handler handler) {
    char name[32];
    if (listen)
        bus_socket_name(name, BUS_ROLE_MAINT, peer, slot);
    else
        bus_socket_name(name, peer, BUS_ROLE_MAINT, 0);
    struct nng_transport *transport = nng_transport_open(name, listen, &daemon->combiner, BUS_ROLE_MAINT, 0,
                                                         peer, slot, daemon->service.incarnation, handler);
    if (transport == NULL)
        LOG_FATAL("cannot open a link", F_STR("socket", name));
    return transport;
}

static void open_links(struct daemon *daemon) {
    struct maint_role *role = daemon->role;
    combiner_enter(&daemon->combiner);
    for (unsigned slot = 0; slot < daemon->service.config.proxies; slot++) {
        daemon->proxies[slot] =
            open_link(daemon, true, BUS_ROLE_PROXY, (uint8_t)slot, maint_role_proxy_handler(role, slot));
        maint_role_attach_proxy(role, slot, nng_transport_link(daemon->proxies[slot]));
    }
    daemon->raft = open_link(daemon, false, BUS_ROLE_RAFT, 0, maint_role_raft_handler(role));
    maint_role_attach_raft(role, nng_transport_link(daemon->raft));
    daemon->apply = open_link(daemon, false, BUS_ROLE_APPLY, 0, maint_role_apply_handler(role));
    maint_role_attach_apply(role, nng_transport_link(daemon->apply));
    combiner_leave(&daemon->combiner);
}

int main(int argc, char **argv) {
    static struct daemon daemon;
    char directory[4000];
    service_start(&daemon.service, argc, argv, "maint");
    int length =
        snprintf(directory, sizeof directory, "%s/member/maint", daemon.service.config.data_directory);
    if (length >= (int)sizeof directory)
        LOG_FATAL("the path of the data directory is too long");
    int status = empty_directory(directory);
    if (status != 0)
        LOG_FATAL("cannot clear the work directory", F_STR("path", directory), F_ERRNO(-status));
    daemon.role = maint_role_new(directory, daemon.service.incarnation, clock_monotonic_us());
    combiner_init(&daemon.combiner, end_round, NULL, &daemon);
    pthread_mutex_init(&daemon.lock, NULL);
    pthread_cond_init(&daemon.changed, NULL);
    open_links(&daemon);
    if (pthread_create(&daemon.checker, NULL, run_checker, &daemon) != 0)
        LOG_FATAL("cannot start a thread");
    service_run(&daemon.service, 100, tick, &daemon);
    LOG_INFO("stopped");
    _exit(0); /* nng's threads live on until the end; taking its sockets down first gains nothing */
}
