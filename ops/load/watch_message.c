/* watch_message: see watch_message.h. Field numbers: etcd's rpc.proto and kv.proto. */
#include "ops/load/watch_message.h"

enum {
    REQUEST_CREATE = 1,
    REQUEST_CANCEL = 2,
    REQUEST_PROGRESS = 3,
    CREATE_KEY = 1,
    CREATE_RANGE_END = 2,
    CREATE_START = 3,
    CREATE_FILTERS = 5,
    CREATE_PREVIOUS = 6,
    CANCEL_ID = 1,
    FILTER_NO_PUT = 0,
    FILTER_NO_DELETE = 1,
    RESPONSE_EVENTS = 11,
};

void watch_put_create(struct buffer *out, const struct watch_create *create) {
    size_t mark = wire_begin_message(out, REQUEST_CREATE);
    wire_put_bytes(out, CREATE_KEY, create->key);
    wire_put_bytes(out, CREATE_RANGE_END, create->range_end);
    wire_put_int64(out, CREATE_START, create->start_revision);
    if (create->no_put)
        wire_put_uint64_always(out, CREATE_FILTERS, FILTER_NO_PUT);
    if (create->no_delete)
        wire_put_uint64_always(out, CREATE_FILTERS, FILTER_NO_DELETE);
    wire_put_bool(out, CREATE_PREVIOUS, create->previous);
    wire_end_message(out, mark);
}

void watch_put_cancel(struct buffer *out, int64_t id) {
    size_t mark = wire_begin_message(out, REQUEST_CANCEL);
    wire_put_int64(out, CANCEL_ID, id);
    wire_end_message(out, mark);
}

void watch_put_progress(struct buffer *out) {
    wire_put_bytes_always(out, REQUEST_PROGRESS, (struct bytes){0});
}

int64_t header_revision(struct bytes header) {
    struct wire_reader reader = wire_reader_of(header);
    struct wire_field field;
    int64_t revision = 0;
    while (wire_next(&reader, &field))
        if (field.number == 3)
            revision = (int64_t)field.value;
    return revision;
}

bool watch_response_parse(struct bytes message, struct watch_response *out) {
    *out = (struct watch_response){.rest = wire_reader_of(message)};
    struct wire_reader reader = out->rest;
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        switch (field.number) {
        case 1:
            out->revision = header_revision(field.bytes);
            break;
        case 2:
            out->id = (int64_t)field.value;
            break;
        case 3:
            out->created = field.value != 0;
            break;
        case 4:
            out->canceled = field.value != 0;
            break;
        case 5:
            out->compact_revision = (int64_t)field.value;
            break;
        case 6:
            out->cancel_reason = field.bytes;
            break;
        case 7:
            out->fragment = field.value != 0;
            break;
        case RESPONSE_EVENTS:
            out->events++;
            break;
        default:
            break;
        }
    }
    return !reader.malformed;
}

bool key_value_parse(struct bytes message, struct watch_key_value *out) {
    *out = (struct watch_key_value){0};
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        switch (field.number) {
        case 1:
            out->key = field.bytes;
            break;
        case 2:
            out->created = (int64_t)field.value;
            break;
        case 3:
            out->modified = (int64_t)field.value;
            break;
        case 4:
            out->version = (int64_t)field.value;
            break;
        case 5:
            out->value = field.bytes;
            break;
        case 6:
            out->lease = (int64_t)field.value;
            break;
        default:
            break;
        }
    }
    return !reader.malformed;
}

static void parse_event(struct bytes message, struct watch_event *out) {
    out->deleted = out->has_previous = false;
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 1) {
            out->deleted = field.value != 0;
        } else if (field.number == 2) {
            key_value_parse(field.bytes, &out->now);
        } else if (field.number == 3) {
            out->has_previous = true;
            key_value_parse(field.bytes, &out->previous);
        }
    }
}

bool watch_event_next(struct watch_response *response, struct watch_event *out) {
    struct wire_field field;
    while (wire_next(&response->rest, &field)) {
        if (field.number == RESPONSE_EVENTS) {
            parse_event(field.bytes, out);
            return true;
        }
    }
    return false;
}
