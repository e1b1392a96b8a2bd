/*
 * maintenance: apply's side of the link to maint: checkpoints, physical compaction, and, once a tick when it
 * changed, where we stand and how busy we are.
 *
 * Inside the daemon's combiner.
 */
#ifndef QUORATE_APPLY_MAINTENANCE_H
#define QUORATE_APPLY_MAINTENANCE_H

#include "apply/compaction/compaction.h"
#include "apply/reads.h"

struct maintenance {
    struct mvcc *mvcc;
    struct reads *reads;
    const uint64_t *member; /* for our HELLO */
    struct checkpoints checkpoints;
    struct compaction compaction;
    struct bus_link *link;
    struct bus_apply_state told;
    uint64_t now_us;
    uint64_t busy_us; /* that rounds with entries took since the last tick */
    uint64_t ticked_us;
    uint16_t load; /* as of the last tick: 0..1000 */
};

struct maintenance_options {
    struct mvcc *mvcc;
    struct reads *reads;
    const char *member_directory; /* NULL: no checkpoints are made */
    const uint64_t *member;
    uint64_t (*clock_us)(void);
};

void maintenance_init(struct maintenance *maintenance, const struct maintenance_options *options,
                      uint64_t now_us);
void maintenance_free(struct maintenance *maintenance);
struct bus_handler maintenance_handler(struct maintenance *maintenance);
void maintenance_set_link(struct maintenance *maintenance, struct bus_link *link);

/* In every round, before its batch is written and after. */
void maintenance_begin_write(struct maintenance *maintenance, uint64_t now_us);
void maintenance_end_write(struct maintenance *maintenance);
/* A round with entries took so long. */
void maintenance_took(struct maintenance *maintenance, uint64_t round_us);
/* A checkpoint's job came back. */
void maintenance_job_done(struct maintenance *maintenance, struct apply_job *job);

/* With every tick. */
bool maintenance_wants_flush(const struct maintenance *maintenance);
void maintenance_flush_begun(struct maintenance *maintenance);
void maintenance_tick(struct maintenance *maintenance, uint64_t now_us);

/* Whether the result is kept until the physical compaction that it awaits is done. */
bool maintenance_defer(struct maintenance *maintenance, const struct outcome *outcome);

#endif
