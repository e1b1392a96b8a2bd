/*
 * log_truth: the Raft log as the simulator saw it go to disk, from the first entry on, and two checks on it:
 * what was durable is never replaced by something else, and never missing after a restart.
 *
 * An entry is noted when its write begins, replacing all from its index on; whether the write of a killed
 * process reached the disk is open until raft is back: it goes on behind what it found. So at the end of a
 * run the notes up to raft's last index are the log.
 */
#ifndef QUORATE_SIM_LOG_TRUTH_H
#define QUORATE_SIM_LOG_TRUTH_H

#include "common/bytes.h"
#include "world.h"

struct truth_entry {
    uint64_t term;
    uint16_t type;
    struct bytes data; /* owned */
    uint64_t noted_us; /* when its write began */
};

struct log_truth {
    struct truth_entry *entries; /* entries[i] has index i + 1 */
    size_t count, capacity;
    uint64_t durable; /* writes up to this index have completed */
};

/* A write of this entry begins. */
void log_truth_note(struct log_truth *log, struct world *world, uint64_t index, uint64_t term, uint16_t type,
                    struct bytes data);
/* All that was noted has become durable. */
void log_truth_durable(struct log_truth *log);
/* raft has opened its log again and found `last`. */
void log_truth_reopened(struct log_truth *log, struct world *world, uint64_t last);
void log_truth_free(struct log_truth *log);

#endif
