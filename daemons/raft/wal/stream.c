/* stream: see stream.h. */
#include "raft/wal/stream.h"

#include <errno.h>

#include "common/crc32c.h"

enum { WINDOW_BYTES = 256 << 10 };

void wal_stream_start(struct wal_stream *stream, struct disk *disk, struct disk_file *file, uint64_t offset,
                      uint64_t end) {
    struct buffer window = stream->window;
    window.length = 0;
    buffer_reserve(&window, WINDOW_BYTES);
    *stream = (struct wal_stream){
        .disk = disk, .file = file, .offset = offset, .end = end, .window = window, .window_start = offset};
}

void wal_stream_free(struct wal_stream *stream) {
    buffer_free(&stream->window);
}

/* Moves the window so that it begins at offset and holds at least `length` bytes, if the file has them. */
static bool fill(struct wal_stream *stream, uint64_t offset, size_t length) {
    uint64_t window_end = stream->window_start + stream->window.length;
    size_t kept = 0;
    if (offset >= stream->window_start && offset < window_end) {
        kept = (size_t)(window_end - offset);
        memmove(stream->window.data, stream->window.data + (offset - stream->window_start), kept);
        stream->window.length = kept;
    } else {
        stream->window.length = 0;
    }
    stream->window_start = offset;

    size_t wanted = length > WINDOW_BYTES ? length : WINDOW_BYTES;
    uint64_t rest = stream->end > offset ? stream->end - offset : 0;
    if (wanted > rest)
        wanted = (size_t)rest;
    if (wanted <= kept)
        return true;
    int64_t count = stream->disk->operations->read(
        stream->file, buffer_reserve(&stream->window, wanted - kept), wanted - kept, offset + kept);
    if (count < 0) {
        stream->error = (int)count;
        return false;
    }
    stream->window.length += (size_t)count;
    return true;
}

struct bytes wal_stream_peek(struct wal_stream *stream, uint64_t offset, size_t length) {
    uint64_t window_end = stream->window_start + stream->window.length;
    if (offset < stream->window_start || offset + length > window_end) {
        if (!fill(stream, offset, length))
            return (struct bytes){0};
        window_end = stream->window_start + stream->window.length;
    }
    size_t available = (size_t)(window_end - offset);
    return bytes_of(stream->window.data + (offset - stream->window_start),
                    available < length ? available : length);
}

static enum wal_stream_result damaged(struct wal_stream *stream, const char *what) {
    stream->damage = what;
    return WAL_STREAM_DAMAGED;
}

/* Checks the record against the running checksum and moves that on. */
static bool check_crc(struct wal_stream *stream, const struct wal_record *record) {
    if (record->type == WAL_RECORD_CRC) {
        if (stream->crc_known && record->crc != stream->crc)
            return false;
        stream->crc = record->crc;
        stream->crc_known = true;
        return true;
    }
    uint32_t crc = crc32c_update(stream->crc, record->data.data, record->data.length);
    if (!stream->crc_known || crc != record->crc)
        return false;
    stream->crc = crc;
    return true;
}

static bool all_zero(const uint8_t *data, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (data[i] != 0)
            return false;
    return true;
}

enum wal_stream_result wal_stream_next(struct wal_stream *stream, struct wal_record *record,
                                       struct bytes *frame) {
    struct bytes field = wal_stream_peek(stream, stream->offset, WAL_FRAME_FIELD);
    if (field.data == NULL)
        return WAL_STREAM_IO_ERROR;
    if (all_zero(field.data, field.length))
        return WAL_STREAM_END;
    if (field.length < WAL_FRAME_FIELD)
        return damaged(stream, "the file ends within a length field");
    size_t length = 0;
    size_t padding = 0;
    if (!wal_frame_lengths(field.data, &length, &padding))
        return damaged(stream, "the length field is invalid");
    *frame = wal_stream_peek(stream, stream->offset, WAL_FRAME_FIELD + length + padding);
    if (frame->data == NULL)
        return WAL_STREAM_IO_ERROR;
    if (frame->length < WAL_FRAME_FIELD + length + padding)
        return damaged(stream, "the file ends within a record");
    if (!wal_record_decode(bytes_of(frame->data + WAL_FRAME_FIELD, length), record) ||
        !all_zero(frame->data + WAL_FRAME_FIELD + length, padding))
        return damaged(stream, "the record cannot be decoded");
    if (!check_crc(stream, record))
        return damaged(stream, record->type == WAL_RECORD_CRC
                                   ? "it does not continue the checksum of the records before it"
                                   : "the checksum does not match");
    stream->offset += frame->length;
    return WAL_STREAM_RECORD;
}
