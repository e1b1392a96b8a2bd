/*
 * resolve: see resolve.h. First every given value is checked against its type and copied where its row says
 * so, then the flags that need thought are handled one by one, and the rules between flags are checked.
 */
#include "launcher/resolve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/log.h"
#include "launcher/addresses.h"
#include "launcher/duration.h"

struct resolving {
    const struct settings *settings;
    const char *directory;
    struct config *config;
    char *error;
};

#define FAIL(r, ...) (snprintf((r)->error, SETTINGS_ERROR, __VA_ARGS__), false)

const char *resolve_text(const struct settings *settings, const char *name) {
    const char *value = settings_get(settings, name);
    return value != NULL ? value : flag_rows[flag_find(name, strlen(name))].argument;
}

static bool set(struct resolving *r, const char *key, const char *value) {
    char why[256];
    return config_set(r->config, key, value, why) || FAIL(r, "%.200s", why);
}

static bool set_number(struct resolving *r, const char *key, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return set(r, key, text);
}

/* A value is what its type says. For numbers and durations *number is set. */
static bool check_type(struct resolving *r, const struct flag_row *row, const char *value, uint64_t *number) {
    bool on = false;
    int64_t amount = 0;
    switch (row->type) {
    case FLAG_TEXT:
    case FLAG_URLS:
        if (strpbrk(value, "\r\n") != NULL)
            return FAIL(r, "--%s must not hold a line break", row->name);
        return true;
    case FLAG_BOOL:
        if (!boolean_parse(value, &on))
            return FAIL(r, "invalid boolean value \"%.100s\" for --%s", value, row->name);
        *number = on;
        return true;
    case FLAG_NUMBER:
        if (!number_parse(value, &amount))
            return FAIL(r, "invalid value \"%.100s\" for --%s: not a number", value, row->name);
        *number = amount < 0 ? 0 : (uint64_t)amount;
        if (amount < 0 && (row->action == FLAG_CONFIG || row->action == FLAG_OWN))
            return FAIL(r, "invalid value \"%.100s\" for --%s: must not be negative", value, row->name);
        return true;
    case FLAG_DURATION:
        if (!duration_parse(value, number))
            return FAIL(r, "invalid duration \"%.100s\" for --%s (5s, 1h30m, 300ms)", value, row->name);
        return true;
    }
    return false;
}

static bool copy_to_config(struct resolving *r, const struct flag_row *row, const char *value,
                           uint64_t number) {
    char why[256];
    bool good = false;
    if (row->type == FLAG_TEXT || row->type == FLAG_URLS) {
        good = config_set(r->config, row->argument, value, why);
    } else if (row->type == FLAG_BOOL) {
        good = config_set(r->config, row->argument, number != 0 ? "true" : "false", why);
    } else {
        char text[32];
        snprintf(text, sizeof text, "%" PRIu64, number);
        good = config_set(r->config, row->argument, text, why);
    }
    return good || FAIL(r, "invalid value \"%.100s\" for --%s: out of range", value, row->name);
}

/* Whether a value is the one that a row calls harmless, in whatever notation of its type. */
static bool is_harmless(struct resolving *r, const struct flag_row *row, const char *value, uint64_t number) {
    uint64_t harmless = 0;
    if (row->type == FLAG_TEXT || row->type == FLAG_URLS)
        return *value == '\0' || strcmp(value, row->argument) == 0;
    return check_type(r, row, row->argument, &harmless) && harmless == number;
}

static bool take_value(struct resolving *r, const struct flag_row *row, const char *value) {
    uint64_t number = 0;
    if (!check_type(r, row, value, &number))
        return false;
    switch (row->action) {
    case FLAG_CONFIG:
    case FLAG_OWN:
        return copy_to_config(r, row, value, number);
    case FLAG_SPECIAL:
    case FLAG_ALIAS:
        return true;
    case FLAG_ACCEPTED:
        if (!is_harmless(r, row, value, number))
            LOG_WARN("flag accepted without effect in this release", F_STR("flag", row->name),
                     F_STR("value", strstr(row->name, "password") == NULL ? value : "(hidden)"));
        return true;
    case FLAG_TLS:
        return is_harmless(r, row, value, number) ||
               FAIL(r, "--%s: TLS comes with a later release; refusing to serve without it", row->name);
    case FLAG_CLUSTER:
        return is_harmless(r, row, value, number) ||
               FAIL(r, "--%s=%.100s: comes with a later release (this one runs a cluster of one member)",
                    row->name, value);
    }
    return false;
}

