/*
 * model_disk: see model_disk.h. An inode holds both contents and a dirty flag a sector; a name table maps
 * paths to inodes twice (as seen, as durable), with the list of name changes that lie between.
 */
#include "model_disk.h"

#include <errno.h>
#include <stdlib.h>

struct inode {
    struct inode *next;
    bool directory, reachable;
    uint8_t *cache, *durable, *dirty;
    size_t cache_size, durable_size;
    size_t capacity; /* bytes allocated in cache and durable alike, a multiple of a sector */
};

struct name {
    char *path;
    struct inode *inode;
};

struct names {
    struct name *list;
    size_t count;
};

/* One unsynced change: `removed` disappears and `added` points to inode; either may be NULL. */
struct change {
    struct change *next;
    char *removed, *added;
    struct inode *inode;
};

struct disk_file {
    struct disk_file *next;
    struct model_disk *model;
    struct inode *inode;
    bool stale, read_only;
};

struct model_disk {
    struct disk interface; /* first: the table's functions cast back */
    uint64_t random;
    struct inode *inodes;
    struct names seen, durable;
    struct change *changes; /* oldest first */
    struct disk_file *files;
    uint64_t operations, fail_at, power_off_at, space;
    int fail_error;
    bool off;
};

/* --- randomness (splitmix64) ---------------------------------------------------------------------------- */

static uint64_t draw(struct model_disk *model, uint64_t below) {
    uint64_t z = model->random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % below;
}

/* --- names ---------------------------------------------------------------------------------------------- */

static struct name *find_name(const struct names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].path, path) == 0)
            return &names->list[i];
    return NULL;
}

static void remove_name(struct names *names, const char *path) {
    struct name *name = find_name(names, path);
    if (name == NULL)
        return;
    free(name->path);
    *name = names->list[--names->count];
}

static void add_name(struct names *names, const char *path, struct inode *inode) {
    struct name *name = find_name(names, path);
    if (name == NULL) {
        names->list = must_realloc(names->list, (names->count + 1) * sizeof *names->list);
        name = &names->list[names->count++];
        name->path = must_strdup(path);
    }
    name->inode = inode;
}

static void clear_names(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i].path);
    free(names->list);
    *names = (struct names){0};
}

/* True when `path` stands directly in `directory`. */
static bool stands_in(const char *path, const char *directory) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strcmp(directory, ".") == 0;
    size_t length = (size_t)(slash - path);
    return strlen(directory) == length && memcmp(path, directory, length) == 0;
}

static bool has_parent(const struct names *names, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return true;
    for (size_t i = 0; i < names->count; i++)
        if (names->list[i].inode->directory && stands_in(path, names->list[i].path))
            return true;
    return false;
}

static void apply_change(struct names *names, const struct change *change) {
    if (change->removed != NULL)
        remove_name(names, change->removed);
    if (change->added != NULL)
        add_name(names, change->added, change->inode);
}

static void free_change(struct change *change) {
    free(change->removed);
    free(change->added);
    free(change);
}

static void make_change(struct model_disk *model, const char *removed, const char *added,
                        struct inode *inode) {
    struct change *change = must_zalloc(sizeof *change);
    change->removed = removed != NULL ? must_strdup(removed) : NULL;
    change->added = added != NULL ? must_strdup(added) : NULL;
    change->inode = inode;
    apply_change(&model->seen, change);
    struct change **end = &model->changes;
    while (*end != NULL)
        end = &(*end)->next;
    *end = change;
}

/* --- inodes --------------------------------------------------------------------------------------------- */

static struct inode *new_inode(struct model_disk *model, bool directory) {
    struct inode *inode = must_zalloc(sizeof *inode);
    inode->directory = directory;
    inode->next = model->inodes;
    model->inodes = inode;
    return inode;
}

static void free_inode(struct inode *inode) {
    free(inode->cache);
    free(inode->durable);
    free(inode->dirty);
    free(inode);
}

static void mark_names(const struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        names->list[i].inode->reachable = true;
}

