/* lease_book: see lease_book.h. The table probes linearly and deletes by shifting back. */
#include "apply/lease/lease_book.h"

#include <stdlib.h>

#include "common/key_hash.h"
#include "common/store_record.h"
#include "common/wire.h"

enum {
    FIRST_SLOTS = 64,
    FIRST_IDS = 64,
    KEEP_IDS = 4096,
    KEEP_BYTES = 1 << 20,
    ID_LENGTH = 8,
    ROW_HEAD = 1 + ID_LENGTH
};
/* Fields of a lease's row; the first two as in etcd's leasepb.Lease. */
enum { ROW_TTL = 2, ROW_REMAINING = 3, ROW_KEYS = 4, ROW_GRANT = 5 };

/* --- rows --- */

static void store_head(uint8_t place[ROW_HEAD], uint8_t prefix, uint64_t id) {
    place[0] = prefix;
    for (int i = 0; i < ID_LENGTH; i++)
        place[1 + i] = (uint8_t)(id >> (56 - 8 * i));
}

static bool load_row(struct bytes key, struct bytes value, struct lease *lease) {
    struct wire_reader reader = wire_reader_of(value);
    struct wire_field field;
    uint64_t id = 0;
    if (key.length != ROW_HEAD)
        return false;
    for (int i = 0; i < ID_LENGTH; i++)
        id = id << 8 | key.data[1 + i];
    lease->id = (int64_t)id;
    while (wire_next(&reader, &field)) {
        if (field.number == ROW_TTL)
            lease->ttl = (int64_t)field.value;
        else if (field.number == ROW_REMAINING)
            lease->remaining = (int64_t)field.value;
        else if (field.number == ROW_KEYS)
            lease->keys = field.value;
        else if (field.number == ROW_GRANT)
            lease->grant = field.value;
    }
    return !reader.malformed && lease->id != 0 && lease->ttl > 0;
}

static void put_row(struct lease_book *book, const struct lease *lease) {
    uint8_t key[ROW_HEAD];
    store_head(key, PREFIX_LEASE, (uint64_t)lease->id);
    book->scratch.length = 0;
    wire_put_int64(&book->scratch, ROW_TTL, lease->ttl);
    wire_put_int64(&book->scratch, ROW_REMAINING, lease->remaining);
    wire_put_uint64(&book->scratch, ROW_KEYS, lease->keys);
    wire_put_uint64(&book->scratch, ROW_GRANT, lease->grant);
    book->store->operations->batch_put(book->batch, bytes_of(key, sizeof key), buffer_bytes(&book->scratch));
}

/* --- the table --- */

static uint64_t hash_of(const struct lease_book *book, int64_t id) {
    return key_hash(bytes_of(&id, sizeof id), book->hash_seed);
}

static size_t find_slot(const struct lease_book *book, int64_t id) {
    size_t mask = book->slot_count - 1;
    size_t at = hash_of(book, id) & mask;
    while (book->slots[at] != NULL && book->slots[at]->id != id)
        at = (at + 1) & mask;
    return at;
}

struct lease *lease_book_find(const struct lease_book *book, int64_t id) {
    return book->slots[find_slot(book, id)];
}

static void grow(struct lease_book *book) {
    struct lease **old = book->slots;
    size_t old_count = book->slot_count;
    book->slot_count *= 2;
    book->slots = must_zalloc(book->slot_count * sizeof *book->slots);
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] != NULL)
            book->slots[find_slot(book, old[i]->id)] = old[i];
    }
    free(old);
}

static struct lease *add(struct lease_book *book, const struct lease *from) {
    if (2 * book->count >= book->slot_count)
        grow(book);
    size_t at = find_slot(book, from->id);
    REQUIRE(book->slots[at] == NULL);
    book->slots[at] = must_alloc(sizeof *from);
    *book->slots[at] = *from;
    book->count++;
    return book->slots[at];
}

