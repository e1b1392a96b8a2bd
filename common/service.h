/*
 * service: what every daemon's main() shares: command line, config, working directory, signals, readiness.
 *
 *     int main(int argc, char **argv)
 *     {
 *         struct service service;
 *         service_start(&service, argc, argv, "raft");   // logs and exits on failure
 *         … open sockets, drop what is not needed …
 *         service_ready(&service);
 *         service_run(&service, tick, context);          // returns on SIGTERM or SIGINT
 *         … orderly stop …
 *     }
 */
#ifndef QUORATE_COMMON_SERVICE_H
#define QUORATE_COMMON_SERVICE_H

#include "common/config.h"

struct service {
    struct config config;
    const char *role;     /* "proxy", "raft", "apply", "maint" */
    char name[32];        /* role, and the slot for proxies: "proxy-0" */
    uint8_t slot;         /* --slot N, proxies only */
    uint64_t incarnation; /* random */
    int signal_fd;        /* SIGTERM and SIGINT, blocked in all threads */
};

/*
 * Parses `--config FILE [--slot N]`, reads the config, starts the log, blocks signals, changes into the
 * runtime directory, sets umask 077, opens the metrics file. Before any thread. Exits with a message on
 * error.
 */
void service_start(struct service *service, int argc, char **argv, const char *role);
/* Tells the launcher (a byte on the descriptor named by QUORATE_READY_FD) and systemd (sd_notify). Once. */
void service_ready(struct service *service);
/* Calls tick(context, monotonic ms) every `period_ms` on this thread until a stop signal; then returns. */
void service_run(struct service *service, unsigned period_ms, void (*tick)(void *context, uint64_t now_ms),
                 void *context);

#endif
