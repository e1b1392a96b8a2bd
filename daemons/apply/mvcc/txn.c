/* txn: see txn.h. The path is one byte a transaction, in the order in which all walks meet them. */
#include "apply/mvcc/txn.h"

#include "common/wire.h"

#include "apply/mvcc/compare.h"
#include "apply/mvcc/message.h"
#include "apply/mvcc/range_read.h"
#include "apply/mvcc/write.h"

enum { TXN_SUCCEEDED = 2, TXN_RESPONSES = 3, TXN_HEADER = 1, READ_SLICE_KEYS = 4096 };

struct txn {
    struct mvcc *mvcc; /* NULL: a transaction that only reads */
    struct view *view; /* of the state before the transaction */
    struct txn_read_limits limits;
    struct buffer path;
    size_t at; /* in path */
    struct buffer *out;
};

/* --- inspecting the message --- */

static uint16_t inspect_range(struct bytes body, struct txn_shape *shape) {
    struct range_request request;
    if (!range_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    shape->scans |= request.range_end.length != 0 || request.revision > 0;
    return range_sort_option_valid(&request) ? STATUS_OK : STATUS_INVALID_SORT_OPTION;
}

static uint16_t inspect_delete(struct bytes body, struct txn_shape *shape) {
    struct delete_range_request request;
    if (!delete_range_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    shape->scans |= request.range_end.length != 0;
    shape->writes = true;
    return STATUS_OK;
}

static uint16_t inspect_put(struct bytes body, struct txn_shape *shape) {
    struct put_request request;
    shape->writes = true;
    return put_request_decode(body, &request) ? STATUS_OK : STATUS_UNDECODABLE;
}

static uint16_t inspect_level(struct bytes message, struct txn_shape *shape, unsigned depth);

static uint16_t inspect_operation(struct bytes element, struct txn_shape *shape, unsigned depth) {
    struct request_op operation;
    if (!request_op_decode(element, &operation))
        return STATUS_UNDECODABLE;
    switch (operation.kind) {
    case OP_RANGE:
        return inspect_range(operation.body, shape);
    case OP_PUT:
        return inspect_put(operation.body, shape);
    case OP_DELETE_RANGE:
        return inspect_delete(operation.body, shape);
    case OP_TXN:
        return inspect_level(operation.body, shape, depth + 1);
    default:
        return STATUS_KEY_NOT_FOUND; /* as etcd says for an empty operation */
    }
}

static uint16_t inspect_compares(struct bytes message, struct txn_shape *shape) {
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    struct compare compare;
    while (txn_next(&reader, TXN_COMPARE, &element)) {
        if (!compare_decode(element, &compare))
            return STATUS_UNDECODABLE;
        shape->scans |= compare.range_end.length != 0;
    }
    return STATUS_OK;
}

static uint16_t inspect_level(struct bytes message, struct txn_shape *shape, unsigned depth) {
    size_t counts[4];
    if (depth > REQUEST_MAX_DEPTH)
        return STATUS_TOO_MANY_OPS;
    if (!txn_count(message, counts))
        return STATUS_UNDECODABLE;
    uint16_t status = inspect_compares(message, shape);
    for (enum txn_part part = TXN_SUCCESS; part <= TXN_FAILURE; part++) {
        struct wire_reader reader = wire_reader_of(message);
        struct bytes element;
        while (status == STATUS_OK && txn_next(&reader, part, &element))
            status = inspect_operation(element, shape, depth);
    }
    return status;
}

uint16_t txn_inspect(struct bytes message, struct txn_shape *shape) {
    *shape = (struct txn_shape){0};
    return inspect_level(message, shape, 1);
}

/* --- the path --- */

static bool interrupted(const struct txn *txn) {
    return txn->limits.keys == 0 || (txn->limits.cancelled != NULL && atomic_load(txn->limits.cancelled));
}

static bool too_large(const struct txn *txn) {
    return txn->out->length > txn->limits.bytes;
}

/* Whether all compares of this level hold. */
static bool compares_hold(struct txn *txn, struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    bool hold = true;
    while (hold && !interrupted(txn) && txn_next(&reader, TXN_COMPARE, &element)) {
        struct compare compare;
        hold = compare_decode(element, &compare) && compare_holds(txn->view, &compare, &txn->limits.keys);
    }
    return hold;
}

static struct request_op decoded(struct bytes element) {
    struct request_op operation;
    REQUIRE(request_op_decode(element, &operation)); /* inspected before */
    return operation;
}

static enum txn_part branch(bool succeeded) {
    return succeeded ? TXN_SUCCESS : TXN_FAILURE;
}

static void find_path(struct txn *txn, struct bytes message) {
    bool succeeded = compares_hold(txn, message);
    buffer_append_byte(&txn->path, succeeded);
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    while (txn_next(&reader, branch(succeeded), &element)) {
        struct request_op operation = decoded(element);
        if (operation.kind == OP_TXN)
            find_path(txn, operation.body);
    }
}

static bool next_in_path(struct txn *txn) {
    REQUIRE(txn->at < txn->path.length);
    return txn->path.data[txn->at++] != 0;
}

/* --- checks before anything is executed --- */

static uint16_t check_range(const struct view *view, struct bytes body) {
    struct range_request request;
    REQUIRE(range_request_decode(body, &request));
    if (request.revision == 0)
        return STATUS_OK;
    if (request.revision > view->revision)
        return STATUS_FUTURE_REVISION;
    return request.revision < view->compacted ? STATUS_COMPACTED : STATUS_OK;
}

static uint16_t check_put(struct mvcc *mvcc, struct bytes body) {
    struct put_request request;
    REQUIRE(put_request_decode(body, &request));
    return put_check_in_txn(mvcc, &request);
}

/* All operations of `kind` on the path. */
static uint16_t check_path(struct txn *txn, struct bytes message, enum request_op_kind kind) {
    uint16_t status = STATUS_OK;
    struct wire_reader reader = wire_reader_of(message);
    enum txn_part part = branch(next_in_path(txn));
    struct bytes element;
    while (status == STATUS_OK && txn_next(&reader, part, &element)) {
        struct request_op operation = decoded(element);
        if (operation.kind == OP_TXN)
            status = check_path(txn, operation.body, kind);
        else if (operation.kind == kind)
            status = kind == OP_PUT ? check_put(txn->mvcc, operation.body)
                                    : check_range(txn->view, operation.body);
    }
    return status;
}

static uint16_t check(struct txn *txn, struct bytes message) {
    uint16_t status = STATUS_OK;
    if (txn->mvcc != NULL)
        status = check_path(txn, message, OP_PUT);
    txn->at = 0;
    if (status == STATUS_OK)
        status = check_path(txn, message, OP_RANGE);
    txn->at = 0;
    return status;
}

/* --- running --- */

static void run_range(struct txn *txn, struct bytes body) {
    struct range_request request;
    REQUIRE(range_request_decode(body, &request));
    struct view view = txn->mvcc == NULL ? *txn->view : mvcc_inner_view(txn->mvcc);
    struct range_read read;
    if (too_large(txn))
        return;
    message_put_inner_header(txn->out, view.revision);
    if (range_read_begin(&read, &view, &request, false, NULL, SIZE_MAX) != STATUS_OK)
        return; /* cannot be: checked */
    bool done = false;
    while (!done && !interrupted(txn) && txn->out->length + read.out.length <= txn->limits.bytes) {
        uint64_t keys = txn->limits.keys < READ_SLICE_KEYS ? txn->limits.keys : READ_SLICE_KEYS;
        uint64_t before = read.examined;
        done = range_read_step(&read, (struct range_slice){.keys = keys, .bytes = txn->limits.bytes + 1});
        uint64_t examined = read.examined - before;
        txn->limits.keys -= examined < txn->limits.keys ? examined : txn->limits.keys;
    }
    if (read.view.missing != 0)
        txn->view->missing = read.view.missing;
    buffer_append_bytes(txn->out, buffer_bytes(&read.out));
    range_read_free(&read);
}

static void run_put(struct txn *txn, struct bytes body) {
    struct put_request request;
    REQUIRE(put_request_decode(body, &request));
    message_put_inner_header(txn->out, txn->mvcc->revision + 1);
    put_run(txn->mvcc, &request);
}

/* The header comes first, but its revision depends on whether anything was deleted. */
static void run_delete(struct txn *txn, struct bytes body) {
    struct delete_range_request request;
    REQUIRE(delete_range_request_decode(body, &request));
    size_t begin = txn->out->length;
    delete_range_run(txn->mvcc, &request, false);
    size_t length = txn->out->length - begin;
    message_put_inner_header(txn->out, mvcc_inner_revision(txn->mvcc));
    size_t header = txn->out->length - begin - length;
    uint8_t copy[16];
    REQUIRE(header <= sizeof copy);
    uint8_t *place = txn->out->data + begin;
    memcpy(copy, place + length, header);
    memmove(place + header, place, length);
    memcpy(place, copy, header);
}

static void run_level(struct txn *txn, struct bytes message);

static void run_operation(struct txn *txn, const struct request_op *operation) {
    size_t response = wire_begin_message(txn->out, TXN_RESPONSES);
    size_t body = wire_begin_message(txn->out, operation->kind);
    switch (operation->kind) {
    case OP_RANGE:
        run_range(txn, operation->body);
        break;
    case OP_PUT:
        run_put(txn, operation->body);
        break;
    case OP_DELETE_RANGE:
        run_delete(txn, operation->body);
        break;
    default:
        wire_put_bytes_always(txn->out, TXN_HEADER, (struct bytes){0});
        run_level(txn, operation->body);
        break;
    }
    wire_end_message(txn->out, body);
    wire_end_message(txn->out, response);
}

static void run_level(struct txn *txn, struct bytes message) {
    bool succeeded = next_in_path(txn);
    wire_put_bool(txn->out, TXN_SUCCEEDED, succeeded);
    struct wire_reader reader = wire_reader_of(message);
    struct bytes element;
    while (!interrupted(txn) && txn_next(&reader, branch(succeeded), &element)) {
        struct request_op operation = decoded(element);
        run_operation(txn, &operation);
    }
}

uint16_t txn_run(struct mvcc *mvcc, struct bytes message) {
    struct view view = mvcc_inner_view(mvcc);
    struct txn txn = {.mvcc = mvcc,
                      .view = &view,
                      .limits = {.keys = UINT64_MAX, .bytes = MVCC_ANSWER_LIMIT},
                      .out = &mvcc->result};
    find_path(&txn, message);
    uint16_t status = check(&txn, message);
    if (status == STATUS_OK)
        run_level(&txn, message);
    buffer_free(&txn.path);
    mvcc->counts.txns++;
    return status;
}

uint16_t txn_read(struct view *view, struct bytes message, const struct txn_read_limits *limits,
                  struct buffer *out) {
    struct txn txn = {.view = view, .limits = *limits, .out = out};
    find_path(&txn, message);
    uint16_t status = check(&txn, message);
    if (status == STATUS_OK)
        run_level(&txn, message);
    buffer_free(&txn.path);
    if (interrupted(&txn))
        return TXN_READ_UNFINISHED;
    if (view->missing != 0)
        return STATUS_COMPACTED;
    return too_large(&txn) ? TXN_READ_TOO_LARGE : status;
}
