/* kept: see kept.h. */
#include "apply/mvcc/kept.h"

#include "common/key_hash.h"
#include "common/log.h"

void kept_begin(struct mvcc *mvcc, int64_t compacted) {
    if (compacted - 1 <= mvcc->kept)
        return;
    mvcc->kept = compacted - 1;
    mvcc_put_kept(mvcc);
}

static void put_kept(struct mvcc *mvcc, struct revision at, struct bytes encoded) {
    uint8_t key[LOG_KEY_LENGTH];
    kept_key_store(key, at);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_of(key, sizeof key), encoded);
    mvcc->batch_bytes += encoded.length;
    mvcc->dirty = true;
}

bool kept_copy(struct mvcc *mvcc, struct revision at) {
    uint8_t key[LOG_KEY_LENGTH];
    struct store_value value = {0};
    log_key_store(key, at);
    bool found = store_get(mvcc->store, NULL, bytes_of(key, sizeof key), &value);
    if (found)
        put_kept(mvcc, at, value.bytes);
    else {
        kept_key_store(key, at);
        found = store_get(mvcc->store, NULL, bytes_of(key, sizeof key), &value);
    }
    store_release(mvcc->store, &value);
    return found;
}

/*
 * The current state is `older`, except when a change that a crash interrupted is executed again (write.c): it
 * has superseded the key before, and `older` is where the link of that leads.
 */
void kept_supersede(struct mvcc *mvcc, struct bytes key, uint64_t hash, const struct record *older) {
    struct view view = mvcc_view(mvcc, NULL);
    struct found found;
    uint64_t examined = 0;
    view_get(&view, key, INT64_MAX, &found, &examined);
    if (revision_compare(found.record.modified, older->modified) == 0) {
        struct buffer *scratch = &mvcc->scratch;
        scratch->length = 0;
        uint8_t *place = buffer_reserve(scratch, RECORD_HEAD_LIMIT + key.length + found.record.value.length);
        size_t length = record_store_log(place, key, &found.record);
        put_kept(mvcc, older->modified, bytes_of(place, length));
        recent_keep(&mvcc->recent, key, hash, &found.record);
    } else if (!kept_copy(mvcc, older->modified)) {
        LOG_FATAL("the database lacks a record of its history; remove the member's data and let it rejoin",
                  F_I64("revision", older->modified.main));
    }
    view_release(&view, &found);
}

void kept_forget(struct mvcc *mvcc, struct revision at) {
    uint8_t key[LOG_KEY_LENGTH];
    kept_key_store(key, at);
    mvcc->store->operations->batch_delete(mvcc->batch, bytes_of(key, sizeof key));
    mvcc->batch_bytes += sizeof key;
    mvcc->dirty = true;
}

/* An unspilled state is never one that a plan names: those are spilled before the plan's checkpoint. */
void kept_drop_tombstone(struct mvcc *mvcc, struct bytes key, struct revision at) {
    uint64_t hash = key_hash(key, mvcc->hash_seed);
    const struct recent_entry *entry = recent_find(&mvcc->recent, key, hash);
    struct record record;
    mvcc_lookup(mvcc, key, hash, &record);
    if (!record.tombstone || revision_compare(record.modified, at) != 0 || (entry != NULL && entry->dirty))
        return;
    recent_remember(&mvcc->recent, key, hash, NULL);
    mvcc->scratch.length = 0;
    buffer_append_byte(&mvcc->scratch, PREFIX_CURRENT);
    buffer_append_bytes(&mvcc->scratch, key);
    mvcc->store->operations->batch_delete(mvcc->batch, buffer_bytes(&mvcc->scratch));
    mvcc->batch_bytes += key.length;
    mvcc->dirty = true;
}

void kept_finish(struct mvcc *mvcc, int64_t compacted) {
    REQUIRE(mvcc->kept >= compacted - 1 && mvcc_spilled_revision(mvcc) >= compacted - 1);
    mvcc_put_physical(mvcc, compacted);
}
