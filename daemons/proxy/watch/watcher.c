/* watcher: a watcher's moves between the lanes of its interest, and what it is given. */
#include <stdlib.h>

#include "proxy/watch/hub_state.h"

/* Sums by state; one more or one less. */
static void count(const struct watcher *watcher, int one) {
    struct watch_stream *stream = watcher->stream;
    struct watch_hub *hub = stream->hub;
    if (watcher->state == WATCHER_SYNCED || watcher->state == WATCHER_ENDED)
        return;
    stream->unsynced += (size_t)one;
    if (watcher->state == WATCHER_ASKING)
        return;
    hub->slow += (size_t)one;
    if (watcher->state != WATCHER_STOPPED)
        return;
    stream->stopped += (size_t)one;
    hub->stopped += (size_t)one;
}

static void set_state(struct watcher *watcher, enum watcher_state state) {
    count(watcher, -1);
    watcher->state = (uint8_t)state;
    count(watcher, 1);
    if (watcher->stream->unsynced == 0)
        progress_changed(watcher->stream);
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
    if (watcher->lane >= LANE_SCAN)
        scan_left(watcher);
    struct members *members = &watcher->interest->lanes[watcher->lane];
    struct watcher *last = members->list[--members->count];
    members->list[watcher->place] = last;
    last->place = watcher->place;
    watcher->lane = LANE_NONE;
}

void watcher_join(struct watcher *watcher, unsigned lane, enum watcher_state state) {
    queue_leave(watcher);
    remove_member(watcher);
    add_member(watcher, lane);
    set_state(watcher, state);
}

void watcher_rest(struct watcher *watcher, enum watcher_state state) {
    queue_leave(watcher);
    remove_member(watcher);
    set_state(watcher, state);
}

/* It gets nothing more. */
static void end(struct watcher *watcher) {
    struct watch_hub *hub = watcher->stream->hub;
    watcher_rest(watcher, WATCHER_ENDED);
    if (watcher->interest == NULL)
        return;
    if (watcher->interest->watchers == 1)
        batch_forget(&hub->batch, watcher->interest);
    hub->released += interest_release(&hub->index, watcher->interest, watcher->previous);
    watcher->interest = NULL;
}

void watcher_free(struct watcher *watcher) {
    end(watcher);
    watcher->stream->hub->watcher_count--;
    free(watcher);
}

void watcher_compacted(struct watcher *watcher, int64_t compacted) {
    struct watch_stream *stream = watcher->stream;
    end(watcher);
    stream->notified -= watcher->notify;
    watcher->notify = false;
    response_send(
        stream, &(struct response){.watch_id = watcher->id, .canceled = true, .compact_revision = compacted});
}

bool watcher_wants(const struct watcher *watcher, const struct event *event) {
    return (watcher->filters & (event->deleted ? WATCH_NO_DELETE : WATCH_NO_PUT)) == 0;
}

/*
 * Responses are cut between revisions where they grow large: a client that stops reading then stops here
 * with little in its backlog. A revision's events stay together, in one response of any size, unless the
 * client asked for fragments or more than held_bytes of it are coming (`more`): that is beyond what this
 * daemon would keep for a single response, whatever the client wants.
 */

/* As many events from `first` on as make a fragment below the limit, but one at least. */
static size_t fragment_end(const struct encoded *events, size_t first, size_t end, size_t limit) {
    size_t start = encoded_start(events, first);
    size_t next = first + 1;
    while (next < end && events->events[next].end - start < limit)
        next++;
    return next;
}

static void send_events(struct watcher *watcher, const struct encoded *events, size_t first, size_t end,
                        bool fragment) {
    size_t start = encoded_start(events, first);
    response_send(watcher->stream,
                  &(struct response){
                      .revision = watcher->stream->hub->position,
                      .watch_id = watcher->id,
                      .fragment = fragment,
                      .events = bytes_of(events->body.data + start, encoded_start(events, end) - start)});
}

static void send_piece(struct watcher *watcher, const struct encoded *events, size_t first, size_t end,
                       bool more) {
    size_t limit = watcher->stream->hub->limits.fragment_bytes;
    if (watcher->fragment || watcher->within || more) {
        size_t next = 0;
        for (; (next = fragment_end(events, first, end, limit)) < end; first = next)
            send_events(watcher, events, first, next, true);
    }
    send_events(watcher, events, first, end, more);
}

void watcher_give(struct watcher *watcher, const struct encoded *events, bool more) {
    struct watch_stream *stream = watcher->stream;
    size_t first = encoded_from(events, watcher->next);
    while (first < events->count) {
        size_t end = encoded_piece(events, first, stream->hub->limits.piece_bytes);
        size_t bytes = encoded_start(events, end) - encoded_start(events, first);
        if (!watcher->within && !flow_admits(stream, bytes)) {
            watcher->next = events->events[first].revision;
            watcher_rest(watcher, WATCHER_STOPPED);
            return;
        }
        send_piece(watcher, events, first, end, more);
        stream->hub->events_given += end - first;
        watcher->quiet = false;
        watcher->within = more;
        if (!more)
            watcher->next = events->events[end - 1].revision + 1;
        first = end;
    }
}

void watcher_finish_fragments(struct watcher *watcher) {
    response_send(watcher->stream,
                  &(struct response){.revision = watcher->stream->hub->position, .watch_id = watcher->id});
    watcher->within = false;
    watcher->next++;
}
