/*
 * wal: creating, appending, releasing, closing. Opening is open.c, reading read.c.
 *
 * An append encodes everything into one buffer behind the place of its mark, writes it with one call and
 * syncs once; then, under the lock, what was written becomes visible to readers.
 */
#include "raft/wal/wal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/crc32c.h"
#include "raft/wal/state.h"

enum {
    ENCODE_KEEP = 4 << 20,
    POINT_SPACING = 256 << 10,
};

/* --- life ----------------------------------------------------------------------------------------------- */

struct wal *wal_new(struct disk *disk, const char *directory, uint64_t nonce, uint64_t segment_bytes) {
    struct wal *wal = must_zalloc(sizeof *wal);
    wal->disk = disk;
    wal->directory = must_strdup(directory);
    wal->nonce = nonce;
    wal->segment_bytes = segment_bytes != 0 ? segment_bytes : WAL_SEGMENT_BYTES;
    REQUIRE(pthread_mutex_init(&wal->lock, NULL) == 0);
    REQUIRE(pthread_cond_init(&wal->spare_changed, NULL) == 0);
    return wal;
}

int wal_poison(struct wal *wal, int error) {
    pthread_mutex_lock(&wal->lock);
    if (wal->poison == 0)
        wal->poison = error;
    pthread_mutex_unlock(&wal->lock);
    return error;
}

int wal_poisoned(struct wal *wal) {
    pthread_mutex_lock(&wal->lock);
    int error = wal->poison;
    pthread_mutex_unlock(&wal->lock);
    return error;
}

static void see_segment(void *context, const char *name) {
    struct wal_segment segment;
    if (wal_parse_segment_name(name, &segment))
        *(int *)context = 1;
}

int wal_exists(struct disk *disk, const char *directory) {
    int found = 0;
    int result = disk->operations->list(disk, directory, see_segment, &found);
    if (result == -ENOENT)
        return 0;
    return result != 0 ? result : found;
}

int wal_create(struct disk *disk, const char *directory, const struct wal_metadata *metadata, uint64_t nonce,
               uint64_t segment_bytes, struct wal **created) {
    int exists = wal_exists(disk, directory);
    if (exists != 0)
        return exists < 0 ? exists : -EEXIST;
    struct wal *wal = wal_new(disk, directory, nonce, segment_bytes);
    wal->metadata = *metadata;
    int result = disk->operations->make_directory(disk, directory);
    if (result == 0)
        result = wal_sync_parent(wal);
    if (result == 0)
        result = wal_cut(wal);
    if (result != 0) {
        wal_poison(wal, result);
        wal_close(wal);
        return result;
    }
    *created = wal;
    return 0;
}

/* A last mark, unsynced: where it can be read, the write before it was complete. */
static void write_closing_mark(struct wal *wal) {
    if (wal->file == NULL || wal->dirty || wal->marked || wal_poisoned(wal) != 0)
        return;
    struct wal_mark mark = {.nonce = wal->segment_nonce,
                            .offset = wal->offset,
                            .length = WAL_MARK_BYTES,
                            .previous = wal->write_crc};
    uint8_t bytes[WAL_MARK_BYTES];
    wal_store_mark(bytes, wal->crc, &mark);
    wal->disk->operations->write(wal->file, bytes, sizeof bytes, wal->offset);
}

void wal_close(struct wal *wal) {
    if (wal == NULL)
        return;
    write_closing_mark(wal);
    if (wal->file != NULL)
        wal->disk->operations->close(wal->file);
    if (wal->spare_file != NULL)
        wal->disk->operations->close(wal->spare_file);
    buffer_free(&wal->encode);
    free(wal->pending);
    free(wal->segments);
    wal_index_free(&wal->index);
    wal_stream_free(&wal->reader);
    pthread_cond_destroy(&wal->spare_changed);
    pthread_mutex_destroy(&wal->lock);
    free(wal->directory);
    free(wal);
}

