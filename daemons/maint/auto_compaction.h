/*
 * auto_compaction: when history is to be compacted without anybody asking, as etcd's compactors decide it.
 *
 * periodic: the revision of a retention period ago (and one sample more, as it is in etcd), first after a
 * whole period, then every period, or every hour if that is shorter. It is sampled ten times an interval, by
 * every member, so that a new leader goes on where the last one was. A compaction that fails is tried again
 * with the next sample.
 * revision: every five minutes, all but so many of the newest revisions.
 *
 * Only the leader proposes. A proposal has no answer: it was successful when apply says that the revision is
 * compacted.
 *
 * Pure: time is told.
 */
#ifndef QUORATE_MAINT_AUTO_COMPACTION_H
#define QUORATE_MAINT_AUTO_COMPACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auto_compaction_options {
    bool by_revision;   /* else periodic */
    uint64_t retention; /* milliseconds, or revisions; 0: off */
};

struct auto_compaction {
    struct auto_compaction_options options;
    uint64_t interval_us; /* between samples; revision: between compactions */
    uint64_t wait_us;     /* from the last success to the next compaction */
    uint64_t next_us;     /* sample */
    uint64_t success_us;
    int64_t pending; /* proposed; 0: none */
    uint64_t pending_us;
    int64_t *samples; /* a ring, oldest at `first` */
    size_t first, count, capacity, limit;
};

void auto_compaction_init(struct auto_compaction *compaction, const struct auto_compaction_options *options,
                          uint64_t now_us);
void auto_compaction_free(struct auto_compaction *compaction);
/*
 * About every 100 ms, with what apply says: its revision, and what is compacted (-1: nothing). Returns the
 * revision to propose a compaction at, or 0. `leads`: whether it would be taken.
 */
int64_t auto_compaction_tick(struct auto_compaction *compaction, uint64_t now_us, int64_t revision,
                             int64_t compacted, bool leads);

#endif
