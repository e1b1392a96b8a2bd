/*
 * io: does the role's durable work, with the role free, on whatever thread is at hand.
 *
 * The thread that just left the combiner does it (no hand-off: it costs a lone write less than waking
 * anybody). If that thread is kept inside by further rounds, a helper is woken, so that the disk never idles
 * while there is something to write. A third, low-priority thread makes the WAL's next segment.
 *
 * Failure: a failed write or sync ends the daemon (LOG_FATAL): nothing is retried, nothing acknowledged.
 */
#ifndef QUORATE_RAFT_IO_H
#define QUORATE_RAFT_IO_H

#include <semaphore.h>
#include <stdatomic.h>

#include "common/combiner.h"
#include "raft/raft_storage.h"

struct raft_io {
    struct combiner *combiner;
    struct raft_role *role;
    struct raft_storage *storage;
    struct raft_persist persist; /* the one under way */
    struct raft_fetch *fetch;
    atomic_bool persist_ready, fetch_ready; /* handed out, nobody has begun */
    bool waited;                            /* it was ready at the end of the last round already */
    struct combiner_event persisted, fetched;
    sem_t helper, preparer;
    uint64_t syncs_seen;
};

/* Starts the threads. Before the first event. */
void raft_io_start(struct raft_io *io, struct combiner *combiner, struct raft_role *role,
                   struct raft_storage *storage);
/* In the combiner's end_round, after raft_role_end_round: takes the actions. */
void raft_io_take(struct raft_io *io);
/* The combiner's `after`. */
void raft_io_run(struct raft_io *io);
/* Before there are threads: all there is to persist, at once. */
void raft_io_settle(struct raft_role *role, struct raft_storage *storage);
/* Inside the combiner: true when no durable work is under way. */
bool raft_io_idle(const struct raft_io *io);

#endif
