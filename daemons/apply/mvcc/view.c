/* view: see view.h. */
#include "apply/mvcc/view.h"

#include "common/key_hash.h"
#include "common/log.h"

enum { KEY_ON_STACK = 512 };

void view_release(struct view *view, struct found *found) {
    store_release(view->store, &found->value);
}

/* The store key of a user key, on the stack when it is short. */
struct current_key {
    uint8_t small[KEY_ON_STACK];
    struct buffer large;
};

static struct bytes current_key_of(struct current_key *place, struct bytes key) {
    place->large = (struct buffer){0};
    uint8_t *data = place->small;
    if (key.length >= KEY_ON_STACK)
        data = buffer_reserve(&place->large, key.length + 1);
    data[0] = PREFIX_CURRENT;
    if (key.length != 0)
        memcpy(data + 1, key.data, key.length);
    return bytes_of(data, key.length + 1);
}

/* What is in neither was in the log once: what is kept of it was written before anything of it went. */
static bool find_logged(struct view *view, struct revision at, struct store_value *value) {
    uint8_t key[LOG_KEY_LENGTH];
    log_key_store(key, at);
    if (store_get(view->store, view->snapshot, bytes_of(key, sizeof key), value))
        return true;
    kept_key_store(key, at);
    return store_get(view->store, NULL, bytes_of(key, sizeof key), value);
}

bool view_at(struct view *view, struct revision at, struct bytes *key, struct found *found) {
    view_release(view, found);
    const struct recent_entry *entry = view->recent == NULL ? NULL : recent_at(view->recent, at);
    if (entry != NULL) {
        recent_load(entry, &found->record);
        *key = recent_key(entry);
        return true;
    }
    if (!find_logged(view, at, &found->value))
        return false;
    record_load_log(found->value.bytes, at, key, &found->record);
    return true;
}

static void note_missing(struct view *view, int64_t revision) {
    if (view->snapshot == NULL)
        LOG_FATAL("the database lacks a record of its history; remove the member's data and let it rejoin",
                  F_I64("read-revision", revision), F_I64("compact-revision", view->compacted));
    if (view->missing == 0 || view->missing > revision)
        view->missing = revision;
}

/* Walks back to what was visible at `revision`. False: the key did not exist then. */
static bool walk_back(struct view *view, int64_t revision, struct found *found, uint64_t *examined) {
    while (found->record.modified.main > revision) {
        struct revision previous = found->record.previous;
        struct bytes key;
        if (previous.main == 0)
            return false;
        if (!view_at(view, previous, &key, found)) {
            note_missing(view, revision);
            return false;
        }
        ++*examined;
    }
    return !found->record.tombstone;
}

bool view_get(struct view *view, struct bytes key, int64_t revision, struct found *found,
              uint64_t *examined) {
    uint64_t hash = view->recent == NULL ? 0 : key_hash(key, view->hash_seed);
    *found = (struct found){0};
    const struct recent_entry *entry = view->recent == NULL ? NULL : recent_find(view->recent, key, hash);
    if (entry != NULL) {
        recent_load(entry, &found->record);
        return found->record.modified.main != 0 && walk_back(view, revision, found, examined);
    }
    struct current_key place;
    bool exists = store_get(view->store, view->snapshot, current_key_of(&place, key), &found->value);
    buffer_free(&place.large);
    ++*examined;
    if (exists)
        record_load_current(found->value.bytes, &found->record);
    if (view->recent != NULL && recent_admits(view->recent))
        recent_remember(view->recent, key, hash, exists ? &found->record : NULL);
    return exists && walk_back(view, revision, found, examined);
}

bool interval_is_point(const struct interval *interval) {
    return interval->range_end.length == 0;
}

static bool open_ended(const struct interval *interval) {
    return interval->range_end.length == 1 && interval->range_end.data[0] == 0;
}

bool interval_is_empty(const struct interval *interval) {
    return !interval_is_point(interval) && !open_ended(interval) &&
           bytes_compare(interval->range_end, interval->key) <= 0;
}

static void append_current_key(struct buffer *buffer, struct bytes key) {
    buffer_append_byte(buffer, PREFIX_CURRENT);
    buffer_append_bytes(buffer, key);
}

/* lower: first user key; upper: user key after the last, empty for none. */
static void open_bounds(struct cursor *cursor, struct bytes lower, struct bytes upper) {
    struct buffer first = {0};
    struct buffer end = {0};
    append_current_key(&first, lower);
    if (upper.length != 0)
        append_current_key(&end, upper);
    else
        buffer_append_byte(&end, PREFIX_CURRENT + 1);
    struct view *view = cursor->view;
    cursor->iterator = view->store->operations->iterate(view->store, view->snapshot, buffer_bytes(&first),
                                                        buffer_bytes(&end), view->store_flags);
    if (view->recent != NULL && view->recent->dirty_count > 0) {
        buffer_append_bytes(&cursor->dirty_lower, lower);
        buffer_append_bytes(&cursor->dirty_upper, upper);
        cursor->dirty_more = true;
    }
    if (cursor->backward)
        cursor->valid = view->store->operations->last(cursor->iterator);
    else
        cursor->valid = view->store->operations->seek(cursor->iterator, buffer_bytes(&first));
    buffer_free(&first);
    buffer_free(&end);
}

static void begin(struct cursor *cursor, struct view *view, int64_t revision, bool backward) {
    *cursor = (struct cursor){.view = view, .revision = revision, .backward = backward, .budget = UINT64_MAX};
}

