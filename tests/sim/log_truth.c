/* log_truth: see log_truth.h. */
#include "log_truth.h"

#include <inttypes.h>
#include <stdlib.h>

static struct bytes copy_bytes(struct bytes bytes) {
    uint8_t *data = must_alloc(bytes.length + 1);
    if (bytes.length > 0)
        memcpy(data, bytes.data, bytes.length);
    return bytes_of(data, bytes.length);
}

static void cut(struct log_truth *log, size_t count) {
    while (log->count > count)
        free((void *)log->entries[--log->count].data.data);
}

void log_truth_note(struct log_truth *log, struct world *world, uint64_t index, uint64_t term, uint16_t type,
                    struct bytes data) {
    if (index == 0 || index > log->count + 1) {
        world_fail(world, "raft writes entry %" PRIu64 " behind entry %zu", index, log->count);
        return;
    }
    if (index <= log->durable) {
        world_fail(world, "raft writes entry %" PRIu64 " although %" PRIu64 " are durable", index,
                   log->durable);
        return;
    }
    cut(log, index - 1);
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        log->entries = must_realloc(log->entries, log->capacity * sizeof *log->entries);
    }
    log->entries[log->count++] =
        (struct truth_entry){.term = term, .type = type, .data = copy_bytes(data), .noted_us = world->now_us};
}

void log_truth_durable(struct log_truth *log) {
    log->durable = log->count;
}

void log_truth_reopened(struct log_truth *log, struct world *world, uint64_t last) {
    if (last < log->durable)
        world_fail(world, "raft found %" PRIu64 " entries in its log, %" PRIu64 " were durable", last,
                   log->durable);
    if (last > log->count)
        world_fail(world, "raft found %" PRIu64 " entries in its log, only %zu were written", last,
                   log->count);
    cut(log, last);
    /* On open everything that was found is synced before anything else happens. */
    log->durable = log->count;
}

void log_truth_free(struct log_truth *log) {
    cut(log, 0);
    free(log->entries);
}
