/* lease_message: see lease_message.h. */
#include "apply/lease/lease_message.h"

#include <stdlib.h>

#include "common/wire.h"

enum { LIFE_ID = 2, LIFE_TTL = 3, LIFE_GRANTED = 4, LIFE_KEYS = 5, LEASES = 2, STATUS_ID = 1 };

void lease_message_put_renewal(struct buffer *out, int64_t id, int64_t ttl) {
    wire_put_int64(out, LIFE_ID, id);
    wire_put_int64(out, LIFE_TTL, ttl);
}

void lease_message_put_life(struct buffer *out, int64_t id, const struct lease_life *life) {
    wire_put_int64(out, LIFE_ID, id);
    wire_put_int64(out, LIFE_TTL, life == NULL ? -1 : life->ttl);
    wire_put_int64(out, LIFE_GRANTED, life == NULL ? 0 : life->granted);
}

void lease_message_put_key(struct buffer *out, struct bytes key) {
    wire_put_bytes_always(out, LIFE_KEYS, key);
}

static int by_expiry(const void *left, const void *right) {
    const struct lease_expiry *a = left;
    const struct lease_expiry *b = right;
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

void lease_message_put_list(struct buffer *out, struct buffer *expiries) {
    size_t count = expiries->length / sizeof(struct lease_expiry);
    struct lease_expiry *list = (struct lease_expiry *)(void *)expiries->data;
    if (count > 1)
        qsort(list, count, sizeof *list, by_expiry);
    for (size_t i = 0; i < count; i++) {
        size_t message = wire_begin_message(out, LEASES);
        wire_put_int64(out, STATUS_ID, list[i].id);
        wire_end_message(out, message);
    }
}
