/*
 * lease_entries: see lease_entries.h.
 *
 * A revocation of very many keys is written in parts, like a large delete (write.c), at a revision that no
 * reader sees yet. After a crash between them it is executed again; the attachments of the first parts are
 * gone then, but the log names their keys behind the present revision, in the order in which they were
 * deleted: they are deleted once more, to the same records, and the remaining attachments follow.
 */
#include "apply/mvcc/lease_entries.h"

#include "common/key_hash.h"
#include "common/request.h"
#include "common/wire.h"

#include "apply/mvcc/write.h"

enum { GRANT_ID = 2, GRANT_TTL = 3 };
#define LEASE_TTL_LIMIT INT64_C(9000000000) /* seconds, as etcd's */

uint16_t lease_grant_run(struct mvcc *mvcc, struct bytes body) {
    struct lease_request request;
    if (!lease_grant_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    if (request.id == 0)
        return STATUS_LEASE_NOT_FOUND;
    if (request.ttl > LEASE_TTL_LIMIT)
        return STATUS_LEASE_TTL_TOO_LARGE;
    if (lease_book_find(&mvcc->leases, request.id) != NULL)
        return STATUS_LEASE_EXISTS;
    int64_t ttl = request.ttl > 0 ? request.ttl : 1; /* the proxy has raised it to the minimum */
    lease_book_grant(&mvcc->leases, request.id, ttl, mvcc->index + 1);
    wire_put_int64(&mvcc->result, GRANT_ID, request.id);
    wire_put_int64(&mvcc->result, GRANT_TTL, ttl);
    mvcc->counts.leases_granted++;
    return STATUS_OK;
}

/* NULL: it is gone, perhaps with another in its place. */
static struct lease *meant(const struct mvcc *mvcc, int64_t id, uint64_t grant) {
    struct lease *lease = lease_book_find(&mvcc->leases, id);
    return lease == NULL || (grant != 0 && lease->grant != grant) ? NULL : lease;
}

/* --- revoking --- */

struct revocation {
    struct mvcc *mvcc;
    uint64_t deleted;
};

static void revoke_key(struct revocation *revocation, struct bytes key, const struct record *older) {
    delete_key(revocation->mvcc, key, older);
    if (++revocation->deleted % revocation->mvcc->large_delete_keys == 0)
        mvcc_commit_part(revocation->mvcc);
}

/* What was deleted before a crash: each key's record as of before is what the last revision shows. */
static void revoke_again(struct revocation *revocation) {
    struct mvcc *mvcc = revocation->mvcc;
    const struct store_operations *operations = mvcc->store->operations;
    uint8_t lower[LOG_KEY_LENGTH];
    const uint8_t upper[] = {PREFIX_LOG + 1};
    log_key_store(lower, (struct revision){.main = mvcc->revision + 1});
    struct store_iterator *iterator = operations->iterate(mvcc->store, NULL, bytes_of(lower, sizeof lower),
                                                          bytes_of(upper, sizeof upper), STORE_SCAN);
    bool valid = operations->seek(iterator, bytes_of(lower, sizeof lower));
    for (; valid; valid = operations->next(iterator)) {
        struct bytes key;
        struct record tombstone;
        struct found before;
        struct view view = mvcc_view(mvcc, NULL);
        uint64_t examined = 0;
        record_load_log(operations->value(iterator), log_key_load(operations->key(iterator)), &key,
                        &tombstone);
        REQUIRE(view_get(&view, key, view.revision, &before, &examined));
        revoke_key(revocation, key, &before.record);
        view_release(&view, &before);
    }
    operations->close_iterator(iterator);
}

static void revoke_attached(struct revocation *revocation, int64_t id) {
    struct mvcc *mvcc = revocation->mvcc;
    struct lease_walk walk;
    struct bytes key;
    lease_walk_open(&walk, mvcc->store, NULL, id);
    while (lease_walk_next(&walk, &key)) {
        struct record older;
        mvcc_lookup(mvcc, key, key_hash(key, mvcc->hash_seed), &older);
        REQUIRE(older.lease == id);
        revoke_key(revocation, key, &older);
    }
    lease_walk_close(&walk);
}

uint16_t lease_revoke_run(struct mvcc *mvcc, struct bytes body) {
    struct lease_request request;
    struct revocation revocation = {.mvcc = mvcc};
    if (!lease_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    struct lease *lease = meant(mvcc, request.id, request.grant);
    if (lease == NULL)
        return STATUS_LEASE_NOT_FOUND;
    if (lease->keys > 0) {
        if (lease->unsaved)
            mvcc_commit(mvcc); /* its attachments may be in the batch alone */
        if (mvcc->interrupted)
            revoke_again(&revocation);
        revoke_attached(&revocation, request.id);
    }
    lease_book_revoke(&mvcc->leases, lease);
    mvcc->counts.leases_revoked++;
    return STATUS_OK;
}

/* --- checkpoints --- */

static bool decodes(struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct lease_checkpoint checkpoint;
    while (lease_checkpoint_next(&reader, &checkpoint))
        continue;
    return !reader.malformed;
}

uint16_t lease_checkpoint_run(struct mvcc *mvcc, struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct lease_checkpoint checkpoint;
    if (!decodes(body))
        return STATUS_UNDECODABLE;
    while (lease_checkpoint_next(&reader, &checkpoint)) {
        struct lease *lease = meant(mvcc, checkpoint.id, checkpoint.grant);
        if (lease != NULL)
            lease_book_checkpoint(&mvcc->leases, lease, checkpoint.remaining);
    }
    return STATUS_OK;
}