void cursor_open(struct cursor *cursor, struct view *view, const struct interval *interval, int64_t revision,
                 bool backward) {
    begin(cursor, view, revision, backward);
    if (interval_is_empty(interval))
        return;
    open_bounds(cursor, interval->key, open_ended(interval) ? (struct bytes){0} : interval->range_end);
}

void cursor_resume(struct cursor *cursor, struct view *view, const struct interval *interval,
                   int64_t revision, bool backward, struct bytes position) {
    begin(cursor, view, revision, backward);
    if (backward) {
        /* An upper bound of no bytes would mean an open end; nothing is before the empty key. */
        if (position.length != 0 && bytes_compare(interval->key, position) < 0)
            open_bounds(cursor, interval->key, position);
        return;
    }
    struct buffer after = {0};
    buffer_append_bytes(&after, position);
    buffer_append_byte(&after, 0);
    struct bytes end = open_ended(interval) ? (struct bytes){0} : interval->range_end;
    if (end.length == 0 || bytes_compare(buffer_bytes(&after), end) < 0)
        open_bounds(cursor, buffer_bytes(&after), end);
    buffer_free(&after);
}

static struct bytes iterator_key(const struct cursor *cursor) {
    struct bytes key = cursor->view->store->operations->key(cursor->iterator);
    return bytes_of(key.data + 1, key.length - 1);
}

/* The next leaf that has entries in the interval. */
static void load_leaf(struct cursor *cursor) {
    struct buffer *bound = cursor->backward ? &cursor->dirty_upper : &cursor->dirty_lower;
    cursor->entry_count = 0;
    while (cursor->dirty_more && cursor->entry_count == 0) {
        struct bytes next;
        cursor->entry_count =
            dirty_index_collect(&cursor->view->recent->index, buffer_bytes(&cursor->dirty_lower),
                                buffer_bytes(&cursor->dirty_upper), cursor->backward, cursor->entries, &next,
                                &cursor->dirty_more);
        bound->length = 0;
        buffer_append_bytes(bound, next);
    }
    cursor->entry_at = cursor->backward ? cursor->entry_count : 0;
}

static const struct recent_entry *next_entry(struct cursor *cursor) {
    bool exhausted = cursor->entry_at == (cursor->backward ? 0 : cursor->entry_count);
    if (exhausted && cursor->dirty_more)
        load_leaf(cursor);
    if (cursor->backward)
        return cursor->entry_at > 0 ? cursor->entries[cursor->entry_at - 1] : NULL;
    return cursor->entry_at < cursor->entry_count ? cursor->entries[cursor->entry_at] : NULL;
}

static void advance_iterator(struct cursor *cursor) {
    const struct store_operations *operations = cursor->view->store->operations;
    cursor->valid =
        cursor->backward ? operations->previous(cursor->iterator) : operations->next(cursor->iterator);
}

/* The merge: takes the nearer of iterator and dirty entries; of equal keys the dirty one, and drops the
 * other. */
static bool take(struct cursor *cursor) {
    if (cursor->consumed)
        advance_iterator(cursor);
    cursor->consumed = false;
    const struct recent_entry *entry = next_entry(cursor);
    int order = 0; /* < 0: the iterator comes first */
    if (entry == NULL && !cursor->valid)
        return false;
    if (entry == NULL || !cursor->valid) {
        order = entry == NULL ? -1 : 1;
    } else {
        order = bytes_compare(iterator_key(cursor), recent_key(entry));
        if (cursor->backward)
            order = -order;
    }
    if (order < 0) {
        cursor->consumed = true;
        cursor->key = iterator_key(cursor);
        record_load_current(cursor->view->store->operations->value(cursor->iterator), &cursor->record);
        return true;
    }
    if (order == 0)
        advance_iterator(cursor);
    if (cursor->backward)
        cursor->entry_at--;
    else
        cursor->entry_at++;
    cursor->key = recent_key(entry);
    recent_load(entry, &cursor->record);
    return true;
}

/* Whether the taken key is visible; replaces the record by its older one where needed. */
static bool visible(struct cursor *cursor) {
    if (cursor->record.modified.main <= cursor->revision)
        return !cursor->record.tombstone;
    uint64_t examined = 0;
    view_release(cursor->view, &cursor->history);
    cursor->history.record = cursor->record;
    bool found = walk_back(cursor->view, cursor->revision, &cursor->history, &examined);
    cursor->record = cursor->history.record;
    cursor->budget -= examined < cursor->budget ? examined : cursor->budget;
    return found;
}

enum cursor_step cursor_next(struct cursor *cursor) {
    if (cursor->iterator == NULL || cursor->ended)
        return CURSOR_END;
    for (;;) {
        if (cursor->budget == 0)
            return CURSOR_PAUSE;
        if (!take(cursor)) {
            cursor->ended = true;
            cursor->key = (struct bytes){0};
            return CURSOR_END;
        }
        cursor->budget--;
        if (visible(cursor))
            return CURSOR_ITEM;
    }
}

void cursor_close(struct cursor *cursor) {
    view_release(cursor->view, &cursor->history);
    buffer_free(&cursor->dirty_lower);
    buffer_free(&cursor->dirty_upper);
    if (cursor->iterator != NULL)
        cursor->view->store->operations->close_iterator(cursor->iterator);
    cursor->iterator = NULL;
}
