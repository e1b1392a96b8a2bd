/* hub: see hub.h. The event stream comes in, rounds end, and links come and go. */
#include "proxy/watch/hub.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"
#include "proxy/watch/hub_state.h"

struct watch_hub *hub_new(struct proxy_role *role) {
    struct watch_hub *hub = must_zalloc(sizeof *hub);
    hub->role = role;
    hub->index.keys.seed = role->config.seed;
    return hub;
}

void hub_free(struct watch_hub *hub) {
    while (hub->streams != NULL)
        watch_close(hub->streams);
    ask_free_all(hub);
    interest_index_free(&hub->index);
    ranges_free(&hub->ranges);
    ring_free(&hub->ring);
    batch_free(&hub->batch);
    buffer_free(&hub->scratch);
    buffer_free(&hub->header);
    free(hub);
}

/* --- the event stream --- */

/* What lies between the position and `from` will not come. */
static void gap(struct watch_hub *hub, int64_t from) {
    hub_deliver(hub);
    ring_clear(&hub->ring, from);
}

static void advance(struct watch_hub *hub, int64_t position) {
    if (position > hub->position)
        hub->position = position;
    if ((uint64_t)hub->position > hub->role->view.revision)
        hub->role->view.revision = (uint64_t)hub->position;
}

static void match_all(struct watch_hub *hub, const struct ring_block *block) {
    struct bytes body = bytes_of(block->body, block->length);
    struct event event;
    while (event_next(&body, &event)) {
        if (event.revision > hub->position)
            batch_add(&hub->batch, &hub->index, LANE_STREAM, &event);
    }
}

void hub_events(struct watch_hub *hub, const struct bus_events *events) {
    if (events->to <= hub->position)
        return;
    if (events->from > hub->position + 1)
        gap(hub, events->from);
    const struct ring_block *block = ring_append(&hub->ring, events);
    if (block != NULL)
        match_all(hub, block);
    advance(hub, events->to);
}

void hub_answer(struct watch_hub *hub, const struct bus_watch_answer *answer) {
    hub_deliver(hub); /* what came before it goes out before it */
    if (answer->revision > hub->position) {
        gap(hub, answer->revision + 1);
        advance(hub, answer->revision);
    }
    ask_answered(hub, answer);
}

void hub_deliver(struct watch_hub *hub) {
    batch_deliver(&hub->batch, LANE_STREAM);
}

/* --- links and rounds --- */

void hub_apply_up(struct watch_hub *hub) {
    ask_again(hub);
    hub->ranges_changed = hub->ranges.count > 0; /* of us apply knows nothing */
    hub_end_round(hub);
}

void hub_apply_down(struct watch_hub *hub) {
    ask_again(hub);
}

static void tell_ranges(struct watch_hub *hub) {
    if (!hub->ranges_changed || !hub->role->view.apply_up)
        return;
    hub->scratch.length = 0;
    ranges_put(&hub->ranges, &hub->scratch);
    struct bus_ranges record = {.revision = hub->position, .body = buffer_bytes(&hub->scratch)};
    hub->ranges_changed = !bus_put_ranges(hub->role->apply, &record);
}

void hub_end_round(struct watch_hub *hub) {
    hub_deliver(hub);
    ring_trim(&hub->ring);
    tell_ranges(hub);
    ask_send(hub);
}

void hub_tick(struct watch_hub *hub) {
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_WATCHER_TOTAL, (int64_t)hub->watcher_count);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_WATCH_STREAM_TOTAL, (int64_t)hub->stream_count);
}

uint64_t hub_next_us(const struct watch_hub *hub) {
    (void)hub;
    return UINT64_MAX;
}

void hub_catch_up(struct watcher *watcher) {
    watcher_rest(watcher, WATCHER_BEHIND);
}
