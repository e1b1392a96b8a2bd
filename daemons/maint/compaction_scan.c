/* compaction_scan: see compaction_scan.h. */
#include "maint/compaction_scan.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 1024 };

static const struct revision no_limit = {.main = INT64_MAX, .sub = UINT32_MAX};

struct output {
    unsigned records, items; /* that may still be looked at, appended */
    struct buffer *place;
    uint64_t *count;
};

void compaction_scan_begin(struct compaction_scan *scan, struct checkpoint *checkpoint, int64_t physical,
                           int64_t compacted, size_t links_limit) {
    *scan = (struct compaction_scan){.checkpoint = checkpoint,
                                     .physical = physical < 0 ? 0 : physical,
                                     .compacted = compacted,
                                     .links_limit = links_limit,
                                     .high = no_limit};
}

static void close_cursor(struct compaction_scan *scan) {
    if (scan->cursor != NULL)
        scan->checkpoint->operations->close_cursor(scan->cursor);
    scan->cursor = NULL;
}

void compaction_scan_free(struct compaction_scan *scan) {
    close_cursor(scan);
    free(scan->links);
    buffer_free(&scan->key);
    buffer_free(&scan->current);
    *scan = (struct compaction_scan){0};
}

/* Begins the phase: its cursor is opened when it is first needed. */
static void enter(struct compaction_scan *scan, enum compaction_scan_phase phase) {
    close_cursor(scan);
    scan->phase = phase;
}

typedef void key_store(uint8_t place[LOG_KEY_LENGTH], struct revision revision);

/* The next entry of the phase's cursor, which goes over [lower, upper). */
static bool next(struct compaction_scan *scan, key_store *store, struct revision lower, struct revision upper,
                 struct bytes *key, struct bytes *value) {
    const struct checkpoint_operations *operations = scan->checkpoint->operations;
    if (scan->cursor == NULL) {
        uint8_t first[LOG_KEY_LENGTH];
        uint8_t end[LOG_KEY_LENGTH];
        store(first, lower);
        store(end, upper);
        scan->cursor = operations->open_cursor(scan->checkpoint, bytes_of(first, sizeof first),
                                               bytes_of(end, sizeof end));
    }
    return operations->next(scan->cursor, key, value);
}

static void put(struct output *output, enum plan_item_kind kind, struct revision at, struct bytes key) {
    plan_item_put(output->place, &(struct plan_item){.kind = kind, .at = at, .key = key});
    output->items--;
    ++*output->count;
}

/* --- links --- */

static int compare_links(const void *a, const void *b) {
    return revision_compare(*(const struct revision *)a, *(const struct revision *)b);
}

static void sort_links(struct compaction_scan *scan) {
    if (scan->count > 0)
        qsort(scan->links, scan->count, sizeof *scan->links, compare_links);
}

/* Room for one more: beyond the limit only the lower half stays, and the pass gathers no others. */
static void make_room(struct compaction_scan *scan) {
    if (scan->count < scan->capacity)
        return;
    if (scan->capacity < scan->links_limit) {
        size_t capacity = scan->capacity == 0 ? FIRST_CAPACITY : 2 * scan->capacity;
        scan->capacity = capacity < scan->links_limit ? capacity : scan->links_limit;
        scan->links = must_realloc(scan->links, scan->capacity * sizeof *scan->links);
        return;
    }
    sort_links(scan);
    scan->count = (scan->count + 1) / 2;
    scan->high = scan->links[scan->count - 1];
}

static void take_link(struct compaction_scan *scan, struct revision link) {
    if (link.main == 0 || link.main >= scan->compacted || revision_compare(link, scan->low) <= 0)
        return;
    make_room(scan);
    if (revision_compare(link, scan->high) <= 0)
        scan->links[scan->count++] = link;
}

/* False: not at the end yet. */
static bool gather_links(struct compaction_scan *scan, struct output *output) {
    struct revision lower = {.main = scan->compacted + 1};
    struct bytes key;
    struct bytes value;
    for (; output->records > 0; output->records--) {
        struct bytes user_key;
        struct record record;
        if (!next(scan, log_key_store, lower, no_limit, &key, &value))
            return true;
        record_load_log(value, log_key_load(key), &user_key, &record);
        take_link(scan, record.previous);
    }
    return false;
}

