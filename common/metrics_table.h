/*
 * metrics_table: the metrics of a node, as data (metrics.h). Names, types, labels and buckets are etcd's
 * (etcd-api.md section 4.3); what etcd has and we have no use for stays at 0, so that dashboards find it.
 *
 * X(member, name, labels, kind, combine, buckets, help)
 * - member: METRIC_<member>; rows of one name (told apart by labels) stand together.
 * - kind: COUNTER survives a restart of its process; GAUGE and IDENTITY begin anew; HISTOGRAM is a counter
 * per bucket; CONSTANT is always 1; IDENTITY is 1 with the value, in hex, in the label named by `labels`.
 * - combine: how the files of the node's processes make one number: SUM, or MAX (several may know it).
 * - buckets: of a histogram, by name (metrics.c).
 * Not here: etcd_server_go_version (there is no Go), and what needs peers. grpc_server_* and process_* are
 * written by the page itself.
 */
#ifndef QUORATE_COMMON_METRICS_TABLE_H
#define QUORATE_COMMON_METRICS_TABLE_H

#define METRICS_TABLE(X)                                                                                     \
    /* Who we are and where the cluster stands (raft). */                                                    \
    X(ETCD_SERVER_VERSION, "etcd_server_version", "server_version=\"3.7.1\"", CONSTANT, MAX, NONE,           \
      "The etcd version whose API this node speaks.")                                                        \
    X(ETCD_CLUSTER_VERSION, "etcd_cluster_version", "cluster_version=\"3.7\"", CONSTANT, MAX, NONE,          \
      "The etcd version the cluster has agreed on.")                                                         \
    X(ETCD_SERVER_ID, "etcd_server_id", "server_id", IDENTITY, MAX, NONE, "This member's id, in the label.") \
    X(ETCD_SERVER_HAS_LEADER, "etcd_server_has_leader", "", GAUGE, MAX, NONE,                                \
      "1 while this member knows a leader.")                                                                 \
    X(ETCD_SERVER_IS_LEADER, "etcd_server_is_leader", "", GAUGE, MAX, NONE, "1 while this member leads.")    \
    X(ETCD_SERVER_IS_LEARNER, "etcd_server_is_learner", "", GAUGE, MAX, NONE,                                \
      "1 while this member is a learner.")                                                                   \
    X(ETCD_SERVER_LEADER_CHANGES_SEEN_TOTAL, "etcd_server_leader_changes_seen_total", "", COUNTER, SUM,      \
      NONE, "Changes of leader this member has seen.")                                                       \
    X(ETCD_SERVER_LEARNER_PROMOTE_SUCCESSES, "etcd_server_learner_promote_successes", "", COUNTER, SUM,      \
      NONE, "Learners promoted while this member led.")                                                      \
    X(ETCD_SERVER_HEARTBEAT_SEND_FAILURES_TOTAL, "etcd_server_heartbeat_send_failures_total", "", COUNTER,   \
      SUM, NONE, "Heartbeats that left late because this member was overloaded.")                            \
    X(ETCD_SERVER_PROPOSALS_COMMITTED_TOTAL, "etcd_server_proposals_committed_total", "", GAUGE, MAX, NONE,  \
      "Raft index up to which entries are committed.")                                                       \
    X(ETCD_SERVER_PROPOSALS_PENDING, "etcd_server_proposals_pending", "", GAUGE, SUM, NONE,                  \
      "Proposals under way: sent to raft, not yet applied.")                                                 \
    X(ETCD_SERVER_PROPOSALS_FAILED_TOTAL, "etcd_server_proposals_failed_total", "", COUNTER, SUM, NONE,      \
      "Proposals that were refused or timed out.")                                                           \
    X(ETCD_SERVER_READ_INDEXES_FAILED_TOTAL, "etcd_server_read_indexes_failed_total", "", COUNTER, SUM,      \
      NONE, "Linearizable reads whose leadership check failed.")                                             \
    X(ETCD_SERVER_SLOW_READ_INDEXES_TOTAL, "etcd_server_slow_read_indexes_total", "", COUNTER, SUM, NONE,    \
      "Leadership checks that outlasted their retry time.")                                                  \
    X(QUORATE_OWN_PROPOSALS_DROPPED_TOTAL, "quorate_own_proposals_dropped_total", "", COUNTER, SUM, NONE,    \
      "Proposals of this node's apply and maint that raft dropped: not leading in their term, or behind.")   \
    X(ETCD_DISK_WAL_FSYNC_DURATION_SECONDS, "etcd_disk_wal_fsync_duration_seconds", "", HISTOGRAM, SUM,      \
      DISK, "Time of one fdatasync of the write-ahead log.")                                                 \
    X(ETCD_DISK_WAL_WRITE_DURATION_SECONDS, "etcd_disk_wal_write_duration_seconds", "", HISTOGRAM, SUM,      \
      DISK, "Time of one write to the write-ahead log.")                                                     \
    X(ETCD_DISK_WAL_WRITE_BYTES_TOTAL, "etcd_disk_wal_write_bytes_total", "", GAUGE, SUM, NONE,              \
      "Bytes written to the write-ahead log since start.")                                                   \
    X(ETCD_SNAP_FSYNC_DURATION_SECONDS, "etcd_snap_fsync_duration_seconds", "", HISTOGRAM, SUM, DISK,        \
      "Time to sync a snapshot's record.")                                                                   \
    X(ETCD_DEBUGGING_SNAP_SAVE_MARSHALLING_DURATION_SECONDS,                                                 \
      "etcd_debugging_snap_save_marshalling_duration_seconds", "", HISTOGRAM, SUM, DISK,                     \
      "Time to encode a snapshot's record.")                                                                 \
    X(ETCD_DEBUGGING_SNAP_SAVE_TOTAL_DURATION_SECONDS, "etcd_debugging_snap_save_total_duration_seconds",    \
      "", HISTOGRAM, SUM, DISK, "Time to save a snapshot's record.")                                         \
    /* State machine and storage (apply). */                                                                 \
    X(ETCD_SERVER_PROPOSALS_APPLIED_TOTAL, "etcd_server_proposals_applied_total", "", GAUGE, MAX, NONE,      \
      "Raft index up to which entries are applied.")                                                         \
    X(ETCD_SERVER_APPLY_DURATION_SECONDS_PUT, "etcd_server_apply_duration_seconds",                          \
      "version=\"v3\",op=\"Put\",success=\"true\"", HISTOGRAM, SUM, APPLY,                                   \
      "Time to apply one entry, or one round of entries, by operation.")                                     \
    X(ETCD_SERVER_APPLY_DURATION_SECONDS_DELETE_RANGE, "etcd_server_apply_duration_seconds",                 \
      "version=\"v3\",op=\"DeleteRange\",success=\"true\"", HISTOGRAM, SUM, APPLY,                           \
      "Time to apply one entry, or one round of entries, by operation.")                                     \
    X(ETCD_SERVER_APPLY_DURATION_SECONDS_TXN, "etcd_server_apply_duration_seconds",                          \
      "version=\"v3\",op=\"Txn\",success=\"true\"", HISTOGRAM, SUM, APPLY,                                   \
      "Time to apply one entry, or one round of entries, by operation.")                                     \
    X(ETCD_SERVER_APPLY_DURATION_SECONDS_COMPACTION, "etcd_server_apply_duration_seconds",                   \
      "version=\"v3\",op=\"Compaction\",success=\"true\"", HISTOGRAM, SUM, APPLY,                            \
      "Time to apply one entry, or one round of entries, by operation.")                                     \
    X(ETCD_SERVER_APPLY_DURATION_SECONDS, "etcd_server_apply_duration_seconds",                              \
      "version=\"v3\",op=\"Other\",success=\"true\"", HISTOGRAM, SUM, APPLY,                                 \
      "Time to apply one entry, or one round of entries, by operation.")                                     \
    X(ETCD_SERVER_RANGE_DURATION_SECONDS, "etcd_server_range_duration_seconds", "success=\"true\"",          \
      HISTOGRAM, SUM, APPLY, "Time to serve one range from storage.")                                        \
    X(ETCD_SERVER_SLOW_APPLY_TOTAL, "etcd_server_slow_apply_total", "", COUNTER, SUM, NONE,                  \
      "Requests whose execution exceeded the warning time.")                                                 \
    X(ETCD_SERVER_QUOTA_BACKEND_BYTES, "etcd_server_quota_backend_bytes", "", GAUGE, MAX, NONE,              \
      "Quota of the backend in bytes.")                                                                      \
    X(ETCD_SERVER_SNAPSHOT_APPLY_IN_PROGRESS_TOTAL, "etcd_server_snapshot_apply_in_progress_total", "",      \
      GAUGE, SUM, NONE, "1 while a snapshot from the leader is put in place.")                               \
    X(ETCD_MVCC_PUT_TOTAL, "etcd_mvcc_put_total", "", COUNTER, SUM, NONE, "Puts this member has executed.")  \
    X(ETCD_MVCC_RANGE_TOTAL, "etcd_mvcc_range_total", "", COUNTER, SUM, NONE,                                \
      "Ranges this member has executed.")                                                                    \
    X(ETCD_MVCC_DELETE_TOTAL, "etcd_mvcc_delete_total", "", COUNTER, SUM, NONE,                              \
      "Deletes this member has executed.")                                                                   \
    X(ETCD_MVCC_TXN_TOTAL, "etcd_mvcc_txn_total", "", COUNTER, SUM, NONE,                                    \
      "Transactions this member has executed.")                                                              \
    X(ETCD_MVCC_DB_TOTAL_SIZE_IN_BYTES, "etcd_mvcc_db_total_size_in_bytes", "", GAUGE, MAX, NONE,            \
      "Bytes the database takes on disk.")                                                                   \
    X(ETCD_MVCC_DB_TOTAL_SIZE_IN_USE_IN_BYTES, "etcd_mvcc_db_total_size_in_use_in_bytes", "", GAUGE, MAX,    \
      NONE, "Bytes of the database that hold live data.")                                                    \
    X(ETCD_MVCC_DB_OPEN_READ_TRANSACTIONS, "etcd_mvcc_db_open_read_transactions", "", GAUGE, SUM, NONE,      \
      "Reads that hold a view of the database open.")                                                        \
    X(ETCD_MVCC_HASH_DURATION_SECONDS, "etcd_mvcc_hash_duration_seconds", "", HISTOGRAM, SUM, HASH,          \
      "Time to hash the whole backend.")                                                                     \
    X(ETCD_MVCC_HASH_REV_DURATION_SECONDS, "etcd_mvcc_hash_rev_duration_seconds", "", HISTOGRAM, SUM, HASH,  \
      "Time to hash the keys at a revision.")                                                                \
    X(ETCD_DISK_BACKEND_COMMIT_DURATION_SECONDS, "etcd_disk_backend_commit_duration_seconds", "", HISTOGRAM, \
      SUM, DISK, "Time of one batch written to the backend.")                                                \
    X(ETCD_DISK_BACKEND_DEFRAG_DURATION_SECONDS, "etcd_disk_backend_defrag_duration_seconds", "", HISTOGRAM, \
      SUM, DEFRAG, "Time of one defragmentation.")                                                           \
    X(ETCD_DISK_BACKEND_SNAPSHOT_DURATION_SECONDS, "etcd_disk_backend_snapshot_duration_seconds", "",        \
      HISTOGRAM, SUM, SNAPSHOT, "Time of one backend snapshot.")                                             \
    X(ETCD_DISK_DEFRAG_INFLIGHT, "etcd_disk_defrag_inflight", "", GAUGE, SUM, NONE,                          \
      "1 while a defragmentation runs.")                                                                     \
    X(ETCD_DEBUGGING_DISK_BACKEND_COMMIT_WRITE_DURATION_SECONDS,                                             \
      "etcd_debugging_disk_backend_commit_write_duration_seconds", "", HISTOGRAM, SUM, DISK,                 \
      "Write part of a backend commit.")                                                                     \
    X(ETCD_DEBUGGING_DISK_BACKEND_COMMIT_SPILL_DURATION_SECONDS,                                             \
      "etcd_debugging_disk_backend_commit_spill_duration_seconds", "", HISTOGRAM, SUM, DISK,                 \
      "Spill part of a backend commit (none here; kept for dashboards).")                                    \
    X(ETCD_DEBUGGING_DISK_BACKEND_COMMIT_REBALANCE_DURATION_SECONDS,                                         \
      "etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "", HISTOGRAM, SUM, DISK,             \
      "Rebalance part of a backend commit (none here; kept for dashboards).")                                \
    X(ETCD_DEBUGGING_AUTH_REVISION, "etcd_debugging_auth_revision", "", GAUGE, MAX, NONE,                    \
      "Revision of the auth store.")                                                                         \
    X(ETCD_DEBUGGING_MVCC_CURRENT_REVISION, "etcd_debugging_mvcc_current_revision", "", GAUGE, MAX, NONE,    \
      "Current revision of the store.")                                                                      \
    X(ETCD_DEBUGGING_MVCC_COMPACT_REVISION, "etcd_debugging_mvcc_compact_revision", "", GAUGE, MAX, NONE,    \
      "Revision of the last compaction.")                                                                    \
    X(ETCD_DEBUGGING_MVCC_KEYS_TOTAL, "etcd_debugging_mvcc_keys_total", "", GAUGE, MAX, NONE,                \
      "Keys in the store.")                                                                                  \
    X(ETCD_DEBUGGING_MVCC_RANGE_TOTAL, "etcd_debugging_mvcc_range_total", "", COUNTER, SUM, NONE,            \
      "Ranges this member has executed (older name).")                                                       \
    X(ETCD_DEBUGGING_MVCC_TOTAL_PUT_SIZE_IN_BYTES, "etcd_debugging_mvcc_total_put_size_in_bytes", "", GAUGE, \
      SUM, NONE, "Bytes of keys and values put since start.")                                                \
    X(ETCD_DEBUGGING_MVCC_DB_COMPACTION_KEYS_TOTAL, "etcd_debugging_mvcc_db_compaction_keys_total", "",      \
      COUNTER, SUM, NONE, "Entries removed by compactions.")                                                 \
    X(ETCD_DEBUGGING_MVCC_DB_COMPACTION_LAST, "etcd_debugging_mvcc_db_compaction_last", "", GAUGE, MAX,      \
      NONE, "Unix time of the last finished compaction.")                                                    \
    X(ETCD_DEBUGGING_MVCC_DB_COMPACTION_PAUSE_DURATION_MILLISECONDS,                                         \
      "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "", HISTOGRAM, SUM, COMPACTION_PAUSE, \
      "Pauses that compaction caused in the database.")                                                      \
    X(ETCD_DEBUGGING_MVCC_DB_COMPACTION_TOTAL_DURATION_MILLISECONDS,                                         \
      "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "", HISTOGRAM, SUM, COMPACTION_TOTAL, \
      "Time of one compaction of the database.")                                                             \
    X(ETCD_DEBUGGING_MVCC_INDEX_COMPACTION_PAUSE_DURATION_MILLISECONDS,                                      \
      "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "", HISTOGRAM, SUM, INDEX_PAUSE,   \
      "Pauses that compaction caused in the index.")                                                         \
    X(ETCD_DEBUGGING_LEASE_GRANTED_TOTAL, "etcd_debugging_lease_granted_total", "", COUNTER, SUM, NONE,      \
      "Leases granted.")                                                                                     \
    X(ETCD_DEBUGGING_LEASE_RENEWED_TOTAL, "etcd_debugging_lease_renewed_total", "", COUNTER, SUM, NONE,      \
      "Leases renewed while this member led.")                                                               \
    X(ETCD_DEBUGGING_LEASE_REVOKED_TOTAL, "etcd_debugging_lease_revoked_total", "", COUNTER, SUM, NONE,      \
      "Leases revoked.")                                                                                     \
    X(ETCD_DEBUGGING_LEASE_TTL_TOTAL, "etcd_debugging_lease_ttl_total", "", HISTOGRAM, SUM, LEASE_TTL,       \
      "TTLs of granted leases, seconds.")                                                                    \
    X(ETCD_DEBUGGING_SERVER_LEASE_EXPIRED_TOTAL, "etcd_debugging_server_lease_expired_total", "", COUNTER,   \
      SUM, NONE, "Leases that expired.")                                                                     \
    X(ETCD_DEBUGGING_STORE_EXPIRES_TOTAL, "etcd_debugging_store_expires_total", "", COUNTER, SUM, NONE,      \
      "Expired keys of the v2 store (none here; kept for dashboards).")                                      \
    X(ETCD_DEBUGGING_STORE_READS_TOTAL, "etcd_debugging_store_reads_total", "", COUNTER, SUM, NONE,          \
      "Reads of the v2 store (none here; kept for dashboards).")                                             \
    X(ETCD_DEBUGGING_STORE_WRITES_TOTAL, "etcd_debugging_store_writes_total", "", COUNTER, SUM, NONE,        \
      "Writes of the v2 store (none here; kept for dashboards).")                                            \
    X(ETCD_DEBUGGING_STORE_WATCH_REQUESTS_TOTAL, "etcd_debugging_store_watch_requests_total", "", COUNTER,   \
      SUM, NONE, "Watches of the v2 store (none here; kept for dashboards).")                                \
    X(ETCD_DEBUGGING_STORE_WATCHERS, "etcd_debugging_store_watchers", "", GAUGE, SUM, NONE,                  \
      "Watchers of the v2 store (none here; kept for dashboards).")                                          \
    /* Clients (proxies). */                                                                                 \
    X(ETCD_NETWORK_CLIENT_GRPC_RECEIVED_BYTES_TOTAL, "etcd_network_client_grpc_received_bytes_total", "",    \
      COUNTER, SUM, NONE, "Bytes received from gRPC clients.")                                               \
    X(ETCD_NETWORK_CLIENT_GRPC_SENT_BYTES_TOTAL, "etcd_network_client_grpc_sent_bytes_total", "", COUNTER,   \
      SUM, NONE, "Bytes sent to gRPC clients.")                                                              \
    X(ETCD_SERVER_CLIENT_REQUESTS_TOTAL, "etcd_server_client_requests_total",                                \
      "type=\"unary\",client_api_version=\"unknown\"", COUNTER, SUM, NONE,                                   \
      "Requests by kind of call; the client's version is not told apart.")                                   \
    X(ETCD_SERVER_CLIENT_REQUESTS_TOTAL_STREAM, "etcd_server_client_requests_total",                         \
      "type=\"stream\",client_api_version=\"unknown\"", COUNTER, SUM, NONE,                                  \
      "Requests by kind of call; the client's version is not told apart.")                                   \
    X(ETCD_SERVER_HEALTH_SUCCESS, "etcd_server_health_success", "", COUNTER, SUM, NONE,                      \
      "Health checks answered with healthy.")                                                                \
    X(ETCD_SERVER_HEALTH_FAILURES, "etcd_server_health_failures", "", COUNTER, SUM, NONE,                    \
      "Health checks answered with unhealthy.")                                                              \
    X(ETCD_DEBUGGING_MVCC_EVENTS_TOTAL, "etcd_debugging_mvcc_events_total", "", COUNTER, SUM, NONE,          \
      "Watch events sent.")                                                                                  \
    X(ETCD_DEBUGGING_MVCC_PENDING_EVENTS_TOTAL, "etcd_debugging_mvcc_pending_events_total", "", GAUGE, SUM,  \
      NONE, "Watch events waiting to be sent.")                                                              \
    X(ETCD_DEBUGGING_MVCC_SLOW_WATCHER_TOTAL, "etcd_debugging_mvcc_slow_watcher_total", "", GAUGE, SUM,      \
      NONE, "Watchers that read from history.")                                                              \
    X(ETCD_DEBUGGING_MVCC_WATCH_STREAM_TOTAL, "etcd_debugging_mvcc_watch_stream_total", "", GAUGE, SUM,      \
      NONE, "Open watch streams.")                                                                           \
    X(ETCD_DEBUGGING_MVCC_WATCHER_TOTAL, "etcd_debugging_mvcc_watcher_total", "", GAUGE, SUM, NONE,          \
      "Open watchers.")                                                                                      \
    X(ETCD_GRPC_PROXY_CACHE_HITS_TOTAL, "etcd_grpc_proxy_cache_hits_total", "", GAUGE, SUM, NONE,            \
      "Cache hits of etcd's own gRPC proxy (none here; kept for dashboards).")                               \
    X(ETCD_GRPC_PROXY_CACHE_KEYS_TOTAL, "etcd_grpc_proxy_cache_keys_total", "", GAUGE, SUM, NONE,            \
      "Cache keys of etcd's own gRPC proxy (none here; kept for dashboards).")                               \
    X(ETCD_GRPC_PROXY_CACHE_MISSES_TOTAL, "etcd_grpc_proxy_cache_misses_total", "", GAUGE, SUM, NONE,        \
      "Cache misses of etcd's own gRPC proxy (none here; kept for dashboards).")                             \
    X(ETCD_GRPC_PROXY_EVENTS_COALESCING_TOTAL, "etcd_grpc_proxy_events_coalescing_total", "", COUNTER, SUM,  \
      NONE, "Events merged by etcd's own gRPC proxy (none here; kept for dashboards).")                      \
    X(ETCD_GRPC_PROXY_WATCHERS_COALESCING_TOTAL, "etcd_grpc_proxy_watchers_coalescing_total", "", GAUGE,     \
      SUM, NONE, "Watchers merged by etcd's own gRPC proxy (none here; kept for dashboards).")               \
    /* Snapshots and upkeep (maint). */                                                                      \
    X(ETCD_SNAP_DB_FSYNC_DURATION_SECONDS, "etcd_snap_db_fsync_duration_seconds", "", HISTOGRAM, SUM, DISK,  \
      "Time to sync a snapshot's files.")                                                                    \
    X(ETCD_SNAP_DB_SAVE_TOTAL_DURATION_SECONDS, "etcd_snap_db_save_total_duration_seconds", "", HISTOGRAM,   \
      SUM, SNAPSHOT_SAVE, "Time to save a snapshot's files.")                                                \
    X(QUORATE_WATCH_REVISIONS_LEFT_OUT_TOTAL, "quorate_watch_revisions_left_out_total", "", COUNTER, SUM,    \
      NONE,                                                                                                  \
      "Revisions that a proxy has to read from history: its link was full, or their events too large.")      \
    X(QUORATE_CHECKPOINTS_TOTAL, "quorate_checkpoints_total", "", COUNTER, SUM, NONE,                        \
      "Checkpoints of the database that were taken and verified.")                                           \
    X(QUORATE_CHECKPOINT_FAILURES_TOTAL, "quorate_checkpoint_failures_total", "", COUNTER, SUM, NONE,        \
      "Checkpoints that could not be taken or verified.")                                                    \
    /* The launcher. */                                                                                      \
    X(QUORATE_DAEMON_RESTARTS_TOTAL, "quorate_daemon_restarts_total", "", COUNTER, SUM, NONE,                \
      "Daemons the launcher has started again after they died.")

enum metric {
#define METRIC_MEMBER(member, name, labels, kind, combine, buckets, help) METRIC_##member,
    METRICS_TABLE(METRIC_MEMBER)
#undef METRIC_MEMBER
        METRIC_COUNT
};

#endif
