/* clients: see clients.h. */
#include "clients.h"

#include <stdlib.h>

#include "common/wire.h"
#include "requests.h"

enum {
    CLIENTS_USUAL = 12,
    CLIENTS_MOST = 64,
    PADDING_USUAL = 2000,
    PADDING_BIG = 60000,
    THINK_HIGH_US = 30000,
    THINK_CROWD_US = 3000,
    RETRY_HIGH_US = 50000,
    SHORT_DEADLINE_HIGH_US = 100000,
    CANCEL_HIGH_US = 50000,
};

struct client {
    struct clients *clients;
    unsigned number, slot;
    uint64_t think_us; /* longest pause between requests */
    struct request_hints hints;
};

struct clients {
    struct world *world;
    struct node *node;
    struct history *history;
    struct random random;
    struct client list[CLIENTS_MOST];
    unsigned count;
    bool stopped;
    struct arena shadows; /* second copies of requests planted twice */
};

bool clients_plant_twice;

static void act(void *context, uint64_t argument);

static void act_later(struct client *client, uint64_t high_us) {
    struct clients *clients = client->clients;
    world_after(clients->world, random_delay(&clients->random, 1, high_us), act, client, 0);
}

/* The operation has ended: its client, if it is a client's, goes on. */
static void go_on(struct clients *clients, const struct operation *operation) {
    if (operation->client >= clients->count)
        return;
    struct client *client = &clients->list[operation->client];
    if (operation->status == STATUS_OK && operation->revision > client->hints.revision)
        client->hints.revision = operation->revision;
    act_later(client, client->think_us);
}

/* --- inside the proxy --- */

static void begin_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct clients *clients = operation->owner;
    proxy_role_call(node_proxy(clients->node, operation->slot), &operation->call, clients->world->now_us);
}

static void cancel_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct clients *clients = operation->owner;
    if (operation->end != OPERATION_PENDING)
        return;
    uint64_t id = operation->call.id;
    proxy_role_cancel(node_proxy(clients->node, operation->slot), &operation->call);
    operation->call.id = id;
    history_end(operation, OPERATION_ABANDONED);
    go_on(clients, operation);
}

static void take_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct clients *clients = operation->owner;
    if (operation->end != OPERATION_PENDING)
        return;
    proxy_role_consumed(node_proxy(clients->node, operation->slot), &operation->call, operation->taken);
    operation->taken = 0;
}

/* --- events --- */

/* The operation still waits in the proxy process that it was given to. */
static bool is_waiting(const struct operation *operation) {
    const struct clients *clients = operation->owner;
    const struct process *process = &clients->node->daemons[operation->slot].process;
    return operation->end == OPERATION_PENDING && process->alive &&
           process->incarnation == operation->proxy_incarnation;
}

static void cancel(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct clients *clients = operation->owner;
    if (is_waiting(operation))
        node_in_proxy(clients->node, operation->slot, cancel_body, operation);
}

static void take(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct clients *clients = operation->owner;
    if (is_waiting(operation))
        node_in_proxy(clients->node, operation->slot, take_body, operation);
}

/* The parts of a stream are RangeStreamResponses; what is in them, joined, is the unary answer. */
static void join_stream_part(struct operation *operation, struct bytes part) {
    struct wire_reader reader = wire_reader_of(part);
    struct wire_field field;
    while (wire_next(&reader, &field))
        buffer_append_bytes(&operation->answer, field.bytes);
}

static void take_part(struct operation *operation, const struct proxy_result *result) {
    struct clients *clients = operation->owner;
    bool stream = operation->call.method == METHOD_RANGE_STREAM;
    if (stream)
        join_stream_part(operation, result->body);
    else
        buffer_append_bytes(&operation->answer, result->body);
    if (stream ? result->header : result->first)
        operation->revision = result->revision;
    if (!stream && result->first)
        operation->announced = result->more ? result->total : 0;
    operation->status = result->status;
    if (operation->taken == 0 && result->more)
        world_after(clients->world, random_delay(&clients->random, 1, RETRY_HIGH_US), take, operation, 0);
    operation->taken += result->body.length;
}

static void result(struct proxy_call *call, const struct proxy_result *result) {
    struct operation *operation = (struct operation *)(void *)call;
    struct clients *clients = operation->owner;
    /* What a dying proxy says is not heard. */
    if (operation->end != OPERATION_PENDING || !process_boundary(process_current))
        return;
    take_part(operation, result);
    if (result->more) {
        clients->world->counts.parts++;
        return;
    }
    if (operation->status == STATUS_OK && operation->announced != 0 &&
        operation->announced != operation->answer.length)
        world_fail(clients->world, "%s: %zu bytes were announced, %zu came", operation_text(operation),
                   (size_t)operation->announced, operation->answer.length);
    operation->durable = clients->node->log.durable;
    history_end(operation, OPERATION_ANSWERED);
    go_on(clients, operation);
}

