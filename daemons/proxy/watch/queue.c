/*
 * queue: watchers that are behind the stream. Who misses only what the ring still has is fed from there;
 * who misses more waits for a scan of history, with others that are about as far behind (scan.c).
 */
#include "proxy/watch/hub_state.h"

enum {
    SHORT_LAG = 10000,              /* revisions; more is a long way */
    FEED_EVENTS = 65536,            /* looked at for one watcher before it is the next one's turn */
    FEED_BYTES = 256 << 10,         /* given to it before */
    ROUND_EVENTS = 4 * FEED_EVENTS, /* looked at in one round */
};

static void queue_add(struct watcher *watcher, enum wait which) {
    struct watcher_queue *queue = &watcher->stream->hub->queues[which];
    watcher->queue = (uint8_t)which;
    watcher->queue_next = NULL;
    watcher->queue_previous = queue->tail;
    if (queue->tail != NULL)
        queue->tail->queue_next = watcher;
    else
        queue->head = watcher;
    queue->tail = watcher;
}

void queue_leave(struct watcher *watcher) {
    if (watcher->queue == WAIT_NONE)
        return;
    struct watcher_queue *queue = &watcher->stream->hub->queues[watcher->queue];
    if (watcher->queue_next != NULL)
        watcher->queue_next->queue_previous = watcher->queue_previous;
    else
        queue->tail = watcher->queue_previous;
    if (watcher->queue_previous != NULL)
        watcher->queue_previous->queue_next = watcher->queue_next;
    else
        queue->head = watcher->queue_next;
    watcher->queue = WAIT_NONE;
}

static bool ring_has(const struct watch_hub *hub, const struct watcher *watcher) {
    return watcher->next >= hub->ring.oldest && watcher->next >= watcher->covered;
}

void catch_up(struct watcher *watcher) {
    const struct watch_hub *hub = watcher->stream->hub;
    if (watcher->next > hub->position) {
        watcher_join(watcher, LANE_STREAM, WATCHER_SYNCED);
        return;
    }
    watcher_rest(watcher, WATCHER_BEHIND);
    if (ring_has(hub, watcher))
        queue_add(watcher, WAIT_RING);
    else
        queue_add(watcher, hub->position - watcher->next > SHORT_LAG ? WAIT_LONG : WAIT_SHORT);
}

/* --- from the ring --- */

static bool concerns(const struct watcher *watcher, const struct event *event) {
    const struct interest *interest = watcher->interest;
    return event->revision >= watcher->next && watcher_wants(watcher, event) &&
           interval_contains(interest->key, interest->range_end, event->key);
}

/* Collects what the watcher misses, or the beginning of it; returns the last revision that was looked at. */
static int64_t collect(struct watch_hub *hub, const struct watcher *watcher, size_t *looked) {
    size_t most = *looked + FEED_EVENTS;
    for (size_t i = ring_seek(&hub->ring, watcher->next); i < hub->ring.count; i++) {
        const struct ring_block *block = ring_at(&hub->ring, i);
        struct bytes body = bytes_of(block->body, block->length);
        struct event event;
        while (event_next(&body, &event)) {
            if (concerns(watcher, &event))
                encoded_add(&hub->fed, &event, watcher->previous);
        }
        *looked += block->events;
        if (*looked >= most || hub->fed.body.length >= FEED_BYTES)
            return block->to;
    }
    return hub->position;
}

static void feed(struct watch_hub *hub, struct watcher *watcher, size_t *looked) {
    int64_t through = collect(hub, watcher, looked);
    watcher_give(watcher, &hub->fed, false);
    encoded_clear(&hub->fed);
    if (watcher->state == WATCHER_STOPPED)
        return;
    if (watcher->next <= through)
        watcher->next = through + 1;
    catch_up(watcher);
}

void queue_feed(struct watch_hub *hub) {
    size_t looked = 0;
    struct watcher *watcher = NULL;
    while ((watcher = hub->queues[WAIT_RING].head) != NULL && looked < ROUND_EVENTS) {
        if (ring_has(hub, watcher))
            feed(hub, watcher, &looked);
        else
            catch_up(watcher);
        looked++;
    }
}