static bool take_values(struct resolving *r) {
    for (size_t i = 0; i < flag_count; i++) {
        const char *value = r->settings->values[i];
        if (value != NULL && !take_value(r, &flag_rows[i], value))
            return false;
    }
    return true;
}

/* Absolute form of a path, under the directory we were started in. */
static bool set_path(struct resolving *r, const char *key, const char *path) {
    struct buffer absolute = {0};
    if (*path != '/')
        buffer_printf(&absolute, "%s/", strcmp(r->directory, "/") == 0 ? "" : r->directory);
    buffer_append_bytes(&absolute, bytes_from_text(path));
    while (absolute.length > 1 && absolute.data[absolute.length - 1] == '/')
        absolute.length--;
    buffer_append_byte(&absolute, '\0');
    bool good = set(r, key, (const char *)absolute.data);
    buffer_free(&absolute);
    return good;
}

static bool set_path_under(struct resolving *r, const char *key, const char *parent, const char *name) {
    struct buffer path = {0};
    buffer_printf(&path, "%s/%s", parent, name);
    buffer_append_byte(&path, '\0');
    bool good = set_path(r, key, (const char *)path.data);
    buffer_free(&path);
    return good;
}

static bool resolve_directories(struct resolving *r) {
    const char *data = settings_get(r->settings, "data-dir");
    const char *wal = resolve_text(r->settings, "wal-dir");
    const char *runtime = settings_get(r->settings, "runtime-dir");
    if (strchr(r->config->name, '/') != NULL && data == NULL)
        return FAIL(r, "--name holds a '/': give --data-dir too");
    if (data != NULL && *data != '\0') {
        if (!set_path(r, "data-directory", data))
            return false;
    } else {
        struct buffer name = {0};
        buffer_printf(&name, "%s.etcd", r->config->name);
        buffer_append_byte(&name, '\0');
        bool good = set_path(r, "data-directory", (const char *)name.data);
        buffer_free(&name);
        if (!good)
            return false;
    }
    if (*wal == '\0' ? !set_path_under(r, "wal-directory", r->config->data_directory, "member/wal")
                     : !set_path(r, "wal-directory", wal))
        return false;
    return runtime == NULL || *runtime == '\0'
               ? set_path_under(r, "runtime-directory", r->config->data_directory, "run")
               : set_path(r, "runtime-directory", runtime);
}

/* quorate answers gRPC and HTTP on every client address, so addresses for HTTP alone join the others. */
static bool resolve_client_addresses(struct resolving *r) {
    const char *http_only = resolve_text(r->settings, "listen-client-http-urls");
    struct buffer list = {0};
    buffer_append_bytes(&list, bytes_from_text(resolve_text(r->settings, "listen-client-urls")));
    if (*http_only != '\0')
        buffer_printf(&list, ",%s", http_only);
    buffer_append_byte(&list, '\0');
    bool good = set(r, "listen-client-urls", (const char *)list.data);
    buffer_free(&list);
    return good;
}

static bool resolve_addresses(struct resolving *r) {
    static const struct {
        const char *flag, *key;
        bool listen;
    } lists[] = {{"listen-client-urls", NULL, true},
                 {"listen-client-http-urls", NULL, true},
                 {"listen-peer-urls", "listen-peer-urls", true},
                 {"listen-metrics-urls", "listen-metrics-urls", true},
                 {"advertise-client-urls", "advertise-client-urls", false},
                 {"initial-advertise-peer-urls", "advertise-peer-urls", false}};
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char *value = resolve_text(r->settings, lists[i].flag);
        char why[256];
        if (!addresses_check(value, lists[i].listen, why))
            return FAIL(r, "--%s: %.300s", lists[i].flag, why);
        if (*value == '\0' && (strcmp(lists[i].flag, "listen-client-urls") == 0 || !lists[i].listen))
            return FAIL(r, "--%s must not be empty", lists[i].flag);
        if (lists[i].key != NULL && !set(r, lists[i].key, value))
            return false;
    }
    if (settings_get(r->settings, "listen-client-urls") != NULL &&
        settings_get(r->settings, "advertise-client-urls") == NULL)
        return FAIL(r, "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    return resolve_client_addresses(r);
}

