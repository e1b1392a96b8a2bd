/* index: see index.h. */
#include "raft/wal/index.h"

#include <stdlib.h>

#include "common/bytes.h"

enum { SPACING = 256 << 10 };

static bool wants_point(const struct wal_index *index, const struct wal_point *at, uint64_t last) {
    if (index->count == 0 || at->index != last + 1)
        return true;
    const struct wal_point *newest = &index->points[index->count - 1];
    return newest->sequence != at->sequence || at->offset - newest->offset >= SPACING;
}

void wal_index_note(struct wal_index *index, const struct wal_point *at, uint64_t last) {
    bool wanted = wants_point(index, at, last);
    while (index->count > 0 && index->points[index->count - 1].index >= at->index)
        index->count--;
    if (!wanted)
        return;
    if (index->count == index->capacity) {
        index->capacity = index->capacity == 0 ? 64 : index->capacity * 2;
        index->points = must_realloc(index->points, index->capacity * sizeof *index->points);
    }
    index->points[index->count++] = *at;
}

size_t wal_index_find(const struct wal_index *index, uint64_t entry) {
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->points[middle].index <= entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? index->count : low - 1;
}

void wal_index_release(struct wal_index *index, uint64_t sequence) {
    size_t gone = 0;
    while (gone < index->count && index->points[gone].sequence < sequence)
        gone++;
    if (gone == 0)
        return;
    memmove(index->points, index->points + gone, (index->count - gone) * sizeof *index->points);
    index->count -= gone;
}

void wal_index_clear(struct wal_index *index) {
    index->count = 0;
}

void wal_index_free(struct wal_index *index) {
    free(index->points);
    *index = (struct wal_index){0};
}
