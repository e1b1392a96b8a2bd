/*
 * replay: reads one segment after the other, checks what the frames' checksums cannot (marks, order of
 * indexes, metadata), fills the wal's picture of itself and hands the records to the visitor.
 *
 * It stops at the first damage and describes it; what that means is decided in open.c.
 */
#include <errno.h>

#include "common/crc32c.h"
#include "raft/wal/state.h"

enum { SECTOR = 512 };

/* Damage that a torn write may have left. */
static bool damaged(struct wal_replay *replay, const char *what) {
    replay->damage = what;
    return false;
}

/* The bytes are as they were written, but they should never have been written so. */
static bool hopeless(struct wal_replay *replay, const char *what) {
    replay->hopeless = true;
    return damaged(replay, what);
}

static bool take_entry(struct wal_replay *replay, struct wal_segment *segment,
                       const struct wal_record *record, const struct wal_point *at) {
    struct wal *wal = replay->wal;
    struct wal_entry entry;
    if (!wal_entry_decode(record->data, &entry))
        return hopeless(replay, "the entry cannot be decoded");
    if (entry.index > wal->last_index + 1)
        return hopeless(replay, "entries are missing before this one");
    if (entry.index <= wal->state.commit)
        return hopeless(replay, "the entry overwrites a committed one");
    struct wal_point point = *at;
    point.index = entry.index;
    wal_index_note(&wal->index, &point, wal->last_index);
    wal->last_index = entry.index;
    if (entry.index > segment->max_index)
        segment->max_index = entry.index;
    if (replay->visitor->entry != NULL)
        replay->visitor->entry(replay->visitor->context, &entry);
    return true;
}

static bool take_state(struct wal_replay *replay, const struct wal_record *record) {
    struct wal *wal = replay->wal;
    struct wal_hard_state state;
    if (!wal_state_decode(record->data, &state))
        return hopeless(replay, "the hard state cannot be decoded");
    wal->state = state;
    wal->has_state = true;
    if (replay->visitor->state != NULL)
        replay->visitor->state(replay->visitor->context, &state);
    return true;
}

static bool take_snapshot(struct wal_replay *replay, const struct wal_segment *segment,
                          const struct wal_record *record) {
    struct wal *wal = replay->wal;
    struct wal_snapshot snapshot;
    if (!wal_snapshot_decode(record->data, &snapshot))
        return hopeless(replay, "the snapshot record cannot be decoded");
    wal->snapshot_index = snapshot.index;
    wal->snapshot_sequence = segment->sequence;
    if (snapshot.index > wal->last_index) {
        wal->last_index = snapshot.index;
        wal_index_clear(&wal->index);
    }
    if (replay->visitor->snapshot != NULL)
        replay->visitor->snapshot(replay->visitor->context, &snapshot);
    return true;
}

static bool take_metadata(struct wal_replay *replay, const struct wal_record *record) {
    struct wal_metadata metadata;
    if (!wal_metadata_decode(record->data, &metadata))
        return hopeless(replay, "the metadata cannot be decoded");
    if (replay->has_metadata &&
        (metadata.node != replay->wal->metadata.node || metadata.cluster != replay->wal->metadata.cluster))
        return hopeless(replay, "the segment belongs to another member or cluster");
    replay->wal->metadata = metadata;
    replay->has_metadata = true;
    return true;
}

/* The first record of a segment. */
static bool take_head_mark(struct wal_replay *replay, struct wal_mark *mark) {
    if (mark->offset > replay->size)
        return hopeless(replay, "the file was cut short: its end is missing");
    mark->offset = 0;
    replay->has_nonce = true;
    replay->head_end = mark->length;
    replay->wal->segment_nonce = mark->nonce;
    return true;
}

