/*
 * quorate-maint - the maintenance daemon of a node
 *
 * SYNOPSIS
 *     quorate-maint --config FILE      started by quorate (or systemd)
 *
 * DESCRIPTION
 *     Works on hard-linked checkpoints of the database, which apply makes on request; never on the live one.
 *     After a compaction it reads a checkpoint through, computes what has to be kept of the history before
 *     the compacted revision, and has apply carry that out and drop the rest. Some seconds after start and
 *     then daily it has a checkpoint made, opens it read-only, compares its index with what apply says, and
 *     removes it. Where this member leads, it proposes automatic compactions. All reading is done at low
 * priority, with pauses while apply is busy. Links: dials raft.maint and apply.maint, listens on
 * maint.proxy-N.
 *
 * SECURITY
 *     Touches its links and <data>/member/maint; no network, no client data leaves it.
 *
 * BUGS
 *     Defragmentation, snapshots, hashes and backups come with later releases.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/service.h"
#include "maint/checkpoint_rocksdb.h"
#include "maint/maint_role.h"

enum {
    NICE = 10, /* a tenth of a busy processor: with less, history would grow faster than it is read */
    IOPRIO_WHO_PROCESS = 1,
    IOPRIO_IDLE = 3 << 13,
};

struct daemon {
    struct service service;
    struct combiner combiner;
    struct maint_role *role;
    struct nng_transport *raft, *apply, *proxies[BUS_PROXY_SLOTS];
    bool ready; /* inside the combiner */

    /* The thread that reads checkpoints, and its one slice of work. */
    pthread_t worker;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct maint_work *work; /* NULL: none */
};

/* Inside the combiner: hands the role's work to the worker, which is idle whenever there is some. */
static void pass_work_on(struct daemon *daemon) {
    struct maint_work *work = maint_role_take_work(daemon->role);
    if (work == NULL)
        return;
    pthread_mutex_lock(&daemon->lock);
    daemon->work = work;
    pthread_cond_signal(&daemon->changed);
    pthread_mutex_unlock(&daemon->lock);
}

static void end_round(void *context) {
    struct daemon *daemon = context;
    maint_role_end_round(daemon->role, clock_monotonic_us());
    pass_work_on(daemon);
    if (!daemon->ready && maint_role_state(daemon->role).ready) {
        daemon->ready = true;
        service_ready(&daemon->service);
    }
}

/* Of this thread only. That it cannot be had is no reason to do without compaction. */
static void lower_priority(void) {
    pid_t thread = (pid_t)syscall(SYS_gettid);
    if (setpriority(PRIO_PROCESS, (id_t)thread, NICE) != 0)
        LOG_WARN("cannot lower the priority of a thread");
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, IOPRIO_IDLE) != 0)
        LOG_WARN("cannot lower the disk priority of a thread");
}

/* Rests the longer, the busier apply is: up to four times as long as it worked. */
static void rest(uint64_t worked_us, uint16_t load) {
    uint64_t rest_us = worked_us * load / 250;
    if (rest_us == 0)
        return;
    nanosleep(&(struct timespec){.tv_sec = (time_t)(rest_us / 1000000),
                                 .tv_nsec = (long)(rest_us % 1000000 * 1000)},
              NULL);
}

static struct maint_work *await_work(struct daemon *daemon) {
    pthread_mutex_lock(&daemon->lock);
    while (daemon->work == NULL)
        pthread_cond_wait(&daemon->changed, &daemon->lock);
    struct maint_work *work = daemon->work;
    daemon->work = NULL;
    pthread_mutex_unlock(&daemon->lock);
    return work;
}

static _Noreturn void *run_worker(void *context) {
    struct daemon *daemon = context;
    lower_priority();
    for (;;) {
        struct maint_work *work = await_work(daemon);
        uint64_t begin_us = clock_monotonic_us();
        maint_work_run(work, &checkpoint_rocksdb_files);
        uint64_t worked_us = clock_monotonic_us() - begin_us;
        combiner_enter(&daemon->combiner);
        maint_role_work_done(daemon->role, clock_monotonic_us());
        uint16_t load = maint_role_state(daemon->role).load;
        combiner_leave(&daemon->combiner);
        rest(worked_us, load);
    }
}

static void tick(void *context, uint64_t now_ms) {
    struct daemon *daemon = context;
    combiner_enter(&daemon->combiner);
    maint_role_tick(daemon->role, clock_monotonic_us());
    combiner_leave(&daemon->combiner);
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
    const struct config *config = &daemon.service.config;
    struct maint_options options = {
        .work_directory = directory,
        .incarnation = daemon.service.incarnation,
        .auto_compaction = {.by_revision = strcmp(config->auto_compaction_mode, "revision") == 0,
                            .retention = config->auto_compaction_retention},
    };
    daemon.role = maint_role_new(&options, clock_monotonic_us());
    combiner_init(&daemon.combiner, end_round, NULL, &daemon);
    pthread_mutex_init(&daemon.lock, NULL);
    pthread_cond_init(&daemon.changed, NULL);
    open_links(&daemon);
    if (pthread_create(&daemon.worker, NULL, run_worker, &daemon) != 0)
        LOG_FATAL("cannot start a thread");
    service_run(&daemon.service, 100, tick, &daemon);
    LOG_INFO("stopped");
    _exit(0); /* nng's threads live on until the end; taking its sockets down first gains nothing */
}
