/*
 * watch_service: etcdserverpb.Watch/Watch: a gRPC stream in front of watch/watch.h, which builds its
 * responses right in the stream's buffer.
 *
 * How far a slow client falls behind in events is the hub's affair. Here: a client that sends requests faster
 * than apply answers them, or takes no answers, is not read from meanwhile.
 */
#include "proxy/server.h"
#include "proxy/services.h"
#include "proxy/watch/watch.h"

enum { UNANSWERED_BYTES = 1 << 20 };

_Static_assert((int)WATCH_BACKLOG_LOW == (int)RPC_BACKLOG_LOW, "drained means the same on both sides");

static struct buffer *begin(void *context) {
    return rpc_begin(context);
}

static void commit(void *context) {
    rpc_commit(context);
}

static size_t backlog(void *context) {
    return rpc_backlog(context);
}

static void end(void *context, uint16_t status) {
    rpc_end(context, status);
}

static void cut(void *context, uint16_t status) {
    rpc_cut(context, status);
}

static void room(void *context) {
    rpc_resume_later(context);
}

static void open_watch(struct rpc_stream *stream) {
    const struct watch_client client = {.begin = begin,
                                        .commit = commit,
                                        .backlog = backlog,
                                        .end = end,
                                        .cut = cut,
                                        .room = room,
                                        .context = stream};
    const struct watch_options options = {.needs_leader = stream->needs_leader};
    stream->state = watch_open(stream->server->role, &client, &options);
}

static bool may_go_on(const struct rpc_stream *stream) {
    return !watch_full(stream->state) && rpc_backlog(stream) < UNANSWERED_BYTES;
}

static void take_message(struct rpc_stream *stream, struct bytes message) {
    if (!watch_receive(stream->state, message))
        rpc_break_off_undecodable(stream);
    else if (!may_go_on(stream))
        rpc_hold(stream);
}

/* Watches go on for a client that has nothing more to ask. */
static void take_half_close(struct rpc_stream *stream) {
    (void)stream;
}

static void take_drained(struct rpc_stream *stream) {
    watch_drained(stream->state);
    if (stream->held && may_go_on(stream))
        rpc_resume(stream);
}

static void close_watch(struct rpc_stream *stream) {
    watch_close(stream->state);
    stream->state = NULL;
}

const struct rpc_stream_service watch_service = {
    .open = open_watch,
    .message = take_message,
    .half_closed = take_half_close,
    .drained = take_drained,
    .close = close_watch,
    .ends_without_leader = false, /* the hub sees to it */
};
