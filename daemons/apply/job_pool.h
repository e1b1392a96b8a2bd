/*
 * job_pool: a few threads that run jobs. Short ones go first. What is done is posted to the daemon's
 * combiner.
 */
#ifndef QUORATE_APPLY_JOB_POOL_H
#define QUORATE_APPLY_JOB_POOL_H

#include "apply/apply_role.h"
#include "common/combiner.h"

struct job_pool;

/* Threads live until the process ends. */
struct job_pool *job_pool_start(unsigned threads, struct combiner *combiner, struct apply_role *role);
/* Inside the combiner. */
void job_pool_add(struct job_pool *pool, struct apply_job *job);

#endif
