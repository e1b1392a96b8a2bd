/*
 * request: etcd's KV requests decoded in place, for the proxy (which checks them) and apply (which executes).
 *
 * Decoding allocates nothing: byte fields are slices of the message. A Txn is not turned into a tree; its
 * parts are walked (`txn_next_*`), and a nested Txn is again a slice to walk. Whoever walks bounds the depth
 * (REQUEST_MAX_DEPTH), so that a message cannot drive recursion.
 * Field numbers: etcd-api.md section 1.2. Unknown fields are ignored, as in etcd.
 */
#ifndef QUORATE_COMMON_REQUEST_H
#define QUORATE_COMMON_REQUEST_H

#include "common/bytes.h"

struct wire_reader;

enum {
    REQUEST_MAX_DEPTH =
        128, /* nesting of Txn in Txn: max-txn-ops bounds it in practice (each level costs an op) */
};

/* Every RPC that crosses the bus. The numbers are part of the bus contract: append, never reorder. */
enum method {
    METHOD_NONE,
    METHOD_RANGE,
    METHOD_PUT,
    METHOD_DELETE_RANGE,
    METHOD_TXN,
    METHOD_COMPACT,
    METHOD_RANGE_STREAM,
    METHOD_MEMBER_LIST,
    METHOD_STATUS,
    METHOD_ALARM,
    METHOD_HEALTH, /* a Range {keys_only, limit 1} as root, for /health */
    METHOD_WATCH,
    METHOD_WATCH_PROGRESS,
    METHOD_WATCH_HISTORY, /* events of the past (common/event.h), answered in parts like RANGE_STREAM */
    METHOD_LEASE_GRANT,
    METHOD_LEASE_REVOKE,
    METHOD_LEASE_KEEP_ALIVE,
    METHOD_LEASE_TIME_TO_LIVE,
    METHOD_LEASE_LEASES,
};

enum sort_order { SORT_NONE, SORT_ASCEND, SORT_DESCEND };
enum sort_target { SORT_BY_KEY, SORT_BY_VERSION, SORT_BY_CREATE, SORT_BY_MOD, SORT_BY_VALUE };

struct range_request {
    struct bytes key, range_end; /* range_end empty: one key; one zero byte: all keys >= key */
    int64_t limit, revision;
    int32_t sort_order, sort_target; /* enum values; may be out of range until checked */
    bool serializable, keys_only, count_only;
    int64_t min_mod_revision, max_mod_revision, min_create_revision, max_create_revision;
};

struct put_request {
    struct bytes key, value;
    int64_t lease;
    bool prev_kv, ignore_value, ignore_lease;
};

struct delete_range_request {
    struct bytes key, range_end;
    bool prev_kv;
};

struct compaction_request {
    int64_t revision;
    bool physical;
};

enum compare_result { COMPARE_EQUAL, COMPARE_GREATER, COMPARE_LESS, COMPARE_NOT_EQUAL };
enum compare_target { COMPARE_VERSION, COMPARE_CREATE, COMPARE_MOD, COMPARE_VALUE, COMPARE_LEASE };

struct compare {
    int32_t result, target; /* enum values; may be out of range until checked */
    struct bytes key, range_end;
    /* The oneof target_union: which member was set last, 0 for none, else the field number 4..8. */
    uint32_t operand;
    int64_t number;     /* operand 4, 5, 6, 8 */
    struct bytes value; /* operand 7 */
};

/* One RequestOp: the oneof member that was set last, 0 for none. */
enum request_op_kind { OP_NONE, OP_RANGE, OP_PUT, OP_DELETE_RANGE, OP_TXN };
struct request_op {
    enum request_op_kind kind;
    struct bytes body;
};

/* Each returns false when the message is malformed. Every field of *out is set. */
bool range_request_decode(struct bytes message, struct range_request *out);
bool put_request_decode(struct bytes message, struct put_request *out);
bool delete_range_request_decode(struct bytes message, struct delete_range_request *out);
bool compaction_request_decode(struct bytes message, struct compaction_request *out);
bool compare_decode(struct bytes message, struct compare *out);
bool request_op_decode(struct bytes message, struct request_op *out);

