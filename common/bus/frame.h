/*
 * frame: the bytes of a bus frame. Internal to common/bus.
 *
 *     frame header, 56 bytes, little-endian         record header, 48 bytes, little-endian
 *      0 u32 magic                                   0 u16 kind
 *      4 u16 contract version                        2 u16 flags
 *      6 u8  kind: HELLO, DATA, CREDIT               4 u16 code
 *      7 u8  zero                                    6 u16 length of the user name
 *      8 u64 from: the sender's connection number    8 u64 id
 *     16 u64 to: the receiver's; HELLO: answers     16 u64 position
 *     24 u64 sequence: DATA 1, 2, 3, ...; else 0    24 u64 epoch
 *     32 u64 frames consumed by the sender so far   32 u32 time left
 *     40 u64 bytes consumed by the sender so far    36 u32 hop time
 *     48 u32 records: DATA at least 1; else 0       40 u32 length of the body
 *     52 u32 bytes behind the header                44 u32 zero
 *
 * DATA: records, each with its body padded with zeros to a multiple of 8. HELLO: a BusHello. CREDIT: nothing.
 * Consumed frames and bytes count DATA frames alone, whole, headers included, from the start of the
 * connection.
 *
 * Everything that decodes here has been checked against the length of what was received: no field is trusted.
 */
#ifndef QUORATE_COMMON_BUS_FRAME_H
#define QUORATE_COMMON_BUS_FRAME_H

#include "common/bus/bus.h"

enum { FRAME_HEADER = 56, RECORD_HEADER = 48, RECORD_ALIGN = 8 };

enum frame_kind { FRAME_HELLO = 1, FRAME_DATA = 2, FRAME_CREDIT = 3 };

struct frame_header {
    enum frame_kind kind;
    uint64_t from, to;
    uint64_t sequence;
    uint64_t consumed_frames, consumed_bytes;
    uint32_t records;
    uint32_t length; /* of what follows the header */
};

enum frame_verdict {
    FRAME_VALID,
    FRAME_GARBAGE,
    FRAME_OTHER_CONTRACT, /* one of ours, but of another contract version */
};

/*
 * Where a frame ends in a stream of bytes: the length of the frame at the start, as far as it is known (it
 * may exceed what is there; at least FRAME_HEADER). 0: no frame starts here.
 */
size_t frame_length(struct bytes stream);

void frame_header_encode(uint8_t out[FRAME_HEADER], const struct frame_header *header);
enum frame_verdict frame_header_decode(struct bytes frame, struct frame_header *out);

/* body_length instead of record->body, which is not looked at. */
void record_header_encode(uint8_t out[RECORD_HEADER], const struct bus_record *record, uint32_t body_length);
/* Reads the record at the front of *rest and moves *rest behind it. False: malformed. */
bool record_decode(struct bytes *rest, struct bus_record *out);

/* Bytes that pad a body of this length. */
static inline size_t record_padding(size_t length) {
    return (RECORD_ALIGN - length % RECORD_ALIGN) % RECORD_ALIGN;
}

#endif
