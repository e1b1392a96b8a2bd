/*
 * service: see service.h.
 *
 * Happy path: arguments, config, log, signals blocked, directory, metrics file, and the daemon goes on.
 * Failure modes: anything missing or malformed ends the process with status 1 (status 2 for the command line)
 * and a message, before a thread or a socket exists.
 */
#include "common/service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/bus/bus.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

/* An orderly stop that hangs ends here (SIGALRM), also when no launcher is left to lose patience. */
enum { STOP_LIMIT_SECONDS = 12 };

static _Noreturn void usage(const char *role, const char *problem) {
    fprintf(stderr, "quorate-%s: %s\nusage: quorate-%s --config FILE%s\n", role, problem, role,
            strcmp(role, "proxy") == 0 ? " [--slot N]" : "");
    exit(2);
}

static const char *parse_arguments(struct service *service, int argc, char **argv) {
    const char *config = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            printf("quorate-%s %s\n", service->role, QUORATE_VERSION);
            exit(0);
        }
        if (i + 1 == argc)
            usage(service->role, "an option lacks its value or is unknown");
        if (strcmp(argv[i], "--config") == 0) {
            config = argv[++i];
        } else if (strcmp(argv[i], "--slot") == 0 && strcmp(service->role, "proxy") == 0) {
            const char *slot = argv[++i];
            if (slot[0] < '0' || slot[0] >= '0' + BUS_PROXY_SLOTS || slot[1] != '\0')
                usage(service->role, "--slot takes 0 to 7");
            service->slot = (uint8_t)(slot[0] - '0');
        } else {
            usage(service->role, "unknown option");
        }
    }
    if (config == NULL)
        usage(service->role, "--config is missing");
    return config;
}

/* A proxy holds a descriptor a client, apply one an SST file: the soft limit of 1024 is history. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG_WARN("cannot raise the limit of open files", F_ERRNO(errno));
}

static int block_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        signal(SIGHUP, SIG_IGN) == SIG_ERR)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void service_start(struct service *service, int argc, char **argv, const char *role) {
    memset(service, 0, sizeof *service);
    service->role = role;
    const char *path = parse_arguments(service, argc, argv);
    if (strcmp(role, "proxy") == 0)
        snprintf(service->name, sizeof service->name, "proxy-%u", service->slot);
    else
        snprintf(service->name, sizeof service->name, "%s", role);
    log_init(service->name, "info");

    char error[256];
    if (!config_read(path, &service->config, error))
        LOG_FATAL("cannot read the configuration", F_STR("error", error));
    log_init(service->name, service->config.log_level);
    umask(077);
    if (chdir(service->config.runtime_directory) != 0)
        LOG_FATAL("cannot enter the runtime directory", F_STR("path", service->config.runtime_directory),
                  F_ERRNO(errno));
    service->signal_fd = block_signals();
    if (service->signal_fd < 0)
        LOG_FATAL("cannot receive signals", F_ERRNO(errno));
    raise_descriptor_limit();
    bus_trace = service->config.bus_trace;
    service->incarnation = clock_random();
    int status = metrics_open(service->config.runtime_directory, service->name);
    if (status != 0)
        LOG_FATAL("cannot open the metrics file", F_STR("path", service->config.runtime_directory),
                  F_ERRNO(-status));
}

void service_ready(struct service *service) {
    const char *number = getenv("QUORATE_READY_FD");
    if (number != NULL) {
        int fd = atoi(number);
        if (write(fd, "R", 1) != 1)
            LOG_WARN("cannot tell the launcher that we are ready", F_ERRNO(errno));
        close(fd);
        unsetenv("QUORATE_READY_FD");
    }
    sd_notify(1, "READY=1");
    LOG_INFO("ready", F_STR("daemon", service->name));
}

/* True when a stop signal was read. */
static bool stop_requested(const struct service *service) {
    struct signalfd_siginfo info;
    if (read(service->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    LOG_INFO("received signal; shutting down", F_STR("signal", strsignal((int)info.ssi_signo)));
    alarm(STOP_LIMIT_SECONDS);
    return true;
}

void service_run(struct service *service, unsigned period_ms, void (*tick)(void *context, uint64_t now_ms),
                 void *context) {
    uint64_t next = clock_monotonic_us() / 1000;
    for (;;) {
        uint64_t now = clock_monotonic_us() / 1000;
        if (now >= next) {
            metrics_tick();
            tick(context, now);
            /* After a pause (suspended machine, stopped process) ticks are not made up for. */
            next = next + period_ms > now ? next + period_ms : now + period_ms;
            now = clock_monotonic_us() / 1000;
        }
        struct pollfd poll_signal = {.fd = service->signal_fd, .events = POLLIN};
        int wait = next > now ? (int)(next - now) : 0;
        if (poll(&poll_signal, 1, wait) > 0 && stop_requested(service))
            return;
    }
}
