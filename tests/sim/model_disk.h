/*
 * model_disk: struct disk in memory, with what Linux promises and not a bit more.
 *
 * Every file has two contents: the page cache (what reads see) and the durable one (what a power loss
 * leaves). Writes go to the cache; sync makes that file's data and size durable; names (create, rename,
 * unlink, make_directory) are durable only after sync_directory of the directory they stand in. Between, the
 * kernel may write back any 512-byte sector at any time.
 *
 *   model_disk_power_loss   every unsynced sector is independently kept, lost or torn (cut at a byte);
 *                           an unsynced size may be kept, lost or in between; every unsynced change of a name
 *                           is independently kept or lost; all open files become stale (every call: -EIO)
 *   model_disk_kill         kill -9 of the process: only the open files become stale, the cache stays
 *   a failed sync (EIO)     as on Linux: some dirty sectors reach the disk, the others are marked clean all
 *                           the same; reads go on to show them until the next power loss
 *
 * All randomness comes from the seed; the same calls give the same outcome. Not thread-safe. Paths are plain
 * strings ("node/wal/x"); "." is the root and always there.
 */
#ifndef QUORATE_TESTS_SIM_MODEL_DISK_H
#define QUORATE_TESTS_SIM_MODEL_DISK_H

#include "common/disk.h"

enum { MODEL_SECTOR = 512 };

struct model_disk;

struct model_disk *model_disk_new(uint64_t seed);
/* Frees everything, open files too (a killed role does not close its files). */
void model_disk_free(struct model_disk *model);
/* The table to hand to the code under test. */
struct disk *model_disk_interface(struct model_disk *model);

/* --- crashes ------------------------------------------------------------------------------------------- */
void model_disk_power_loss(struct model_disk *model);
void model_disk_kill(struct model_disk *model);

/* --- faults: counted in operations that change something (open with DISK_CREATE of a new file, write, sync,
 * truncate, rename, unlink, make_directory, sync_directory) ---------------------------------------------- */
/* How many such operations were called so far. */
uint64_t model_disk_operations(const struct model_disk *model);
/* The nth operation from now (1 = the next) fails with `error` (positive errno), once. A failing write may
 * leave a part of its data. 0 disarms. */
void model_disk_fail_at(struct model_disk *model, uint64_t nth, int error);
/*
 * In the midst of the nth operation from now the power goes: it may have taken place, wholly or partly, but
 * it and every later call returns -EIO until model_disk_power_loss() is called. 0 disarms.
 */
void model_disk_power_off_at(struct model_disk *model, uint64_t nth);
bool model_disk_is_off(const struct model_disk *model);
/* From now on the disk holds so many bytes (sum of file sizes); a write beyond: -ENOSPC. 0: no limit. */
void model_disk_set_capacity(struct model_disk *model, uint64_t bytes);

/* --- looking and damaging (cache and durable content alike) ----------------------------------------------
 */
bool model_disk_exists(const struct model_disk *model, const char *path);
/* The content reads see; borrowed until the next call that changes it. The file must exist. */
struct bytes model_disk_content(const struct model_disk *model, const char *path);
void model_disk_flip_bit(struct model_disk *model, const char *path, uint64_t offset, unsigned bit);
/* Overwrites or extends, durable at once. Creates the file if needed. */
void model_disk_plant(struct model_disk *model, const char *path, uint64_t offset, struct bytes data);
/* Cuts to the length, durable at once. */
void model_disk_cut(struct model_disk *model, const char *path, uint64_t length);

#endif
