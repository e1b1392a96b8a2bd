/* recent: see recent.h. The index probes linearly and deletes by shifting back; it is never more than half
 * full. */
#include "apply/mvcc/recent.h"

#include <stdlib.h>

enum {
    SEGMENT_BYTES = 1 << 20,
    ALIGN = 16,
    FIRST_SLOTS = 4096,
    FIRST_LISTED = 1024,
    LISTED_KEEP = 64 * 1024
};

struct recent_segment {
    struct recent_segment *next;
    size_t used, capacity;
    uint64_t sequence; /* counts up */
    uint8_t data[];
};

/* --- segments --- */

static struct recent_segment *new_segment(struct recent *recent, size_t capacity) {
    struct recent_segment *segment = recent->spare;
    if (segment != NULL && capacity <= SEGMENT_BYTES)
        recent->spare = NULL;
    else
        segment = must_alloc(sizeof *segment + (capacity > SEGMENT_BYTES ? capacity : SEGMENT_BYTES));
    segment->next = NULL;
    segment->used = 0;
    segment->sequence = ++recent->sequence;
    segment->capacity = capacity > SEGMENT_BYTES ? capacity : SEGMENT_BYTES;
    return segment;
}

static void drop_segment(struct recent *recent, struct recent_segment *segment) {
    if (recent->spare == NULL && segment->capacity == SEGMENT_BYTES)
        recent->spare = segment;
    else
        free(segment);
}

void recent_init(struct recent *recent, size_t limit) {
    *recent = (struct recent){.limit = limit};
    recent->first = recent->last = new_segment(recent, 0);
    recent->evict = recent->spill = (struct recent_place){.segment = recent->first};
    recent->slot_count = FIRST_SLOTS;
    recent->slots = must_zalloc(FIRST_SLOTS * sizeof(struct recent_slot));
    dirty_index_init(&recent->index);
}

void recent_free(struct recent *recent) {
    while (recent->first != NULL) {
        struct recent_segment *segment = recent->first;
        recent->first = segment->next;
        free(segment);
    }
    free(recent->spare);
    free(recent->slots);
    free(recent->pending.entries);
    free(recent->kept.entries);
    dirty_index_free(&recent->index);
    *recent = (struct recent){0};
}

static struct recent_entry *append(struct recent *recent, size_t size) {
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (recent->last->capacity - recent->last->used < size) {
        recent->last->next = new_segment(recent, size);
        recent->last = recent->last->next;
    }
    struct recent_entry *entry = (struct recent_entry *)(void *)(recent->last->data + recent->last->used);
    recent->last->used += size;
    recent->bytes += size;
    recent->spill_bytes += size;
    entry->size = (uint32_t)size;
    return entry;
}

/* The entry at a place, moving on to the next segment where one ends; NULL: nothing further. */
static struct recent_entry *entry_at(struct recent_place *place) {
    while (place->offset == place->segment->used) {
        if (place->segment->next == NULL)
            return NULL;
        *place = (struct recent_place){.segment = place->segment->next};
    }
    return (struct recent_entry *)(void *)(place->segment->data + place->offset);
}

/* --- the index --- */

static struct recent_slot *find_slot(const struct recent *recent, struct bytes key, uint64_t hash) {
    size_t mask = recent->slot_count - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        struct recent_slot *slot = &recent->slots[at];
        if (slot->entry == NULL || (slot->hash == hash && bytes_equal(recent_key(slot->entry), key)))
            return slot;
    }
}

static void grow_index(struct recent *recent) {
    struct recent_slot *old = recent->slots;
    size_t old_count = recent->slot_count;
    recent->slot_count *= 2;
    recent->slots = must_zalloc(recent->slot_count * sizeof(struct recent_slot));
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].entry != NULL)
            *find_slot(recent, recent_key(old[i].entry), old[i].hash) = old[i];
    }
    free(old);
}