static bool resolve_cluster(struct resolving *r) {
    const char *state = resolve_text(r->settings, "initial-cluster-state");
    const char *cluster = settings_get(r->settings, "initial-cluster");
    if (strcmp(state, "new") != 0 && strcmp(state, "existing") != 0)
        return FAIL(r, "invalid value \"%.100s\" for --initial-cluster-state (new, existing)", state);
    if (!set(r, "initial-state", state))
        return false;
    if (cluster == NULL || *cluster == '\0') {
        struct buffer own = {0};
        addresses_cluster_of_one(r->config->name, r->config->advertise_peer_urls, &own);
        bool good = set(r, "initial-cluster", (const char *)own.data);
        buffer_free(&own);
        return good;
    }
    char why[256];
    if (!addresses_check_cluster(cluster, r->config->name, r->config->advertise_peer_urls, why))
        return FAIL(r, "--initial-cluster: %.300s", why);
    return set(r, "initial-cluster", cluster);
}

static bool resolve_quota(struct resolving *r) {
    int64_t bytes = 0;
    if (!number_parse(resolve_text(r->settings, "quota-backend-bytes"), &bytes))
        return false; /* take_values has seen to it */
    if (bytes == 0)
        return true; /* the default */
    return set_number(r, "quota-bytes", bytes < 0 ? INT64_MAX : (uint64_t)bytes);
}

/* A bare number means hours, or revisions. */
static bool resolve_retention(struct resolving *r, bool revision) {
    static const uint64_t hour_ms = 3600000;
    const char *text = resolve_text(r->settings, "auto-compaction-retention");
    int64_t number = 0;
    uint64_t milliseconds = 0;
    char why[160];
    if (*text == '\0')
        text = "0";
    if (number_parse(text + (*text == '+'), &number) && number >= 0) {
        if (!revision && (uint64_t)number > INT64_MAX / 1000000 / hour_ms)
            return FAIL(r, "--auto-compaction-retention: %.100s hours are too many", text);
        return set_number(r, "auto-compaction-retention", (uint64_t)number * (revision ? 1 : hour_ms));
    }
    if (!duration_parse(text, &milliseconds))
        return FAIL(r, "error parsing CompactionRetention: %s", duration_error(text, why));
    if (revision)
        return FAIL(r, "--auto-compaction-retention=%.100s: a number of revisions is needed", text);
    return set_number(r, "auto-compaction-retention", milliseconds);
}

static bool resolve_compaction(struct resolving *r) {
    const char *mode = resolve_text(r->settings, "auto-compaction-mode");
    if (*mode == '\0')
        return FAIL(r, "undefined auto-compaction-mode");
    bool revision = strcmp(mode, "revision") == 0;
    if (!revision && strcmp(mode, "periodic") != 0)
        return FAIL(r, "unknown auto-compaction-mode \"%.100s\"", mode);
    return set(r, "auto-compaction-mode", mode) && resolve_retention(r, revision);
}

/* As etcd: 0 is the default, and no watcher is reported to more often than every 100 ms. */
static bool resolve_watch(struct resolving *r) {
    enum { DEFAULT_MS = 600000, LEAST_MS = 100 };
    uint32_t interval = r->config->watch_progress_interval;
    if (interval == 0)
        return set_number(r, "watch-progress-interval", DEFAULT_MS);
    return interval >= LEAST_MS || set_number(r, "watch-progress-interval", LEAST_MS);
}

static bool known_gate(const char *name, size_t length) {
    static const char *const gates[] = {"StopGRPCServiceOnDefrag",
                                        "InitialCorruptCheck",
                                        "CompactHashCheck",
                                        "TxnModeWriteWithSharedBuffer",
                                        "LeaseCheckpoint",
                                        "LeaseCheckpointPersist",
                                        "SetMemberLocalAddr",
                                        "FastLeaseKeepAlive",
                                        "PriorityRequest",
                                        "AllAlpha",
                                        "AllBeta"};
    for (unsigned i = 0; i < sizeof gates / sizeof *gates; i++) {
        if (strlen(gates[i]) == length && memcmp(gates[i], name, length) == 0)
            return true;
    }
    return false;
}

