/*
 * workload: what the requests are: key space, value bytes, and the etcd messages made of them.
 *
 * A key is the prefix, zeros, and its number in decimal, exactly key_size bytes long, so keys sort by number.
 * Values are printable random bytes, different from request to request.
 */
#ifndef QUORATE_LOAD_WORKLOAD_H
#define QUORATE_LOAD_WORKLOAD_H

#include "ops/load/grpc_client.h"

enum operation { OPERATION_PUT, OPERATION_RANGE, OPERATION_SERIALIZABLE, OPERATION_COUNT };
extern const char *const operation_names[OPERATION_COUNT];

struct workload {
    const char *prefix;
    size_t key_size, value_size;
    uint64_t first_key, keys;      /* numbers first_key .. first_key + keys - 1 */
    double share[OPERATION_COUNT]; /* sums to 1 */
};

/* xorshift64*: state must not be 0. */
uint64_t random_next(uint64_t *state);
/* False when a key number does not fit into key_size. */
bool workload_valid(const struct workload *workload);
/* Fills the pool values are cut from; once, before any thread. */
void workload_prepare(void);
enum operation workload_pick(const struct workload *workload, uint64_t *random);
/* Makes path and message of a call. */
void workload_put(const struct workload *workload, uint64_t key, uint64_t *random, struct grpc_call *call);
void workload_range(const struct workload *workload, uint64_t key, bool serializable, struct grpc_call *call);

#endif