/* Frees what no name, unsynced change or open file leads to any more. */
static void sweep(struct model_disk *model) {
    for (struct inode *inode = model->inodes; inode != NULL; inode = inode->next)
        inode->reachable = false;
    mark_names(&model->seen);
    mark_names(&model->durable);
    for (struct change *change = model->changes; change != NULL; change = change->next)
        if (change->inode != NULL)
            change->inode->reachable = true;
    for (struct disk_file *file = model->files; file != NULL; file = file->next)
        if (file->inode != NULL)
            file->inode->reachable = true;
    for (struct inode **at = &model->inodes; *at != NULL;) {
        struct inode *inode = *at;
        if (inode->reachable) {
            at = &inode->next;
            continue;
        }
        *at = inode->next;
        free_inode(inode);
    }
}

static void grow(struct inode *inode, size_t size) {
    if (size <= inode->capacity)
        return;
    size_t capacity = inode->capacity == 0 ? MODEL_SECTOR : inode->capacity;
    while (capacity < size)
        capacity *= 2;
    inode->cache = must_realloc(inode->cache, capacity);
    inode->durable = must_realloc(inode->durable, capacity);
    inode->dirty = must_realloc(inode->dirty, capacity / MODEL_SECTOR);
    memset(inode->cache + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->durable + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->dirty + inode->capacity / MODEL_SECTOR, 0, (capacity - inode->capacity) / MODEL_SECTOR);
    inode->capacity = capacity;
}

static void write_back(struct inode *inode, size_t sector, size_t from, size_t to) {
    size_t start = sector * MODEL_SECTOR;
    memcpy(inode->durable + start + from, inode->cache + start + from, to - from);
}

static void write_back_all(struct inode *inode) {
    for (size_t sector = 0; sector < inode->capacity / MODEL_SECTOR; sector++) {
        if (inode->dirty[sector])
            write_back(inode, sector, 0, MODEL_SECTOR);
        inode->dirty[sector] = false;
    }
    inode->durable_size = inode->cache_size;
}

/* What a power loss or a failed sync leaves of one file's unsynced data. */
static void lose(struct model_disk *model, struct inode *inode) {
    for (size_t sector = 0; sector < inode->capacity / MODEL_SECTOR; sector++) {
        if (!inode->dirty[sector])
            continue;
        inode->dirty[sector] = false;
        switch (draw(model, 5)) {
        case 0:
        case 1:
            write_back(inode, sector, 0, MODEL_SECTOR);
            break;
        case 2: { /* torn: a beginning or an end arrived */
            size_t cut = (size_t)draw(model, MODEL_SECTOR);
            if (draw(model, 2) == 0)
                write_back(inode, sector, 0, cut);
            else
                write_back(inode, sector, cut, MODEL_SECTOR);
            break;
        }
        default:
            break;
        }
    }
    if (inode->durable_size != inode->cache_size) {
        uint64_t chance = draw(model, 3);
        if (chance == 0)
            inode->durable_size = inode->cache_size;
        else if (chance == 1 && inode->durable_size < inode->cache_size)
            inode->durable_size += (size_t)draw(model, inode->cache_size - inode->durable_size);
    }
}

static void return_to_durable(struct inode *inode) {
    if (inode->capacity == 0)
        return;
    memset(inode->durable + inode->durable_size, 0, inode->capacity - inode->durable_size);
    memcpy(inode->cache, inode->durable, inode->capacity);
    inode->cache_size = inode->durable_size;
}

static void store(struct inode *inode, const void *data, size_t length, uint64_t offset) {
    if (length == 0)
        return;
    size_t end = (size_t)offset + length;
    grow(inode, end);
    memcpy(inode->cache + offset, data, length);
    for (size_t sector = (size_t)offset / MODEL_SECTOR; sector * MODEL_SECTOR < end; sector++)
        inode->dirty[sector] = true;
    if (end > inode->cache_size)
        inode->cache_size = end;
}

/* --- the table ------------------------------------------------------------------------------------------ */

