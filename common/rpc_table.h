/*
 * rpc_table: every RPC of the etcd v3 API that clients may call (etcd-api.md section 1.1) and gRPC's health
 * service, whether this release answers it or says Unimplemented. The proxy routes by it, the metrics page
 * pre-initialises a series for each row and code.
 *
 * X(name, gRPC service, method, type) makes RPC_<name>. The numbers index counters in the metrics files:
 * append, never reorder.
 */
#ifndef QUORATE_COMMON_RPC_TABLE_H
#define QUORATE_COMMON_RPC_TABLE_H

#define RPC_TABLE(X)                                                                                         \
    X(KV_RANGE, "etcdserverpb.KV", "Range", "unary")                                                         \
    X(KV_PUT, "etcdserverpb.KV", "Put", "unary")                                                             \
    X(KV_DELETE_RANGE, "etcdserverpb.KV", "DeleteRange", "unary")                                            \
    X(KV_TXN, "etcdserverpb.KV", "Txn", "unary")                                                             \
    X(KV_COMPACT, "etcdserverpb.KV", "Compact", "unary")                                                     \
    X(KV_RANGE_STREAM, "etcdserverpb.KV", "RangeStream", "server_stream")                                    \
    X(WATCH_WATCH, "etcdserverpb.Watch", "Watch", "bidi_stream")                                             \
    X(LEASE_LEASE_GRANT, "etcdserverpb.Lease", "LeaseGrant", "unary")                                        \
    X(LEASE_LEASE_REVOKE, "etcdserverpb.Lease", "LeaseRevoke", "unary")                                      \
    X(LEASE_LEASE_TIME_TO_LIVE, "etcdserverpb.Lease", "LeaseTimeToLive", "unary")                            \
    X(LEASE_LEASE_LEASES, "etcdserverpb.Lease", "LeaseLeases", "unary")                                      \
    X(LEASE_LEASE_KEEP_ALIVE, "etcdserverpb.Lease", "LeaseKeepAlive", "bidi_stream")                         \
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
    X(MAINTENANCE_MOVE_LEADER, "etcdserverpb.Maintenance", "MoveLeader", "unary")                            \
    X(MAINTENANCE_DOWNGRADE, "etcdserverpb.Maintenance", "Downgrade", "unary")                               \
    X(MAINTENANCE_SNAPSHOT, "etcdserverpb.Maintenance", "Snapshot", "server_stream")                         \
    X(AUTH_AUTH_ENABLE, "etcdserverpb.Auth", "AuthEnable", "unary")                                          \
    X(AUTH_AUTH_DISABLE, "etcdserverpb.Auth", "AuthDisable", "unary")                                        \
    X(AUTH_AUTH_STATUS, "etcdserverpb.Auth", "AuthStatus", "unary")                                          \
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
    X(LOCK_LOCK, "v3lockpb.Lock", "Lock", "unary")                                                           \
    X(LOCK_UNLOCK, "v3lockpb.Lock", "Unlock", "unary")                                                       \
    X(ELECTION_CAMPAIGN, "v3electionpb.Election", "Campaign", "unary")                                       \
    X(ELECTION_PROCLAIM, "v3electionpb.Election", "Proclaim", "unary")                                       \
    X(ELECTION_LEADER, "v3electionpb.Election", "Leader", "unary")                                           \
    X(ELECTION_RESIGN, "v3electionpb.Election", "Resign", "unary")                                           \
    X(ELECTION_OBSERVE, "v3electionpb.Election", "Observe", "server_stream")                                 \
    X(HEALTH_CHECK, "grpc.health.v1.Health", "Check", "unary")                                               \
    X(HEALTH_WATCH, "grpc.health.v1.Health", "Watch", "server_stream")

enum rpc {
#define RPC_MEMBER(name, service, method, type) RPC_##name,
    RPC_TABLE(RPC_MEMBER)
#undef RPC_MEMBER
        RPC_COUNT
};

#endif
