/*
 * daemon_process: see daemon_process.h.
 *
 * The child leaves the launcher's process group, so that Ctrl-C reaches the launcher alone, which then stops
 * the daemons in order. It dies with the launcher (PR_SET_PDEATHSIG; a parent that died before that call is
 * seen by getppid).
 */
#include "launcher/daemon_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

static _Noreturn void fail_in_child(const char *what, const char *path) {
    fprintf(stderr, "quorate: %s %s: %s\n", what, path, strerror(errno));
    _exit(127);
}

static _Noreturn void run_child(const struct daemon_process *process, const struct daemon_start *start,
                                pid_t launcher, int ready_fd) {
    char path[4096], ready[16], slot[16];
    sigset_t none;
    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != launcher)
        _exit(127);
    setpgid(0, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int input = open("/dev/null", O_RDONLY);
    if (input > STDIN_FILENO) {
        dup2(input, STDIN_FILENO);
        close(input);
    }
    fcntl(start->lock_fd, F_SETFD, 0);
    fcntl(ready_fd, F_SETFD, 0);
    snprintf(ready, sizeof ready, "%d", ready_fd);
    setenv("QUORATE_READY_FD", ready, 1);
    unsetenv("NOTIFY_SOCKET"); /* the launcher speaks for the node */
    snprintf(path, sizeof path, "%s/%s", start->bin_directory, process->role->executable);
    snprintf(slot, sizeof slot, "%u", process->slot);
    execl(path, process->role->executable, "--config", start->config_path,
          process->role->slots ? "--slot" : (char *)NULL, slot, (char *)NULL);
    fail_in_child("cannot execute", path);
}

int daemon_process_start(struct daemon_process *process, const struct daemon_start *start) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    pid_t launcher = getpid();
    process->started_us = clock_monotonic_us();
    pid_t pid = fork();
    if (pid == 0)
        run_child(process, start, launcher, ready[1]);
    int status = pid < 0 ? -errno : 0;
    close(ready[1]);
    if (pid > 0) {
        process->exit_fd = pidfd_open(pid, 0);
        if (process->exit_fd < 0) {
            status = -errno;
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    if (status != 0) {
        close(ready[0]);
        return status;
    }
    process->pid = pid;
    process->ready_fd = ready[0];
    process->ready = false;
    process->start_at_us = 0;
    return 0;
}

int daemon_process_reap(struct daemon_process *process) {
    int status = 0;
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(process->exit_fd);
    if (process->ready_fd >= 0)
        close(process->ready_fd);
    process->pid = 0;
    process->ready_fd = process->exit_fd = -1;
    process->ready = false;
    process->died_us = clock_monotonic_us();
    return status;
}
