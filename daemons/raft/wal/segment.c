/*
 * segment: names, the zero-filled spare, and the step from one segment to the next.
 *
 * A segment is made as `<sequence>.tmp` (etcd ignores .tmp), zero-filled and synced; the cut writes its head
 * (mark, metadata, state), syncs, renames it to its name and syncs the directory. So a segment that can be
 * seen under its name has a complete head, and the segment before it is complete.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "raft/wal/state.h"

enum {
    ZERO_BYTES = 1 << 20,
    ZERO_SYNC = 8 << 20, /* sync so often while zero-filling: the appender's syncs must not wait for it all */
};

static struct wal_path spare_path(const struct wal *wal, uint64_t sequence) {
    struct wal_path path;
    snprintf(path.text, sizeof path.text, "%s/%016" PRIx64 ".tmp", wal->directory, sequence);
    return path;
}

struct wal_path wal_segment_path(const struct wal *wal, const struct wal_segment *segment) {
    struct wal_path path;
    snprintf(path.text, sizeof path.text, "%s/%016" PRIx64 "-%016" PRIx64 ".wal", wal->directory,
             segment->sequence, segment->first_index);
    return path;
}

static bool parse_hex(const char *text, uint64_t *value) {
    *value = 0;
    for (unsigned i = 0; i < 16; i++) {
        char digit = text[i];
        if (digit >= '0' && digit <= '9')
            *value = *value << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            *value = *value << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    return true;
}

bool wal_parse_segment_name(const char *name, struct wal_segment *segment) {
    *segment = (struct wal_segment){0};
    return strlen(name) == 16 + 1 + 16 + 4 && name[16] == '-' && strcmp(name + 33, ".wal") == 0 &&
           parse_hex(name, &segment->sequence) && parse_hex(name + 17, &segment->first_index);
}

void wal_add_segment(struct wal *wal, const struct wal_segment *segment) {
    if (wal->segment_count == wal->segment_capacity) {
        wal->segment_capacity = wal->segment_capacity == 0 ? 16 : wal->segment_capacity * 2;
        wal->segments = must_realloc(wal->segments, wal->segment_capacity * sizeof *wal->segments);
    }
    wal->segments[wal->segment_count++] = *segment;
}

int wal_sync_file(struct wal *wal, struct disk_file *file) {
    uint64_t start = clock_monotonic_us();
    int result = wal->disk->operations->sync(file);
    pthread_mutex_lock(&wal->lock);
    wal->counts.syncs++;
    wal->counts.last_sync_us = clock_monotonic_us() - start;
    pthread_mutex_unlock(&wal->lock);
    return result;
}

int wal_sync_parent(struct wal *wal) {
    const char *slash = strrchr(wal->directory, '/');
    struct wal_path parent;
    if (slash == NULL)
        snprintf(parent.text, sizeof parent.text, ".");
    else
        snprintf(parent.text, sizeof parent.text, "%.*s",
                 slash == wal->directory ? 1 : (int)(slash - wal->directory), wal->directory);
    return wal->disk->operations->sync_directory(wal->disk, parent.text);
}

int wal_write_zeros(struct disk *disk, struct disk_file *file, uint64_t from, uint64_t to) {
    if (from >= to)
        return 0;
    uint8_t *zeros = must_zalloc(to - from < ZERO_BYTES ? (size_t)(to - from) : ZERO_BYTES);
    int result = 0;
    uint64_t unsynced = 0;
    while (from < to && result == 0) {
        size_t length = to - from < ZERO_BYTES ? (size_t)(to - from) : ZERO_BYTES;
        result = disk->operations->write(file, zeros, length, from);
        from += length;
        unsynced += length;
        if (unsynced >= ZERO_SYNC && result == 0) {
            result = disk->operations->sync(file);
            unsynced = 0;
        }
    }
    free(zeros);
    return result;
}

/* Makes a zero-filled, synced file of one segment under its temporary name. */
static int make_spare(struct wal *wal, uint64_t sequence, struct disk_file **file) {
    const struct disk_operations *operations = wal->disk->operations;
    struct wal_path path = spare_path(wal, sequence);
    int result = operations->open(wal->disk, path.text, DISK_CREATE, file);
    if (result != 0)
        return result;
    result = operations->truncate(*file, 0);
    if (result == 0)
        result = wal_write_zeros(wal->disk, *file, 0, wal->segment_bytes);
    if (result == 0)
        result = operations->sync(*file);
    if (result != 0) {
        operations->close(*file);
        *file = NULL;
        operations->unlink(wal->disk, path.text);
    }
    return result;
}

static uint64_t next_sequence(const struct wal *wal) {
    return wal->segment_count == 0 ? 0 : wal->segments[wal->segment_count - 1].sequence + 1;
}

bool wal_wants_prepare(const struct wal *wal) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&wal->lock;
    pthread_mutex_lock(lock);
    bool wants = wal->spare == WAL_SPARE_NONE && wal->poison == 0;
    pthread_mutex_unlock(lock);
    return wants;
}

