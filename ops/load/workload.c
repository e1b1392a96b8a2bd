/* workload: see workload.h. Messages are written straight in protobuf's wire format (common/wire.h). */
#include "ops/load/workload.h"

#include "common/clock.h"
#include "common/status.h"
#include "common/wire.h"
#include "ops/load/watch_message.h"

enum {
    POOL_SIZE = 1024 * 1024, /* of random bytes; a value is a window of it */
    FIRST_LEASE = 1 << 28,   /* a lease's ID must not be 0 */
    FIELD_KEY = 1,
    FIELD_RANGE_END = 2,
    FIELD_PUT_VALUE = 2,
    FIELD_RANGE_SERIALIZABLE = 7,
    FIELD_LEASE_TTL = 1,
    FIELD_LEASE_ID = 2,
    FIELD_KEEPALIVE_ID = 1,
    FIELD_KEEPALIVE_TTL = 3,
};

const char *const operation_names[OPERATION_COUNT] = {
    "put", "range", "serializable", "list", "grant", "keepalive", "create-watch",
};

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
    if (workload->key_size > WORKLOAD_KEY_ROOM || workload->key_size <= prefix ||
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

struct bytes workload_key(const struct workload *workload, uint64_t number, uint8_t room[WORKLOAD_KEY_ROOM]) {
    size_t prefix = strlen(workload->prefix);
    memcpy(room, workload->prefix, prefix);
    for (size_t at = workload->key_size; at > prefix; at--) {
        room[at - 1] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    return bytes_of(room, workload->key_size);
}

struct bytes workload_value(size_t size, uint64_t *random) {
    return bytes_of(pool + random_next(random) % (POOL_SIZE - size), size);
}

struct bytes workload_prefix_end(struct bytes prefix, uint8_t room[WORKLOAD_KEY_ROOM]) {
    memcpy(room, prefix.data, prefix.length);
    room[prefix.length - 1]++;
    return bytes_of(room, prefix.length);
}

bool workload_streams(enum operation operation) {
    return operation == OPERATION_KEEPALIVE || operation == OPERATION_WATCH;
}

static void put_list(const struct workload *workload, struct buffer *message) {
    uint8_t room[WORKLOAD_KEY_ROOM];
    struct bytes prefix = bytes_from_text(workload->prefix);
    wire_put_bytes(message, FIELD_KEY, prefix);
    wire_put_bytes(message, FIELD_RANGE_END, workload_prefix_end(prefix, room));
}

const char *workload_request(const struct workload *workload, enum operation operation, uint64_t key,
                             uint64_t *random, struct buffer *message) {
    uint8_t room[WORKLOAD_KEY_ROOM];
    switch (operation) {
    case OPERATION_PUT:
        wire_put_bytes(message, FIELD_KEY, workload_key(workload, key, room));
        wire_put_bytes(message, FIELD_PUT_VALUE, workload_value(workload->value_size, random));
        return "/etcdserverpb.KV/Put";
    case OPERATION_RANGE:
    case OPERATION_SERIALIZABLE:
        wire_put_bytes(message, FIELD_KEY, workload_key(workload, key, room));
        wire_put_bool(message, FIELD_RANGE_SERIALIZABLE, operation == OPERATION_SERIALIZABLE);
        return "/etcdserverpb.KV/Range";
    case OPERATION_LIST:
        put_list(workload, message);
        return "/etcdserverpb.KV/Range";
    case OPERATION_GRANT:
        wire_put_uint64(message, FIELD_LEASE_TTL, workload->ttl_s);
        return "/etcdserverpb.Lease/LeaseGrant";
    case OPERATION_KEEPALIVE:
        wire_put_uint64(message, FIELD_KEEPALIVE_ID, FIRST_LEASE + key);
        return "/etcdserverpb.Lease/LeaseKeepAlive";
    case OPERATION_WATCH:
        watch_put_create(message, &(struct watch_create){.key = workload_key(workload, key, room)});
        return WATCH_PATH;
    case OPERATION_COUNT:
        break;
    }
    PANIC("no such operation: %d", (int)operation);
}

const char *workload_prefill(const struct workload *workload, uint64_t key, uint64_t *random,
                             struct buffer *message) {
    if (workload->share[OPERATION_KEEPALIVE] == 0)
        return workload_request(workload, OPERATION_PUT, key, random, message);
    wire_put_uint64(message, FIELD_LEASE_TTL, workload->ttl_s);
    wire_put_uint64(message, FIELD_LEASE_ID, FIRST_LEASE + key);
    return "/etcdserverpb.Lease/LeaseGrant";
}

/* A lease that is not there is kept alive for 0 seconds. */
static unsigned keepalive_outcome(struct bytes answer) {
    struct wire_reader reader = wire_reader_of(answer);
    struct wire_field field;
    while (wire_next(&reader, &field))
        if (field.number == FIELD_KEEPALIVE_TTL && field.value > 0)
            return GRPC_OK;
    return GRPC_NOT_FOUND;
}

unsigned workload_outcome(enum operation operation, struct bytes answer) {
    if (operation == OPERATION_KEEPALIVE)
        return keepalive_outcome(answer);
    struct watch_response response;
    if (!watch_response_parse(answer, &response) || !response.created || response.canceled)
        return GRPC_INTERNAL;
    return GRPC_OK;
}
