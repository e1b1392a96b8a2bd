/*
 * membership: see membership.h. Ids, lookup, bootstrap and changes; the encodings are in
 * membership_codec.c, the JSON context of a change in membership_context.c.
 */
#include "common/membership.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/status.h"

static uint64_t first_eight(const unsigned char *digest) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    return value;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_ids(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

uint64_t member_id(const char *const *peer_urls, unsigned count, const char *token) {
    const char *sorted[MEMBER_URL_LIMIT];
    REQUIRE(count <= MEMBER_URL_LIMIT);
    memcpy(sorted, peer_urls, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_texts);
    struct buffer text = {0};
    for (unsigned i = 0; i < count; i++)
        buffer_append_bytes(&text, bytes_from_text(sorted[i]));
    buffer_append_bytes(&text, bytes_from_text(token));
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(text.data, text.length, digest);
    buffer_free(&text);
    return first_eight(digest);
}

uint64_t cluster_id(const uint64_t *member_ids, unsigned count) {
    uint64_t sorted[MEMBERSHIP_LIMIT];
    uint8_t text[MEMBERSHIP_LIMIT * 8];
    REQUIRE(count <= MEMBERSHIP_LIMIT);
    memcpy(sorted, member_ids, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_ids);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned byte = 0; byte < 8; byte++)
            text[i * 8 + byte] = (uint8_t)(sorted[i] >> (56 - 8 * byte));
    }
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(text, (size_t)count * 8, digest);
    return first_eight(digest);
}

static struct member *find(struct membership *membership, uint64_t id) {
    for (unsigned i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id)
            return &membership->members[i];
    }
    return NULL;
}

const struct member *membership_find(const struct membership *membership, uint64_t id) {
    for (unsigned i = 0; i < membership->count; i++) {
        if (membership->members[i].id == id)
            return &membership->members[i];
    }
    return NULL;
}

void membership_set_client_urls(struct membership *membership, uint64_t id, const char *urls) {
    struct member *member = find(membership, id);
    if (member == NULL)
        return;
    member->client_url_count = 0;
    while (*urls != '\0' && member->client_url_count < MEMBER_URL_LIMIT) {
        size_t length = strcspn(urls, ",");
        if (length > 0)
            snprintf(member->client_urls[member->client_url_count++], sizeof member->client_urls[0], "%.*s",
                     (int)length, urls);
        urls += length + (urls[length] == ',');
    }
}

static struct member *find_name(struct membership *membership, const char *name) {
    for (unsigned i = 0; i < membership->count; i++) {
        if (strcmp(membership->members[i].name, name) == 0)
            return &membership->members[i];
    }
    return NULL;
}

static bool url_is_plausible(const char *url) {
    static const char *const schemes[] = {"http://", "https://", "unix://", "unixs://"};
    for (unsigned i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(url, schemes[i], length) == 0)
            return url[length] != '\0' && strpbrk(url, " \t\r\n\"\\") == NULL;
    }
    return false;
}

/* One "name=url" of the initial cluster; a name may come several times, with one URL each. */
static bool bootstrap_item(struct membership *out, const char *item, size_t length, char error[256]) {
    char text[sizeof out->members->name + sizeof *out->members->peer_urls];
    if (length >= sizeof text) {
        snprintf(error, 256, "initial-cluster: an item of %zu bytes is too long", length);
        return false;
    }
    snprintf(text, sizeof text, "%.*s", (int)length, item);
    char *url = strchr(text, '=');
    if (url == NULL || url == text || (size_t)(url - text) >= sizeof out->members->name) {
        snprintf(error, 256, "initial-cluster: \"%.150s\" is not of the form name=url", text);
        return false;
    }
    *url++ = '\0';
    if (!url_is_plausible(url) || strlen(url) >= sizeof *out->members->peer_urls) {
        snprintf(error, 256, "initial-cluster: \"%.150s\" is not a peer URL (http://host:port)", url);
        return false;
    }
    struct member *member = find_name(out, text);
    if (member == NULL && out->count < MEMBERSHIP_LIMIT) {
        member = &out->members[out->count++];
        memcpy(member->name, text, strlen(text) + 1);
    }
    if (member == NULL || member->peer_url_count == MEMBER_URL_LIMIT) {
        snprintf(error, 256, "initial-cluster: more than %d members or %d URLs for one", MEMBERSHIP_LIMIT,
                 MEMBER_URL_LIMIT);
        return false;
    }
    memcpy(member->peer_urls[member->peer_url_count++], url, strlen(url) + 1);
    return true;
}

static int compare_urls(const void *a, const void *b) {
    return strcmp(a, b);
}

static int compare_members(const void *a, const void *b) {
    return compare_ids(&((const struct member *)a)->id, &((const struct member *)b)->id);
}

