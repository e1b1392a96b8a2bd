/*
 * record: the frames of the WAL, as bytes. Pure.
 *
 * A frame is an 8-byte little-endian length field (lower 56 bits: length of the record; top byte: 0 or
 * 0x80 | padding), walpb.Record{type, crc, data} and zero bytes up to a multiple of 8. crc is the running
 * CRC-32C over the data of all records so far; a crc record does not take part, it states the running value.
 *
 * A mark is a crc record with 28 bytes of data (etcd's decoder ignores the data of a crc record):
 *   nonce u64 | offset u64 | length u31, top bit "unproven" | previous u32 | checksum u32      little-endian
 * nonce: the segment's; offset: where the mark's own frame stands; length: bytes of the write it begins,
 * itself included; unproven: something before it was not synced (--unsafe-no-fsync); previous: CRC-32C of the
 * raw bytes since the mark before; checksum: CRC-32C of all that and the record's crc. Its frame always has
 * 48 bytes. At offset 0 of a segment the mark's offset field holds the segment's zero-filled size instead.
 */
#ifndef QUORATE_RAFT_WAL_RECORD_H
#define QUORATE_RAFT_WAL_RECORD_H

#include "common/bytes.h"
#include "raft/wal/wal.h"

enum wal_record_type {
    WAL_RECORD_METADATA = 1,
    WAL_RECORD_ENTRY = 2,
    WAL_RECORD_STATE = 3,
    WAL_RECORD_CRC = 4,
    WAL_RECORD_SNAPSHOT = 5,
};

enum {
    WAL_FRAME_FIELD = 8,    /* bytes of the length field */
    WAL_MARK_BYTES = 48,    /* a whole mark with its frame */
    WAL_ENTRY_OVERHEAD = 72 /* at most so many bytes does a record need beside the entry's data */
};

struct wal_record {
    enum wal_record_type type;
    uint32_t crc;
    struct bytes data;
};

struct wal_mark {
    uint64_t nonce, offset;
    uint32_t length, previous;
    bool unproven;
};

/* Each appends one frame and moves *crc on. */
void wal_put_entry(struct buffer *buffer, uint32_t *crc, const struct wal_entry *entry);
void wal_put_state(struct buffer *buffer, uint32_t *crc, const struct wal_hard_state *state);
void wal_put_snapshot(struct buffer *buffer, uint32_t *crc, const struct wal_snapshot *snapshot);
void wal_put_metadata(struct buffer *buffer, uint32_t *crc, const struct wal_metadata *metadata);
/* Fills the place kept for a mark; crc is the running value at that point. */
void wal_store_mark(uint8_t place[WAL_MARK_BYTES], uint32_t crc, const struct wal_mark *mark);

/* Length of record and padding as the length field says. False: not a length that a writer makes. */
bool wal_frame_lengths(const uint8_t field[WAL_FRAME_FIELD], size_t *record, size_t *padding);
/* Decodes the record (without frame). False when it is none; the running crc is the caller's to check. */
bool wal_record_decode(struct bytes bytes, struct wal_record *record);
/* False unless the crc record carries a mark whose checksum holds. */
bool wal_mark_decode(const struct wal_record *record, struct wal_mark *mark);

bool wal_entry_decode(struct bytes data, struct wal_entry *entry);
bool wal_state_decode(struct bytes data, struct wal_hard_state *state);
bool wal_snapshot_decode(struct bytes data, struct wal_snapshot *snapshot);
bool wal_metadata_decode(struct bytes data, struct wal_metadata *metadata);

#endif
