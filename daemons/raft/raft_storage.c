/* raft_storage: see raft_storage.h. */
#include "raft/raft_storage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/members_file.h"

struct raft_storage {
    struct raft_storage_options options;
    char *member_directory;
    struct wal *wal;
};

static bool fail(char error[512], const char *what, const char *path, int status) {
    snprintf(error, 512, "%s %.300s: %s", what, path, strerror(-status));
    return false;
}

static bool load_members(const struct raft_storage_options *options, struct raft_role *role,
                         char error[512]) {
    struct raft_members *members = must_zalloc(sizeof *members);
    enum members_file_result result =
        members_file_read(options->disk, options->member_directory, members, error);
    if (result == MEMBERS_FILE_READ)
        raft_role_load_members(role, members);
    free(members);
    return result != MEMBERS_FILE_BAD;
}

static bool open_existing(struct raft_storage *storage, struct raft_role *role, char error[512]) {
    const struct raft_storage_options *options = &storage->options;
    struct wal_visitor visitor = raft_role_visitor(role);
    struct wal_metadata metadata = {0};
    if (!load_members(options, role, error) ||
        wal_open(options->disk, options->wal_directory, options->nonce, options->segment_bytes, &visitor,
                 &metadata, &storage->wal, error) != WAL_OPENED)
        return false;
    if (metadata.node == options->member && metadata.cluster == options->cluster)
        return true;
    snprintf(error, 512,
             "%.200s belongs to member %" PRIx64 " of cluster %" PRIx64
             ", but name, initial-cluster and initial-cluster-token make this member %" PRIx64
             " of cluster %" PRIx64 "; correct them, or choose another data directory",
             options->wal_directory, metadata.node, metadata.cluster, options->member, options->cluster);
    wal_close(storage->wal);
    return false;
}

/* The directory, with its name durable in its parent. */
static int make_member_directory(struct disk *disk, const char *directory) {
    char parent[4096];
    int status = disk->operations->make_directory(disk, directory);
    const char *slash = strrchr(directory, '/');
    size_t length = slash == NULL || slash == directory ? 1 : (size_t)(slash - directory);
    if (length >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, slash == NULL ? "." : directory, length);
    parent[length] = '\0';
    return status == 0 ? disk->operations->sync_directory(disk, parent) : status;
}

static bool open_or_create(struct raft_storage *storage, struct raft_role *role, char error[512]) {
    const struct raft_storage_options *options = &storage->options;
    struct disk *disk = options->disk;
    int status = make_member_directory(disk, options->member_directory);
    if (status != 0)
        return fail(error, "cannot make directory", options->member_directory, status);
    int exists = wal_exists(disk, options->wal_directory);
    if (exists < 0 && exists != -ENOENT)
        return fail(error, "cannot read", options->wal_directory, exists);
    if (exists > 0)
        return open_existing(storage, role, error);
    struct wal_metadata metadata = {.node = options->member, .cluster = options->cluster};
    status = wal_create(disk, options->wal_directory, &metadata, options->nonce, options->segment_bytes,
                        &storage->wal);
    return status == 0 || fail(error, "cannot create the write-ahead log in", options->wal_directory, status);
}

struct raft_storage *raft_storage_open(const struct raft_storage_options *options, struct raft_role *role,
                                       char error[512]) {
    struct raft_storage *storage = must_zalloc(sizeof *storage);
    storage->options = *options;
    if (!open_or_create(storage, role, error)) {
        free(storage);
        return NULL;
    }
    storage->member_directory = must_strdup(options->member_directory);
    return storage;
}

void raft_storage_close(struct raft_storage *storage) {
    wal_close(storage->wal);
    free(storage->member_directory);
    free(storage);
}

const char *raft_storage_directory(const struct raft_storage *storage) {
    return storage->options.wal_directory;
}

/* The order is the point: who sees the snapshot record finds the members file, and only then goes the log. */
static int release(struct raft_storage *storage, const struct raft_persist *persist) {
    int status = members_file_write(storage->options.disk, storage->member_directory, persist->members);
    if (status == 0)
        status = wal_mark_snapshot(storage->wal, &persist->snapshot);
    if (status == 0)
        status = wal_release(storage->wal, persist->snapshot.index);
    return status;
}

int raft_storage_persist(struct raft_storage *storage, const struct raft_persist *persist) {
    int status = 0;
    if (persist->count > 0 || persist->has_state)
        status = wal_append(storage->wal, persist->entries, persist->count,
                            persist->has_state ? &persist->state : NULL, storage->options.sync);
    if (status == 0 && persist->release)
        status = release(storage, persist);
    return status;
}

static void take_fetched(void *context, const struct wal_entry *entry) {
    struct raft_fetch *fetch = context;
    if (fetch->count == fetch->capacity) {
        fetch->capacity = fetch->capacity == 0 ? 256 : fetch->capacity * 2;
        fetch->entries = must_realloc(fetch->entries, fetch->capacity * sizeof *fetch->entries);
    }
    fetch->entries[fetch->count++] = *entry;
    buffer_append_bytes(&fetch->data, entry->data);
}

int raft_storage_fetch(struct raft_storage *storage, struct raft_fetch *fetch) {
    int status = wal_read(storage->wal, fetch->from, fetch->to, fetch->limit_bytes, take_fetched, fetch);
    if (status != 0)
        return status;
    /* The buffer has stopped moving: now the entries can point into it. */
    const uint8_t *place = fetch->data.data;
    for (size_t i = 0; i < fetch->count; i++) {
        if (fetch->entries[i].index != fetch->from + i)
            return -EIO;
        fetch->entries[i].data.data = place;
        place += fetch->entries[i].data.length;
    }
    return fetch->count == 0 ? -EIO : 0;
}

bool raft_storage_wants_prepare(const struct raft_storage *storage) {
    return wal_wants_prepare(storage->wal);
}

int raft_storage_prepare(struct raft_storage *storage) {
    return wal_prepare(storage->wal);
}

struct wal_counts raft_storage_counts(const struct raft_storage *storage) {
    return wal_counts(storage->wal);
}
