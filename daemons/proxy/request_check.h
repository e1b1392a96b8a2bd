/*
 * request_check: what etcd checks of a KV request before it does anything with it, in etcd's order and with
 * etcd's errors, walking the received bytes in place.
 *
 * A request that is not well-formed is STATUS_UNDECODABLE, whatever else is wrong with it. Nothing is
 * allocated but a scratch array for transactions that both put and delete or nest. Beyond etcd: nesting
 * deeper than REQUEST_MAX_DEPTH, and more than 2^18 pairs of a put and a delete covering it in branches that
 * exclude each other, are "too many operations" (only hostile requests have either).
 */
#ifndef QUORATE_PROXY_REQUEST_CHECK_H
#define QUORATE_PROXY_REQUEST_CHECK_H

#include "proxy/proxy_role.h"

/* method: one of KV's. Returns enum status; when OK, *route says where the request goes. */
uint16_t request_check(uint16_t method, struct bytes message, uint32_t max_operations,
                       enum proxy_route *route);

/* For request_check alone: puts of a key that another put or a delete of the same transaction covers. */
uint16_t duplicate_check(struct bytes txn);

#endif
