/*
 * open: takes stock of the directory, replays the segments, decides whether damage at the end is a torn write
 * or corruption, and leaves a tail that is known to be durable.
 *
 * The decision (wal.h has the reason): damage in any segment but the last, in a head, or before a later valid
 * mark is corruption; damage in the write that the last mark begins is that write torn. What follows that
 * write was not written by quorate (etcd had the directory): there etcd's own rule holds.
 *
 * What the last mark does not prove durable may be in the page cache alone, or even be there without being
 * dirty (after a failed fsync): it is written again before the sync.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/state.h"

#define REMEDY "Restore this member from a snapshot, or remove it from the cluster and add it again."

enum { ERROR_BYTES = 512, COPY_BYTES = 256 << 10 };

struct opening {
    struct wal *wal;
    char *error;
    enum wal_open_result result;
    char **temporary; /* names of leftovers to remove */
    size_t temporary_count;
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct opening *opening, enum wal_open_result result,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(opening->error, ERROR_BYTES, format, arguments);
    va_end(arguments);
    opening->result = result;
    return false;
}

static bool refuse_io(struct opening *opening, const char *path, const char *what, int error) {
    return refuse(opening, WAL_IO_ERROR, "WAL %s: cannot %s: %s. Check the disk and the permissions.", path,
                  what, strerror(-error));
}

static bool refuse_corrupt(struct opening *opening, const char *path, uint64_t offset, const char *damage,
                           const char *proof) {
    return refuse(opening, WAL_CORRUPT, "WAL segment %s is corrupt at offset %" PRIu64 ": %s; %s. " REMEDY,
                  path, offset, damage, proof);
}

/* --- the directory -------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *suffix) {
    size_t length = strlen(name);
    size_t tail = strlen(suffix);
    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static void see_name(void *context, const char *name) {
    struct opening *opening = context;
    struct wal_segment segment;
    if (wal_parse_segment_name(name, &segment)) {
        wal_add_segment(opening->wal, &segment);
    } else if (ends_with(name, ".tmp")) {
        opening->temporary =
            must_realloc(opening->temporary, (opening->temporary_count + 1) * sizeof *opening->temporary);
        opening->temporary[opening->temporary_count++] = must_strdup(name);
    } else if (!ends_with(name, ".wal.broken") && strcmp(name, "lost+found") != 0) {
        refuse(opening, WAL_FOREIGN_FILE,
               "WAL directory %s holds a foreign file: %s. Nothing was touched; move that file elsewhere.",
               opening->wal->directory, name);
    }
}

static int compare_segments(const void *a, const void *b) {
    const struct wal_segment *left = a;
    const struct wal_segment *right = b;
    return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

static bool list_segments(struct opening *opening) {
    struct wal *wal = opening->wal;
    int result = wal->disk->operations->list(wal->disk, wal->directory, see_name, opening);
    if (result != 0)
        return refuse_io(opening, wal->directory, "list the directory", result);
    if (opening->result != WAL_OPENED)
        return false;
    if (wal->segment_count == 0)
        return refuse(opening, WAL_CORRUPT, "WAL directory %s holds no segment. " REMEDY, wal->directory);
    qsort(wal->segments, wal->segment_count, sizeof *wal->segments, compare_segments);
    for (size_t i = 1; i < wal->segment_count; i++)
        if (wal->segments[i].sequence != wal->segments[i - 1].sequence + 1)
            return refuse(opening, WAL_CORRUPT,
                          "WAL directory %s: segment %016" PRIx64 " is missing before %s. " REMEDY,
                          wal->directory, wal->segments[i - 1].sequence + 1,
                          strrchr(wal_segment_path(wal, &wal->segments[i]).text, '/') + 1);
    return true;
}

static int remove_leftovers(struct opening *opening) {
    struct wal *wal = opening->wal;
    int result = 0;
    for (size_t i = 0; i < opening->temporary_count && result == 0; i++) {
        struct wal_path path;
        snprintf(path.text, sizeof path.text, "%s/%s", wal->directory, opening->temporary[i]);
        result = wal->disk->operations->unlink(wal->disk, path.text);
    }
    return result;
}

/* --- the last segment's tail ---------------------------------------------------------------------------- */

