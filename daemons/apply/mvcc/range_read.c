/* range_read: see range_read.h. Each phase is one function that works until its slice is used up. */
#include "apply/mvcc/range_read.h"

#include "common/status.h"
#include "common/wire.h"

#include "apply/mvcc/message.h"

enum {
    RESPONSE_KVS = 2,
    RESPONSE_MORE = 3,
    RESPONSE_COUNT = 4,
    STREAM_RESPONSE = 1,
    BUDGET_STEP = 256 * 1024
};

bool answer_budget_take(struct answer_budget *budget, size_t bytes) {
    size_t used = atomic_fetch_add(&budget->used, bytes);
    if (used + bytes <= budget->limit)
        return true;
    atomic_fetch_sub(&budget->used, bytes);
    return false;
}

void answer_budget_return(struct answer_budget *budget, size_t bytes) {
    atomic_fetch_sub(&budget->used, bytes);
}

uint16_t range_resolve_revision(const struct view *view, int64_t asked, int64_t *revision) {
    *revision = asked <= 0 ? view->revision : asked;
    if (*revision > view->revision)
        return STATUS_FUTURE_REVISION;
    return *revision < view->compacted ? STATUS_COMPACTED : STATUS_OK;
}

bool range_sort_option_valid(const struct range_request *request) {
    return request->sort_order >= SORT_NONE && request->sort_order <= SORT_DESCEND &&
           request->sort_target >= SORT_BY_KEY && request->sort_target <= SORT_BY_VALUE;
}

static bool has_filters(const struct range_request *request) {
    return request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
           request->min_create_revision != 0 || request->max_create_revision != 0;
}

static bool passes(const struct range_request *request, const struct record *record) {
    int64_t modified = record->modified.main;
    return (request->max_mod_revision == 0 || modified <= request->max_mod_revision) &&
           (request->min_mod_revision == 0 || modified >= request->min_mod_revision) &&
           (request->max_create_revision == 0 || record->create <= request->max_create_revision) &&
           (request->min_create_revision == 0 || record->create >= request->min_create_revision);
}

static bool natural_order(const struct range_request *request) {
    return request->sort_target == SORT_BY_KEY;
}

static bool backward(const struct range_read *read) {
    return natural_order(&read->request) && read->request.sort_order == SORT_DESCEND;
}

static uint16_t check(struct range_read *read) {
    if (!range_sort_option_valid(&read->request))
        return STATUS_INVALID_SORT_OPTION;
    if (read->stream &&
        (read->request.sort_target != SORT_BY_KEY || read->request.sort_order == SORT_DESCEND))
        return STATUS_STREAM_CUSTOM_SORT;
    if (read->stream && has_filters(&read->request))
        return STATUS_STREAM_REVISION_FILTERS;
    return range_resolve_revision(&read->view, read->request.revision, &read->revision);
}

uint16_t range_read_begin(struct range_read *read, const struct view *view,
                          const struct range_request *request, bool stream, struct answer_budget *budget,
                          size_t build_limit) {
    *read = (struct range_read){.view = *view,
                                .request = *request,
                                .interval = {.key = request->key, .range_end = request->range_end},
                                .stream = stream,
                                .budget = budget,
                                .build_limit = build_limit};
    uint16_t status = check(read);
    if (status != STATUS_OK)
        return status;
    if (read->request.limit < 0)
        read->request.limit = 0;
    if (!natural_order(request) && !request->count_only && !interval_is_point(&read->interval)) {
        read->phase = RANGE_SELECT;
        selection_begin(&read->selection, &read->view, read->revision, &read->request,
                        (uint64_t)read->request.limit);
    }
    return STATUS_OK;
}

void range_read_free(struct range_read *read) {
    if (read->budget != NULL)
        answer_budget_return(read->budget, read->reserved);
    read->reserved = 0;
    selection_free(&read->selection);
    buffer_free(&read->position);
    buffer_free(&read->out);
    buffer_free(&read->parts);
}

bool range_read_ready(const struct range_read *read) {
    return read->stream || read->phase == RANGE_EMIT || read->phase == RANGE_FETCH ||
           read->phase == RANGE_COMPLETE;
}

void range_read_sent(struct range_read *read) {
    read->out.length = 0;
    read->parts.length = 0;
    if (read->budget == NULL || read->phase == RANGE_FETCH)
        return; /* the selection stays */
    answer_budget_return(read->budget, read->reserved);
    read->reserved = 0;
}

/* Reserves so that `bytes` are covered. */
static bool reserve(struct range_read *read, size_t bytes) {
    if (read->budget == NULL || bytes <= read->reserved)
        return true;
    size_t more = bytes - read->reserved;
    more = (more + BUDGET_STEP - 1) / BUDGET_STEP * BUDGET_STEP;
    if (!answer_budget_take(read->budget, more))
        return false;
    read->reserved += more;
    return true;
}

/* --- parts of a stream --- */

static void open_part(struct range_read *read) {
    if (read->part_mark != 0)
        return;
    read->part_begin = read->out.length;
    read->part_mark = wire_begin_message(&read->out, STREAM_RESPONSE);
    read->part_keys = 0;
}

