/*
 * membership: who is in the cluster. Ids by etcd's formulas, one pure function that validates and applies a
 * change (raft runs it on its copy, apply on its own), and the durable form in the members file.
 */
#ifndef QUORATE_COMMON_MEMBERSHIP_H
#define QUORATE_COMMON_MEMBERSHIP_H

#include "common/bytes.h"

enum { MEMBERSHIP_LIMIT = 16, MEMBER_URL_LIMIT = 4 };

struct member {
    uint64_t id;
    char name[128];
    char peer_urls[MEMBER_URL_LIMIT][256];
    char client_urls[MEMBER_URL_LIMIT][256];
    unsigned peer_url_count, client_url_count;
    bool learner;
};

struct membership {
    uint64_t cluster; /* cluster id */
    struct member members[MEMBERSHIP_LIMIT];
    unsigned count; /* sorted by id */
};

/* First 8 bytes, big-endian, of SHA-1(sorted peer URLs concatenated, then the token). etcd-api.md 1.11. */
uint64_t member_id(const char *const *peer_urls, unsigned count, const char *token);
/* First 8 bytes, big-endian, of SHA-1(member ids sorted, 8 bytes big-endian each). */
uint64_t cluster_id(const uint64_t *member_ids, unsigned count);
/*
 * From "--initial-cluster" ("name=url,name=url2,other=url3"). False and a sentence in error when malformed or
 * when own_name is missing.
 */
bool membership_bootstrap(const char *initial_cluster, const char *token, const char *own_name,
                          struct membership *out, uint64_t *own_id, char error[256]);
/* The body of MemberListResponse without header: repeated Member members=2. */
void membership_encode_list(const struct membership *membership, struct buffer *out);

#endif
