/*
 * sim_store: see sim_store.h. A skip list of (key ascending, sequence descending), as in RocksDB's memtable:
 * a snapshot is a sequence number, so is the flushed state, and falling back is forgetting what is newer.
 */
#include "sim_store.h"

#include <errno.h>
#include <stdlib.h>

enum {
    LEVELS = 12,
    FLUSH_LONGEST_US = 300000,
    FLUSH_SLOW_US = 10000000, /* with a bug that needs it */
    DROP_LONGEST_US = 500000,
    DROP_ROUNDS = 3,
};

struct node {
    struct bytes key, value;
    uint64_t sequence;
    bool deleted;
    bool dropped; /* sim_drop_below */
    unsigned level;
    struct node *next[];
};

struct checkpoint {
    struct checkpoint *next;
    char *directory;
    uint64_t sequence;
};

struct sim_store {
    struct store store;
    struct checkpoint *checkpoints;
    struct world *world;
    struct random *random;
    struct process *owner;
    struct node *head;
    uint64_t sequence;    /* of the last operation of the last batch */
    uint64_t before_last; /* sequence before the last batch */
    uint64_t cut;         /* somewhere inside the last batch (planted bug) */
    uint64_t durable;     /* everything at or below is flushed */
    uint64_t previous;    /* durable before the last flush */
    uint64_t flushing;    /* target of the flush under way; 0: none */
    uint64_t generation;  /* counts crashes */
    uint64_t bytes;
    uint64_t drop_below;
    uint8_t drop_prefix;
    unsigned drop_rounds; /* still to come */
};

struct store_snapshot {
    uint64_t sequence;
    unsigned references;
};

struct store_iterator {
    struct sim_store *store;
    uint64_t sequence;
    struct bytes lower, upper;
    struct node *current;
};

struct operation {
    struct bytes key, value;
    bool deleted;
};

struct store_batch {
    struct operation *operations;
    size_t count, capacity;
    struct arena arena;
};

bool sim_store_plant_split, sim_store_plant_stale, sim_store_plant_forget, sim_store_plant_early_drop;

static struct sim_store *of(struct store *store) {
    return (struct sim_store *)(void *)store;
}

/* --- the list --- */

static struct node *node_new(struct bytes key, struct bytes value, uint64_t sequence, bool deleted,
                             unsigned level) {
    size_t links = level * sizeof(struct node *);
    struct node *node = must_zalloc(sizeof *node + links + key.length + value.length);
    uint8_t *data = (uint8_t *)node + sizeof *node + links;
    if (key.length > 0)
        memcpy(data, key.data, key.length);
    if (value.length > 0)
        memcpy(data + key.length, value.data, value.length);
    node->key = bytes_of(data, key.length);
    node->value = bytes_of(data + key.length, value.length);
    node->sequence = sequence;
    node->deleted = deleted;
    node->level = level;
    return node;
}

static bool node_before(const struct node *node, struct bytes key, uint64_t sequence) {
    int order = bytes_compare(node->key, key);
    return order < 0 || (order == 0 && node->sequence > sequence);
}

/* The first node at or behind (key, sequence); before[] gets the last ones in front of it, if not NULL. */
static struct node *seek_node(const struct sim_store *store, struct bytes key, uint64_t sequence,
                              struct node **before) {
    struct node *node = store->head;
    for (unsigned level = LEVELS; level-- > 0;) {
        while (node->next[level] != NULL && node_before(node->next[level], key, sequence))
            node = node->next[level];
        if (before != NULL)
            before[level] = node;
    }
    return node->next[0];
}

static void insert(struct sim_store *store, struct bytes key, struct bytes value, bool deleted) {
    struct node *before[LEVELS];
    unsigned level = 1;
    while (level < LEVELS && random_chance(store->random, 1, 4))
        level++;
    store->sequence++;
    seek_node(store, key, store->sequence, before);
    struct node *node = node_new(key, value, store->sequence, deleted, level);
    for (unsigned i = 0; i < level; i++) {
        node->next[i] = before[i]->next[i];
        before[i]->next[i] = node;
    }
    store->bytes += key.length + value.length;
}

