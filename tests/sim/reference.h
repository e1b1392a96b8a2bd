/*
 * reference: etcd's key-value semantics in the plainest form, as what the node is compared with.
 *
 * It keeps every version of every key for ever and answers by scanning; it executes log entries one by one in
 * log order. It shares the decoders of requests with the product (they have their own oracle in the unit
 * tests) and nothing else. Answers are texts, in the form that response_text() gives to what clients
 * received.
 */
#ifndef QUORATE_SIM_REFERENCE_H
#define QUORATE_SIM_REFERENCE_H

#include "common/bytes.h"

struct reference;

struct reference *reference_new(void);
void reference_free(struct reference *reference);

/* What a request comes to. */
struct outcome {
    uint16_t status;    /* enum status */
    uint64_t revision;  /* of the store, right after */
    struct buffer text; /* empty unless the status is OK; the caller's to free */
};

/* Executes a write (enum method PUT, DELETE_RANGE, TXN, COMPACT). */
void reference_execute(struct reference *reference, uint16_t method, struct bytes body, struct outcome *out);
/* What a Range or a read-only Txn answers when the store stands at `revision` (which it has passed by now).
 */
void reference_read(const struct reference *reference, uint16_t method, struct bytes body, uint64_t revision,
                    struct outcome *out);
uint64_t reference_revision(const struct reference *reference);

/* The text of a response message without header. False when it cannot be decoded. */
bool response_text(uint16_t method, struct bytes body, struct buffer *out);

#endif