static void remove_slot(struct lease_book *book, size_t hole) {
    size_t mask = book->slot_count - 1;
    for (size_t at = (hole + 1) & mask; book->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = hash_of(book, book->slots[at]->id) & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        book->slots[hole] = book->slots[at];
        hole = at;
    }
    book->slots[hole] = NULL;
    book->count--;
}

/* --- life --- */

static bool load(struct lease_book *book) {
    const struct store_operations *operations = book->store->operations;
    const uint8_t lower[] = {PREFIX_LEASE};
    const uint8_t upper[] = {PREFIX_LEASE + 1};
    struct store_iterator *iterator =
        operations->iterate(book->store, NULL, bytes_of(lower, 1), bytes_of(upper, 1), STORE_SCAN);
    bool decodes = true;
    bool valid = operations->seek(iterator, bytes_of(lower, 1));
    for (; valid && decodes; valid = operations->next(iterator)) {
        struct lease lease = {0};
        decodes = load_row(operations->key(iterator), operations->value(iterator), &lease);
        if (decodes)
            add(book, &lease);
    }
    operations->close_iterator(iterator);
    return decodes;
}

bool lease_book_open(struct lease_book *book, struct store *store, struct store_batch *batch,
                     uint64_t hash_seed) {
    *book = (struct lease_book){
        .store = store, .batch = batch, .hash_seed = hash_seed, .slot_count = FIRST_SLOTS};
    book->slots = must_zalloc(FIRST_SLOTS * sizeof *book->slots);
    return load(book);
}

void lease_book_close(struct lease_book *book) {
    for (size_t i = 0; i < book->slot_count; i++)
        free(book->slots[i]);
    free(book->slots);
    free(book->touched.ids);
    free(book->unsaved.ids);
    buffer_free(&book->rows);
    buffer_free(&book->scratch);
    *book = (struct lease_book){0};
}

/* --- what changed --- */

static void note(struct lease_list *list, int64_t id) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? FIRST_IDS : list->capacity * 2;
        list->ids = must_realloc(list->ids, list->capacity * sizeof *list->ids);
    }
    list->ids[list->count++] = id;
}

static void forget(struct lease_list *list) {
    list->count = 0;
    if (list->capacity <= KEEP_IDS)
        return;
    free(list->ids);
    *list = (struct lease_list){0};
}

static void touch(struct lease_book *book, struct lease *lease) {
    if (!lease->touched)
        note(&book->touched, lease->id);
    lease->touched = true;
}

void lease_book_settle(struct lease_book *book) {
    if (book->touched.count == 0)
        return;
    for (size_t i = 0; i < book->touched.count; i++) {
        struct lease *lease = lease_book_find(book, book->touched.ids[i]);
        if (lease == NULL)
            continue; /* revoked */
        lease->keys += (uint64_t)lease->change;
        lease->change = 0;
        lease->touched = false;
        if (!lease->unsaved)
            note(&book->unsaved, lease->id);
        lease->unsaved = true;
    }
    forget(&book->touched);
}

/* A row without a value that is put or deleted; its key follows. */
struct row {
    uint32_t length;
    bool put;
};

/* Returns the row's length. */
static size_t note_row(struct lease_book *book, uint8_t prefix, int64_t id, struct bytes key, bool put) {
    struct row row = {.length = (uint32_t)(ROW_HEAD + key.length), .put = put};
    buffer_append(&book->rows, &row, sizeof row);
    store_head(buffer_reserve(&book->rows, ROW_HEAD), prefix, (uint64_t)id);
    book->rows.length += ROW_HEAD;
    buffer_append_bytes(&book->rows, key);
    return row.length;
}

static void save_rows(struct lease_book *book) {
    const struct store_operations *operations = book->store->operations;
    for (size_t at = 0; at < book->rows.length;) {
        struct row row;
        memcpy(&row, book->rows.data + at, sizeof row);
        struct bytes key = bytes_of(book->rows.data + at + sizeof row, row.length);
        if (row.put)
            operations->batch_put(book->batch, key, (struct bytes){0});
        else
            operations->batch_delete(book->batch, key);
        at += sizeof row + row.length;
    }
    buffer_reset(&book->rows, KEEP_BYTES);
}