static void close_part(struct range_read *read) {
    if (read->part_mark == 0)
        return;
    wire_end_message(&read->out, read->part_mark);
    uint32_t length = (uint32_t)(read->out.length - read->part_begin);
    buffer_append(&read->parts, &length, sizeof length);
    read->part_mark = 0;
    read->first_part_done = true;
}

static void put_stream_item(struct range_read *read, struct bytes key, const struct record *record) {
    open_part(read);
    message_put_key_value(&read->out, RESPONSE_KVS, key, record, read->request.keys_only);
    read->part_keys++;
    bool first_full = !read->first_part_done && read->part_keys == RANGE_FIRST_PART_KEYS;
    if (first_full || read->out.length - read->part_begin >= RANGE_PART_BYTES)
        close_part(read);
}

/* --- the end of an answer --- */

static size_t tail_size(const struct range_read *read) {
    size_t size = read->more ? 2 : 0;
    return size + (read->count != 0 ? 1 + wire_varint_size((uint64_t)read->count) : 0);
}

static void put_tail(struct range_read *read) {
    wire_put_bool(&read->out, RESPONSE_MORE, read->more);
    wire_put_int64(&read->out, RESPONSE_COUNT, read->count);
}

static bool complete(struct range_read *read) {
    if (read->stream)
        open_part(read);
    put_tail(read);
    close_part(read);
    if (read->phase == RANGE_BUILD)
        read->total = read->out.length;
    read->phase = RANGE_COMPLETE;
    return true;
}

static bool fail(struct range_read *read, uint16_t status) {
    read->status = status;
    read->phase = RANGE_COMPLETE;
    return true;
}

/* --- walking in key order --- */

static void restart_walk(struct range_read *read) {
    read->positioned = false;
    read->position.length = 0;
}

/* The answer is too large to be built at once: from here on the walk only sizes it. */
static void begin_sizing(struct range_read *read) {
    read->phase = RANGE_SIZE;
    buffer_free(&read->out);
    if (read->budget != NULL)
        answer_budget_return(read->budget, read->reserved);
    read->reserved = 0;
}

/* An item that belongs into the answer, during the first walk. */
static void take_item(struct range_read *read, struct bytes key, const struct record *record) {
    read->emitted++;
    if (read->stream) {
        put_stream_item(read, key, record);
        return;
    }
    size_t size = message_key_value_size(key, record, read->request.keys_only);
    read->bytes += size;
    if (read->phase == RANGE_BUILD &&
        (read->bytes > read->build_limit || !reserve(read, (size_t)read->bytes)))
        begin_sizing(read);
    if (read->phase == RANGE_BUILD)
        message_put_key_value(&read->out, RESPONSE_KVS, key, record, read->request.keys_only);
}

/* First walk: counts everything, answers what the filters and the limit let through. */
static void visit(struct range_read *read, struct bytes key, const struct record *record) {
    read->count++;
    if (read->request.count_only || !passes(&read->request, record))
        return;
    read->matched++;
    if (read->request.limit != 0 && read->emitted == read->request.limit)
        read->more = true;
    else
        take_item(read, key, record);
}

static bool end_of_first_walk(struct range_read *read) {
    if (read->phase == RANGE_BUILD)
        return complete(read);
    read->phase = RANGE_EMIT;
    read->total = read->bytes + tail_size(read);
    read->matched = read->emitted;
    read->emitted = 0;
    restart_walk(read);
    return false;
}

static void open_walk(struct range_read *read, struct cursor *cursor, uint64_t keys) {
    struct bytes position = buffer_bytes(&read->position);
    if (read->positioned)
        cursor_resume(cursor, &read->view, &read->interval, read->revision, backward(read), position);
    else
        cursor_open(cursor, &read->view, &read->interval, read->revision, backward(read));
    cursor->budget = keys;
    read->allowed = keys;
}

static void close_walk(struct range_read *read, struct cursor *cursor) {
    if (cursor->key.data != NULL) {
        read->position.length = 0;
        buffer_append_bytes(&read->position, cursor->key);
        read->positioned = true;
    }
    read->examined += read->allowed - cursor->budget;
    cursor_close(cursor);
}

static bool slice_full(const struct range_read *read, struct range_slice slice, size_t before) {
    return read->out.length >= before && read->out.length - before >= slice.bytes;
}

/* BUILD and SIZE, and streams. What is only sized was read all the same, and counts like output. */
static bool step_first_walk(struct range_read *read, struct range_slice slice) {
    struct cursor cursor;
    size_t before = read->out.length;
    uint64_t sized = read->bytes;
    enum cursor_step step = CURSOR_PAUSE;
    open_walk(read, &cursor, slice.keys);
    do {
        step = cursor_next(&cursor);
        if (step == CURSOR_ITEM)
            visit(read, cursor.key, &cursor.record);
        if (read->phase != RANGE_BUILD)
            before = 0;
    } while (step == CURSOR_ITEM && !slice_full(read, slice, before) && read->bytes - sized < slice.bytes);
    close_walk(read, &cursor);
    if (step == CURSOR_END)
        return end_of_first_walk(read);
    close_part(read);
    return false;
}

