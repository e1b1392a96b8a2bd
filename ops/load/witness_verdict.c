/*
 * witness_verdict: the end of witness.h. The writers have stopped, nobody is killed any more. The store is
 * read at its last revision, its history from the first one on; then every episode is compared, those still
 * open as soon as they have caught up.
 */
#include "common/status.h"
#include "ops/load/witness_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS 1000000000U

enum {
    PATIENCE_S = 60, /* without any progress */
    CATCH_UP_S = 15, /* without an event for anybody */
    GRACE_MS = 1000, /* for events too many */
};

struct verdict {
    struct witness *witness;
    struct grpc_connection *connection;
    struct history *history;
    struct grpc_call read;
    bool read_done;
    struct buffer state; /* RangeResponse of everything */
    int64_t last;        /* revision of the store */
    struct watch_stream stream;
    struct watcher watcher;
};

static struct verdict *verdict_of(struct watch_stream *stream) {
    return (struct verdict *)stream->owner;
}

static void violate(void *owner, const char *what, int64_t seen, int64_t before) {
    witness_violation(((struct verdict *)owner)->witness, -1, what, seen, before);
}

/* --- the store and its history ---------------------------------------------------------------------- */

static void on_read(struct grpc_call *call, unsigned outcome, struct bytes response) {
    struct verdict *verdict = (struct verdict *)call->owner;
    verdict->read_done = outcome == GRPC_OK;
    if (outcome != GRPC_OK)
        return;
    buffer_append_bytes(&verdict->state, response);
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    if (wire_next(&reader, &field) && field.number == 1)
        verdict->last = header_revision(field.bytes);
}

/* A linearizable read of everything. Asked again when it fails. */
static bool read_store(struct verdict *verdict) {
    static const uint8_t zero;
    uint64_t limit = loop_now_ns() + (uint64_t)PATIENCE_S * SECOND_NS;
    struct grpc_call *call = &verdict->read;
    call->path = "/etcdserverpb.KV/Range";
    call->done = on_read;
    call->owner = verdict;
    wire_put_bytes(&call->message, 1, bytes_of(&zero, 1));
    wire_put_bytes(&call->message, 2, bytes_of(&zero, 1));
    while (!verdict->read_done && loop_now_ns() < limit) {
        if (call->connection == NULL && grpc_connection_usable(verdict->connection)) {
            grpc_connection_call(verdict->connection, call);
            grpc_connection_flush(verdict->connection);
        }
        witness_turn(verdict->witness);
    }
    if (!verdict->read_done)
        violate(verdict, "the store could not be read at the end", 0, 0);
    return verdict->read_done;
}

static void on_created(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    (void)stream, (void)watcher, (void)revision;
}

static void on_event(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event) {
    (void)watcher;
    history_event(verdict_of(stream)->history, event);
}

static void on_ended(struct watch_stream *stream, unsigned outcome) {
    violate(verdict_of(stream), "the watch that reads the history ended; gRPC code", outcome, 0);
}

static void on_violated(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                        int64_t before) {
    (void)watcher;
    printf("history: ");
    violate(verdict_of(stream), what, seen, before);
}

static bool read_history(struct verdict *verdict) {
    static uint8_t zero;
    verdict->watcher.create = (struct watch_create){
        .key = bytes_of(&zero, 1), .range_end = bytes_of(&zero, 1), .start_revision = 1, .previous = true};
    verdict->stream = (struct watch_stream){.connection = verdict->connection,
                                            .watchers = &verdict->watcher,
                                            .count = 1,
                                            .stride = sizeof verdict->watcher,
                                            .created = on_created,
                                            .event = on_event,
                                            .ended = on_ended,
                                            .violated = on_violated,
                                            .owner = verdict};
    watch_stream_open(&verdict->stream);
    grpc_connection_flush(verdict->connection);
    uint64_t seen = 0;
    uint64_t limit = loop_now_ns() + (uint64_t)PATIENCE_S * SECOND_NS;
    while (verdict->watcher.next <= verdict->last) {
        uint64_t now = loop_now_ns();
        if (history_events(verdict->history) > seen)
            limit = now + (uint64_t)PATIENCE_S * SECOND_NS;
        seen = history_events(verdict->history);
        if (now > limit || !watch_stream_running(&verdict->stream)) {
            violate(verdict, "the history does not come to its end; next, last revision",
                    verdict->watcher.next, verdict->last);
            return false;
        }
        witness_turn(verdict->witness);
    }
    history_end(verdict->history, verdict->last);
    history_compare_state(verdict->history, buffer_bytes(&verdict->state));
    return true;
}

/* --- the comparison --------------------------------------------------------------------------------- */

