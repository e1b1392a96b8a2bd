/* flag_table: see flag_table.h. */
#include "launcher/flag_table.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const struct flag_row flag_rows[] = {
    /* Member. */
    {"name", FLAG_TEXT, FLAG_CONFIG, "name"},
    {"data-dir", FLAG_TEXT, FLAG_SPECIAL, "${name}.etcd"},
    {"wal-dir", FLAG_TEXT, FLAG_SPECIAL, ""},
    {"snapshot-count", FLAG_NUMBER, FLAG_CONFIG, "snapshot-count"},
    {"heartbeat-interval", FLAG_NUMBER, FLAG_CONFIG, "heartbeat-interval"},
    {"election-timeout", FLAG_NUMBER, FLAG_CONFIG, "election-timeout"},
    {"initial-election-tick-advance", FLAG_BOOL, FLAG_ACCEPTED, "true"},
    {"listen-peer-urls", FLAG_URLS, FLAG_SPECIAL, "http://localhost:2380"},
    {"listen-client-urls", FLAG_URLS, FLAG_SPECIAL, "http://localhost:2379"},
    {"listen-client-http-urls", FLAG_URLS, FLAG_SPECIAL, ""},
    {"max-snapshots", FLAG_NUMBER, FLAG_ACCEPTED, "5"},
    {"max-wals", FLAG_NUMBER, FLAG_ACCEPTED, "5"},
    {"memory-mlock", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"quota-backend-bytes", FLAG_NUMBER, FLAG_SPECIAL, "0"},
    {"backend-bbolt-freelist-type", FLAG_TEXT, FLAG_ACCEPTED, "map"},
    {"backend-batch-interval", FLAG_DURATION, FLAG_ACCEPTED, "0s"},
    {"backend-batch-limit", FLAG_NUMBER, FLAG_ACCEPTED, "0"},
    {"max-txn-ops", FLAG_NUMBER, FLAG_CONFIG, "max-txn-operations"},
    {"max-request-bytes", FLAG_NUMBER, FLAG_CONFIG, "max-request-bytes"},
    {"max-concurrent-streams", FLAG_NUMBER, FLAG_CONFIG, "max-streams"},
    {"grpc-keepalive-min-time", FLAG_DURATION, FLAG_CONFIG, "grpc-keepalive-min-time"},
    {"grpc-keepalive-interval", FLAG_DURATION, FLAG_CONFIG, "grpc-keepalive-interval"},
    {"grpc-keepalive-timeout", FLAG_DURATION, FLAG_CONFIG, "grpc-keepalive-timeout"},
    {"socket-reuse-port", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"socket-reuse-address", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"enable-grpc-gateway", FLAG_BOOL, FLAG_CONFIG, "enable-gateway"},
    {"raft-read-timeout", FLAG_DURATION, FLAG_ACCEPTED, "5s"},
    {"raft-write-timeout", FLAG_DURATION, FLAG_ACCEPTED, "5s"},
    {"feature-gates", FLAG_TEXT, FLAG_SPECIAL, ""},
    {"snapshot-catchup-entries", FLAG_NUMBER, FLAG_ACCEPTED, "5000"},
    {"watch-progress-notify-interval", FLAG_DURATION, FLAG_CONFIG, "watch-progress-interval"},
    {"warning-unary-request-duration", FLAG_DURATION, FLAG_CONFIG, "warning-unary-duration"},
    {"warning-apply-duration", FLAG_DURATION, FLAG_ACCEPTED, "100ms"},
    {"unsafe-no-fsync", FLAG_BOOL, FLAG_CONFIG, "unsafe-no-fsync"},
    /* Cluster. */
    {"initial-advertise-peer-urls", FLAG_URLS, FLAG_SPECIAL, "http://localhost:2380"},
    {"initial-cluster", FLAG_TEXT, FLAG_SPECIAL, "${name}=${initial-advertise-peer-urls}"},
    {"initial-cluster-state", FLAG_TEXT, FLAG_SPECIAL, "new"},
    {"initial-cluster-token", FLAG_TEXT, FLAG_CONFIG, "cluster-token"},
    {"advertise-client-urls", FLAG_URLS, FLAG_SPECIAL, "http://localhost:2379"},
    {"strict-reconfig-check", FLAG_BOOL, FLAG_CONFIG, "strict-reconfig"},
    {"pre-vote", FLAG_BOOL, FLAG_CONFIG, "pre-vote"},
    {"auto-compaction-mode", FLAG_TEXT, FLAG_SPECIAL, "periodic"},
    {"auto-compaction-retention", FLAG_TEXT, FLAG_SPECIAL, "0"},
    {"force-new-cluster", FLAG_BOOL, FLAG_CLUSTER, "false"},
    {"max-learners", FLAG_NUMBER, FLAG_ACCEPTED, "1"},
    {"discovery", FLAG_TEXT, FLAG_CLUSTER, ""},
    {"discovery-token", FLAG_TEXT, FLAG_CLUSTER, ""},
    {"discovery-endpoints", FLAG_TEXT, FLAG_CLUSTER, ""},
    {"discovery-srv", FLAG_TEXT, FLAG_CLUSTER, ""},
    {"discovery-srv-name", FLAG_TEXT, FLAG_CLUSTER, ""},
    {"discovery-proxy", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"discovery-fallback", FLAG_TEXT, FLAG_ACCEPTED, "proxy"},
    {"discovery-dial-timeout", FLAG_DURATION, FLAG_ACCEPTED, "2s"},
    {"discovery-request-timeout", FLAG_DURATION, FLAG_ACCEPTED, "5s"},
    {"discovery-keepalive-time", FLAG_DURATION, FLAG_ACCEPTED, "2s"},
    {"discovery-keepalive-timeout", FLAG_DURATION, FLAG_ACCEPTED, "6s"},
    {"discovery-insecure-transport", FLAG_BOOL, FLAG_ACCEPTED, "true"},
    {"discovery-insecure-skip-tls-verify", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"discovery-cert", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"discovery-key", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"discovery-cacert", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"discovery-user", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"discovery-password", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"v2-deprecation", FLAG_TEXT, FLAG_ACCEPTED, "not-yet"},
    {"enable-v2", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"proxy", FLAG_TEXT, FLAG_CLUSTER, "off"},
    {"proxy-dial-timeout", FLAG_NUMBER, FLAG_ACCEPTED, "1000"},
    {"proxy-failure-wait", FLAG_NUMBER, FLAG_ACCEPTED, "5000"},
    {"proxy-read-timeout", FLAG_NUMBER, FLAG_ACCEPTED, "0"},
    {"proxy-refresh-interval", FLAG_NUMBER, FLAG_ACCEPTED, "30000"},
    {"proxy-write-timeout", FLAG_NUMBER, FLAG_ACCEPTED, "5000"},
    /* Security. */
    {"cert-file", FLAG_TEXT, FLAG_TLS, ""},
    {"key-file", FLAG_TEXT, FLAG_TLS, ""},
    {"trusted-ca-file", FLAG_TEXT, FLAG_TLS, ""},
    {"client-cert-file", FLAG_TEXT, FLAG_TLS, ""},
    {"client-key-file", FLAG_TEXT, FLAG_TLS, ""},
    {"client-crl-file", FLAG_TEXT, FLAG_TLS, ""},
    {"client-cert-allowed-hostname", FLAG_TEXT, FLAG_TLS, ""},
    {"ca-file", FLAG_TEXT, FLAG_TLS, ""},
    {"client-cert-auth", FLAG_BOOL, FLAG_TLS, "false"},
    {"auto-tls", FLAG_BOOL, FLAG_TLS, "false"},
    {"peer-cert-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-key-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-trusted-ca-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-client-cert-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-client-key-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-crl-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-cert-allowed-cn", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-cert-allowed-hostname", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-ca-file", FLAG_TEXT, FLAG_TLS, ""},
    {"peer-client-cert-auth", FLAG_BOOL, FLAG_TLS, "false"},
    {"peer-auto-tls", FLAG_BOOL, FLAG_TLS, "false"},
    {"peer-skip-client-san-verification", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"self-signed-cert-validity", FLAG_NUMBER, FLAG_ACCEPTED, "1"},
    {"cipher-suites", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"tls-max-version", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"tls-min-version", FLAG_TEXT, FLAG_ACCEPTED, "TLS1.2"},
    {"cors", FLAG_TEXT, FLAG_ACCEPTED, "*"},
    {"host-whitelist", FLAG_TEXT, FLAG_ACCEPTED, "*"},
    {"auth-token", FLAG_TEXT, FLAG_ACCEPTED, "simple"},
    {"auth-token-ttl", FLAG_NUMBER, FLAG_ACCEPTED, "300"},
    {"bcrypt-cost", FLAG_NUMBER, FLAG_ACCEPTED, "10"},
    /* Observation. */
    {"metrics", FLAG_TEXT, FLAG_SPECIAL, "basic"},
    {"listen-metrics-urls", FLAG_URLS, FLAG_SPECIAL, ""},
    {"logger", FLAG_TEXT, FLAG_ACCEPTED, "zap"},
    {"log-outputs", FLAG_TEXT, FLAG_SPECIAL, "default"},
    {"log-level", FLAG_TEXT, FLAG_SPECIAL, "info"},
    {"log-format", FLAG_TEXT, FLAG_ACCEPTED, "json"},
    {"enable-log-rotation", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"log-rotation-config-json", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"debug", FLAG_BOOL, FLAG_SPECIAL, "false"},
    {"log-package-levels", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"enable-pprof", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"enable-distributed-tracing", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"distributed-tracing-address", FLAG_TEXT, FLAG_ACCEPTED, "localhost:4317"},
    {"distributed-tracing-service-name", FLAG_TEXT, FLAG_ACCEPTED, "etcd"},
    {"distributed-tracing-instance-id", FLAG_TEXT, FLAG_ACCEPTED, ""},
    {"distributed-tracing-sampling-rate", FLAG_NUMBER, FLAG_ACCEPTED, "0"},
    {"corrupt-check-time", FLAG_DURATION, FLAG_ACCEPTED, "0s"},
    {"compact-hash-check-time", FLAG_DURATION, FLAG_ACCEPTED, "1m"},
    {"compaction-batch-limit", FLAG_NUMBER, FLAG_ACCEPTED, "1000"},
    {"compaction-sleep-interval", FLAG_DURATION, FLAG_ACCEPTED, "10ms"},
    {"bootstrap-defrag-threshold-megabytes", FLAG_NUMBER, FLAG_ACCEPTED, "0"},
    {"downgrade-check-time", FLAG_DURATION, FLAG_ACCEPTED, "5s"},
    {"next-cluster-version-compatible", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    /* Former names, and what became a feature gate. */
    {"experimental-corrupt-check-time", FLAG_DURATION, FLAG_ALIAS, "corrupt-check-time"},
    {"experimental-compact-hash-check-time", FLAG_DURATION, FLAG_ALIAS, "compact-hash-check-time"},
    {"experimental-compaction-batch-limit", FLAG_NUMBER, FLAG_ALIAS, "compaction-batch-limit"},
    {"experimental-compaction-sleep-interval", FLAG_DURATION, FLAG_ALIAS, "compaction-sleep-interval"},
    {"experimental-peer-skip-client-san-verification", FLAG_BOOL, FLAG_ALIAS,
     "peer-skip-client-san-verification"},
    {"experimental-watch-progress-notify-interval", FLAG_DURATION, FLAG_ALIAS,
     "watch-progress-notify-interval"},
    {"experimental-warning-apply-duration", FLAG_DURATION, FLAG_ALIAS, "warning-apply-duration"},
    {"experimental-warning-unary-request-duration", FLAG_DURATION, FLAG_ALIAS,
     "warning-unary-request-duration"},
    {"experimental-bootstrap-defrag-threshold-megabytes", FLAG_NUMBER, FLAG_ALIAS,
     "bootstrap-defrag-threshold-megabytes"},
    {"experimental-downgrade-check-time", FLAG_DURATION, FLAG_ALIAS, "downgrade-check-time"},
    {"experimental-memory-mlock", FLAG_BOOL, FLAG_ALIAS, "memory-mlock"},
    {"experimental-snapshot-catchup-entries", FLAG_NUMBER, FLAG_ALIAS, "snapshot-catchup-entries"},
    {"experimental-enable-distributed-tracing", FLAG_BOOL, FLAG_ALIAS, "enable-distributed-tracing"},
    {"experimental-distributed-tracing-address", FLAG_TEXT, FLAG_ALIAS, "distributed-tracing-address"},
    {"experimental-distributed-tracing-service-name", FLAG_TEXT, FLAG_ALIAS,
     "distributed-tracing-service-name"},
    {"experimental-distributed-tracing-instance-id", FLAG_TEXT, FLAG_ALIAS,
     "distributed-tracing-instance-id"},
    {"experimental-distributed-tracing-sampling-rate", FLAG_NUMBER, FLAG_ALIAS,
     "distributed-tracing-sampling-rate"},
    {"experimental-max-learners", FLAG_NUMBER, FLAG_ALIAS, "max-learners"},
    {"experimental-backend-bbolt-freelist-type", FLAG_TEXT, FLAG_ALIAS, "backend-bbolt-freelist-type"},
    {"experimental-initial-corrupt-check", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-compact-hash-check-enabled", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-enable-lease-checkpoint", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-enable-lease-checkpoint-persist", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-stop-grpc-service-on-defrag", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-set-member-localaddr", FLAG_BOOL, FLAG_ACCEPTED, "false"},
    {"experimental-txn-mode-write-with-shared-buffer", FLAG_BOOL, FLAG_ACCEPTED, "true"},
    {"experimental-enable-v2v3", FLAG_TEXT, FLAG_ACCEPTED, ""},
    /* The command itself. */
    {"config-file", FLAG_TEXT, FLAG_SPECIAL, ""},
    {"version", FLAG_BOOL, FLAG_SPECIAL, "false"},
    {"help", FLAG_BOOL, FLAG_SPECIAL, "false"},
    /* quorate's own. */
    {"proxies", FLAG_NUMBER, FLAG_OWN, "proxies"},
    {"runtime-dir", FLAG_TEXT, FLAG_SPECIAL, "${data-dir}/run"},
    {"cache-bytes", FLAG_NUMBER, FLAG_OWN, "cache-bytes"},
    {"memtable-bytes", FLAG_NUMBER, FLAG_OWN, "memtable-bytes"},
    {"bus-trace", FLAG_BOOL, FLAG_OWN, "bus-trace"},
    {"write-config", FLAG_TEXT, FLAG_SPECIAL, ""},
};
const size_t flag_count = sizeof flag_rows / sizeof *flag_rows;
_Static_assert(sizeof flag_rows / sizeof *flag_rows < FLAG_LIMIT, "FLAG_LIMIT is too small");

static int find_row(const char *name, size_t length) {
    for (size_t i = 0; i < flag_count; i++) {
        if (strlen(flag_rows[i].name) == length && memcmp(flag_rows[i].name, name, length) == 0)
            return (int)i;
    }
    return -1;
}

int flag_find(const char *name, size_t length) {
    int row = find_row(name, length);
    if (row >= 0 && flag_rows[row].action == FLAG_ALIAS)
        return find_row(flag_rows[row].argument, strlen(flag_rows[row].argument));
    return row;
}

/* Levenshtein's distance; names longer than the row are never near. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    enum { LONGEST = 64 };
    if (a_length > LONGEST || b_length > LONGEST)
        return LONGEST;
    unsigned row[LONGEST + 1];
    for (unsigned j = 0; j <= b_length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = replace < best ? replace : best;
        }
    }
    return row[b_length];
}

const char *flag_nearest(const char *name, size_t length) {
    unsigned best = (unsigned)length / 3 + 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < flag_count; i++) {
        unsigned apart = distance(name, length, flag_rows[i].name, strlen(flag_rows[i].name));
        if (apart < best) {
            best = apart;
            nearest = flag_rows[i].name;
        }
    }
    return nearest;
}

void flag_environment_name(const struct flag_row *row, char out[96]) {
    int own = row->action == FLAG_OWN || strcmp(row->name, "runtime-dir") == 0 ||
              strcmp(row->name, "write-config") == 0;
    snprintf(out, 96, "%s_%s", own ? "QUORATE" : "ETCD", row->name);
    for (char *at = out; *at != '\0'; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}
