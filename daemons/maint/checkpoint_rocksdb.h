/*
 * checkpoint_rocksdb: checkpoints as apply makes them: hard-linked RocksDB databases, opened read-only. The
 * only part of maint that knows RocksDB and directories. Any thread.
 */
#ifndef QUORATE_MAINT_CHECKPOINT_ROCKSDB_H
#define QUORATE_MAINT_CHECKPOINT_ROCKSDB_H

#include "maint/checkpoint.h"

extern const struct checkpoint_files checkpoint_rocksdb_files;

/* Removes what is in the directory, which is made if it does not exist. 0 or -errno. */
int empty_directory(const char *path);

#endif
