/*
 * apply_role: the apply daemon's role loop: executes committed entries in log order, answers reads.
 *
 * Pure: it sees links (common/bus/bus.h), a store (store/store.h) and the time it is told; it has no thread,
 * no clock, no RocksDB. main.c binds it to nng and RocksDB, tests/sim to models.
 *
 * Happy path. raft sends entries, each is executed at once into the batch of the round (mvcc/); its result is
 * put on the link of the proxy that the request id names. Reads are collected. At the end of the round the
 * batch is written with consistent index, term and conf state in it; then the collected reads run; then links
 * are flushed: no result of a round waits for the next. One may leave before its batch is written, when a
 * link that had run out of credit gets some back in the middle of a round; that is safe, because the entry is
 * durable in the log and a crash loses what is not flushed either way ("never in the past" below). A read
 * that would take long becomes a job: a slice of work that some other thread (or the simulator, at any later
 * time) runs over a snapshot; its output is put on the link in later rounds, in parts, at the pace at which
 * the client takes it (BUS_PROXY_CONSUMED).
 *
 * What an entry changes is told to the proxies that registered ranges, before its result (watch/publisher.h);
 * what they missed they read from the log of revisions (watch/history_read.h).
 *
 * Never in the past. A proxy's HELLO names the last revision it saw. Until the current revision has reached
 * it, its reads wait and results of replayed entries are not sent to it. A proxy may be as new as we are
 * while its clients have seen more through another: so after a start no read runs at all until raft was
 * there and everything it knew to be committed is executed.
 *
 * Failure modes.
 * - An undecodable or invalid entry: the same error result on every member; the index advances.
 * - Entries repeat (index <= consistent index): skipped. A gap: the link to raft is reset, raft goes on from
 *   the position in our HELLO.
 * - An entry of a kind newer than this release: LOG_FATAL naming it (executing it as nothing would diverge).
 * - A proxy that takes nothing: its reads wait once its link is full, then its link is held; others go on.
 * - Cancelled, link down, deadline: a job stops at its next check and its output is dropped.
 *
 * Threading: everything here is called inside the daemon's combiner, except apply_job_run.
 */
#ifndef QUORATE_APPLY_APPLY_ROLE_H
#define QUORATE_APPLY_APPLY_ROLE_H

#include "common/bus/contract.h"

#include "apply/store/store.h"

struct apply_role;
struct apply_job;

struct apply_options {
    struct store *store; /* owned by the caller, outlives the role */
    /* Checkpoints must lie directly in a directory below this one (<data>/member); NULL: none are made. */
    const char *member_directory;
    uint64_t quota_bytes;         /* reported by STATUS */
    uint64_t election_us;         /* election timeout, for leases; 0: one second */
    uint64_t lease_checkpoint_us; /* between checkpoints of leases; 0: five minutes */
    /* When to flush; 0: 64 MiB of log data, 100,000 entries, 10 minutes. */
    uint64_t flush_bytes, flush_entries, flush_interval_us;
    /* How much of a read runs inside a round, in keys examined; 0: 256. */
    uint32_t inline_keys;
    /* Bytes of answers that may wait in memory in all; 0: 64 MiB. */
    uint64_t answer_bytes;
    /* Keys a delete or a revocation writes in one part; 0: 10,000. */
    uint64_t large_delete_keys;
    /* Bytes of a part of history, and of the events of one revision that go into the stream; 0: 64 KiB, 1
     * MiB. */
    size_t history_part_bytes, publish_bytes;
    /* For durations in metrics, monotonic microseconds; NULL: none are measured. */
    uint64_t (*clock_us)(void);
    /* Of the hash tables over keys: random and private in production, so that nobody can choose colliding
     * keys. */
    uint64_t hash_seed;
};

/*
 * Reads the state from the store. NULL and a sentence in `error` when the store is of an unknown format.
 * now_us: monotonic; every later call passes time that does not go backward.
 */
struct apply_role *apply_role_new(const struct apply_options *options, uint64_t now_us, char error[256]);
/* All jobs that were taken must have been handed back. Does not flush or close the store. */
void apply_role_free(struct apply_role *role);

/* The handlers for the links, and the links themselves once they exist (before their first event). */
struct bus_handler apply_role_raft_handler(struct apply_role *role);
struct bus_handler apply_role_maint_handler(struct apply_role *role);
struct bus_handler apply_role_proxy_handler(struct apply_role *role, uint8_t slot);
void apply_role_set_raft_link(struct apply_role *role, struct bus_link *link);
void apply_role_set_maint_link(struct apply_role *role, struct bus_link *link);
void apply_role_set_proxy_link(struct apply_role *role, uint8_t slot, struct bus_link *link);

/* Once a round: writes the batch, runs reads, puts what jobs brought, flushes all links. */
void apply_role_end_round(struct apply_role *role, uint64_t now_us);
/*
 * About every 100 ms, inside the combiner (a round of its own: apply_role_end_round follows): deadlines,
 * flush policy, durable index, metrics.
 */
void apply_role_tick(struct apply_role *role, uint64_t now_us);

/*
 * Jobs. After every round the caller takes what is ready, runs each somewhere (outside the combiner), and
 * hands it back inside it. A job taken may be run and returned at any later time, in any order; long ones
 * should not go before others (`apply_job_is_long`).
 */
struct apply_job *apply_role_take_job(struct apply_role *role);
bool apply_job_is_long(const struct apply_job *job);
/* Any thread; touches only the job and its snapshot. One slice, bounded, except checkpoints. */
void apply_job_run(struct apply_job *job);
/* Its output is put on the link at the end of this round. */
void apply_role_job_done(struct apply_role *role, struct apply_job *job);

/* Where the role stands; for logs, tests and the simulator. */
struct apply_state {
    uint64_t index, term; /* last entry executed and written (consistent index) */
    uint64_t durable;     /* index a crash now would leave, as last read back */
    int64_t revision;     /* current store revision; 1 in an empty store */
    int64_t compacted;    /* logical compaction: reads below are refused; -1: none yet */
    uint64_t member;      /* our member id; 0: raft has not told yet */
    size_t jobs;          /* reads running or waiting as jobs */
};
struct apply_state apply_role_state(const struct apply_role *role);

#endif
