/*
 * reference: see reference.h. Rules: etcd-api.md 1.3 and 1.5. A key's versions are an array; the state at a
 * revision is, for each key, its last version at or below it.
 */
#include "reference.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/request.h"
#include "common/status.h"
#include "common/wire.h"

struct version {
    uint64_t mod, create, version; /* version 0: deleted */
    struct bytes value;            /* owned */
};

struct key {
    struct bytes name; /* owned */
    struct version *versions;
    size_t count, capacity;
};

struct reference {
    struct key *keys; /* in order of name */
    size_t count, capacity;
    uint64_t revision, compacted;
};

/* Where a request is executed: reads see `revision`; in a write, the changes made so far are at revision + 1.
 */
struct view {
    const struct reference *store;
    struct reference *writable; /* NULL: read only */
    uint64_t revision;          /* before the request */
    bool changed;
};

static uint64_t visible(const struct view *view) {
    return view->revision + (view->changed ? 1 : 0);
}

struct reference *reference_new(void) {
    struct reference *reference = must_zalloc(sizeof *reference);
    reference->revision = 1;
    return reference;
}

static struct bytes copy_bytes(struct bytes bytes) {
    uint8_t *data = must_alloc(bytes.length + 1);
    if (bytes.length > 0)
        memcpy(data, bytes.data, bytes.length);
    return bytes_of(data, bytes.length);
}

void reference_free(struct reference *reference) {
    for (size_t i = 0; i < reference->count; i++) {
        for (size_t j = 0; j < reference->keys[i].count; j++)
            free((void *)reference->keys[i].versions[j].value.data);
        free(reference->keys[i].versions);
        free((void *)reference->keys[i].name.data);
    }
    free(reference->keys);
    free(reference);
}

uint64_t reference_revision(const struct reference *reference) {
    return reference->revision;
}

static struct key *find_or_add(struct reference *reference, struct bytes name) {
    size_t at = 0;
    while (at < reference->count && bytes_compare(reference->keys[at].name, name) < 0)
        at++;
    if (at < reference->count && bytes_equal(reference->keys[at].name, name))
        return &reference->keys[at];
    if (reference->count == reference->capacity) {
        reference->capacity = reference->capacity == 0 ? 16 : reference->capacity * 2;
        reference->keys = must_realloc(reference->keys, reference->capacity * sizeof *reference->keys);
    }
    memmove(&reference->keys[at + 1], &reference->keys[at],
            (reference->count - at) * sizeof *reference->keys);
    reference->count++;
    reference->keys[at] = (struct key){.name = copy_bytes(name)};
    return &reference->keys[at];
}

/* The key's live version at a revision, or NULL. */
static const struct version *live_at(const struct key *key, uint64_t revision) {
    for (size_t i = key->count; i > 0; i--) {
        if (key->versions[i - 1].mod <= revision)
            return key->versions[i - 1].version > 0 ? &key->versions[i - 1] : NULL;
    }
    return NULL;
}

static void add_version(struct key *key, struct version version) {
    if (key->count == key->capacity) {
        key->capacity = key->capacity == 0 ? 8 : key->capacity * 2;
        key->versions = must_realloc(key->versions, key->capacity * sizeof *key->versions);
    }
    key->versions[key->count++] = version;
}

static void kv_text(struct buffer *out, struct bytes key, struct bytes value, uint64_t create, uint64_t mod,
                    uint64_t version) {
    buffer_printf(out, "{%.*s=%.*s %" PRIu64 "/%" PRIu64 "/%" PRIu64 "}", (int)key.length,
                  (const char *)key.data, (int)value.length, (const char *)value.data, create, mod, version);
}

static void version_text(struct buffer *out, const struct key *key, const struct version *version,
                         bool keys_only) {
    struct bytes value = keys_only ? bytes_of("", 0) : version->value;
    kv_text(out, key->name, value, version->create, version->mod, version->version);
}

/* --- the requests --- */

static uint16_t check_revision(const struct view *view, int64_t revision) {
    if (revision <= 0)
        return STATUS_OK;
    if ((uint64_t)revision > visible(view))
        return STATUS_FUTURE_REVISION;
    return (uint64_t)revision < view->store->compacted ? STATUS_COMPACTED : STATUS_OK;
}

