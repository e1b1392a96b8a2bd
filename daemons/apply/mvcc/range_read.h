/*
 * range_read: one Range, computed in slices of bounded work and bounded output.
 *
 * Over an immutable view (a snapshot, or the current state while nobody writes), so that it may stop after
 * any key and go on later, on another thread, with nothing held but the position.
 *
 * Happy path, in key order: one walk counts and builds the answer; a small answer is then complete. If it
 * outgrows `build_limit` (or the node's budget for waiting answers), what was built is thrown away, the walk
 * goes on only to size the answer, and a second walk emits it in slices (the length of the whole must be
 * known before its first byte). Sorted by something else: a selection of the keys, ordered, then fetched one
 * by one. RangeStream: one walk; parts are RangeStreamResponse messages, the last with `more` and `count`.
 *
 * When compaction takes away what a read over a snapshot still needs (view.h), it ends with STATUS_COMPACTED.
 *
 * `count` ignores limit and filters; filters come before sort, sort before limit (etcd-api.md 1.3).
 */
#ifndef QUORATE_APPLY_MVCC_RANGE_READ_H
#define QUORATE_APPLY_MVCC_RANGE_READ_H

#include <stdatomic.h>

#include "common/request.h"

#include "apply/mvcc/selection.h"

enum { RANGE_PART_BYTES = 512 * 1024, RANGE_FIRST_PART_KEYS = 10 };

/* Bytes of answers that may wait in memory, shared by all reads of the node. */
struct answer_budget {
    atomic_size_t used;
    size_t limit;
};
bool answer_budget_take(struct answer_budget *budget, size_t bytes);
void answer_budget_return(struct answer_budget *budget, size_t bytes);

/* Bounds of one slice. */
struct range_slice {
    uint64_t keys; /* examined */
    size_t bytes;  /* of answer */
};

enum range_phase {
    RANGE_BUILD,
    RANGE_SIZE,
    RANGE_EMIT,
    RANGE_SELECT,
    RANGE_ORDER,
    RANGE_FETCH,
    RANGE_COMPLETE
};

struct range_read {
    struct view view;
    struct range_request request; /* slices borrowed from the owner's copy */
    struct interval interval;
    int64_t revision;
    bool stream;
    enum range_phase phase;
    uint16_t status;              /* enum status: set when the read failed on the way */
    struct answer_budget *budget; /* NULL: unbounded */
    size_t reserved, build_limit;

    struct buffer position; /* the last key examined */
    bool positioned;
    uint64_t examined; /* keys, in all slices */
    uint64_t allowed;  /* in the present one */
    int64_t count, matched, emitted;
    bool more;
    uint64_t bytes; /* of the key-values of the whole answer */

    struct selection selection;
    size_t fetch_at;

    /* Output of the slice; the owner sends and empties it when range_read_ready. */
    struct buffer out;
    struct buffer parts; /* stream: uint32_t lengths of the parts in out */
    size_t part_mark;    /* of the open part; 0: none */
    size_t part_begin;
    int64_t part_keys;
    bool first_part_done;
    uint64_t total; /* unary: length of the whole body; known when range_read_ready */
};

/*
 * Checks revision and sort option: enum status. view is copied. On OK, free with range_read_free.
 * build_limit: bytes of an answer that is built in memory at once.
 */
uint16_t range_read_begin(struct range_read *read, const struct view *view,
                          const struct range_request *request, bool stream, struct answer_budget *budget,
                          size_t build_limit);
/* True: complete (see status). False: call again, after sending the output if it is ready. */
bool range_read_step(struct range_read *read, struct range_slice slice);
/* Whether `out` may be sent. */
bool range_read_ready(const struct range_read *read);
/* The output was sent: empties it and gives its share of the budget back. */
void range_read_sent(struct range_read *read);
void range_read_free(struct range_read *read);

/* enum status of a revision asked for by a plain Range, and the revision to read at. */
uint16_t range_resolve_revision(const struct view *view, int64_t asked, int64_t *revision);
bool range_sort_option_valid(const struct range_request *request);

#endif
