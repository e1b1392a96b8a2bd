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
/* NULL when there is no such member. */
const struct member *membership_find(const struct membership *membership, uint64_t id);
/* Sets a member's client URLs from a comma-separated list; without effect when the id is unknown. */
void membership_set_client_urls(struct membership *membership, uint64_t id, const char *urls);

/* The body of MemberListResponse without header: repeated Member members=2. */
void membership_encode_list(const struct membership *membership, struct buffer *out);
/* etcd's Member message: ID=1 name=2 peerURLs=3 clientURLs=4 isLearner=5. Decode: false when malformed. */
void member_encode(const struct member *member, struct buffer *out);
bool member_decode(struct bytes message, struct member *out);
/* raftpb.ConfState: repeated voters=1, learners=2 (bare ids). */
void membership_encode_conf_state(const struct membership *membership, struct buffer *out);

/* raftpb.ConfChange, the data of a log entry of type 1. */
enum conf_change_type { CONF_ADD_NODE, CONF_REMOVE_NODE, CONF_UPDATE_NODE, CONF_ADD_LEARNER };
struct conf_change {
    uint64_t id;
    uint64_t type; /* enum conf_change_type; may be out of range until applied */
    uint64_t node;
    struct bytes context; /* etcd's JSON of the member; borrowed */
};
bool conf_change_decode(struct bytes data, struct conf_change *out);
void conf_change_encode(struct buffer *out, const struct conf_change *change);

/* The context as etcd writes and reads it: {"id":1,"peerURLs":["…"],"name":"…"}. */
void member_encode_context(const struct member *member, struct buffer *out);
/* promote: the change makes an existing learner a voter. Unknown keys are skipped; false when malformed. */
bool member_decode_context(struct bytes json, struct member *out, bool *promote);

/*
 * Validates the change and, if valid, applies it. Returns STATUS_OK or the status that refuses it, in which
 * case nothing changed: the same on every member, in raft and in apply.
 */
uint16_t membership_apply(struct membership *membership, const struct conf_change *change);

#endif