/* EMIT: the same walk again; this time it ends with the last key of the answer. */
static bool step_emit(struct range_read *read, struct range_slice slice) {
    struct cursor cursor;
    open_walk(read, &cursor, slice.keys);
    while (read->emitted < read->matched && !slice_full(read, slice, 0) &&
           cursor_next(&cursor) == CURSOR_ITEM) {
        if (!passes(&read->request, &cursor.record))
            continue;
        message_put_key_value(&read->out, RESPONSE_KVS, cursor.key, &cursor.record, read->request.keys_only);
        read->emitted++;
    }
    close_walk(read, &cursor);
    return read->emitted == read->matched && complete(read);
}

/* --- sorted by something else than the key --- */

/*
 * etcd asks its store for only limit + 1 keys when no order is given, even with a sort target, and sorts
 * those.
 */
static bool is_candidate(const struct range_read *read) {
    const struct range_request *request = &read->request;
    bool pushed_down = request->sort_order == SORT_NONE && request->limit != 0 && !has_filters(request);
    return !pushed_down || read->matched <= request->limit + 1;
}

static bool select_item(struct range_read *read, struct bytes key, const struct record *record) {
    read->count++;
    if (!passes(&read->request, record))
        return true;
    read->matched++;
    if (!is_candidate(read))
        return true;
    if (!reserve(read, selection_bytes_to_add(&read->selection, key)))
        return false;
    selection_add(&read->selection, key, record,
                  (uint32_t)message_key_value_size(key, record, read->request.keys_only));
    return true;
}

static bool step_select(struct range_read *read, struct range_slice slice) {
    struct cursor cursor;
    enum cursor_step step = CURSOR_PAUSE;
    bool fits = true;
    read->selection.view = &read->view;
    open_walk(read, &cursor, slice.keys);
    while (fits && (step = cursor_next(&cursor)) == CURSOR_ITEM)
        fits = select_item(read, cursor.key, &cursor.record);
    close_walk(read, &cursor);
    if (!fits)
        return fail(read, STATUS_TOO_MANY_REQUESTS);
    if (step == CURSOR_END) {
        read->more = read->request.limit != 0 && read->matched > read->request.limit;
        read->phase = RANGE_ORDER;
    }
    return false;
}

static bool step_order(struct range_read *read, struct range_slice slice) {
    read->selection.view = &read->view;
    if (!selection_order(&read->selection, &slice.keys))
        return false;
    for (size_t i = 0; i < read->selection.count; i++)
        read->bytes += read->selection.entries[i].size;
    read->total = read->bytes + tail_size(read);
    read->phase = RANGE_FETCH;
    return false;
}

static bool step_fetch(struct range_read *read, struct range_slice slice) {
    struct found found;
    for (; slice.keys > 0 && read->fetch_at < read->selection.count && !slice_full(read, slice, 0);
         slice.keys--) {
        struct bytes key = selected_key(&read->selection.entries[read->fetch_at++]);
        uint64_t examined = 0;
        if (view_get(&read->view, key, read->revision, &found, &examined))
            message_put_key_value(&read->out, RESPONSE_KVS, key, &found.record, read->request.keys_only);
        else
            REQUIRE(read->view.missing != 0);
        view_release(&read->view, &found);
    }
    return read->fetch_at == read->selection.count && complete(read);
}

/* --- one key: never larger than a request, so always built, whatever the budget says --- */

static bool step_point(struct range_read *read) {
    struct found found;
    uint64_t examined = 0;
    if (view_get(&read->view, read->request.key, read->revision, &found, &examined)) {
        struct answer_budget *budget = read->budget;
        read->budget = NULL;
        read->build_limit = SIZE_MAX;
        visit(read, read->request.key, &found.record);
        read->budget = budget;
    }
    view_release(&read->view, &found);
    return end_of_first_walk(read);
}

static bool step_once(struct range_read *read, struct range_slice slice) {
    switch (read->phase) {
    case RANGE_BUILD:
        if (interval_is_point(&read->interval))
            return step_point(read);
        return step_first_walk(read, slice);
    case RANGE_SIZE:
        return step_first_walk(read, slice);
    case RANGE_EMIT:
        return step_emit(read, slice);
    case RANGE_SELECT:
        return step_select(read, slice);
    case RANGE_ORDER:
        return step_order(read, slice);
    case RANGE_FETCH:
        return step_fetch(read, slice);
    default:
        return true;
    }
}

bool range_read_step(struct range_read *read, struct range_slice slice) {
    enum range_phase before = read->phase;
    bool done = step_once(read, slice);
    while (!done && read->phase != before && read->phase != RANGE_SIZE && read->out.length == 0) {
        before = read->phase;
        done = step_once(read, slice);
    }
    return read->view.missing == 0 ? done : fail(read, STATUS_COMPACTED);
}
