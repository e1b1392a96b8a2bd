/* request: see request.h. One decoder a message; the last value of a repeated scalar wins, as in protobuf. */
#include "common/request.h"

#include "common/request_fields.h"

static bool range_request_field(const struct wire_field *field, struct range_request *out) {
    switch (field->number) {
    case 1:
        return as_bytes(field, &out->key);
    case 2:
        return as_bytes(field, &out->range_end);
    case 3:
        return as_int64(field, &out->limit);
    case 4:
        return as_int64(field, &out->revision);
    case 5:
        return as_enum(field, &out->sort_order);
    case 6:
        return as_enum(field, &out->sort_target);
    case 7:
        return as_bool(field, &out->serializable);
    case 8:
        return as_bool(field, &out->keys_only);
    case 9:
        return as_bool(field, &out->count_only);
    case 10:
        return as_int64(field, &out->min_mod_revision);
    case 11:
        return as_int64(field, &out->max_mod_revision);
    case 12:
        return as_int64(field, &out->min_create_revision);
    case 13:
        return as_int64(field, &out->max_create_revision);
    default:
        return true;
    }
}

bool range_request_decode(struct bytes message, struct range_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct range_request){0};
    while (wire_next(&reader, &field)) {
        if (!range_request_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

static bool put_request_field(const struct wire_field *field, struct put_request *out) {
    switch (field->number) {
    case 1:
        return as_bytes(field, &out->key);
    case 2:
        return as_bytes(field, &out->value);
    case 3:
        return as_int64(field, &out->lease);
    case 4:
        return as_bool(field, &out->prev_kv);
    case 5:
        return as_bool(field, &out->ignore_value);
    case 6:
        return as_bool(field, &out->ignore_lease);
    default:
        return true;
    }
}

bool put_request_decode(struct bytes message, struct put_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct put_request){0};
    while (wire_next(&reader, &field)) {
        if (!put_request_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

static bool delete_range_request_field(const struct wire_field *field, struct delete_range_request *out) {
    switch (field->number) {
    case 1:
        return as_bytes(field, &out->key);
    case 2:
        return as_bytes(field, &out->range_end);
    case 3:
        return as_bool(field, &out->prev_kv);
    default:
        return true;
    }
}

bool delete_range_request_decode(struct bytes message, struct delete_range_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct delete_range_request){0};
    while (wire_next(&reader, &field)) {
        if (!delete_range_request_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

static bool compaction_request_field(const struct wire_field *field, struct compaction_request *out) {
    switch (field->number) {
    case 1:
        return as_int64(field, &out->revision);
    case 2:
        return as_bool(field, &out->physical);
    default:
        return true;
    }
}

bool compaction_request_decode(struct bytes message, struct compaction_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct compaction_request){0};
    while (wire_next(&reader, &field)) {
        if (!compaction_request_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

static bool alarm_request_field(const struct wire_field *field, struct alarm_request *out) {
    switch (field->number) {
    case 1:
        return as_enum(field, &out->action);
    case 2:
        return as_uint64(field, &out->member_id);
    case 3:
        return as_enum(field, &out->alarm);
    default:
        return true;
    }
}

bool alarm_request_decode(struct bytes message, struct alarm_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct alarm_request){0};
    while (wire_next(&reader, &field)) {
        if (!alarm_request_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

static bool compare_field(const struct wire_field *field, struct compare *out) {
    switch (field->number) {
    case 1:
        return as_enum(field, &out->result);
    case 2:
        return as_enum(field, &out->target);
    case 3:
        return as_bytes(field, &out->key);
    case 64:
        return as_bytes(field, &out->range_end);
    case 4:
    case 5:
    case 6:
    case 8:
        out->operand = field->number;
        return as_int64(field, &out->number);
    case 7:
        out->operand = field->number;
        return as_bytes(field, &out->value);
    default:
        return true;
    }
}

bool compare_decode(struct bytes message, struct compare *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct compare){0};
    while (wire_next(&reader, &field)) {
        if (!compare_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

bool request_op_decode(struct bytes message, struct request_op *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct request_op){0};
    while (wire_next(&reader, &field)) {
        if (field.number < OP_RANGE || field.number > OP_TXN)
            continue;
        if (!as_bytes(&field, &out->body))
            return false;
        out->kind = (enum request_op_kind)field.number;
    }
    return !reader.malformed;
}

bool txn_count(struct bytes message, size_t counts[4]) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    memset(counts, 0, 4 * sizeof *counts);
    while (wire_next(&reader, &field)) {
        if (field.number < TXN_COMPARE || field.number > TXN_FAILURE)
            continue;
        if (field.type != WIRE_BYTES)
            return false;
        counts[field.number]++;
    }
    return !reader.malformed;
}

bool txn_next(struct wire_reader *reader, enum txn_part part, struct bytes *element) {
    struct wire_field field;
    while (wire_next(reader, &field)) {
        if (field.number == (uint32_t)part && field.type == WIRE_BYTES) {
            *element = field.bytes;
            return true;
        }
    }
    return false;
}

/* RequestHeader: ID=1, username=2, auth_revision=3. */
static bool internal_header_decode(struct bytes message, struct internal_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        bool known = true;
        if (field.number == 1)
            known = as_uint64(&field, &out->id);
        else if (field.number == 2)
            known = as_bytes(&field, &out->username);
        else if (field.number == 3)
            known = as_uint64(&field, &out->auth_revision);
        if (!known)
            return false;
    }
    return !reader.malformed;
}

bool internal_request_decode(struct bytes entry, struct internal_request *out) {
    struct wire_reader reader = wire_reader_of(entry);
    struct wire_field field;
    *out = (struct internal_request){0};
    while (wire_next(&reader, &field)) {
        if (field.number == INTERNAL_HEADER) {
            if (field.type != WIRE_BYTES || !internal_header_decode(field.bytes, out))
                return false;
        } else if (field.number > 1 && field.type == WIRE_BYTES) {
            out->number = field.number;
            out->body = field.bytes;
        }
    }
    return !reader.malformed;
}

void internal_request_encode(struct buffer *out, const struct internal_request *request) {
    buffer_reserve(out, internal_request_size(request));
    wire_put_bytes_always(out, request->number, request->body);
    size_t header = wire_begin_message(out, INTERNAL_HEADER);
    wire_put_uint64(out, 1, request->id);
    wire_put_bytes(out, 2, request->username);
    wire_put_uint64(out, 3, request->auth_revision);
    wire_end_message(out, header);
}

size_t internal_request_size(const struct internal_request *request) {
    return request->body.length + request->username.length + 64;
}

bool interval_contains(struct bytes key, struct bytes range_end, struct bytes probe) {
    if (range_end.length == 0)
        return bytes_equal(key, probe);
    if (bytes_compare(probe, key) < 0)
        return false;
    bool open_end = range_end.length == 1 && range_end.data[0] == 0;
    return open_end || bytes_compare(probe, range_end) < 0;
}