static uint16_t do_range(const struct view *view, const struct range_request *range, struct buffer *out) {
    uint16_t status = check_revision(view, range->revision);
    if (status != STATUS_OK)
        return status;
    uint64_t at = range->revision > 0 ? (uint64_t)range->revision : visible(view);
    struct buffer kvs = {0};
    uint64_t count = 0;
    for (size_t i = 0; i < view->store->count; i++) {
        const struct key *key = &view->store->keys[i];
        const struct version *version = live_at(key, at);
        if (version == NULL || !interval_contains(range->key, range->range_end, key->name))
            continue;
        count++;
        if (!range->count_only && (range->limit <= 0 || count <= (uint64_t)range->limit))
            version_text(&kvs, key, version, range->keys_only);
    }
    bool more = !range->count_only && range->limit > 0 && count > (uint64_t)range->limit;
    buffer_printf(out, "range count=%" PRIu64 " more=%d ", count, more ? 1 : 0);
    buffer_append_bytes(out, buffer_bytes(&kvs));
    buffer_free(&kvs);
    return STATUS_OK;
}

static uint16_t do_put(struct view *view, const struct put_request *put, struct buffer *out) {
    struct key *key = find_or_add(view->writable, put->key);
    const struct version *last = live_at(key, visible(view));
    if (last == NULL && (put->ignore_value || put->ignore_lease))
        return STATUS_KEY_NOT_FOUND;
    buffer_printf(out, "put ");
    if (put->prev_kv && last != NULL)
        version_text(out, key, last, false);
    uint64_t mod = view->revision + 1;
    struct version version = {
        .mod = mod,
        .create = last == NULL ? mod : last->create,
        .version = last == NULL ? 1 : last->version + 1,
        .value = copy_bytes(put->ignore_value ? last->value : put->value),
    };
    add_version(key, version);
    view->changed = true;
    return STATUS_OK;
}

static uint16_t do_delete(struct view *view, const struct delete_range_request *delete, struct buffer *out) {
    struct buffer previous = {0};
    uint64_t deleted = 0;
    uint64_t at = visible(view);
    for (size_t i = 0; i < view->writable->count; i++) {
        struct key *key = &view->writable->keys[i];
        const struct version *version = live_at(key, at);
        if (version == NULL || !interval_contains(delete->key, delete->range_end, key->name))
            continue;
        deleted++;
        if (delete->prev_kv)
            version_text(&previous, key, version, false);
        add_version(key, (struct version){.mod = view->revision + 1});
    }
    view->changed = view->changed || deleted > 0;
    buffer_printf(out, "delete deleted=%" PRIu64 " ", deleted);
    buffer_append_bytes(out, buffer_bytes(&previous));
    buffer_free(&previous);
    return STATUS_OK;
}

static uint16_t do_compact(struct view *view, const struct compaction_request *compaction,
                           struct buffer *out) {
    if ((uint64_t)compaction->revision <= view->store->compacted)
        return STATUS_COMPACTED;
    if ((uint64_t)compaction->revision > view->revision)
        return STATUS_FUTURE_REVISION;
    view->writable->compacted = (uint64_t)compaction->revision;
    buffer_printf(out, "compact ");
    return STATUS_OK;
}

static bool number_compares(const struct compare *compare, uint64_t number) {
    int64_t actual = (int64_t)number, operand = compare->number;
    switch (compare->result) {
    case COMPARE_EQUAL:
        return actual == operand;
    case COMPARE_GREATER:
        return actual > operand;
    case COMPARE_LESS:
        return actual < operand;
    default:
        return actual != operand;
    }
}

static bool value_compares(const struct compare *compare, struct bytes actual) {
    int order = bytes_compare(actual, compare->value);
    switch (compare->result) {
    case COMPARE_EQUAL:
        return order == 0;
    case COMPARE_GREATER:
        return order > 0;
    case COMPARE_LESS:
        return order < 0;
    default:
        return order != 0;
    }
}

static bool compare_one(const struct compare *compare, const struct version *version) {
    static const struct version none;
    if (compare->target == COMPARE_VALUE)
        return version != NULL && value_compares(compare, version->value);
    version = version == NULL ? &none : version;
    if (compare->target == COMPARE_VERSION)
        return number_compares(compare, version->version);
    if (compare->target == COMPARE_CREATE)
        return number_compares(compare, version->create);
    return number_compares(compare, version->mod);
}

