/*
 * churn: writers that change their keys in every way there is, and know exactly what each change must look
 * like in the store's history.
 *
 * Each of them owns CHURN_KEYS keys and has one request outstanding: puts, transactions of several puts and a
 * deletion, deletions of one key and of a range. Every value is unique. From request and answer (prev_kv
 * tells what a deletion met) follows the digest of the events that its revision consists of, and nothing
 * else. Writer number `writers` is the *pulse*: it puts one key every 10 ms; a watcher that gets its events
 * is alive.
 *
 * A write whose answer never came may have happened, once, or not at all: churn_explain takes it from the
 * list of those when the history shows it.
 */
#ifndef QUORATE_LOAD_CHURN_H
#define QUORATE_LOAD_CHURN_H

#include "ops/load/loop.h"
#include "ops/load/watch_message.h"

enum { CHURN_KEYS = 40, CHURN_KEY_ROOM = 32 };

struct churn_options {
    size_t writers;
    double rate; /* writes a second, all together, without the pulse */
    uint64_t seed;
    uint64_t timeout_us;
    uint64_t
        forget_at; /* this acknowledged write, counted from 1, is remembered wrongly; 0: none (witness.h) */
    /* The pulse was acknowledged at a revision; the request began at. */
    void (*pulsed)(void *owner, uint64_t started_ns, int64_t revision);
    void (*violated)(void *owner, const char *what, int64_t seen, int64_t before);
    void *owner;
};

struct churn_totals {
    uint64_t acknowledged, unknown, explained, without_effect;
    int64_t revision; /* largest acknowledged */
};

struct churn;

/* The writers share the given connections, which must outlive them. */
struct churn *churn_create(const struct churn_options *options, struct grpc_connection *connections,
                           size_t connection_count);
/* Starts what is due, gives up what is overdue. `go`: may anything be started? */
void churn_run(struct churn *churn, uint64_t now, bool go);
/* Is no request outstanding? */
bool churn_idle(const struct churn *churn);
const struct churn_totals *churn_totals(const struct churn *churn);
void churn_free(struct churn *churn);

/* "/w/<writer>/<key>", or the pulse's. */
struct bytes churn_key(size_t writers, size_t writer, size_t key, uint8_t room[CHURN_KEY_ROOM]);
/* "/w/<writer>/": every key of that writer and of those after it lies above. */
struct bytes churn_boundary(size_t writer, uint8_t room[CHURN_KEY_ROOM]);
/* False when it is no key of ours. */
bool churn_key_parse(size_t writers, struct bytes key, size_t *writer, size_t *number);

/* What an event adds to the digest of its revision: kind, key and value. Begins with 0. */
uint64_t churn_digest(uint64_t state, bool deleted, struct bytes key, struct bytes value);
/* The digest acknowledged for a revision; false: none was. */
bool churn_acknowledged(const struct churn *churn, int64_t revision, uint64_t *digest);
/* Is there a write of unknown outcome that looks like this? It is struck off. keys: lowest and highest. */
bool churn_explain(struct churn *churn, size_t writer, uint64_t digest, bool only_deletions, size_t lowest,
                   size_t highest);

#endif