struct wal_counts wal_counts(const struct wal *wal) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&wal->lock;
    pthread_mutex_lock(lock);
    struct wal_counts counts = wal->counts;
    pthread_mutex_unlock(lock);
    return counts;
}

/* --- appending ------------------------------------------------------------------------------------------ */

static void begin_write(struct wal *wal) {
    buffer_reset(&wal->encode, ENCODE_KEEP);
    buffer_reserve(&wal->encode, WAL_MARK_BYTES);
    wal->encode.length = WAL_MARK_BYTES;
    wal->pending_count = 0;
}

static void note_point(struct wal *wal, uint64_t entry) {
    uint64_t offset = wal->offset + wal->encode.length;
    if (wal->pending_count > 0 && offset - wal->pending[wal->pending_count - 1].offset < POINT_SPACING)
        return;
    if (wal->pending_count == wal->pending_capacity) {
        wal->pending_capacity = wal->pending_capacity == 0 ? 16 : wal->pending_capacity * 2;
        wal->pending = must_realloc(wal->pending, wal->pending_capacity * sizeof *wal->pending);
    }
    wal->pending[wal->pending_count++] =
        (struct wal_point){.index = entry,
                           .sequence = wal->segments[wal->segment_count - 1].sequence,
                           .offset = offset,
                           .crc = wal->crc};
}

/* Puts the mark in front and everything on the disk. `before`: running checksum before the write. */
static int finish_write(struct wal *wal, uint32_t before, bool sync) {
    REQUIRE(wal->encode.length < (size_t)1 << 31);
    struct wal_mark mark = {.nonce = wal->segment_nonce,
                            .offset = wal->offset,
                            .length = (uint32_t)wal->encode.length,
                            .previous = wal->write_crc,
                            .unproven = wal->dirty};
    wal_store_mark(wal->encode.data, before, &mark);
    wal->write_crc = crc32c_update(0, wal->encode.data, wal->encode.length);
    wal->marked = false;
    wal->dirty = true;
    int result = wal->disk->operations->write(wal->file, wal->encode.data, wal->encode.length, wal->offset);
    if (result == 0 && sync)
        result = wal_sync_file(wal, wal->file);
    if (result != 0)
        return wal_poison(wal, result);
    wal->dirty = !sync;
    wal->offset += wal->encode.length;
    return 0;
}

/* Under the lock: readers may see the write. */
static void publish_write(struct wal *wal) {
    wal->durable_offset = wal->offset;
    wal->counts.bytes_written += wal->encode.length;
}

/* Goes to the next segment when the current one has no room for so many bytes. */
static int make_room(struct wal *wal, size_t bytes) {
    if (wal->offset + bytes <= wal->segment_bytes || wal->offset == wal->head_end)
        return 0;
    int result = wal_cut(wal);
    return result != 0 ? wal_poison(wal, result) : 0;
}

/* Panics when the caller breaks the log's rules: what it would write could not be opened again. */
static void check_entries(const struct wal *wal, const struct wal_entry *entries, size_t count,
                          const struct wal_hard_state *state) {
    uint64_t last = wal->last_index;
    for (size_t i = 0; i < count; i++) {
        REQUIRE(entries[i].index != 0 && entries[i].index > wal->state.commit);
        REQUIRE(i == 0 ? entries[0].index <= last + 1 : entries[i].index == last + 1);
        last = entries[i].index;
    }
    REQUIRE(state == NULL || state->commit <= last);
}

static int size_bound(const struct wal_entry *entries, size_t count, size_t *bound) {
    *bound = WAL_MARK_BYTES + WAL_ENTRY_OVERHEAD;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].data.length > WAL_RECORD_LIMIT - WAL_ENTRY_OVERHEAD)
            return -EMSGSIZE;
        *bound += entries[i].data.length + WAL_ENTRY_OVERHEAD;
    }
    return 0;
}

