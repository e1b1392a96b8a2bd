/* response_text: etcd's KV responses as the texts that reference.c writes. Unknown fields make it fail. */
#include <inttypes.h>

#include "common/request.h"
#include "common/wire.h"
#include "kv.h"
#include "reference.h"

static bool kv_text_of(struct bytes message, struct buffer *out) {
    struct kv kv;
    bool fine = kv_decode(message, &kv);
    kv_text(out, &kv);
    return fine;
}

/* ResponseHeader of an answer inside a transaction: the revision alone, or nothing. */
static bool header_of(struct bytes message, uint64_t *revision) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number != 3)
            return false;
        *revision = field.value;
    }
    return !reader.malformed;
}

/* kvs in field `kvs`, the two numbers where the message has them; 0: it has none. */
struct shape {
    uint32_t kvs, count, more;
};

static bool walk(struct bytes message, const struct shape *shape, struct buffer *kvs, uint64_t numbers[2],
                 uint64_t *revision) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        bool fine = true;
        if (field.number == 1)
            fine = header_of(field.bytes, revision);
        else if (field.number == shape->kvs)
            fine = kv_text_of(field.bytes, kvs);
        else if (field.number == shape->count)
            numbers[0] = field.value;
        else if (field.number == shape->more)
            numbers[1] = field.value;
        else
            fine = false;
        if (!fine)
            return false;
    }
    return !reader.malformed;
}

static bool plain_text(uint16_t method, struct bytes body, struct buffer *out, uint64_t *revision) {
    static const struct shape range = {.kvs = 2, .more = 3, .count = 4};
    static const struct shape put = {.kvs = 2, .more = UINT32_MAX, .count = UINT32_MAX};
    static const struct shape delete = {.kvs = 3, .more = UINT32_MAX, .count = 2};
    struct buffer kvs = {0};
    uint64_t numbers[2] = {0};
    const struct shape *shape = method == METHOD_RANGE ? &range : method == METHOD_PUT ? &put : &delete;
    bool fine = walk(body, shape, &kvs, numbers, revision);
    if (method == METHOD_RANGE)
        buffer_printf(out, "range count=%" PRIu64 " more=%d ", numbers[0], (int)numbers[1]);
    else if (method == METHOD_PUT)
        buffer_printf(out, "put ");
    else
        buffer_printf(out, "delete deleted=%" PRIu64 " ", numbers[0]);
    buffer_append_bytes(out, buffer_bytes(&kvs));
    buffer_free(&kvs);
    return fine;
}

static bool txn_text(struct bytes body, struct buffer *out);

static bool op_text(struct bytes message, struct buffer *out) {
    static const uint16_t methods[] = {METHOD_NONE, METHOD_RANGE, METHOD_PUT, METHOD_DELETE_RANGE};
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    if (!wire_next(&reader, &field) || field.number < 1 || field.number > 4)
        return false;
    if (field.number == 4)
        return txn_text(field.bytes, out);
    uint64_t revision = 0;
    bool fine = plain_text(methods[field.number], field.bytes, out, &revision);
    buffer_printf(out, "@%" PRIu64, revision);
    return fine;
}

static bool txn_text(struct bytes body, struct buffer *out) {
    struct buffer answers = {0};
    uint64_t succeeded = 0;
    bool fine = true;
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    while (fine && wire_next(&reader, &field)) {
        if (field.number == 2)
            succeeded = field.value;
        else if (field.number == 3) {
            fine = op_text(field.bytes, &answers);
            buffer_printf(&answers, ";");
        } else
            fine = field.number == 1 && field.bytes.length == 0;
    }
    buffer_printf(out, "txn succeeded=%d [", (int)succeeded);
    buffer_append_bytes(out, buffer_bytes(&answers));
    buffer_printf(out, "]");
    buffer_free(&answers);
    return fine && !reader.malformed;
}

static bool grant_text(struct bytes body, struct buffer *out) {
    int64_t numbers[4] = {0};
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number != 2 && field.number != 3)
            return false;
        numbers[field.number] = (int64_t)field.value;
    }
    buffer_printf(out, "grant %" PRId64 " ttl %" PRId64, numbers[2], numbers[3]);
    return !reader.malformed;
}

bool response_text(uint16_t method, struct bytes body, struct buffer *out) {
    uint64_t revision = 0;
    if (method == METHOD_RANGE_STREAM)
        method = METHOD_RANGE;
    if (method == METHOD_TXN)
        return txn_text(body, out);
    if (method == METHOD_COMPACT || method == METHOD_LEASE_REVOKE) {
        buffer_printf(out, method == METHOD_COMPACT ? "compact " : "revoke");
        return body.length == 0;
    }
    if (method == METHOD_LEASE_GRANT)
        return grant_text(body, out);
    return plain_text(method, body, out, &revision);
}
