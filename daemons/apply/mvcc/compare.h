/* compare: one Compare of a transaction against the state before it. */
#ifndef QUORATE_APPLY_MVCC_COMPARE_H
#define QUORATE_APPLY_MVCC_COMPARE_H

#include "common/request.h"

#include "apply/mvcc/view.h"

/*
 * True when every key of the interval satisfies it. A missing key (or an empty interval) counts as one key of
 * zeros, except that a comparison of values with it is always false. *keys is lowered by the keys examined;
 * at 0 the answer means nothing.
 */
bool compare_holds(struct view *view, const struct compare *compare, uint64_t *keys);

#endif
