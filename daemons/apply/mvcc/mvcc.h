/*
 * mvcc: the key-value state machine: executes log entries into a store, exactly once each.
 *
 * Happy path: mvcc_open reads where the store stands. mvcc_execute runs entry after entry. A change goes into
 * the revision log (in the batch) and into `recent`, which holds the current states that the store does not
 * have yet; mvcc_commit writes the batch together with index, term and conf state, in one atomic write, and
 * some of the oldest current states with it. mvcc_view is what reads use.
 *
 * The store's current states therefore lag behind its log, up to the `spilled` revision, which is written
 * along. mvcc_open puts what is missing back into `recent` from the log. A read over a snapshot needs them to
 * be at least as new as its revision: mvcc_request_snapshot.
 *
 * Total: whatever an entry holds, executing it ends with an outcome that is the same on every member, and the
 * index advances. A transaction is never split over two writes. What is: a DeleteRange of very many keys, and
 * the revocation of a lease with very many, in parts that no reader sees before the last, and executed again
 * if a crash comes between (write.c, lease_entries.c).
 *
 * Pure: no clock, no thread, no I/O but the store's. Threading: one thread at a time.
 */
#ifndef QUORATE_APPLY_MVCC_MVCC_H
#define QUORATE_APPLY_MVCC_MVCC_H

#include "common/status.h"

#include "apply/lease/lease_book.h"
#include "apply/mvcc/conf_state.h"
#include "apply/mvcc/view.h"

/*
 * Bytes of an entry's answer. Beyond it an entry is carried out all the same, but what it would say of keys
 * is dropped and it is answered "too many requests": the same on every member, and no entry can take a
 * daemon's memory, neither now nor at a replay.
 */
enum { MVCC_ANSWER_LIMIT = 128 << 20 };

struct mvcc_counts {
    uint64_t puts, deletes, txns, ranges, put_bytes;
    uint64_t leases_granted, leases_revoked;
};

/*
 * Who is told of every change, as it happens (watch/publisher.h). changed() may be called again for the same
 * change: a large delete that a crash interrupted is executed anew.
 */
struct mvcc_observer {
    void *context;
    /* Whether anybody wants to hear of the key's change at this revision, and with its previous record. */
    bool (*wants)(void *context, struct bytes key, int64_t revision, bool *previous);
    /* record: a tombstone for a delete. previous: NULL: there was none, or it is not wanted. Borrowed. */
    void (*changed)(void *context, struct bytes key, const struct record *record,
                    const struct record *previous);
};

struct mvcc {
    struct store *store;
    struct mvcc_observer observer; /* wants NULL: nobody */
    struct store_batch *batch;
    struct recent recent;
    uint64_t hash_seed;
    size_t batch_bytes;      /* put into the batch so far */
    size_t spill_limit;      /* bytes of recent that may be unspilled */
    size_t spill_step;       /* bytes spilled at most with a commit, beside twice what it brought */
    struct recent_mark mark; /* while recent.follow: somebody waits until it is passed */
    bool hurry;              /* that is a read */
    bool dirty;              /* something executed since the last commit */

    uint64_t index, term; /* of the last executed entry */
    int64_t revision;     /* current; 1 in an empty store */
    int64_t compacted;    /* -1: none yet */
    int64_t kept;         /* log records up to here go, those that are still needed are kept (kept.h) */
    int64_t physical;     /* the log below it is dropped, or about to be; -1: never */
    struct conf_state conf_state;
    struct lease_book leases;

    /* The running entry. */
    bool changed;               /* it took the next revision */
    uint32_t next_sub;          /* of that revision */
    int64_t awaits;             /* see struct outcome */
    uint64_t large_delete_keys; /* a DeleteRange or LeaseRevoke of more is written in parts */
    /* The next entry was interrupted by a crash between its parts: the log has records behind `revision`. */
    bool interrupted;

    struct buffer scratch; /* encoding of log records */
    struct buffer result;  /* body of the last outcome */
    struct mvcc_counts counts;
};

/* What executing an entry ends with. */
struct outcome {
    uint64_t id;       /* of the request; 0: nobody waits */
    uint16_t status;   /* enum status */
    int64_t revision;  /* for the response header */
    int64_t awaits;    /* to be told when the log below it is dropped (compaction/); -1: at once */
    struct bytes body; /* response without header; borrowed until the next mvcc call */
};

/* False and a sentence in error: the store is of another format. hash_seed: any number, private. */
bool mvcc_open(struct mvcc *mvcc, struct store *store, uint64_t hash_seed, char error[256]);
void mvcc_close(struct mvcc *mvcc);

/* type: raftpb.EntryType. The index must be mvcc->index + 1. */
void mvcc_execute(struct mvcc *mvcc, uint64_t index, uint64_t term, uint16_t type, struct bytes data,
                  struct outcome *outcome);
/* Writes what was executed, if anything was, and what is to be spilled. Records found before are gone. */
void mvcc_commit(struct mvcc *mvcc);
/* For commits in the middle of a round: bytes that wait in the batch. */
size_t mvcc_pending_bytes(const struct mvcc *mvcc);

/* The present state, for reads on the writing thread (snapshot NULL), or that of a prepared snapshot. */
struct view mvcc_view(struct mvcc *mvcc, struct store_snapshot *snapshot);
/* The state inside the running entry. */
struct view mvcc_inner_view(struct mvcc *mvcc);

/*
 * What a snapshot needs to be read at the present revision: once mvcc_snapshot_ready(mark), after a commit, a
 * snapshot of the store taken then will do. Until then every commit spills some more.
 */
struct recent_mark mvcc_request_snapshot(struct mvcc *mvcc);
/* The same for somebody who has time: in smaller steps, which no write notices. */
struct recent_mark mvcc_request_spill(struct mvcc *mvcc);
bool mvcc_snapshot_ready(const struct mvcc *mvcc, struct recent_mark mark);

/* The index that a crash now would leave. */
uint64_t mvcc_durable_index(struct mvcc *mvcc);
/* The value of mvcc_applied_key() as found in a checkpoint; 0 when malformed. */
struct bytes mvcc_applied_key(void);
uint64_t mvcc_applied_index(struct bytes value);

/* --- for the parts of mvcc/ that change keys --- */

/* Metadata of the key's newest record, live or tombstone (no value); modified.main 0: never existed. */
void mvcc_lookup(struct mvcc *mvcc, struct bytes key, uint64_t hash, struct record *record);
/*
 * Writes a new revision of the key, whose newest record is `older`; record->modified is set here. The key
 * changes from older's lease to the record's: both must exist.
 */
void mvcc_change(struct mvcc *mvcc, struct bytes key, uint64_t hash, const struct record *older,
                 struct record *record);
/* Put the present value into the batch. */
void mvcc_put_compacted(struct mvcc *mvcc);
void mvcc_put_kept(struct mvcc *mvcc);
void mvcc_put_conf_state(struct mvcc *mvcc);
/* Puts the value that `physical` is to have once it is durable. */
void mvcc_put_physical(struct mvcc *mvcc, int64_t physical);
int64_t mvcc_durable_physical(struct mvcc *mvcc);
/* The store's current states are at least as new as this revision. */
int64_t mvcc_spilled_revision(struct mvcc *mvcc);
/* Writes what the running entry changed so far; index and revision stay behind. */
void mvcc_commit_part(struct mvcc *mvcc);
/* The revision that a header inside the running entry shows. */
int64_t mvcc_inner_revision(const struct mvcc *mvcc);

#endif
