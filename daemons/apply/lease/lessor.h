/*
 * lessor: the clocks of the leases, at the member that leads: renews them, and has those revoked that expire.
 *
 * Happy path. Primary, i.e. while this member leads (leadership.h), it gives every granted lease its time,
 * answers keepalives from memory, and when a lease's time is over proposes its revocation (BUS_APPLY_PROPOSE
 * with the term). The revocation is a log entry like any other: the lease is gone when it is executed, here
 * and everywhere. Becoming primary gives each lease its checkpointed remainder, or its full TTL, plus one
 * election timeout: whatever the primary before has promised, it is kept.
 *
 * Checkpoints. So that a long lease does not begin anew with every primary, what remains of it is proposed to
 * the log every few minutes. The first renewal after that has to undo it, through the log, before it is
 * answered: else a new primary would end a lease that was renewed. That holds from the moment at which a
 * checkpoint is to be proposed; what undoes it comes behind it in the log.
 *
 * Pacing. Revocations under way are bounded, by leases and by keys; as they are executed, the next are
 * proposed in the same round. How many keys: as many as it takes, at the latency seen, to delete 50,000 a
 * second, so that many leases that end at once are gone soon; but fewer when a round with them takes more
 * than 10 ms, because writes wait behind them.
 *
 * Failure modes.
 * - A proposal gets lost (raft was down, or did not lead): proposed again after two seconds. Twice executed
 * it is "lease not found", and nobody waits for it. It names the entry that granted the lease, so that it
 * never meets another that a client has given the same id meanwhile.
 * - Not primary: requests wait. A lease whose revocation is under way: its renewals wait for the outcome.
 *
 * Pure: time is an argument. Threading: one thread at a time.
 */
#ifndef QUORATE_APPLY_LEASE_LESSOR_H
#define QUORATE_APPLY_LEASE_LESSOR_H

#include "apply/lease/lease_book.h"

struct lessor;

struct lessor_options {
    struct lease_book *book; /* the lessor becomes its observer */
    uint64_t election_us;    /* 0: one second */
    uint64_t checkpoint_us;  /* between checkpoints; 0: five minutes */
    /* Proposes an encoded InternalRaftRequest for this term. False: it cannot be sent now. */
    bool (*propose)(void *context, uint64_t term, struct bytes request);
    void *context;
};

struct lessor *lessor_new(const struct lessor_options *options);
void lessor_free(struct lessor *lessor);

/* Whether this member leads, and its term; takes effect with the next lessor_advance. */
void lessor_lead(struct lessor *lessor, bool leads, uint64_t term);
/* At the end of each round, after its entries: sets what is new going, proposes what is due. */
void lessor_advance(struct lessor *lessor, uint64_t now_us);
/* The round's entries took so long; before its lessor_advance. */
void lessor_took(struct lessor *lessor, uint64_t round_us);
/* There is more to do than a round should: advance again soon. */
bool lessor_is_busy(const struct lessor *lessor);

/* --- requests, after lessor_advance in the same round --- */

enum lease_answer {
    LEASE_ANSWERED,
    LEASE_UNKNOWN, /* there is no such lease */
    LEASE_WAIT,    /* ask again when lessor_moved says so, or a tick later */
};
/* Renews; *ttl: the granted TTL. */
enum lease_answer lessor_renew(struct lessor *lessor, int64_t id, int64_t *ttl);
struct lease_life {
    int64_t ttl, granted; /* seconds; ttl: what is left, rounded towards 0 */
    uint64_t keys;
};
enum lease_answer lessor_time_to_live(struct lessor *lessor, int64_t id, struct lease_life *life);
/* All leases, by expiry if primary. Appends struct lease_expiry. */
struct lease_expiry {
    uint64_t at_us;
    int64_t id;
};
void lessor_list(const struct lessor *lessor, struct buffer *out);
/* Requests that waited may be answered now. Once. */
bool lessor_moved(struct lessor *lessor);
/* After the round's requests: proposes what they need. */
void lessor_finish(struct lessor *lessor);

struct lessor_counts {
    uint64_t renewed, expired;
};
struct lessor_counts lessor_counts(const struct lessor *lessor);

#endif