static struct model_disk *model_of(struct disk *disk) {
    return (struct model_disk *)disk;
}

enum outcome { GO_ON, FAIL, POWER_OFF };

static enum outcome begin_operation(struct model_disk *model) {
    model->operations++;
    if (model->power_off_at != 0 && --model->power_off_at == 0) {
        model->off = true;
        return POWER_OFF;
    }
    if (model->fail_at != 0 && --model->fail_at == 0)
        return FAIL;
    return GO_ON;
}

/* The result of an operation that took place. */
static int end_operation(const struct model_disk *model) {
    return model->off ? -EIO : 0;
}

static int model_open(struct disk *disk, const char *path, int flags, struct disk_file **file) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    struct name *name = find_name(&model->seen, path);
    if (name != NULL && (flags & DISK_CREATE) != 0 && (flags & DISK_EXCLUSIVE) != 0)
        return -EEXIST;
    if (name == NULL && (flags & DISK_CREATE) == 0)
        return -ENOENT;
    struct inode *inode = NULL;
    if (name != NULL) {
        inode = name->inode;
        if (inode->directory)
            return -EISDIR;
    } else {
        if (!has_parent(&model->seen, path))
            return -ENOENT;
        if (begin_operation(model) == FAIL)
            return -model->fail_error;
        inode = new_inode(model, false);
        make_change(model, NULL, path, inode);
        if (model->off)
            return -EIO;
    }
    *file = must_zalloc(sizeof **file);
    **file = (struct disk_file){
        .next = model->files, .model = model, .inode = inode, .read_only = (flags & DISK_READ_ONLY) != 0};
    model->files = *file;
    return 0;
}

static void model_close(struct disk_file *file) {
    struct model_disk *model = file->model;
    struct disk_file **at = &model->files;
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    free(file);
    sweep(model);
}

static bool unusable(const struct disk_file *file) {
    return file->stale || file->model->off;
}

static int64_t model_read(struct disk_file *file, void *data, size_t length, uint64_t offset) {
    if (unusable(file))
        return -EIO;
    if (offset >= file->inode->cache_size)
        return 0;
    size_t rest = file->inode->cache_size - (size_t)offset;
    size_t count = length < rest ? length : rest;
    memcpy(data, file->inode->cache + offset, count);
    return (int64_t)count;
}

static uint64_t used_space(const struct model_disk *model) {
    uint64_t sum = 0;
    for (const struct inode *inode = model->inodes; inode != NULL; inode = inode->next)
        sum += inode->cache_size;
    return sum;
}

/* The kernel writes back what it likes, when it likes. */
static void background(struct model_disk *model, struct inode *inode) {
    if (inode->capacity == 0 || draw(model, 8) != 0)
        return;
    for (size_t sector = 0; sector < inode->capacity / MODEL_SECTOR; sector++) {
        if (inode->dirty[sector] && draw(model, 2) == 0) {
            write_back(inode, sector, 0, MODEL_SECTOR);
            inode->dirty[sector] = false;
        }
    }
}

static int model_write(struct disk_file *file, const void *data, size_t length, uint64_t offset) {
    if (unusable(file))
        return -EIO;
    if (file->read_only)
        return -EBADF;
    struct model_disk *model = file->model;
    background(model, file->inode);
    if (begin_operation(model) == FAIL) {
        store(file->inode, data, (size_t)draw(model, length + 1), offset);
        return -model->fail_error;
    }
    uint64_t end = offset + length;
    if (model->space != 0 && end > file->inode->cache_size &&
        used_space(model) + end - file->inode->cache_size > model->space)
        return -ENOSPC;
    store(file->inode, data, length, offset);
    return end_operation(model);
}

static int model_sync(struct disk_file *file) {
    if (unusable(file))
        return -EIO;
    struct model_disk *model = file->model;
    enum outcome outcome = begin_operation(model);
    if (outcome == FAIL) {
        lose(model, file->inode);
        return -model->fail_error;
    }
    if (outcome == GO_ON || draw(model, 2) == 0)
        write_back_all(file->inode);
    return end_operation(model);
}

