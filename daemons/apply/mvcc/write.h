/* write: Put and DeleteRange inside an entry; results are appended as response messages. */
#ifndef QUORATE_APPLY_MVCC_WRITE_H
#define QUORATE_APPLY_MVCC_WRITE_H

#include "common/request.h"

#include "apply/mvcc/mvcc.h"

/* What a Put has to find before it may run: enum status. In a transaction the key is asked for first. */
uint16_t put_check(struct mvcc *mvcc, const struct put_request *request);
uint16_t put_check_in_txn(struct mvcc *mvcc, const struct put_request *request);
/* Runs a checked put; appends a PutResponse without header to the result. */
void put_run(struct mvcc *mvcc, const struct put_request *request);

/* Deletes a live key, whose newest record is `older`. */
void delete_key(struct mvcc *mvcc, struct bytes key, const struct record *older);

/*
 * Runs; appends a DeleteRangeResponse without header. parts: it is the whole entry, so that it may be written
 * in parts if it is large.
 */
void delete_range_run(struct mvcc *mvcc, const struct delete_range_request *request, bool parts);

#endif
