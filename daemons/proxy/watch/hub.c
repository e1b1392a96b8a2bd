/* hub: see hub.h. The event stream comes in, rounds end, and links come and go. */
#include "proxy/watch/hub.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"
#include "proxy/watch/hub_state.h"

enum {
    RING_BYTES = 16 << 20,
    RING_EVENTS = 65536,
    PIECE_BYTES = 256 << 10,
    FRAGMENT_OVERHEAD = 512 << 10,
    RESPONSE_HEAD = 64, /* what stands before the events takes at most so many bytes */
    HELD_BYTES = 16 << 20,
};

static void set_default(size_t *limit, size_t value) {
    if (*limit == 0)
        *limit = value;
}

static struct watch_limits limits_of(const struct proxy_role_config *config) {
    struct watch_limits limits = config->watch_limits;
    set_default(&limits.ring_bytes, RING_BYTES);
    set_default(&limits.ring_events, RING_EVENTS);
    set_default(&limits.piece_bytes, PIECE_BYTES);
    set_default(&limits.fragment_bytes, config->max_request_bytes + FRAGMENT_OVERHEAD - RESPONSE_HEAD);
    set_default(&limits.held_bytes, HELD_BYTES);
    return limits;
}

struct watch_hub *hub_new(struct proxy_role *role) {
    struct watch_hub *hub = must_zalloc(sizeof *hub);
    hub->role = role;
    hub->index.keys.seed = hub->jitter = role->config.seed;
    hub->notify_us = UINT64_MAX;
    hub->progress_start = INT64_MAX;
    hub->limits = limits_of(&role->config);
    return hub;
}

void hub_free(struct watch_hub *hub) {
    while (hub->streams != NULL)
        watch_close(hub->streams);
    ask_free_all(hub);
    scan_free_all(hub);
    interest_index_free(&hub->index);
    ranges_free(&hub->ranges);
    ring_free(&hub->ring);
    batch_free(&hub->batch);
    encoded_free(&hub->fed);
    buffer_free(&hub->scratch);
    buffer_free(&hub->header);
    free(hub);
}

/* --- the event stream --- */

/* What lies between the position and `from` will not come: history has it. */
static void gap(struct watch_hub *hub, int64_t from) {
    hub_deliver(hub);
    ring_clear(&hub->ring, from);
    int64_t missed = hub->position + 1;
    hub->position = from - 1;
    for (struct watch_stream *stream = hub->streams; stream != NULL; stream = stream->next) {
        for (size_t i = 0; i < stream->count; i++) {
            struct watcher *watcher = stream->watchers[i];
            if (watcher->state != WATCHER_SYNCED)
                continue;
            if (watcher->next < missed)
                watcher->next = missed;
            catch_up(watcher);
        }
    }
}

static void advance(struct watch_hub *hub, int64_t position) {
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
    size_t count = 0;
    if (!event_count(events->body, &count)) {
        bus_link_reset(hub->role->apply, "malformed events");
        return;
    }
    if (events->to <= hub->position)
        return;
    if (events->from > hub->position + 1)
        gap(hub, events->from);
    if (count > 0)
        match_all(hub, ring_append(&hub->ring, events, count));
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
    batch_deliver(&hub->batch, LANE_STREAM, false);
}

/* --- links and rounds --- */

void hub_apply_up(struct watch_hub *hub) {
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
    queue_feed(hub);
    ring_trim(&hub->ring, hub->limits.ring_bytes, hub->limits.ring_events);
    scan_check(hub);
    scan_begin_all(hub);
    progress_deferred(hub);
    tell_ranges(hub);
    ask_send(hub);
}

/* --- time --- */

enum { CHECK_US = 50000, SHRINK_ABOVE = 64 };

static void report(struct watch_hub *hub) {
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_WATCHER_TOTAL, (int64_t)hub->watcher_count);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_WATCH_STREAM_TOTAL, (int64_t)hub->stream_count);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_SLOW_WATCHER_TOTAL, (int64_t)hub->slow);
    if (hub->events_given > 0)
        metric_add(METRIC_ETCD_DEBUGGING_MVCC_EVENTS_TOTAL, hub->events_given);
    hub->events_given = 0;
}

/* Once most interests are gone, or all, apply need not publish what they were for. */
static void shrink_ranges(struct watch_hub *hub) {
    bool worth = hub->index.count == 0 || hub->released > hub->index.count + SHRINK_ABOVE;
    if (hub->released == 0 || !worth)
        return;
    hub->released = 0;
    if (hub->index.count == 0) /* nobody will want what is there now */
        ring_clear(&hub->ring, hub->position + 1);
    struct interest_list all = {0};
    interest_index_all(&hub->index, &all);
    if (ranges_rebuild(&hub->ranges, &all))
        hub->ranges_changed = true;
    interest_list_free(&all);
}

/* After three election timeouts, as etcd. */
static uint64_t leader_patience_us(const struct watch_hub *hub) {
    return 3 * hub->role->config.election_us;
}

static void check_leader(struct watch_hub *hub) {
    const struct proxy_view *view = &hub->role->view;
    if (view->raft_up && view->leader != 0)
        hub->leaderless_us = 0;
    else if (hub->leaderless_us == 0)
        hub->leaderless_us = hub_now_us(hub);
    if (hub->needing_leader == 0 || hub->leaderless_us == 0 ||
        hub_now_us(hub) - hub->leaderless_us < leader_patience_us(hub))
        return;
    for (struct watch_stream *at = hub->streams; at != NULL; at = at->next) {
        if (at->options.needs_leader && !at->ended)
            stream_end(at, STATUS_NO_LEADER);
    }
}

void hub_tick(struct watch_hub *hub) {
    check_leader(hub);
    hub_deliver(hub); /* progress comes behind it */
    progress_notify_all(hub);
    if (hub_now_us(hub) < hub->check_us)
        return;
    hub->check_us = hub_now_us(hub) + CHECK_US;
    flow_check(hub);
    shrink_ranges(hub);
    report(hub);
}

static void sooner(uint64_t *at, uint64_t other) {
    if (other < *at)
        *at = other;
}

uint64_t hub_next_us(const struct watch_hub *hub) {
    if (hub->queues[WAIT_RING].head != NULL)
        return hub_now_us(hub);
    uint64_t next = hub->notify_us;
    if (hub->needing_leader > 0 && hub->leaderless_us != 0)
        sooner(&next, hub->leaderless_us + leader_patience_us(hub));
    if (hub->stopped > 0 || scan_owes(hub))
        sooner(&next, hub->check_us);
    bool waiting = hub->queues[WAIT_SHORT].head != NULL || hub->queues[WAIT_LONG].head != NULL;
    if (waiting && hub_now_us(hub) < hub->retry_us)
        sooner(&next, hub->retry_us);
    return next;
}
