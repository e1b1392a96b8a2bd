/*
 * read: durable entries out of the segments, by way of the sparse index.
 *
 * It goes from point to point (index.h): under the lock it copies where the next stretch lies and how far it
 * is durable, then it reads without the lock. A segment released meanwhile is -ENOENT; a record that does not
 * continue the checksum, or an index out of order, is -EBADMSG.
 */
#include <errno.h>

#include "raft/wal/state.h"

struct stretch {
    struct wal_path path;
    struct wal_point from;
    uint64_t end;   /* offset: nothing beyond is durable or belongs here; UINT64_MAX: the end of the file */
    uint64_t bound; /* live entries lie below this index */
};

/* Where the entry lies. -ENOENT when the log does not hold it. */
static int find_stretch(struct wal *wal, uint64_t entry, struct stretch *stretch) {
    pthread_mutex_lock(&wal->lock);
    size_t place = wal_index_find(&wal->index, entry);
    bool held = place < wal->index.count && entry <= wal->last_index;
    if (held) {
        stretch->from = wal->index.points[place];
        bool last = place + 1 == wal->index.count;
        stretch->bound = last ? wal->last_index + 1 : wal->index.points[place + 1].index;
        size_t segment = (size_t)(stretch->from.sequence - wal->segments[0].sequence);
        stretch->path = wal_segment_path(wal, &wal->segments[segment]);
        stretch->end = segment + 1 == wal->segment_count ? wal->durable_offset : UINT64_MAX;
    }
    int result = wal->poison != 0 ? wal->poison : held ? 0 : -ENOENT;
    pthread_mutex_unlock(&wal->lock);
    return result;
}

struct reading {
    uint64_t next, to;
    size_t bytes_left;
    bool any;
    void (*visit)(void *context, const struct wal_entry *entry);
    void *context;
};

/* Hands over the wanted entries of one stretch. 1 when the limit of bytes is reached. */
static int read_stretch(struct wal_stream *stream, const struct stretch *stretch, struct reading *reading) {
    uint64_t expected = stretch->from.index;
    while (reading->next <= reading->to && expected < stretch->bound) {
        struct wal_record record;
        struct bytes frame;
        enum wal_stream_result result = wal_stream_next(stream, &record, &frame);
        if (result == WAL_STREAM_IO_ERROR)
            return stream->error;
        if (result != WAL_STREAM_RECORD)
            return -EBADMSG;
        if (record.type != WAL_RECORD_ENTRY)
            continue;
        struct wal_entry entry;
        if (!wal_entry_decode(record.data, &entry) || entry.index != expected)
            return -EBADMSG;
        expected++;
        if (entry.index < reading->next)
            continue;
        if (reading->any && entry.data.length > reading->bytes_left)
            return 1;
        reading->any = true;
        reading->bytes_left -=
            entry.data.length < reading->bytes_left ? entry.data.length : reading->bytes_left;
        reading->next++;
        reading->visit(reading->context, &entry);
    }
    return 0;
}

static int open_stretch(struct wal *wal, const struct stretch *stretch, struct disk_file **file) {
    int result = wal->disk->operations->open(wal->disk, stretch->path.text, DISK_READ_ONLY, file);
    if (result != 0)
        return result;
    int64_t size = wal->disk->operations->size(*file);
    if (size < 0) {
        wal->disk->operations->close(*file);
        return (int)size;
    }
    uint64_t end = stretch->end < (uint64_t)size ? stretch->end : (uint64_t)size;
    wal_stream_start(&wal->reader, wal->disk, *file, stretch->from.offset, end);
    wal->reader.crc = stretch->from.crc;
    wal->reader.crc_known = true;
    return 0;
}

int wal_read(struct wal *wal, uint64_t from, uint64_t to, size_t limit_bytes,
             void (*visit)(void *context, const struct wal_entry *entry), void *context) {
    struct reading reading = {
        .next = from, .to = to, .bytes_left = limit_bytes, .visit = visit, .context = context};
    int result = 0;
    while (result == 0 && reading.next <= to) {
        struct stretch stretch;
        struct disk_file *file = NULL;
        result = find_stretch(wal, reading.next, &stretch);
        if (result == 0)
            result = open_stretch(wal, &stretch, &file);
        if (result != 0)
            break;
        result = read_stretch(&wal->reader, &stretch, &reading);
        wal->disk->operations->close(file);
    }
    return result == 1 ? 0 : result;
}
