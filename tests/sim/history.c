/* history: see history.h; the judgement is in history_check.c. */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void history_init(struct history *history, struct world *world) {
    *history = (struct history){.world = world};
}

void history_free(struct history *history) {
    for (size_t i = 0; i < history->count; i++) {
        buffer_free(&history->operations[i]->body);
        buffer_free(&history->operations[i]->answer);
        free(history->operations[i]);
    }
    free(history->operations);
    free(history->events);
}

struct operation *history_add(struct history *history) {
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? 256 : history->capacity * 2;
        history->operations =
            must_realloc(history->operations, history->capacity * sizeof *history->operations);
    }
    struct operation *operation = must_zalloc(sizeof *operation);
    history->operations[history->count++] = operation;
    operation->history = history;
    operation->tag = history->count;
    return operation;
}

static void add_event(struct history *history, struct history_event event) {
    if (history->event_count == history->event_capacity) {
        history->event_capacity = history->event_capacity == 0 ? 512 : history->event_capacity * 2;
        history->events = must_realloc(history->events, history->event_capacity * sizeof *history->events);
    }
    history->events[history->event_count++] = event;
}

void history_begin(struct operation *operation) {
    struct history *history = operation->history;
    operation->started_us = history->world->now_us;
    history->pending++;
    history->world->counts.operations++;
    add_event(history, (struct history_event){.operation = operation, .start = true});
    world_trace(history->world, "ask %s", operation_text(operation));
}

void history_end(struct operation *operation, enum operation_end end) {
    struct history *history = operation->history;
    operation->ended_us = history->world->now_us;
    operation->end = end;
    operation->id = operation->call.id;
    history->pending--;
    if (end == OPERATION_ABANDONED)
        history->world->counts.unknown++;
    else if (operation->status == STATUS_OK)
        history->world->counts.acknowledged++;
    else
        history->world->counts.failed++;
    add_event(history, (struct history_event){.operation = operation});
    world_trace(history->world, "end %s", operation_text(operation));
}

void history_mark_now(struct history *history, struct history_mark *mark) {
    add_event(history, (struct history_event){.mark = mark});
}

void history_told(struct history *history, uint64_t revision) {
    if (revision <= history->told)
        return;
    history->told = revision;
    add_event(history, (struct history_event){.revision = revision});
}

const char *operation_text(const struct operation *operation) {
    static const char *const routes[] = {"write", "linearizable", "serializable", "cluster"};
    static const char *const ends[] = {"pending", "answered", "abandoned"};
    static const char *const methods[] = {
        [METHOD_NONE] = "none",
        [METHOD_RANGE] = "range",
        [METHOD_PUT] = "put",
        [METHOD_DELETE_RANGE] = "delete",
        [METHOD_TXN] = "txn",
        [METHOD_COMPACT] = "compact",
        [METHOD_RANGE_STREAM] = "range stream",
        [METHOD_MEMBER_LIST] = "members",
        [METHOD_LEASE_GRANT] = "grant",
        [METHOD_LEASE_REVOKE] = "revoke",
        [METHOD_LEASE_KEEP_ALIVE] = "keep alive",
        [METHOD_LEASE_TIME_TO_LIVE] = "time to live",
        [METHOD_LEASE_LEASES] = "leases",
    };
    static char text[256];
    uint16_t method = operation->call.method;
    (void)snprintf(text, sizeof text,
                   "#%" PRIu64 " client %u proxy-%u %s %s id %016" PRIx64 " %s status %u revision %" PRIu64,
                   operation->tag, operation->client, operation->slot, routes[operation->call.route],
                   method <= METHOD_LEASE_LEASES && methods[method] != NULL ? methods[method] : "other",
                   operation->call.id, ends[operation->end], operation->status, operation->revision);
    return text;
}
