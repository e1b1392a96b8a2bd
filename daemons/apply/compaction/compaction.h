/*
 * compaction: the physical step: space for what nobody may read any more (mvcc/kept.h says what goes and what
 * is kept). maint plans it, apply carries it out.
 *
 * Happy path. maint asks (BUS_MAINT_COMPACT); from then on superseded records are kept as they go. When the
 * current states in the store have caught up with the compacted revision, a checkpoint is made, and answered
 * with that revision. The plan arrives in pieces and is carried out a few items a round, so that no write
 * waits long behind it. With its last item carried out, a mark is written behind it; when the mark is
 * durable, so is everything before it, and the log below the revision is dropped.
 *
 * Results of compactions that were asked to be physical wait here until then.
 *
 * Failure modes. Whatever breaks off (maint is gone, the plan is malformed, a record that it names is
 * nowhere) makes the plan void: nothing is dropped, what was kept in vain is found by the next plan. A crash
 * is the same. A request while one is under way replaces it, except while its checkpoint is being made:
 * EBUSY.
 *
 * Pure; inside the daemon's combiner.
 */
#ifndef QUORATE_APPLY_COMPACTION_COMPACTION_H
#define QUORATE_APPLY_COMPACTION_COMPACTION_H

#include "common/bus/contract.h"

#include "apply/checkpoints.h"
#include "apply/mvcc/mvcc.h"

enum compaction_phase {
    COMPACTION_IDLE,
    COMPACTION_SPILLING, /* until the store's current states are new enough for a checkpoint */
    COMPACTION_COPYING,  /* the checkpoint is being made */
    COMPACTION_PLANNED,  /* the plan arrives and is carried out */
    COMPACTION_FLUSHING, /* until what was carried out is durable */
};

struct deferred {
    struct deferred *next;
    struct outcome outcome; /* its body is a copy behind this struct */
};

struct compaction {
    struct mvcc *mvcc;
    struct checkpoints *checkpoints;
    struct bus_link *link;      /* to maint; NULL: not yet */
    uint64_t (*clock_us)(void); /* may be NULL */
    enum compaction_phase phase;
    uint64_t id; /* maint's, of the compaction under way */
    int64_t revision;
    struct buffer directory;
    struct recent_mark mark;
    struct buffer items; /* that arrived and are not carried out */
    size_t items_used;
    uint64_t arrived, carried_out, reported;
    uint64_t kept, forgotten, tombstones;
    bool last_arrived, flush_begun;
    uint64_t began_us;
    struct deferred *waiting, **waiting_tail;
    size_t waiting_count;
};

/* Goes on dropping what was to be dropped before a restart. */
void compaction_init(struct compaction *compaction, struct mvcc *mvcc, struct checkpoints *checkpoints,
                     uint64_t (*clock_us)(void));
void compaction_free(struct compaction *compaction);

/* --- records of maint --- */
void compaction_request(struct compaction *compaction, const struct bus_checkpoint *request, uint64_t now_us);
void compaction_take(struct compaction *compaction, const struct bus_plan *plan);
/* maint is gone. */
void compaction_abandon(struct compaction *compaction);

/* --- in every round --- */
/* Before its batch is written: carries out some items; fewer when `busy`. */
void compaction_carry_out(struct compaction *compaction, bool busy);
/* After: acknowledges; returns a checkpoint to be made, if it is time for one. */
struct apply_job *compaction_advance(struct compaction *compaction);
void compaction_copied(struct compaction *compaction, bool made);
/* There is something to do that no event will bring about. */
bool compaction_is_waiting_for_rounds(const struct compaction *compaction);

/* --- with every tick --- */
/* What was written should be flushed now; compaction_flush_begun when that was begun. */
bool compaction_wants_flush(const struct compaction *compaction);
void compaction_flush_begun(struct compaction *compaction);
/* Looks whether it is durable, and then drops. */
void compaction_tick(struct compaction *compaction, uint64_t now_us);

/*
 * Keeps the result of a compaction until the log below outcome->awaits is dropped. False: that is so already,
 * or too many wait. Those that need not wait any longer are taken one by one; the caller frees them.
 */
bool compaction_defer(struct compaction *compaction, const struct outcome *outcome);
struct deferred *compaction_undefer(struct compaction *compaction);
bool compaction_is_awaited(const struct compaction *compaction);

#endif
