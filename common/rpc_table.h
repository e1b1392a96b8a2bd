/*
 * rpc_table: every RPC that etcd names, as data: the proxy finds paths in it, metrics print a series for
 * each.
 *
 * The list is etcd's (etcd-api.md 1.1), also of what this release does not serve yet: a client asking for one
 * of those is answered as by a server that does not know the method, and the metric series exist from the
 * start. The number of a row (enum rpc) is what metric_rpc_*() take. Append within reason: numbers live in
 * metrics files of one release only.
 */
#ifndef QUORATE_COMMON_RPC_TABLE_H
#define QUORATE_COMMON_RPC_TABLE_H

/* X(name, service, method, type) with type as Prometheus labels have it: unary, server_stream, bidi_stream */
#define RPC_TABLE(X)                                                                                         \
    X(KV_RANGE, "etcdserverpb.KV", "Range", "unary")                                                         \
    X(KV_RANGE_STREAM, "etcdserverpb.KV", "RangeStream", "server_stream")                                    \
    X(KV_PUT, "etcdserverpb.KV", "Put", "unary")                                                             \
    X(KV_DELETE_RANGE, "etcdserverpb.KV", "DeleteRange", "unary")                                            \
    X(KV_TXN, "etcdserverpb.KV", "Txn", "unary")                                                             \
    X(KV_COMPACT, "etcdserverpb.KV", "Compact", "unary")                                                     \
    X(WATCH_WATCH, "etcdserverpb.Watch", "Watch", "bidi_stream")                                             \
    X(LEASE_GRANT, "etcdserverpb.Lease", "LeaseGrant", "unary")                                              \
    X(LEASE_REVOKE, "etcdserverpb.Lease", "LeaseRevoke", "unary")                                            \
    X(LEASE_KEEP_ALIVE, "etcdserverpb.Lease", "LeaseKeepAlive", "bidi_stream")                               \
    X(LEASE_TIME_TO_LIVE, "etcdserverpb.Lease", "LeaseTimeToLive", "unary")                                  \
    X(LEASE_LEASES, "etcdserverpb.Lease", "LeaseLeases", "unary")                                            \
    X(CLUSTER_MEMBER_ADD, "etcdserverpb.Cluster", "MemberAdd", "unary")                                      \
    X(CLUSTER_MEMBER_REMOVE, "etcdserverpb.Cluster", "MemberRemove", "unary")                                \
    X(CLUSTER_MEMBER_UPDATE, "etcdserverpb.Cluster", "MemberUpdate", "unary")                                \
    X(CLUSTER_MEMBER_LIST, "etcdserverpb.Cluster", "MemberList", "unary")                                    \
    X(CLUSTER_MEMBER_PROMOTE, "etcdserverpb.Cluster", "MemberPromote", "unary")                              \
    X(MAINTENANCE_ALARM, "etcdserverpb.Maintenance", "Alarm", "unary")                                       \
    X(MAINTENANCE_STATUS, "etcdserverpb.Maintenance", "Status", "unary")                                     \
    X(MAINTENANCE_DEFRAGMENT, "etcdserverpb.Maintenance", "Defragment", "unary")                             \
    X(MAINTENANCE_HASH, "etcdserverpb.Maintenance", "Hash", "unary")                                         \
    X(MAINTENANCE_HASH_KV, "etcdserverpb.Maintenance", "HashKV", "unary")                                    \
    X(MAINTENANCE_SNAPSHOT, "etcdserverpb.Maintenance", "Snapshot", "server_stream")                         \
    X(MAINTENANCE_MOVE_LEADER, "etcdserverpb.Maintenance", "MoveLeader", "unary")                            \
    X(MAINTENANCE_DOWNGRADE, "etcdserverpb.Maintenance", "Downgrade", "unary")                               \
    X(AUTH_ENABLE, "etcdserverpb.Auth", "AuthEnable", "unary")                                               \
    X(AUTH_DISABLE, "etcdserverpb.Auth", "AuthDisable", "unary")                                             \
    X(AUTH_STATUS, "etcdserverpb.Auth", "AuthStatus", "unary")                                               \
    X(AUTH_AUTHENTICATE, "etcdserverpb.Auth", "Authenticate", "unary")                                       \
    X(AUTH_USER_ADD, "etcdserverpb.Auth", "UserAdd", "unary")                                                \
    X(AUTH_USER_GET, "etcdserverpb.Auth", "UserGet", "unary")                                                \
    X(AUTH_USER_LIST, "etcdserverpb.Auth", "UserList", "unary")                                              \
    X(AUTH_USER_DELETE, "etcdserverpb.Auth", "UserDelete", "unary")                                          \
    X(AUTH_USER_CHANGE_PASSWORD, "etcdserverpb.Auth", "UserChangePassword", "unary")                         \
    X(AUTH_USER_GRANT_ROLE, "etcdserverpb.Auth", "UserGrantRole", "unary")                                   \
    X(AUTH_USER_REVOKE_ROLE, "etcdserverpb.Auth", "UserRevokeRole", "unary")                                 \
    X(AUTH_ROLE_ADD, "etcdserverpb.Auth", "RoleAdd", "unary")                                                \
    X(AUTH_ROLE_GET, "etcdserverpb.Auth", "RoleGet", "unary")                                                \
    X(AUTH_ROLE_LIST, "etcdserverpb.Auth", "RoleList", "unary")                                              \
    X(AUTH_ROLE_DELETE, "etcdserverpb.Auth", "RoleDelete", "unary")                                          \
    X(AUTH_ROLE_GRANT_PERMISSION, "etcdserverpb.Auth", "RoleGrantPermission", "unary")                       \
    X(AUTH_ROLE_REVOKE_PERMISSION, "etcdserverpb.Auth", "RoleRevokePermission", "unary")                     \
    X(HEALTH_CHECK, "grpc.health.v1.Health", "Check", "unary")                                               \
    X(HEALTH_WATCH, "grpc.health.v1.Health", "Watch", "server_stream")

enum rpc {
#define RPC_MEMBER(name, service, method, type) RPC_##name,
    RPC_TABLE(RPC_MEMBER)
#undef RPC_MEMBER
        RPC_COUNT
};

#endif
