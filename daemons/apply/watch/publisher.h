/*
 * publisher: tells each proxy of the changes inside the ranges it registered, as a stream without holes.
 *
 * Happy path. A proxy registers its ranges (BUS_PROXY_RANGES, all of them each time). From then on it is
 * told of every change of mvcc that lies in them: what an entry changed goes on the proxy's link as one
 * record before the entry's result does. Records name the revisions they cover (`from` the last one's
 * `to` + 1), so that entries without a match cost nothing: the next record covers them, and once a tick
 * an empty one does. Questions (BUS_PROXY_WATCH) are answered at the end of the round, behind everything
 * up to the revision they name.
 *
 * apply never waits for a proxy. What cannot go (the link has no room, or one revision's events exceed 1
 * MiB) is left out; the next record's `from` shows the hole and the proxy asks history (history_read.h).
 *
 * Failure modes.
 * - apply comes back in the past: the stream goes on behind the revision that the proxy names when it
 *   registers; nothing at or below it is sent, and questions wait until it is reached.
 * - The link goes down: registration and questions are forgotten; the proxy comes again with both.
 *
 * Threading: inside the daemon's combiner.
 */
#ifndef QUORATE_APPLY_WATCH_PUBLISHER_H
#define QUORATE_APPLY_WATCH_PUBLISHER_H

#include "common/bus/contract.h"

#include "apply/mvcc/mvcc.h"

struct publisher;

/*
 * Becomes mvcc's observer while somebody is interested: else a change costs a branch. mvcc outlives it.
 * revision_bytes: of one revision's events for one proxy, more come from history; 0: 1 MiB.
 */
struct publisher *publisher_new(struct mvcc *mvcc, size_t revision_bytes);
void publisher_free(struct publisher *publisher);
void publisher_set_link(struct publisher *publisher, uint8_t slot, struct bus_link *link);

/* Replaces the ranges of the slot; resets its link when they are malformed or too many. */
void publisher_register(struct publisher *publisher, uint8_t slot, const struct bus_ranges *ranges);
/* A question for the present revision; id: of the request. */
void publisher_ask(struct publisher *publisher, uint8_t slot, uint64_t id);
void publisher_forget(struct publisher *publisher, uint8_t slot);

/* After each entry, before its result is put on a link. */
void publisher_publish(struct publisher *publisher);
/* At the end of a round, once everything that raft knew to be committed at the start is executed. */
void publisher_answer(struct publisher *publisher);
/* Moves the streams on that lag behind. */
void publisher_tick(struct publisher *publisher);

#endif
