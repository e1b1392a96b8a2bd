/*
 * raft_storage: the raft daemon's files (WAL and members file) over a disk: opening, and doing the role's
 * persist and fetch actions. Pure but for the disk, so the simulator runs it over its model.
 *
 * Failure modes: opening what belongs to another member or cluster, a corrupt WAL or a foreign file is
 * refused with a sentence that names what and the remedy; nothing is changed on disk. A failed write or sync
 * while running is returned as -errno: the daemon must end. Threading: persist by one thread at a time;
 * prepare and fetch each by one thread at a time, beside it.
 */
#ifndef QUORATE_RAFT_RAFT_STORAGE_H
#define QUORATE_RAFT_RAFT_STORAGE_H

#include "common/disk.h"
#include "raft/raft_role.h"

struct raft_storage;

struct raft_storage_options {
    struct disk *disk;
    const char *member_directory; /* <data>/member; its parent exists */
    const char *wal_directory;    /* usually <data>/member/wal; outlives the storage */
    uint64_t member, cluster;     /* ids the config says */
    uint64_t nonce;               /* random */
    uint64_t segment_bytes;       /* 0: WAL_SEGMENT_BYTES */
    bool sync;                    /* false: --unsafe-no-fsync */
};

/*
 * Opens the log or creates it when there is none, and loads all of it into the role (not started yet). NULL
 * and a sentence in error when it must not be opened.
 */
struct raft_storage *raft_storage_open(const struct raft_storage_options *options, struct raft_role *role,
                                       char error[512]);
void raft_storage_close(struct raft_storage *storage);

const char *raft_storage_directory(const struct raft_storage *storage);

/* 0 when all of the action is durable, else -errno. */
int raft_storage_persist(struct raft_storage *storage, const struct raft_persist *persist);
int raft_storage_fetch(struct raft_storage *storage, struct raft_fetch *fetch);
/* The WAL's background work (the next segment). */
bool raft_storage_wants_prepare(const struct raft_storage *storage);
int raft_storage_prepare(struct raft_storage *storage);

struct wal_counts raft_storage_counts(const struct raft_storage *storage);

#endif
