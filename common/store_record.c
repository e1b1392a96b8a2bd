/* store_record: see store_record.h for the layout. Bounds are checked on every load; nothing is trusted to be
 * whole. */
#include "common/store_record.h"

#include "common/log.h"

enum { FLAG_TOMBSTONE = 1 };

static uint8_t *store_varint(uint8_t *place, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *place++ = (uint8_t)(value | 0x80);
    *place++ = (uint8_t)value;
    return place;
}

static uint8_t *store_bytes(uint8_t *place, struct bytes bytes) {
    if (bytes.length != 0)
        memcpy(place, bytes.data, bytes.length);
    return place + bytes.length;
}

struct loader {
    const uint8_t *cursor, *end;
};

static _Noreturn void damaged(void) {
    LOG_FATAL("the database holds a record that does not decode; remove the member's data and let it rejoin");
}

static uint64_t load_varint(struct loader *loader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && loader->cursor < loader->end; shift += 7) {
        uint8_t byte = *loader->cursor++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    damaged();
}

static struct loader loader_of(struct bytes encoded) {
    if (encoded.length == 0)
        damaged();
    return (struct loader){.cursor = encoded.data, .end = encoded.data + encoded.length};
}

static struct bytes rest(const struct loader *loader) {
    return bytes_of(loader->cursor, (size_t)(loader->end - loader->cursor));
}

/* Common to both kinds: flags, create, version, lease, previous. */
static uint8_t *store_head(uint8_t *place, const struct record *record) {
    *place++ = record->tombstone ? FLAG_TOMBSTONE : 0;
    place = store_varint(place, (uint64_t)record->create);
    place = store_varint(place, (uint64_t)record->version);
    place = store_varint(place, (uint64_t)record->lease);
    place = store_varint(place, (uint64_t)record->previous.main);
    return store_varint(place, record->previous.sub);
}

static void load_head(struct loader *loader, struct record *record) {
    *record = (struct record){.tombstone = (*loader->cursor++ & FLAG_TOMBSTONE) != 0};
    record->create = (int64_t)load_varint(loader);
    record->version = (int64_t)load_varint(loader);
    record->lease = (int64_t)load_varint(loader);
    record->previous.main = (int64_t)load_varint(loader);
    record->previous.sub = (uint32_t)load_varint(loader);
}

size_t record_store_current(uint8_t *place, const struct record *record) {
    uint8_t *begin = place;
    place = store_head(place, record);
    place = store_varint(place, (uint64_t)record->modified.main);
    place = store_varint(place, record->modified.sub);
    place = store_bytes(place, record->value);
    return (size_t)(place - begin);
}

void record_load_current(struct bytes encoded, struct record *record) {
    struct loader loader = loader_of(encoded);
    load_head(&loader, record);
    record->modified.main = (int64_t)load_varint(&loader);
    record->modified.sub = (uint32_t)load_varint(&loader);
    record->value = rest(&loader);
}

size_t record_store_log(uint8_t *place, struct bytes key, const struct record *record) {
    uint8_t *begin = place;
    place = store_head(place, record);
    place = store_varint(place, key.length);
    place = store_bytes(place, key);
    place = store_bytes(place, record->value);
    return (size_t)(place - begin);
}

void record_load_log(struct bytes encoded, struct revision at, struct bytes *key, struct record *record) {
    struct loader loader = loader_of(encoded);
    load_head(&loader, record);
    record->modified = at;
    uint64_t length = load_varint(&loader);
    if (length > rest(&loader).length)
        damaged();
    *key = bytes_of(loader.cursor, (size_t)length);
    loader.cursor += length;
    record->value = rest(&loader);
}

void revision_store(uint8_t place[REVISION_LENGTH], struct revision revision) {
    for (int i = 0; i < 8; i++)
        place[i] = (uint8_t)((uint64_t)revision.main >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        place[8 + i] = (uint8_t)(revision.sub >> (24 - 8 * i));
}

struct revision revision_load(const uint8_t place[REVISION_LENGTH]) {
    uint64_t main = 0;
    uint32_t sub = 0;
    for (int i = 0; i < 8; i++)
        main = main << 8 | place[i];
    for (int i = 0; i < 4; i++)
        sub = sub << 8 | place[8 + i];
    return (struct revision){.main = (int64_t)main, .sub = sub};
}

void log_key_store(uint8_t place[LOG_KEY_LENGTH], struct revision revision) {
    place[0] = PREFIX_LOG;
    revision_store(place + 1, revision);
}

void kept_key_store(uint8_t place[LOG_KEY_LENGTH], struct revision revision) {
    place[0] = PREFIX_KEPT;
    revision_store(place + 1, revision);
}

struct revision log_key_load(struct bytes key) {
    if (key.length != LOG_KEY_LENGTH || (key.data[0] != PREFIX_LOG && key.data[0] != PREFIX_KEPT))
        damaged();
    return revision_load(key.data + 1);
}

int revision_compare(struct revision a, struct revision b) {
    if (a.main != b.main)
        return a.main < b.main ? -1 : 1;
    return a.sub < b.sub ? -1 : a.sub > b.sub;
}
