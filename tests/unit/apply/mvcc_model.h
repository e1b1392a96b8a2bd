/*
 * mvcc_model: what etcd's semantics say, written as plainly as possible, to check mvcc/ against: an array of
 * all versions ever written, searched from end to end. Requests are messages; answers are encoded bodies.
 */
#ifndef QUORATE_TESTS_UNIT_APPLY_MVCC_MODEL_H
#define QUORATE_TESTS_UNIT_APPLY_MVCC_MODEL_H

#include "common/request.h"
#include "common/status.h"
#include "common/wire.h"

enum { MODEL_VERSIONS = 200000, MODEL_LEASES = 16 };

struct version {
    struct bytes key, value; /* owned by the arena */
    int64_t main, create, version, lease;
    bool tombstone;
};

struct model {
    struct arena arena;
    struct version *versions;
    size_t count;
    int64_t revision, compacted;
    struct {
        int64_t id, ttl, remaining; /* id 0: none */
    } leases[MODEL_LEASES];
};

static inline void model_init(struct model *model) {
    *model = (struct model){.revision = 1, .compacted = -1};
    model->versions = must_alloc(MODEL_VERSIONS * sizeof *model->versions);
}

/* Newest version of the key at the revision; NULL: none, or deleted. */
static inline const struct version *model_at(const struct model *model, struct bytes key, int64_t revision) {
    for (size_t i = model->count; i-- > 0;) {
        const struct version *version = &model->versions[i];
        if (version->main <= revision && bytes_equal(version->key, key))
            return version->tombstone ? NULL : version;
    }
    return NULL;
}

static inline int model_by_key(const void *left, const void *right) {
    const struct version *const *a = left;
    const struct version *const *b = right;
    return bytes_compare((*a)->key, (*b)->key);
}

/* All live versions in the interval, in key order. */
static inline size_t model_scan(const struct model *model, struct bytes key, struct bytes end,
                                int64_t revision, const struct version **found) {
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        const struct version *version = &model->versions[i];
        if (interval_contains(key, end, version->key) && model_at(model, version->key, revision) == version)
            found[count++] = version;
    }
    qsort(found, count, sizeof(struct version *), model_by_key);
    return count;
}

static inline void model_encode(struct buffer *out, uint32_t number, const struct version *version,
                                bool keys_only) {
    size_t message = wire_begin_message(out, number);
    wire_put_bytes(out, 1, version->key);
    wire_put_int64(out, 2, version->create);
    wire_put_int64(out, 3, version->main);
    wire_put_int64(out, 4, version->version);
    if (!keys_only)
        wire_put_bytes(out, 5, version->value);
    wire_put_int64(out, 6, version->lease);
    wire_end_message(out, message);
}

static inline int model_order(const struct version *a, const struct version *b, int32_t target) {
    switch (target) {
    case SORT_BY_KEY:
        return bytes_compare(a->key, b->key);
    case SORT_BY_VERSION:
        return (a->version > b->version) - (a->version < b->version);
    case SORT_BY_CREATE:
        return (a->create > b->create) - (a->create < b->create);
    case SORT_BY_MOD:
        return (a->main > b->main) - (a->main < b->main);
    default:
        return bytes_compare(a->value, b->value);
    }
}

/* Stable. */
static inline void model_sort(const struct version **found, size_t count, int32_t target, int32_t order) {
    int sign = order == SORT_DESCEND ? -1 : 1;
    for (size_t i = 1; i < count; i++) {
        const struct version *moving = found[i];
        size_t at = i;
        for (; at > 0 && sign * model_order(moving, found[at - 1], target) < 0; at--)
            found[at] = found[at - 1];
        found[at] = moving;
    }
}

static inline bool model_passes(const struct range_request *request, const struct version *version) {
    return !((request->min_mod_revision && version->main < request->min_mod_revision) ||
             (request->max_mod_revision && version->main > request->max_mod_revision) ||
             (request->min_create_revision && version->create < request->min_create_revision) ||
             (request->max_create_revision && version->create > request->max_create_revision));
}

