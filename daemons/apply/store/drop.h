/*
 * drop: how the RocksDB store forgets keys below a number (store.h, drop_below).
 *
 * Three ways, from cheap to dear. Files that hold nothing else are unlinked. Every merge that RocksDB does
 * anyway leaves out what it meets (a compaction filter). And if much is left behind after the first, since it
 * lies in files of level 0, which cannot be unlinked, or beside something else, those files are merged: so
 * the disk has the space back soon, and not when enough was written to push the files down.
 *
 * A thread of its own does what takes long.
 */
#ifndef QUORATE_APPLY_STORE_DROP_H
#define QUORATE_APPLY_STORE_DROP_H

#include <rocksdb/c.h>
#include <stdint.h>

struct drop;

/* Before the database is opened with the options, which then hold the filter. */
struct drop *drop_new(rocksdb_options_t *options);
void drop_start(struct drop *drop, rocksdb_t *database);
/* Does not wait. */
void drop_below(struct drop *drop, uint8_t prefix, uint64_t below);
/* Stops merging, if started. Before the database is closed. */
void drop_stop(struct drop *drop);
/* After the database was closed. */
void drop_free(struct drop *drop);

#endif