/* All comparisons, nested ones too, are made before anything is changed. */
static bool compare_holds(const struct view *view, const struct compare *compare) {
    bool any = false;
    for (size_t i = 0; i < view->store->count; i++) {
        const struct key *key = &view->store->keys[i];
        const struct version *version = live_at(key, view->revision);
        if (version == NULL || !interval_contains(compare->key, compare->range_end, key->name))
            continue;
        any = true;
        if (!compare_one(compare, version))
            return false;
    }
    return any || compare_one(compare, NULL);
}

static uint16_t do_txn(struct view *view, struct bytes body, struct buffer *out);

static uint16_t do_op(struct view *view, const struct request_op *op, struct buffer *out) {
    struct range_request range;
    struct put_request put;
    struct delete_range_request delete;
    uint16_t status = STATUS_OK;
    switch (op->kind) {
    case OP_RANGE:
        REQUIRE(range_request_decode(op->body, &range));
        status = do_range(view, &range, out);
        break;
    case OP_PUT:
        REQUIRE(put_request_decode(op->body, &put));
        status = do_put(view, &put, out);
        break;
    case OP_DELETE_RANGE:
        REQUIRE(delete_range_request_decode(op->body, &delete));
        status = do_delete(view, &delete, out);
        break;
    default:
        return do_txn(view, op->body, out);
    }
    buffer_printf(out, "@%" PRIu64, visible(view));
    return status;
}

static uint16_t do_txn(struct view *view, struct bytes body, struct buffer *out) {
    bool succeeded = true;
    struct bytes element;
    struct wire_reader reader = wire_reader_of(body);
    while (txn_next(&reader, TXN_COMPARE, &element)) {
        struct compare compare;
        REQUIRE(compare_decode(element, &compare));
        succeeded = succeeded && compare_holds(view, &compare);
    }
    buffer_printf(out, "txn succeeded=%d [", succeeded ? 1 : 0);
    reader = wire_reader_of(body);
    while (txn_next(&reader, succeeded ? TXN_SUCCESS : TXN_FAILURE, &element)) {
        struct request_op op;
        REQUIRE(request_op_decode(element, &op));
        uint16_t status = do_op(view, &op, out);
        if (status != STATUS_OK)
            return status;
        buffer_printf(out, ";");
    }
    buffer_printf(out, "]");
    return STATUS_OK;
}

static uint16_t dispatch(struct view *view, uint16_t method, struct bytes body, struct buffer *out) {
    struct request_op op = {.body = body};
    struct buffer scratch = {0};
    uint16_t status = STATUS_OK;
    if (method == METHOD_TXN)
        return do_txn(view, body, out);
    if (method == METHOD_COMPACT) {
        struct compaction_request compaction;
        REQUIRE(compaction_request_decode(body, &compaction));
        return do_compact(view, &compaction, out);
    }
    op.kind = method == METHOD_PUT ? OP_PUT : method == METHOD_DELETE_RANGE ? OP_DELETE_RANGE : OP_RANGE;
    status = do_op(view, &op, &scratch);
    /* Only answers inside a transaction carry a revision of their own. */
    size_t length = scratch.length;
    while (length > 0 && scratch.data[length - 1] != '@')
        length--;
    if (status == STATUS_OK)
        buffer_append(out, scratch.data, length - 1);
    buffer_free(&scratch);
    return status;
}

void reference_execute(struct reference *reference, uint16_t method, struct bytes body, struct outcome *out) {
    struct view view = {.store = reference, .writable = reference, .revision = reference->revision};
    *out = (struct outcome){0};
    out->status = dispatch(&view, method, body, &out->text);
    if (out->status != STATUS_OK)
        buffer_reset(&out->text, 0);
    reference->revision = visible(&view);
    out->revision = reference->revision;
}

void reference_read(const struct reference *reference, uint16_t method, struct bytes body, uint64_t revision,
                    struct outcome *out) {
    struct view view = {.store = reference, .revision = revision};
    *out = (struct outcome){.revision = revision};
    out->status = dispatch(&view, method, body, &out->text);
    if (out->status != STATUS_OK)
        buffer_reset(&out->text, 0);
}
