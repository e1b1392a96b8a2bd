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
    struct grpc_call read;
    bool read_done;
    struct buffer state; /* RangeResponse of everything */
    int64_t last;        /* revision of the store */
};

static void violate(struct verdict *verdict, const char *what, int64_t seen, int64_t before) {
    witness_violation(verdict->witness, -1, what, seen, before);
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
    struct grpc_connection *connection = verdict->witness->recorder.connection;
    while (!verdict->read_done && loop_now_ns() < limit) {
        if (call->connection == NULL && grpc_connection_usable(connection)) {
            grpc_connection_call(connection, call);
            grpc_connection_flush(connection);
        }
        witness_turn(verdict->witness);
    }
    if (!verdict->read_done)
        violate(verdict, "the store could not be read at the end", 0, 0);
    return verdict->read_done;
}

/* Until the recorder has reached the last revision. */
static bool read_history(struct verdict *verdict) {
    struct history *history = verdict->witness->history;
    const struct watcher *recorder = &verdict->witness->recorder.watcher;
    uint64_t seen = 0;
    uint64_t limit = loop_now_ns() + (uint64_t)PATIENCE_S * SECOND_NS;
    while (recorder->next <= verdict->last) {
        uint64_t now = loop_now_ns();
        if (history_events(history) > seen)
            limit = now + (uint64_t)PATIENCE_S * SECOND_NS;
        seen = history_events(history);
        if (now > limit) {
            violate(verdict, "the history does not come to its end; next, last revision", recorder->next,
                    verdict->last);
            return false;
        }
        witness_turn(verdict->witness);
    }
    return true;
}

/* --- the comparison --------------------------------------------------------------------------------- */

static size_t class_of(struct witness *witness, const struct witness_watcher *watcher) {
    struct watch_create create = watcher->watch.create;
    create.previous = witness_previous(witness, watcher);
    return history_class(witness->history, &create);
}

static void ask_all(struct witness *witness) {
    struct history *history = witness->history;
    for (size_t i = 0; i < witness->episode_count; i++) {
        struct episode *episode = &witness->episodes[i];
        size_t class = class_of(witness, &witness->watchers[episode->watcher]);
        history_ask(history, class, episode->first, &episode->before);
        history_ask(history, class, episode->last + 1, &episode->after);
    }
    for (size_t i = 0; i < witness->watcher_count; i++) {
        struct witness_watcher *watcher = &witness->watchers[i];
        size_t class = class_of(witness, watcher);
        if (!watcher->created)
            continue;
        history_ask(history, class, watcher->first, &watcher->before);
        history_ask(history, class, INT64_MAX, &watcher->after);
    }
}

static bool agrees(const struct witness_watcher *watcher) {
    return watcher->digest.count == watcher->after.count - watcher->before.count &&
           digest_total(&watcher->digest) == watcher->after.total - watcher->before.total;
}

static bool behind(const struct witness_watcher *watcher) {
    return !watcher->created || watcher->digest.count < watcher->after.count - watcher->before.count;
}

/* Until nobody is behind, or nobody gets on, or somebody has to begin anew. */
static void wait_for_watchers(struct witness *witness) {
    uint64_t restarts = witness->restarts;
    uint64_t seen = 0;
    uint64_t limit = 0;
    while (witness->restarts == restarts) {
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

static void compare(struct witness *witness) {
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

/* Whoever is about to begin anew has to have begun before its question can be put. */
static void wait_created(struct witness *witness) {
    uint64_t limit = loop_now_ns() + (uint64_t)PATIENCE_S * SECOND_NS;
    size_t missing = 1;
    while (missing > 0 && loop_now_ns() < limit) {
        witness_turn(witness);
        missing = 0;
        for (size_t i = 0; i < witness->watcher_count; i++) {
            const struct witness_watcher *watcher = &witness->watchers[i];
            missing += watcher->created && watcher->watch.state != WATCHER_CANCELING ? 0 : 1;
        }
    }
}

/* A slow watcher may still learn that compaction has overtaken it: then it is asked about anew. */
static void catch_up(struct witness *witness) {
    uint64_t restarts;
    do {
        wait_created(witness);
        restarts = witness->restarts;
        ask_all(witness);
        history_answer(witness->history);
        wait_for_watchers(witness);
    } while (witness->restarts != restarts);
}

void witness_verdict(struct witness *witness) {
    struct verdict verdict = {.witness = witness};
    witness->catching_up = true;
    if (read_store(&verdict) && read_history(&verdict)) {
        history_end(witness->history, verdict.last);
        history_compare_state(witness->history, buffer_bytes(&verdict.state));
        catch_up(witness);
        compare(witness);
    }
    printf("history revisions %" PRId64 " events %" PRIu64 "\n", verdict.last,
           history_events(witness->history));
    grpc_call_free(&verdict.read);
    buffer_free(&verdict.state);
}
