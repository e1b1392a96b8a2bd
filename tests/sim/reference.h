/*
 * reference: etcd's key-value and lease semantics in the plainest form, as what the node is compared with.
 *
 * It keeps every version of every key, every event, every lease and every compaction for ever, and answers by
 * scanning; it executes log entries one by one in log order. It shares the decoders of requests with the
 * product (they have their own oracle in the unit tests) and nothing else. Answers are texts, in the form
 * that response_text() gives to what clients received.
 */
#ifndef QUORATE_SIM_REFERENCE_H
#define QUORATE_SIM_REFERENCE_H

#include "kv.h"

struct reference;

struct reference *reference_new(void);
void reference_free(struct reference *reference);

/* What a request comes to. */
struct outcome {
    uint16_t status;    /* enum status */
    uint64_t revision;  /* of the store, right after */
    struct buffer text; /* empty unless the status is OK; the caller's to free */
};

/*
 * Executes the entry `index`, a write (enum method PUT, DELETE_RANGE, TXN, COMPACT, LEASE_GRANT,
 * LEASE_REVOKE).
 */
void reference_execute(struct reference *reference, uint64_t index, uint16_t method, struct bytes body,
                       struct outcome *out);
/*
 * What a Range or a read-only Txn answers when the store stands at `revision` (which it has passed by now),
 * as if nothing had ever been compacted.
 */
void reference_read(const struct reference *reference, uint16_t method, struct bytes body, uint64_t revision,
                    struct outcome *out);
uint64_t reference_revision(const struct reference *reference);
/* The compacted revision after entry `index`; 0: none. */
uint64_t reference_compacted(const struct reference *reference, uint64_t index);
bool reference_was_compacted(const struct reference *reference, uint64_t revision);

/* One change of one key. All events in their order; those of a revision are neighbours. */
struct reference_event {
    uint64_t revision;
    bool deleted;      /* then `now` has key and mod alone */
    bool has_previous; /* the key was there before */
    struct kv now, previous;
};
const struct reference_event *reference_events(const struct reference *reference, size_t *count);

/* A lease that was granted. One id may be granted again after it was revoked: then it is another lease. */
struct reference_lease {
    int64_t id, ttl;   /* seconds, as granted */
    uint64_t from, to; /* the entry that granted it, and that revoked it (0: none did) */
};
const struct reference_lease *reference_leases(const struct reference *reference, size_t *count);
/* The lease of this id that is there after entry `index`, or NULL. */
const struct reference_lease *reference_lease_at(const struct reference *reference, int64_t id,
                                                 uint64_t index);
/* Appends the keys attached to the lease at a revision, in order, each followed by a blank. */
void reference_attached(const struct reference *reference, int64_t id, uint64_t revision, struct buffer *out);

/* The text of a response message without header. False when it cannot be decoded. */
bool response_text(uint16_t method, struct bytes body, struct buffer *out);

#endif
