/* compaction_plan: see compaction_plan.h. An item: kind (1), revision (12); of a tombstone, the length of the
 * key (4, big-endian) and the key. */
#include "common/compaction_plan.h"

enum { ITEM_HEAD = 1 + REVISION_LENGTH, LENGTH_BYTES = 4 };

void plan_item_put(struct buffer *out, const struct plan_item *item) {
    uint8_t *place = buffer_reserve(out, ITEM_HEAD + LENGTH_BYTES);
    place[0] = (uint8_t)item->kind;
    revision_store(place + 1, item->at);
    out->length += ITEM_HEAD;
    if (item->kind != PLAN_TOMBSTONE)
        return;
    for (int i = 0; i < LENGTH_BYTES; i++)
        place[ITEM_HEAD + i] = (uint8_t)(item->key.length >> (24 - 8 * i));
    out->length += LENGTH_BYTES;
    buffer_append_bytes(out, item->key);
}

static bool take_key(struct bytes *items, struct bytes *key) {
    size_t length = 0;
    if (items->length < LENGTH_BYTES)
        return false;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length = length << 8 | items->data[i];
    if (length > items->length - LENGTH_BYTES)
        return false;
    *key = bytes_of(items->data + LENGTH_BYTES, length);
    *items = bytes_of(key->data + length, items->length - LENGTH_BYTES - length);
    return true;
}

bool plan_item_next(struct bytes *items, struct plan_item *out) {
    if (items->length < ITEM_HEAD)
        return false;
    struct bytes rest = bytes_of(items->data + ITEM_HEAD, items->length - ITEM_HEAD);
    *out =
        (struct plan_item){.kind = (enum plan_item_kind)items->data[0], .at = revision_load(items->data + 1)};
    if (out->kind < PLAN_KEEP || out->kind > PLAN_TOMBSTONE)
        return false;
    if (out->kind == PLAN_TOMBSTONE && !take_key(&rest, &out->key))
        return false;
    *items = rest;
    return true;
}
