/*
 * disk: the Linux side of disk.h and the two helpers built on the table.
 *
 * Interrupted calls are repeated; a short write is continued (it may be the last bytes of a full disk, then
 * the continuation reports ENOSPC). Everything else is returned as it came.
 */
#include "common/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk_file {
    int descriptor;
};

static int linux_open(struct disk *disk, const char *path, int flags, struct disk_file **file) {
    (void)disk;
    int mode = (flags & DISK_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    if ((flags & DISK_CREATE) != 0)
        mode |= O_CREAT;
    if ((flags & DISK_EXCLUSIVE) != 0)
        mode |= O_EXCL;
    int descriptor = open(path, mode | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return -errno;
    *file = must_alloc(sizeof **file);
    (*file)->descriptor = descriptor;
    return 0;
}

static void linux_close(struct disk_file *file) {
    close(file->descriptor);
    free(file);
}

static int64_t linux_read(struct disk_file *file, void *data, size_t length, uint64_t offset) {
    size_t done = 0;
    while (done < length) {
        ssize_t count =
            pread(file->descriptor, (uint8_t *)data + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (int64_t)done;
}

static int linux_write(struct disk_file *file, const void *data, size_t length, uint64_t offset) {
    size_t done = 0;
    while (done < length) {
        ssize_t count =
            pwrite(file->descriptor, (const uint8_t *)data + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        done += (size_t)count;
    }
    return 0;
}

static int linux_sync(struct disk_file *file) {
    return fdatasync(file->descriptor) == 0 ? 0 : -errno;
}

static int64_t linux_size(struct disk_file *file) {
    struct stat status;
    return fstat(file->descriptor, &status) == 0 ? (int64_t)status.st_size : -errno;
}

static int linux_truncate(struct disk_file *file, uint64_t length) {
    return ftruncate(file->descriptor, (off_t)length) == 0 ? 0 : -errno;
}

static int linux_rename(struct disk *disk, const char *from, const char *to) {
    (void)disk;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int linux_unlink(struct disk *disk, const char *path) {
    (void)disk;
    return unlink(path) == 0 ? 0 : -errno;
}

static int linux_make_directory(struct disk *disk, const char *path) {
    (void)disk;
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static int linux_sync_directory(struct disk *disk, const char *path) {
    (void)disk;
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    int result = fsync(descriptor) == 0 ? 0 : -errno;
    close(descriptor);
    return result;
}

static int linux_list(struct disk *disk, const char *path, void (*visit)(void *context, const char *name),
                      void *context) {
    (void)disk;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return -errno;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    }
    int result = -errno;
    closedir(directory);
    return result;
}

static const struct disk_operations linux_operations = {
    .open = linux_open,
    .close = linux_close,
    .read = linux_read,
    .write = linux_write,
    .sync = linux_sync,
    .size = linux_size,
    .truncate = linux_truncate,
    .rename = linux_rename,
    .unlink = linux_unlink,
    .make_directory = linux_make_directory,
    .sync_directory = linux_sync_directory,
    .list = linux_list,
};

struct disk *disk_linux(void) {
    static struct disk disk = {.operations = &linux_operations};
    return &disk;
}

int disk_read_file(struct disk *disk, const char *path, size_t limit, struct buffer *out) {
    struct disk_file *file = NULL;
    int result = disk->operations->open(disk, path, DISK_READ_ONLY, &file);
    if (result != 0)
        return result;
    int64_t size = disk->operations->size(file);
    if (size < 0)
        result = (int)size;
    else if ((uint64_t)size > limit)
        result = -EFBIG;
    else {
        int64_t count = disk->operations->read(file, buffer_reserve(out, (size_t)size), (size_t)size, 0);
        if (count < 0)
            result = (int)count;
        else
            out->length += (size_t)count;
    }
    disk->operations->close(file);
    return result;
}

static int write_whole(struct disk *disk, const char *path, struct bytes content) {
    struct disk_file *file = NULL;
    int result = disk->operations->open(disk, path, DISK_CREATE, &file);
    if (result != 0)
        return result;
    result = disk->operations->truncate(file, 0);
    if (result == 0)
        result = disk->operations->write(file, content.data, content.length, 0);
    if (result == 0)
        result = disk->operations->sync(file);
    disk->operations->close(file);
    return result;
}

int disk_replace_file(struct disk *disk, const char *directory, const char *name, struct bytes content) {
    char path[4096];
    char temporary[4096 + 8];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int result = write_whole(disk, temporary, content);
    if (result == 0)
        result = disk->operations->rename(disk, temporary, path);
    if (result == 0)
        result = disk->operations->sync_directory(disk, directory);
    return result;
}
