/* requests: see requests.h. The mix: about half writes; hot keys, so that order matters. */
#include "requests.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/wire.h"
#include "lease_holders.h"

enum { HOT_KEYS = 8 };

static struct bytes hot_key(struct random *random, char name[32]) {
    (void)snprintf(name, 32, "k%u", (unsigned)random_below(random, HOT_KEYS));
    return bytes_from_text(name);
}

static void put_key(struct buffer *out, struct random *random) {
    char name[32];
    wire_put_bytes(out, 1, hot_key(random, name));
}

/* A key, sometimes a range of them, sometimes all. */
static void put_interval(struct buffer *out, struct random *random) {
    char name[32];
    if (random_chance(random, 1, 6)) {
        wire_put_bytes(out, 1, bytes_of("\0", 1));
        wire_put_bytes(out, 2, bytes_of("\0", 1));
        return;
    }
    put_key(out, random);
    if (random_chance(random, 1, 3))
        wire_put_bytes(out, 2, hot_key(random, name));
}

static void put_body(struct buffer *out, struct random *random, const struct operation *operation,
                     unsigned part, const struct request_hints *hints) {
    struct buffer value = {0};
    buffer_printf(&value, "v%" PRIu64 ".%u", operation->tag, part);
    size_t padding = (size_t)random_below(random, hints->value_padding);
    if (random_chance(random, hints->padded_percent, 100)) {
        memset(buffer_reserve(&value, padding), '.', padding);
        value.length += padding;
    }
    wire_put_bytes(out, 2, buffer_bytes(&value));
    if (random_chance(random, hints->leased_percent, 100))
        wire_put_uint64(out, 3, random_between(random, 1, LEASE_SHARED_IDS));
    wire_put_bool(out, 4, random_chance(random, 1, 2));
    buffer_free(&value);
}

static void choose_put(struct operation *operation, struct random *random,
                       const struct request_hints *hints) {
    char name[32];
    struct bytes key = hot_key(random, name);
    if (random_chance(random, 1, 10)) {
        (void)snprintf(name, sizeof name, "u%" PRIu64, operation->tag);
        key = bytes_from_text(name);
    }
    wire_put_bytes(&operation->body, 1, key);
    if (random_chance(random, 1, 20)) {
        wire_put_bool(&operation->body, 4, true);
        wire_put_bool(&operation->body, 5, true);                        /* ignore_value */
        wire_put_bool(&operation->body, 6, random_chance(random, 1, 2)); /* ignore_lease */
        return;
    }
    put_body(&operation->body, random, operation, 0, hints);
}

static void choose_delete(struct operation *operation, struct random *random) {
    if (random_chance(random, 1, 8))
        put_interval(&operation->body, random);
    else
        put_key(&operation->body, random);
    wire_put_bool(&operation->body, 3, random_chance(random, 1, 2));
}

static void put_compare(struct buffer *out, struct random *random, const struct request_hints *hints) {
    char name[32];
    size_t mark = wire_begin_message(out, 1);
    wire_put_uint64(out, 1, random_below(random, 4));
    uint64_t target = random_below(random, 5);
    wire_put_uint64(out, 2, target);
    wire_put_bytes(out, 3, hot_key(random, name));
    if (target == 3)
        wire_put_bytes_always(out, 7, bytes_from_text(random_chance(random, 1, 2) ? "v" : "v5"));
    else if (target == 0)
        wire_put_uint64_always(out, 4, random_below(random, 4));
    else if (target == 4)
        wire_put_uint64_always(out, 8, random_below(random, LEASE_SHARED_IDS));
    else
        wire_put_uint64_always(out, (uint32_t)(4 + target),
                               random_chance(random, 1, 3) ? 0 : hints->revision - random_below(random, 8));
    wire_end_message(out, mark);
}

/* What one transaction is made of. Keys of puts differ by part, and a branch puts or deletes, not both: etcd
 * refuses duplicates before the log. */
struct txn_maker {
    struct buffer *out;
    struct random *random;
    const struct operation *operation;
    const struct request_hints *hints;
    unsigned part;
    bool deleting;
};

static void put_branches(struct txn_maker *maker, unsigned depth);

static void put_operation(struct txn_maker *maker, uint32_t branch, unsigned depth) {
    struct buffer *out = maker->out;
    size_t outer = wire_begin_message(out, branch);
    uint64_t kind = random_below(maker->random, 12);
    if (kind == 0 && depth < 3) {
        size_t inner = wire_begin_message(out, OP_TXN);
        put_branches(maker, depth + 1);
        wire_end_message(out, inner);
    } else if (kind < 4) {
        size_t inner = wire_begin_message(out, OP_RANGE);
        put_interval(out, maker->random);
        wire_put_uint64(out, 3, random_below(maker->random, 4));
        wire_end_message(out, inner);
    } else if (maker->deleting) {
        size_t inner = wire_begin_message(out, OP_DELETE_RANGE);
        put_key(out, maker->random);
        wire_put_bool(out, 3, true);
        wire_end_message(out, inner);
    } else {
        size_t inner = wire_begin_message(out, OP_PUT);
        char name[32];
        (void)snprintf(name, sizeof name, "k%u", maker->part++);
        wire_put_bytes(out, 1, bytes_from_text(name));
        put_body(out, maker->random, maker->operation, maker->part, maker->hints);
        wire_end_message(out, inner);
    }
    wire_end_message(out, outer);
}