static void remove_slot(struct recent *recent, struct recent_slot *slot) {
    size_t mask = recent->slot_count - 1;
    size_t hole = (size_t)(slot - recent->slots);
    for (size_t at = (hole + 1) & mask; recent->slots[at].entry != NULL; at = (at + 1) & mask) {
        size_t home = recent->slots[at].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        recent->slots[hole] = recent->slots[at];
        hole = at;
    }
    recent->slots[hole] = (struct recent_slot){0};
    recent->entry_count--;
}

/* --- entries --- */

void recent_load(const struct recent_entry *entry, struct record *record) {
    if (entry->encoded_length == 0)
        *record = (struct record){0};
    else
        record_load_current(recent_encoded(entry), record);
}

struct recent_entry *recent_find(struct recent *recent, struct bytes key, uint64_t hash) {
    struct recent_entry *entry = find_slot(recent, key, hash)->entry;
    if (entry != NULL)
        entry->used = true;
    return entry;
}

/* Appends an entry and makes it the key's newest. */
static struct recent_entry *add(struct recent *recent, struct bytes key, uint64_t hash,
                                const struct record *record, bool dirty) {
    size_t value = record == NULL ? 0 : RECORD_HEAD_LIMIT + record->value.length;
    uint8_t *place = NULL;
    if (2 * recent->entry_count >= recent->slot_count)
        grow_index(recent);
    struct recent_entry *entry = append(recent, sizeof *entry + 1 + key.length + value);
    entry->hash = hash;
    entry->key_length = (uint32_t)key.length;
    entry->dirty = dirty;
    entry->superseded = entry->used = false;
    place = entry->data;
    *place++ = PREFIX_CURRENT;
    if (key.length != 0)
        memcpy(place, key.data, key.length);
    entry->encoded_length = record == NULL ? 0 : (uint32_t)record_store_current(place + key.length, record);

    struct recent_slot *slot = find_slot(recent, key, hash);
    struct recent_entry *older = slot->entry;
    recent->entry_count += older == NULL;
    *slot = (struct recent_slot){.hash = hash, .entry = entry};
    if (older != NULL)
        older->superseded = true;
    if (older != NULL && older->dirty)
        dirty_index_replace(older, entry);
    else if (dirty)
        dirty_index_add(&recent->index, entry);
    recent->dirty_count += dirty && !(older != NULL && older->dirty);
    return entry;
}

static void list_add(struct entry_list *list, struct recent_entry *entry) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? FIRST_LISTED : list->capacity * 2;
        list->entries = must_realloc(list->entries, list->capacity * sizeof(struct recent_entry *));
    }
    list->entries[list->count++] = entry;
}

static void list_clear(struct entry_list *list) {
    list->count = 0;
    if (list->capacity > LISTED_KEEP) {
        free(list->entries);
        *list = (struct entry_list){0};
    }
}

void recent_change(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record) {
    struct recent_entry *entry = add(recent, key, hash, record, true);
    recent->changed_bytes += entry->size;
    list_add(&recent->pending, entry);
}

bool recent_admits(const struct recent *recent) {
    return recent->bytes <= recent->limit + recent->limit / 4;
}

void recent_remember(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record) {
    if (record == NULL || record->value.length <= RECENT_VALUE_LIMIT)
        add(recent, key, hash, record, false);
}

void recent_keep(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record) {
    struct recent_entry *entry = find_slot(recent, key, hash)->entry;
    list_add(&recent->kept, entry != NULL ? entry : add(recent, key, hash, record, false));
    recent->kept_sorted = false;
}

static struct revision entry_revision(const struct recent_entry *entry) {
    struct record record;
    recent_load(entry, &record);
    return record.modified;
}

static int compare_entries(const void *left, const void *right) {
    const struct recent_entry *const *a = left;
    const struct recent_entry *const *b = right;
    return revision_compare(entry_revision(*a), entry_revision(*b));
}