static bool judge_tail(struct opening *opening, const struct wal_replay *replay, const char *path,
                       const struct wal_scan *scan) {
    const char *damage = replay->damage != NULL ? replay->damage : "the log ends here";
    if (replay->hopeless)
        return refuse_corrupt(opening, path, replay->end, damage, "no crash leaves this behind");
    bool head_complete = replay->has_nonce ? replay->end >= replay->head_end : replay->records >= 2;
    if (!head_complete)
        return refuse_corrupt(opening, path, replay->end, damage,
                              "the head of a segment was durable before the segment got its name");
    if (replay->has_nonce && scan->proven != 0) {
        char proof[96];
        snprintf(proof, sizeof proof, "the valid mark at offset %" PRIu64 " proves that this was durable",
                 scan->proven);
        return refuse_corrupt(opening, path, replay->end, damage, proof);
    }
    bool own_write = replay->has_nonce && replay->end <= replay->mark.offset + replay->mark.length;
    if (replay->damage != NULL && !own_write && !replay->broken_off)
        return refuse_corrupt(opening, path, replay->end, damage,
                              "no sector of the record is zero, so it is not a torn write of etcd's");
    return true;
}

static int write_again(struct wal *wal, uint64_t from, uint64_t to) {
    uint8_t *copy = must_alloc(COPY_BYTES);
    int result = 0;
    while (from < to && result == 0) {
        size_t length = to - from < COPY_BYTES ? (size_t)(to - from) : COPY_BYTES;
        int64_t count = wal->disk->operations->read(wal->file, copy, length, from);
        if (count != (int64_t)length)
            result = count < 0 ? (int)count : -EIO;
        else
            result = wal->disk->operations->write(wal->file, copy, length, from);
        from += length;
    }
    free(copy);
    return result;
}

/* Makes what was read, and the zeros behind it, durable. */
static int settle_tail(struct opening *opening, const struct wal_replay *replay,
                       const struct wal_scan *scan) {
    struct wal *wal = opening->wal;
    int result = write_again(wal, replay->has_nonce ? replay->mark.offset : 0, replay->end);
    uint64_t zero_end = scan->nonzero_end < replay->size ? scan->nonzero_end : replay->size;
    if (result == 0)
        result = wal_write_zeros(wal->disk, wal->file, replay->end, zero_end);
    if (result == 0)
        result = wal_sync_file(wal, wal->file);
    if (result == 0)
        result = remove_leftovers(opening);
    if (result == 0)
        result = wal->disk->operations->sync_directory(wal->disk, wal->directory);
    wal->counts.torn_bytes = zero_end > replay->end ? zero_end - replay->end : 0;
    return result;
}

static bool check_whole(struct opening *opening, const struct wal_replay *replay, const char *path) {
    const struct wal *wal = opening->wal;
    char damage[160];
    if (!replay->has_metadata)
        return refuse_corrupt(opening, path, replay->end, "the log holds no metadata record",
                              "every segment begins with one");
    if (wal->state.commit > wal->last_index) {
        snprintf(damage, sizeof damage,
                 "the log ends with entry %" PRIu64 ", yet entry %" PRIu64 " is committed", wal->last_index,
                 wal->state.commit);
        return refuse_corrupt(opening, path, replay->end, damage, "committed entries were durable");
    }
    const struct wal_segment *first = &wal->segments[0];
    if (first->sequence > 0 && wal->snapshot_index + 1 < first->first_index) {
        snprintf(damage, sizeof damage,
                 "the log begins with entry %" PRIu64 ", and no snapshot record covers "
                 "those before",
                 first->first_index);
        return refuse_corrupt(opening, wal_segment_path(wal, first).text, 0, damage,
                              "segments before it are missing");
    }
    return true;
}

