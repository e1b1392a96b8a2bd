/* selection: see selection.h. A binary heap whose root is the entry that comes last in the answer. */
#include "apply/mvcc/selection.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 64, ALLOCATION_HEAD = 16 };

void selection_begin(struct selection *selection, struct view *view, int64_t revision,
                     const struct range_request *request, uint64_t limit) {
    *selection = (struct selection){.view = view,
                                    .revision = revision,
                                    .target = request->sort_target,
                                    .descending = request->sort_order == SORT_DESCEND,
                                    .limit = limit};
}

void selection_free(struct selection *selection) {
    for (size_t i = 0; i < selection->count; i++)
        free(selection->entries[i].key);
    free(selection->entries);
    selection->entries = NULL;
    selection->count = selection->capacity = selection->key_bytes = 0;
}

static uint64_t value_prefix(struct bytes value) {
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++)
        prefix = prefix << 8 | (i < value.length ? value.data[i] : 0);
    return prefix;
}

static uint64_t attribute_of(const struct selection *selection, const struct record *record) {
    switch (selection->target) {
    case SORT_BY_VERSION:
        return (uint64_t)record->version;
    case SORT_BY_CREATE:
        return (uint64_t)record->create;
    case SORT_BY_MOD:
        return (uint64_t)record->modified.main;
    default:
        return value_prefix(record->value);
    }
}

static int compare_values(const struct selection *selection, const struct selected *a,
                          const struct selected *b) {
    struct found left;
    struct found right;
    uint64_t examined = 0;
    int order = 0;
    bool both = view_get(selection->view, selected_key(a), selection->revision, &left, &examined);
    both = view_get(selection->view, selected_key(b), selection->revision, &right, &examined) && both;
    if (both)
        order = bytes_compare(left.record.value, right.record.value);
    view_release(selection->view, &left);
    view_release(selection->view, &right);
    return order;
}

/* Order in the answer: <0 when a comes before b. Never 0 for different entries. */
static int compare(const struct selection *selection, const struct selected *a, const struct selected *b) {
    int order = a->attribute < b->attribute ? -1 : a->attribute > b->attribute;
    if (order == 0 && selection->target == SORT_BY_VALUE)
        order = compare_values(selection, a, b);
    if (selection->descending)
        order = -order;
    if (order == 0)
        order = a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
    return order;
}

static void sift_down(struct selection *selection, size_t at, size_t count) {
    struct selected *entries = selection->entries;
    struct selected moving = entries[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && compare(selection, &entries[child], &entries[child + 1]) < 0)
            child++;
        if (compare(selection, &moving, &entries[child]) >= 0)
            break;
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = moving;
}

static bool full(const struct selection *selection) {
    return selection->limit != 0 && selection->count == selection->limit;
}

static size_t next_capacity(const struct selection *selection) {
    return selection->capacity == 0 ? FIRST_CAPACITY : selection->capacity * 2;
}

size_t selection_bytes_to_add(const struct selection *selection, struct bytes key) {
    bool grows = !full(selection) && selection->count == selection->capacity;
    return (grows ? next_capacity(selection) : selection->capacity) * sizeof(struct selected) +
           selection->key_bytes + key.length + ALLOCATION_HEAD;
}

static void copy_key(struct selection *selection, struct selected *entry, struct bytes key) {
    entry->key = must_alloc(key.length + 1);
    if (key.length != 0)
        memcpy(entry->key, key.data, key.length);
    selection->key_bytes += key.length + ALLOCATION_HEAD;
}

static void drop_key(struct selection *selection, struct selected *entry) {
    selection->key_bytes -= entry->key_length + ALLOCATION_HEAD;
    free(entry->key);
}

static void build_heap(struct selection *selection) {
    for (size_t at = selection->count / 2; at-- > 0;)
        sift_down(selection, at, selection->count);
    selection->heap = true;
}

static void append(struct selection *selection, const struct selected *entry) {
    if (selection->count == selection->capacity) {
        selection->capacity = next_capacity(selection);
        selection->entries = must_realloc(selection->entries, selection->capacity * sizeof(struct selected));
    }
    selection->entries[selection->count++] = *entry;
}

void selection_add(struct selection *selection, struct bytes key, const struct record *record,
                   uint32_t size) {
    struct selected entry = {.attribute = attribute_of(selection, record),
                             .key_length = (uint32_t)key.length,
                             .ordinal = selection->seen++,
                             .size = size};
    copy_key(selection, &entry, key);
    if (!full(selection)) {
        append(selection, &entry);
        return;
    }
    if (!selection->heap)
        build_heap(selection);
    struct selected *worst = &selection->entries[0];
    if (compare(selection, &entry, worst) >= 0) {
        drop_key(selection, &entry);
        return;
    }
    drop_key(selection, worst);
    *worst = entry;
    sift_down(selection, 0, selection->count);
}

static void begin_ordering(struct selection *selection) {
    selection->ordering = true;
    selection->sift_at = selection->heap ? 0 : selection->count / 2;
    selection->unordered = selection->count;
}

bool selection_order(struct selection *selection, uint64_t *budget) {
    if (!selection->ordering)
        begin_ordering(selection);
    for (; selection->sift_at > 0; --*budget) {
        if (*budget == 0)
            return false;
        sift_down(selection, --selection->sift_at, selection->count);
    }
    for (; selection->unordered > 1; --*budget) {
        if (*budget == 0)
            return false;
        size_t last = --selection->unordered;
        struct selected root = selection->entries[0];
        selection->entries[0] = selection->entries[last];
        selection->entries[last] = root;
        sift_down(selection, 0, last);
    }
    return true;
}
