/*
 * recent: the newest records of recently changed and recently read keys, values included.
 *
 * Two jobs in one structure. As a cache it answers lookups of hot keys exactly: every change passes through
 * it. As a write-back buffer it spares the store: a change makes an entry *dirty*; only when the entry is
 * *spilled* is the key's current state put into the batch. A key changed ten times in between costs the store
 * one write, not ten. What a crash loses of it is found again in the revision log (mvcc.c), because entries
 * are spilled in the order of their revisions.
 *
 * A log of segments: entries are appended, never changed; an index by hash names the newest entry of each
 * key. From old to new lie entries that may be evicted, then (from `spill`) those of which some are dirty.
 * Memory is bounded by recent_trim, provided that unspilled entries are spilled (mvcc.c); in between (inside
 * an entry, however large) nothing moves or goes away, so records found may be borrowed until then.
 */
#ifndef QUORATE_APPLY_MVCC_RECENT_H
#define QUORATE_APPLY_MVCC_RECENT_H

#include "common/store_record.h"

#include "apply/mvcc/dirty_index.h"

enum { RECENT_VALUE_LIMIT = 16 * 1024 }; /* larger values are not kept only because they were read */

struct recent_entry {
    uint64_t hash;
    uint32_t size, key_length, encoded_length; /* encoded 0: the key does not exist */
    bool dirty;                                /* not in the store yet */
    bool superseded;                           /* a later entry has the key */
    bool used;                                 /* found since it was written */
    uint32_t place;                            /* in its leaf of the dirty index */
    struct dirty_leaf *leaf;
    uint8_t data[]; /* 'c', user key, encoded record */
};

struct recent_segment;
struct recent_place {
    struct recent_segment *segment;
    size_t offset;
};
/* A place that stays meaningful when its segment is gone. */
struct recent_mark {
    uint64_t sequence;
    size_t offset;
};
struct entry_list {
    struct recent_entry **entries;
    size_t count, capacity;
};
struct recent_slot {
    uint64_t hash;
    struct recent_entry *entry; /* NULL: empty */
};

struct recent {
    size_t limit; /* bytes */
    struct recent_segment *first, *last, *spare;
    uint64_t sequence;    /* of the last segment */
    size_t bytes;         /* of all entries */
    size_t spill_bytes;   /* of those from `spill` on */
    size_t changed_bytes; /* of changes since recent_written */
    size_t dirty_count;
    struct recent_place evict, spill;
    struct dirty_index index;
    bool follow; /* spilling a key whose entry was superseded spills the newest one; set by the owner */
    struct recent_slot *slots;
    size_t slot_count, entry_count;
    /* Since recent_written: changes, in order; and what changes superseded that has to be kept. */
    struct entry_list pending, kept;
    bool kept_sorted;
};

void recent_init(struct recent *recent, size_t limit);
void recent_free(struct recent *recent);

static inline struct bytes recent_key(const struct recent_entry *entry) {
    return bytes_of(entry->data + 1, entry->key_length);
}
static inline struct bytes recent_store_key(const struct recent_entry *entry) {
    return bytes_of(entry->data, (size_t)entry->key_length + 1);
}
static inline struct bytes recent_encoded(const struct recent_entry *entry) {
    return bytes_of(entry->data + 1 + entry->key_length, entry->encoded_length);
}
/* modified.main 0: the key does not exist. */
void recent_load(const struct recent_entry *entry, struct record *record);

/* NULL: not known here. */
struct recent_entry *recent_find(struct recent *recent, struct bytes key, uint64_t hash);
/* A change of the key; copies. */
void recent_change(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record);
/* Whether what is only read may be remembered. Not once trimming is far behind, because much is unspilled. */
bool recent_admits(const struct recent *recent);
/* What the store says of a key that is not known here. record NULL: it does not exist. */
void recent_remember(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record);

/*
 * The key's newest record before a change that is to come: until recent_written it is found by its revision.
 */
void recent_keep(struct recent *recent, struct bytes key, uint64_t hash, const struct record *record);
/* A change, or a record kept, since recent_written; NULL: none of this revision. */
const struct recent_entry *recent_at(struct recent *recent, struct revision at);

/* The oldest dirty entry, which is clean from now on: the caller puts it into the batch. NULL: none is dirty.
 */
struct recent_entry *recent_spill(struct recent *recent);
/* No dirty entry has an older revision; INT64_MAX: none is dirty. */
int64_t recent_oldest_revision(struct recent *recent);
/*
 * The present end, and whether spilling has passed it. With `follow` all the way from the former to the
 * latter, the store then has for every key the state at the mark or a later one.
 */
struct recent_mark recent_mark_now(const struct recent *recent);
bool recent_passed(const struct recent *recent, struct recent_mark mark);
/* The batch with everything so far is written. */
void recent_written(struct recent *recent);
/* Evicts down to the limit. Nothing found before may be used after. */
void recent_trim(struct recent *recent);

#endif
