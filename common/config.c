/*
 * config: see config.h. One table says for every field of the struct its key, type and default; reading,
 * writing, defaults and freeing walk that table, so a new field is one new row.
 *
 * Failure modes: a line without a colon, an unknown key, a number out of range or a switch that is neither
 * true nor false are errors that name file, line and key; nothing is guessed.
 */
#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/disk.h"

enum field_kind { FIELD_TEXT, FIELD_UINT32, FIELD_UINT64, FIELD_BOOL };
struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
    const char *standard; /* default as text; NULL: no value */
};

#define FIELD(key_text, kind, member, standard)                                                              \
    { key_text, kind, offsetof(struct config, member), standard }

static const struct field fields[] = {
    FIELD("name", FIELD_TEXT, name, "default"),
    FIELD("cluster-token", FIELD_TEXT, cluster_token, "etcd-cluster"),
    FIELD("initial-cluster", FIELD_TEXT, initial_cluster, NULL),
    FIELD("initial-state", FIELD_TEXT, initial_state, "new"),
    FIELD("data-directory", FIELD_TEXT, data_directory, NULL),
    FIELD("wal-directory", FIELD_TEXT, wal_directory, NULL),
    FIELD("runtime-directory", FIELD_TEXT, runtime_directory, NULL),
    FIELD("listen-client-urls", FIELD_TEXT, listen_client_urls, "http://localhost:2379"),
    FIELD("advertise-client-urls", FIELD_TEXT, advertise_client_urls, "http://localhost:2379"),
    FIELD("listen-peer-urls", FIELD_TEXT, listen_peer_urls, "http://localhost:2380"),
    FIELD("advertise-peer-urls", FIELD_TEXT, advertise_peer_urls, "http://localhost:2380"),
    FIELD("listen-metrics-urls", FIELD_TEXT, listen_metrics_urls, NULL),
    FIELD("heartbeat-interval", FIELD_UINT32, heartbeat_interval, "100"),
    FIELD("election-timeout", FIELD_UINT32, election_timeout, "1000"),
    FIELD("grpc-keepalive-min-time", FIELD_UINT32, grpc_keepalive_min_time, "5000"),
    FIELD("grpc-keepalive-interval", FIELD_UINT32, grpc_keepalive_interval, "7200000"),
    FIELD("grpc-keepalive-timeout", FIELD_UINT32, grpc_keepalive_timeout, "20000"),
    FIELD("watch-progress-interval", FIELD_UINT32, watch_progress_interval, "600000"),
    FIELD("warning-unary-duration", FIELD_UINT32, warning_unary_duration, "300"),
    FIELD("quota-bytes", FIELD_UINT64, quota_bytes, "2147483648"),
    FIELD("max-txn-operations", FIELD_UINT32, max_txn_operations, "128"),
    FIELD("max-request-bytes", FIELD_UINT32, max_request_bytes, "1572864"),
    FIELD("max-streams", FIELD_UINT32, max_streams, "4294967295"),
    FIELD("snapshot-count", FIELD_UINT32, snapshot_count, "10000"),
    FIELD("proxies", FIELD_UINT32, proxies, "1"),
    FIELD("cache-bytes", FIELD_UINT64, cache_bytes, "67108864"),
    FIELD("memtable-bytes", FIELD_UINT64, memtable_bytes, "33554432"),
    FIELD("pre-vote", FIELD_BOOL, pre_vote, "true"),
    FIELD("strict-reconfig", FIELD_BOOL, strict_reconfig, "true"),
    FIELD("unsafe-no-fsync", FIELD_BOOL, unsafe_no_fsync, "false"),
    FIELD("enable-gateway", FIELD_BOOL, enable_gateway, "true"),
    FIELD("bus-trace", FIELD_BOOL, bus_trace, "false"),
    FIELD("metrics-extensive", FIELD_BOOL, metrics_extensive, "false"),
    FIELD("log-level", FIELD_TEXT, log_level, "info"),
    FIELD("auto-compaction-mode", FIELD_TEXT, auto_compaction_mode, "periodic"),
    FIELD("auto-compaction-retention", FIELD_UINT64, auto_compaction_retention, "0"),
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields, FILE_LIMIT = 1 << 20, ERROR_SIZE = 256 };

static void *field_of(struct config *config, const struct field *field) {
    return (uint8_t *)config + field->offset;
}

static bool parse_number(const char *text, uint64_t limit, uint64_t *out) {
    if (*text < '0' || *text > '9')
        return false;
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= limit;
}