static void publish_entries(struct wal *wal, const struct wal_entry *entries, size_t count) {
    pthread_mutex_lock(&wal->lock);
    publish_write(wal);
    if (count > 0) {
        struct wal_segment *segment = &wal->segments[wal->segment_count - 1];
        for (size_t i = 0; i < wal->pending_count; i++)
            wal_index_note(&wal->index, &wal->pending[i],
                           i == 0 ? wal->last_index : wal->pending[i].index - 1);
        wal->last_index = entries[count - 1].index;
        if (wal->last_index > segment->max_index)
            segment->max_index = wal->last_index;
    }
    pthread_mutex_unlock(&wal->lock);
}

int wal_append(struct wal *wal, const struct wal_entry *entries, size_t count,
               const struct wal_hard_state *state, bool sync) {
    int result = wal_poisoned(wal);
    size_t bound = 0;
    if (result == 0)
        result = size_bound(entries, count, &bound);
    if (result != 0 || (count == 0 && state == NULL))
        return result;
    check_entries(wal, entries, count, state);
    result = make_room(wal, bound);
    if (result != 0)
        return result;

    uint32_t before = wal->crc;
    begin_write(wal);
    for (size_t i = 0; i < count; i++) {
        note_point(wal, entries[i].index);
        wal_put_entry(&wal->encode, &wal->crc, &entries[i]);
    }
    if (state != NULL) {
        wal_put_state(&wal->encode, &wal->crc, state);
        wal->state = *state;
        wal->has_state = true;
    }
    result = finish_write(wal, before, sync);
    if (result == 0)
        publish_entries(wal, entries, count);
    return result;
}

int wal_mark_snapshot(struct wal *wal, const struct wal_snapshot *snapshot) {
    int result = wal_poisoned(wal);
    if (result == 0)
        result = make_room(wal, WAL_MARK_BYTES + WAL_ENTRY_OVERHEAD + snapshot->conf_state.length);
    if (result != 0)
        return result;
    uint32_t before = wal->crc;
    begin_write(wal);
    wal_put_snapshot(&wal->encode, &wal->crc, snapshot);
    result = finish_write(wal, before, true);
    if (result != 0)
        return result;
    wal->snapshot_index = snapshot->index;
    wal->snapshot_sequence = wal->segments[wal->segment_count - 1].sequence;
    pthread_mutex_lock(&wal->lock);
    publish_write(wal);
    if (snapshot->index > wal->last_index) {
        wal->last_index = snapshot->index;
        wal_index_clear(&wal->index);
    }
    pthread_mutex_unlock(&wal->lock);
    return 0;
}

/* --- releasing ------------------------------------------------------------------------------------------ */

/* Takes the oldest segment out of the list when it may go. */
static bool take_releasable(struct wal *wal, uint64_t index, struct wal_segment *segment) {
    pthread_mutex_lock(&wal->lock);
    *segment = wal->segments[0];
    bool releasable =
        wal->segment_count > 1 && segment->max_index <= index && segment->sequence < wal->snapshot_sequence;
    if (releasable) {
        wal->segment_count--;
        memmove(wal->segments, wal->segments + 1, wal->segment_count * sizeof *wal->segments);
        wal_index_release(&wal->index, wal->segments[0].sequence);
    }
    pthread_mutex_unlock(&wal->lock);
    return releasable;
}

int wal_release(struct wal *wal, uint64_t index) {
    int result = wal_poisoned(wal);
    if (index > wal->snapshot_index)
        index = wal->snapshot_index;
    struct wal_segment segment;
    while (result == 0 && take_releasable(wal, index, &segment)) {
        /* One by one, each made durable: a crash must never leave a gap in the sequence. */
        result = wal->disk->operations->unlink(wal->disk, wal_segment_path(wal, &segment).text);
        if (result == 0)
            result = wal->disk->operations->sync_directory(wal->disk, wal->directory);
        if (result != 0)
            wal_poison(wal, result);
    }
    return result;
}
