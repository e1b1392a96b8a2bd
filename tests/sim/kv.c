/* kv: see kv.h. */
#include "kv.h"

#include <inttypes.h>

#include "common/wire.h"

bool kv_decode(struct bytes message, struct kv *kv) {
    *kv = (struct kv){.key = bytes_of("", 0), .value = bytes_of("", 0)};
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        switch (field.number) {
        case 1:
            kv->key = field.bytes;
            break;
        case 2:
            kv->create = field.value;
            break;
        case 3:
            kv->mod = field.value;
            break;
        case 4:
            kv->version = field.value;
            break;
        case 5:
            kv->value = field.bytes;
            break;
        case 6:
            kv->lease = (int64_t)field.value;
            break;
        default:
            return false;
        }
    }
    return !reader.malformed;
}

void kv_text(struct buffer *out, const struct kv *kv) {
    buffer_printf(out, "{%.*s=%.*s %" PRIu64 "/%" PRIu64 "/%" PRIu64, (int)kv->key.length,
                  (const char *)kv->key.data, (int)kv->value.length, (const char *)kv->value.data, kv->create,
                  kv->mod, kv->version);
    if (kv->lease != 0)
        buffer_printf(out, " lease %" PRId64, kv->lease);
    buffer_printf(out, "}");
}

static uint64_t mix(uint64_t hash, uint64_t number) {
    hash = (hash ^ number) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t mix_bytes(uint64_t hash, struct bytes bytes) {
    enum { LONG = 64 };
    hash = mix(hash, bytes.length);
    for (size_t i = 0; i < bytes.length; i++) {
        if (i == LONG / 2 && bytes.length > LONG)
            i = bytes.length - LONG / 2;
        hash = mix(hash, bytes.data[i]);
    }
    return hash;
}

uint64_t kv_fingerprint(const struct kv *kv) {
    uint64_t hash = mix_bytes(mix_bytes(1, kv->key), kv->value);
    hash = mix(mix(hash, kv->create), kv->mod);
    return mix(mix(hash, kv->version), (uint64_t)kv->lease);
}
