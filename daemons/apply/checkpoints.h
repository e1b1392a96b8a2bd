/*
 * checkpoints: BUS_MAINT_CHECKPOINT: a copy of the database, made by a job, answered with the index inside.
 *
 * The directory must lie below our member directory and not exist. One at a time; a second is answered EBUSY.
 */
#ifndef QUORATE_APPLY_CHECKPOINTS_H
#define QUORATE_APPLY_CHECKPOINTS_H

#include "apply/job.h"
#include "common/bus/contract.h"

struct checkpoints {
    const char *member_directory; /* NULL: none are made */
    bool busy;
    uint64_t connection;      /* of the link that asked, so that an answer never goes to another one */
    int64_t compact_revision; /* for the answer */
};

/* The job to run (request->compact_revision is given back with its answer), or NULL when it was refused (the
 * answer is on the link). */
struct apply_job *checkpoint_begin(struct checkpoints *checkpoints, struct bus_link *link,
                                   struct store *store, const struct bus_checkpoint *request);
/* Answers and frees the job. */
void checkpoint_end(struct checkpoints *checkpoints, struct bus_link *link, struct apply_job *job);

#endif
