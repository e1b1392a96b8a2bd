/* watch_stream: see watch_stream.h. Watch ids are the server's; created answers come in the order of
 * requests. */
#include "ops/load/watch_stream.h"

#include "common/status.h"

#include <stdlib.h>

static struct watcher *watcher_at(const struct watch_stream *stream, size_t index) {
    return (struct watcher *)((uint8_t *)stream->watchers + index * stream->stride);
}

static void violate(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                    int64_t before) {
    stream->violated(stream, watcher, what, seen, before);
}

/* --- what is asked for ------------------------------------------------------------------------------ */

static void send_request(struct watch_stream *stream) {
    grpc_call_send(&stream->call, buffer_bytes(&stream->request));
    stream->request.length = 0;
}

static void ask(struct watch_stream *stream, struct watcher *watcher) {
    struct watch_create create = watcher->create;
    if (watcher->next > 0)
        create.start_revision = watcher->next;
    watch_put_create(&stream->request, &create);
    send_request(stream);
    watcher->state = WATCHER_ASKED;
    stream->asked++;
}

static void ask_waiting(struct watch_stream *stream) {
    size_t limit = stream->one_by_one ? 1 : SIZE_MAX;
    for (struct watcher *watcher = stream->queue; watcher != NULL && stream->asked < limit;
         watcher = watcher->queue)
        if (watcher->state == WATCHER_WAITING)
            ask(stream, watcher);
}

static void enqueue(struct watch_stream *stream, struct watcher *watcher) {
    watcher->state = WATCHER_WAITING;
    watcher->queue = NULL;
    *stream->queue_end = watcher;
    stream->queue_end = &watcher->queue;
}

bool watch_stream_running(const struct watch_stream *stream) {
    return stream->call.connection != NULL;
}

bool watch_stream_restart(struct watch_stream *stream, struct watcher *watcher, int64_t start_revision) {
    if (!watch_stream_running(stream) || watcher->state != WATCHER_LIVE)
        return false;
    watch_put_cancel(&stream->request, watcher->id);
    send_request(stream);
    watcher->state = WATCHER_CANCELING;
    watcher->create.start_revision = start_revision;
    return true;
}

void watch_stream_ask_progress(struct watch_stream *stream) {
    watch_put_progress(&stream->request);
    send_request(stream);
}

/* --- what the server says --------------------------------------------------------------------------- */

static void remember_id(struct watch_stream *stream, struct watcher *watcher, int64_t id) {
    if (id < 0 || id > INT32_MAX || ((size_t)id < stream->ids && stream->by_id[id] != NULL)) {
        violate(stream, watcher, "created with an id that is not to be had", id, 0);
        return;
    }
    if ((size_t)id >= stream->id_room) {
        size_t room = 2 * (size_t)id + 16;
        stream->by_id = must_realloc(stream->by_id, room * sizeof *stream->by_id);
        stream->id_room = room;
    }
    while (stream->ids <= (size_t)id)
        stream->by_id[stream->ids++] = NULL;
    stream->by_id[id] = watcher;
}

static void on_created(struct watch_stream *stream, const struct watch_response *response) {
    struct watcher *watcher = stream->queue;
    if (watcher == NULL || watcher->state != WATCHER_ASKED) {
        violate(stream, NULL, "created what nobody asked for", response->id, 0);
        return;
    }
    stream->queue = watcher->queue;
    if (stream->queue == NULL)
        stream->queue_end = &stream->queue;
    stream->asked--;
    if (response->canceled) {
        violate(stream, watcher, "the watch was refused", response->id, 0);
        return;
    }
    remember_id(stream, watcher, response->id);
    watcher->state = WATCHER_LIVE;
    watcher->id = response->id;
    if (watcher->next == 0) {
        watcher->next = watcher->create.start_revision;
        if (watcher->next == 0)
            watcher->next = response->revision + 1;
    }
    stream->created(stream, watcher, watcher->next);
    ask_waiting(stream);
}

static void renew(struct watch_stream *stream, struct watcher *watcher) {
    stream->restarted(stream, watcher);
    watcher->next = watcher->last = 0;
    enqueue(stream, watcher);
}

