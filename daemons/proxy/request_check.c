/* request_check: see request_check.h. One function a message, as in etcd. */
#include "proxy/request_check.h"

#include "common/wire.h"

static uint16_t check_range(struct bytes message, struct range_request *request) {
    if (!range_request_decode(message, request))
        return STATUS_UNDECODABLE;
    if (request->key.length == 0)
        return STATUS_EMPTY_KEY;
    if (request->sort_order < SORT_NONE || request->sort_order > SORT_DESCEND ||
        request->sort_target < SORT_BY_KEY || request->sort_target > SORT_BY_VALUE)
        return STATUS_INVALID_SORT_OPTION;
    return STATUS_OK;
}

static uint16_t check_put(struct bytes message) {
    struct put_request request;
    if (!put_request_decode(message, &request))
        return STATUS_UNDECODABLE;
    if (request.key.length == 0)
        return STATUS_EMPTY_KEY;
    if (request.ignore_value && request.value.length != 0)
        return STATUS_VALUE_PROVIDED;
    if (request.ignore_lease && request.lease != 0)
        return STATUS_LEASE_PROVIDED;
    return STATUS_OK;
}

static uint16_t check_delete_range(struct bytes message) {
    struct delete_range_request request;
    if (!delete_range_request_decode(message, &request))
        return STATUS_UNDECODABLE;
    return request.key.length == 0 ? STATUS_EMPTY_KEY : STATUS_OK;
}

static uint16_t check_compaction(struct bytes message) {
    struct compaction_request request;
    return compaction_request_decode(message, &request) ? STATUS_OK : STATUS_UNDECODABLE;
}

static uint16_t check_range_stream(struct bytes message, struct range_request *request) {
    uint16_t status = check_range(message, request);
    if (status != STATUS_OK)
        return status;
    if (request->sort_order != SORT_NONE || request->sort_target != SORT_BY_KEY)
        return STATUS_STREAM_CUSTOM_SORT;
    if (request->min_mod_revision != 0 || request->max_mod_revision != 0 ||
        request->min_create_revision != 0 || request->max_create_revision != 0)
        return STATUS_STREAM_REVISION_FILTERS;
    return STATUS_OK;
}

/* What the walk over a transaction finds out, besides the first error. */
struct txn_walk {
    bool writes;       /* an operation at the top level is no Range */
    bool linearizable; /* a Range at the top level wants it */
    unsigned puts, deletes;
    uint16_t status; /* the first failure; UNDECODABLE overrides */
};

static void fail(struct txn_walk *walk, uint16_t status) {
    if (walk->status == STATUS_OK || status == STATUS_UNDECODABLE)
        walk->status = status;
}

static void walk_txn(struct txn_walk *walk, struct bytes message, int64_t budget, unsigned depth);

static void walk_operation(struct txn_walk *walk, struct bytes message, int64_t budget, unsigned depth) {
    struct request_op operation;
    struct range_request range;
    if (!request_op_decode(message, &operation)) {
        fail(walk, STATUS_UNDECODABLE);
        return;
    }
    if (depth == 0 && operation.kind != OP_RANGE)
        walk->writes = true;
    switch (operation.kind) {
    case OP_RANGE:
        fail(walk, check_range(operation.body, &range));
        if (depth == 0 && !range.serializable)
            walk->linearizable = true;
        break;
    case OP_PUT:
        fail(walk, check_put(operation.body));
        walk->puts++;
        break;
    case OP_DELETE_RANGE:
        fail(walk, check_delete_range(operation.body));
        walk->deletes++;
        break;
    case OP_TXN:
        walk_txn(walk, operation.body, budget, depth + 1);
        break;
    case OP_NONE:
        fail(walk, STATUS_KEY_NOT_FOUND);
        break;
    }
}

static void walk_compares(struct txn_walk *walk, struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    while (txn_next(&reader, TXN_COMPARE, &element)) {
        struct compare compare;
        if (!compare_decode(element, &compare))
            fail(walk, STATUS_UNDECODABLE);
        else if (compare.key.length == 0)
            fail(walk, STATUS_EMPTY_KEY);
    }
}

/* Goes on after a failure: something behind it may be malformed, and that is what etcd would say then. */
static void walk_txn(struct txn_walk *walk, struct bytes message, int64_t budget, unsigned depth) {
    size_t counts[4];
    if (!txn_count(message, counts)) {
        fail(walk, STATUS_UNDECODABLE);
        return;
    }
    size_t most = counts[TXN_COMPARE];
    for (enum txn_part part = TXN_SUCCESS; part <= TXN_FAILURE; part++)
        most = counts[part] > most ? counts[part] : most;
    if ((int64_t)most > budget)
        fail(walk, STATUS_TOO_MANY_OPS);
    if (depth >= REQUEST_MAX_DEPTH) {
        fail(walk, STATUS_TOO_MANY_OPS);
        return;
    }
    walk_compares(walk, message);
    for (enum txn_part part = TXN_SUCCESS; part <= TXN_FAILURE; part++) {
        struct wire_reader reader = wire_reader_of(message);
        struct bytes element;
        while (txn_next(&reader, part, &element))
            walk_operation(walk, element, budget - (int64_t)most, depth);
    }
}

static uint16_t check_txn(struct bytes message, uint32_t max_operations, enum proxy_route *route) {
    struct txn_walk walk = {.status = STATUS_OK};
    walk_txn(&walk, message, max_operations, 0);
    if (walk.status == STATUS_OK && walk.puts > 0 && walk.puts + walk.deletes > 1)
        walk.status = duplicate_check(message);
    *route = walk.writes         ? PROXY_WRITE
             : walk.linearizable ? PROXY_LINEARIZABLE_READ
                                 : PROXY_SERIALIZABLE_READ;
    return walk.status;
}

uint16_t request_check(uint16_t method, struct bytes message, uint32_t max_operations,
                       enum proxy_route *route) {
    struct range_request range;
    uint16_t status = STATUS_OK;
    *route = PROXY_WRITE;
    switch (method) {
    case METHOD_RANGE:
    case METHOD_RANGE_STREAM:
        status = method == METHOD_RANGE ? check_range(message, &range) : check_range_stream(message, &range);
        *route = range.serializable ? PROXY_SERIALIZABLE_READ : PROXY_LINEARIZABLE_READ;
        return status;
    case METHOD_PUT:
        return check_put(message);
    case METHOD_DELETE_RANGE:
        return check_delete_range(message);
    case METHOD_TXN:
        return check_txn(message, max_operations, route);
    case METHOD_COMPACT:
        return check_compaction(message);
    default:
        PANIC("method %u has no check", method);
    }
}
