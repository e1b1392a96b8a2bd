/* reference_kv: ranges, puts, deletes, transactions and compactions. Rules: etcd-api.md 1.3 and 1.5. */
#include <inttypes.h>

#include "common/wire.h"
#include "reference_state.h"

static void version_text(struct buffer *out, const struct key *key, const struct version *version,
                         bool keys_only) {
    struct kv kv = reference_kv(key, version);
    if (keys_only)
        kv.value = bytes_of("", 0);
    kv_text(out, &kv);
}

static uint16_t check_revision(const struct view *view, int64_t revision) {
    if (revision <= 0)
        return STATUS_OK;
    if ((uint64_t)revision > view_revision(view))
        return STATUS_FUTURE_REVISION;
    return (uint64_t)revision < view->compacted ? STATUS_COMPACTED : STATUS_OK;
}

static uint16_t do_range(const struct view *view, const struct range_request *range, struct buffer *out) {
    uint16_t status = check_revision(view, range->revision);
    if (status != STATUS_OK)
        return status;
    uint64_t at = range->revision > 0 ? (uint64_t)range->revision : view_revision(view);
    struct buffer kvs = {0};
    uint64_t count = 0;
    for (size_t i = 0; i < view->store->count; i++) {
        const struct key *key = &view->store->keys[i];
        const struct version *version = reference_live(key, at);
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

static bool lease_is_missing(const struct view *view, const struct put_request *put) {
    return put->lease != 0 && reference_lease_at(view->store, put->lease, view->index) == NULL;
}

static uint16_t do_put(struct view *view, const struct put_request *put, struct buffer *out) {
    struct key *key = reference_find_or_add(view->writable, put->key);
    const struct version *last = reference_live(key, view_revision(view));
    if (lease_is_missing(view, put))
        return STATUS_LEASE_NOT_FOUND;
    if (last == NULL && (put->ignore_value || put->ignore_lease))
        return STATUS_KEY_NOT_FOUND;
    buffer_printf(out, "put ");
    if (put->prev_kv && last != NULL)
        version_text(out, key, last, false);
    struct version version = {
        .create = last == NULL ? view->revision + 1 : last->create,
        .version = last == NULL ? 1 : last->version + 1,
        .lease = put->ignore_lease ? last->lease : put->lease,
        .value = reference_copy(put->ignore_value ? last->value : put->value),
    };
    reference_change(view, key, version);
    return STATUS_OK;
}

static uint16_t do_delete(struct view *view, const struct delete_range_request *delete, struct buffer *out) {
    struct buffer previous = {0};
    uint64_t deleted = 0;
    uint64_t at = view_revision(view);
    for (size_t i = 0; i < view->writable->count; i++) {
        struct key *key = &view->writable->keys[i];
        const struct version *version = reference_live(key, at);
        if (version == NULL || !interval_contains(delete->key, delete->range_end, key->name))
            continue;
        deleted++;
        if (delete->prev_kv)
            version_text(&previous, key, version, false);
        reference_change(view, key, (struct version){0});
    }
    buffer_printf(out, "delete deleted=%" PRIu64 " ", deleted);
    buffer_append_bytes(out, buffer_bytes(&previous));
    buffer_free(&previous);
    return STATUS_OK;
}

static uint16_t do_compact(struct view *view, const struct compaction_request *compaction,
                           struct buffer *out) {
    struct reference *reference = view->writable;
    if ((uint64_t)compaction->revision <= view->compacted)
        return STATUS_COMPACTED;
    if ((uint64_t)compaction->revision > view->revision)
        return STATUS_FUTURE_REVISION;
    reference->compactions = reference_grow(reference->compactions, &reference->compaction_capacity,
                                            reference->compaction_count, sizeof *reference->compactions);
    reference->compactions[reference->compaction_count++] =
        (struct compaction){.index = view->index, .revision = (uint64_t)compaction->revision};
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
    if (compare->target == COMPARE_LEASE)
        return number_compares(compare, (uint64_t)version->lease);
    if (compare->target == COMPARE_CREATE)
        return number_compares(compare, version->create);
    return number_compares(compare, version->mod);
}

/* All comparisons, nested ones too, are made before anything is changed. */
static bool compare_holds(const struct view *view, const struct compare *compare) {
    bool any = false;
    for (size_t i = 0; i < view->store->count; i++) {
        const struct key *key = &view->store->keys[i];
        const struct version *version = reference_live(key, view->revision);
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
    buffer_printf(out, "@%" PRIu64, view_revision(view));
    return status;
}

static bool compares_hold(const struct view *view, struct bytes body) {
    bool succeeded = true;
    struct bytes element;
    struct wire_reader reader = wire_reader_of(body);
    while (txn_next(&reader, TXN_COMPARE, &element)) {
        struct compare compare;
        REQUIRE(compare_decode(element, &compare));
        succeeded = succeeded && compare_holds(view, &compare);
    }
    return succeeded;
}

/* What makes a transaction fail as a whole, in the branches that it takes; looked for before it begins. */
static uint16_t check_txn(const struct view *view, struct bytes body) {
    struct bytes element;
    struct wire_reader reader = wire_reader_of(body);
    enum txn_part taken = compares_hold(view, body) ? TXN_SUCCESS : TXN_FAILURE;
    uint16_t status = STATUS_OK;
    while (status == STATUS_OK && txn_next(&reader, taken, &element)) {
        struct request_op op;
        struct put_request put;
        REQUIRE(request_op_decode(element, &op));
        if (op.kind == OP_TXN)
            status = check_txn(view, op.body);
        else if (op.kind == OP_PUT && put_request_decode(op.body, &put) && lease_is_missing(view, &put))
            status = STATUS_LEASE_NOT_FOUND;
    }
    return status;
}

static uint16_t do_txn(struct view *view, struct bytes body, struct buffer *out) {
    bool succeeded = compares_hold(view, body);
    struct bytes element;
    buffer_printf(out, "txn succeeded=%d [", succeeded ? 1 : 0);
    struct wire_reader reader = wire_reader_of(body);
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

uint16_t reference_run_kv(struct view *view, uint16_t method, struct bytes body, struct buffer *out) {
    struct request_op op = {.body = body};
    struct buffer scratch = {0};
    uint16_t status = STATUS_OK;
    if (method == METHOD_TXN) {
        status = check_txn(view, body);
        return status == STATUS_OK ? do_txn(view, body, out) : status;
    }
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
