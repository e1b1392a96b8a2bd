/* request_watch: WatchRequest and the Lease requests decoded in place; see request.h. */
#include "common/request.h"

#include "common/request_fields.h"

bool watch_request_decode(struct bytes message, struct watch_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct watch_request){0};
    while (wire_next(&reader, &field)) {
        if (field.number < WATCH_CREATE || field.number > WATCH_PROGRESS)
            continue;
        if (!as_bytes(&field, &out->body))
            return false;
        out->kind = (enum watch_request_kind)field.number;
    }
    return !reader.malformed;
}

static void add_filter(uint64_t filter, unsigned *filters) {
    if (filter < 2)
        *filters |= filter == 0 ? WATCH_NO_PUT : WATCH_NO_DELETE;
}

/* Repeated enums come packed or one by one. */
static bool as_filters(const struct wire_field *field, unsigned *filters) {
    if (field->type == WIRE_VARINT) {
        add_filter(field->value, filters);
        return true;
    }
    uint64_t value = 0;
    unsigned shift = 0;
    for (size_t i = 0; i < field->bytes.length; i++) {
        uint8_t byte = field->bytes.data[i];
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
        if ((byte & 0x80) != 0)
            continue;
        add_filter(value, filters);
        value = 0;
        shift = 0;
    }
    return field->type == WIRE_BYTES && shift == 0;
}

static bool watch_create_field(const struct wire_field *field, struct watch_create_request *out) {
    switch (field->number) {
    case 1:
        return as_bytes(field, &out->key);
    case 2:
        return as_bytes(field, &out->range_end);
    case 3:
        return as_int64(field, &out->start_revision);
    case 4:
        return as_bool(field, &out->progress_notify);
    case 5:
        return as_filters(field, &out->filters);
    case 6:
        return as_bool(field, &out->prev_kv);
    case 7:
        return as_int64(field, &out->watch_id);
    case 8:
        return as_bool(field, &out->fragment);
    default:
        return true;
    }
}

bool watch_create_request_decode(struct bytes message, struct watch_create_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct watch_create_request){0};
    while (wire_next(&reader, &field)) {
        if (!watch_create_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

bool watch_cancel_request_decode(struct bytes message, int64_t *watch_id) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *watch_id = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && !as_int64(&field, watch_id))
            return false;
    }
    return !reader.malformed;
}

bool lease_grant_request_decode(struct bytes message, struct lease_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct lease_request){0};
    while (wire_next(&reader, &field)) {
        if ((field.number == 1 && !as_int64(&field, &out->ttl)) ||
            (field.number == 2 && !as_int64(&field, &out->id)))
            return false;
    }
    return !reader.malformed;
}

bool lease_request_decode(struct bytes message, struct lease_request *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct lease_request){0};
    while (wire_next(&reader, &field)) {
        if ((field.number == 1 && !as_int64(&field, &out->id)) ||
            (field.number == 2 && !as_bool(&field, &out->keys)) ||
            (field.number == LEASE_REQUEST_GRANT && !as_uint64(&field, &out->grant)))
            return false;
    }
    return !reader.malformed;
}

static bool lease_checkpoint_decode(struct bytes message, struct lease_checkpoint *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct lease_checkpoint){0};
    while (wire_next(&reader, &field)) {
        if ((field.number == 1 && !as_int64(&field, &out->id)) ||
            (field.number == 2 && !as_int64(&field, &out->remaining)) ||
            (field.number == LEASE_REQUEST_GRANT && !as_uint64(&field, &out->grant)))
            return false;
    }
    return !reader.malformed;
}

bool lease_checkpoint_next(struct wire_reader *reader, struct lease_checkpoint *out) {
    struct wire_field field;
    while (wire_next(reader, &field)) {
        if (field.number != 1)
            continue;
        if (field.type == WIRE_BYTES && lease_checkpoint_decode(field.bytes, out))
            return true;
        reader->malformed = true;
        return false;
    }
    return false;
}
