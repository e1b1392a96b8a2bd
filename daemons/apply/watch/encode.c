/* encode: see encode.h. mvccpb.Event {type=1 (PUT 0, DELETE 1), kv=2, prev_kv=3}. */
#include "apply/watch/encode.h"

#include "common/wire.h"

#include "apply/mvcc/message.h"

enum { EVENT_TYPE = 1, EVENT_KV = 2, EVENT_PREVIOUS = 3, TYPE_DELETE = 1, PLACE_KEEP = 1 << 20 };

/* The key is the first field of the KeyValue: behind its tag and length, and the key's own. */
static size_t key_offset(struct bytes message, size_t key_value) {
    size_t at = key_value;
    for (int field = 0; field < 2; field++) {
        at++; /* the tag */
        while (message.data[at++] >= 0x80)
            continue;
    }
    return at;
}

struct event event_encode(struct buffer *place, struct bytes key, const struct record *record,
                          const struct record *previous) {
    buffer_reset(place, PLACE_KEEP);
    wire_put_uint64(place, EVENT_TYPE, record->tombstone ? TYPE_DELETE : 0);
    size_t key_value = place->length;
    message_put_key_value(place, EVENT_KV, key, record, false);
    size_t length = place->length;
    if (previous != NULL)
        message_put_key_value(place, EVENT_PREVIOUS, key, previous, false);
    struct bytes message = bytes_of(place->data, length);
    return (struct event){
        .revision = record->modified.main,
        .deleted = record->tombstone,
        .message = message,
        .previous = bytes_of(place->data + length, place->length - length),
        .key = bytes_of(place->data + key_offset(message, key_value), key.length),
    };
}
