/*
 * maint_work: what is done with a checkpoint, outside the role: looked into, or read through for a compaction
 * plan; and removed in the end.
 *
 * Owner: the role; between take and done, whoever took it.
 */
#ifndef QUORATE_MAINT_MAINT_WORK_H
#define QUORATE_MAINT_MAINT_WORK_H

#include "maint/compaction_scan.h"

enum { MAINT_PATH = 4096 };

enum maint_work_kind {
    WORK_CHECK,  /* compare the index inside with what apply says */
    WORK_PLAN,   /* compute a compaction plan, a piece a call */
    WORK_REMOVE, /* nothing: the checkpoint is not wanted any more */
};

struct maint_work {
    enum maint_work_kind kind;
    char directory[MAINT_PATH];
    char stale[MAINT_PATH]; /* another one to be removed, given up before; "": none */
    uint64_t index;         /* what apply says is inside */

    bool finished, failed; /* finished: the checkpoint is removed */

    /* PLAN */
    int64_t physical, compacted;
    struct checkpoint *checkpoint; /* open from the first call to the last */
    struct compaction_scan scan;
    struct buffer items; /* this piece */
    uint64_t count;      /* items in it */
};

/* One slice, bounded; any thread. */
void maint_work_run(struct maint_work *work, const struct checkpoint_files *files);
/* Closes what may be open. */
void maint_work_free(struct maint_work *work);

#endif