static void forget_newer(struct sim_store *store, uint64_t sequence) {
    for (unsigned level = LEVELS; level-- > 0;) {
        struct node *node = store->head;
        while (node->next[level] != NULL) {
            struct node *next = node->next[level];
            if (next->sequence <= sequence) {
                node = next;
                continue;
            }
            node->next[level] = next->next[level];
            if (level == 0)
                free(next);
        }
    }
}

/* The node that shows `key` at `sequence`, or NULL when it shows none. */
static struct node *visible_node(const struct sim_store *store, struct bytes key, uint64_t sequence) {
    struct node *node = seek_node(store, key, sequence, NULL);
    if (node == NULL || !bytes_equal(node->key, key) || node->deleted || node->dropped)
        return NULL;
    return node;
}

static uint64_t sequence_of(const struct sim_store *store, const struct store_snapshot *snapshot) {
    return snapshot == NULL ? store->sequence : snapshot->sequence;
}

/* --- values --- */

static bool lend(struct node *node, struct store_value *value) {
    *value = (struct store_value){0};
    if (node == NULL)
        return false;
    /* A copy, so that AddressSanitizer sees a use after release. */
    uint8_t *copy = must_alloc(node->value.length + 1);
    if (node->value.length > 0)
        memcpy(copy, node->value.data, node->value.length);
    *value = (struct store_value){.bytes = bytes_of(copy, node->value.length), .handle = copy};
    return true;
}

static bool sim_get(struct store *base, struct store_snapshot *snapshot, struct bytes key,
                    struct store_value *value) {
    return lend(visible_node(of(base), key, sequence_of(of(base), snapshot)), value);
}

static void sim_release(struct store_value *value) {
    free(value->handle);
}

static bool sim_durable_get(struct store *base, struct bytes key, struct store_value *value) {
    bool pretend = sim_store_plant_early_drop && bytes_equal(key, bytes_from_text("mphysical"));
    return lend(visible_node(of(base), key, pretend ? of(base)->sequence : of(base)->durable), value);
}

static struct store_snapshot *sim_snapshot(struct store *base) {
    struct store_snapshot *snapshot = must_alloc(sizeof *snapshot);
    *snapshot = (struct store_snapshot){.sequence = of(base)->sequence, .references = 1};
    if (sim_store_plant_stale && random_chance(of(base)->random, 1, 20))
        snapshot->sequence = of(base)->before_last;
    return snapshot;
}

static struct store_snapshot *sim_retain(struct store_snapshot *snapshot) {
    snapshot->references++;
    return snapshot;
}

static void sim_release_snapshot(struct store_snapshot *snapshot) {
    if (--snapshot->references == 0)
        free(snapshot);
}

/* --- iterators --- */

static struct store_iterator *sim_iterate(struct store *base, struct store_snapshot *snapshot,
                                          struct bytes lower, struct bytes upper, int flags) {
    (void)flags;
    struct store_iterator *iterator = must_alloc(sizeof *iterator + lower.length + upper.length);
    uint8_t *data = (uint8_t *)(iterator + 1);
    if (lower.length > 0)
        memcpy(data, lower.data, lower.length);
    if (upper.length > 0)
        memcpy(data + lower.length, upper.data, upper.length);
    *iterator = (struct store_iterator){
        .store = of(base),
        .sequence = sequence_of(of(base), snapshot),
        .lower = bytes_of(data, lower.length),
        .upper = bytes_of(data + lower.length, upper.length),
    };
    return iterator;
}

