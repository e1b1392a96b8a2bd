/* frame: see frame.h for the layout and what is checked. */
#include "common/bus/frame.h"

static const uint32_t frame_magic = 0x53554251; /* "QBUS" */

static void put16(uint8_t *out, uint16_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *out, uint32_t value) {
    put16(out, (uint16_t)value);
    put16(out + 2, (uint16_t)(value >> 16));
}

static void put64(uint8_t *out, uint64_t value) {
    put32(out, (uint32_t)value);
    put32(out + 4, (uint32_t)(value >> 32));
}

static uint16_t get16(const uint8_t *in) {
    return (uint16_t)(in[0] | in[1] << 8);
}

static uint32_t get32(const uint8_t *in) {
    return get16(in) | (uint32_t)get16(in + 2) << 16;
}

static uint64_t get64(const uint8_t *in) {
    return get32(in) | (uint64_t)get32(in + 4) << 32;
}

void frame_header_encode(uint8_t out[FRAME_HEADER], const struct frame_header *header) {
    put32(out, frame_magic);
    put16(out + 4, BUS_CONTRACT_VERSION);
    out[6] = (uint8_t)header->kind;
    out[7] = 0;
    put64(out + 8, header->from);
    put64(out + 16, header->to);
    put64(out + 24, header->sequence);
    put64(out + 32, header->consumed_frames);
    put64(out + 40, header->consumed_bytes);
    put32(out + 48, header->records);
    put32(out + 52, header->length);
}

/* What the fields of each kind must look like. */
static bool header_makes_sense(const struct frame_header *header) {
    if (header->from == 0)
        return false;
    switch (header->kind) {
    case FRAME_HELLO:
        return header->sequence == 0 && header->records == 0;
    case FRAME_DATA:
        return header->to != 0 && header->sequence != 0 && header->records != 0 &&
               header->length % RECORD_ALIGN == 0 && header->records <= header->length / RECORD_HEADER;
    case FRAME_CREDIT:
        return header->to != 0 && header->sequence == 0 && header->records == 0 && header->length == 0;
    }
    return false;
}

size_t frame_length(struct bytes stream) {
    if (stream.length < FRAME_HEADER)
        return FRAME_HEADER;
    uint32_t length = get32(stream.data + 52);
    if (get32(stream.data) != frame_magic || length > BUS_FRAME_LIMIT - FRAME_HEADER)
        return 0;
    return FRAME_HEADER + (size_t)length;
}

enum frame_verdict frame_header_decode(struct bytes frame, struct frame_header *out) {
    if (frame.length < FRAME_HEADER || frame.length > BUS_FRAME_LIMIT)
        return FRAME_GARBAGE;
    const uint8_t *in = frame.data;
    if (get32(in) != frame_magic)
        return FRAME_GARBAGE;
    if (get16(in + 4) != BUS_CONTRACT_VERSION)
        return FRAME_OTHER_CONTRACT;
    *out = (struct frame_header){
        .kind = (enum frame_kind)in[6],
        .from = get64(in + 8),
        .to = get64(in + 16),
        .sequence = get64(in + 24),
        .consumed_frames = get64(in + 32),
        .consumed_bytes = get64(in + 40),
        .records = get32(in + 48),
        .length = get32(in + 52),
    };
    if (in[7] != 0 || out->length != frame.length - FRAME_HEADER || !header_makes_sense(out))
        return FRAME_GARBAGE;
    return FRAME_VALID;
}

void record_header_encode(uint8_t out[RECORD_HEADER], const struct bus_record *record, uint32_t body_length) {
    put16(out, record->kind);
    put16(out + 2, record->flags);
    put16(out + 4, record->code);
    put16(out + 6, record->user_length);
    put64(out + 8, record->id);
    put64(out + 16, record->position);
    put64(out + 24, record->epoch);
    put32(out + 32, record->time_left);
    put32(out + 36, record->hop_time);
    put32(out + 40, body_length);
    put32(out + 44, 0);
}

bool record_decode(struct bytes *rest, struct bus_record *out) {
    if (rest->length < RECORD_HEADER)
        return false;
    const uint8_t *in = rest->data;
    uint32_t length = get32(in + 40);
    if (length > BUS_RECORD_LIMIT || get32(in + 44) != 0)
        return false;
    size_t whole = RECORD_HEADER + length + record_padding(length);
    if (whole > rest->length)
        return false;
    *out = (struct bus_record){
        .kind = get16(in),
        .flags = get16(in + 2),
        .code = get16(in + 4),
        .user_length = get16(in + 6),
        .id = get64(in + 8),
        .position = get64(in + 16),
        .epoch = get64(in + 24),
        .time_left = get32(in + 32),
        .hop_time = get32(in + 36),
        .body = bytes_of(in + RECORD_HEADER, length),
    };
    *rest = bytes_of(in + whole, rest->length - whole);
    return out->user_length <= length;
}
