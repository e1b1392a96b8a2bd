/* workload: see workload.h. Messages are written straight in protobuf's wire format (common/wire.h). */
#include "ops/load/workload.h"

#include "common/clock.h"
#include "common/wire.h"

enum {
    KEY_ROOM = 512,
    POOL_SIZE = 1024 * 1024, /* of random bytes; a value is a window of it */
    FIELD_KEY = 1,
    FIELD_PUT_VALUE = 2,
    FIELD_RANGE_SERIALIZABLE = 7,
};

const char *const operation_names[OPERATION_COUNT] = {"put", "range", "serializable"};

static uint8_t pool[POOL_SIZE];

uint64_t random_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1DU;
}

void workload_prepare(void) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t state = clock_random() | 1;
    for (size_t i = 0; i < POOL_SIZE; i++)
        pool[i] = (uint8_t)alphabet[random_next(&state) >> 58];
}

bool workload_valid(const struct workload *workload) {
    size_t prefix = strlen(workload->prefix);
    if (workload->key_size > KEY_ROOM || workload->key_size <= prefix ||
        workload->value_size > POOL_SIZE / 2 || workload->keys == 0)
        return false;
    uint64_t last = workload->first_key + workload->keys - 1;
    for (size_t digits = workload->key_size - prefix; digits > 0; digits--)
        last /= 10;
    return last == 0;
}

enum operation workload_pick(const struct workload *workload, uint64_t *random) {
    double point = (double)(random_next(random) >> 11) * 0x1p-53;
    for (unsigned operation = 0; operation + 1 < OPERATION_COUNT; operation++) {
        if (point < workload->share[operation])
            return (enum operation)operation;
        point -= workload->share[operation];
    }
    return OPERATION_COUNT - 1;
}

static struct bytes make_key(const struct workload *workload, uint64_t number, uint8_t room[KEY_ROOM]) {
    size_t prefix = strlen(workload->prefix);
    memcpy(room, workload->prefix, prefix);
    for (size_t at = workload->key_size; at > prefix; at--) {
        room[at - 1] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    return bytes_of(room, workload->key_size);
}

void workload_put(const struct workload *workload, uint64_t key, uint64_t *random, struct grpc_call *call) {
    uint8_t room[KEY_ROOM];
    size_t offset = random_next(random) % (POOL_SIZE - workload->value_size);
    call->path = "/etcdserverpb.KV/Put";
    call->message.length = 0;
    wire_put_bytes(&call->message, FIELD_KEY, make_key(workload, key, room));
    wire_put_bytes(&call->message, FIELD_PUT_VALUE, bytes_of(pool + offset, workload->value_size));
}

void workload_range(const struct workload *workload, uint64_t key, bool serializable,
                    struct grpc_call *call) {
    uint8_t room[KEY_ROOM];
    call->path = "/etcdserverpb.KV/Range";
    call->message.length = 0;
    wire_put_bytes(&call->message, FIELD_KEY, make_key(workload, key, room));
    wire_put_bool(&call->message, FIELD_RANGE_SERIALIZABLE, serializable);
}
