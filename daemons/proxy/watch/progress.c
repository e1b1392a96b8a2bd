/*
 * progress: empty responses that say how far a client has been given everything: on request for all watchers
 * of a stream, and by themselves for each that wants it and is quiet.
 */
#include "proxy/watch/hub_state.h"

void progress_send_if_synced(struct watch_stream *stream) {
    if (!stream->progress_wanted || stream->unsynced > 0)
        return;
    stream->progress_wanted = false;
    response_send(stream, &(struct response){.revision = stream->hub->position, .watch_id = -1});
}
