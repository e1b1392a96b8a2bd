/*
 * members_file: <data>/member/members, the cluster as of an index. Written durably before the log up to that
 * index is released, so that a restart knows its members without the entries that made them.
 *
 * Format: a line "quorate-members <version> <oldest reader>", then protobuf {index=1, cluster=2, repeated
 * etcd Member members=3, repeated largest_id=4}, then CRC-32C of all before, 4 bytes little-endian. Replaced
 * atomically; damage is refused, never guessed around.
 */
#ifndef QUORATE_RAFT_MEMBERS_FILE_H
#define QUORATE_RAFT_MEMBERS_FILE_H

#include "common/disk.h"
#include "raft/raft_role.h"

enum members_file_result { MEMBERS_FILE_READ, MEMBERS_FILE_NONE, MEMBERS_FILE_BAD };

/* BAD: a sentence in error. */
enum members_file_result members_file_read(struct disk *disk, const char *directory, struct raft_members *out,
                                           char error[512]);
/* Durable on return. 0 or -errno. */
int members_file_write(struct disk *disk, const char *directory, const struct raft_members *members);

#endif
