/*
 * status: what a request can end with: a gRPC code and the exact message etcd's clients match on.
 *
 * Daemons pass the small number (`enum status`) over the bus; the proxy alone turns it into code and text.
 * The numbers are part of the bus contract: append, never reorder.
 * Source of every row: etcd-api.md section 2.
 */
#ifndef QUORATE_COMMON_STATUS_H
#define QUORATE_COMMON_STATUS_H

#include <stdint.h>

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* X(name, gRPC code, message) */
#define STATUS_TABLE(X)                                                                                      \
    X(OK, GRPC_OK, "")                                                                                       \
    X(EMPTY_KEY, GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided")                                   \
    X(KEY_NOT_FOUND, GRPC_INVALID_ARGUMENT, "etcdserver: key not found")                                     \
    X(VALUE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: value is provided")                                \
    X(LEASE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided")                                \
    X(TOO_MANY_OPS, GRPC_INVALID_ARGUMENT, "etcdserver: too many operations in txn request")                 \
    X(DUPLICATE_KEY, GRPC_INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")                \
    X(INVALID_CLIENT_API_VERSION, GRPC_INVALID_ARGUMENT, "etcdserver: invalid client api version")           \
    X(INVALID_SORT_OPTION, GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option")                         \
    X(COMPACTED, GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")                \
    X(FUTURE_REVISION, GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")        \
    X(NO_SPACE, GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")                        \
    X(LEASE_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: requested lease not found")                              \
    X(LEASE_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists")                            \
    X(LEASE_TTL_TOO_LARGE, GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL")                             \
    X(WATCH_CANCELED, GRPC_CANCELLED, "etcdserver: watch canceled")                                          \
    X(MEMBER_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: member ID already exist")                        \
    X(PEER_URL_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")                     \
    X(MEMBERS_NOT_STARTED, GRPC_UNKNOWN,                                                                     \
      "etcdserver: re-configuration failed due to not enough started members")                               \
    X(MEMBER_BAD_URLS, GRPC_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")                   \
    X(MEMBER_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: member not found")                                      \
    X(MEMBER_NOT_LEARNER, GRPC_FAILED_PRECONDITION, "etcdserver: can only promote a learner member")         \
    X(LEARNER_NOT_READY, GRPC_FAILED_PRECONDITION,                                                           \
      "etcdserver: can only promote a learner member which is in sync with leader")                          \
    X(TOO_MANY_LEARNERS, GRPC_FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")        \
    X(CLUSTER_ID_MISMATCH, GRPC_FAILED_PRECONDITION, "etcdserver: cluster ID mismatch")                      \
    X(REQUEST_TOO_LARGE, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large")                          \
    X(TOO_MANY_REQUESTS, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests")                           \
    X(ROOT_USER_NOT_EXIST, GRPC_FAILED_PRECONDITION, "etcdserver: root user does not exist")                 \
    X(ROOT_ROLE_NOT_EXIST, GRPC_FAILED_PRECONDITION, "etcdserver: root user does not have root role")        \
    X(USER_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: user name already exists")                         \
    X(USER_EMPTY, GRPC_INVALID_ARGUMENT, "etcdserver: user name is empty")                                   \
    X(USER_NOT_FOUND, GRPC_FAILED_PRECONDITION, "etcdserver: user name not found")                           \
    X(ROLE_EXISTS, GRPC_FAILED_PRECONDITION, "etcdserver: role name already exists")                         \
    X(ROLE_NOT_FOUND, GRPC_FAILED_PRECONDITION, "etcdserver: role name not found")                           \
    X(ROLE_EMPTY, GRPC_INVALID_ARGUMENT, "etcdserver: role name is empty")                                   \
    X(AUTH_FAILED, GRPC_INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password")  \
    X(PERMISSION_NOT_GIVEN, GRPC_INVALID_ARGUMENT, "etcdserver: permission not given")                       \
    X(PERMISSION_DENIED, GRPC_PERMISSION_DENIED, "etcdserver: permission denied")                            \
    X(ROLE_NOT_GRANTED, GRPC_FAILED_PRECONDITION, "etcdserver: role is not granted to the user")             \
    X(PERMISSION_NOT_GRANTED, GRPC_FAILED_PRECONDITION, "etcdserver: permission is not granted to the role") \
    X(AUTH_NOT_ENABLED, GRPC_FAILED_PRECONDITION, "etcdserver: authentication is not enabled")               \
    X(INVALID_AUTH_TOKEN, GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token")                            \
    X(INVALID_AUTH_MANAGEMENT, GRPC_INVALID_ARGUMENT, "etcdserver: invalid auth management")                 \
    X(AUTH_OLD_REVISION, GRPC_INVALID_ARGUMENT, "etcdserver: revision of auth store is old")                 \
    X(NO_LEADER, GRPC_UNAVAILABLE, "etcdserver: no leader")                                                  \
    X(NOT_LEADER, GRPC_FAILED_PRECONDITION, "etcdserver: not leader")                                        \
    X(LEADER_CHANGED, GRPC_UNAVAILABLE, "etcdserver: leader changed")                                        \
    X(NOT_CAPABLE, GRPC_FAILED_PRECONDITION, "etcdserver: not capable")                                      \
    X(STOPPED, GRPC_UNAVAILABLE, "etcdserver: server stopped")                                               \
    X(TIMEOUT, GRPC_UNAVAILABLE, "etcdserver: request timed out")                                            \
    X(TIMEOUT_LEADER_FAILED, GRPC_UNAVAILABLE,                                                               \
      "etcdserver: request timed out, possibly due to previous leader failure")                              \
    X(TIMEOUT_CONNECTION_LOST, GRPC_UNAVAILABLE,                                                             \
      "etcdserver: request timed out, possibly due to connection lost")                                      \
    X(TIMEOUT_WAIT_APPLIED, GRPC_UNAVAILABLE,                                                                \
      "etcdserver: request timed out, waiting for the applied index took too long")                          \
    X(UNHEALTHY, GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster")                                          \
    X(CORRUPT, GRPC_DATA_LOSS, "etcdserver: corrupt cluster")                                                \
    X(NOT_FOR_LEARNER, GRPC_FAILED_PRECONDITION, "etcdserver: rpc not supported for learner")                \
    X(BAD_TRANSFEREE, GRPC_FAILED_PRECONDITION, "etcdserver: bad leader transferee")                         \
    X(CANCELED, GRPC_CANCELLED, "context canceled")                                                          \
    X(DEADLINE_EXCEEDED, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded")                                \
    X(UNIMPLEMENTED, GRPC_UNIMPLEMENTED, "etcdserver: not implemented")                                      \
    X(STREAM_CUSTOM_SORT, GRPC_UNIMPLEMENTED, "RangeStream does not support custom sort orders")             \
    X(STREAM_REVISION_FILTERS, GRPC_UNIMPLEMENTED, "RangeStream does not support revision filters")          \
    X(UNDECODABLE, GRPC_INTERNAL, "etcdserver: undecodable request")

enum status {
#define STATUS_MEMBER(name, code, message) STATUS_##name,
    STATUS_TABLE(STATUS_MEMBER)
#undef STATUS_MEMBER
        STATUS_COUNT
};

/* Any number is accepted (it may have come from a newer daemon): an unknown one is UNKNOWN. */
enum grpc_code status_code(uint16_t status);
const char *status_message(uint16_t status);
/* "OK", "Canceled", ... as gRPC names them in Go. */
const char *status_code_name(enum grpc_code code);

#endif