static void save_leases(struct lease_book *book) {
    for (size_t i = 0; i < book->unsaved.count; i++) {
        struct lease *lease = lease_book_find(book, book->unsaved.ids[i]);
        if (lease == NULL || !lease->unsaved)
            continue; /* revoked; granted again and met before */
        put_row(book, lease);
        lease->unsaved = false;
    }
    forget(&book->unsaved);
}

void lease_book_save(struct lease_book *book) {
    if (book->rows.length > 0)
        save_rows(book);
    if (book->unsaved.count > 0)
        save_leases(book);
}

/* --- entries --- */

struct lease *lease_book_grant(struct lease_book *book, int64_t id, int64_t ttl, uint64_t grant) {
    struct lease *lease = add(book, &(struct lease){.id = id, .ttl = ttl, .grant = grant});
    touch(book, lease);
    if (book->observer.granted != NULL)
        book->observer.granted(book->observer.context, lease);
    return lease;
}

void lease_book_revoke(struct lease_book *book, struct lease *lease) {
    note_row(book, PREFIX_LEASE, lease->id, (struct bytes){0}, false);
    remove_slot(book, find_slot(book, lease->id));
    if (book->observer.revoked != NULL)
        book->observer.revoked(book->observer.context, lease);
    free(lease);
}

void lease_book_checkpoint(struct lease_book *book, struct lease *lease, int64_t remaining) {
    if (remaining < 0)
        remaining = 0;
    lease->remaining = remaining < lease->ttl ? remaining : lease->ttl;
    touch(book, lease);
    if (book->observer.checkpointed != NULL)
        book->observer.checkpointed(book->observer.context, lease);
}

static size_t move(struct lease_book *book, struct bytes key, int64_t id, bool attached) {
    struct lease *lease = lease_book_find(book, id);
    REQUIRE(lease != NULL);
    touch(book, lease);
    lease->change += attached ? 1 : -1;
    return note_row(book, PREFIX_ATTACHMENT, id, key, attached);
}

size_t lease_book_move(struct lease_book *book, struct bytes key, int64_t from, int64_t to) {
    return (from == 0 ? 0 : move(book, key, from, false)) + (to == 0 ? 0 : move(book, key, to, true));
}

/* --- walking --- */

void lease_walk_open(struct lease_walk *walk, struct store *store, struct store_snapshot *snapshot,
                     int64_t id) {
    uint8_t lower[ROW_HEAD];
    uint8_t upper[ROW_HEAD];
    store_head(lower, PREFIX_ATTACHMENT, (uint64_t)id);
    bool last = (uint64_t)id == UINT64_MAX;
    store_head(upper, last ? PREFIX_ATTACHMENT + 1 : PREFIX_ATTACHMENT, (uint64_t)id + 1);
    *walk = (struct lease_walk){.store = store};
    walk->iterator = store->operations->iterate(store, snapshot, bytes_of(lower, sizeof lower),
                                                bytes_of(upper, last ? 1 : sizeof upper), STORE_SCAN);
    walk->valid = store->operations->seek(walk->iterator, bytes_of(lower, sizeof lower));
}

bool lease_walk_next(struct lease_walk *walk, struct bytes *key) {
    const struct store_operations *operations = walk->store->operations;
    if (walk->valid && walk->started)
        walk->valid = operations->next(walk->iterator);
    walk->started = true;
    if (!walk->valid)
        return false;
    struct bytes row = operations->key(walk->iterator);
    *key = bytes_of(row.data + ROW_HEAD, row.length - ROW_HEAD);
    return true;
}

void lease_walk_close(struct lease_walk *walk) {
    walk->store->operations->close_iterator(walk->iterator);
}
