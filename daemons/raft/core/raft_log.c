/* raft_log: see raft_log.h. */
#include "raft/core/raft_log.h"

#include <stdlib.h>

enum {
    BLOCK_LEAST = 256,
    BLOCK_MOST = 1 << 20,
    BLOCKS = 32,      /* that the cache is divided into, in whole ones of which it is evicted */
    ENTRY_LEAST = 64, /* what an entry costs at least, so that the ring of slots is bounded with the cache */
    FIRST_SLOTS = 1024,
    FIRST_RUNS = 16,
};

struct log_run {
    uint64_t first, term;
};

struct log_slot {
    const uint8_t *data;
    uint32_t length;
    uint16_t type;
};

struct log_block {
    struct log_block *next;
    size_t used, capacity;
    uint64_t last; /* largest index ever put here */
    uint8_t data[];
};

void raft_log_init(struct raft_log *log, size_t cache_limit) {
    *log = (struct raft_log){.cached = 1, .cache_limit = cache_limit, .slot_mask = FIRST_SLOTS - 1};
    log->block_size = cache_limit / BLOCKS;
    if (log->block_size < BLOCK_LEAST)
        log->block_size = BLOCK_LEAST;
    if (log->block_size > BLOCK_MOST)
        log->block_size = BLOCK_MOST;
    log->slots = must_zalloc(FIRST_SLOTS * sizeof *log->slots);
}

static void free_blocks(struct raft_log *log) {
    while (log->head != NULL) {
        struct log_block *block = log->head;
        log->head = block->next;
        free(block);
    }
    log->tail = NULL;
    log->block_bytes = 0;
}

void raft_log_free(struct raft_log *log) {
    free_blocks(log);
    free(log->spare);
    free(log->runs);
    free(log->slots);
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term) {
    free_blocks(log);
    log->base_index = log->last = index;
    log->base_term = term;
    log->cached = index + 1;
    log->run_count = 0;
}

/* Doubles the ring, each entry to its new place. */
static void grow_slots(struct raft_log *log) {
    uint64_t mask = log->slot_mask * 2 + 1;
    struct log_slot *slots = must_zalloc((size_t)(mask + 1) * sizeof *slots);
    for (uint64_t index = log->cached; index <= log->last; index++)
        slots[index & mask] = log->slots[index & log->slot_mask];
    free(log->slots);
    log->slots = slots;
    log->slot_mask = mask;
}

static void add_block(struct raft_log *log, size_t length) {
    struct log_block *block = log->spare;
    if (length <= log->block_size && block != NULL) {
        log->spare = NULL;
    } else {
        size_t capacity = length > log->block_size ? length : log->block_size;
        block = must_alloc(sizeof *block + capacity);
        block->capacity = capacity;
    }
    block->next = NULL;
    block->used = 0;
    block->last = 0;
    if (log->tail == NULL)
        log->head = block;
    else
        log->tail->next = block;
    log->tail = block;
    log->block_bytes += block->capacity;
}

static void add_run(struct raft_log *log, uint64_t first, uint64_t term) {
    if (log->run_count == log->run_capacity) {
        log->run_capacity = log->run_capacity == 0 ? FIRST_RUNS : log->run_capacity * 2;
        log->runs = must_realloc(log->runs, log->run_capacity * sizeof *log->runs);
    }
    log->runs[log->run_count++] = (struct log_run){.first = first, .term = term};
}

uint64_t raft_log_append(struct raft_log *log, uint64_t term, uint16_t type, struct bytes data) {
    if (log->last + 1 - log->cached > log->slot_mask)
        grow_slots(log);
    size_t cost = data.length < ENTRY_LEAST ? ENTRY_LEAST : data.length;
    if (log->tail == NULL || log->tail->capacity - log->tail->used < cost)
        add_block(log, cost);
    struct log_block *block = log->tail;
    uint8_t *place = block->data + block->used;
    if (data.length > 0)
        memcpy(place, data.data, data.length);
    block->used += cost;
    uint64_t index = ++log->last;
    if (block->last < index)
        block->last = index;
    log->slots[index & log->slot_mask] =
        (struct log_slot){.data = place, .length = (uint32_t)data.length, .type = type};
    log->bytes += data.length;
    if (log->run_count == 0 || log->runs[log->run_count - 1].term != term)
        add_run(log, index, term);
    return index;
}

void raft_log_truncate(struct raft_log *log, uint64_t index) {
    REQUIRE(index > log->base_index);
    if (index > log->last)
        return;
    log->last = index - 1;
    if (log->cached > index)
        log->cached = index;
    while (log->run_count > 0 && log->runs[log->run_count - 1].first >= index)
        log->run_count--;
}

void raft_log_release(struct raft_log *log, uint64_t index) {
    if (index <= log->base_index)
        return;
    uint64_t term = 0;
    REQUIRE(raft_log_term(log, index, &term));
    size_t keep = log->run_count - 1;
    while (log->runs[keep].first > index)
        keep--;
    memmove(log->runs, log->runs + keep, (log->run_count - keep) * sizeof *log->runs);
    log->run_count -= keep;
    log->base_index = index;
    log->base_term = term;
}

void raft_log_evict(struct raft_log *log, uint64_t durable) {
    while (log->block_bytes > log->cache_limit && log->head != log->tail && log->head->last <= durable) {
        struct log_block *block = log->head;
        log->head = block->next;
        log->block_bytes -= block->capacity;
        if (log->cached <= block->last)
            log->cached = block->last + 1;
        if (log->spare == NULL && block->capacity == log->block_size)
            log->spare = block;
        else
            free(block);
    }
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term) {
    if (index < log->base_index || index > log->last)
        return false;
    *term = log->base_term;
    for (size_t i = log->run_count; i > 0 && index > log->base_index; i--) {
        if (log->runs[i - 1].first <= index) {
            *term = log->runs[i - 1].term;
            break;
        }
    }
    return true;
}

uint64_t raft_log_last_term(const struct raft_log *log) {
    uint64_t term = 0;
    raft_log_term(log, log->last, &term);
    return term;
}

bool raft_log_get(const struct raft_log *log, uint64_t index, struct raft_entry *entry) {
    if (index < log->cached || index <= log->base_index || index > log->last)
        return false;
    const struct log_slot *slot = &log->slots[index & log->slot_mask];
    *entry =
        (struct raft_entry){.index = index, .type = slot->type, .data = bytes_of(slot->data, slot->length)};
    return raft_log_term(log, index, &entry->term);
}
