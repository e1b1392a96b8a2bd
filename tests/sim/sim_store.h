/*
 * sim_store: a model of what RocksDB promises without its log (daemons/apply/store/store.h).
 *
 * Batches are whole and ordered; reads see what was written; nothing is durable until a flush has finished.
 * Flushes take time, and some happen unasked (a full memtable). When its process dies, even alone, the store
 * falls back to what was flushed: to the last finished flush, or to one that was under way.
 */
#ifndef QUORATE_SIM_STORE_H
#define QUORATE_SIM_STORE_H

#include "apply/store/store.h"
#include "process.h"

struct sim_store;

/* The owner is the apply process: dead owners flush nothing. */
struct sim_store *sim_store_new(struct world *world, struct random *random, struct process *owner);
void sim_store_free(struct sim_store *store);
/* What apply opens at each start; valid until sim_store_crash. */
struct store *sim_store_open(struct sim_store *store);
/* The process is gone: back to a flushed state. Everything taken from the store must have been released. */
void sim_store_crash(struct sim_store *store);

/* Checkpoints, by their directories. False: there is none; no such key; no further key below `upper`. */
bool sim_store_has_checkpoint(const struct sim_store *store, const char *directory);
bool sim_store_checkpoint_get(struct sim_store *store, const char *directory, struct bytes key,
                              struct buffer *value);
/* The first entry behind `after` (at it, if inclusive); replaces key and value. */
bool sim_store_checkpoint_next(struct sim_store *store, const char *directory, struct bytes after,
                               bool inclusive, struct bytes upper, struct buffer *key, struct buffer *value);
bool sim_store_remove_checkpoint(struct sim_store *store, const char *directory);

/* Planted bug: a flush may cut a batch in two. */
extern bool sim_store_plant_split;
/* Planted bug: a snapshot may be of the state before the last batch. */
extern bool sim_store_plant_stale;
/* Planted bug: what apply waits for before it lets go of the log counts as flushed at once. */
extern bool sim_store_plant_early_drop;
/* Planted bug: a crash may take the store behind its last flush. */
extern bool sim_store_plant_forget;

#endif
