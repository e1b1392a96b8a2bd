/*
 * store_record: what the store holds, byte by byte. apply writes it, maint reads it in checkpoints. One key
 * space, prefixes by content:
 *
 * - 'H' main be64 sub be32: the log of revisions: metadata, key, value of one change.
 * - 'c' user key: the key's current state: metadata, then the value. Deleted keys keep a tombstone.
 * - 'p' main be64 sub be32: what compaction keeps of the log (kept.h): the same records.
 * - 'k' lease be64 user key: the key is attached to the lease (lease/lease_book.h).
 * - 'l' lease be64: a lease.
 * - 'm' name: meta data: "applied", "compacted", "conf_state", "format", "kept", "physical".
 *
 * The log comes first, because it only grows at its end: a file that RocksDB flushes spans the keys from the
 * newest of the log to the end of all others, and merging it down touches no file of older log.
 *
 * All kinds of record link to the key's previous revision in the log, so that a read at an old revision
 * walks back from the current state. Metadata are varints (a typical head takes 8 to 12 bytes).
 * A record that does not decode means that the store is damaged: LOG_FATAL.
 */
#ifndef QUORATE_COMMON_STORE_RECORD_H
#define QUORATE_COMMON_STORE_RECORD_H

#include "common/bytes.h"

/* main: one per change of the store; sub: 0, 1, 2, ... inside one transaction. {0, 0}: none. */
struct revision {
    int64_t main;
    uint32_t sub;
};

struct record {
    int64_t create, version, lease;
    struct revision modified, previous;
    bool tombstone;
    struct bytes value; /* borrowed; empty for tombstones */
};

/* Whether the change made a new key: nothing was there, though it may have been deleted in the same revision.
 */
static inline bool record_is_creation(const struct record *record) {
    return !record->tombstone && record->create == record->modified.main;
}

enum {
    RECORD_HEAD_LIMIT = 80, /* metadata take at most so many bytes */
    REVISION_LENGTH = 12,
    LOG_KEY_LENGTH = 1 + REVISION_LENGTH,
    PREFIX_LOG = 'H', /* less than all others */
    PREFIX_CURRENT = 'c',
    PREFIX_ATTACHMENT = 'k',
    PREFIX_LEASE = 'l',
    PREFIX_KEPT = 'p',
    PREFIX_META = 'm',
};

/* Writes the record; `place` has RECORD_HEAD_LIMIT + value bytes (log: + key). Returns its length. */
size_t record_store_current(uint8_t *place, const struct record *record);
size_t record_store_log(uint8_t *place, struct bytes key, const struct record *record);

/* Borrow from `encoded`. The modified revision of a log record is that of its key. */
void record_load_current(struct bytes encoded, struct record *record);
void record_load_log(struct bytes encoded, struct revision at, struct bytes *key, struct record *record);

void log_key_store(uint8_t place[LOG_KEY_LENGTH], struct revision revision);
/* The same place in the keyspace of what is kept. */
void kept_key_store(uint8_t place[LOG_KEY_LENGTH], struct revision revision);
/* Of either kind of key. */
struct revision log_key_load(struct bytes key);

/* Big-endian, so that stored revisions sort as they should. */
void revision_store(uint8_t place[REVISION_LENGTH], struct revision revision);
struct revision revision_load(const uint8_t place[REVISION_LENGTH]);
/* < 0: a is older. */
int revision_compare(struct revision a, struct revision b);

#endif
