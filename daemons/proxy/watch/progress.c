/*
 * progress: empty responses that say how far a client has been given everything: on request for all watchers
 * of a stream, and by themselves for each that wants it and has been quiet. They go out when what the round
 * brought has, and only to who is SYNCED, so that nothing at or below their revision can follow. A request is
 * answered when there is a watcher, and all are SYNCED and have begun; it waits until then.
 */
#include "proxy/watch/hub_state.h"

enum { LEAST_INTERVAL_US = 100000 };

/* --- on request --- */

/*
 * A watcher that starts in the future must not hear of revisions before it: its client would take progress
 * for the place to go on from. Behind the present is no such future: all before its start is over.
 */
static bool awaits_the_future(const struct watch_hub *hub, int64_t start) {
    return start > hub->position + 1;
}

static bool can_be_told(const struct watch_stream *stream) {
    return stream->count > 0 && stream->unsynced == 0 &&
           !awaits_the_future(stream->hub, stream->latest_start);
}

void progress_send_when_synced(struct watch_stream *stream) {
    if (can_be_told(stream)) {
        response_send(stream, &(struct response){.revision = stream->hub->position, .watch_id = -1});
    } else if (!stream->progress_wanted) {
        stream->progress_wanted = true;
        stream->progress_next = stream->hub->progress;
        stream->hub->progress = stream;
        stream->hub->progress_changed = true;
    }
}

void progress_changed(const struct watch_stream *stream) {
    if (stream->progress_wanted)
        stream->hub->progress_changed = true;
}

void progress_forget(struct watch_stream *stream) {
    if (!stream->progress_wanted)
        return;
    struct watch_stream **place = &stream->hub->progress;
    while (*place != stream)
        place = &(*place)->progress_next;
    *place = stream->progress_next;
    stream->progress_wanted = false;
}

/* There may be many that wait, and many rounds before one can be told. */
void progress_deferred(struct watch_hub *hub) {
    if (!hub->progress_changed && awaits_the_future(hub, hub->progress_start))
        return;
    hub->progress_changed = false;
    hub->progress_start = INT64_MAX;
    struct watch_stream *next = NULL;
    for (struct watch_stream *at = hub->progress; at != NULL; at = next) {
        next = at->progress_next;
        if (can_be_told(at)) {
            progress_forget(at);
            progress_send_when_synced(at);
        } else if (awaits_the_future(hub, at->latest_start) && at->latest_start < hub->progress_start) {
            hub->progress_start = at->latest_start;
        }
    }
}

/* --- by themselves --- */

/* etcd's: the interval and up to a tenth more, so that the streams of many clients spread. */
static uint64_t interval_us(struct watch_hub *hub) {
    uint64_t interval = hub->role->config.watch_progress_us;
    if (interval < LEAST_INTERVAL_US)
        interval = LEAST_INTERVAL_US;
    hub->jitter = hub->jitter * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return interval + (hub->jitter >> 33) % (interval / 10);
}

void progress_notify(struct watch_stream *stream) {
    struct watch_hub *hub = stream->hub;
    if (stream->notified++ == 0)
        stream->notify_us = hub_now_us(hub) + interval_us(hub);
    if (stream->notify_us < hub->notify_us)
        hub->notify_us = stream->notify_us;
}

static void notify(struct watch_stream *stream) {
    for (size_t i = 0; i < stream->count; i++) {
        struct watcher *watcher = stream->watchers[i];
        if (!watcher->notify)
            continue;
        if (watcher->quiet && watcher->state == WATCHER_SYNCED &&
            !awaits_the_future(stream->hub, watcher->start) && flow_admits(stream, 0))
            response_send(stream,
                          &(struct response){.revision = stream->hub->position, .watch_id = watcher->id});
        watcher->quiet = true;
    }
}

void progress_notify_all(struct watch_hub *hub) {
    uint64_t now_us = hub_now_us(hub);
    if (now_us < hub->notify_us)
        return;
    hub->notify_us = UINT64_MAX;
    for (struct watch_stream *at = hub->streams; at != NULL; at = at->next) {
        if (at->notified == 0)
            continue;
        if (now_us >= at->notify_us) {
            notify(at);
            at->notify_us = now_us + interval_us(hub);
        }
        if (at->notify_us < hub->notify_us)
            hub->notify_us = at->notify_us;
    }
}
