/*
 * guarded_disk: what a daemon sees of the model disk. Every operation is a boundary of the process that runs:
 * dead processes change nothing, and an operation in the midst of which the power goes is left half done.
 */
#include <errno.h>

#include "node.h"

static struct model_disk *guarded;
static struct disk *inner;

/* False: the operation must not take place. */
static bool allowed(void) {
    struct process *process = process_current;
    if (process == NULL)
        return true;
    bool was_dead = process->zombie;
    bool effect = process_boundary(process);
    if (!was_dead && process->zombie && process->kill_is_crash) {
        model_disk_power_off_at(guarded, 1);
        return true;
    }
    return effect;
}

static int guarded_open(struct disk *disk, const char *path, int flags, struct disk_file **file) {
    (void)disk;
    return allowed() ? inner->operations->open(inner, path, flags, file) : -EIO;
}

static void guarded_close(struct disk_file *file) {
    inner->operations->close(file);
}

static int64_t guarded_read(struct disk_file *file, void *data, size_t length, uint64_t offset) {
    return inner->operations->read(file, data, length, offset);
}

static int guarded_write(struct disk_file *file, const void *data, size_t length, uint64_t offset) {
    return allowed() ? inner->operations->write(file, data, length, offset) : -EIO;
}

static int guarded_sync(struct disk_file *file) {
    return allowed() ? inner->operations->sync(file) : -EIO;
}

static int64_t guarded_size(struct disk_file *file) {
    return inner->operations->size(file);
}

static int guarded_truncate(struct disk_file *file, uint64_t length) {
    return allowed() ? inner->operations->truncate(file, length) : -EIO;
}

static int guarded_rename(struct disk *disk, const char *from, const char *to) {
    (void)disk;
    return allowed() ? inner->operations->rename(inner, from, to) : -EIO;
}

static int guarded_unlink(struct disk *disk, const char *path) {
    (void)disk;
    return allowed() ? inner->operations->unlink(inner, path) : -EIO;
}

static int guarded_make_directory(struct disk *disk, const char *path) {
    (void)disk;
    return allowed() ? inner->operations->make_directory(inner, path) : -EIO;
}

static int guarded_sync_directory(struct disk *disk, const char *path) {
    (void)disk;
    return allowed() ? inner->operations->sync_directory(inner, path) : -EIO;
}

static int guarded_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                        void *context) {
    (void)disk;
    return inner->operations->list(inner, path, visit, context);
}

static const struct disk_operations operations = {
    .open = guarded_open,
    .close = guarded_close,
    .read = guarded_read,
    .write = guarded_write,
    .sync = guarded_sync,
    .size = guarded_size,
    .truncate = guarded_truncate,
    .rename = guarded_rename,
    .unlink = guarded_unlink,
    .make_directory = guarded_make_directory,
    .sync_directory = guarded_sync_directory,
    .list = guarded_list,
};

struct disk *guarded_disk(struct model_disk *model) {
    static struct disk disk = {.operations = &operations};
    guarded = model;
    inner = model_disk_interface(model);
    return &disk;
}