int wal_prepare(struct wal *wal) {
    pthread_mutex_lock(&wal->lock);
    int result = wal->poison;
    bool wanted = wal->spare == WAL_SPARE_NONE && result == 0;
    if (wanted)
        wal->spare = WAL_SPARE_BUILDING;
    uint64_t sequence = next_sequence(wal);
    pthread_mutex_unlock(&wal->lock);
    if (!wanted)
        return result;

    struct disk_file *file = NULL;
    result = make_spare(wal, sequence, &file);

    pthread_mutex_lock(&wal->lock);
    wal->spare = result == 0 ? WAL_SPARE_READY : WAL_SPARE_NONE;
    wal->spare_file = file;
    pthread_cond_broadcast(&wal->spare_changed);
    pthread_mutex_unlock(&wal->lock);
    return result;
}

/*
 * The spare; made here and now when there is none. It stays BUILDING until the cut is done: before that the
 * next spare would have the same name.
 */
static int take_spare(struct wal *wal, struct disk_file **file) {
    pthread_mutex_lock(&wal->lock);
    while (wal->spare == WAL_SPARE_BUILDING)
        pthread_cond_wait(&wal->spare_changed, &wal->lock);
    bool ready = wal->spare == WAL_SPARE_READY;
    *file = wal->spare_file;
    wal->spare_file = NULL;
    wal->spare = WAL_SPARE_BUILDING;
    uint64_t sequence = next_sequence(wal);
    pthread_mutex_unlock(&wal->lock);
    return ready ? 0 : make_spare(wal, sequence, file);
}

/* A nonce per segment, from the wal's own by a bijection, so that two segments never share one. */
static uint64_t draw_nonce(uint64_t seed, uint64_t sequence) {
    uint64_t z = seed + (sequence + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* The head of the next segment, into wal->encode. */
static void encode_head(struct wal *wal, uint64_t nonce) {
    static const struct wal_snapshot origin = {0};
    buffer_reset(&wal->encode, SIZE_MAX);
    buffer_reserve(&wal->encode, WAL_MARK_BYTES);
    wal->encode.length = WAL_MARK_BYTES;
    uint32_t before = wal->crc;
    wal_put_metadata(&wal->encode, &wal->crc, &wal->metadata);
    if (wal->segment_count == 0)
        wal_put_snapshot(&wal->encode, &wal->crc, &origin);
    if (wal->has_state)
        wal_put_state(&wal->encode, &wal->crc, &wal->state);
    struct wal_mark mark = {.nonce = nonce,
                            .offset = wal->segment_bytes,
                            .length = (uint32_t)wal->encode.length,
                            .previous = wal->write_crc};
    wal_store_mark(wal->encode.data, before, &mark);
    wal->write_crc = crc32c_update(0, wal->encode.data, wal->encode.length);
}

/* Gives the prepared file its name. */
static int install(struct wal *wal, struct disk_file *file, const struct wal_segment *segment) {
    const struct disk_operations *operations = wal->disk->operations;
    int result = operations->write(file, wal->encode.data, wal->encode.length, 0);
    if (result == 0)
        result = wal_sync_file(wal, file);
    if (result == 0)
        result = operations->rename(wal->disk, spare_path(wal, segment->sequence).text,
                                    wal_segment_path(wal, segment).text);
    if (result == 0)
        result = operations->sync_directory(wal->disk, wal->directory);
    return result;
}

int wal_cut(struct wal *wal) {
    int result = wal->dirty ? wal_sync_file(wal, wal->file) : 0;
    struct disk_file *file = NULL;
    if (result == 0)
        result = take_spare(wal, &file);
    if (result != 0)
        return result;

    bool first = wal->segment_count == 0;
    struct wal_segment segment = {.sequence = next_sequence(wal),
                                  .first_index = first ? 0 : wal->last_index + 1};
    uint64_t nonce = draw_nonce(wal->nonce, segment.sequence);
    encode_head(wal, nonce);
    result = install(wal, file, &segment);
    if (result != 0) {
        wal->disk->operations->close(file);
        return result;
    }
    if (wal->file != NULL)
        wal->disk->operations->close(wal->file);
    wal->file = file;
    wal->offset = wal->head_end = wal->encode.length;
    wal->segment_nonce = nonce;
    wal->dirty = false;
    wal->marked = false;
    pthread_mutex_lock(&wal->lock);
    wal_add_segment(wal, &segment);
    wal->spare = WAL_SPARE_NONE;
    wal->durable_offset = wal->offset;
    wal->counts.bytes_written += wal->encode.length;
    pthread_mutex_unlock(&wal->lock);
    return 0;
}