static bool set_text(char **target, const char *value) {
    if (strpbrk(value, "\r\n") != NULL)
        return false;
    char *copy = must_strdup(value);
    free(*target);
    *target = copy;
    return true;
}

static bool set_bool(bool *target, const char *value) {
    bool on = strcmp(value, "true") == 0;
    if (!on && strcmp(value, "false") != 0)
        return false;
    *target = on;
    return true;
}

static bool set_field(struct config *config, const struct field *field, const char *value) {
    void *target = field_of(config, field);
    uint64_t number = 0;
    switch (field->kind) {
    case FIELD_TEXT:
        return set_text(target, value);
    case FIELD_BOOL:
        return set_bool(target, value);
    case FIELD_UINT32:
        if (!parse_number(value, UINT32_MAX, &number))
            return false;
        *(uint32_t *)target = (uint32_t)number;
        return true;
    case FIELD_UINT64:
        if (!parse_number(value, UINT64_MAX, &number))
            return false;
        *(uint64_t *)target = number;
        return true;
    }
    return false;
}

bool config_set(struct config *config, const char *key, const char *value, char error[ERROR_SIZE]) {
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (strcmp(fields[i].key, key) != 0)
            continue;
        if (set_field(config, &fields[i], value))
            return true;
        snprintf(error, ERROR_SIZE, "bad value for %.64s: \"%.100s\"", key, value);
        return false;
    }
    snprintf(error, ERROR_SIZE, "unknown key %.64s", key);
    return false;
}

void config_set_defaults(struct config *config) {
    memset(config, 0, sizeof *config);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const char *value = fields[i].standard;
        if (value == NULL && fields[i].kind == FIELD_TEXT)
            value = "";
        REQUIRE(set_field(config, &fields[i], value));
    }
}

/* One line, already NUL-terminated and without its line end. */
static bool read_line(struct config *config, char *line, char error[ERROR_SIZE]) {
    if (*line == '\0' || *line == '#')
        return true;
    char *colon = strchr(line, ':');
    if (colon == NULL) {
        snprintf(error, ERROR_SIZE, "no colon in \"%.100s\"", line);
        return false;
    }
    *colon = '\0';
    return config_set(config, line, colon[1] == ' ' ? colon + 2 : colon + 1, error);
}

bool config_read(const char *path, struct config *config, char error[ERROR_SIZE]) {
    config_set_defaults(config);
    struct buffer text = {0};
    int status = disk_read_file(disk_linux(), path, FILE_LIMIT, &text);
    if (status < 0) {
        snprintf(error, ERROR_SIZE, "cannot read %.150s: %s", path, strerror(-status));
        buffer_free(&text);
        return false;
    }
    buffer_append_byte(&text, '\0');
    bool good = true;
    unsigned number = 0;
    for (char *rest = (char *)text.data, *line; good && (line = strsep(&rest, "\n")) != NULL;) {
        char why[ERROR_SIZE];
        number++;
        good = read_line(config, line, why);
        if (!good)
            snprintf(error, ERROR_SIZE, "%.100s line %u: %.130s", path, number, why);
    }
    buffer_free(&text);
    return good;
}

static void append_field(struct buffer *out, const struct config *config, const struct field *field) {
    const void *value = (const uint8_t *)config + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        buffer_printf(out, "%s: %s\n", field->key,
                      *(char *const *)value == NULL ? "" : *(char *const *)value);
        break;
    case FIELD_UINT32:
        buffer_printf(out, "%s: %" PRIu32 "\n", field->key, *(const uint32_t *)value);
        break;
    case FIELD_UINT64:
        buffer_printf(out, "%s: %" PRIu64 "\n", field->key, *(const uint64_t *)value);
        break;
    case FIELD_BOOL:
        buffer_printf(out, "%s: %s\n", field->key, *(const bool *)value ? "true" : "false");
        break;
    }
}

int config_write(const char *path, const struct config *config) {
    struct buffer out = {0};
    buffer_printf(&out,
                  "# Written by quorate from its flags, environment and config file; read by the daemons.\n");
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        append_field(&out, config, &fields[i]);

    char *directory = must_strdup(path);
    char *slash = strrchr(directory, '/');
    const char *name = slash == NULL ? path : path + (slash - directory) + 1;
    if (slash != NULL)
        slash[slash == directory ? 1 : 0] = '\0';
    int status = disk_replace_file(disk_linux(), slash == NULL ? "." : directory, name, buffer_bytes(&out));
    free(directory);
    buffer_free(&out);
    return status;
}

void config_free(struct config *config) {
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].kind == FIELD_TEXT)
            free(*(char **)field_of(config, &fields[i]));
    }
    memset(config, 0, sizeof *config);
}
