/*
 * disk: the few file operations that durability hangs on, behind a table, so that the WAL, the members file
 * and the generation pointer run in the simulator over a model of what Linux promises.
 *
 * Contract: an operation returns 0 (or a count) or -errno. Data is durable only after sync() of the file
 * returned 0, a name (create, rename, unlink) only after sync_directory(). After a failed sync the state of
 * the file is unknown: the caller must abort the daemon, never retry (Linux marks the pages clean).
 * Threading: operations on different files may run concurrently.
 */
#ifndef QUORATE_COMMON_DISK_H
#define QUORATE_COMMON_DISK_H

#include "common/bytes.h"

struct disk;
struct disk_file; /* an open file */

struct disk_operations {
    /* flags: DISK_*; mode 0600. */
    int (*open)(struct disk *disk, const char *path, int flags, struct disk_file **file);
    void (*close)(struct disk_file *file);
    int64_t (*read)(struct disk_file *file, void *data, size_t length, uint64_t offset);
    /* Writes all or fails. */
    int (*write)(struct disk_file *file, const void *data, size_t length, uint64_t offset);
    int (*sync)(struct disk_file *file); /* fdatasync; also makes the size durable */
    int64_t (*size)(struct disk_file *file);
    int (*truncate)(struct disk_file *file, uint64_t length);
    int (*rename)(struct disk *disk, const char *from, const char *to);
    int (*unlink)(struct disk *disk, const char *path);
    int (*make_directory)(struct disk *disk, const char *path); /* 0700; existing is fine */
    int (*sync_directory)(struct disk *disk, const char *path);
    /* Calls visit for each name in the directory, in no order; not for "." and "..". */
    int (*list)(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                void *context);
};

enum { DISK_CREATE = 1, DISK_EXCLUSIVE = 2, DISK_READ_ONLY = 4 };

struct disk {
    const struct disk_operations *operations;
};

/* The real one. */
struct disk *disk_linux(void);

/* The whole file into *out (appended). Bounded: -EFBIG beyond `limit`. */
int disk_read_file(struct disk *disk, const char *path, size_t limit, struct buffer *out);
/* Replaces the file atomically and durably: write path.tmp, sync, rename, sync the directory. */
int disk_replace_file(struct disk *disk, const char *directory, const char *name, struct bytes content);

#endif
