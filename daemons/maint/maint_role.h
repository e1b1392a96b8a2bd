/*
 * maint_role: the maintenance daemon's role loop: when to take a checkpoint, and what becomes of it.
 *
 * Happy path of a compaction. apply says where it stands (BUS_APPLY_STATE); when history is to go, it is
 * asked for a checkpoint (BUS_MAINT_COMPACT). Its answer names the compacted revision and the Raft index
 * inside. The checkpoint becomes work that some thread does outside the role, slice by slice: it reads it
 * through and computes a plan (compaction_scan.h), whose pieces are sent on as they come, not too far ahead
 * of apply. Once all is read the checkpoint is removed; when apply says that the plan is carried out, the
 * compaction is over.
 *
 * While this member leads, maint also proposes the compactions that nobody has to ask for
 * (auto_compaction.h), to raft, in the term it knows.
 *
 * Some seconds after start, and once a day from then on, a checkpoint is made only to be looked into: that
 * shows that the path on which compaction, defragmentation, snapshots and backups stand works on this very
 * machine.
 *
 * One thing at a time. Failure modes. Links come and go: what was under way is forgotten with the link to
 * apply, the checkpoint is removed, and it begins anew later, in another directory. A checkpoint that fails,
 * or does not hold what apply says, is logged as an error and tried again, after some seconds for a
 * compaction, an hour for a check. Killed at any time, maint leaves at most files in its own directory, which
 * the next start removes. Proxies may connect; there is nothing to ask of us in this release.
 *
 * Pure: time is told, files are the work's business. Threading: everything inside the daemon's combiner,
 * except that a piece of work taken is the taker's until it is done.
 */
#ifndef QUORATE_MAINT_MAINT_ROLE_H
#define QUORATE_MAINT_MAINT_ROLE_H

#include "common/bus/contract.h"

#include "maint/auto_compaction.h"
#include "maint/maint_work.h"

enum {
    MAINT_FIRST_CHECK_US = 5 * 1000000, /* after start, and after an attempt that a lost link ended */
    MAINT_ANSWER_US = 600 * 1000000,    /* apply may take so long */
};

struct maint_role;

struct maint_options {
    const char *work_directory; /* absolute, ours alone, made by the caller; copied */
    uint64_t incarnation;       /* random per process */
    struct auto_compaction_options auto_compaction;
};
struct maint_role *maint_role_new(const struct maint_options *options, uint64_t now_us);
/* Nobody may be running a slice of work. */
void maint_role_free(struct maint_role *role);

struct bus_handler maint_role_raft_handler(struct maint_role *role);
struct bus_handler maint_role_apply_handler(struct maint_role *role);
struct bus_handler maint_role_proxy_handler(struct maint_role *role, unsigned slot);
void maint_role_attach_raft(struct maint_role *role, struct bus_link *link);
void maint_role_attach_apply(struct maint_role *role, struct bus_link *link);
void maint_role_attach_proxy(struct maint_role *role, unsigned slot, struct bus_link *link);

/* About every 100 ms; end_round follows. */
void maint_role_tick(struct maint_role *role, uint64_t now_us);
/* Flushes all links; once a round. */
void maint_role_end_round(struct maint_role *role, uint64_t now_us);

/* Asks for a checkpoint to be looked into now. False: something is under way, or apply is not there. */
bool maint_role_request_checkpoint(struct maint_role *role, uint64_t now_us);

/* A slice of work, to be looked for after each round: maint_work_run, then maint_role_work_done. NULL: none.
 */
struct maint_work *maint_role_take_work(struct maint_role *role);
void maint_role_work_done(struct maint_role *role, uint64_t now_us);

struct maint_state {
    bool ready;                           /* both raft and apply have been there at once since start */
    uint16_t load;                        /* of apply, 0..1000 */
    uint64_t requested, verified, failed; /* checkpoints to be looked into */
    uint64_t compactions, compaction_failures;
};
struct maint_state maint_role_state(const struct maint_role *role);

#endif
