/*
 * kept: what compaction leaves of the revision log.
 *
 * After a compaction at revision C nobody reads below C. Of the log below C there remain in use the records
 * that a link from C or later names: the states that keys had at C. They are kept, in a keyspace of their
 * own, and the log below C is dropped as a whole, which costs next to nothing. A key that was not changed
 * since has its state among the current ones and leaves nothing at all in the log.
 *
 * Happy path of a compaction (daemons/apply/compaction): kept_begin; a checkpoint, from which somebody else
 * computes what is kept for the links that exist in it; kept_copy, kept_forget and kept_drop_tombstone as
 * that says, in any number of batches; kept_finish with the last; when that is durable, the log below C is
 * dropped. Links that come into being after the checkpoint need no plan: from kept_begin on, a change that
 * supersedes a record below C keeps that record itself, in the same batch (kept_supersede), from the current
 * state: its place in the log may be gone.
 *
 * Failure modes. A crash at any point leaves whole batches, so every link finds its record in the log or in
 * what is kept; what was begun is begun again. Keeping twice, or what is no longer needed, is harmless.
 */
#ifndef QUORATE_APPLY_MVCC_KEPT_H
#define QUORATE_APPLY_MVCC_KEPT_H

#include "apply/mvcc/mvcc.h"

/* The log below `compacted` is about to go. Never goes back. */
void kept_begin(struct mvcc *mvcc, int64_t compacted);
/* The key's newest record `older`, which is not above mvcc->kept, is superseded by a change. */
void kept_supersede(struct mvcc *mvcc, struct bytes key, uint64_t hash, const struct record *older);

/* Keeps the log's record. False: neither the log nor what is kept has it. */
bool kept_copy(struct mvcc *mvcc, struct revision at);
void kept_forget(struct mvcc *mvcc, struct revision at);
/* Removes the key's current state if that is the tombstone of this revision. */
void kept_drop_tombstone(struct mvcc *mvcc, struct bytes key, struct revision at);
/* Everything below `compacted` that is needed is kept: mvcc_durable_physical says when that is durable. */
void kept_finish(struct mvcc *mvcc, int64_t compacted);

#endif