/* --- all of it ------------------------------------------------------------------------------------------ */

/* The segments before the last one: any damage is corruption. */
static bool replay_closed_segment(struct opening *opening, struct wal_replay *replay,
                                  struct wal_segment *segment) {
    struct wal *wal = opening->wal;
    struct wal_path path = wal_segment_path(wal, segment);
    struct disk_file *file = NULL;
    int result = wal->disk->operations->open(wal->disk, path.text, DISK_READ_ONLY, &file);
    if (result == 0) {
        result = wal_replay_segment(replay, segment, file);
        wal->disk->operations->close(file);
    }
    if (result != 0)
        return refuse_io(opening, path.text, "read the segment", result);
    if (replay->damage != NULL || replay->records < 2)
        return refuse_corrupt(opening, path.text, replay->end,
                              replay->damage != NULL ? replay->damage : "the log ends here",
                              "a later segment follows");
    return true;
}

static bool replay_last_segment(struct opening *opening, struct wal_replay *replay) {
    struct wal *wal = opening->wal;
    struct wal_segment *segment = &wal->segments[wal->segment_count - 1];
    struct wal_path path = wal_segment_path(wal, segment);
    int result = wal->disk->operations->open(wal->disk, path.text, 0, &wal->file);
    if (result == 0)
        result = wal_replay_segment(replay, segment, wal->file);
    struct wal_scan scan = {0};
    if (result == 0)
        result = wal_scan_tail(wal->disk, wal->file, wal->segment_nonce, replay->end, replay->size, &scan);
    if (result != 0)
        return refuse_io(opening, path.text, "read the segment", result);
    if (!judge_tail(opening, replay, path.text, &scan) || !check_whole(opening, replay, path.text))
        return false;
    wal->offset = wal->durable_offset = replay->end;
    wal->head_end = replay->head_end;
    wal->marked = replay->has_nonce && replay->mark.offset != 0 && replay->mark.length == WAL_MARK_BYTES &&
                  replay->end == replay->mark.offset + WAL_MARK_BYTES;
    result = settle_tail(opening, replay, &scan);
    /* etcd's segment has no nonce: go on in one of our own. */
    if (result == 0 && !replay->has_nonce)
        result = wal_cut(wal);
    return result == 0 || refuse_io(opening, path.text, "write the segment", result);
}

static bool replay_all(struct opening *opening, const struct wal_visitor *visitor) {
    struct wal *wal = opening->wal;
    struct wal_replay replay = {.wal = wal, .visitor = visitor};
    const struct wal_segment *first = &wal->segments[0];
    wal->last_index = first->first_index > 0 ? first->first_index - 1 : 0;
    for (size_t i = 0; i + 1 < wal->segment_count; i++)
        if (!replay_closed_segment(opening, &replay, &wal->segments[i]))
            return false;
    return replay_last_segment(opening, &replay);
}

enum wal_open_result wal_open(struct disk *disk, const char *directory, uint64_t nonce,
                              uint64_t segment_bytes, const struct wal_visitor *visitor,
                              struct wal_metadata *metadata, struct wal **opened, char error[512]) {
    struct opening opening = {.wal = wal_new(disk, directory, nonce, segment_bytes), .error = error};
    bool done = list_segments(&opening) && replay_all(&opening, visitor);
    for (size_t i = 0; i < opening.temporary_count; i++)
        free(opening.temporary[i]);
    free(opening.temporary);
    if (!done) {
        wal_poison(opening.wal, -EIO);
        wal_close(opening.wal);
        return opening.result;
    }
    wal_stream_free(&opening.wal->reader);
    *metadata = opening.wal->metadata;
    *opened = opening.wal;
    return WAL_OPENED;
}
