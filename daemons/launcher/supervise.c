/*
 * supervise: see supervise.h. One thread, one poll(2) over the signals, and of each daemon its exit and its
 * readiness; a handful of descriptors, so nothing cleverer is needed.
 */
#include "launcher/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/bus/bus.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "launcher/daemon_process.h"

enum { PROCESS_LIMIT = ROLE_COUNT + BUS_PROXY_SLOTS, STOP_TIMEOUT_US = 10000000, IMPATIENCE_US = 500000 };

struct node {
    const struct config *config;
    struct daemon_start start;
    struct daemon_process processes[PROCESS_LIMIT];
    unsigned count;
    int signal_fd;
    bool served; /* all daemons have been ready at once */
    bool stopping;
    uint64_t stopped_us; /* while stopping: since when */
    unsigned stage;      /* while stopping */
    uint64_t kill_at_us; /* while stopping: when patience ends */
    int exit_status;
};

static void add_processes(struct node *node) {
    for (unsigned i = 0; i < ROLE_COUNT; i++) {
        const struct role *role = &role_table[i];
        for (unsigned slot = 0; slot < (role->slots ? node->config->proxies : 1); slot++) {
            struct daemon_process *process = &node->processes[node->count++];
            *process = (struct daemon_process){.role = role, .slot = slot, .exit_fd = -1, .ready_fd = -1};
            if (role->slots)
                snprintf(process->name, sizeof process->name, "%s-%u", role->name, slot);
            else
                snprintf(process->name, sizeof process->name, "%s", role->name);
        }
    }
}

static void start_process(struct node *node, struct daemon_process *process) {
    int status = daemon_process_start(process, &node->start);
    if (status == 0) {
        LOG_INFO("started daemon", F_STR("daemon", process->name), F_I64("pid", process->pid));
        return;
    }
    LOG_ERROR("cannot start a daemon; trying again", F_STR("daemon", process->name), F_ERRNO(-status));
    process->start_at_us = clock_monotonic_us() + 1000000;
}

static void begin_stop(struct node *node, int exit_status) {
    node->stopping = true;
    node->stopped_us = clock_monotonic_us();
    node->stage = 0;
    node->kill_at_us = 0;
    node->exit_status = exit_status;
    sd_notify(0, "STOPPING=1");
}

static void signal_all(const struct node *node, int number) {
    for (unsigned i = 0; i < node->count; i++) {
        if (node->processes[i].pid > 0)
            kill(node->processes[i].pid, number);
    }
}

/* Signals the daemons of the current stage; false when none of them is left. */
static bool signal_stage(const struct node *node, int number) {
    bool any = false;
    for (unsigned i = 0; i < node->count; i++) {
        const struct daemon_process *process = &node->processes[i];
        if (process->pid == 0 || process->role->stop_stage != node->stage)
            continue;
        any = true;
        if (number != 0)
            kill(process->pid, number);
    }
    return any;
}

static bool any_running(const struct node *node) {
    for (unsigned i = 0; i < node->count; i++) {
        if (node->processes[i].pid > 0)
            return true;
    }
    return false;
}

/* Moves a stop along: to the next stage when this one is gone, to SIGKILL when patience ends. */
static void continue_stop(struct node *node) {
    uint64_t now = clock_monotonic_us();
    if (node->kill_at_us != 0 && now >= node->kill_at_us && signal_stage(node, 0)) {
        LOG_WARN("a daemon did not stop in time; killing it");
        signal_stage(node, SIGKILL);
        node->kill_at_us = now + STOP_TIMEOUT_US;
    }
    while (any_running(node) && !signal_stage(node, 0)) {
        node->stage++;
        node->kill_at_us = 0;
    }
    if (node->kill_at_us == 0) {
        signal_stage(node, SIGTERM);
        node->kill_at_us = now + STOP_TIMEOUT_US;
    }
}

static void log_death(const struct daemon_process *process, pid_t pid, int status, uint64_t wait_us) {
    struct log_field how = WIFSIGNALED(status) ? F_STR("signal", strsignal(WTERMSIG(status)))
                                               : F_I64("status", WEXITSTATUS(status));
    LOG_ERROR("daemon died; starting it again", F_STR("daemon", process->name), F_I64("pid", pid), how,
              F_U64("after-ms", (process->died_us - process->started_us) / 1000),
              F_U64("wait-ms", wait_us / 1000));
}

static void process_died(struct node *node, struct daemon_process *process) {
    pid_t pid = process->pid;
    bool was_ready = process->ready;
    int status = daemon_process_reap(process);
    if (node->stopping) {
        LOG_INFO("daemon stopped", F_STR("daemon", process->name), F_I64("pid", pid));
        return;
    }
    if (!node->served && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        LOG_ERROR("a daemon cannot start; stopping the node", F_STR("daemon", process->name),
                  F_I64("status", WEXITSTATUS(status)));
        begin_stop(node, 1);
        return;
    }
    uint64_t wait = throttle_died(&process->throttle, process->died_us - process->started_us, was_ready);
    log_death(process, pid, status, wait);
    metric_add(METRIC_QUORATE_DAEMON_RESTARTS_TOTAL, 1);
    if (wait == 0)
        start_process(node, process);
    else
        process->start_at_us = process->died_us + wait;
}

