/*
 * mvcc: opening, committing and looking up; what entries do is in execute.c and its neighbours.
 *
 * Log records go into the batch at once, current states only at commit and once per key: consecutive log keys
 * are cheap for RocksDB's memtable, and a key written often in a round costs it one version.
 */
#include "apply/mvcc/mvcc.h"

#include <stdio.h>

enum { FORMAT_VERSION = 1, APPLIED_LENGTH = 24, KEEP_BYTES = 1 << 20, LARGE_DELETE_KEYS = 10000 };

static const char applied_key[] = "mapplied";
static const char compacted_key[] = "mcompacted";
static const char conf_state_key[] = "mconf_state";
static const char format_key[] = "mformat";

static void store_number(uint8_t place[8], uint64_t number) {
    for (int i = 0; i < 8; i++)
        place[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t load_number(const uint8_t *place) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number |= (uint64_t)place[i] << (8 * i);
    return number;
}

struct bytes mvcc_applied_key(void) {
    return bytes_from_text(applied_key);
}

uint64_t mvcc_applied_index(struct bytes value) {
    return value.length == APPLIED_LENGTH ? load_number(value.data) : 0;
}

static bool load_applied(struct mvcc *mvcc) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, mvcc_applied_key(), &value))
        return true;
    bool valid = value.bytes.length == APPLIED_LENGTH;
    if (valid) {
        mvcc->index = load_number(value.bytes.data);
        mvcc->term = load_number(value.bytes.data + 8);
        mvcc->revision = (int64_t)load_number(value.bytes.data + 16);
    }
    store_release(mvcc->store, &value);
    return valid;
}

static bool load_compacted(struct mvcc *mvcc) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, bytes_from_text(compacted_key), &value))
        return true;
    bool valid = value.bytes.length == 8;
    if (valid)
        mvcc->compacted = (int64_t)load_number(value.bytes.data);
    store_release(mvcc->store, &value);
    return valid;
}

static bool load_conf_state(struct mvcc *mvcc) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, bytes_from_text(conf_state_key), &value))
        return true;
    bool valid = conf_state_decode(value.bytes, &mvcc->conf_state);
    store_release(mvcc->store, &value);
    return valid;
}

/* An empty store gets the format version with the first commit; another version is refused. */
static bool check_format(struct mvcc *mvcc, char error[256]) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, bytes_from_text(format_key), &value)) {
        uint8_t version[8];
        store_number(version, FORMAT_VERSION);
        mvcc->store->operations->batch_put(mvcc->batch, bytes_from_text(format_key), bytes_of(version, 8));
        return true;
    }
    uint64_t version = value.bytes.length == 8 ? load_number(value.bytes.data) : 0;
    store_release(mvcc->store, &value);
    if (version == FORMAT_VERSION)
        return true;
    snprintf(error, 256,
             "the database has format version %llu, this release reads %d: use the release that wrote it",
             (unsigned long long)version, FORMAT_VERSION);
    return false;
}

bool mvcc_open(struct mvcc *mvcc, struct store *store, uint64_t hash_seed, char error[256]) {
    *mvcc = (struct mvcc){.store = store, .hash_seed = hash_seed, .revision = 1, .compacted = -1};
    mvcc->large_delete_keys = LARGE_DELETE_KEYS;
    mvcc->batch = store->operations->new_batch(store);
    mvcc->cache = hot_cache_new();
    bool opened = check_format(mvcc, error);
    if (opened && !(load_applied(mvcc) && load_compacted(mvcc) && load_conf_state(mvcc))) {
        snprintf(error, 256,
                 "the database's meta data do not decode: remove the member's data and let it rejoin");
        opened = false;
    }
    if (!opened)
        mvcc_close(mvcc);
    return opened;
}

void mvcc_close(struct mvcc *mvcc) {
    mvcc->store->operations->free_batch(mvcc->batch);
    hot_cache_free(mvcc->cache);
    overlay_free(&mvcc->overlay);
    buffer_free(&mvcc->scratch);
    buffer_free(&mvcc->result);
    *mvcc = (struct mvcc){0};
}

static void put_applied(struct mvcc *mvcc) {
    uint8_t value[APPLIED_LENGTH];
    store_number(value, mvcc->index);
    store_number(value + 8, mvcc->term);
    store_number(value + 16, (uint64_t)mvcc->revision);
    mvcc->store->operations->batch_put(mvcc->batch, mvcc_applied_key(), bytes_of(value, sizeof value));
}

