/* remove_directory: a directory of files (as RocksDB makes them) and all in it. */
#ifndef QUORATE_APPLY_STORE_REMOVE_DIRECTORY_H
#define QUORATE_APPLY_STORE_REMOVE_DIRECTORY_H

/* Does not follow symbolic links, does not descend. 0 (also when there is none) or -errno. */
int remove_directory(const char *path);

#endif