/* The three repeated fields of TxnRequest. */
enum txn_part { TXN_COMPARE = 1, TXN_SUCCESS = 2, TXN_FAILURE = 3 };

/* False when the message is malformed at its own level (parts are not looked into). */
bool txn_count(struct bytes message, size_t counts[4]);
/* Walks the elements of one part in order; start with wire_reader_of(message). */
bool txn_next(struct wire_reader *reader, enum txn_part part, struct bytes *element);

/* AlarmRequest. */
struct alarm_request {
    int32_t action, alarm;
    uint64_t member_id;
};
bool alarm_request_decode(struct bytes message, struct alarm_request *out);

/* WatchRequest is a oneof: which member was set last, else 0. */
enum watch_request_kind { WATCH_NONE, WATCH_CREATE, WATCH_CANCEL, WATCH_PROGRESS };
enum { WATCH_NO_PUT = 1, WATCH_NO_DELETE = 2 }; /* bits of `filters` */
struct watch_request {
    enum watch_request_kind kind;
    struct bytes body;
};
struct watch_create_request {
    struct bytes key, range_end; /* as the client sent them */
    int64_t start_revision, watch_id;
    unsigned filters; /* WATCH_NO_* */
    bool progress_notify, prev_kv, fragment;
};
bool watch_request_decode(struct bytes message, struct watch_request *out);
bool watch_create_request_decode(struct bytes message, struct watch_create_request *out);
bool watch_cancel_request_decode(struct bytes message, int64_t *watch_id);

/*
 * LeaseGrantRequest {TTL=1, ID=2}; LeaseRevoke, KeepAlive {ID=1}; TimeToLive {ID=1, keys=2}.
 * A field of our own, which etcd ignores, is in what a lessor proposes: the index of the entry that granted
 * the lease it means. A client may have revoked that and granted one of the same id meanwhile.
 */
enum { LEASE_REQUEST_GRANT = 1001 };
struct lease_request {
    int64_t id, ttl; /* seconds */
    bool keys;
    uint64_t grant; /* 0: whichever lease has the id */
};
bool lease_grant_request_decode(struct bytes message, struct lease_request *out);
bool lease_request_decode(struct bytes message, struct lease_request *out);

/* LeaseCheckpointRequest {checkpoints=1 {ID=1, remaining_TTL=2}}: walk with wire_reader_of(message). */
struct lease_checkpoint {
    int64_t id, remaining; /* seconds; 0: none, the full TTL counts */
    uint64_t grant;        /* as in lease_request */
};
bool lease_checkpoint_next(struct wire_reader *reader, struct lease_checkpoint *out);

/*
 * etcd's InternalRaftRequest: what a log entry's data holds. `number` is the field of the request inside
 * (etcd's oneof-like fields: 4 put, 5 delete range, 6 txn, 7 compaction, ...), `body` its bytes.
 */
enum internal_field {
    INTERNAL_PUT = 4,
    INTERNAL_DELETE_RANGE = 5,
    INTERNAL_TXN = 6,
    INTERNAL_COMPACTION = 7,
    INTERNAL_LEASE_GRANT = 8,
    INTERNAL_LEASE_REVOKE = 9,
    INTERNAL_ALARM = 10,
    INTERNAL_LEASE_CHECKPOINT = 11,
    INTERNAL_HEADER = 100,
};
struct internal_request {
    uint64_t id;
    uint64_t auth_revision;
    struct bytes username;
    uint32_t number; /* 0: none of the known requests */
    struct bytes body;
};
bool internal_request_decode(struct bytes entry, struct internal_request *out);
void internal_request_encode(struct buffer *out, const struct internal_request *request);
/* An upper bound of the encoded size, for max-request-bytes and for reserving. */
size_t internal_request_size(const struct internal_request *request);

/* True when the interval [key, range_end) by etcd's conventions holds `probe`. */
bool interval_contains(struct bytes key, struct bytes range_end, struct bytes probe);

#endif
