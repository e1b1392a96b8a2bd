/*
 * flow: what clients have not taken yet. A stream may have BACKLOG bytes of it, less when all together have
 * much; beyond, its watchers stop where they are until the client has read half of that. Other streams go on.
 * The owner says when a backlog falls below WATCH_BACKLOG_LOW; what falls otherwise, flow_check finds.
 *
 * The limits look at what is there before a response is added, so a stream exceeds its own by one response:
 * a piece of a few hundred KB, or the events of one revision. BACKLOGS_MOST bounds the sum of these as well.
 *
 * Who takes nothing at all must not keep others from that: beyond BACKLOGS_MANY, streams whose clients have
 * taken nothing for STALL_US are cut off, as many as it needs. Such a client comes back where it stopped.
 */
#include "proxy/watch/hub_state.h"

enum {
    BACKLOG = 256 << 10,
    BACKLOG_UNDER_PRESSURE = 16 << 10,
    PRESSURE = 128 << 20,      /* sum of all backlogs */
    BACKLOGS_MANY = 256 << 20, /* STOPPED watchers wait until there is less */
    BACKLOGS_MOST = 512 << 20, /* no events beyond */
    ANSWERS_MOST = 16 << 20,   /* to requests of a client that reads nothing */
    STALL_US = 5000000,
};

static void set_backlog(struct watch_stream *stream, size_t bytes) {
    if (bytes < stream->backlog || stream->backlog == 0)
        stream->taken_us = hub_now_us(stream->hub);
    stream->hub->backlog += bytes - stream->backlog;
    stream->backlog = bytes;
}

static size_t limit(const struct watch_hub *hub) {
    return hub->backlog > PRESSURE ? BACKLOG_UNDER_PRESSURE : BACKLOG;
}

static void look(struct watch_stream *stream) {
    set_backlog(stream, stream->client.backlog(stream->client.context));
    if (stream->backlog <= limit(stream->hub) / 2)
        stream->answers = 0;
}

bool flow_admits(struct watch_stream *stream, size_t bytes) {
    look(stream);
    return stream->backlog <= limit(stream->hub) && stream->hub->backlog + bytes <= BACKLOGS_MOST;
}

void flow_sent(struct watch_stream *stream, size_t bytes, bool answer) {
    set_backlog(stream, stream->backlog + bytes);
    if (answer)
        stream->answers += bytes;
}

bool flow_hears(struct watch_stream *stream) {
    if (stream->answers > ANSWERS_MOST)
        look(stream);
    if (stream->answers <= ANSWERS_MOST)
        return true;
    stream_end(stream, STATUS_TOO_MANY_REQUESTS);
    return false;
}

void flow_resume(struct watch_stream *stream) {
    look(stream);
    if (stream->stopped == 0 || stream->backlog > limit(stream->hub) / 2 ||
        stream->hub->backlog > BACKLOGS_MANY)
        return;
    for (size_t i = 0; i < stream->count; i++) {
        if (stream->watchers[i]->state == WATCHER_STOPPED)
            catch_up(stream->watchers[i]);
    }
}

void flow_forget(struct watch_stream *stream) {
    set_backlog(stream, 0);
}

static bool is_stalled(struct watch_stream *stream) {
    look(stream);
    return stream->backlog > 0 && hub_now_us(stream->hub) - stream->taken_us >= STALL_US;
}

static void cut_stalled(struct watch_hub *hub) {
    for (struct watch_stream *at = hub->streams; at != NULL && hub->backlog > BACKLOGS_MANY; at = at->next) {
        if (!at->ended && is_stalled(at))
            stream_cut(at, STATUS_TOO_MANY_REQUESTS);
    }
}

void flow_check(struct watch_hub *hub) {
    cut_stalled(hub);
    for (struct watch_stream *at = hub->streams; at != NULL && hub->stopped > 0; at = at->next) {
        if (at->stopped > 0)
            flow_resume(at);
    }
}