void mvcc_commit(struct mvcc *mvcc) {
    if (!mvcc->dirty)
        return;
    const struct store_operations *operations = mvcc->store->operations;
    for (size_t i = 0; i < mvcc->overlay.count; i++) {
        const struct overlay_entry *entry = mvcc->overlay.order[i];
        if (!entry->superseded)
            operations->batch_put(mvcc->batch, entry->store_key, entry->encoded);
    }
    put_applied(mvcc);
    operations->write(mvcc->store, mvcc->batch);
    operations->batch_clear(mvcc->batch);
    overlay_clear(&mvcc->overlay);
    buffer_reset(&mvcc->scratch, KEEP_BYTES);
    mvcc->dirty = false;
}

void mvcc_commit_part(struct mvcc *mvcc) {
    mvcc->dirty = true;
    mvcc_commit(mvcc);
}

size_t mvcc_pending_bytes(const struct mvcc *mvcc) {
    return 2 * mvcc->overlay.arena.used;
}

void mvcc_put_compacted(struct mvcc *mvcc) {
    uint8_t value[8];
    store_number(value, (uint64_t)mvcc->compacted);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_from_text(compacted_key), bytes_of(value, 8));
}

void mvcc_put_conf_state(struct mvcc *mvcc) {
    mvcc->scratch.length = 0;
    conf_state_encode(&mvcc->conf_state, &mvcc->scratch);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_from_text(conf_state_key),
                                       buffer_bytes(&mvcc->scratch));
}

struct view mvcc_view(struct mvcc *mvcc, struct store_snapshot *snapshot) {
    return (struct view){.store = mvcc->store,
                         .snapshot = snapshot,
                         .cache = snapshot == NULL ? mvcc->cache : NULL,
                         .hash_seed = mvcc->hash_seed,
                         .revision = mvcc->revision,
                         .compacted = mvcc->compacted};
}

int64_t mvcc_inner_revision(const struct mvcc *mvcc) {
    return mvcc->revision + (mvcc->changed ? 1 : 0);
}

struct view mvcc_inner_view(struct mvcc *mvcc) {
    struct view view = mvcc_view(mvcc, NULL);
    view.overlay = &mvcc->overlay;
    view.revision = mvcc_inner_revision(mvcc);
    return view;
}

uint64_t mvcc_durable_index(struct mvcc *mvcc) {
    struct store_value value = {0};
    if (!mvcc->store->operations->durable_get(mvcc->store, mvcc_applied_key(), &value))
        return 0;
    uint64_t index = mvcc_applied_index(value.bytes);
    store_release(mvcc->store, &value);
    return index;
}

void mvcc_lookup(struct mvcc *mvcc, struct bytes key, uint64_t hash, struct record *record) {
    const struct overlay_entry *entry = overlay_find(&mvcc->overlay, key, hash);
    if (entry != NULL) {
        *record = entry->record;
        return;
    }
    if (hot_cache_get(mvcc->cache, key, hash, record))
        return;
    mvcc->scratch.length = 0;
    buffer_append_byte(&mvcc->scratch, PREFIX_CURRENT);
    buffer_append_bytes(&mvcc->scratch, key);
    struct store_value value = {0};
    *record = (struct record){0};
    if (store_get(mvcc->store, NULL, buffer_bytes(&mvcc->scratch), &value)) {
        record_load_current(value.bytes, record);
        record->value = (struct bytes){0};
        store_release(mvcc->store, &value);
    }
    hot_cache_put(mvcc->cache, key, hash, record);
}

void mvcc_change(struct mvcc *mvcc, struct bytes key, uint64_t hash, struct record *record) {
    mvcc->changed = true;
    record->modified = (struct revision){.main = mvcc->revision + 1, .sub = mvcc->next_sub++};
    mvcc->scratch.length = 0;
    uint8_t *place = buffer_reserve(&mvcc->scratch, RECORD_HEAD_LIMIT + key.length + record->value.length);
    size_t length = record_store_log(place, key, record);
    uint8_t log_key[LOG_KEY_LENGTH];
    log_key_store(log_key, record->modified);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_of(log_key, sizeof log_key),
                                       bytes_of(place, length));
    overlay_put(&mvcc->overlay, key, hash, record);
    hot_cache_put(mvcc->cache, key, hash, record);
}
