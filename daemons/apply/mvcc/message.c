/* message: see message.h. A KeyValue is the bulk of every answer, so it is sized first and stored in one go.
 */
#include "apply/mvcc/message.h"

#include "common/wire.h"

enum {
    KV_KEY = 1,
    KV_CREATE = 2,
    KV_MODIFIED = 3,
    KV_VERSION = 4,
    KV_VALUE = 5,
    KV_LEASE = 6,
    HEADER = 1,
    REVISION = 3
};

static size_t number_size(int64_t value) {
    return value == 0 ? 0 : 1 + wire_varint_size((uint64_t)value);
}

static size_t bytes_size(struct bytes value) {
    return value.length == 0 ? 0 : 1 + wire_varint_size(value.length) + value.length;
}

static size_t inner_size(struct bytes key, const struct record *record, bool keys_only) {
    return bytes_size(key) + number_size(record->create) + number_size(record->modified.main) +
           number_size(record->version) + (keys_only ? 0 : bytes_size(record->value)) +
           number_size(record->lease);
}

size_t message_key_value_size(struct bytes key, const struct record *record, bool keys_only) {
    size_t inner = inner_size(key, record, keys_only);
    return 1 + wire_varint_size(inner) + inner;
}

static uint8_t *store_varint(uint8_t *place, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *place++ = (uint8_t)(value | 0x80);
    *place++ = (uint8_t)value;
    return place;
}

static uint8_t *store_number(uint8_t *place, uint8_t number, int64_t value) {
    if (value == 0)
        return place;
    *place++ = (uint8_t)(number << 3 | WIRE_VARINT);
    return store_varint(place, (uint64_t)value);
}

static uint8_t *store_bytes(uint8_t *place, uint8_t number, struct bytes value) {
    if (value.length == 0)
        return place;
    *place++ = (uint8_t)(number << 3 | WIRE_BYTES);
    place = store_varint(place, value.length);
    memcpy(place, value.data, value.length);
    return place + value.length;
}

void message_put_key_value(struct buffer *out, uint32_t number, struct bytes key, const struct record *record,
                           bool keys_only) {
    size_t inner = inner_size(key, record, keys_only);
    uint8_t *place = buffer_reserve(out, inner + 16);
    uint8_t *begin = place;
    place = store_varint(place, (uint64_t)number << 3 | WIRE_BYTES);
    place = store_varint(place, inner);
    place = store_bytes(place, KV_KEY, key);
    place = store_number(place, KV_CREATE, record->create);
    place = store_number(place, KV_MODIFIED, record->modified.main);
    place = store_number(place, KV_VERSION, record->version);
    if (!keys_only)
        place = store_bytes(place, KV_VALUE, record->value);
    place = store_number(place, KV_LEASE, record->lease);
    out->length += (size_t)(place - begin);
}

void message_put_inner_header(struct buffer *out, int64_t revision) {
    size_t header = wire_begin_message(out, HEADER);
    wire_put_int64(out, REVISION, revision);
    wire_end_message(out, header);
}
