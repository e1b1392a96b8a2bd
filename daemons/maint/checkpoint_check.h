/*
 * checkpoint_check: looks into a checkpoint and removes directories; the only part of maint that knows
 * RocksDB. Blocking; any thread.
 */
#ifndef QUORATE_MAINT_CHECKPOINT_CHECK_H
#define QUORATE_MAINT_CHECKPOINT_CHECK_H

#include <stdint.h>

/* The consistent index inside; 0 when it cannot be opened or read (logged). Opens read-only. */
uint64_t checkpoint_index(const char *directory);
/* rm -r; what is not there is fine. 0 or -errno. Does not follow links. */
int remove_tree(const char *path);
/* Removes what is in the directory, which is made if it does not exist. 0 or -errno. */
int empty_directory(const char *path);

#endif
