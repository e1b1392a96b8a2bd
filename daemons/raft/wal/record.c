/*
 * record: see record.h. Encoding copies an entry's data once and allocates nothing beyond the buffer's
 * growth; decoding borrows. Everything is written as etcd's marshaller writes it: required fields even when
 * zero, in ascending order.
 */
#include "raft/wal/record.h"

#include "common/crc32c.h"
#include "common/wire.h"

enum {
    MARK_DATA = 28,
    HEAD_BYTES = 48, /* room for the fields that stand before an entry's data */
};

static uint8_t *store_varint(uint8_t *place, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *place++ = (uint8_t)(value | 0x80);
    *place++ = (uint8_t)value;
    return place;
}

static uint8_t *store_number(uint8_t *place, uint32_t field, uint64_t value) {
    *place++ = (uint8_t)(field << 3 | WIRE_VARINT);
    return store_varint(place, value);
}

static uint8_t *store_length(uint8_t *place, uint32_t field, size_t length) {
    *place++ = (uint8_t)(field << 3 | WIRE_BYTES);
    return store_varint(place, length);
}

static void store_u64(uint8_t *place, uint64_t value) {
    for (unsigned i = 0; i < 8; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static void store_u32(uint8_t *place, uint32_t value) {
    for (unsigned i = 0; i < 4; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load(const uint8_t *place, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)place[i] << (8 * i);
    return value;
}

/* The record's fields 1 and 2 and the head of field 3. Returns the end. */
static uint8_t *store_record_head(uint8_t *place, enum wal_record_type type, uint32_t crc, size_t data) {
    place = store_number(place, 1, type);
    place = store_number(place, 2, crc);
    return store_length(place, 3, data);
}

static uint64_t frame_field(size_t record) {
    size_t padding = (8 - record % 8) % 8;
    return (uint64_t)record | (padding != 0 ? (uint64_t)(0x80 | padding) << 56 : 0);
}

/* Data comes in two parts so that an entry's payload is copied only here. */
static void put_record(struct buffer *buffer, uint32_t *crc, enum wal_record_type type, struct bytes first,
                       struct bytes second) {
    *crc = crc32c_update(*crc, first.data, first.length);
    *crc = crc32c_update(*crc, second.data, second.length);
    uint8_t head[HEAD_BYTES];
    size_t data = first.length + second.length;
    size_t head_length = (size_t)(store_record_head(head, type, *crc, data) - head);
    size_t record = head_length + data;
    size_t padding = (8 - record % 8) % 8;

    uint8_t *place = buffer_reserve(buffer, WAL_FRAME_FIELD + record + padding);
    store_u64(place, frame_field(record));
    place += WAL_FRAME_FIELD;
    memcpy(place, head, head_length);
    place += head_length;
    if (first.length != 0)
        memcpy(place, first.data, first.length);
    place += first.length;
    if (second.length != 0)
        memcpy(place, second.data, second.length);
    memset(place + second.length, 0, padding);
    buffer->length += WAL_FRAME_FIELD + record + padding;
}

void wal_put_entry(struct buffer *buffer, uint32_t *crc, const struct wal_entry *entry) {
    uint8_t head[HEAD_BYTES];
    uint8_t *end = store_number(head, 1, entry->type);
    end = store_number(end, 2, entry->term);
    end = store_number(end, 3, entry->index);
    if (entry->data.length != 0)
        end = store_length(end, 4, entry->data.length);
    put_record(buffer, crc, WAL_RECORD_ENTRY, bytes_of(head, (size_t)(end - head)), entry->data);
}

void wal_put_state(struct buffer *buffer, uint32_t *crc, const struct wal_hard_state *state) {
    uint8_t data[HEAD_BYTES];
    uint8_t *end = store_number(data, 1, state->term);
    end = store_number(end, 2, state->vote);
    end = store_number(end, 3, state->commit);
    put_record(buffer, crc, WAL_RECORD_STATE, bytes_of(data, (size_t)(end - data)), (struct bytes){0});
}

void wal_put_snapshot(struct buffer *buffer, uint32_t *crc, const struct wal_snapshot *snapshot) {
    uint8_t head[HEAD_BYTES];
    uint8_t *end = store_number(head, 1, snapshot->index);
    end = store_number(end, 2, snapshot->term);
    if (snapshot->conf_state.length != 0)
        end = store_length(end, 3, snapshot->conf_state.length);
    put_record(buffer, crc, WAL_RECORD_SNAPSHOT, bytes_of(head, (size_t)(end - head)), snapshot->conf_state);
}

void wal_put_metadata(struct buffer *buffer, uint32_t *crc, const struct wal_metadata *metadata) {
    uint8_t data[HEAD_BYTES];
    uint8_t *end = store_number(data, 1, metadata->node);
    end = store_number(end, 2, metadata->cluster);
    put_record(buffer, crc, WAL_RECORD_METADATA, bytes_of(data, (size_t)(end - data)), (struct bytes){0});
}

static uint32_t mark_checksum(const uint8_t *data, uint32_t crc) {
    uint8_t chain[4];
    store_u32(chain, crc);
    return crc32c_update(crc32c_update(0, data, MARK_DATA - 4), chain, sizeof chain);
}

void wal_store_mark(uint8_t place[WAL_MARK_BYTES], uint32_t crc, const struct wal_mark *mark) {
    REQUIRE(mark->length < 1U << 31);
    uint8_t data[MARK_DATA];
    store_u64(data, mark->nonce);
    store_u64(data + 8, mark->offset);
    store_u32(data + 16, mark->length | (mark->unproven ? 1U << 31 : 0));
    store_u32(data + 20, mark->previous);
    store_u32(data + 24, mark_checksum(data, crc));

    memset(place, 0, WAL_MARK_BYTES);
    uint8_t *end = store_record_head(place + WAL_FRAME_FIELD, WAL_RECORD_CRC, crc, MARK_DATA);
    memcpy(end, data, MARK_DATA);
    store_u64(place, frame_field((size_t)(end - place) - WAL_FRAME_FIELD + MARK_DATA));
}

bool wal_frame_lengths(const uint8_t field[WAL_FRAME_FIELD], size_t *record, size_t *padding) {
    uint64_t value = load(field, 8);
    *record = (size_t)(value & 0x00ffffffffffffffU);
    *padding = (8 - *record % 8) % 8;
    return *record != 0 && *record <= WAL_RECORD_LIMIT && value == frame_field(*record);
}

bool wal_record_decode(struct bytes bytes, struct wal_record *record) {
    struct wire_reader reader = wire_reader_of(bytes);
    struct wire_field field;
    if (!wire_next(&reader, &field) || field.number != 1 || field.type != WIRE_VARINT)
        return false;
    if (field.value < WAL_RECORD_METADATA || field.value > WAL_RECORD_SNAPSHOT)
        return false;
    *record = (struct wal_record){.type = (enum wal_record_type)field.value};
    if (!wire_next(&reader, &field) || field.number != 2 || field.type != WIRE_VARINT ||
        field.value > UINT32_MAX)
        return false;
    record->crc = (uint32_t)field.value;
    if (wire_next(&reader, &field)) {
        if (field.number != 3 || field.type != WIRE_BYTES)
            return false;
        record->data = field.bytes;
    }
    return !reader.malformed && reader.cursor == reader.end;
}

bool wal_mark_decode(const struct wal_record *record, struct wal_mark *mark) {
    const uint8_t *data = record->data.data;
    if (record->type != WAL_RECORD_CRC || record->data.length != MARK_DATA ||
        load(data + 24, 4) != mark_checksum(data, record->crc))
        return false;
    uint32_t length = (uint32_t)load(data + 16, 4);
    *mark = (struct wal_mark){.nonce = load(data, 8),
                              .offset = load(data + 8, 8),
                              .length = length & ~(1U << 31),
                              .previous = (uint32_t)load(data + 20, 4),
                              .unproven = length >> 31 != 0};
    return true;
}

bool wal_entry_decode(struct bytes data, struct wal_entry *entry) {
    struct wire_reader reader = wire_reader_of(data);
    struct wire_field field;
    *entry = (struct wal_entry){0};
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && field.type == WIRE_VARINT && field.value <= UINT16_MAX)
            entry->type = (uint16_t)field.value;
        else if (field.number == 2 && field.type == WIRE_VARINT)
            entry->term = field.value;
        else if (field.number == 3 && field.type == WIRE_VARINT)
            entry->index = field.value;
        else if (field.number == 4 && field.type == WIRE_BYTES)
            entry->data = field.bytes;
        else
            return false;
    }
    return !reader.malformed && entry->index != 0;
}

/* Up to three numbers, fields 1 to `count`; other fields are refused. */
static bool decode_numbers(struct bytes data, uint64_t *values, uint32_t count) {
    struct wire_reader reader = wire_reader_of(data);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number > count || field.type != WIRE_VARINT)
            return false;
        values[field.number - 1] = field.value;
    }
    return !reader.malformed;
}

bool wal_state_decode(struct bytes data, struct wal_hard_state *state) {
    uint64_t values[3] = {0};
    bool decoded = decode_numbers(data, values, 3);
    *state = (struct wal_hard_state){.term = values[0], .vote = values[1], .commit = values[2]};
    return decoded;
}

bool wal_metadata_decode(struct bytes data, struct wal_metadata *metadata) {
    uint64_t values[2] = {0};
    bool decoded = decode_numbers(data, values, 2);
    *metadata = (struct wal_metadata){.node = values[0], .cluster = values[1]};
    return decoded;
}

bool wal_snapshot_decode(struct bytes data, struct wal_snapshot *snapshot) {
    struct wire_reader reader = wire_reader_of(data);
    struct wire_field field;
    *snapshot = (struct wal_snapshot){0};
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && field.type == WIRE_VARINT)
            snapshot->index = field.value;
        else if (field.number == 2 && field.type == WIRE_VARINT)
            snapshot->term = field.value;
        else if (field.number == 3 && field.type == WIRE_BYTES)
            snapshot->conf_state = field.bytes;
        else
            return false;
    }
    return !reader.malformed;
}
