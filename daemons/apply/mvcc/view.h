/*
 * view: reading keys as of a revision: from a snapshot of the store, or from the present state, which is the
 * store with `recent` laid over it.
 *
 * A key at revision R: its current record; while that was modified after R, the record its `previous` link
 * names in the log, or in what compaction kept of it. Records newer than the view's own revision are treated
 * the same way, so a store that holds a half-done change (a large delete that is written in parts) never
 * shows it.
 *
 * Compaction takes records of the log away from under snapshots. A read over one at a revision that was
 * compacted meanwhile may find a link's record gone: it goes on as if the key had not existed and says so in
 * `missing`; whoever reads throws the answer away. Everything that a read at a later revision needs is kept;
 * a gap there, or in the present state, is damage.
 */
#ifndef QUORATE_APPLY_MVCC_VIEW_H
#define QUORATE_APPLY_MVCC_VIEW_H

#include "apply/mvcc/recent.h"
#include "apply/store/store.h"

struct view {
    struct store *store;
    struct store_snapshot *snapshot; /* NULL: the present state (on the thread that writes) */
    struct recent *recent;           /* NULL with a snapshot */
    uint64_t hash_seed;
    int64_t revision;  /* the newest visible */
    int64_t compacted; /* older ones are refused by whoever asks; -1: none */
    int64_t missing;   /* lowest revision of a read that lacked a record of the log; 0: none did */
    int store_flags;   /* of struct store iterate */
};

/* A record found, and the hold on the store that its bytes borrow from. Zero-initialised is empty. */
struct found {
    struct record record;
    struct store_value value;
};

/*
 * The record of the key that is visible at `revision`; false: none or deleted. *examined grows by the store
 * reads made. Release with view_release even when false.
 */
bool view_get(struct view *view, struct bytes key, int64_t revision, struct found *found, uint64_t *examined);
/* The record that the log holds at a revision (one that a cursor or a link named). */
bool view_at(struct view *view, struct revision at, struct bytes *key, struct found *found);
void view_release(struct view *view, struct found *found);

/* An interval by etcd's conventions: range_end empty: one key; one zero byte: open end. */
struct interval {
    struct bytes key, range_end;
};
bool interval_is_point(const struct interval *interval);
bool interval_is_empty(const struct interval *interval);

enum cursor_step { CURSOR_ITEM, CURSOR_END, CURSOR_PAUSE };

/* Walks the live keys of an interval at a revision, in key order or backward. */
struct cursor {
    struct view *view;
    struct store_iterator *iterator;
    int64_t revision;
    bool backward, valid, ended;
    bool consumed; /* the iterator's entry was the last item: step before looking at it again */
    /* Dirty entries, leaf by leaf: those of the present leaf in key order, and the bounds of what follows. */
    struct recent_entry *entries[LEAF_ENTRIES];
    size_t entry_count, entry_at; /* the next one (backward: the one before entry_at) */
    struct buffer dirty_lower, dirty_upper;
    bool dirty_more;
    struct found history;
    uint64_t budget; /* keys (and history links) that may still be examined before CURSOR_PAUSE */
    /* The item, or on a pause the last key examined (none: no data); borrowed until the next step. */
    struct bytes key;
    struct record record;
};

/* The interval must not be a point. Keys are borrowed until cursor_close. */
void cursor_open(struct cursor *cursor, struct view *view, const struct interval *interval, int64_t revision,
                 bool backward);
/* As cursor_open, but continuing a walk after (backward: before) `position`. */
void cursor_resume(struct cursor *cursor, struct view *view, const struct interval *interval,
                   int64_t revision, bool backward, struct bytes position);
enum cursor_step cursor_next(struct cursor *cursor);
void cursor_close(struct cursor *cursor);

#endif
