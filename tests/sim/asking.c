/* asking: see asking.h. */
#include "asking.h"

#include "common/wire.h"

enum { TAKE_HIGH_US = 50000 };

/* --- inside the proxy --- */

static void begin_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct asker *asker = operation->asker;
    proxy_role_call(node_proxy(asker->node, operation->slot), &operation->call, asker->world->now_us);
}

static void cancel_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct asker *asker = operation->asker;
    if (operation->end != OPERATION_PENDING)
        return;
    uint64_t id = operation->call.id;
    proxy_role_cancel(node_proxy(asker->node, operation->slot), &operation->call);
    operation->call.id = id;
    history_end(operation, OPERATION_ABANDONED);
    if (operation->ended != NULL)
        operation->ended(operation);
}

static void take_body(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct asker *asker = operation->asker;
    if (operation->end != OPERATION_PENDING)
        return;
    proxy_role_consumed(node_proxy(asker->node, operation->slot), &operation->call, operation->taken);
    operation->taken = 0;
}

/* --- events --- */

/* The operation still waits in the proxy process that it was given to. */
static bool is_waiting(const struct operation *operation) {
    const struct asker *asker = operation->asker;
    const struct process *process = &asker->node->daemons[operation->slot].process;
    return operation->end == OPERATION_PENDING && process->alive &&
           process->incarnation == operation->proxy_incarnation;
}

static void cancel(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct asker *asker = operation->asker;
    if (is_waiting(operation))
        node_in_proxy(asker->node, operation->slot, cancel_body, operation);
}

static void take(void *context, uint64_t argument) {
    (void)argument;
    struct operation *operation = context;
    struct asker *asker = operation->asker;
    if (is_waiting(operation))
        node_in_proxy(asker->node, operation->slot, take_body, operation);
}

/* The parts of a stream are RangeStreamResponses; what is in them, joined, is the unary answer. */
static void join_stream_part(struct operation *operation, struct bytes part) {
    struct wire_reader reader = wire_reader_of(part);
    struct wire_field field;
    while (wire_next(&reader, &field))
        buffer_append_bytes(&operation->answer, field.bytes);
}

static void take_part(struct operation *operation, const struct proxy_result *result) {
    struct asker *asker = operation->asker;
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
        world_after(asker->world, random_delay(&asker->random, 1, TAKE_HIGH_US), take, operation, 0);
    operation->taken += result->body.length;
}

static void result(struct proxy_call *call, const struct proxy_result *result) {
    struct operation *operation = (struct operation *)(void *)call;
    struct asker *asker = operation->asker;
    /* What a dying proxy says is not heard. */
    if (operation->end != OPERATION_PENDING || !process_boundary(process_current))
        return;
    take_part(operation, result);
    if (result->more) {
        asker->world->counts.parts++;
        return;
    }
    if (operation->status == STATUS_OK && operation->announced != 0 &&
        operation->announced != operation->answer.length)
        world_fail(asker->world, "%s: %zu bytes were announced, %zu came", operation_text(operation),
                   (size_t)operation->announced, operation->answer.length);
    operation->durable = asker->node->log.durable;
    history_end(operation, OPERATION_ANSWERED);
    if (operation->ended != NULL)
        operation->ended(operation);
}

static void ignore_result(struct proxy_call *call, const struct proxy_result *outcome) {
    (void)call;
    (void)outcome;
}

/* --- asking --- */

bool asker_ask(struct asker *asker, struct operation *operation) {
    struct process *process = &asker->node->daemons[operation->slot].process;
    operation->call.result = result;
    operation->proxy_incarnation = process->incarnation;
    history_begin(operation);
    node_in_proxy(asker->node, operation->slot, begin_body, operation);
    return operation->end == OPERATION_PENDING;
}

void asker_ask_twice(struct asker *asker, const struct operation *operation) {
    /* Lives as long as the history. */
    struct operation *shadow = arena_zalloc(&asker->shadows, sizeof *shadow);
    shadow->asker = asker;
    shadow->slot = operation->slot;
    shadow->call = (struct proxy_call){
        .route = PROXY_WRITE,
        .method = operation->call.method,
        .body = operation->call.body,
        .result = ignore_result,
    };
    node_in_proxy(asker->node, shadow->slot, begin_body, shadow);
}

void asker_cancel_later(struct asker *asker, struct operation *operation, uint64_t delay_us) {
    world_after(asker->world, delay_us, cancel, operation, 0);
}

struct operation *asker_operation(struct asker *asker, unsigned client, unsigned slot,
                                  void (*ended)(struct operation *operation), void *context) {
    struct operation *operation = history_add(asker->history);
    operation->asker = asker;
    operation->client = client;
    operation->slot = slot;
    operation->ended = ended;
    operation->context = context;
    return operation;
}

void asker_proxy_died(struct asker *asker, unsigned slot) {
    for (size_t i = 0; i < asker->history->count; i++) {
        struct operation *operation = asker->history->operations[i];
        if (operation->end != OPERATION_PENDING || operation->slot != slot || operation->asker != asker)
            continue;
        history_end(operation, OPERATION_ABANDONED);
        if (operation->ended != NULL)
            operation->ended(operation);
    }
}

void asker_init(struct asker *asker, struct world *world, struct node *node, struct history *history,
                struct random random) {
    *asker = (struct asker){.world = world, .node = node, .history = history, .random = random};
}

void asker_free(struct asker *asker) {
    arena_free(&asker->shadows);
}