static void all_ready(struct node *node) {
    for (unsigned i = 0; i < node->count; i++) {
        if (!node->processes[i].ready)
            return;
    }
    node->served = true;
    LOG_INFO("ready to serve client requests", F_STR("name", node->config->name),
             F_STR("listen-client-urls", node->config->listen_client_urls),
             F_STR("advertise-client-urls", node->config->advertise_client_urls),
             F_STR("data-dir", node->config->data_directory));
    sd_notify(0, "READY=1");
}

static void process_spoke(struct node *node, struct daemon_process *process) {
    char byte = 0;
    ssize_t length = read(process->ready_fd, &byte, 1);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close(process->ready_fd);
    process->ready_fd = -1;
    if (length != 1)
        return; /* it ended without a word; its exit says more */
    process->ready = true;
    uint64_t now = clock_monotonic_us();
    if (!node->served)
        all_ready(node);
    else
        LOG_INFO("daemon is back", F_STR("daemon", process->name), F_I64("pid", process->pid),
                 F_U64("gone-ms", process->died_us == 0 ? 0 : (now - process->died_us) / 1000));
}

static void take_signal(struct node *node) {
    struct signalfd_siginfo info;
    if (read(node->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        signal_all(node, SIGHUP);
        return;
    }
    if (!node->stopping) {
        LOG_INFO("received signal; stopping the node", F_STR("signal", strsignal((int)info.ssi_signo)));
        begin_stop(node, 0);
        return;
    }
    if (clock_monotonic_us() - node->stopped_us < IMPATIENCE_US)
        return; /* the same request, sent to us and to our process group */
    LOG_WARN("received another signal; killing the daemons", F_STR("signal", strsignal((int)info.ssi_signo)));
    signal_all(node, SIGKILL);
}

/* Starts what is due; returns milliseconds until the next thing is, -1 for nothing. */
static int due(struct node *node) {
    uint64_t now = clock_monotonic_us(), next = node->stopping ? node->kill_at_us : UINT64_MAX;
    for (unsigned i = 0; i < node->count && !node->stopping; i++) {
        struct daemon_process *process = &node->processes[i];
        if (process->pid == 0 && process->start_at_us != 0 && now >= process->start_at_us)
            start_process(node, process);
        if (process->start_at_us != 0 && process->start_at_us < next)
            next = process->start_at_us;
    }
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)((next - now) / 1000) + 1;
}

/* One wait and what it brings. */
static void turn(struct node *node) {
    int patience = due(node); /* may start processes, so before their descriptors are gathered */
    struct pollfd polls[1 + 2 * PROCESS_LIMIT] = {{.fd = node->signal_fd, .events = POLLIN}};
    for (unsigned i = 0; i < node->count; i++) {
        polls[1 + 2 * i] = (struct pollfd){.fd = node->processes[i].ready_fd, .events = POLLIN};
        polls[2 + 2 * i] = (struct pollfd){.fd = node->processes[i].exit_fd, .events = POLLIN};
    }
    if (poll(polls, 1 + 2 * (nfds_t)node->count, patience) <= 0)
        return;
    if (polls[0].revents != 0)
        take_signal(node);
    for (unsigned i = 0; i < node->count; i++) {
        if (polls[1 + 2 * i].revents != 0)
            process_spoke(node, &node->processes[i]);
        if (polls[2 + 2 * i].revents != 0)
            process_died(node, &node->processes[i]);
    }
    metrics_tick();
}

static int open_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

int supervise(const struct config *config, const char *bin_directory, int lock_fd) {
    struct node node = {.config = config};
    struct buffer path = {0};
    buffer_printf(&path, "%s/node.conf", config->runtime_directory);
    buffer_append_byte(&path, '\0');
    node.start = (struct daemon_start){
        .bin_directory = bin_directory, .config_path = (const char *)path.data, .lock_fd = lock_fd};
    node.signal_fd = open_signals();
    if (node.signal_fd < 0)
        LOG_FATAL("cannot receive signals", F_ERRNO(errno));
    add_processes(&node);
    for (unsigned i = 0; i < node.count; i++)
        start_process(&node, &node.processes[i]);
    while (!node.stopping)
        turn(&node);
    for (continue_stop(&node); any_running(&node); continue_stop(&node))
        turn(&node);
    LOG_INFO("stopped");
    close(node.signal_fd);
    buffer_free(&path);
    return node.exit_status;
}
