/* kv: an mvccpb.KeyValue, as answers and events carry it and as the reference keeps it. */
#ifndef QUORATE_SIM_KV_H
#define QUORATE_SIM_KV_H

#include "common/bytes.h"

struct kv {
    struct bytes key, value; /* borrowed */
    uint64_t create, mod, version;
    int64_t lease;
};

/* False when it does not decode or holds a field that is none of a KeyValue's. */
bool kv_decode(struct bytes message, struct kv *kv);
void kv_text(struct buffer *out, const struct kv *kv);
/*
 * Equal for equal pairs, and for no others that a run makes: of a long value the ends count, as values begin
 * with a text that no other has.
 */
uint64_t kv_fingerprint(const struct kv *kv);

#endif
