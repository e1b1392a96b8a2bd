/* checkpoint_check: see checkpoint_check.h. */
#include "maint/checkpoint_check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/store_format.h"

static uint64_t read_index(rocksdb_t *database, char **error) {
    size_t length = 0;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(options, 1);
    char *value =
        rocksdb_get(database, options, STORE_APPLIED_KEY, strlen(STORE_APPLIED_KEY), &length, error);
    rocksdb_readoptions_destroy(options);
    uint64_t index = value == NULL ? 0 : store_applied_index(bytes_of(value, length));
    if (value != NULL)
        rocksdb_free(value);
    return index;
}

uint64_t checkpoint_index(const char *directory) {
    char *error = NULL;
    uint64_t index = 0;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 0);
    rocksdb_options_set_max_open_files(options, 16);
    rocksdb_t *database = rocksdb_open_for_read_only(options, directory, 0, &error);
    if (error == NULL) {
        index = read_index(database, &error);
        rocksdb_close(database);
    }
    rocksdb_options_destroy(options);
    if (error != NULL) {
        LOG_ERROR("cannot read a checkpoint", F_STR("directory", directory), F_STR("error", error));
        rocksdb_free(error);
        return 0;
    }
    return index;
}

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *where) {
    (void)state;
    (void)kind;
    (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

int remove_tree(const char *path) {
    enum { DESCRIPTORS = 8 };
    if (nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

int empty_directory(const char *path) {
    int status = remove_tree(path);
    if (status == 0 && mkdir(path, 0700) != 0)
        status = -errno;
    return status;
}
