/*
 * witness_recorder: reads the store's history into history.h, and compacts behind itself.
 *
 * Without compaction it begins when all is quiet, at revision 1. With it, it has to be there from the start:
 * it is a watch of everything that is resumed like any other; what it may miss shows in the history's own
 * checks. A compaction never reaches what it has not read.
 */
#include "common/status.h"
#include "ops/load/witness_parts.h"

#include <stdio.h>

enum { REOPEN_NS = 10 * 1000 * 1000 };

static struct witness *witness_of(struct watch_stream *stream) {
    return (struct witness *)stream->owner;
}

static void on_history_violated(void *owner, const char *what, int64_t seen, int64_t before) {
    witness_violation((struct witness *)owner, -1, what, seen, before);
}

static void on_created(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    (void)stream, (void)watcher, (void)revision;
}

static void on_event(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event) {
    (void)watcher;
    history_event(witness_of(stream)->history, event);
}

static void on_ended(struct watch_stream *stream, unsigned outcome) {
    (void)outcome;
    witness_of(stream)->recorder.reopen_at_ns = loop_now_ns() + REOPEN_NS;
}

static void on_violated(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                        int64_t before) {
    (void)watcher;
    char text[256];
    snprintf(text, sizeof text, "the recorder: %s", what);
    witness_violation(witness_of(stream), -1, text, seen, before);
}

/* --- compaction ------------------------------------------------------------------------------------- */

static void on_compacted(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)response;
    struct witness *witness = (struct witness *)call->owner;
    if (outcome == GRPC_OK)
        witness->recorder.compactions++;
    witness->recorder.compact_at_ns = loop_now_ns() + witness->options->compact_every_us * 1000;
}

/* CompactionRequest: revision 1, physical 2. Every other one waits for the physical compaction. */
static void compact(struct witness *witness) {
    struct recorder *recorder = &witness->recorder;
    int64_t revision = recorder->watcher.next - 1 - (int64_t)witness->options->compact_keep;
    if (revision <= recorder->compacted)
        return;
    recorder->compacted = revision;
    recorder->compact.message.length = 0;
    wire_put_int64(&recorder->compact.message, 1, revision);
    wire_put_bool(&recorder->compact.message, 2, recorder->compactions % 2 == 0);
    recorder->compact.path = "/etcdserverpb.KV/Compact";
    grpc_connection_call(recorder->connection, &recorder->compact);
    grpc_connection_flush(recorder->connection);
}

/* --- the recorder ----------------------------------------------------------------------------------- */

void witness_recorder_create(struct witness *witness) {
    static uint8_t zero;
    struct recorder *recorder = &witness->recorder;
    witness->history =
        history_create(witness->churn, witness->options->writers, on_history_violated, witness);
    recorder->connection = &witness->loop.connections[witness->loop.count - 1];
    recorder->watcher.create = (struct watch_create){
        .key = bytes_of(&zero, 1), .range_end = bytes_of(&zero, 1), .start_revision = 1, .previous = true};
    recorder->stream = (struct watch_stream){.connection = recorder->connection,
                                             .watchers = &recorder->watcher,
                                             .count = 1,
                                             .stride = sizeof recorder->watcher,
                                             .created = on_created,
                                             .event = on_event,
                                             .ended = on_ended,
                                             .violated = on_violated,
                                             .owner = witness};
    recorder->compact.done = on_compacted;
    recorder->compact.owner = witness;
}

void witness_recorder_turn(struct witness *witness, uint64_t now) {
    struct recorder *recorder = &witness->recorder;
    bool compacting = witness->options->compact_every_us > 0;
    if (!(compacting || witness->catching_up) || !grpc_connection_usable(recorder->connection))
        return;
    if (!watch_stream_running(&recorder->stream) && now >= recorder->reopen_at_ns) {
        watch_stream_open(&recorder->stream);
        grpc_connection_flush(recorder->connection);
    }
    if (compacting && !witness->stopping && recorder->compact.connection == NULL &&
        now >= recorder->compact_at_ns)
        compact(witness);
}

void witness_recorder_free(struct witness *witness) {
    watch_stream_free(&witness->recorder.stream);
    grpc_call_free(&witness->recorder.compact);
    history_free(witness->history);
}
