/*
 * wal: the Raft log on disk, in etcd's record layout.
 *
 * A directory of segments `%016x-%016x.wal` (sequence, first index), 64 MiB each, zero-filled ahead of use
 * (fdatasync of an overwrite took 70 us where an append took 114). A record is an 8-byte little-endian length
 * field with padding bits, then walpb.Record{type, crc, data}; crc chains CRC-32C over the data of all
 * records. Types: 1 metadata, 2 entry, 3 state, 4 crc, 5 snapshot. A new WAL begins with snapshot {0,0};
 * every segment begins with crc, metadata and (when there is one) state.
 *
 * Torn tail or corruption is decidable: no write is issued while a sync is in flight, and every write begins
 * with a crc record whose data carries the segment's random nonce ("mark"). A valid mark proves that all
 * before it was durable. Damage with no later valid mark is the torn tail of the last, unsynced write: it is
 * zeroed and synced on open. Damage with a later mark is corruption: open refuses and names file, offset and
 * remedy. On open what the last mark does not prove is written again and the last segment synced before any
 * answer. A mark also carries the CRC of the write before it, so that a change of a record's type, which
 * etcd's chain does not cover, is seen.
 *
 * Known limit: the very last write before a crash has no later mark. If a bit of it flips although it had
 * been synced, that cannot be told from a tear (a sector may be torn at any byte) and it is cut off.
 * wal_close writes a last mark, so an orderly stop leaves no such write. What etcd wrote (a directory taken
 * over from it, or one it has used since) has no marks: there etcd's own rule holds, a record with a sector
 * of zeros or cut off by the file's end is torn, anything else is corruption. Behind a segment begun by etcd
 * we go on in one of our own.
 *
 * Failure modes: any failed write or sync returns -errno and poisons the wal (every later call fails): the
 * daemon must end; nothing is retried, nothing acknowledged. A full disk fails in wal_prepare (the spare
 * segment), long before an append can: a failure there removes the spare and poisons nothing. Breaking the
 * rules of wal_append is a broken invariant (panic): such a log could not be opened again.
 *
 * Threading: wal_append, wal_mark_snapshot and wal_release are called by one thread at a time (whoever does
 * the I/O); wal_prepare by a background thread at any time; wal_read by one thread at a time, concurrently
 * with all.
 */
#ifndef QUORATE_RAFT_WAL_WAL_H
#define QUORATE_RAFT_WAL_WAL_H

#include "common/bytes.h"
#include "common/disk.h"

enum {
    WAL_SEGMENT_BYTES = 64 << 20,
    WAL_RECORD_LIMIT = 10 << 20, /* a larger length field is damage */
};

struct wal_entry {
    uint64_t index, term;
    uint16_t type; /* raftpb.EntryType */
    struct bytes data;
};

struct wal_hard_state {
    uint64_t term, vote, commit;
};

struct wal_metadata {
    uint64_t node, cluster;
};

struct wal_snapshot {
    uint64_t index, term;
    struct bytes conf_state; /* encoded raftpb.ConfState; empty for {0,0} */
};

struct wal;

/* True when the directory holds at least one segment. -errno on failure. */
int wal_exists(struct disk *disk, const char *directory);

/* Creates an empty log (directory included), durable on return. segment_bytes 0: WAL_SEGMENT_BYTES. */
int wal_create(struct disk *disk, const char *directory, const struct wal_metadata *metadata, uint64_t nonce,
               uint64_t segment_bytes, struct wal **wal);

/* What open hands back, record by record, in order. Entries may overwrite earlier ones (a new leader): the
 * visitor truncates its copy from entry->index on. Where the oldest segments were released, the first entries
 * may be dead ones whose overwriting begins below them: the copy is then empty and starts anew at
 * entry->index. A snapshot beyond the last entry replaces the log: the next entry is snapshot->index + 1. The
 * state comes again at the head of each segment. Data is borrowed. Any member may be NULL. */
struct wal_visitor {
    void (*entry)(void *context, const struct wal_entry *entry);
    void (*state)(void *context, const struct wal_hard_state *state);
    void (*snapshot)(void *context, const struct wal_snapshot *snapshot);
    void *context;
};

enum wal_open_result { WAL_OPENED, WAL_CORRUPT, WAL_FOREIGN_FILE, WAL_IO_ERROR };
/* On anything but WAL_OPENED, `error` is a sentence naming file, offset and remedy. */
enum wal_open_result wal_open(struct disk *disk, const char *directory, uint64_t nonce,
                              uint64_t segment_bytes, const struct wal_visitor *visitor,
                              struct wal_metadata *metadata, struct wal **wal, char error[512]);

/*
 * Writes the entries and, if not NULL, the hard state, with one write and one sync; durable on return (0).
 * count may be 0. Cuts to the next segment when the current one is full. sync false: --unsafe-no-fsync.
 * Rules: indexes are consecutive, the first at most the last index + 1 and above the last state's commit;
 * state->commit is at most the last index after this write. -EMSGSIZE, with nothing written and nothing
 * poisoned: an entry near WAL_RECORD_LIMIT, which no reader would take.
 */
int wal_append(struct wal *wal, const struct wal_entry *entries, size_t count,
               const struct wal_hard_state *state, bool sync);

/* Appends a snapshot record, durable on return. Beyond the last index it replaces the log: the next entry is
 * index + 1. */
int wal_mark_snapshot(struct wal *wal, const struct wal_snapshot *snapshot);
/* Removes, oldest first, whole segments that hold only entries at or below index: at most up to the newest
 * snapshot record's index, never the segment with that record, never the last one. */
int wal_release(struct wal *wal, uint64_t index);

/* Makes the next segment (zero-filled, synced) if there is no spare. Blocking (about 0.1 s on an idle SSD),
 * for a background thread; an append that needs the segment meanwhile waits for it. -ENOSPC: stop taking
 * proposals, call again later; the daemon should end on any other error. */
int wal_prepare(struct wal *wal);
/* True when wal_prepare has something to do. Cheap. */
bool wal_wants_prepare(const struct wal *wal);

/* Reads durable entries [from, to] (at most limit_bytes of data, at least one) through a sparse index,
 * checking each against the chain. Data is borrowed until visit returns. -ENOENT: the log does not hold them
 * (released or not yet durable; some may have been visited), -EBADMSG: they are damaged on disk. Neither
 * poisons. */
int wal_read(struct wal *wal, uint64_t from, uint64_t to, size_t limit_bytes,
             void (*visit)(void *context, const struct wal_entry *entry), void *context);

/* Totals for metrics: bytes written, syncs done, microseconds of the last sync, bytes of a torn tail zeroed
 * at open. */
struct wal_counts {
    uint64_t bytes_written, syncs, last_sync_us, torn_bytes;
};
struct wal_counts wal_counts(const struct wal *wal);

void wal_close(struct wal *wal);

#endif
