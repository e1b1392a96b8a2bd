/*
 * checkpoint_sweep: from time to time, which leases' remaining TTL the log should hear of (lessor.h).
 *
 * Every interval (five minutes) it walks the whole book, a bounded piece at a time and at most one proposal
 * every 100 ms. Of interest are leases with more than an interval left that have come down since they were
 * last written: a short one that begins anew with a new primary harms nobody.
 */
#ifndef QUORATE_APPLY_LEASE_CHECKPOINT_SWEEP_H
#define QUORATE_APPLY_LEASE_CHECKPOINT_SWEEP_H

#include "apply/lease/lease_book.h"

enum { CHECKPOINT_LEASES = 1000 };

/* A LeaseCheckpointRequest in the making. Zero-initialised is empty. */
struct checkpoint_list {
    struct buffer body;
    size_t count;
};
/* False: it is full. remaining: seconds; 0 clears. */
bool checkpoint_list_add(struct checkpoint_list *list, const struct lease *lease, int64_t remaining);
struct bytes checkpoint_list_body(const struct checkpoint_list *list);
void checkpoint_list_clear(struct checkpoint_list *list);
void checkpoint_list_free(struct checkpoint_list *list);

struct checkpoint_sweep {
    uint64_t interval_us;
    uint64_t next_us; /* when it goes on */
    size_t slot;      /* of the book, the next to look at */
    struct checkpoint_list list;
};
/* The first sweep is a whole interval later. */
void checkpoint_sweep_begin(struct checkpoint_sweep *sweep, uint64_t interval_us, uint64_t now_us);
/* True: `list` is to be proposed, now or after a later call. */
bool checkpoint_sweep_run(struct checkpoint_sweep *sweep, const struct lease_book *book, uint64_t now_us);
void checkpoint_sweep_proposed(struct checkpoint_sweep *sweep);
void checkpoint_sweep_free(struct checkpoint_sweep *sweep);

#endif
