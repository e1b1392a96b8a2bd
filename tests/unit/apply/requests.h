/* requests: encodes etcd requests for the tests; the opposite of common/request.h. */
#ifndef QUORATE_TESTS_UNIT_APPLY_REQUESTS_H
#define QUORATE_TESTS_UNIT_APPLY_REQUESTS_H

#include "common/request.h"
#include "common/wire.h"

static inline void encode_range(struct buffer *out, const struct range_request *request) {
    wire_put_bytes(out, 1, request->key);
    wire_put_bytes(out, 2, request->range_end);
    wire_put_int64(out, 3, request->limit);
    wire_put_int64(out, 4, request->revision);
    wire_put_int64(out, 5, request->sort_order);
    wire_put_int64(out, 6, request->sort_target);
    wire_put_bool(out, 7, request->serializable);
    wire_put_bool(out, 8, request->keys_only);
    wire_put_bool(out, 9, request->count_only);
    wire_put_int64(out, 10, request->min_mod_revision);
    wire_put_int64(out, 11, request->max_mod_revision);
    wire_put_int64(out, 12, request->min_create_revision);
    wire_put_int64(out, 13, request->max_create_revision);
}

static inline void encode_put(struct buffer *out, const struct put_request *request) {
    wire_put_bytes(out, 1, request->key);
    wire_put_bytes(out, 2, request->value);
    wire_put_int64(out, 3, request->lease);
    wire_put_bool(out, 4, request->prev_kv);
    wire_put_bool(out, 5, request->ignore_value);
    wire_put_bool(out, 6, request->ignore_lease);
}

static inline void encode_delete(struct buffer *out, const struct delete_range_request *request) {
    wire_put_bytes(out, 1, request->key);
    wire_put_bytes(out, 2, request->range_end);
    wire_put_bool(out, 3, request->prev_kv);
}

static inline void encode_compaction(struct buffer *out, const struct compaction_request *request) {
    wire_put_int64(out, 1, request->revision);
    wire_put_bool(out, 2, request->physical);
}

static inline void encode_compare(struct buffer *out, const struct compare *compare) {
    wire_put_int64(out, 1, compare->result);
    wire_put_int64(out, 2, compare->target);
    wire_put_bytes(out, 3, compare->key);
    if (compare->operand == 7)
        wire_put_bytes_always(out, 7, compare->value);
    else if (compare->operand != 0)
        wire_put_uint64_always(out, compare->operand, (uint64_t)compare->number);
    wire_put_bytes(out, 64, compare->range_end);
}

/* LeaseGrantRequest; of LeaseRevoke, KeepAlive and TimeToLive: id and keys. */
static inline void encode_lease_grant(struct buffer *out, int64_t id, int64_t ttl) {
    wire_put_int64(out, 1, ttl);
    wire_put_int64(out, 2, id);
}

static inline void encode_lease(struct buffer *out, int64_t id, bool keys) {
    wire_put_int64(out, 1, id);
    wire_put_bool(out, 2, keys);
}

/* One more element of a LeaseCheckpointRequest. */
static inline void encode_lease_checkpoint(struct buffer *out, int64_t id, int64_t remaining) {
    size_t message = wire_begin_message(out, 1);
    wire_put_int64(out, 1, id);
    wire_put_int64(out, 2, remaining);
    wire_end_message(out, message);
}

#endif