/* Settles on the first key at or behind (key, UINT64_MAX) that shows something. */
static bool settle_forward(struct store_iterator *iterator, struct node *node) {
    iterator->current = NULL;
    while (node != NULL) {
        if (iterator->upper.length > 0 && bytes_compare(node->key, iterator->upper) >= 0)
            return false;
        struct node *shown = visible_node(iterator->store, node->key, iterator->sequence);
        if (shown != NULL) {
            iterator->current = shown;
            return true;
        }
        node = seek_node(iterator->store, node->key, 0, NULL);
    }
    return false;
}

/* Settles on the last key in front of `limit` (open: the end) that shows something. */
static bool settle_backward(struct store_iterator *iterator, struct bytes limit, bool open) {
    iterator->current = NULL;
    for (;;) {
        struct node *node = iterator->store->head;
        for (unsigned level = LEVELS; level-- > 0;) {
            while (node->next[level] != NULL && (open || bytes_compare(node->next[level]->key, limit) < 0))
                node = node->next[level];
        }
        if (node == iterator->store->head || bytes_compare(node->key, iterator->lower) < 0)
            return false;
        struct node *shown = visible_node(iterator->store, node->key, iterator->sequence);
        if (shown != NULL) {
            iterator->current = shown;
            return true;
        }
        limit = node->key;
        open = false;
    }
}

static bool sim_seek(struct store_iterator *iterator, struct bytes key) {
    struct bytes from = bytes_compare(key, iterator->lower) < 0 ? iterator->lower : key;
    return settle_forward(iterator, seek_node(iterator->store, from, UINT64_MAX, NULL));
}

static bool sim_last(struct store_iterator *iterator) {
    return settle_backward(iterator, iterator->upper, iterator->upper.length == 0);
}

static bool sim_next(struct store_iterator *iterator) {
    REQUIRE(iterator->current != NULL);
    return settle_forward(iterator, seek_node(iterator->store, iterator->current->key, 0, NULL));
}

static bool sim_previous(struct store_iterator *iterator) {
    REQUIRE(iterator->current != NULL);
    return settle_backward(iterator, iterator->current->key, false);
}

static struct bytes sim_key(struct store_iterator *iterator) {
    REQUIRE(iterator->current != NULL);
    return iterator->current->key;
}

static struct bytes sim_value(struct store_iterator *iterator) {
    REQUIRE(iterator->current != NULL);
    return iterator->current->value;
}

static void sim_close_iterator(struct store_iterator *iterator) {
    free(iterator);
}

/* --- batches --- */

static struct store_batch *sim_new_batch(struct store *base) {
    (void)base;
    return must_zalloc(sizeof(struct store_batch));
}

static void batch_add(struct store_batch *batch, struct operation operation) {
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? 16 : batch->capacity * 2;
        batch->operations = must_realloc(batch->operations, batch->capacity * sizeof *batch->operations);
    }
    batch->operations[batch->count++] = operation;
}

static void sim_batch_put(struct store_batch *batch, struct bytes key, struct bytes value) {
    batch_add(batch, (struct operation){
                         .key = arena_copy(&batch->arena, key),
                         .value = arena_copy(&batch->arena, value),
                     });
}

static void sim_batch_delete(struct store_batch *batch, struct bytes key) {
    batch_add(batch, (struct operation){.key = arena_copy(&batch->arena, key), .deleted = true});
}

static void sim_batch_clear(struct store_batch *batch) {
    batch->count = 0;
    arena_reset(&batch->arena);
}

static void sim_free_batch(struct store_batch *batch) {
    free(batch->operations);
    arena_free(&batch->arena);
    free(batch);
}

/* --- flushing --- */

static void flush_finishes(void *context, uint64_t generation) {
    struct sim_store *store = context;
    if (store->generation != generation || store->flushing == 0)
        return;
    if (store->flushing > store->durable) {
        store->previous = store->durable;
        store->durable = store->flushing;
    }
    store->flushing = 0;
    world_trace(store->world, "store: flushed");
}