/* `current`: the newest revision the reader may see. */
static inline uint16_t model_range(const struct model *model, const struct range_request *request,
                                   int64_t current, struct buffer *out) {
    static const struct version *found[MODEL_VERSIONS];
    int64_t revision = request->revision <= 0 ? current : request->revision;
    if (revision > current)
        return STATUS_FUTURE_REVISION;
    if (revision < model->compacted)
        return STATUS_COMPACTED;
    size_t total = model_scan(model, request->key, request->range_end, revision, found);
    size_t count = 0;
    bool filters = request->min_mod_revision || request->max_mod_revision || request->min_create_revision ||
                   request->max_create_revision;
    size_t limit = request->limit > 0 ? (size_t)request->limit : SIZE_MAX;
    for (size_t i = 0; i < total; i++) {
        if (model_passes(request, found[i]))
            found[count++] = found[i];
    }
    if (request->sort_order == SORT_NONE && !filters && limit != SIZE_MAX && count > limit + 1)
        count = limit + 1;
    if (request->sort_order != SORT_NONE || request->sort_target != SORT_BY_KEY)
        model_sort(found, count, request->sort_target, request->sort_order);
    bool more = count > limit && !request->count_only;
    if (count > limit)
        count = limit;
    for (size_t i = 0; i < count && !request->count_only; i++)
        model_encode(out, 2, found[i], request->keys_only);
    wire_put_bool(out, 3, more);
    wire_put_int64(out, 4, (int64_t)total);
    return STATUS_OK;
}

static inline void model_write(struct model *model, struct bytes key, struct bytes value, int64_t lease,
                               bool tombstone) {
    int64_t main = model->revision + 1;
    const struct version *older = model_at(model, key, main);
    struct version version = {.key = arena_copy(&model->arena, key),
                              .value = arena_copy(&model->arena, value),
                              .main = main,
                              .lease = lease,
                              .create = tombstone ? 0 : (older != NULL ? older->create : main),
                              .version = tombstone ? 0 : (older != NULL ? older->version + 1 : 1),
                              .tombstone = tombstone};
    REQUIRE(model->count < MODEL_VERSIONS);
    model->versions[model->count++] = version;
}

/* Index of the lease with this id (0: of a free place); MODEL_LEASES: there is none. */
static inline size_t model_lease(const struct model *model, int64_t id) {
    size_t at = 0;
    while (at < MODEL_LEASES && model->leases[at].id != id)
        at++;
    return at;
}

static inline uint16_t model_check_put(const struct model *model, const struct put_request *request,
                                       bool txn) {
    bool missing = (request->ignore_value || request->ignore_lease) &&
                   model_at(model, request->key, model->revision) == NULL;
    bool unknown = request->lease != 0 && model_lease(model, request->lease) == MODEL_LEASES;
    if (missing && (txn || !unknown))
        return STATUS_KEY_NOT_FOUND;
    return unknown ? STATUS_LEASE_NOT_FOUND : STATUS_OK;
}

static inline void model_put(struct model *model, const struct put_request *request, struct buffer *out) {
    const struct version *older = model_at(model, request->key, model->revision + 1);
    if (older != NULL && request->prev_kv)
        model_encode(out, 2, older, false);
    model_write(model, request->key, request->ignore_value && older != NULL ? older->value : request->value,
                request->ignore_lease && older != NULL ? older->lease : request->lease, false);
}

/* Returns how many. */
static inline size_t model_delete(struct model *model, const struct delete_range_request *request,
                                  struct buffer *out) {
    static const struct version *found[MODEL_VERSIONS];
    size_t count = model_scan(model, request->key, request->range_end, model->revision + 1, found);
    wire_put_int64(out, 2, (int64_t)count);
    for (size_t i = 0; i < count && request->prev_kv; i++)
        model_encode(out, 3, found[i], false);
    for (size_t i = 0; i < count; i++)
        model_write(model, found[i]->key, (struct bytes){0}, 0, true);
    return count;
}

