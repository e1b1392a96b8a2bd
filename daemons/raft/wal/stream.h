/*
 * stream: the records of one segment, in order, through a window of bounded size (256 KiB, or the longest
 * record), each checked against the running checksum.
 *
 * Happy path: stream_next returns RECORD until the first zero length field or the end (END). Failure modes:
 * DAMAGED leaves `offset` at the bad frame and `damage` saying what is wrong with it; IO_ERROR leaves
 * `error`.
 */
#ifndef QUORATE_RAFT_WAL_STREAM_H
#define QUORATE_RAFT_WAL_STREAM_H

#include "common/disk.h"
#include "raft/wal/record.h"

struct wal_stream {
    struct disk *disk;
    struct disk_file *file; /* borrowed */
    uint64_t offset;        /* of the next frame */
    uint64_t end;           /* nothing beyond is read */
    uint32_t crc;           /* running value, valid once known */
    bool crc_known;         /* false: the first crc record says it */
    const char *damage;
    int error;
    struct buffer window;
    uint64_t window_start;
};

enum wal_stream_result { WAL_STREAM_RECORD, WAL_STREAM_END, WAL_STREAM_DAMAGED, WAL_STREAM_IO_ERROR };

/* (Re)starts at an offset of a file; keeps the window's memory. */
void wal_stream_start(struct wal_stream *stream, struct disk *disk, struct disk_file *file, uint64_t offset,
                      uint64_t end);
/* *record and *frame (the raw bytes with length field and padding) are borrowed until the next call. */
enum wal_stream_result wal_stream_next(struct wal_stream *stream, struct wal_record *record,
                                       struct bytes *frame);
/* Bytes [offset, offset + length) through the window, shorter at the end; NULL data on error. */
struct bytes wal_stream_peek(struct wal_stream *stream, uint64_t offset, size_t length);
void wal_stream_free(struct wal_stream *stream);

#endif
