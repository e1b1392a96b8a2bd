/* store_rocksdb: the store over RocksDB, one column family, its own log switched off. */
#ifndef QUORATE_APPLY_STORE_STORE_ROCKSDB_H
#define QUORATE_APPLY_STORE_STORE_ROCKSDB_H

#include "apply/store/store.h"

struct store_rocksdb_options {
    uint64_t cache_bytes;    /* block cache: data, index and filter blocks */
    uint64_t memtable_bytes; /* one write buffer; at most three exist */
};

/* Opens, or creates in an empty directory. NULL and a sentence in error. Opening is a few milliseconds a GB.
 */
struct store *store_rocksdb_open(const char *directory, const struct store_rocksdb_options *options,
                                 char error[512]);

#endif
