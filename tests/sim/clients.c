/* clients: see clients.h. */
#include "clients.h"

#include <stdlib.h>

#include "asking.h"
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
    struct asker asker;
    struct client list[CLIENTS_MOST];
    unsigned count;
    bool stopped;
};

bool clients_plant_twice;

static void act(void *context, uint64_t argument);

static void act_later(struct client *client, uint64_t high_us) {
    struct asker *asker = &client->clients->asker;
    world_after(asker->world, random_delay(&asker->random, 1, high_us), act, client, 0);
}

/* The client's operation has ended. */
static void go_on(struct operation *operation) {
    struct client *client = operation->context;
    if (operation->status == STATUS_OK && operation->revision > client->hints.revision)
        client->hints.revision = operation->revision;
    act_later(client, client->think_us);
}

static void act(void *context, uint64_t argument) {
    (void)argument;
    struct client *client = context;
    struct clients *clients = client->clients;
    struct asker *asker = &clients->asker;
    struct random *random = &asker->random;
    if (clients->stopped)
        return;
    if (random_chance(random, 1, 50))
        client->slot = (unsigned)random_below(random, NODE_PROXIES);
    if (node_proxy(asker->node, client->slot) == NULL) {
        client->slot = (unsigned)random_below(random, NODE_PROXIES);
        act_later(client, RETRY_HIGH_US);
        return;
    }
    struct operation *operation = asker_operation(asker, client->number, client->slot, go_on, client);
    request_choose(operation, random, &client->hints);
    if (random_chance(random, 1, 20))
        operation->call.deadline_us = asker->world->now_us + random_delay(random, 1, SHORT_DEADLINE_HIGH_US);
    bool pending = asker_ask(asker, operation);
    if (pending && random_chance(random, 1, 30))
        asker_cancel_later(asker, operation, random_delay(random, 1, CANCEL_HIGH_US));
    if (clients_plant_twice && operation->call.route == PROXY_WRITE && random_chance(random, 1, 20))
        asker_ask_twice(asker, operation);
}

struct operation *clients_probe_write(struct clients *clients, unsigned slot) {
    struct operation *operation = asker_operation(&clients->asker, CLIENTS_MOST, slot, NULL, NULL);
    request_put(operation, "probe");
    asker_ask(&clients->asker, operation);
    return operation;
}

struct operation *clients_probe_read(struct clients *clients, unsigned slot, uint64_t revision) {
    struct operation *operation = asker_operation(&clients->asker, CLIENTS_MOST, slot, NULL, NULL);
    request_read_all(operation, revision);
    asker_ask(&clients->asker, operation);
    return operation;
}

struct operation *clients_probe_compact(struct clients *clients, unsigned slot, uint64_t revision) {
    struct operation *operation = asker_operation(&clients->asker, CLIENTS_MOST, slot, NULL, NULL);
    request_compact(operation, revision);
    asker_ask(&clients->asker, operation);
    return operation;
}

void clients_proxy_died(struct clients *clients, unsigned slot) {
    asker_proxy_died(&clients->asker, slot);
}

struct clients *clients_new(struct world *world, struct node *node, struct history *history) {
    struct clients *clients = must_zalloc(sizeof *clients);
    asker_init(&clients->asker, world, node, history, random_stream(world->seed, 4));
    struct random *random = &clients->asker.random;
    clients->count = (unsigned)random_between(random, 1, CLIENTS_USUAL);
    uint64_t think_us = THINK_HIGH_US;
    struct request_hints hints = {.value_padding = PADDING_USUAL, .padded_percent = 5, .leased_percent = 3};
    if (random_chance(random, 1, 30)) {
        /* A crowd in a hurry: links run out of credit. */
        clients->count = CLIENTS_MOST;
        think_us = THINK_CROWD_US;
    } else if (random_chance(random, 1, 30)) {
        /* Answers come in parts. */
        hints =
            (struct request_hints){.value_padding = PADDING_BIG, .padded_percent = 30, .leased_percent = 3};
    }
    for (unsigned i = 0; i < clients->count; i++) {
        clients->list[i] = (struct client){
            .clients = clients,
            .number = i,
            .slot = (unsigned)random_below(random, NODE_PROXIES),
            .think_us = random_delay(random, 10, think_us),
            .hints = hints,
        };
    }
    return clients;
}

void clients_free(struct clients *clients) {
    asker_free(&clients->asker);
    free(clients);
}

void clients_start(struct clients *clients) {
    for (unsigned i = 0; i < clients->count; i++)
        act_later(&clients->list[i], THINK_HIGH_US);
}

void clients_stop(struct clients *clients) {
    clients->stopped = true;
}
