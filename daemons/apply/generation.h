/*
 * generation: which directory holds the database.
 *
 * The database lives in <member>/gen-<n>; the pointer file <member>/generation names n, with a checksum, and
 * is replaced atomically. So a whole database is switched in one step, and whatever gen-* is not pointed to
 * is rubbish of an interrupted switch.
 */
#ifndef QUORATE_APPLY_GENERATION_H
#define QUORATE_APPLY_GENERATION_H

#include "common/disk.h"

/*
 * The present generation; in a new member directory (made if need be) generation 1. False and a sentence in
 * error: the pointer is damaged, or missing although there are generations.
 */
bool generation_current(struct disk *disk, const char *member_directory, uint64_t *generation,
                        char error[512]);
/* Points to another one, atomically and durably. 0 or -errno. */
int generation_switch(struct disk *disk, const char *member_directory, uint64_t generation);
/* Calls visit for every generation that is not `current`. 0 or -errno. */
int generation_each_stale(struct disk *disk, const char *member_directory, uint64_t current,
                          void (*visit)(void *context, uint64_t generation), void *context);

#endif
