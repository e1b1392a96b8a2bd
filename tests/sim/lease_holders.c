/* lease_holders: see lease_holders.h. */
#include "lease_holders.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/wire.h"
#include "lease_check.h"
#include "requests.h"

enum {
    HOLDERS_MOST = 4,
    CLIENT_FIRST = 100, /* in the trace */
    THINK_HIGH_US = 200000,
    RETRY_HIGH_US = 50000,
    FIRST_OWN_ID = 1000,
    SECOND_US = 1000000,
};

struct holder {
    struct lease_holders *holders;
    unsigned number, slot;
    int64_t id;        /* 0: holds none */
    int64_t ttl;       /* seconds */
    unsigned renewals; /* that it will still ask for */
    int64_t own_id;
};

struct lease_holders {
    struct asker asker;
    struct holder list[HOLDERS_MOST];
    unsigned count;
    bool stopped;
};

static void act(void *context, uint64_t argument);

static void act_later(struct holder *holder, uint64_t high_us) {
    struct asker *asker = &holder->holders->asker;
    world_after(asker->world, random_delay(&asker->random, 1, high_us), act, holder, 0);
}

/* In time; often just in time (when a checkpoint has been made of what remains), sometimes too late. */
static void renew_later(struct holder *holder) {
    struct asker *asker = &holder->holders->asker;
    struct random *random = &asker->random;
    uint64_t ttl_us = (uint64_t)holder->ttl * SECOND_US;
    if (ttl_us > LEASE_SHORT_SECONDS * SECOND_US)
        ttl_us = SECOND_US;
    uint64_t low = random_chance(random, 1, 2) ? 1 : ttl_us / 3;
    uint64_t high = random_chance(random, 1, 20) ? ttl_us * 3 / 2 : ttl_us * 4 / 5;
    world_after(asker->world, random_between(random, low, high), act, holder, 0);
}

static void ended(struct operation *operation) {
    struct holder *holder = operation->context;
    bool fine = operation->end == OPERATION_ANSWERED && operation->status == STATUS_OK;
    if (operation->call.method == METHOD_LEASE_GRANT && !fine)
        holder->id = 0;
    if (operation->call.method == METHOD_LEASE_REVOKE)
        holder->id = 0;
    if (operation->call.method == METHOD_LEASE_KEEP_ALIVE && fine && lease_renewal(operation) == 0)
        holder->id = 0;
    if (holder->id != 0 && operation->call.method == METHOD_LEASE_KEEP_ALIVE)
        renew_later(holder);
    else
        act_later(holder, THINK_HIGH_US);
}

static struct operation *prepare(struct holder *holder, enum proxy_route route, uint16_t method) {
    struct operation *operation =
        asker_operation(&holder->holders->asker, CLIENT_FIRST + holder->number, holder->slot, ended, holder);
    operation->call.route = route;
    operation->call.method = method;
    return operation;
}

static void choose_lease(struct holder *holder, struct random *random) {
    int64_t own = FIRST_OWN_ID * (int64_t)(holder->number + 1) + holder->own_id++;
    holder->ttl = (int64_t)random_between(random, 1, LEASE_SHORT_SECONDS);
    if (random_chance(random, 1, 2)) {
        holder->id = (int64_t)random_between(random, 1, LEASE_SHARED_IDS);
    } else if (random_chance(random, 1, 4)) {
        holder->id = LEASE_LONG_IDS + own;
        holder->ttl = LEASE_LONG_SECONDS;
    } else {
        holder->id = random_chance(random, 1, 4) ? -own : own;
    }
    holder->renewals = (unsigned)random_below(random, 16);
}

static struct operation *grant(struct holder *holder, struct random *random) {
    choose_lease(holder, random);
    struct operation *operation = prepare(holder, PROXY_WRITE, METHOD_LEASE_GRANT);
    wire_put_int64(&operation->body, 1, holder->ttl);
    wire_put_int64(&operation->body, 2, holder->id);
    return operation;
}

