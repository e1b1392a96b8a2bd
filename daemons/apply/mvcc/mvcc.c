/*
 * mvcc: opening, committing and looking up; what entries do is in execute.c and its neighbours.
 *
 * Why current states are written late (recent.h): a key that is written often costs the store one write for
 * many changes, and the log's keys, which ascend, are cheap for RocksDB's memtable where scattered ones are
 * not. How late: `spill_limit` bytes of changes, SPILL_REVISIONS at most (which bounds what mvcc_open has to
 * read).
 */
#include "apply/mvcc/mvcc.h"

#include <stdio.h>

#include "common/key_hash.h"
#include "common/store_format.h"

#include "apply/mvcc/kept.h"

enum {
    FORMAT_VERSION = 2,
    APPLIED_LENGTH = STORE_APPLIED_LENGTH,
    KEEP_BYTES = 1 << 20,
    LARGE_DELETE_KEYS = 10000,
    RECENT_BYTES = 40 << 20,
    SPILL_LIMIT = 30 << 20, /* the larger part of RECENT_BYTES: the rest serves reads */
    SPILL_STEP = 256 << 10,
    GENTLE_STEP = 32 << 10, /* a third of a millisecond */
    SPILL_REVISIONS = 200000,
};

static const char applied_key[] = STORE_APPLIED_KEY;
static const char compacted_key[] = "mcompacted";
static const char kept_key[] = "mkept";
static const char physical_key[] = "mphysical";
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

static bool load_applied(struct mvcc *mvcc, int64_t *spilled) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, mvcc_applied_key(), &value))
        return true;
    bool valid = value.bytes.length == APPLIED_LENGTH;
    if (valid) {
        mvcc->index = load_number(value.bytes.data);
        mvcc->term = load_number(value.bytes.data + 8);
        mvcc->revision = (int64_t)load_number(value.bytes.data + 16);
        *spilled = (int64_t)load_number(value.bytes.data + 24);
    }
    store_release(mvcc->store, &value);
    return valid;
}

/* Leaves *number alone when there is no such value. */
static bool load_meta(struct mvcc *mvcc, const char *name, int64_t *number) {
    struct store_value value = {0};
    if (!store_get(mvcc->store, NULL, bytes_from_text(name), &value))
        return true;
    bool valid = value.bytes.length == 8;
    if (valid)
        *number = (int64_t)load_number(value.bytes.data);
    store_release(mvcc->store, &value);
    return valid;
}

