/* compaction_task: see compaction_task.h. */
#include "maint/compaction_task.h"

#define SECOND UINT64_C(1000000)

enum {
    ITEMS_AHEAD = 1024,
    REST_TIMES = 3, /* as long as the last one took */
};
static const uint64_t after_failure_us = 5 * SECOND;

void compaction_task_told(struct compaction_task *task, const struct bus_apply_state *state) {
    task->apply = *state;
    task->known = true;
}

bool compaction_task_is_due(const struct compaction_task *task, uint64_t now_us) {
    bool rested = now_us >= task->not_before_us;
    return task->known && task->apply.compacted > task->apply.physical &&
           (rested || (task->apply.awaited && !task->last_failed));
}

void compaction_task_begin(struct compaction_task *task, uint64_t now_us) {
    task->begun_us = now_us;
    task->revision = 0;
    task->sent = task->acked = 0;
    task->sent_last = task->done = false;
}

bool compaction_task_has_room(const struct compaction_task *task) {
    return task->sent - task->acked < ITEMS_AHEAD;
}

void compaction_task_sent(struct compaction_task *task, uint64_t items, bool last) {
    task->sent += items;
    task->sent_last = last;
}

bool compaction_task_acked(struct compaction_task *task, const struct bus_plan *answer) {
    if (answer->status != 0 || answer->items > task->sent || (answer->last && !task->sent_last))
        return false;
    task->acked = answer->items;
    task->done = answer->last;
    return true;
}

void compaction_task_end(struct compaction_task *task, bool failed, uint64_t now_us) {
    uint64_t took_us = now_us - task->begun_us;
    task->last_failed = failed;
    task->not_before_us = now_us + (failed ? after_failure_us : REST_TIMES * took_us);
    task->known = task->known && failed; /* else apply is about to say where it stands now */
}
