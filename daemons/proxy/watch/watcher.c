/* watcher: a watcher's moves between the lanes of its interest, and what it is given. */
#include <stdlib.h>

#include "common/metrics.h"
#include "proxy/watch/hub_state.h"

static void set_state(struct watcher *watcher, enum watcher_state state) {
    struct watch_stream *stream = watcher->stream;
    if (watcher->state == WATCHER_SYNCED)
        stream->unsynced++;
    if (state == WATCHER_SYNCED)
        stream->unsynced--;
    watcher->state = (uint8_t)state;
}

static void add_member(struct watcher *watcher, unsigned lane) {
    struct members *members = &watcher->interest->lanes[lane];
    if (members->count == members->capacity) {
        members->capacity = members->capacity == 0 ? 1 : 2 * members->capacity;
        members->list = must_realloc((void *)members->list, members->capacity * sizeof(struct watcher *));
    }
    watcher->place = members->count;
    watcher->lane = (uint8_t)lane;
    members->list[members->count++] = watcher;
}

static void remove_member(struct watcher *watcher) {
    if (watcher->lane == LANE_NONE)
        return;
    struct members *members = &watcher->interest->lanes[watcher->lane];
    struct watcher *last = members->list[--members->count];
    members->list[watcher->place] = last;
    last->place = watcher->place;
    watcher->lane = LANE_NONE;
}

void watcher_join(struct watcher *watcher, unsigned lane, enum watcher_state state) {
    remove_member(watcher);
    add_member(watcher, lane);
    set_state(watcher, state);
}

void watcher_rest(struct watcher *watcher, enum watcher_state state) {
    remove_member(watcher);
    set_state(watcher, state);
}

void watcher_free(struct watcher *watcher) {
    struct watch_hub *hub = watcher->stream->hub;
    watcher_rest(watcher, WATCHER_SYNCED); /* counts as such: nobody waits for it */
    if (watcher->interest->watchers == 1)
        batch_forget(&hub->batch, watcher->interest);
    interest_release(&hub->index, watcher->interest, watcher->previous);
    hub->watcher_count--;
    free(watcher);
}

void watcher_compacted(struct watcher *watcher, int64_t compacted) {
    struct watch_stream *stream = watcher->stream;
    struct response response = {.watch_id = watcher->id, .canceled = true, .compact_revision = compacted};
    stream_remove(stream, watcher);
    watcher_free(watcher);
    response_send(stream, &response);
}

bool watcher_wants(const struct watcher *watcher, const struct event *event) {
    return (watcher->filters & (event->deleted ? WATCH_NO_DELETE : WATCH_NO_PUT)) == 0;
}

void watcher_give(struct watcher *watcher, const struct encoded *events) {
    size_t first = encoded_from(events, watcher->next);
    if (first == events->count)
        return;
    size_t start = encoded_start(events, first);
    response_send(watcher->stream, &(struct response){.revision = watcher->stream->hub->position,
                                                      .watch_id = watcher->id,
                                                      .events = bytes_of(events->body.data + start,
                                                                         events->body.length - start)});
    watcher->next = events->events[events->count - 1].revision + 1;
    watcher->quiet = false;
    metric_add(METRIC_ETCD_DEBUGGING_MVCC_EVENTS_TOTAL, events->count - first);
}
