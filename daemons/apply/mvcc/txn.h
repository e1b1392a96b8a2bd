/*
 * txn: compare, then one of two lists of operations, as etcd runs them.
 *
 * Order of things (etcd-api.md 1.5): every compare, those of nested transactions too, is evaluated before
 * anything is executed, which fixes the path; then every put and then every range on the path is checked;
 * only then operations run, each seeing those before it. So a failure leaves nothing behind.
 *
 * Nesting is bounded by REQUEST_MAX_DEPTH; frames are small.
 */
#ifndef QUORATE_APPLY_MVCC_TXN_H
#define QUORATE_APPLY_MVCC_TXN_H

#include <stdatomic.h>

#include "common/request.h"

#include "apply/mvcc/mvcc.h"

/* What a look at the whole message tells; both branches, all levels. */
struct txn_shape {
    bool scans; /* reads an interval or an old revision: the store must hold all earlier entries */
    bool writes;
};
/* enum status: OK, or why it cannot be run (malformed, nested too deep, sort option). */
uint16_t txn_inspect(struct bytes message, struct txn_shape *shape);

/* Runs an inspected transaction inside an entry; appends a TxnResponse without header on OK. */
uint16_t txn_run(struct mvcc *mvcc, struct bytes message);

/* For transactions that only read: over any view, interruptible. */
struct txn_read_limits {
    uint64_t keys;                /* examined; then the result is TXN_READ_UNFINISHED */
    size_t bytes;                 /* of the answer; then it is TXN_READ_TOO_LARGE */
    const atomic_bool *cancelled; /* may be NULL; then too */
};
enum { TXN_READ_UNFINISHED = UINT16_MAX, TXN_READ_TOO_LARGE = UINT16_MAX - 1 };
uint16_t txn_read(struct view *view, struct bytes message, const struct txn_read_limits *limits,
                  struct buffer *out);

#endif
