/*
 * ask: requests that apply answers in the event stream: what everything later will come behind, whether the
 * watch is permitted, the present and the compacted revision.
 *
 * A stream's requests take effect in their order. That comes by itself, because everything that has to wait
 * goes this way, even what needs nothing from apply: a create that is refused, a cancel behind a create. Ids
 * are given, and found to be duplicates, when the answer is here, so that a create that is refused uses none.
 */
#include <stdlib.h>

#include "common/status.h"
#include "common/wire.h"
#include "proxy/watch/hub_state.h"

enum {
    WATCHERS_MOST = 100000,     /* of all clients; more are refused */
    KEY_BYTES_MOST = 128 << 20, /* of what they watch */
    ASKS_MOST = 200000,         /* waiting for apply; beyond, a stream that asks ends */
    STREAM_ASKS_MANY = 2000,    /* of one stream: it is full until there are half as many */
    PROGRESS_ASKS_MOST = 16,    /* requests of a stream that may wait when it asks for progress */
};

static struct ask *append(struct watch_stream *stream, enum ask_kind kind) {
    struct watch_hub *hub = stream->hub;
    struct ask *ask = must_zalloc(sizeof *ask);
    ask->stream = stream;
    ask->kind = kind;
    if (hub->asks == NULL)
        hub->asks = ask;
    else
        hub->asks_end->next = ask;
    hub->asks_end = ask;
    if (hub->unsent == NULL)
        hub->unsent = ask;
    hub->ask_count++;
    stream->asks++;
    return ask;
}

/* False: there is no end of requests, and the stream has ended. */
static bool admit(struct watch_stream *stream) {
    if (stream->hub->ask_count < ASKS_MOST)
        return true;
    stream_end(stream, STATUS_TOO_MANY_REQUESTS);
    return false;
}

static struct watcher *make_watcher(struct watch_stream *stream, const struct watch_create_request *request,
                                    struct bytes key) {
    struct watch_hub *hub = stream->hub;
    struct watcher *watcher = must_zalloc(sizeof *watcher);
    watcher->stream = stream;
    watcher->lane = LANE_NONE;
    watcher->queue = WAIT_NONE;
    watcher->state = WATCHER_ASKING;
    watcher->quiet = true;
    watcher->filters = (uint8_t)request->filters;
    watcher->previous = request->prev_kv;
    watcher->fragment = request->fragment;
    watcher->notify = request->progress_notify;
    watcher->interest = interest_take(&hub->index, key, request->range_end, request->prev_kv);
    if (ranges_cover(&hub->ranges, key, request->range_end, request->prev_kv))
        hub->ranges_changed = true;
    stream->unsynced++;
    hub->watcher_count++;
    return watcher;
}

static const char *refusal(const struct watch_hub *hub, const struct watch_create_request *request,
                           struct bytes key) {
    if (request->start_revision < 0)
        return status_message(STATUS_COMPACTED);
    bool interval = !range_is_key(request->range_end) && !range_is_open(request->range_end);
    if (interval && bytes_compare(key, request->range_end) >= 0)
        return "mvcc: watcher range is empty";
    size_t bytes = hub->index.bytes + key.length + request->range_end.length;
    if (hub->watcher_count >= WATCHERS_MOST || bytes > KEY_BYTES_MOST)
        return status_message(STATUS_TOO_MANY_REQUESTS);
    return NULL;
}

void ask_create(struct watch_stream *stream, const struct watch_create_request *request) {
    struct bytes key = request->key.length == 0 ? bytes_of("", 1) : request->key;
    if (!admit(stream))
        return;
    struct ask *ask = append(stream, ASK_CREATE);
    ask->watch_id = request->watch_id;
    ask->start_revision = request->start_revision;
    ask->reason = refusal(stream->hub, request, key);
    if (ask->reason == NULL)
        ask->watcher = make_watcher(stream, request, key);
}

/* --- on the link --- */

static void put(struct watch_hub *hub, struct ask *ask) {
    ask->id = role_next_id(hub->role);
    struct bus_request request = {.id = ask->id, .method = METHOD_WATCH_PROGRESS};
    if (ask->kind == ASK_CREATE && ask->watcher != NULL) {
        request.method = METHOD_WATCH;
        hub->scratch.length = 0;
        wire_put_bytes(&hub->scratch, 1, ask->watcher->interest->key);
        wire_put_bytes(&hub->scratch, 2, ask->watcher->interest->range_end);
        request.body = buffer_bytes(&hub->scratch);
    }
    bus_put_request(hub->role->apply, BUS_PROXY_WATCH, &request);
}

void ask_send(struct watch_hub *hub) {
    const struct proxy_view *view = &hub->role->view;
    if (!view->apply_up || view->member == 0 || view->cluster == 0)
        return;
    for (; hub->unsent != NULL && bus_link_room(hub->role->apply) > 0; hub->unsent = hub->unsent->next)
        put(hub, hub->unsent);
}

void ask_again(struct watch_hub *hub) {
    hub->unsent = hub->asks;
}

/* --- answers --- */

