/*
 * maint_role: the maintenance daemon's role loop: when to take a checkpoint, and what becomes of it.
 *
 * Happy path. Some seconds after start, and once a day from then on, apply is asked for a checkpoint in a
 * directory of ours. Its answer names the Raft index inside. The checkpoint becomes a piece of work that some
 * thread does outside the role: open it read-only, read the index, compare, remove it. That shows that the
 * path on which compaction, defragmentation, snapshots and backups will stand works on this very machine.
 *
 * Failure modes. Links come and go: a checkpoint that was asked for is forgotten with the link and asked for
 * again later, in another directory. A checkpoint that fails, or does not hold what apply says, is logged as
 * an error and tried again after an hour. Killed at any time, maint leaves at most files in its own
 * directory, which the next start removes. Proxies may connect; there is nothing to ask of us in this
 * release.
 *
 * Pure: time is told, files are the work's business. Threading: everything inside the daemon's combiner,
 * except that a piece of work taken is the taker's until it is done.
 */
#ifndef QUORATE_MAINT_MAINT_ROLE_H
#define QUORATE_MAINT_MAINT_ROLE_H

#include "common/bus/contract.h"

enum {
    MAINT_FIRST_CHECK_US = 5 * 1000000, /* after start, and after an attempt that a lost link ended */
    MAINT_ANSWER_US = 600 * 1000000,    /* apply may take so long */
};

struct maint_role;

/* work_directory: absolute, ours alone, made by the caller; copied. incarnation: random per process. */
struct maint_role *maint_role_new(const char *work_directory, uint64_t incarnation, uint64_t now_us);
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

/* Asks for a checkpoint now. False: one is under way, or apply is not there. */
bool maint_role_request_checkpoint(struct maint_role *role, uint64_t now_us);

/* A checkpoint to be checked and removed. */
struct maint_work {
    char directory[4096];
    uint64_t index; /* what apply says is inside; 0: only remove the directory, nothing to check */
};
/* True when there is work; it is then the caller's until maint_role_work_done. */
bool maint_role_take_work(struct maint_role *role, struct maint_work *work);
/* found: the index that the checkpoint holds, 0 when it could not be read. */
void maint_role_work_done(struct maint_role *role, uint64_t found, uint64_t now_us);

struct maint_state {
    bool ready;                           /* both raft and apply have been there at once since start */
    uint64_t requested, verified, failed; /* checkpoints */
};
struct maint_state maint_role_state(const struct maint_role *role);

#endif