static bool begin_flush(struct sim_store *store) {
    if (store->flushing != 0)
        return false;
    store->flushing = store->sequence;
    if (sim_store_plant_split && store->cut > store->durable)
        store->flushing = store->cut;
    uint64_t longest_us = sim_store_plant_early_drop ? FLUSH_SLOW_US : FLUSH_LONGEST_US;
    world_after(store->world, random_delay(store->random, 100, longest_us), flush_finishes, store,
                store->generation);
    return true;
}

static bool sim_flush(struct store *base) {
    if (!process_boundary(of(base)->owner))
        return true;
    return begin_flush(of(base));
}

static void sim_flush_wait(struct store *base) {
    struct sim_store *store = of(base);
    if (!process_boundary(store->owner))
        return;
    store->durable = store->sequence;
}

static void sim_write(struct store *base, struct store_batch *batch) {
    struct sim_store *store = of(base);
    /* A dead process may well write: it is forgotten with the process. */
    process_boundary(store->owner);
    store->before_last = store->sequence;
    store->cut = store->sequence + random_below(store->random, batch->count);
    for (size_t i = 0; i < batch->count; i++)
        insert(store, batch->operations[i].key, batch->operations[i].value, batch->operations[i].deleted);
    if (!store->owner->zombie && random_chance(store->random, 1, 60))
        begin_flush(store);
}

static int sim_checkpoint(struct store *base, const char *directory, struct bytes key, struct buffer *value) {
    struct sim_store *store = of(base);
    bool full = !store->world->quiescent && random_chance(store->random, 1, 10);
    if (!process_boundary(store->owner) || full)
        return -ENOSPC;
    struct checkpoint *checkpoint = must_alloc(sizeof *checkpoint);
    *checkpoint = (struct checkpoint){
        .next = store->checkpoints, .directory = must_strdup(directory), .sequence = store->sequence};
    store->checkpoints = checkpoint;
    struct node *node = visible_node(store, key, store->sequence);
    if (node != NULL)
        buffer_append_bytes(value, node->value);
    return 0;
}

/* --- dropping: durable at once, from under snapshots, and never all of it --- */

static uint64_t number_in(struct bytes key) {
    uint64_t number = 0;
    for (unsigned i = 1; i <= sizeof number; i++)
        number = number << 8 | key.data[i];
    return number;
}

static void drop_some(void *context, uint64_t generation) {
    struct sim_store *store = context;
    if (store->generation != generation || store->drop_rounds == 0)
        return;
    struct node *node = seek_node(store, bytes_of(&store->drop_prefix, 1), UINT64_MAX, NULL);
    for (; node != NULL && node->key.data[0] == store->drop_prefix; node = node->next[0]) {
        if (node->key.length > sizeof(uint64_t) && number_in(node->key) < store->drop_below &&
            random_chance(store->random, 2, 3))
            node->dropped = true;
    }
    if (--store->drop_rounds > 0)
        world_after(store->world, random_delay(store->random, 1, DROP_LONGEST_US), drop_some, store,
                    store->generation);
}

static void sim_drop_below(struct store *base, uint8_t prefix, uint64_t below) {
    struct sim_store *store = of(base);
    if (!process_boundary(store->owner))
        return;
    bool idle = store->drop_rounds == 0;
    store->drop_prefix = prefix;
    store->drop_below = below;
    store->drop_rounds = DROP_ROUNDS;
    if (idle)
        world_after(store->world, random_delay(store->random, 1, DROP_LONGEST_US), drop_some, store,
                    store->generation);
}

static struct store_sizes sim_sizes(struct store *base) {
    uint64_t bytes = of(base)->bytes + 1;
    return (struct store_sizes){.total = bytes, .in_use = bytes};
}

static void sim_close(struct store *base) {
    sim_flush_wait(base);
}

