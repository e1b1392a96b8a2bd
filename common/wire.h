/*
 * wire: the protobuf wire format, read in place and written into a buffer.
 *
 * The hot path (requests, entries, responses) goes through here instead of protobuf-c: fields are borrowed
 * slices of the received bytes, nothing is allocated, and there is no recursion that a hostile message could
 * drive. protobuf-c is the oracle in the unit tests and serves the messages that are not hot.
 */
#ifndef QUORATE_COMMON_WIRE_H
#define QUORATE_COMMON_WIRE_H

#include "common/bytes.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* varint, fixed64, fixed32 */
    struct bytes bytes; /* WIRE_BYTES: borrowed from the message */
};

struct wire_reader {
    const uint8_t *cursor;
    const uint8_t *end;
    bool malformed; /* set once a field could not be read; the reader then stays at its end */
};

struct wire_reader wire_reader_of(struct bytes message);
/* Reads the next field. False at the end of the message or when it is malformed: check `malformed` after. */
bool wire_next(struct wire_reader *reader, struct wire_field *field);

void wire_put_varint(struct buffer *buffer, uint64_t value);
/* proto3 scalars: a zero value is not written. */
void wire_put_uint64(struct buffer *buffer, uint32_t number, uint64_t value);
void wire_put_int64(struct buffer *buffer, uint32_t number, int64_t value);
void wire_put_bool(struct buffer *buffer, uint32_t number, bool value);
/* proto3 bytes or string: empty is not written. */
void wire_put_bytes(struct buffer *buffer, uint32_t number, struct bytes value);
/* Writes even a zero or empty value (oneof members, proto2 required fields). */
void wire_put_uint64_always(struct buffer *buffer, uint32_t number, uint64_t value);
void wire_put_bytes_always(struct buffer *buffer, uint32_t number, struct bytes value);
/* The tag and length of a sub-message whose encoded size is known; its fields follow. */
void wire_put_message_head(struct buffer *buffer, uint32_t number, size_t length);
/*
 * A sub-message whose size is not known yet: begin returns a mark, end inserts the length (moving the body
 * by a few bytes). Nests.
 */
size_t wire_begin_message(struct buffer *buffer, uint32_t number);
void wire_end_message(struct buffer *buffer, size_t mark);

size_t wire_varint_size(uint64_t value);

#endif
