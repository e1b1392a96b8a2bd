/*
 * node_directory: see node_directory.h.
 *
 * The lock is flock(2) on <data>/lock. The file's text is the launcher's pid and start time, only to tell a
 * living node (refuse at once) from the rest of a killed one (wait until it is gone).
 */
#include "launcher/node_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/log.h"
#include "common/metrics_file.h"

#define FAIL(error, ...) (snprintf(error, NODE_DIRECTORY_ERROR, __VA_ARGS__), false)

/* mkdir -p, mode 0700 for what is made. */
static bool make_directory(const char *path, char error[NODE_DIRECTORY_ERROR]) {
    char *copy = must_strdup(path);
    bool good = true;
    for (char *at = copy + 1; good; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            good = FAIL(error, "cannot make the directory %.300s: %s", copy, strerror(errno));
        *at = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return good;
}

/* Others who may enter could read the node's data, or dial its sockets. */
static bool is_private(const char *path) {
    struct stat state;
    return stat(path, &state) == 0 && (state.st_mode & 0077) == 0;
}

static bool make_private(const char *path, char error[NODE_DIRECTORY_ERROR]) {
    if (is_private(path) || chmod(path, 0700) == 0)
        return true;
    return FAIL(error, "cannot make %.300s private (0700): %s", path, strerror(errno));
}

static void pause_briefly(void) {
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
}

/* The launcher named in the lock file lives (so this is no remainder of a killed node). */
static bool owner_lives(int fd, uint64_t *pid) {
    char text[64] = {0};
    uint64_t start = 0;
    if (pread(fd, text, sizeof text - 1, 0) <= 0 || sscanf(text, "%" SCNu64 " %" SCNu64, pid, &start) != 2)
        return true; /* just being written: somebody is starting */
    return process_start_ticks(*pid) == start && start != 0;
}

static bool lock_file(int fd, const char *directory, char error[NODE_DIRECTORY_ERROR]) {
    enum { TRIES = 750 }; /* of 20 ms */
    uint64_t pid = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return FAIL(error, "cannot lock %.300s: %s", directory, strerror(errno));
        if (owner_lives(fd, &pid))
            return FAIL(error, "data directory %.300s is in use by another quorate (pid %" PRIu64 ")",
                        directory, pid);
        if (i == 0)
            LOG_WARN("waiting for the daemons of a node that was killed to finish",
                     F_STR("data-dir", directory));
        pause_briefly();
    }
    return FAIL(error, "data directory %.300s is still held by daemons whose launcher was killed", directory);
}

static bool is_ours(const char *name) {
    static const char *const names[] = {".", "..", "member", "run", "lock", "lost+found", "quorate.log"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool look_through(const char *path, char error[NODE_DIRECTORY_ERROR]) {
    DIR *directory = opendir(path);
    if (directory == NULL)
        return FAIL(error, "cannot read the data directory %.300s: %s", path, strerror(errno));
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(directory)) != NULL;) {
        if (!is_ours(entry->d_name))
            good = FAIL(error, "%.200s/%.100s is not quorate's: move it away, or choose another --data-dir",
                        path, entry->d_name);
    }
    struct stat state;
    if (good && fstatat(dirfd(directory), "member/snap", &state, 0) == 0)
        good = FAIL(error,
                    "%.200s/member/snap is a data directory of etcd, which this release cannot take over: "
                    "choose another --data-dir",
                    path);
    closedir(directory);
    return good;
}

/* With the lock held: our own directories exist and are private. A foreign one is never made so behind its
 * back. */
static bool prepare(const struct config *config, char error[NODE_DIRECTORY_ERROR]) {
    if (!look_through(config->data_directory, error) || !make_private(config->data_directory, error) ||
        !make_directory(config->wal_directory, error) || !make_directory(config->runtime_directory, error))
        return false;
    if (!is_private(config->runtime_directory))
        return FAIL(error, "the runtime directory %.300s must be private: chmod 700",
                    config->runtime_directory);
    struct buffer member = {0};
    buffer_printf(&member, "%s/member", config->data_directory);
    buffer_append_byte(&member, '\0');
    bool good = make_directory((const char *)member.data, error);
    buffer_free(&member);
    return good;
}

int node_directory_take(const struct config *config, char error[NODE_DIRECTORY_ERROR]) {
    struct buffer path = {0};
    if (!make_directory(config->data_directory, error))
        return -1;
    buffer_printf(&path, "%s/lock", config->data_directory);
    buffer_append_byte(&path, '\0');
    int fd = open((const char *)path.data, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    buffer_free(&path);
    if (fd < 0) {
        snprintf(error, NODE_DIRECTORY_ERROR, "cannot open %.300s/lock: %s", config->data_directory,
                 strerror(errno));
        return -1;
    }
    if (lock_file(fd, config->data_directory, error) && prepare(config, error)) {
        uint64_t pid = (uint64_t)getpid();
        if (ftruncate(fd, 0) == 0)
            dprintf(fd, "%" PRIu64 " %" PRIu64 "\n", pid, process_start_ticks(pid));
        return fd;
    }
    close(fd);
    return -1;
}