/* Ids from URLs and token; the same URL twice would be the same member twice. */
static bool bootstrap_ids(struct membership *out, const char *token, char error[256]) {
    uint64_t ids[MEMBERSHIP_LIMIT];
    for (unsigned i = 0; i < out->count; i++) {
        struct member *member = &out->members[i];
        qsort(member->peer_urls, member->peer_url_count, sizeof *member->peer_urls, compare_urls);
        const char *urls[MEMBER_URL_LIMIT];
        for (unsigned j = 0; j < member->peer_url_count; j++)
            urls[j] = member->peer_urls[j];
        member->id = member_id(urls, member->peer_url_count, token);
        ids[i] = member->id;
    }
    qsort(out->members, out->count, sizeof *out->members, compare_members);
    for (unsigned i = 1; i < out->count; i++) {
        if (out->members[i].id == out->members[i - 1].id) {
            snprintf(error, 256, "initial-cluster: \"%.100s\" and \"%.100s\" have the same peer URLs",
                     out->members[i - 1].name, out->members[i].name);
            return false;
        }
    }
    out->cluster = cluster_id(ids, out->count);
    return true;
}

bool membership_bootstrap(const char *initial_cluster, const char *token, const char *own_name,
                          struct membership *out, uint64_t *own_id, char error[256]) {
    *out = (struct membership){0};
    for (const char *cursor = initial_cluster; *cursor != '\0';) {
        size_t length = strcspn(cursor, ",");
        if (length > 0 && !bootstrap_item(out, cursor, length, error))
            return false;
        cursor += length + (cursor[length] == ',');
    }
    const struct member *own = find_name(out, own_name);
    if (own == NULL) {
        snprintf(error, 256, "couldn't find local name \"%.150s\" in the initial cluster configuration",
                 own_name);
        return false;
    }
    if (!bootstrap_ids(out, token, error))
        return false;
    *own_id = find_name(out, own_name)->id;
    return true;
}

/* --- changes -------------------------------------------------------------------------------------------- */

/* True when a member other than `except` has one of the URLs. */
static bool peer_url_taken(const struct membership *membership, const struct member *wanted,
                           uint64_t except) {
    for (unsigned i = 0; i < membership->count; i++) {
        const struct member *member = &membership->members[i];
        for (unsigned j = 0; member->id != except && j < member->peer_url_count; j++) {
            for (unsigned k = 0; k < wanted->peer_url_count; k++) {
                if (strcmp(member->peer_urls[j], wanted->peer_urls[k]) == 0)
                    return true;
            }
        }
    }
    return false;
}

static bool has_learner(const struct membership *membership) {
    for (unsigned i = 0; i < membership->count; i++) {
        if (membership->members[i].learner)
            return true;
    }
    return false;
}

static uint16_t promote(struct membership *membership, uint64_t id) {
    struct member *member = find(membership, id);
    if (member == NULL)
        return STATUS_MEMBER_NOT_FOUND;
    if (!member->learner)
        return STATUS_MEMBER_NOT_LEARNER;
    member->learner = false;
    return STATUS_OK;
}

static uint16_t add(struct membership *membership, const struct member *member) {
    if (find(membership, member->id) != NULL)
        return STATUS_MEMBER_EXISTS;
    if (peer_url_taken(membership, member, member->id))
        return STATUS_PEER_URL_EXISTS;
    if (member->learner && has_learner(membership))
        return STATUS_TOO_MANY_LEARNERS;
    if (membership->count == MEMBERSHIP_LIMIT)
        return STATUS_TOO_MANY_REQUESTS;
    membership->members[membership->count++] = *member;
    qsort(membership->members, membership->count, sizeof *member, compare_members);
    return STATUS_OK;
}

static uint16_t remove_member(struct membership *membership, uint64_t id) {
    struct member *member = find(membership, id);
    if (member == NULL)
        return STATUS_MEMBER_NOT_FOUND;
    size_t behind = (size_t)(membership->members + membership->count - (member + 1));
    memmove(member, member + 1, behind * sizeof *member);
    membership->count--;
    return STATUS_OK;
}

static uint16_t update(struct membership *membership, const struct member *wanted) {
    struct member *member = find(membership, wanted->id);
    if (member == NULL)
        return STATUS_MEMBER_NOT_FOUND;
    if (peer_url_taken(membership, wanted, wanted->id))
        return STATUS_PEER_URL_EXISTS;
    memcpy(member->peer_urls, wanted->peer_urls, sizeof member->peer_urls);
    member->peer_url_count = wanted->peer_url_count;
    return STATUS_OK;
}

uint16_t membership_apply(struct membership *membership, const struct conf_change *change) {
    if (change->type == CONF_REMOVE_NODE)
        return remove_member(membership, change->node);
    struct member member;
    bool promoting = false;
    if (change->type > CONF_ADD_LEARNER || !member_decode_context(change->context, &member, &promoting) ||
        member.id != change->node || member.peer_url_count == 0)
        return STATUS_UNDECODABLE;
    if (change->type == CONF_UPDATE_NODE)
        return update(membership, &member);
    if (promoting)
        return promote(membership, member.id);
    member.learner = change->type == CONF_ADD_LEARNER;
    return add(membership, &member);
}