static struct operation *attach(struct holder *holder, struct random *random) {
    char name[32];
    struct operation *operation = prepare(holder, PROXY_WRITE, METHOD_PUT);
    (void)snprintf(name, sizeof name, random_chance(random, 1, 3) ? "k%u" : "u%u",
                   (unsigned)random_below(random, 8));
    wire_put_bytes(&operation->body, 1, bytes_from_text(name));
    (void)snprintf(name, sizeof name, "v%" PRIu64 " held", operation->tag);
    wire_put_bytes(&operation->body, 2, bytes_from_text(name));
    wire_put_int64(&operation->body, 3, holder->id);
    return operation;
}

static struct operation *ask_about(struct holder *holder, struct random *random) {
    if (random_chance(random, 1, 3))
        return prepare(holder, PROXY_SERIALIZABLE_READ, METHOD_LEASE_LEASES);
    struct operation *operation = prepare(holder, PROXY_SERIALIZABLE_READ, METHOD_LEASE_TIME_TO_LIVE);
    wire_put_int64(&operation->body, 1, holder->id);
    wire_put_bool(&operation->body, 2, random_chance(random, 2, 3));
    return operation;
}

static struct operation *renew(struct holder *holder) {
    struct operation *operation = prepare(holder, PROXY_SERIALIZABLE_READ, METHOD_LEASE_KEEP_ALIVE);
    wire_put_int64(&operation->body, 1, holder->id);
    holder->renewals--;
    return operation;
}

static struct operation *revoke(struct holder *holder) {
    struct operation *operation = prepare(holder, PROXY_WRITE, METHOD_LEASE_REVOKE);
    wire_put_int64(&operation->body, 1, holder->id);
    return operation;
}

/* NULL: it lets its lease expire. */
static struct operation *choose(struct holder *holder, struct random *random) {
    if (holder->id == 0)
        return grant(holder, random);
    uint64_t dice = random_below(random, 100);
    if (dice < 25)
        return attach(holder, random);
    if (dice < 35)
        return ask_about(holder, random);
    if (holder->renewals > 0)
        return renew(holder);
    return dice < 70 ? revoke(holder) : NULL;
}

static void act(void *context, uint64_t argument) {
    (void)argument;
    struct holder *holder = context;
    struct asker *asker = &holder->holders->asker;
    struct random *random = &asker->random;
    if (holder->holders->stopped)
        return;
    if (random_chance(random, 1, 20) || node_proxy(asker->node, holder->slot) == NULL)
        holder->slot = (unsigned)random_below(random, NODE_PROXIES);
    if (node_proxy(asker->node, holder->slot) == NULL) {
        act_later(holder, RETRY_HIGH_US);
        return;
    }
    struct operation *operation = choose(holder, random);
    if (operation == NULL) {
        holder->id = 0;
        act_later(holder, THINK_HIGH_US);
        return;
    }
    request_tag(operation);
    asker_ask(asker, operation);
}

struct operation *lease_holders_list(struct lease_holders *holders) {
    struct operation *operation = asker_operation(&holders->asker, CLIENT_FIRST, 0, NULL, NULL);
    operation->call.route = PROXY_SERIALIZABLE_READ;
    operation->call.method = METHOD_LEASE_LEASES;
    request_tag(operation);
    asker_ask(&holders->asker, operation);
    return operation;
}

struct lease_holders *lease_holders_new(struct world *world, struct node *node, struct history *history) {
    struct lease_holders *holders = must_zalloc(sizeof *holders);
    asker_init(&holders->asker, world, node, history, random_stream(world->seed, 7));
    struct random *random = &holders->asker.random;
    holders->count = (unsigned)random_below(random, HOLDERS_MOST + 1);
    for (unsigned i = 0; i < holders->count; i++)
        holders->list[i] = (struct holder){.holders = holders, .number = i};
    return holders;
}

void lease_holders_free(struct lease_holders *holders) {
    asker_free(&holders->asker);
    free(holders);
}

void lease_holders_start(struct lease_holders *holders) {
    for (unsigned i = 0; i < holders->count; i++)
        act_later(&holders->list[i], THINK_HIGH_US);
}

void lease_holders_proxy_died(struct lease_holders *holders, unsigned slot) {
    asker_proxy_died(&holders->asker, slot);
}

void lease_holders_stop(struct lease_holders *holders) {
    holders->stopped = true;
}