static int64_t model_size(struct disk_file *file) {
    return unusable(file) ? -EIO : (int64_t)file->inode->cache_size;
}

static int model_truncate(struct disk_file *file, uint64_t length) {
    if (unusable(file))
        return -EIO;
    if (begin_operation(file->model) == FAIL)
        return -file->model->fail_error;
    struct inode *inode = file->inode;
    if (length < inode->cache_size)
        memset(inode->cache + length, 0, inode->cache_size - (size_t)length);
    grow(inode, (size_t)length);
    for (size_t sector = (size_t)length / MODEL_SECTOR; sector * MODEL_SECTOR < inode->cache_size; sector++)
        inode->dirty[sector] = true;
    inode->cache_size = (size_t)length;
    return end_operation(file->model);
}

static int model_rename(struct disk *disk, const char *from, const char *to) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    struct name *name = find_name(&model->seen, from);
    if (name == NULL || !has_parent(&model->seen, to))
        return -ENOENT;
    if (begin_operation(model) == FAIL)
        return -model->fail_error;
    make_change(model, from, to, name->inode);
    return end_operation(model);
}

static int model_unlink(struct disk *disk, const char *path) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    struct name *name = find_name(&model->seen, path);
    if (name == NULL)
        return -ENOENT;
    if (begin_operation(model) == FAIL)
        return -model->fail_error;
    make_change(model, path, NULL, NULL);
    return end_operation(model);
}

static int model_make_directory(struct disk *disk, const char *path) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    if (find_name(&model->seen, path) != NULL || strcmp(path, ".") == 0)
        return 0;
    if (!has_parent(&model->seen, path))
        return -ENOENT;
    if (begin_operation(model) == FAIL)
        return -model->fail_error;
    make_change(model, NULL, path, new_inode(model, true));
    return end_operation(model);
}

static bool change_stands_in(const struct change *change, const char *directory) {
    return (change->removed != NULL && stands_in(change->removed, directory)) ||
           (change->added != NULL && stands_in(change->added, directory));
}

static int model_sync_directory(struct disk *disk, const char *path) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    enum outcome outcome = begin_operation(model);
    if (outcome == FAIL)
        return -model->fail_error;
    for (struct change **at = &model->changes; *at != NULL && outcome == GO_ON;) {
        struct change *change = *at;
        if (!change_stands_in(change, path)) {
            at = &change->next;
            continue;
        }
        apply_change(&model->durable, change);
        *at = change->next;
        free_change(change);
    }
    sweep(model);
    return end_operation(model);
}

static int model_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                      void *context) {
    struct model_disk *model = model_of(disk);
    if (model->off)
        return -EIO;
    struct name *directory = find_name(&model->seen, path);
    if (strcmp(path, ".") != 0 && (directory == NULL || !directory->inode->directory))
        return -ENOENT;
    for (size_t i = 0; i < model->seen.count; i++) {
        const char *name = model->seen.list[i].path;
        if (!stands_in(name, path))
            continue;
        const char *slash = strrchr(name, '/');
        visit(context, slash != NULL ? slash + 1 : name);
    }
    return 0;
}

static const struct disk_operations model_table = {
    .open = model_open,
    .close = model_close,
    .read = model_read,
    .write = model_write,
    .sync = model_sync,
    .size = model_size,
    .truncate = model_truncate,
    .rename = model_rename,
    .unlink = model_unlink,
    .make_directory = model_make_directory,
    .sync_directory = model_sync_directory,
    .list = model_list,
};

/* --- life, crashes, faults ------------------------------------------------------------------------------ */

struct model_disk *model_disk_new(uint64_t seed) {
    struct model_disk *model = must_zalloc(sizeof *model);
    model->interface.operations = &model_table;
    model->random = seed;
    return model;
}

