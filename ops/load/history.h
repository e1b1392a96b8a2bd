/*
 * history: the truth that watchers are compared with: the store's history from its first revision on, itself
 * checked event by event.
 *
 * What is checked: no revision is missing; each one's events are what its writer was promised (churn.h), or
 * those of a write whose outcome nobody knew, once; create_revision, version and prev_kv of each event follow
 * from the events before it; at the end every key stands where its last event left it.
 *
 * Keys of leases (lessees.h) are checked there; here a revision must not mix them with others.
 *
 * Watchers are grouped into *classes* by what they ask for. A question is the digest of a class's events
 * below some revision. Events are kept as digests (32 bytes each), so that all questions are answered in one
 * pass over them.
 */
#ifndef QUORATE_LOAD_HISTORY_H
#define QUORATE_LOAD_HISTORY_H

#include "ops/load/churn.h"
#include "ops/load/digest.h"
#include "ops/load/lessees.h"

struct history_answer {
    uint64_t total, count; /* digest_total and number of the events */
};

struct history;

struct history *history_create(struct churn *churn, size_t writers,
                               void (*violated)(void *owner, const char *what, int64_t seen, int64_t before),
                               void *owner);
/* The class of a watch; its key and range_end must be a churn_key, or begin and end at a churn_boundary, or
 * hold all keys; they must outlive the history. Revisions do not matter. */
size_t history_class(struct history *history, const struct watch_create *create);
/* Everything of the class below `revision`, to be put into *answer by history_answer. */
void history_ask(struct history *history, size_t class, int64_t revision, struct history_answer *answer);
/* Answers what has been asked since the last time, from the events so far. */
void history_answer(struct history *history);
/* The events of all keys with prev_kv, from the first revision on; no more after. */
void history_event(struct history *history, const struct watch_event *event);
/* last: the store's revision; it must have been reached. */
void history_end(struct history *history, int64_t last);
/* After the end: a RangeResponse of the whole store. */
void history_compare_state(struct history *history, struct bytes response);
uint64_t history_events(const struct history *history);
void history_free(struct history *history);

/* What an event contributes to the digest of a watcher that asked for prev_kv, or did not. */
uint64_t history_digest(const struct watch_event *event, bool previous);

#endif
