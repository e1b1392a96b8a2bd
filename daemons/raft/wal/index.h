/*
 * index: where in the segments an entry stands, every 256 KiB or so. Pure.
 *
 * Points have strictly rising entry indexes and rising positions. An entry that overwrites an earlier one (a
 * new leader's) drops all points at or above it and always gets a point of its own, so: between point k and
 * point k + 1 the live entries are those below the index of point k + 1, in order; whatever follows them
 * there is dead. Each segment's first entry gets a point, so the stretch between two points lies in one
 * segment.
 */
#ifndef QUORATE_RAFT_WAL_INDEX_H
#define QUORATE_RAFT_WAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wal_point {
    uint64_t index;            /* of the entry whose frame stands there */
    uint64_t sequence, offset; /* segment, byte */
    uint32_t crc;              /* running checksum before the frame */
};

struct wal_index {
    struct wal_point *points;
    size_t count, capacity;
};

/* Notes an entry that was appended (or read at open). last: the log's last index before it. */
void wal_index_note(struct wal_index *index, const struct wal_point *at, uint64_t last);
/* Number of the last point at or below the entry; index->count when there is none. */
size_t wal_index_find(const struct wal_index *index, uint64_t entry);
/* Forgets everything in segments below the sequence. */
void wal_index_release(struct wal_index *index, uint64_t sequence);
void wal_index_clear(struct wal_index *index);
void wal_index_free(struct wal_index *index);

#endif
