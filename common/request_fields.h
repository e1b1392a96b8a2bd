/* request_fields: a field of a message as the type its schema gives it; for the decoders of request*.c. */
#ifndef QUORATE_COMMON_REQUEST_FIELDS_H
#define QUORATE_COMMON_REQUEST_FIELDS_H

#include "common/wire.h"

/* Known fields must have their wire type; unknown ones are skipped whatever theirs is. */
static inline bool as_bytes(const struct wire_field *field, struct bytes *out) {
    *out = field->bytes;
    return field->type == WIRE_BYTES;
}

static inline bool as_int64(const struct wire_field *field, int64_t *out) {
    *out = (int64_t)field->value;
    return field->type == WIRE_VARINT;
}

static inline bool as_uint64(const struct wire_field *field, uint64_t *out) {
    *out = field->value;
    return field->type == WIRE_VARINT;
}

static inline bool as_enum(const struct wire_field *field, int32_t *out) {
    *out = (int32_t)field->value;
    return field->type == WIRE_VARINT;
}

static inline bool as_bool(const struct wire_field *field, bool *out) {
    *out = field->value != 0;
    return field->type == WIRE_VARINT;
}

#endif
