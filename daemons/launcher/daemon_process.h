/* daemon_process: one daemon as a child process: starting it and learning that it is ready or gone. */
#ifndef QUORATE_LAUNCHER_DAEMON_PROCESS_H
#define QUORATE_LAUNCHER_DAEMON_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "launcher/role_table.h"
#include "launcher/throttle.h"

struct daemon_process {
    const struct role *role;
    unsigned slot;
    char name[32];
    pid_t pid;    /* 0: not running */
    int exit_fd;  /* pidfd: readable when it is gone */
    int ready_fd; /* readable when it is ready; -1 afterwards */
    bool ready;   /* this process has said so */
    uint64_t started_us, died_us;
    uint64_t start_at_us; /* when to start it again; 0: not planned */
    struct throttle throttle;
};

/* What every daemon is started with. */
struct daemon_start {
    const char *bin_directory, *config_path;
    int lock_fd; /* inherited */
};

/* Forks and executes; sets pid, exit_fd, ready_fd, started_us. 0 or -errno. */
int daemon_process_start(struct daemon_process *process, const struct daemon_start *start);
/* After exit_fd was readable: reaps it, closes the descriptors, returns the status of waitpid. */
int daemon_process_reap(struct daemon_process *process);

#endif
