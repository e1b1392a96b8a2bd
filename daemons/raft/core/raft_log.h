/*
 * raft_log: the log as the core sees it: terms of all entries, data of the newest.
 *
 * The log begins behind its base (what a snapshot or a release cut off; {0,0} in a new one). Terms are kept
 * as runs, for all indexes; the data of entries in a cache of blocks, oldest block out first, and never
 * before it is durable. One copy goes in, nothing is allocated per entry: an entry costs 16 bytes beside its
 * data.
 *
 * Pointers handed out stay valid until the entry is evicted (raft_log_evict), even if it is truncated: a
 * write under way may go on reading what a new leader has just overruled.
 */
#ifndef QUORATE_RAFT_CORE_RAFT_LOG_H
#define QUORATE_RAFT_CORE_RAFT_LOG_H

#include "common/bytes.h"

struct raft_entry {
    uint64_t index, term;
    uint16_t type; /* raftpb.EntryType */
    struct bytes data;
};

struct log_run;
struct log_slot;
struct log_block;

struct raft_log {
    uint64_t base_index, base_term;
    uint64_t last;   /* == base_index when empty */
    uint64_t bytes;  /* of data, ever appended (a measure of how far apart two moments are) */
    uint64_t cached; /* first index whose data is in memory; last + 1: none */
    size_t cache_limit;
    size_t block_size;
    struct log_run *runs; /* ascending; the term of the entries from `first` on */
    size_t run_count, run_capacity;
    struct log_slot *slots; /* ring, by index & mask */
    uint64_t slot_mask;
    struct log_block *head, *tail, *spare;
    size_t block_bytes; /* capacity of all blocks in use */
};

void raft_log_init(struct raft_log *log, size_t cache_limit);
void raft_log_free(struct raft_log *log);

/* Empties the log: it begins behind {index, term}. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);
/* Appends at last + 1, copying the data. */
uint64_t raft_log_append(struct raft_log *log, uint64_t term, uint16_t type, struct bytes data);
/* Forgets the entries from index on (index > base). */
void raft_log_truncate(struct raft_log *log, uint64_t index);
/* Moves the base up to index (at most last): the entries up to there are no longer part of the log. */
void raft_log_release(struct raft_log *log, uint64_t index);
/* Shrinks the cache to its limit, as far as entries are durable (at or below `durable`). */
void raft_log_evict(struct raft_log *log, uint64_t durable);

/* False below the base and above last. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term);
uint64_t raft_log_last_term(const struct raft_log *log);
/* False when the entry's data is not in memory. Borrowed. */
bool raft_log_get(const struct raft_log *log, uint64_t index, struct raft_entry *entry);

#endif