static bool load_compaction(struct mvcc *mvcc) {
    return load_meta(mvcc, compacted_key, &mvcc->compacted) && load_meta(mvcc, kept_key, &mvcc->kept) &&
           load_meta(mvcc, physical_key, &mvcc->physical);
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

/*
 * Current states that the store does not have: all changes behind `spilled`, from its log. Also those of a
 * large delete that was interrupted: it is executed again, but what it superseded is passed over.
 */
static void recover(struct mvcc *mvcc, int64_t spilled) {
    const struct store_operations *operations = mvcc->store->operations;
    uint8_t lower[LOG_KEY_LENGTH];
    const uint8_t upper[] = {PREFIX_LOG + 1};
    log_key_store(lower, (struct revision){.main = spilled + 1});
    struct store_iterator *iterator = operations->iterate(mvcc->store, NULL, bytes_of(lower, sizeof lower),
                                                          bytes_of(upper, sizeof upper), STORE_SCAN);
    bool valid = operations->seek(iterator, bytes_of(lower, sizeof lower));
    for (; valid; valid = operations->next(iterator)) {
        struct bytes key;
        struct record record;
        record_load_log(operations->value(iterator), log_key_load(operations->key(iterator)), &key, &record);
        recent_change(&mvcc->recent, key, key_hash(key, mvcc->hash_seed), &record);
        mvcc->interrupted |= record.modified.main > mvcc->revision;
    }
    operations->close_iterator(iterator);
    recent_written(&mvcc->recent);
}

bool mvcc_open(struct mvcc *mvcc, struct store *store, uint64_t hash_seed, char error[256]) {
    int64_t spilled = 0;
    *mvcc =
        (struct mvcc){.store = store, .hash_seed = hash_seed, .revision = 1, .compacted = -1, .physical = -1};
    mvcc->large_delete_keys = LARGE_DELETE_KEYS;
    mvcc->spill_limit = SPILL_LIMIT;
    mvcc->spill_step = SPILL_STEP;
    mvcc->batch = store->operations->new_batch(store);
    recent_init(&mvcc->recent, RECENT_BYTES);
    bool opened = check_format(mvcc, error);
    bool loaded = lease_book_open(&mvcc->leases, store, mvcc->batch, hash_seed);
    if (opened &&
        !(loaded && load_applied(mvcc, &spilled) && load_compaction(mvcc) && load_conf_state(mvcc))) {
        snprintf(error, 256,
                 "the database's meta data do not decode: remove the member's data and let it rejoin");
        opened = false;
    }
    if (opened)
        recover(mvcc, spilled);
    else
        mvcc_close(mvcc);
    return opened;
}

void mvcc_close(struct mvcc *mvcc) {
    mvcc->store->operations->free_batch(mvcc->batch);
    recent_free(&mvcc->recent);
    lease_book_close(&mvcc->leases);
    buffer_free(&mvcc->scratch);
    buffer_free(&mvcc->result);
    *mvcc = (struct mvcc){0};
}

int64_t mvcc_spilled_revision(struct mvcc *mvcc) {
    int64_t oldest = recent_oldest_revision(&mvcc->recent);
    return oldest > mvcc->revision ? mvcc->revision : oldest - 1;
}

static void put_applied(struct mvcc *mvcc) {
    uint8_t value[APPLIED_LENGTH];
    store_number(value, mvcc->index);
    store_number(value + 8, mvcc->term);
    store_number(value + 16, (uint64_t)mvcc->revision);
    store_number(value + 24, (uint64_t)mvcc_spilled_revision(mvcc));
    mvcc->store->operations->batch_put(mvcc->batch, mvcc_applied_key(), bytes_of(value, sizeof value));
}

/* --- spilling --- */

static bool spill_due(struct mvcc *mvcc) {
    struct recent *recent = &mvcc->recent;
    if (recent->follow && recent_passed(recent, mvcc->mark))
        recent->follow = mvcc->hurry = false;
    return recent->follow || recent->spill_bytes > mvcc->spill_limit ||
           recent_oldest_revision(recent) < mvcc->revision - SPILL_REVISIONS;
}

/* How much at most: twice what changes have brought goes in any case, so they never pile up. */
static size_t spill_most(const struct mvcc *mvcc) {
    size_t step = mvcc->spill_step;
    if (mvcc->recent.follow && !mvcc->hurry && step > GENTLE_STEP)
        step = GENTLE_STEP;
    return step + 2 * mvcc->recent.changed_bytes;
}

/*
 * Puts the oldest unspilled states into the batch; what lies between them, spilled, superseded or only read,
 * does not count.
 */
static bool spill(struct mvcc *mvcc) {
    size_t most = spill_most(mvcc);
    size_t bytes = 0;
    while (mvcc->recent.dirty_count > 0 && bytes < most && spill_due(mvcc)) {
        const struct recent_entry *entry = recent_spill(&mvcc->recent);
        if (entry == NULL)
            break;
        mvcc->store->operations->batch_put(mvcc->batch, recent_store_key(entry), recent_encoded(entry));
        bytes += entry->size;
    }
    return bytes > 0;
}

struct recent_mark mvcc_request_spill(struct mvcc *mvcc) {
    mvcc->mark = recent_mark_now(&mvcc->recent);
    mvcc->recent.follow = true;
    return mvcc->mark;
}

struct recent_mark mvcc_request_snapshot(struct mvcc *mvcc) {
    mvcc->hurry = true;
    return mvcc_request_spill(mvcc);
}

bool mvcc_snapshot_ready(const struct mvcc *mvcc, struct recent_mark mark) {
    return recent_passed(&mvcc->recent, mark);
}

static void write_batch(struct mvcc *mvcc) {
    lease_book_save(&mvcc->leases);
    put_applied(mvcc);
    mvcc->store->operations->write(mvcc->store, mvcc->batch);
    mvcc->store->operations->batch_clear(mvcc->batch);
    recent_written(&mvcc->recent);
    buffer_reset(&mvcc->scratch, KEEP_BYTES);
    mvcc->batch_bytes = 0;
    mvcc->dirty = false;
}

void mvcc_commit(struct mvcc *mvcc) {
    if (spill(mvcc) || mvcc->dirty)
        write_batch(mvcc);
    recent_trim(&mvcc->recent);
}

void mvcc_commit_part(struct mvcc *mvcc) {
    mvcc->dirty = true;
    mvcc_commit(mvcc);
}

size_t mvcc_pending_bytes(const struct mvcc *mvcc) {
    return mvcc->batch_bytes;
}

static void put_meta(struct mvcc *mvcc, const char *name, int64_t number) {
    uint8_t value[8];
    store_number(value, (uint64_t)number);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_from_text(name), bytes_of(value, 8));
    mvcc->dirty = true;
}

