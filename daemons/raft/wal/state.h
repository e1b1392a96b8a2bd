/*
 * state: struct wal, shared by the files of this folder and by nobody else.
 *
 * Who may touch what: "appender" fields belong to the one thread that appends; "lock" fields are read and
 * written under the lock, which is never held across I/O. The spare segment passes from wal_prepare's thread
 * to the appender under the lock; an appender that needs it while it is being built waits for it.
 */
#ifndef QUORATE_RAFT_WAL_STATE_H
#define QUORATE_RAFT_WAL_STATE_H

#include <pthread.h>

#include "raft/wal/index.h"
#include "raft/wal/record.h"
#include "raft/wal/stream.h"
#include "raft/wal/wal.h"

struct wal_segment {
    uint64_t sequence, first_index;
    uint64_t max_index; /* of the entries in it, dead ones included; 0 without entries */
};

enum wal_spare { WAL_SPARE_NONE, WAL_SPARE_BUILDING, WAL_SPARE_READY };

struct wal {
    struct disk *disk;
    char *directory;
    uint64_t segment_bytes;
    uint64_t nonce; /* the segments' nonces are drawn from it */
    struct wal_metadata metadata;

    /* appender */
    struct disk_file *file; /* the last segment */
    uint64_t offset;        /* end of what is written in it */
    uint64_t head_end;      /* where its head ends */
    uint64_t segment_nonce;
    uint32_t crc;       /* running checksum at offset */
    uint32_t write_crc; /* CRC-32C of the raw bytes from the last mark to offset */
    bool dirty;         /* something before offset was not synced */
    bool marked;        /* the last thing written is a mark alone */
    struct wal_hard_state state;
    bool has_state;
    uint64_t snapshot_index, snapshot_sequence; /* newest snapshot record: its index, the segment it is in */
    struct buffer encode;
    struct wal_point *pending; /* points of the write in hand */
    size_t pending_count, pending_capacity;

    pthread_mutex_t lock;
    pthread_cond_t spare_changed;
    int poison; /* -errno of the failure that ended this wal */
    struct wal_segment *segments;
    size_t segment_count, segment_capacity;
    struct wal_index index;
    uint64_t last_index;     /* durable */
    uint64_t durable_offset; /* in the last segment */
    enum wal_spare spare;
    struct disk_file *spare_file;
    struct wal_counts counts;

    struct wal_stream reader; /* wal_read's */
};

/* An empty struct with its lock; neither file nor segment yet. */
struct wal *wal_new(struct disk *disk, const char *directory, uint64_t nonce, uint64_t segment_bytes);
/* Notes the failure, if it is the first; returns it. */
int wal_poison(struct wal *wal, int error);
/* The poison, 0 without. */
int wal_poisoned(struct wal *wal);

/* --- segment.c ----------------------------------------------------------------------------------------- */
struct wal_path {
    char text[4096];
};
struct wal_path wal_segment_path(const struct wal *wal, const struct wal_segment *segment);
/* True when the name is that of a segment. */
bool wal_parse_segment_name(const char *name, struct wal_segment *segment);
void wal_add_segment(struct wal *wal, const struct wal_segment *segment);
/* Ends the current segment (synced) and begins the next. With no segment yet: the first, with {0,0}. */
int wal_cut(struct wal *wal);
/* Syncs a file and counts it. */
int wal_sync_file(struct wal *wal, struct disk_file *file);
/* Syncs the directory that holds the WAL's own. */
int wal_sync_parent(struct wal *wal);
/* Overwrites with zeros. */
int wal_write_zeros(struct disk *disk, struct disk_file *file, uint64_t from, uint64_t to);

/* --- replay.c: the records of the segments, one after the other -------------------------------------------
 */
struct wal_replay {
    struct wal *wal;
    const struct wal_visitor *visitor;
    bool has_metadata, crc_known;
    /* the segment in hand */
    uint64_t size;        /* of the file */
    uint64_t records;     /* read so far */
    bool has_nonce;       /* written by quorate */
    uint64_t head_end;    /* where its head ends, if it has a nonce */
    struct wal_mark mark; /* the last one; its offset is that of its frame, also for the head's */
    uint64_t end;         /* offset behind the last good record */
    const char *damage;   /* what is wrong there; NULL: nothing, or a zero length field */
    bool hopeless;        /* not the kind of damage that a torn write leaves */
    bool broken_off; /* the damaged record is cut off or has a sector of zeros: etcd's sign of a torn write */
};
/* Reads the segment to its end or first damage. -errno on read errors. */
int wal_replay_segment(struct wal_replay *replay, struct wal_segment *segment, struct disk_file *file);

/* --- scan.c -------------------------------------------------------------------------------------------- */
struct wal_scan {
    uint64_t proven;      /* offset of a mark that proves all before it durable; 0: none */
    uint64_t nonzero_end; /* behind the last byte that is not zero (rounded up to 8), or `from` */
};
/* Looks at the rest of a segment, from an 8-byte boundary on, for marks with the nonce. */
int wal_scan_tail(struct disk *disk, struct disk_file *file, uint64_t nonce, uint64_t from, uint64_t size,
                  struct wal_scan *scan);

#endif
