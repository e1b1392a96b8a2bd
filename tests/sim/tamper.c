/* tamper: see tamper.h. */
#include "tamper.h"

#include "common/event.h"
#include "common/request.h"
#include "common/wire.h"

enum {
    GAP_ONE_IN = 20,
    LOST_RANGE_ONE_IN = 10,
    WRONG_PREVIOUS_ONE_IN = 10,
    EARLY_ANSWER_ONE_IN = 10,
    LOST_SURVIVOR_ONE_IN = 3
};

bool tamper_plant_late_history, tamper_plant_hidden_gap, tamper_plant_wrong_previous, tamper_plant_lost_range,
    tamper_plant_early_answer, tamper_plant_half_revoke;

static struct bus_record with_body(const struct tamper *tamper, const struct bus_record *record) {
    struct bus_record changed = *record;
    changed.body = buffer_bytes(&tamper->body);
    return changed;
}

/* The user's name, which the body begins with, is left out: nobody has one here. */
static struct bus_record later_history(struct tamper *tamper, const struct bus_record *record) {
    struct bus_request request;
    struct history_request history;
    REQUIRE(bus_get_request(record, &request) && history_request_get(request.body, &history));
    history.from++;
    tamper->body.length = 0;
    history_request_put(&tamper->body, &history);
    return with_body(tamper, record);
}

static struct bus_record fewer_ranges(struct tamper *tamper, const struct bus_record *record) {
    struct bus_ranges ranges;
    struct bus_range range;
    REQUIRE(bus_get_ranges(record, &ranges));
    tamper->body.length = 0;
    while (bus_range_next(&ranges.body, &range)) {
        if (!random_chance(tamper->random, 1, LOST_RANGE_ONE_IN))
            bus_range_put(&tamper->body, &range);
    }
    return with_body(tamper, record);
}

static struct bus_record other_previous(struct tamper *tamper, const struct bus_record *record) {
    struct bus_events events;
    struct event event;
    struct buffer previous = {0};
    REQUIRE(bus_get_events(record, &events));
    tamper->body.length = 0;
    while (event_next(&events.body, &event)) {
        buffer_reset(&previous, SIZE_MAX);
        buffer_append_bytes(&previous, event.previous);
        if (event.previous.length > 0 && tamper->previous.length > 0 &&
            random_chance(tamper->random, 1, WRONG_PREVIOUS_ONE_IN))
            event.previous = buffer_bytes(&tamper->previous);
        event_put(&tamper->body, &event);
        if (previous.length > 0) {
            buffer_reset(&tamper->previous, SIZE_MAX);
            buffer_append_bytes(&tamper->previous, buffer_bytes(&previous));
        }
    }
    buffer_free(&previous);
    return with_body(tamper, record);
}

/* What attaches keys to leases is looked at on its way, to know a key of a lease that ends. */
static struct bus_record halved_entry(struct tamper *tamper, const struct bus_record *record) {
    struct bus_entry entry;
    struct internal_request request;
    struct put_request put;
    struct lease_request revoke;
    if (!bus_get_entry(record, &entry) || !internal_request_decode(entry.data, &request))
        return *record;
    if (request.number == INTERNAL_PUT && put_request_decode(request.body, &put) && put.lease != 0) {
        tamper->lease = put.lease;
        buffer_reset(&tamper->key, SIZE_MAX);
        buffer_append_bytes(&tamper->key, put.key);
    }
    if (request.number != INTERNAL_LEASE_REVOKE || !lease_request_decode(request.body, &revoke) ||
        revoke.id != tamper->lease || revoke.id == tamper->halved)
        return *record;
    tamper->halved = revoke.id;
    struct buffer body = {0};
    wire_put_bytes(&body, 1, buffer_bytes(&tamper->key));
    request.number = INTERNAL_DELETE_RANGE;
    request.body = buffer_bytes(&body);
    tamper->body.length = 0;
    internal_request_encode(&tamper->body, &request);
    buffer_free(&body);
    return with_body(tamper, record);
}

static struct bus_record changed(struct tamper *tamper, const struct bus_record *record) {
    struct bus_record same = *record;
    switch (record->kind) {
    case BUS_PROXY_READ:
        return tamper_plant_late_history && record->code == METHOD_WATCH_HISTORY
                   ? later_history(tamper, record)
                   : same;
    case BUS_PROXY_RANGES:
        return tamper_plant_lost_range ? fewer_ranges(tamper, record) : same;
    case BUS_RAFT_ENTRY:
        return tamper_plant_half_revoke ? halved_entry(tamper, record) : same;
    case BUS_APPLY_WATCH:
        if (tamper_plant_early_answer && random_chance(tamper->random, 1, EARLY_ANSWER_ONE_IN))
            same.position++;
        return same;
    case BUS_APPLY_EVENTS:
        if (tamper_plant_hidden_gap && random_chance(tamper->random, 1, GAP_ONE_IN))
            same.body = bytes_of("", 0);
        return tamper_plant_wrong_previous ? other_previous(tamper, &same) : same;
    default:
        return same;
    }
}

static void take_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct tamper *tamper = context;
    struct bus_record instead = changed(tamper, record);
    tamper->handler.record(tamper->handler.context, link, &instead);
}

static void greet(void *context, struct bus_hello *hello) {
    struct tamper *tamper = context;
    if (tamper->handler.greet != NULL)
        tamper->handler.greet(tamper->handler.context, hello);
}

static void up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct tamper *tamper = context;
    if (tamper->handler.up != NULL)
        tamper->handler.up(tamper->handler.context, link, peer);
}

static void down(void *context, struct bus_link *link) {
    struct tamper *tamper = context;
    if (tamper->handler.down != NULL)
        tamper->handler.down(tamper->handler.context, link);
}

static void room(void *context, struct bus_link *link) {
    struct tamper *tamper = context;
    if (tamper->handler.room != NULL)
        tamper->handler.room(tamper->handler.context, link);
}

struct bus_handler tamper_handler(struct tamper *tamper, struct bus_handler handler, struct random *random) {
    bool planted = tamper_plant_late_history || tamper_plant_hidden_gap || tamper_plant_wrong_previous ||
                   tamper_plant_lost_range || tamper_plant_early_answer || tamper_plant_half_revoke;
    if (!planted)
        return handler;
    tamper->handler = handler;
    tamper->random = random;
    return (struct bus_handler){
        .greet = greet, .up = up, .down = down, .record = take_record, .room = room, .context = tamper};
}

void tamper_free(struct tamper *tamper) {
    buffer_free(&tamper->body);
    buffer_free(&tamper->previous);
    buffer_free(&tamper->key);
    *tamper = (struct tamper){0};
}
