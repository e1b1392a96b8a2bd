/*
 * workload: what the requests are: key space, value bytes, and the etcd messages made of them.
 *
 * A key is the prefix, zeros, and its number in decimal, exactly key_size bytes long, so keys sort by number.
 * Values are printable random bytes, different from request to request.
 * Keepalives and watch creations are messages on a stream that stays open; the others are unary calls. For
 * keepalives, key numbers stand for leases.
 */
#ifndef QUORATE_LOAD_WORKLOAD_H
#define QUORATE_LOAD_WORKLOAD_H

#include "ops/load/grpc_client.h"

enum operation {
    OPERATION_PUT,
    OPERATION_RANGE,
    OPERATION_SERIALIZABLE,
    OPERATION_LIST,      /* every key below the prefix in one answer */
    OPERATION_GRANT,     /* a lease; the server picks its ID */
    OPERATION_KEEPALIVE, /* of a lease that the prefill granted */
    OPERATION_WATCH,     /* creates a watch on one key */
    OPERATION_COUNT
};
extern const char *const operation_names[OPERATION_COUNT];

struct workload {
    const char *prefix;
    size_t key_size, value_size;
    uint64_t first_key, keys;      /* numbers first_key .. first_key + keys - 1 */
    uint64_t ttl_s;                /* of leases */
    double share[OPERATION_COUNT]; /* sums to 1 */
};

/* xorshift64*: state must not be 0. */
uint64_t random_next(uint64_t *state);
/* False when a key number does not fit into key_size. */
bool workload_valid(const struct workload *workload);
/* Fills the pool values are cut from; once, before any thread. */
void workload_prepare(void);
enum operation workload_pick(const struct workload *workload, uint64_t *random);
/* Is a request of this kind a message on a stream? */
bool workload_streams(enum operation operation);
/* Appends the request's message; returns the method's path. */
const char *workload_request(const struct workload *workload, enum operation operation, uint64_t key,
                             uint64_t *random, struct buffer *message);
/* The request that has to be made for each key number before anything is measured. */
const char *workload_prefill(const struct workload *workload, uint64_t key, uint64_t *random,
                             struct buffer *message);
/* A stream's answer to a request: GRPC_OK, or as what it counts. */
unsigned workload_outcome(enum operation operation, struct bytes answer);

/* The key with a number, in `room`. */
enum { WORKLOAD_KEY_ROOM = 512 };
struct bytes workload_key(const struct workload *workload, uint64_t number, uint8_t room[WORKLOAD_KEY_ROOM]);
/* Bytes for a value: a window of the pool. */
struct bytes workload_value(size_t size, uint64_t *random);
/* The end of the range of all keys with a prefix (not empty, its last byte not 0xff), in `room`. */
struct bytes workload_prefix_end(struct bytes prefix, uint8_t room[WORKLOAD_KEY_ROOM]);

#endif
