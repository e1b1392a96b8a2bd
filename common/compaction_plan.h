/*
 * compaction_plan: what is to be done in the database before its log below a revision is dropped, as a
 * sequence of items. maint computes them from a checkpoint, apply carries them out
 * (daemons/apply/compaction).
 */
#ifndef QUORATE_COMMON_COMPACTION_PLAN_H
#define QUORATE_COMMON_COMPACTION_PLAN_H

#include "common/store_record.h"

enum plan_item_kind {
    PLAN_KEEP = 1,  /* the log's record is linked to from above: it moves to what is kept */
    PLAN_FORGET,    /* a kept record that nothing links to any more */
    PLAN_TOMBSTONE, /* the key's current state is this deletion */
};

struct plan_item {
    enum plan_item_kind kind;
    struct revision at;
    struct bytes key; /* TOMBSTONE */
};

/* Copies. */
void plan_item_put(struct buffer *out, const struct plan_item *item);
/* Takes the first of *items; borrows. False at the end, and when it is malformed: then *items is not empty.
 */
bool plan_item_next(struct bytes *items, struct plan_item *out);

#endif
