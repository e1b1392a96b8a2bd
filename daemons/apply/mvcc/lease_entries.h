/* lease_entries: LeaseGrant, LeaseRevoke and LeaseCheckpoint as entries; results are appended as messages. */
#ifndef QUORATE_APPLY_MVCC_LEASE_ENTRIES_H
#define QUORATE_APPLY_MVCC_LEASE_ENTRIES_H

#include "apply/mvcc/mvcc.h"

/* Each runs a whole entry; enum status. */
uint16_t lease_grant_run(struct mvcc *mvcc, struct bytes body);
/* Deletes the keys attached to the lease, in order, in one revision. */
uint16_t lease_revoke_run(struct mvcc *mvcc, struct bytes body);
/* Of leases that are gone: ignored. */
uint16_t lease_checkpoint_run(struct mvcc *mvcc, struct bytes body);

#endif
