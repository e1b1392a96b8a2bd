/*
 * reads: what apply does with reads: inline when small, as jobs when not, at the pace of the client.
 *
 * Happy path. reads_add queues what arrived in the round; reads_run, after the round's batch is written,
 * answers each: a slice of bounded work runs at once, and if that completes it, the answer goes on the link.
 * What is left becomes a job over the round's snapshot, taken by a pool thread slice by slice; returned
 * output is sent in records of at most 64 KB (RangeStream: part by part), at most a window ahead of what the
 * client took.
 *
 * Waiting. A read waits (in order, per proxy) until reads_serve, while its proxy has seen a later revision
 * than ours, or while the link is full; beyond a bound the proxy's link is held, and reads that came through
 * raft are refused. A transaction's result that is too large for one record is paced the same way.
 *
 * Threading: inside the combiner, except apply_job_run (apply_role.h).
 */
#ifndef QUORATE_APPLY_READS_H
#define QUORATE_APPLY_READS_H

#include "common/bus/contract.h"

#include "apply/mvcc/mvcc.h"
#include "apply/mvcc/range_read.h"

struct apply_job;
struct lessor;
struct reads;

struct reads_options {
    uint32_t inline_keys;
    uint64_t answer_bytes;
    uint64_t quota_bytes;
    size_t history_part_bytes; /* 0: 64 KiB; a part is split beyond four times as much */
    struct lessor *lessor;
};

struct reads *reads_new(struct mvcc *mvcc, const struct reads_options *options);
void reads_free(struct reads *reads);
void reads_set_link(struct reads *reads, uint8_t slot, struct bus_link *link);
void reads_set_term(struct reads *reads, uint64_t term);

/* From now on reads run; until then they wait. */
void reads_serve(struct reads *reads);

/* A read for the proxy that its id names; copies. now_us: for the deadline. */
void reads_add(struct reads *reads, const struct bus_request *request, uint64_t now_us);
void reads_cancel(struct reads *reads, uint64_t id);
void reads_consumed(struct reads *reads, uint64_t id, uint64_t bytes);
/* The proxy is there (again): it gets the results that were kept for it. */
void reads_meet_proxy(struct reads *reads, uint8_t slot);
/* The proxy's connection is gone, and with it the reads it waits for. */
void reads_forget_proxy(struct reads *reads, uint8_t slot);
/*
 * A result of an entry: puts it on the link; keeps it while the link is down (undelivered.h); drops it when
 * the proxy has seen a later revision.
 */
void reads_deliver(struct reads *reads, const struct outcome *outcome);

/* End of the round, after the batch is written: answers, and sends on what jobs brought. */
void reads_run(struct reads *reads);
/* The link of the slot has room again; after reads_run. */
void reads_room(struct reads *reads, uint8_t slot);
/* Ends what is past its deadline. */
void reads_expire(struct reads *reads, uint64_t now_us);

/* A checkpoint goes through the same queue; who takes jobs gives it back to the role, not to reads_job_done.
 */
void reads_queue_checkpoint(struct reads *reads, struct apply_job *job);
struct apply_job *reads_take_job(struct reads *reads);
void reads_job_done(struct reads *reads, struct apply_job *job);
size_t reads_job_count(const struct reads *reads);
/* There will be another round soon. */
void reads_nudge(struct reads *reads);

#endif