void model_disk_free(struct model_disk *model) {
    while (model->files != NULL) {
        struct disk_file *file = model->files;
        model->files = file->next;
        free(file);
    }
    while (model->changes != NULL) {
        struct change *change = model->changes;
        model->changes = change->next;
        free_change(change);
    }
    clear_names(&model->seen);
    clear_names(&model->durable);
    sweep(model);
    free(model);
}

struct disk *model_disk_interface(struct model_disk *model) {
    return &model->interface;
}

void model_disk_kill(struct model_disk *model) {
    for (struct disk_file *file = model->files; file != NULL; file = file->next) {
        file->stale = true;
        file->inode = NULL;
    }
}

/* A name whose directory did not survive is gone with it. */
static void drop_orphans(struct names *names) {
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < names->count && !again; i++) {
            if (!has_parent(names, names->list[i].path)) {
                remove_name(names, names->list[i].path);
                again = true;
            }
        }
    }
}

void model_disk_power_loss(struct model_disk *model) {
    model_disk_kill(model);
    while (model->changes != NULL) {
        struct change *change = model->changes;
        model->changes = change->next;
        if (draw(model, 2) == 0)
            apply_change(&model->durable, change);
        free_change(change);
    }
    drop_orphans(&model->durable);
    clear_names(&model->seen);
    for (size_t i = 0; i < model->durable.count; i++)
        add_name(&model->seen, model->durable.list[i].path, model->durable.list[i].inode);
    sweep(model);
    for (struct inode *inode = model->inodes; inode != NULL; inode = inode->next) {
        lose(model, inode);
        return_to_durable(inode);
    }
    model->off = false;
    model->fail_at = model->power_off_at = 0;
}

uint64_t model_disk_operations(const struct model_disk *model) {
    return model->operations;
}

void model_disk_fail_at(struct model_disk *model, uint64_t nth, int error) {
    model->fail_at = nth;
    model->fail_error = error;
}

void model_disk_power_off_at(struct model_disk *model, uint64_t nth) {
    model->power_off_at = nth;
}

bool model_disk_is_off(const struct model_disk *model) {
    return model->off;
}

void model_disk_set_capacity(struct model_disk *model, uint64_t bytes) {
    model->space = bytes;
}

/* --- looking and damaging ------------------------------------------------------------------------------- */

bool model_disk_exists(const struct model_disk *model, const char *path) {
    return find_name(&model->seen, path) != NULL;
}

static struct inode *inode_at(const struct model_disk *model, const char *path) {
    struct name *name = find_name(&model->seen, path);
    REQUIRE(name != NULL && !name->inode->directory);
    return name->inode;
}

struct bytes model_disk_content(const struct model_disk *model, const char *path) {
    const struct inode *inode = inode_at(model, path);
    return bytes_of(inode->cache, inode->cache_size);
}

void model_disk_flip_bit(struct model_disk *model, const char *path, uint64_t offset, unsigned bit) {
    struct inode *inode = inode_at(model, path);
    REQUIRE(offset < inode->cache_size);
    inode->cache[offset] ^= (uint8_t)(1U << (bit & 7));
    inode->durable[offset] ^= (uint8_t)(1U << (bit & 7));
}

void model_disk_plant(struct model_disk *model, const char *path, uint64_t offset, struct bytes data) {
    if (!model_disk_exists(model, path)) {
        struct inode *fresh = new_inode(model, false);
        add_name(&model->seen, path, fresh);
        add_name(&model->durable, path, fresh);
    }
    struct inode *inode = inode_at(model, path);
    store(inode, data.data, data.length, offset);
    write_back_all(inode);
}

void model_disk_cut(struct model_disk *model, const char *path, uint64_t length) {
    struct inode *inode = inode_at(model, path);
    if (length >= inode->cache_size)
        return;
    memset(inode->cache + length, 0, inode->cache_size - (size_t)length);
    inode->cache_size = (size_t)length;
    memcpy(inode->durable, inode->cache, inode->capacity);
    memset(inode->dirty, 0, inode->capacity / MODEL_SECTOR);
    inode->durable_size = (size_t)length;
}