static const struct recent_entry *list_find(const struct entry_list *list, struct revision at) {
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = revision_compare(entry_revision(list->entries[middle]), at);
        if (order == 0)
            return list->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct recent_entry *recent_at(struct recent *recent, struct revision at) {
    const struct recent_entry *entry = list_find(&recent->pending, at);
    if (entry != NULL || recent->kept.count == 0)
        return entry;
    if (!recent->kept_sorted)
        qsort(recent->kept.entries, recent->kept.count, sizeof(struct recent_entry *), compare_entries);
    recent->kept_sorted = true;
    return list_find(&recent->kept, at);
}

/* --- spilling and evicting --- */

static void pass(struct recent *recent, const struct recent_entry *entry) {
    recent->spill.offset += entry->size;
    recent->spill_bytes -= entry->size;
}

static struct recent_entry *clean(struct recent *recent, struct recent_entry *entry) {
    entry->dirty = false;
    dirty_index_remove(&recent->index, entry);
    recent->dirty_count--;
    return entry;
}

/*
 * Moves `spill` to the first entry that matters: not spilled, and newest of its key (or to be followed: then
 * it may be that the newest was spilled before).
 */
static struct recent_entry *settle(struct recent *recent) {
    struct recent_entry *entry = NULL;
    while ((entry = entry_at(&recent->spill)) != NULL &&
           (!entry->dirty || (entry->superseded && !recent->follow) || recent->dirty_count == 0))
        pass(recent, entry);
    return entry;
}

struct recent_entry *recent_spill(struct recent *recent) {
    struct recent_entry *entry = NULL;
    while ((entry = settle(recent)) != NULL) {
        pass(recent, entry);
        if (entry->superseded)
            entry = find_slot(recent, recent_key(entry), entry->hash)->entry;
        if (entry != NULL && entry->dirty)
            return clean(recent, entry);
    }
    return NULL;
}

int64_t recent_oldest_revision(struct recent *recent) {
    const struct recent_entry *entry = settle(recent);
    struct record record;
    if (entry == NULL)
        return INT64_MAX;
    recent_load(entry, &record);
    return record.modified.main;
}

struct recent_mark recent_mark_now(const struct recent *recent) {
    return (struct recent_mark){.sequence = recent->last->sequence, .offset = recent->last->used};
}

bool recent_passed(const struct recent *recent, struct recent_mark mark) {
    uint64_t sequence = recent->spill.segment->sequence;
    return recent->dirty_count == 0 || sequence > mark.sequence ||
           (sequence == mark.sequence && recent->spill.offset >= mark.offset);
}

void recent_written(struct recent *recent) {
    list_clear(&recent->pending);
    list_clear(&recent->kept);
    recent->changed_bytes = 0;
}

static bool at_spill(const struct recent *recent) {
    return recent->evict.segment == recent->spill.segment && recent->evict.offset == recent->spill.offset;
}

/* A clean entry that was found meanwhile goes round once more. */
static void evict_entry(struct recent *recent, struct recent_entry *entry) {
    struct record record;
    if (entry->superseded)
        return;
    if (entry->used) {
        recent_load(entry, &record);
        add(recent, recent_key(entry), entry->hash, entry->encoded_length == 0 ? NULL : &record, false);
        return;
    }
    remove_slot(recent, find_slot(recent, recent_key(entry), entry->hash));
}

static void drop_evicted_segments(struct recent *recent) {
    while (recent->first != recent->evict.segment) {
        struct recent_segment *segment = recent->first;
        recent->first = segment->next;
        drop_segment(recent, segment);
    }
}

void recent_trim(struct recent *recent) {
    if (recent->dirty_count == 0)
        settle(recent); /* nothing is dirty: everything may go */
    /* What is copied forward counts against a bound, or entries that are all in use would go round for ever.
     */
    size_t most = recent->bytes;
    while (recent->bytes > recent->limit && most > 0 && !at_spill(recent)) {
        struct recent_entry *entry = entry_at(&recent->evict);
        if (entry == NULL || at_spill(recent))
            break;
        size_t size = entry->size;
        evict_entry(recent, entry);
        recent->evict.offset += size;
        recent->bytes -= size;
        most -= size < most ? size : most;
    }
    drop_evicted_segments(recent);
}
