/* lease_message: the answers of the Lease service, written field by field. Field numbers: etcd-api.md 1.2. */
#ifndef QUORATE_APPLY_LEASE_LEASE_MESSAGE_H
#define QUORATE_APPLY_LEASE_LEASE_MESSAGE_H

#include "apply/lease/lessor.h"

/* LeaseKeepAliveResponse; ttl 0: there is no such lease. */
void lease_message_put_renewal(struct buffer *out, int64_t id, int64_t ttl);
/* LeaseTimeToLiveResponse without keys; life NULL: there is no such lease. */
void lease_message_put_life(struct buffer *out, int64_t id, const struct lease_life *life);
/* Its keys: one. */
void lease_message_put_key(struct buffer *out, struct bytes key);
/* LeaseLeasesResponse; sorts what lessor_list brought. */
void lease_message_put_list(struct buffer *out, struct buffer *expiries);

#endif
