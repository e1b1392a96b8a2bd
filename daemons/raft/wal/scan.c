/*
 * scan: what lies behind the last good record of a segment.
 *
 * A mark counts only if it decodes, its checksum holds, and it names this segment's nonce and the very offset
 * it stands at: neither stale bytes nor a user's value can pass for one.
 */
#include <stdlib.h>

#include "raft/wal/state.h"

enum { CHUNK = 256 << 10 };

static bool is_proof(const uint8_t *place, uint64_t nonce, uint64_t offset) {
    size_t length = 0;
    size_t padding = 0;
    struct wal_record record;
    struct wal_mark mark;
    return wal_frame_lengths(place, &length, &padding) &&
           WAL_FRAME_FIELD + length + padding == WAL_MARK_BYTES &&
           wal_record_decode(bytes_of(place + WAL_FRAME_FIELD, length), &record) &&
           wal_mark_decode(&record, &mark) && mark.nonce == nonce && mark.offset == offset && !mark.unproven;
}

static bool is_zero(const uint8_t *place) {
    uint64_t word;
    memcpy(&word, place, 8);
    return word == 0;
}

/* Looks at the frames that begin in [0, limit) of the chunk. */
static void scan_chunk(const uint8_t *chunk, size_t length, size_t limit, uint64_t nonce, uint64_t base,
                       struct wal_scan *scan) {
    for (size_t at = 0; at < limit && scan->proven == 0; at += 8) {
        if (is_zero(chunk + at))
            continue;
        scan->nonzero_end = base + at + 8;
        if (at + WAL_MARK_BYTES <= length && is_proof(chunk + at, nonce, base + at))
            scan->proven = base + at;
    }
}

int wal_scan_tail(struct disk *disk, struct disk_file *file, uint64_t nonce, uint64_t from, uint64_t size,
                  struct wal_scan *scan) {
    *scan = (struct wal_scan){.nonzero_end = from};
    uint8_t *chunk = must_alloc(CHUNK + WAL_MARK_BYTES + 8);
    int result = 0;
    for (uint64_t base = from; base < size && scan->proven == 0; base += CHUNK) {
        int64_t count = disk->operations->read(file, chunk, CHUNK + WAL_MARK_BYTES, base);
        if (count <= 0) {
            result = (int)count;
            break;
        }
        size_t length = (size_t)count;
        memset(chunk + length, 0, 8); /* a last word may be incomplete */
        scan_chunk(chunk, length, length < CHUNK ? length : CHUNK, nonce, base, scan);
    }
    free(chunk);
    return result;
}