static inline bool model_compare_one(const struct compare *compare, const struct version *version) {
    static const struct version none;
    const struct version *with = version == NULL ? &none : version;
    int64_t number = compare->number;
    int64_t mine = 0;
    int order = 0;
    switch (compare->target) {
    case COMPARE_VERSION:
        mine = with->version;
        break;
    case COMPARE_CREATE:
        mine = with->create;
        break;
    case COMPARE_MOD:
        mine = with->main;
        break;
    case COMPARE_LEASE:
        mine = with->lease;
        break;
    default:
        break;
    }
    if (compare->target == COMPARE_VALUE && version == NULL)
        return false;
    order = compare->target == COMPARE_VALUE ? bytes_compare(with->value, compare->value)
                                             : (mine > number) - (mine < number);
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

static inline bool model_compare(const struct model *model, const struct compare *compare) {
    static const struct version *found[MODEL_VERSIONS];
    size_t count = model_scan(model, compare->key, compare->range_end, model->revision, found);
    for (size_t i = 0; i < count; i++) {
        if (!model_compare_one(compare, found[i]))
            return false;
    }
    return count > 0 || model_compare_one(compare, NULL);
}

static inline void model_path(const struct model *model, struct bytes message, struct buffer *path) {
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    bool holds = true;
    while (txn_next(&reader, TXN_COMPARE, &element)) {
        struct compare compare;
        REQUIRE(compare_decode(element, &compare));
        holds = holds && model_compare(model, &compare);
    }
    buffer_append_byte(path, holds);
    reader = wire_reader_of(message);
    while (txn_next(&reader, holds ? TXN_SUCCESS : TXN_FAILURE, &element)) {
        struct request_op op;
        REQUIRE(request_op_decode(element, &op));
        if (op.kind == OP_TXN)
            model_path(model, op.body, path);
    }
}

static inline uint16_t model_check(const struct model *model, struct bytes message, const uint8_t **path,
                                   enum request_op_kind kind) {
    enum txn_part part = *(*path)++ ? TXN_SUCCESS : TXN_FAILURE;
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    while (txn_next(&reader, part, &element)) {
        struct request_op op;
        struct put_request put;
        struct range_request range;
        uint16_t status = STATUS_OK;
        REQUIRE(request_op_decode(element, &op));
        if (op.kind == OP_TXN)
            status = model_check(model, op.body, path, kind);
        else if (op.kind == kind && kind == OP_PUT && put_request_decode(op.body, &put))
            status = model_check_put(model, &put, true);
        else if (op.kind == kind && kind == OP_RANGE && range_request_decode(op.body, &range) &&
                 range.revision != 0)
            status = range.revision > model->revision    ? STATUS_FUTURE_REVISION
                     : range.revision < model->compacted ? STATUS_COMPACTED
                                                         : STATUS_OK;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static inline void model_header(struct buffer *out, int64_t revision) {
    size_t header = wire_begin_message(out, 1);
    wire_put_int64(out, 3, revision);
    wire_end_message(out, header);
}

static inline void model_run(struct model *model, struct bytes message, const uint8_t **path, bool *changed,
                             struct buffer *out) {
    bool holds = *(*path)++;
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    wire_put_bool(out, 2, holds);
    while (txn_next(&reader, holds ? TXN_SUCCESS : TXN_FAILURE, &element)) {
        struct request_op op;
        struct put_request put;
        struct range_request range;
        struct delete_range_request delete;
        struct buffer body = {0};
        REQUIRE(request_op_decode(element, &op));
        size_t response = wire_begin_message(out, 3);
        size_t kind = wire_begin_message(out, op.kind);
        if (op.kind == OP_RANGE && range_request_decode(op.body, &range)) {
            model_header(out, model->revision + *changed);
            REQUIRE(model_range(model, &range, model->revision + *changed, out) == STATUS_OK);
        } else if (op.kind == OP_PUT && put_request_decode(op.body, &put)) {
            model_header(out, model->revision + 1);
            model_put(model, &put, out);
            *changed = true;
        } else if (op.kind == OP_DELETE_RANGE && delete_range_request_decode(op.body, &delete)) {
            *changed |= model_delete(model, &delete, &body) > 0;
            model_header(out, model->revision + *changed);
            buffer_append_bytes(out, buffer_bytes(&body));
        } else {
            wire_put_bytes_always(out, 1, (struct bytes){0});
            model_run(model, op.body, path, changed, out);
        }
        wire_end_message(out, kind);
        wire_end_message(out, response);
        buffer_free(&body);
    }
}

static inline uint16_t model_txn(struct model *model, struct bytes message, bool *changed,
                                 struct buffer *out) {
    struct buffer path = {0};
    model_path(model, message, &path);
    const uint8_t *at = path.data;
    uint16_t status = model_check(model, message, &at, OP_PUT);
    at = path.data;
    if (status == STATUS_OK)
        status = model_check(model, message, &at, OP_RANGE);
    at = path.data;
    if (status == STATUS_OK)
        model_run(model, message, &at, changed, out);
    buffer_free(&path);
    return status;
}

static inline uint16_t model_compact(struct model *model, const struct compaction_request *request) {
    if (request->revision <= model->compacted)
        return STATUS_COMPACTED;
    if (request->revision > model->revision)
        return STATUS_FUTURE_REVISION;
    model->compacted = request->revision;
    return STATUS_OK;
}

static inline uint16_t model_grant(struct model *model, const struct lease_request *request,
                                   struct buffer *out) {
    size_t at = model_lease(model, 0);
    if (request->id == 0)
        return STATUS_LEASE_NOT_FOUND;
    if (model_lease(model, request->id) < MODEL_LEASES)
        return STATUS_LEASE_EXISTS;
    REQUIRE(at < MODEL_LEASES);
    model->leases[at].id = request->id;
    model->leases[at].ttl = request->ttl > 0 ? request->ttl : 1;
    model->leases[at].remaining = 0;
    wire_put_int64(out, 2, request->id);
    wire_put_int64(out, 3, model->leases[at].ttl);
    return STATUS_OK;
}

static inline uint16_t model_revoke(struct model *model, int64_t id, bool *changed) {
    static const struct version *found[MODEL_VERSIONS];
    size_t at = model_lease(model, id);
    if (id == 0 || at == MODEL_LEASES)
        return STATUS_LEASE_NOT_FOUND;
    size_t count = model_scan(model, (struct bytes){0}, bytes_of("", 1), model->revision, found);
    for (size_t i = 0; i < count; i++) {
        if (found[i]->lease == id) {
            model_write(model, found[i]->key, (struct bytes){0}, 0, true);
            *changed = true;
        }
    }
    model->leases[at].id = 0;
    return STATUS_OK;
}

static inline uint16_t model_checkpoint(struct model *model, struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct lease_checkpoint checkpoint;
    while (lease_checkpoint_next(&reader, &checkpoint)) {
        size_t at = model_lease(model, checkpoint.id);
        if (checkpoint.id == 0 || at == MODEL_LEASES)
            continue;
        int64_t ttl = model->leases[at].ttl;
        model->leases[at].remaining = checkpoint.remaining < ttl ? checkpoint.remaining : ttl;
    }
    return STATUS_OK;
}

/* Runs one InternalRaftRequest; the body is appended on OK. */
static inline uint16_t model_execute(struct model *model, const struct internal_request *request,
                                     struct buffer *out) {
    bool changed = false;
    uint16_t status = STATUS_UNDECODABLE;
    struct put_request put;
    struct delete_range_request delete;
    struct compaction_request compaction;
    struct lease_request lease;
    if (request->number == INTERNAL_PUT && put_request_decode(request->body, &put)) {
        status = model_check_put(model, &put, false);
        if (status == STATUS_OK)
            model_put(model, &put, out);
        changed = status == STATUS_OK;
    } else if (request->number == INTERNAL_DELETE_RANGE &&
               delete_range_request_decode(request->body, &delete)) {
        changed = model_delete(model, &delete, out) > 0;
        status = STATUS_OK;
    } else if (request->number == INTERNAL_TXN) {
        status = model_txn(model, request->body, &changed, out);
    } else if (request->number == INTERNAL_COMPACTION &&
               compaction_request_decode(request->body, &compaction)) {
        status = model_compact(model, &compaction);
    } else if (request->number == INTERNAL_LEASE_GRANT && lease_grant_request_decode(request->body, &lease)) {
        status = model_grant(model, &lease, out);
    } else if (request->number == INTERNAL_LEASE_REVOKE && lease_request_decode(request->body, &lease)) {
        status = model_revoke(model, lease.id, &changed);
    } else if (request->number == INTERNAL_LEASE_CHECKPOINT) {
        status = model_checkpoint(model, request->body);
    }
    model->revision += changed;
    return status;
}

static inline void model_free(struct model *model) {
    free(model->versions);
    arena_free(&model->arena);
}

#endif