static void ask_all(struct verdict *verdict) {
    struct witness *witness = verdict->witness;
    for (size_t i = 0; i < witness->episode_count; i++) {
        struct episode *episode = &witness->episodes[i];
        size_t class = history_class(verdict->history, &witness->watchers[episode->watcher].watch.create);
        history_ask(verdict->history, class, episode->first, &episode->before);
        history_ask(verdict->history, class, episode->last + 1, &episode->after);
    }
    for (size_t i = 0; i < witness->watcher_count; i++) {
        struct witness_watcher *watcher = &witness->watchers[i];
        size_t class = history_class(verdict->history, &watcher->watch.create);
        if (!watcher->created)
            continue;
        history_ask(verdict->history, class, watcher->first, &watcher->before);
        history_ask(verdict->history, class, INT64_MAX, &watcher->after);
    }
}

static bool agrees(const struct witness_watcher *watcher) {
    return watcher->digest.count == watcher->after.count - watcher->before.count &&
           digest_total(&watcher->digest) == watcher->after.total - watcher->before.total;
}

static bool behind(const struct witness_watcher *watcher) {
    return !watcher->created || watcher->digest.count < watcher->after.count - watcher->before.count;
}

/* Until nobody is behind, or nobody gets on. */
static void wait_for_watchers(struct verdict *verdict) {
    struct witness *witness = verdict->witness;
    uint64_t seen = 0;
    uint64_t limit = 0;
    for (;;) {
        size_t late = 0;
        for (size_t i = 0; i < witness->watcher_count; i++)
            late += behind(&witness->watchers[i]) ? 1 : 0;
        uint64_t now = loop_now_ns();
        if (witness->events != seen || limit == 0)
            limit = now + (uint64_t)CATCH_UP_S * SECOND_NS;
        seen = witness->events;
        if (late == 0 || now > limit)
            break;
        witness_turn(witness);
    }
    limit = loop_now_ns() + (uint64_t)GRACE_MS * 1000000U;
    while (loop_now_ns() < limit)
        witness_turn(witness);
}

static void compare(struct verdict *verdict) {
    struct witness *witness = verdict->witness;
    for (size_t i = 0; i < witness->episode_count; i++) {
        const struct episode *episode = &witness->episodes[i];
        uint64_t count = episode->after.count - episode->before.count;
        if (episode->count != count)
            witness_violation(witness, (ptrdiff_t)episode->watcher,
                              "an episode with a wrong number of events; seen, true", (int64_t)episode->count,
                              (int64_t)count);
        else if (episode->total != episode->after.total - episode->before.total)
            witness_violation(witness, (ptrdiff_t)episode->watcher,
                              "an episode with other events; first, last revision", episode->first,
                              episode->last);
    }
    for (size_t i = 0; i < witness->watcher_count; i++) {
        const struct witness_watcher *watcher = &witness->watchers[i];
        if (!watcher->created)
            witness_violation(witness, (ptrdiff_t)i, "not created again by the end", 0, 0);
        else if (!agrees(watcher))
            witness_violation(witness, (ptrdiff_t)i, "events are not the history's; seen, true number",
                              (int64_t)watcher->digest.count,
                              (int64_t)(watcher->after.count - watcher->before.count));
    }
}

/* Whoever was to begin anew when the writers stopped has to be on its way, so that its question can be put.
 */
static void wait_created(struct witness *witness) {
    uint64_t limit = loop_now_ns() + (uint64_t)PATIENCE_S * SECOND_NS;
    size_t missing = 1;
    while (missing > 0 && loop_now_ns() < limit) {
        witness_turn(witness);
        missing = 0;
        for (size_t i = 0; i < witness->watcher_count; i++)
            missing +=
                witness->watchers[i].created && witness->watchers[i].watch.state != WATCHER_CANCELING ? 0 : 1;
    }
}

void witness_verdict(struct witness *witness) {
    struct verdict verdict = {
        .witness = witness,
        .connection = &witness->loop.connections[witness->loop.count - 1],
    };
    witness->catching_up = true;
    verdict.history = history_create(witness->churn, witness->options->writers, violate, &verdict);
    wait_created(witness);
    if (read_store(&verdict)) {
        ask_all(&verdict);
        if (read_history(&verdict)) {
            wait_for_watchers(&verdict);
            compare(&verdict);
        }
    }
    printf("history revisions %" PRId64 " events %" PRIu64 "\n", verdict.last,
           history_events(verdict.history));
    grpc_call_free(&verdict.read);
    watch_stream_free(&verdict.stream);
    buffer_free(&verdict.state);
    history_free(verdict.history);
}