static void refuse(const struct ask *ask, int64_t revision, const char *reason) {
    response_send(
        ask->stream,
        &(struct response){
            .revision = revision, .watch_id = -1, .created = true, .canceled = true, .reason = reason});
}

/* As etcd's error reads in Go. */
static void refuse_with_status(struct watch_hub *hub, const struct ask *ask, int64_t revision,
                               uint16_t status) {
    hub->scratch.length = 0;
    buffer_printf(&hub->scratch, "rpc error: code = %s desc = %s", status_code_name(status_code(status)),
                  status_message(status));
    buffer_append_byte(&hub->scratch, 0);
    refuse(ask, revision, (const char *)hub->scratch.data);
}

static int64_t unused_id(struct watch_stream *stream) {
    while (stream_find(stream, stream->next_id) != NULL)
        stream->next_id++;
    return stream->next_id++;
}

static void start(struct watcher *watcher, int64_t start_revision, const struct bus_watch_answer *answer) {
    struct watch_stream *stream = watcher->stream;
    watcher->covered = answer->revision + 1;
    watcher->start = start_revision;
    watcher->next = start_revision == 0 ? answer->revision + 1 : start_revision;
    if (start_revision > stream->latest_start)
        stream->latest_start = start_revision;
    stream_add(stream, watcher);
    if (watcher->notify)
        progress_notify(stream);
    response_send(stream,
                  &(struct response){.revision = answer->revision, .watch_id = watcher->id, .created = true});
    if (watcher->next < answer->compacted) {
        watcher_compacted(watcher, answer->compacted);
    } else {
        catch_up(watcher);
    }
}

/* Takes the watcher away from the ask if it lives. */
static void created(struct watch_hub *hub, struct ask *ask, const struct bus_watch_answer *answer) {
    struct watch_stream *stream = ask->stream;
    if (ask->reason != NULL) {
        refuse(ask, answer->revision, ask->reason);
    } else if (answer->status != STATUS_OK) {
        refuse_with_status(hub, ask, answer->revision, answer->status);
    } else if (ask->watch_id != 0 && stream_find(stream, ask->watch_id) != NULL) {
        refuse(ask, answer->revision, "mvcc: duplicate watch ID provided on the WatchStream");
    } else {
        struct watcher *watcher = ask->watcher;
        ask->watcher = NULL;
        watcher->id = ask->watch_id != 0 ? ask->watch_id : unused_id(stream);
        start(watcher, ask->start_revision, answer);
    }
}

static void cancel(struct watch_stream *stream, int64_t watch_id, int64_t revision) {
    struct watcher *watcher = stream_find(stream, watch_id);
    if (watcher == NULL)
        return;
    stream_remove(stream, watcher);
    watcher_free(watcher);
    response_send(stream, &(struct response){.revision = revision, .watch_id = watch_id, .canceled = true});
}

static void act(struct watch_hub *hub, struct ask *ask, const struct bus_watch_answer *answer) {
    switch (ask->kind) {
    case ASK_CREATE:
        created(hub, ask, answer);
        break;
    case ASK_CANCEL:
        cancel(ask->stream, ask->watch_id, answer->revision);
        break;
    case ASK_PROGRESS:
        ask->stream->progress_asks--;
        progress_send_when_synced(ask->stream);
        break;
    }
}

static void drop_first(struct watch_hub *hub) {
    struct ask *ask = hub->asks;
    hub->asks = ask->next;
    if (hub->asks == NULL)
        hub->asks_end = NULL;
    hub->ask_count--;
    if (ask->watcher != NULL)
        watcher_free(ask->watcher);
    ask->stream->asks--;
    stream_free_if_done(ask->stream);
    free(ask);
}

void ask_answered(struct watch_hub *hub, const struct bus_watch_answer *answer) {
    struct ask *ask = hub->asks;
    if (ask == NULL || ask == hub->unsent || ask->id != answer->id) {
        bus_link_reset(hub->role->apply, "watch answers are out of order");
        return;
    }
    struct watch_stream *stream = ask->stream;
    if (!stream->ended)
        act(hub, ask, answer);
    bool room = !stream->ended && stream->asks == STREAM_ASKS_MANY / 2 && stream->client.room != NULL;
    drop_first(hub);
    if (room)
        stream->client.room(stream->client.context);
}

bool watch_full(const struct watch_stream *stream) {
    return stream->asks >= STREAM_ASKS_MANY;
}

void ask_free_all(struct watch_hub *hub) {
    while (hub->asks != NULL)
        drop_first(hub);
}

/* --- cancel and progress --- */

void ask_cancel(struct watch_stream *stream, int64_t watch_id) {
    if (stream->asks == 0)
        cancel(stream, watch_id, hub_revision(stream->hub));
    else if (admit(stream))
        append(stream, ASK_CANCEL)->watch_id = watch_id;
}

void ask_progress(struct watch_stream *stream) {
    if (stream->progress_asks < PROGRESS_ASKS_MOST && admit(stream)) {
        stream->progress_asks++;
        append(stream, ASK_PROGRESS);
    }
}
