/*
 * log_model: what a log should hold, for comparison with what a WAL does hold. For the WAL's tests.
 *
 * The model is an array of (term, hash of type and data) that is cut and extended as the log is: once by the
 * test for what it wrote, once by wal_open's visitor for what came back.
 */
#ifndef QUORATE_TESTS_UNIT_RAFT_WAL_LOG_MODEL_H
#define QUORATE_TESTS_UNIT_RAFT_WAL_LOG_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/crc32c.h"
#include "raft/wal/wal.h"
#include "sim/model_disk.h"

enum {
    LOG_MODEL_LIMIT = 8192,
    SMALL_SEGMENT = 16 << 10,
};
static const struct wal_metadata test_metadata = {.node = 0x8e9e05c52164694dU,
                                                  .cluster = 0xcdf818194e3a8c32U};

struct log_model {
    uint64_t first, last; /* held: first … last; first = last + 1 without entries */
    struct {
        uint64_t term;
        uint32_t hash;
    } entries[LOG_MODEL_LIMIT];
    struct wal_hard_state state;
    uint64_t snapshot_index, snapshot_term;
};

static inline void log_model_clear(struct log_model *model) {
    *model = (struct log_model){.first = 1};
}

static inline uint32_t hash_entry(const struct wal_entry *entry) {
    return crc32c_update(entry->type, entry->data.data, entry->data.length);
}

static inline void log_model_entry(void *context, const struct wal_entry *entry) {
    struct log_model *model = context;
    assert_true(entry->index < LOG_MODEL_LIMIT);
    if (model->first > model->last || entry->index < model->first) {
        model->first = entry->index;
        model->last = entry->index - 1;
    }
    assert_true(entry->index <= model->last + 1);
    model->entries[entry->index].term = entry->term;
    model->entries[entry->index].hash = hash_entry(entry);
    model->last = entry->index;
}

static inline void log_model_state(void *context, const struct wal_hard_state *state) {
    ((struct log_model *)context)->state = *state;
}

static inline void log_model_snapshot(void *context, const struct wal_snapshot *snapshot) {
    struct log_model *model = context;
    model->snapshot_index = snapshot->index;
    model->snapshot_term = snapshot->term;
    if (snapshot->index > model->last) {
        model->last = snapshot->index;
        model->first = snapshot->index + 1;
    }
}

static inline struct wal_visitor log_model_visitor(struct log_model *model) {
    /* A log whose beginning was released starts anywhere. */
    *model = (struct log_model){.first = 1};
    return (struct wal_visitor){
        .entry = log_model_entry, .state = log_model_state, .snapshot = log_model_snapshot, .context = model};
}

static inline bool same_entry(const struct log_model *a, const struct log_model *b, uint64_t index) {
    return a->entries[index].term == b->entries[index].term &&
           a->entries[index].hash == b->entries[index].hash;
}

static inline bool same_state(const struct wal_hard_state *a, const struct wal_hard_state *b) {
    return a->term == b->term && a->vote == b->vote && a->commit == b->commit;
}

/* True when both end alike and agree wherever both hold an entry. */
static inline bool same_log(const struct log_model *a, const struct log_model *b) {
    uint64_t from = a->first > b->first ? a->first : b->first;
    if (a->last != b->last)
        return false;
    for (uint64_t index = from; index <= a->last; index++)
        if (!same_entry(a, b, index))
            return false;
    return true;
}

/* Every entry the model holds, through wal_read in pieces. */
static inline void check_read(void *context, const struct wal_entry *entry) {
    struct log_model *model = context;
    assert_int_equal(entry->index, model->last + 1);
    model->last = entry->index;
    model->entries[entry->index].term = entry->term;
    model->entries[entry->index].hash = hash_entry(entry);
}

static inline void assert_readable(struct wal *wal, const struct log_model *model, uint64_t from, uint64_t to,
                                   size_t limit) {
    struct log_model *read = calloc(1, sizeof *read);
    read->last = from - 1;
    while (read->last < to) {
        uint64_t before = read->last;
        assert_int_equal(wal_read(wal, before + 1, to, limit, check_read, read), 0);
        assert_true(read->last > before && read->last <= to);
    }
    for (uint64_t index = from; index <= to; index++)
        assert_true(same_entry(model, read, index));
    free(read);
}

static inline uint64_t draw_number(uint64_t *random, uint64_t below) {
    uint64_t z = *random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % below;
}

static uint8_t test_payload[64 << 10];

static inline void fill_payload(void) {
    uint64_t random = 42;
    for (size_t i = 0; i < sizeof test_payload; i++)
        test_payload[i] = (uint8_t)draw_number(&random, 256);
}

/* An entry whose data is a slice of the payload, seldom zeros. */
static inline struct wal_entry make_entry(uint64_t *random, uint64_t index, uint64_t term, size_t longest) {
    static const uint8_t zeros[64 << 10];
    size_t length = (size_t)draw_number(random, longest + 1);
    const uint8_t *source = draw_number(random, 10) == 0 ? zeros : test_payload;
    size_t offset = (size_t)draw_number(random, sizeof test_payload - length);
    return (struct wal_entry){.index = index,
                              .term = term,
                              .type = (uint16_t)draw_number(random, 3),
                              .data = bytes_of(source + offset, length)};
}

#endif
