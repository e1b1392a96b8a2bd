/* wire: see wire.h. Malformed input can only make a reader stop; it can never read past its end. */
#include "common/wire.h"

struct wire_reader wire_reader_of(struct bytes message) {
    if (message.length == 0)
        return (struct wire_reader){0};
    return (struct wire_reader){.cursor = message.data, .end = message.data + message.length};
}

static bool stop(struct wire_reader *reader) {
    reader->malformed = true;
    reader->cursor = reader->end;
    return false;
}

static bool read_long_varint(struct wire_reader *reader, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70 && reader->cursor < reader->end; shift += 7) {
        uint8_t byte = *reader->cursor++;
        if (shift == 63 && byte > 1)
            return false;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

/* Nearly every tag and most lengths are one byte long. */
static inline bool read_varint(struct wire_reader *reader, uint64_t *value) {
    if (reader->cursor < reader->end && *reader->cursor < 0x80) {
        *value = *reader->cursor++;
        return true;
    }
    return read_long_varint(reader, value);
}

static bool read_fixed(struct wire_reader *reader, size_t size, uint64_t *value) {
    if ((size_t)(reader->end - reader->cursor) < size)
        return false;
    uint64_t result = 0;
    for (size_t i = 0; i < size; i++)
        result |= (uint64_t)reader->cursor[i] << (8 * i);
    reader->cursor += size;
    *value = result;
    return true;
}

static bool read_bytes(struct wire_reader *reader, struct bytes *bytes) {
    uint64_t length = 0;
    if (!read_varint(reader, &length) || length > (uint64_t)(reader->end - reader->cursor))
        return false;
    *bytes = bytes_of(reader->cursor, (size_t)length);
    reader->cursor += length;
    return true;
}

bool wire_next(struct wire_reader *reader, struct wire_field *field) {
    if (reader->cursor >= reader->end)
        return false;
    uint64_t tag = 0;
    if (!read_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return stop(reader);
    *field = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    bool read = false;
    switch (tag & 7) {
    case WIRE_VARINT:
        read = read_varint(reader, &field->value);
        break;
    case WIRE_FIXED64:
        read = read_fixed(reader, 8, &field->value);
        break;
    case WIRE_BYTES:
        read = read_bytes(reader, &field->bytes);
        break;
    case WIRE_FIXED32:
        read = read_fixed(reader, 4, &field->value);
        break;
    default: /* groups: no etcd message has them */
        break;
    }
    return read || stop(reader);
}

size_t wire_varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static uint8_t *store_varint(uint8_t *place, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *place++ = (uint8_t)(value | 0x80);
    *place++ = (uint8_t)value;
    return place;
}

void wire_put_varint(struct buffer *buffer, uint64_t value) {
    uint8_t *place = buffer_reserve(buffer, 10);
    buffer->length += (size_t)(store_varint(place, value) - place);
}

static void put_tag(struct buffer *buffer, uint32_t number, enum wire_type type) {
    wire_put_varint(buffer, (uint64_t)number << 3 | (uint64_t)type);
}

void wire_put_uint64_always(struct buffer *buffer, uint32_t number, uint64_t value) {
    put_tag(buffer, number, WIRE_VARINT);
    wire_put_varint(buffer, value);
}

void wire_put_uint64(struct buffer *buffer, uint32_t number, uint64_t value) {
    if (value != 0)
        wire_put_uint64_always(buffer, number, value);
}

void wire_put_int64(struct buffer *buffer, uint32_t number, int64_t value) {
    wire_put_uint64(buffer, number, (uint64_t)value);
}

void wire_put_bool(struct buffer *buffer, uint32_t number, bool value) {
    wire_put_uint64(buffer, number, value ? 1 : 0);
}

void wire_put_message_head(struct buffer *buffer, uint32_t number, size_t length) {
    put_tag(buffer, number, WIRE_BYTES);
    wire_put_varint(buffer, length);
}

void wire_put_bytes_always(struct buffer *buffer, uint32_t number, struct bytes value) {
    wire_put_message_head(buffer, number, value.length);
    buffer_append_bytes(buffer, value);
}

void wire_put_bytes(struct buffer *buffer, uint32_t number, struct bytes value) {
    if (value.length != 0)
        wire_put_bytes_always(buffer, number, value);
}

size_t wire_begin_message(struct buffer *buffer, uint32_t number) {
    put_tag(buffer, number, WIRE_BYTES);
    buffer_append_byte(buffer, 0);
    return buffer->length;
}

void wire_end_message(struct buffer *buffer, size_t mark) {
    REQUIRE(mark >= 1 && mark <= buffer->length);
    size_t length = buffer->length - mark;
    size_t prefix = wire_varint_size(length);
    if (prefix > 1) {
        buffer_reserve(buffer, prefix - 1);
        memmove(buffer->data + mark + prefix - 1, buffer->data + mark, length);
        buffer->length += prefix - 1;
    }
    store_varint(buffer->data + mark - 1, length);
}
