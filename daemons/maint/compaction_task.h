/*
 * compaction_task: when a physical compaction is due, and how far maint may be ahead of apply with its plan.
 *
 * Due: when apply's log was compacted logically further than physically. A compaction reads all history that
 * is retained, so the next one begins only after some multiple of the time that the last one took; at once
 * when somebody waits for it, and after a pause when the last one failed.
 *
 * Pure.
 */
#ifndef QUORATE_MAINT_COMPACTION_TASK_H
#define QUORATE_MAINT_COMPACTION_TASK_H

#include "common/bus/contract.h"

struct compaction_task {
    struct bus_apply_state apply; /* as last told */
    bool known;                   /* it was */
    uint64_t begun_us, not_before_us;
    bool last_failed;
    int64_t revision;     /* of the one under way */
    uint64_t sent, acked; /* items */
    bool sent_last, done; /* done: apply says so */
};

void compaction_task_told(struct compaction_task *task, const struct bus_apply_state *state);
bool compaction_task_is_due(const struct compaction_task *task, uint64_t now_us);
void compaction_task_begin(struct compaction_task *task, uint64_t now_us);
/* Whether another piece may be sent. */
bool compaction_task_has_room(const struct compaction_task *task);
void compaction_task_sent(struct compaction_task *task, uint64_t items, bool last);
/* False: the plan is void. */
bool compaction_task_acked(struct compaction_task *task, const struct bus_plan *answer);
void compaction_task_end(struct compaction_task *task, bool failed, uint64_t now_us);

#endif