/* "Gate=true,Other=false": etcd refuses what it does not know, so do we; none changes anything here yet. */
static bool resolve_gates(struct resolving *r) {
    const char *at = resolve_text(r->settings, "feature-gates");
    while (*at != '\0') {
        size_t length = strcspn(at, ","), name = strcspn(at, "=,");
        char value[16];
        bool on = false;
        if (!known_gate(at, name))
            return FAIL(r, "unrecognized feature gate: %.*s", (int)(name < 100 ? name : 100), at);
        if (name < length)
            snprintf(value, sizeof value, "%.*s", (int)(length - name - 1 < 15 ? length - name - 1 : 15),
                     at + name + 1);
        if (name == length || !boolean_parse(value, &on))
            return FAIL(r, "missing or invalid value for feature gate %.*s (true, false)", (int)name, at);
        if (on)
            LOG_WARN("feature gate accepted without effect in this release",
                     F_BYTES("gate", bytes_of(at, name)));
        at += length;
        at += *at == ',';
    }
    return true;
}

static bool resolve_observation(struct resolving *r) {
    static const char *const levels[][2] = {{"debug", "debug"}, {"info", "info"},    {"warn", "warn"},
                                            {"error", "error"}, {"dpanic", "error"}, {"panic", "error"},
                                            {"fatal", "error"}};
    const char *metrics = resolve_text(r->settings, "metrics");
    const char *level = resolve_text(r->settings, "log-level");
    bool debug = false;
    bool extensive = strcmp(metrics, "extensive") == 0;
    if (!extensive && strcmp(metrics, "basic") != 0)
        return FAIL(r, "invalid value \"%.100s\" for --metrics (basic, extensive)", metrics);
    if (boolean_parse(resolve_text(r->settings, "debug"), &debug) && debug)
        level = "debug";
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(level, levels[i][0]) == 0)
            return set(r, "log-level", levels[i][1]) &&
                   set(r, "metrics-extensive", extensive ? "true" : "false");
    }
    return FAIL(r, "invalid value \"%.100s\" for --log-level (debug, info, warn, error, panic, fatal)",
                level);
}

static bool check_times_and_limits(struct resolving *r) {
    const struct config *config = r->config;
    if (config->heartbeat_interval == 0)
        return FAIL(r, "--heartbeat-interval must be >0 (set to 0ms)");
    if (config->election_timeout < 5 * (uint64_t)config->heartbeat_interval)
        return FAIL(r,
                    "--election-timeout[%" PRIu32 "ms] should be at least as 5 times as "
                    "--heartbeat-interval[%" PRIu32 "ms]",
                    config->election_timeout, config->heartbeat_interval);
    if (config->election_timeout > 50000)
        return FAIL(r, "--election-timeout[%" PRIu32 "ms] is too long, and should be set less than 50000ms",
                    config->election_timeout);
    if (config->proxies < 1 || config->proxies > 8)
        return FAIL(r, "--proxies takes 1 to 8");
    if (config->memtable_bytes < 1 << 20)
        return FAIL(r, "--memtable-bytes must be at least 1048576");
    if (config->max_txn_operations == 0 || config->max_request_bytes == 0 || config->snapshot_count == 0)
        return FAIL(r, "--max-txn-ops, --max-request-bytes and --snapshot-count must be >0");
    if (config->max_request_bytes > 2 << 20)
        LOG_WARN("requests above 2 MiB are refused whatever --max-request-bytes says");
    return true;
}

bool resolve(const struct settings *settings, const char *directory, struct config *config,
             char error[SETTINGS_ERROR]) {
    struct resolving r = {.settings = settings, .directory = directory, .config = config, .error = error};
    config_set_defaults(config);
    return take_values(&r) && resolve_directories(&r) && resolve_addresses(&r) && resolve_cluster(&r) &&
           resolve_quota(&r) && resolve_compaction(&r) && resolve_watch(&r) && resolve_gates(&r) &&
           resolve_observation(&r) && check_times_and_limits(&r);
}