static void ignore_result(struct proxy_call *call, const struct proxy_result *outcome) {
    (void)call;
    (void)outcome;
}

/* --- asking --- */

/* False when the proxy is dead: nothing was asked. */
static bool ask(struct clients *clients, struct operation *operation) {
    struct process *process = &clients->node->daemons[operation->slot].process;
    operation->call.result = result;
    operation->proxy_incarnation = process->incarnation;
    history_begin(operation);
    node_in_proxy(clients->node, operation->slot, begin_body, operation);
    return operation->end == OPERATION_PENDING;
}

static void ask_twice(struct clients *clients, const struct operation *operation) {
    /* Lives as long as the history; its answer is thrown away. */
    struct operation *shadow = arena_zalloc(&clients->shadows, sizeof *shadow);
    shadow->owner = clients;
    shadow->slot = operation->slot;
    shadow->call = (struct proxy_call){
        .route = PROXY_WRITE,
        .method = operation->call.method,
        .body = operation->call.body,
        .result = ignore_result,
    };
    node_in_proxy(clients->node, shadow->slot, begin_body, shadow);
}

static struct operation *new_operation(struct clients *clients, unsigned client, unsigned slot) {
    struct operation *operation = history_add(clients->history);
    operation->owner = clients;
    operation->client = client;
    operation->slot = slot;
    return operation;
}

static void act(void *context, uint64_t argument) {
    (void)argument;
    struct client *client = context;
    struct clients *clients = client->clients;
    struct random *random = &clients->random;
    if (clients->stopped)
        return;
    if (random_chance(random, 1, 50))
        client->slot = (unsigned)random_below(random, NODE_PROXIES);
    if (node_proxy(clients->node, client->slot) == NULL) {
        client->slot = (unsigned)random_below(random, NODE_PROXIES);
        act_later(client, RETRY_HIGH_US);
        return;
    }
    struct operation *operation = new_operation(clients, client->number, client->slot);
    request_choose(operation, random, &client->hints);
    if (random_chance(random, 1, 20))
        operation->call.deadline_us =
            clients->world->now_us + random_delay(random, 1, SHORT_DEADLINE_HIGH_US);
    bool pending = ask(clients, operation);
    if (pending && random_chance(random, 1, 30))
        world_after(clients->world, random_delay(random, 1, CANCEL_HIGH_US), cancel, operation, 0);
    if (clients_plant_twice && operation->call.route == PROXY_WRITE && random_chance(random, 1, 20))
        ask_twice(clients, operation);
}

struct operation *clients_probe_write(struct clients *clients, unsigned slot) {
    struct operation *operation = new_operation(clients, CLIENTS_MOST, slot);
    request_put(operation, "probe");
    ask(clients, operation);
    return operation;
}

struct operation *clients_probe_read(struct clients *clients, unsigned slot) {
    struct operation *operation = new_operation(clients, CLIENTS_MOST, slot);
    request_read_all(operation);
    ask(clients, operation);
    return operation;
}

void clients_proxy_died(void *context, unsigned slot) {
    struct clients *clients = context;
    for (size_t i = 0; i < clients->history->count; i++) {
        struct operation *operation = clients->history->operations[i];
        if (operation->end == OPERATION_PENDING && operation->slot == slot) {
            history_end(operation, OPERATION_ABANDONED);
            go_on(clients, operation);
        }
    }
}

struct clients *clients_new(struct world *world, struct node *node, struct history *history) {
    struct clients *clients = must_zalloc(sizeof *clients);
    *clients = (struct clients){.world = world, .node = node, .history = history};
    clients->random = random_stream(world->seed, 4);
    clients->count = (unsigned)random_between(&clients->random, 1, CLIENTS_USUAL);
    uint64_t think_us = THINK_HIGH_US;
    struct request_hints hints = {.value_padding = PADDING_USUAL, .padded_percent = 5};
    if (random_chance(&clients->random, 1, 30)) {
        /* A crowd in a hurry: links run out of credit. */
        clients->count = CLIENTS_MOST;
        think_us = THINK_CROWD_US;
    } else if (random_chance(&clients->random, 1, 30)) {
        /* Answers come in parts. */
        hints = (struct request_hints){.value_padding = PADDING_BIG, .padded_percent = 30};
    }
    for (unsigned i = 0; i < clients->count; i++) {
        clients->list[i] = (struct client){
            .clients = clients,
            .number = i,
            .slot = (unsigned)random_below(&clients->random, NODE_PROXIES),
            .think_us = random_delay(&clients->random, 10, think_us),
            .hints = hints,
        };
    }
    return clients;
}

void clients_free(struct clients *clients) {
    arena_free(&clients->shadows);
    free(clients);
}

void clients_start(struct clients *clients) {
    for (unsigned i = 0; i < clients->count; i++)
        act_later(&clients->list[i], THINK_HIGH_US);
}

void clients_stop(struct clients *clients) {
    clients->stopped = true;
}
