/*
 * lease_check: the judgement on leases (reference_lease.c says what they are).
 *
 *   - What a keepalive, a TimeToLive or a list of leases says holds at some entry between what had been
 * answered when it was asked and what was durable when it was answered; attached keys are those whose `lease`
 * says so.
 *   - No lease ends early: an expiry that apply proposed comes at least the TTL after the lease was granted,
 * and after the *question* of every keepalive that was answered with a TTL. That none lasts too long is
 * demanded at the end of a run (run.c). That all keys of a lease go in one revision is in the reference:
 * watchers and readers would see another order.
 */
#ifndef QUORATE_SIM_LEASE_CHECK_H
#define QUORATE_SIM_LEASE_CHECK_H

#include "judge.h"

bool lease_is_question(uint16_t method);
/* An answered operation with lease_is_question(). */
void lease_check_answer(const struct judge *judge, const struct operation *operation);
void lease_check_times(const struct judge *judge);

/* The TTL that a keepalive was answered with; 0: no such lease. */
int64_t lease_renewal(const struct operation *operation);
/* How many leases an answered list names whose ids lie below `limit`. */
size_t lease_list_count(const struct operation *operation, int64_t limit);

#endif
