/*
 * response: WatchResponses. {header=1, watch_id=2, created=3, canceled=4, compact_revision=5,
 * cancel_reason=6, fragment=7, events=11}; header {cluster_id=1, member_id=2, revision=3, raft_term=4}.
 */
#include "common/wire.h"
#include "proxy/watch/hub_state.h"

/* The header's bytes; most responses of a round have the same. */
static struct bytes header(struct watch_hub *hub, int64_t revision) {
    const struct proxy_view *now = &hub->role->view;
    struct proxy_view *then = &hub->header_view;
    if (hub->header.length == 0 || hub->header_revision != revision || then->term != now->term ||
        then->member != now->member || then->cluster != now->cluster) {
        hub->header.length = 0;
        proxy_role_put_header(hub->role, &hub->header, (uint64_t)revision);
        hub->header_revision = revision;
        *then = *now;
    }
    return buffer_bytes(&hub->header);
}

void response_send(struct watch_stream *stream, const struct response *response) {
    struct buffer *out = stream->client.begin(stream->client.context);
    size_t before = out->length;
    buffer_append_bytes(out, header(stream->hub, response->revision));
    wire_put_int64(out, 2, response->watch_id);
    wire_put_bool(out, 3, response->created);
    wire_put_bool(out, 4, response->canceled);
    wire_put_int64(out, 5, response->compact_revision);
    if (response->reason != NULL)
        wire_put_bytes(out, 6, bytes_from_text(response->reason));
    wire_put_bool(out, 7, response->fragment);
    buffer_append_bytes(out, response->events);
    size_t bytes = out->length - before;
    stream->client.commit(stream->client.context);
    flow_sent(stream, bytes, response->events.length == 0);
}