static void put_branches(struct txn_maker *maker, unsigned depth) {
    for (uint64_t i = random_below(maker->random, 3); i > 0; i--)
        put_compare(maker->out, maker->random, maker->hints);
    for (uint32_t branch = TXN_SUCCESS; branch <= TXN_FAILURE; branch++) {
        for (uint64_t i = random_below(maker->random, 4); i > 0; i--)
            put_operation(maker, branch, depth);
    }
}

static void choose_txn(struct operation *operation, struct random *random,
                       const struct request_hints *hints) {
    struct txn_maker maker = {
        .out = &operation->body, .random = random, .operation = operation, .hints = hints};
    maker.deleting = random_chance(random, 1, 3);
    put_branches(&maker, 0);
}

/* Mostly one of the last few; sometimes any. */
static uint64_t past_revision(struct random *random, const struct request_hints *hints, uint64_t near) {
    uint64_t back = random_below(random, random_chance(random, 2, 3) ? near : hints->revision);
    return back < hints->revision ? hints->revision - back : 1;
}

static void put_range(struct buffer *out, struct random *random, const struct request_hints *hints) {
    put_interval(out, random);
    if (random_chance(random, 1, 4))
        wire_put_uint64(out, 3, random_between(random, 1, 5));
    if (random_chance(random, 1, 6) && hints->revision > 4)
        wire_put_uint64(out, 4, past_revision(random, hints, 4));
    wire_put_bool(out, 8, random_chance(random, 1, 8));
    wire_put_bool(out, 9, random_chance(random, 1, 8));
}

static void choose_read(struct operation *operation, struct random *random,
                        const struct request_hints *hints) {
    bool serializable = random_chance(random, 2, 5);
    operation->call.route = serializable ? PROXY_SERIALIZABLE_READ : PROXY_LINEARIZABLE_READ;
    operation->call.method = random_chance(random, 1, 6) ? METHOD_TXN : METHOD_RANGE;
    if (operation->call.method == METHOD_RANGE) {
        if (random_chance(random, 1, 5))
            operation->call.method = METHOD_RANGE_STREAM;
        put_range(&operation->body, random, hints);
        wire_put_bool(&operation->body, 7, serializable);
        return;
    }
    if (random_chance(random, 1, 2))
        put_compare(&operation->body, random, hints);
    for (uint64_t i = random_between(random, 1, 3); i > 0; i--) {
        uint32_t branch = random_chance(random, 1, 2) ? TXN_SUCCESS : TXN_FAILURE;
        size_t outer = wire_begin_message(&operation->body, branch);
        size_t inner = wire_begin_message(&operation->body, 1);
        put_range(&operation->body, random, hints);
        wire_put_bool(&operation->body, 7, serializable);
        wire_end_message(&operation->body, inner);
        wire_end_message(&operation->body, outer);
    }
}

static void choose_cluster(struct operation *operation) {
    operation->call.route = PROXY_CLUSTER;
    operation->call.method = METHOD_MEMBER_LIST;
}

void request_tag(struct operation *operation) {
    wire_put_uint64(&operation->body, TAG_FIELD, operation->tag);
    operation->call.body = buffer_bytes(&operation->body);
}

void request_choose(struct operation *operation, struct random *random, const struct request_hints *hints) {
    uint64_t dice = random_below(random, 100);
    operation->call.route = PROXY_WRITE;
    if (dice < 35) {
        operation->call.method = METHOD_PUT;
        choose_put(operation, random, hints);
    } else if (dice < 43) {
        operation->call.method = METHOD_DELETE_RANGE;
        choose_delete(operation, random);
    } else if (dice < 58) {
        operation->call.method = METHOD_TXN;
        choose_txn(operation, random, hints);
    } else if (dice < 60) {
        operation->call.method = METHOD_COMPACT;
        wire_put_uint64(&operation->body, 1, past_revision(random, hints, 20));
        wire_put_bool(&operation->body, 2, random_chance(random, 1, 3));
    } else if (dice < 61) {
        choose_cluster(operation);
    } else {
        choose_read(operation, random, hints);
    }
    request_tag(operation);
}

void request_put(struct operation *operation, const char *key) {
    operation->call.route = PROXY_WRITE;
    operation->call.method = METHOD_PUT;
    wire_put_bytes(&operation->body, 1, bytes_from_text(key));
    wire_put_bytes(&operation->body, 2, bytes_from_text("probe"));
    request_tag(operation);
}

void request_compact(struct operation *operation, uint64_t revision) {
    operation->call.route = PROXY_WRITE;
    operation->call.method = METHOD_COMPACT;
    wire_put_uint64(&operation->body, 1, revision);
    wire_put_bool(&operation->body, 2, true);
    request_tag(operation);
}

void request_read_all(struct operation *operation, uint64_t revision) {
    operation->call.route = PROXY_LINEARIZABLE_READ;
    operation->call.method = METHOD_RANGE;
    wire_put_bytes(&operation->body, 1, bytes_of("\0", 1));
    wire_put_bytes(&operation->body, 2, bytes_of("\0", 1));
    wire_put_uint64(&operation->body, 4, revision);
    request_tag(operation);
}