static void on_canceled(struct watch_stream *stream, struct watcher *watcher,
                        const struct watch_response *response) {
    stream->by_id[response->id] = NULL;
    int64_t compacted = response->compact_revision;
    if (watcher->state == WATCHER_CANCELING ||
        (compacted > 0 && stream->compacted != NULL && stream->compacted(stream, watcher, compacted))) {
        renew(stream, watcher);
        ask_waiting(stream);
        return;
    }
    violate(stream, watcher, "canceled without being asked; compact revision, next", compacted,
            watcher->next);
}

static void on_events(struct watch_stream *stream, struct watcher *watcher, struct watch_response *response) {
    struct watch_event event;
    int64_t revision = 0;
    while (watch_event_next(response, &event)) {
        int64_t modified = event.now.modified;
        if (modified < watcher->next)
            violate(stream, watcher,
                    modified == watcher->last ? "a revision in two responses, or twice"
                                              : "an event of the past",
                    modified, watcher->next - 1);
        else if (modified < revision)
            violate(stream, watcher, "events out of order", modified, revision);
        revision = modified;
        stream->event(stream, watcher, &event);
    }
    if (response->revision < revision)
        violate(stream, watcher, "a header older than its events", response->revision, revision);
    if (response->fragment)
        violate(stream, watcher, "a fragment nobody asked for", revision, 0);
    if (revision >= watcher->next)
        watcher->next = revision + 1;
    watcher->last = revision;
}

/* Everything up to the revision has been seen. */
static void advance(struct watcher *watcher, int64_t revision) {
    if (watcher->state == WATCHER_LIVE && watcher->next <= revision)
        watcher->next = revision + 1;
}

static void on_progress(struct watch_stream *stream, int64_t revision) {
    for (size_t i = 0; i < stream->count; i++)
        advance(watcher_at(stream, i), revision);
    if (stream->progress != NULL)
        stream->progress(stream, revision);
}

static void on_message(struct grpc_call *call, struct bytes message) {
    struct watch_stream *stream = (struct watch_stream *)call->owner;
    struct watch_response response;
    if (!watch_response_parse(message, &response)) {
        violate(stream, NULL, "a response that does not decode; bytes", (int64_t)message.length, 0);
        return;
    }
    if (response.created) {
        on_created(stream, &response);
        return;
    }
    if (response.id == -1 && response.events == 0 && !response.canceled) {
        on_progress(stream, response.revision);
        return;
    }
    struct watcher *watcher = NULL;
    if (response.id >= 0 && (uint64_t)response.id < stream->ids)
        watcher = stream->by_id[response.id];
    if (watcher == NULL)
        violate(stream, NULL, "a response for a watch that is not there", response.id, 0);
    else if (response.canceled)
        on_canceled(stream, watcher, &response);
    else if (response.events == 0)
        advance(watcher, response.revision);
    else
        on_events(stream, watcher, &response);
}

static void on_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)response;
    struct watch_stream *stream = (struct watch_stream *)call->owner;
    stream->ended(stream, outcome);
}

void watch_stream_open(struct watch_stream *stream) {
    REQUIRE(!watch_stream_running(stream));
    stream->call.path = WATCH_PATH;
    stream->call.received = on_message;
    stream->call.done = on_done;
    stream->call.owner = stream;
    stream->call.message.length = stream->request.length = 0;
    stream->ids = stream->asked = 0;
    stream->queue = NULL;
    stream->queue_end = &stream->queue;
    for (size_t i = 0; i < stream->count; i++) {
        struct watcher *watcher = watcher_at(stream, i);
        if (watcher->state == WATCHER_CANCELING)
            renew(stream, watcher);
        else
            enqueue(stream, watcher);
    }
    ask_waiting(stream);
    grpc_connection_call(stream->connection, &stream->call);
}

void watch_stream_free(struct watch_stream *stream) {
    grpc_call_free(&stream->call);
    buffer_free(&stream->request);
    free(stream->by_id);
}
