/* stream: one client's Watch RPC: its requests, and its watchers by id. */
#include <stdlib.h>

#include "common/metrics.h"
#include "proxy/watch/hub_state.h"

int64_t hub_revision(const struct watch_hub *hub) {
    int64_t seen = (int64_t)hub->role->view.revision;
    return seen > hub->position ? seen : hub->position;
}

/* --- watchers by id --- */

/* The place of the id, or where it belongs. */
static size_t place_of(const struct watch_stream *stream, int64_t id) {
    size_t low = 0;
    size_t high = stream->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stream->watchers[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct watcher *stream_find(const struct watch_stream *stream, int64_t id) {
    size_t place = place_of(stream, id);
    bool found = place < stream->count && stream->watchers[place]->id == id;
    return found ? stream->watchers[place] : NULL;
}

void stream_add(struct watch_stream *stream, struct watcher *watcher) {
    if (stream->count == stream->capacity) {
        stream->capacity = stream->capacity == 0 ? 1 : 2 * stream->capacity;
        stream->watchers =
            must_realloc((void *)stream->watchers, stream->capacity * sizeof(struct watcher *));
    }
    size_t place = place_of(stream, watcher->id);
    memmove((void *)&stream->watchers[place + 1], (const void *)&stream->watchers[place],
            (stream->count - place) * sizeof(struct watcher *));
    stream->watchers[place] = watcher;
    stream->count++;
    progress_changed(stream);
}

static int64_t latest_start(const struct watch_stream *stream) {
    int64_t latest = 0;
    for (size_t i = 0; i < stream->count; i++) {
        if (stream->watchers[i]->start > latest)
            latest = stream->watchers[i]->start;
    }
    return latest;
}

void stream_remove(struct watch_stream *stream, const struct watcher *watcher) {
    size_t place = place_of(stream, watcher->id);
    stream->count--;
    stream->notified -= watcher->notify;
    progress_changed(stream);
    memmove((void *)&stream->watchers[place], (const void *)&stream->watchers[place + 1],
            (stream->count - place) * sizeof(struct watcher *));
    if (watcher->start > stream->hub->position && watcher->start == stream->latest_start)
        stream->latest_start = latest_start(stream);
}

/* --- the stream --- */

struct watch_stream *watch_open(struct proxy_role *role, const struct watch_client *client,
                                const struct watch_options *options) {
    struct watch_hub *hub = role->watch;
    struct watch_stream *stream = must_zalloc(sizeof *stream);
    stream->hub = hub;
    stream->client = *client;
    stream->options = *options;
    hub->needing_leader += options->needs_leader;
    stream->next = hub->streams;
    if (stream->next != NULL)
        stream->next->previous = stream;
    hub->streams = stream;
    hub->stream_count++;
    return stream;
}

static bool receive_create(struct watch_stream *stream, struct bytes body) {
    struct watch_create_request request;
    if (!watch_create_request_decode(body, &request))
        return false;
    ask_create(stream, &request);
    return true;
}

static bool receive_cancel(struct watch_stream *stream, struct bytes body) {
    int64_t watch_id = 0;
    if (!watch_cancel_request_decode(body, &watch_id))
        return false;
    ask_cancel(stream, watch_id);
    return true;
}

bool watch_receive(struct watch_stream *stream, struct bytes message) {
    struct watch_request request;
    if (stream->ended || !flow_hears(stream))
        return true;
    if (!watch_request_decode(message, &request))
        return false;
    switch (request.kind) {
    case WATCH_CREATE:
        return receive_create(stream, request.body);
    case WATCH_CANCEL:
        return receive_cancel(stream, request.body);
    case WATCH_PROGRESS:
        ask_progress(stream);
        return true;
    default: /* as etcd: nothing is asked */
        return true;
    }
}

void watch_drained(struct watch_stream *stream) {
    if (!stream->ended)
        flow_resume(stream);
}

void stream_free_if_done(struct watch_stream *stream) {
    if (!stream->closed || stream->asks > 0)
        return;
    free((void *)stream->watchers);
    free(stream);
}

/* Nothing more is sent. */
static void silence(struct watch_stream *stream) {
    if (stream->ended)
        return;
    stream->ended = true;
    for (size_t i = 0; i < stream->count; i++)
        watcher_free(stream->watchers[i]);
    stream->count = stream->notified = 0;
    stream->hub->needing_leader -= stream->options.needs_leader;
    flow_forget(stream);
    progress_forget(stream);
}

void stream_end(struct watch_stream *stream, uint16_t status) {
    silence(stream);
    stream->client.end(stream->client.context, status);
}

void stream_cut(struct watch_stream *stream, uint16_t status) {
    silence(stream);
    stream->client.cut(stream->client.context, status);
}

void watch_close(struct watch_stream *stream) {
    struct watch_hub *hub = stream->hub;
    silence(stream);
    stream->closed = true;
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        hub->streams = stream->next;
    hub->stream_count--;
    stream_free_if_done(stream);
}