/* --- what is kept --- */

/* Looks at the next kept record, unless that is done. False: there is none (more) up to `high`. */
static bool look_ahead(struct compaction_scan *scan) {
    struct revision upper = {.main = scan->compacted};
    struct revision lower = {.main = scan->low.main, .sub = scan->low.sub + 1};
    struct bytes key;
    struct bytes value;
    if (scan->has_kept || scan->no_more_kept)
        return scan->has_kept;
    if (next(scan, kept_key_store, lower, upper, &key, &value)) {
        scan->kept = log_key_load(key);
        scan->has_kept = revision_compare(scan->kept, scan->high) <= 0;
    }
    scan->no_more_kept = !scan->has_kept;
    return scan->has_kept;
}

/* Links and kept records, both ascending: what is on one side only is to be kept, or forgotten. */
static bool merge_kept(struct compaction_scan *scan, struct output *output) {
    for (; output->records > 0 && output->items > 0; output->records--) {
        bool kept = look_ahead(scan);
        bool linked = scan->at < scan->count;
        if (!kept && !linked)
            return true;
        struct revision link = linked ? scan->links[scan->at] : no_limit;
        int order = kept ? revision_compare(link, scan->kept) : -1;
        if (order < 0)
            put(output, PLAN_KEEP, link, (struct bytes){0});
        else if (order > 0)
            put(output, PLAN_FORGET, scan->kept, (struct bytes){0});
        scan->at += order <= 0;
        scan->has_kept = scan->has_kept && order < 0;
    }
    return false;
}

/* --- deletions --- */

static bool is_current(struct compaction_scan *scan, struct bytes key, struct revision at) {
    struct record record;
    scan->key.length = scan->current.length = 0;
    buffer_append_byte(&scan->key, PREFIX_CURRENT);
    buffer_append_bytes(&scan->key, key);
    if (!scan->checkpoint->operations->get(scan->checkpoint, buffer_bytes(&scan->key), &scan->current))
        return false;
    record_load_current(buffer_bytes(&scan->current), &record);
    return record.tombstone && revision_compare(record.modified, at) == 0;
}

static bool find_deletions(struct compaction_scan *scan, struct output *output) {
    struct revision lower = {.main = scan->physical};
    struct revision upper = {.main = scan->compacted};
    struct bytes key;
    struct bytes value;
    for (; output->records > 0 && output->items > 0; output->records--) {
        struct bytes user_key;
        struct record record;
        if (!next(scan, log_key_store, lower, upper, &key, &value))
            return true;
        record_load_log(value, log_key_load(key), &user_key, &record);
        if (record.tombstone && is_current(scan, user_key, record.modified))
            put(output, PLAN_TOMBSTONE, record.modified, user_key);
    }
    return false;
}

/* --- the whole --- */

static void begin_next_window(struct compaction_scan *scan) {
    bool more = revision_compare(scan->high, no_limit) != 0;
    scan->low = scan->high;
    scan->high = no_limit;
    scan->count = scan->at = 0;
    scan->has_kept = scan->no_more_kept = false;
    enter(scan, more ? SCAN_LINKS : SCAN_DELETIONS);
}

static void step_phase(struct compaction_scan *scan, struct output *output) {
    switch (scan->phase) {
    case SCAN_LINKS:
        if (!gather_links(scan, output))
            break;
        sort_links(scan);
        enter(scan, SCAN_KEPT);
        break;
    case SCAN_KEPT:
        if (merge_kept(scan, output))
            begin_next_window(scan);
        break;
    case SCAN_DELETIONS:
        if (find_deletions(scan, output))
            enter(scan, SCAN_COMPLETE);
        break;
    case SCAN_COMPLETE:
        break;
    }
}

bool compaction_scan_step(struct compaction_scan *scan, unsigned records, unsigned most, struct buffer *items,
                          uint64_t *count) {
    struct output output = {.records = records, .items = most, .place = items, .count = count};
    while (output.records > 0 && output.items > 0 && scan->phase != SCAN_COMPLETE &&
           !scan->checkpoint->failed)
        step_phase(scan, &output);
    return scan->phase == SCAN_COMPLETE || scan->checkpoint->failed;
}
