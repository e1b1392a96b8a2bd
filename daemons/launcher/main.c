/*
 * quorate - starts and supervises the four daemons of a node
 *
 * SYNOPSIS
 *     quorate [--flag value]...       etcd's flags; --help lists them
 *
 * DESCRIPTION
 *     Takes etcd's flags, ETCD_* variables or --config-file, resolves them once into <runtime>/node.conf, and
 *     starts quorate-raft, quorate-apply, quorate-maint and --proxies times quorate-proxy, which it finds
 * beside its own executable. Restarts what dies, stops all in order on SIGTERM or SIGINT. With --write-config
 * FILE it writes the configuration and ends, for systemd to start the daemons.
 *
 * EXIT STATUS
 *     0 stopped when asked; 1 the node could not be started; 2 bad flags.
 *
 * SECURITY
 *     Touches the data, WAL and runtime directories (0700), the client ports for the moment of a test, and
 *     nothing else. It handles no request and holds no key.
 *
 * BUGS
 *     TLS, clusters of several members and discovery are refused in this release.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/metrics.h"
#include "launcher/addresses.h"
#include "launcher/help.h"
#include "launcher/node_directory.h"
#include "launcher/resolve.h"
#include "launcher/supervise.h"

extern char **environ;

/* Where this executable lies: the daemons lie beside it. */
static const char *own_directory(char path[4096]) {
    ssize_t length = readlink("/proc/self/exe", path, 4095);
    if (length < 0)
        LOG_FATAL("cannot find my own executable", F_ERRNO(errno));
    path[length] = '\0';
    return dirname(path);
}

/* --log-outputs: standard error of this process and all daemons. */
static bool redirect_log(const char *output) {
    if (strcmp(output, "default") == 0 || strcmp(output, "stderr") == 0 || *output == '\0' ||
        strcmp(output, "systemd/journal") == 0)
        return true;
    if (strcmp(output, "stdout") == 0)
        return dup2(STDOUT_FILENO, STDERR_FILENO) >= 0;
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool good = fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static int refuse(int status, const char *message) {
    LOG_ERROR("cannot start", F_STR("error", message));
    return status;
}

static int run(const struct config *config) {
    char error[NODE_DIRECTORY_ERROR], path[4096];
    int lock = node_directory_take(config, error);
    if (lock < 0)
        return refuse(1, error);
    if (!addresses_are_free(config->listen_client_urls, error) ||
        !addresses_are_free(config->listen_metrics_urls, error))
        return refuse(1, error);
    struct buffer file = {0};
    buffer_printf(&file, "%s/node.conf", config->runtime_directory);
    buffer_append_byte(&file, '\0');
    int status = config_write((const char *)file.data, config);
    buffer_free(&file);
    if (status != 0)
        LOG_FATAL("cannot write the configuration", F_ERRNO(-status));
    status = metrics_open(config->runtime_directory, "launcher");
    if (status != 0)
        LOG_FATAL("cannot open the metrics file", F_ERRNO(-status));
    return supervise(config, own_directory(path), lock);
}

/* With resolved settings: writes the configuration, or runs the node. */
static int act(const struct settings *settings, const struct config *config) {
    const char *file = settings_get(settings, "write-config");
    if (file != NULL && *file != '\0') {
        int status = config_write(file, config);
        if (status != 0)
            LOG_FATAL("cannot write the configuration", F_STR("file", file), F_ERRNO(-status));
        return 0;
    }
    if (!redirect_log(resolve_text(settings, "log-outputs")))
        return refuse(1, "cannot open --log-outputs");
    log_init("launcher", config->log_level);
    LOG_INFO("starting", F_STR("quorate-version", QUORATE_VERSION), F_STR("etcd-version", "3.7.1"),
             F_STR("name", config->name), F_STR("data-dir", config->data_directory));
    return run(config);
}

static int launch(const struct settings *settings) {
    char error[SETTINGS_ERROR], directory[4096];
    if (settings_get(settings, "version") != NULL) {
        print_version();
        return 0;
    }
    if (settings_get(settings, "help") != NULL) {
        print_help();
        return 0;
    }
    if (getcwd(directory, sizeof directory) == NULL)
        LOG_FATAL("cannot find the working directory", F_ERRNO(errno));
    struct config config;
    int status = resolve(settings, directory, &config, error) ? act(settings, &config) : refuse(2, error);
    config_free(&config);
    return status;
}

int main(int argc, char **argv) {
    struct settings settings;
    char error[SETTINGS_ERROR];
    log_init("launcher", "info");
    umask(077);
    int status =
        settings_gather(&settings, argc, argv, environ, error) ? launch(&settings) : refuse(2, error);
    settings_free(&settings);
    return status;
}
