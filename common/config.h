/*
 * config: the one file every daemon reads. `quorate` resolves flags, environment and --config-file into it
 * once (DESIGN.md section 1); a daemon never looks at any of those itself.
 *
 * Format: one `key: value` a line, values raw to the end of the line, `#` begins a comment line. Written and
 * read only by us, so an unknown key is an error that names it (an older daemon with a newer file).
 * Ownership: the strings live as long as the struct; config_free releases them.
 */
#ifndef QUORATE_COMMON_CONFIG_H
#define QUORATE_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config {
    /* who */
    char *name;            /* member name */
    char *cluster_token;   /* initial-cluster-token */
    char *initial_cluster; /* "name=url,…" */
    char *initial_state;   /* "new" or "existing" */
    /* where */
    char *data_directory;    /* absolute */
    char *wal_directory;     /* absolute; default <data>/member/wal */
    char *runtime_directory; /* absolute, 0700: sockets, metrics files, this file */
    /* addresses: comma-separated URLs as given */
    char *listen_client_urls;
    char *advertise_client_urls;
    char *listen_peer_urls;
    char *advertise_peer_urls;
    char *listen_metrics_urls;
    /* times, milliseconds */
    uint32_t heartbeat_interval; /* 100 */
    uint32_t election_timeout;   /* 1000 */
    uint32_t grpc_keepalive_min_time, grpc_keepalive_interval,
        grpc_keepalive_timeout;       /* 5000, 7200000, 20000 */
    uint32_t watch_progress_interval; /* 600000 */
    uint32_t warning_unary_duration;  /* 300 */
    /* limits */
    uint64_t quota_bytes;        /* 2 GiB; INT64_MAX: off */
    uint32_t max_txn_operations; /* 128 */
    uint32_t max_request_bytes;  /* 1572864 */
    uint32_t max_streams;        /* UINT32_MAX: as etcd, then the proxy's own bound applies */
    uint32_t snapshot_count;     /* 10000 */
    uint32_t proxies;            /* 1..8 */
    uint64_t cache_bytes;        /* RocksDB block cache, 64 MiB */
    uint64_t memtable_bytes;     /* RocksDB write buffer, 32 MiB */
    /* switches */
    bool pre_vote;                      /* true */
    bool strict_reconfig;               /* true */
    bool unsafe_no_fsync;               /* false */
    bool enable_gateway;                /* true */
    bool bus_trace;                     /* false */
    bool metrics_extensive;             /* false */
    char *log_level;                    /* info */
    char *auto_compaction_mode;         /* periodic, revision */
    uint64_t auto_compaction_retention; /* milliseconds or revisions, as the mode says; 0: off */
};

void config_set_defaults(struct config *config);
/* Returns false and puts a sentence naming line and key into error. */
bool config_read(const char *path, struct config *config, char error[256]);
/* Sets one key from text; false and a sentence in error for an unknown key or a bad value. */
bool config_set(struct config *config, const char *key, const char *value, char error[256]);
/* Writes atomically, mode 0600. 0 or -errno. */
int config_write(const char *path, const struct config *config);
void config_free(struct config *config);

/* Splits a comma-separated URL list. Calls visit for each "scheme://host:port"; false if one is malformed. */
struct url {
    char scheme[8]; /* http, https, unix, unixs */
    char host[256]; /* without brackets; for unix: the path */
    uint16_t port;
};
bool url_parse(const char *text, size_t length, struct url *out);
bool url_list_each(const char *list, void (*visit)(void *context, const struct url *url), void *context);

#endif