void mvcc_put_compacted(struct mvcc *mvcc) {
    put_meta(mvcc, compacted_key, mvcc->compacted);
}

void mvcc_put_kept(struct mvcc *mvcc) {
    put_meta(mvcc, kept_key, mvcc->kept);
}

void mvcc_put_physical(struct mvcc *mvcc, int64_t physical) {
    put_meta(mvcc, physical_key, physical);
}

int64_t mvcc_durable_physical(struct mvcc *mvcc) {
    struct store_value value = {0};
    int64_t physical = -1;
    if (!mvcc->store->operations->durable_get(mvcc->store, bytes_from_text(physical_key), &value))
        return physical;
    if (value.bytes.length == 8)
        physical = (int64_t)load_number(value.bytes.data);
    store_release(mvcc->store, &value);
    return physical;
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
                         .recent = snapshot == NULL ? &mvcc->recent : NULL,
                         .hash_seed = mvcc->hash_seed,
                         .revision = mvcc->revision,
                         .compacted = mvcc->compacted};
}

int64_t mvcc_inner_revision(const struct mvcc *mvcc) {
    return mvcc->revision + (mvcc->changed ? 1 : 0);
}

struct view mvcc_inner_view(struct mvcc *mvcc) {
    struct view view = mvcc_view(mvcc, NULL);
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
    const struct recent_entry *entry = recent_find(&mvcc->recent, key, hash);
    if (entry != NULL) {
        recent_load(entry, record);
        return;
    }
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
}

/* What was before is what the last revision shows, also when nested txns change a key twice in one. */
static void tell_observer(struct mvcc *mvcc, struct bytes key, const struct record *record) {
    const struct mvcc_observer *observer = &mvcc->observer;
    bool previous = false;
    if (observer->wants == NULL || !observer->wants(observer->context, key, record->modified.main, &previous))
        return;
    struct found found = {0};
    struct view view = mvcc_view(mvcc, NULL);
    uint64_t examined = 0;
    bool live = previous && record->previous.main != 0 && !record_is_creation(record) &&
                view_get(&view, key, view.revision, &found, &examined);
    observer->changed(observer->context, key, record, live ? &found.record : NULL);
    view_release(&view, &found);
}

void mvcc_change(struct mvcc *mvcc, struct bytes key, uint64_t hash, const struct record *older,
                 struct record *record) {
    mvcc->changed = true;
    record->modified = (struct revision){.main = mvcc->revision + 1, .sub = mvcc->next_sub++};
    tell_observer(mvcc, key, record);
    if (older->modified.main != 0 && older->modified.main <= mvcc->kept)
        kept_supersede(mvcc, key, hash, older);
    mvcc->scratch.length = 0;
    uint8_t *place = buffer_reserve(&mvcc->scratch, RECORD_HEAD_LIMIT + key.length + record->value.length);
    size_t length = record_store_log(place, key, record);
    uint8_t log_key[LOG_KEY_LENGTH];
    log_key_store(log_key, record->modified);
    mvcc->store->operations->batch_put(mvcc->batch, bytes_of(log_key, sizeof log_key),
                                       bytes_of(place, length));
    recent_change(&mvcc->recent, key, hash, record);
    mvcc->batch_bytes += length;
    if (older->lease != record->lease)
        mvcc->batch_bytes += lease_book_move(&mvcc->leases, key, older->lease, record->lease);
}