static bool take_mark(struct wal_replay *replay, const struct wal_record *record, uint64_t offset) {
    struct wal *wal = replay->wal;
    if (record->data.length == 0) /* etcd's own */
        return true;
    struct wal_mark mark;
    if (!wal_mark_decode(record, &mark))
        return damaged(replay, "the mark is damaged");
    if (replay->records == 0) {
        if (!take_head_mark(replay, &mark))
            return false;
    } else if (!replay->has_nonce || mark.nonce != wal->segment_nonce || mark.offset != offset) {
        return hopeless(replay, "the mark belongs elsewhere");
    }
    bool has_predecessor = replay->records > 0 || replay->crc_known;
    if (has_predecessor && mark.previous != wal->write_crc)
        return damaged(replay, replay->records > 0
                                   ? "what was written since the mark before it has changed"
                                   : "the end of the segment before it has changed or is missing");
    wal->write_crc = 0;
    replay->mark = mark;
    return true;
}

static bool take_record(struct wal_replay *replay, struct wal_segment *segment,
                        const struct wal_record *record, const struct wal_point *at) {
    if (replay->records == 0 && record->type != WAL_RECORD_CRC)
        return hopeless(replay, "the segment does not begin with a crc record");
    switch (record->type) {
    case WAL_RECORD_METADATA:
        return take_metadata(replay, record);
    case WAL_RECORD_ENTRY:
        return take_entry(replay, segment, record, at);
    case WAL_RECORD_STATE:
        return take_state(replay, record);
    case WAL_RECORD_SNAPSHOT:
        return take_snapshot(replay, segment, record);
    case WAL_RECORD_CRC:
        return take_mark(replay, record, at->offset);
    }
    return hopeless(replay, "the record is of no known type");
}

/* etcd's sign of a torn write: the record is cut off by the end of the file, or one of its sectors is all
 * zero. */
static bool is_broken_off(struct wal_stream *stream) {
    size_t length = 0;
    size_t padding = 0;
    struct bytes field = wal_stream_peek(stream, stream->offset, WAL_FRAME_FIELD);
    if (field.length < WAL_FRAME_FIELD)
        return true;
    if (!wal_frame_lengths(field.data, &length, &padding))
        return false;
    struct bytes frame = wal_stream_peek(stream, stream->offset, WAL_FRAME_FIELD + length + padding);
    if (frame.length < WAL_FRAME_FIELD + length + padding)
        return true;
    bool zero = true;
    for (size_t i = WAL_FRAME_FIELD; i < frame.length; i++) {
        zero = zero && frame.data[i] == 0;
        bool sector_ends = (stream->offset + i + 1) % SECTOR == 0 || i + 1 == frame.length;
        if (sector_ends && zero)
            return true;
        if (sector_ends)
            zero = true;
    }
    return false;
}

static void begin_segment(struct wal_replay *replay, struct disk_file *file, uint64_t size) {
    struct wal *wal = replay->wal;
    replay->size = size;
    replay->records = replay->end = replay->head_end = 0;
    replay->has_nonce = replay->broken_off = replay->hopeless = false;
    replay->mark = (struct wal_mark){0};
    replay->damage = NULL;
    wal_stream_start(&wal->reader, wal->disk, file, 0, size);
    wal->reader.crc = wal->crc;
    wal->reader.crc_known = replay->crc_known;
}

int wal_replay_segment(struct wal_replay *replay, struct wal_segment *segment, struct disk_file *file) {
    struct wal *wal = replay->wal;
    int64_t size = wal->disk->operations->size(file);
    if (size < 0)
        return (int)size;
    begin_segment(replay, file, (uint64_t)size);
    struct wal_stream *stream = &wal->reader;
    for (;;) {
        struct wal_point at = {.sequence = segment->sequence, .offset = stream->offset, .crc = stream->crc};
        struct wal_record record;
        struct bytes frame;
        enum wal_stream_result result = wal_stream_next(stream, &record, &frame);
        if (result == WAL_STREAM_IO_ERROR)
            return stream->error;
        if (result == WAL_STREAM_DAMAGED) {
            replay->damage = stream->damage;
            replay->broken_off = is_broken_off(stream);
        }
        if (result != WAL_STREAM_RECORD || !take_record(replay, segment, &record, &at))
            break;
        wal->write_crc = crc32c_update(wal->write_crc, frame.data, frame.length);
        wal->crc = stream->crc;
        replay->end = stream->offset;
        replay->records++;
    }
    replay->crc_known = true;
    return 0;
}