static const struct store_operations operations = {
    .get = sim_get,
    .release = sim_release,
    .durable_get = sim_durable_get,
    .snapshot = sim_snapshot,
    .retain = sim_retain,
    .release_snapshot = sim_release_snapshot,
    .iterate = sim_iterate,
    .seek = sim_seek,
    .last = sim_last,
    .next = sim_next,
    .previous = sim_previous,
    .key = sim_key,
    .value = sim_value,
    .close_iterator = sim_close_iterator,
    .new_batch = sim_new_batch,
    .batch_put = sim_batch_put,
    .batch_delete = sim_batch_delete,
    .batch_clear = sim_batch_clear,
    .free_batch = sim_free_batch,
    .write = sim_write,
    .flush = sim_flush,
    .flush_wait = sim_flush_wait,
    .checkpoint = sim_checkpoint,
    .drop_below = sim_drop_below,
    .sizes = sim_sizes,
    .close = sim_close,
};

struct sim_store *sim_store_new(struct world *world, struct random *random, struct process *owner) {
    struct sim_store *store = must_zalloc(sizeof *store);
    store->store.operations = &operations;
    store->world = world;
    store->random = random;
    store->owner = owner;
    store->head = node_new(bytes_of("", 0), bytes_of("", 0), 0, true, LEVELS);
    return store;
}

static const struct checkpoint *find_checkpoint(const struct sim_store *store, const char *directory) {
    const struct checkpoint *checkpoint = store->checkpoints;
    while (checkpoint != NULL && strcmp(checkpoint->directory, directory) != 0)
        checkpoint = checkpoint->next;
    return checkpoint;
}

bool sim_store_has_checkpoint(const struct sim_store *store, const char *directory) {
    return find_checkpoint(store, directory) != NULL;
}

bool sim_store_checkpoint_get(struct sim_store *store, const char *directory, struct bytes key,
                              struct buffer *value) {
    const struct checkpoint *checkpoint = find_checkpoint(store, directory);
    struct node *node = checkpoint == NULL ? NULL : visible_node(store, key, checkpoint->sequence);
    if (node == NULL)
        return false;
    buffer_append_bytes(value, node->value);
    return true;
}

bool sim_store_checkpoint_next(struct sim_store *store, const char *directory, struct bytes after,
                               bool inclusive, struct bytes upper, struct buffer *key, struct buffer *value) {
    const struct checkpoint *checkpoint = find_checkpoint(store, directory);
    if (checkpoint == NULL)
        return false;
    struct store_iterator iterator = {.store = store, .sequence = checkpoint->sequence, .upper = upper};
    if (!settle_forward(&iterator, seek_node(store, after, inclusive ? UINT64_MAX : 0, NULL)))
        return false;
    key->length = value->length = 0;
    buffer_append_bytes(key, iterator.current->key);
    buffer_append_bytes(value, iterator.current->value);
    return true;
}

bool sim_store_remove_checkpoint(struct sim_store *store, const char *directory) {
    for (struct checkpoint **at = &store->checkpoints; *at != NULL; at = &(*at)->next) {
        struct checkpoint *checkpoint = *at;
        if (strcmp(checkpoint->directory, directory) != 0)
            continue;
        *at = checkpoint->next;
        free(checkpoint->directory);
        free(checkpoint);
        return true;
    }
    return false;
}

void sim_store_free(struct sim_store *store) {
    while (store->checkpoints != NULL)
        (void)sim_store_remove_checkpoint(store, store->checkpoints->directory);
    while (store->head != NULL) {
        struct node *next = store->head->next[0];
        free(store->head);
        store->head = next;
    }
    free(store);
}

struct store *sim_store_open(struct sim_store *store) {
    return &store->store;
}

void sim_store_crash(struct sim_store *store) {
    if (store->flushing > store->durable && random_chance(store->random, 1, 2))
        store->durable = store->flushing;
    store->flushing = 0;
    store->generation++;
    store->drop_rounds = 0;
    if (sim_store_plant_forget)
        store->durable = store->previous;
    forget_newer(store, store->durable);
    store->sequence = store->durable;
    store->before_last = store->durable;
}
