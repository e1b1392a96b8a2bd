/*
 * compaction_scan: computes from a checkpoint what a physical compaction has to do
 * (common/compaction_plan.h).
 *
 * Happy path. One pass over the log above the compacted revision C gathers the links that lead below it.
 * Merged with what is kept already, they say what is to be kept in addition, and what can be forgotten. A
 * pass over the log from the last compaction to C finds the deletions, and of those the ones that are their
 * keys' current states. (A link from C itself needs nothing: nobody reads before C.)
 *
 * Memory is bounded: if there are more links than `links_limit`, the lower ones are dealt with first, and
 * further passes over the log gather the rest.
 *
 * In slices, so that whoever runs it can make pauses. Failures are the checkpoint's (checkpoint.h).
 */
#ifndef QUORATE_MAINT_COMPACTION_SCAN_H
#define QUORATE_MAINT_COMPACTION_SCAN_H

#include "common/compaction_plan.h"

#include "maint/checkpoint.h"

enum { COMPACTION_LINKS_LIMIT = 2 << 20 }; /* of 16 bytes */

enum compaction_scan_phase { SCAN_LINKS, SCAN_KEPT, SCAN_DELETIONS, SCAN_COMPLETE };

struct compaction_scan {
    struct checkpoint *checkpoint;
    int64_t physical, compacted;
    size_t links_limit;
    enum compaction_scan_phase phase;
    struct checkpoint_cursor *cursor;

    /* The links in (low, high] found so far. */
    struct revision *links;
    size_t count, capacity;
    struct revision low, high;
    size_t at;            /* next to be merged */
    bool has_kept;        /* the merge has looked ahead: */
    struct revision kept; /* at this one */
    bool no_more_kept;

    struct buffer key, current; /* of what is looked up */
};

/* physical: the compacted revision of the last physical compaction; -1: none. */
void compaction_scan_begin(struct compaction_scan *scan, struct checkpoint *checkpoint, int64_t physical,
                           int64_t compacted, size_t links_limit);
/*
 * Looks at up to `records` records, and appends up to `most` items to *items (adding to *count how many).
 * True: that was all, or the checkpoint has failed.
 */
bool compaction_scan_step(struct compaction_scan *scan, unsigned records, unsigned most, struct buffer *items,
                          uint64_t *count);
/* Does not close the checkpoint. */
void compaction_scan_free(struct compaction_scan *scan);

#endif
