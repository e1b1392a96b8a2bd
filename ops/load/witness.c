/* witness: see witness.h. One thread, one epoll. */
#include "common/status.h"
#include "ops/load/witness_parts.h"
#include "ops/load/workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS 1000000000U
#define MILLISECOND_NS 1000000U

enum {
    TICK_NS = 1000 * 1000,
    REOPEN_NS = 10 * 1000 * 1000,
    PROGRESS_EVERY_NS = 200 * 1000 * 1000,
    RESTART_AFTER_S = 300, /* a watcher, on average */
    TRICKLE_NS = 100 * 1000 * 1000,
    SHOWN = 50,
    PLANT_AT = 1000, /* events, or acknowledged writes */
};

static const char *const breadth_names[BREADTH_COUNT] = {"the pulse", "one key", "one writer",
                                                         "several writers", "everything"};

static uint64_t to_us(uint64_t nanoseconds) {
    return nanoseconds / 1000;
}

void witness_violation(struct witness *witness, ptrdiff_t watcher, const char *what, int64_t seen,
                       int64_t before) {
    if (++witness->violations > SHOWN)
        return;
    printf("violation watcher %td", watcher);
    if (watcher >= 0) {
        const struct witness_watcher *one = &witness->watchers[watcher];
        printf(" (of %s%s%s%s, from %" PRId64 ", next %" PRId64 ")", breadth_names[one->breadth],
               one->watch.create.previous ? ", prev_kv" : "", one->watch.create.no_put ? ", no puts" : "",
               one->watch.create.no_delete ? ", no deletions" : "", one->first, one->watch.next);
    }
    printf(": %s: %" PRId64 " / %" PRId64 " at %" PRIu64 "\n", what, seen, before, to_us(loop_now_ns()));
}

/* --- recovery --------------------------------------------------------------------------------------- */

static bool counts(const struct witness_stream *stream) {
    return stream->pace == PACE_FULL;
}

static void note_recovery(struct witness_stream *stream) {
    struct witness *witness = stream->witness;
    if (witness->mark_revision == 0 || stream->recovered || !counts(stream) ||
        stream->pulse < witness->mark_revision)
        return;
    stream->recovered = true;
    uint64_t now = loop_now_ns();
    if (witness->first_recovered_ns == 0)
        witness->first_recovered_ns = now;
    if (--witness->unrecovered == 0)
        printf("recovered %s watch %" PRIu64 " %" PRIu64 "\n", witness->mark,
               to_us(witness->first_recovered_ns), to_us(now));
}

static void begin_mark(struct witness *witness, const char *mark) {
    snprintf(witness->mark, sizeof witness->mark, "%.63s", mark);
    witness->mark_ns = loop_now_ns();
    lessees_disturbed(witness->lessees, witness->mark_ns);
    witness->mark_revision = 0;
    witness->first_recovered_ns = 0;
    witness->unrecovered = 0;
    for (size_t i = 0; i < witness->stream_count; i++) {
        witness->streams[i].recovered = false;
        witness->unrecovered += counts(&witness->streams[i]) ? 1 : 0;
    }
}

static void on_pulsed(void *owner, uint64_t started_ns, int64_t revision) {
    struct witness *witness = (struct witness *)owner;
    if (witness->mark_ns == 0 || witness->mark_revision != 0 || started_ns < witness->mark_ns)
        return;
    witness->mark_revision = revision;
    for (size_t i = 0; i < witness->stream_count; i++)
        note_recovery(&witness->streams[i]);
}

static void on_world_violated(void *owner, const char *what, int64_t seen, int64_t before) {
    witness_violation((struct witness *)owner, -1, what, seen, before);
}

/* --- what the streams say --------------------------------------------------------------------------- */

static struct witness_stream *stream_of(struct watch_stream *stream) {
    return (struct witness_stream *)stream;
}

static void on_created(struct watch_stream *stream, struct watcher *watch, int64_t revision) {
    struct witness_watcher *watcher = (struct witness_watcher *)watch;
    if (watcher->created) {
        stream_of(stream)->witness->resumed++;
        return;
    }
    watcher->created = true;
    watcher->first = revision;
}

/* The event as the watcher is to take it: normally once, as it is. */
static void take(struct witness *witness, struct witness_watcher *watcher, const struct watch_event *event) {
    enum witness_plant plant = witness->events == PLANT_AT ? witness->options->plant : PLANT_NOTHING;
    struct watch_event seen = *event;
    if (plant == PLANT_DROP)
        return;
    if (plant == PLANT_ALTER)
        seen.now.version++;
    for (int times = plant == PLANT_DOUBLE ? 2 : 1; times > 0; times--)
        digest_add(&watcher->digest, seen.now.modified,
                   history_digest(&seen, witness_previous(witness, watcher)));
}

static void on_event(struct watch_stream *stream, struct watcher *watch, const struct watch_event *event) {
    struct witness_watcher *watcher = (struct witness_watcher *)watch;
    struct witness_stream *mine = stream_of(stream);
    mine->witness->events++;
    if (event->has_previous && !watch->create.previous)
        witness_violation(mine->witness, watcher - mine->witness->watchers,
                          "prev_kv nobody asked for; revision", event->now.modified, 0);
    take(mine->witness, watcher, event);
    if (watcher->breadth == BREADTH_PULSE) {
        mine->pulse = event->now.modified;
        note_recovery(mine);
    }
}

static void on_restarted(struct watch_stream *stream, struct watcher *watch) {
    struct witness *witness = stream_of(stream)->witness;
    struct witness_watcher *watcher = (struct witness_watcher *)watch;
    if (witness->episode_count == witness->episode_room) {
        witness->episode_room = 2 * witness->episode_room + 1024;
        witness->episodes =
            must_realloc(witness->episodes, witness->episode_room * sizeof *witness->episodes);
    }
    witness->episodes[witness->episode_count++] =
        (struct episode){.watcher = (size_t)(watcher - witness->watchers),
                         .first = watcher->first,
                         .last = watch->next - 1,
                         .total = digest_total(&watcher->digest),
                         .count = watcher->digest.count};
    watcher->created = false;
    watcher->digest = (struct digest_sum){0};
    witness->restarts++;
}

/* Too far behind: what it would have to see next is gone. It begins anew, now. */
static bool on_compacted(struct watch_stream *stream, struct watcher *watch, int64_t revision) {
    struct witness *witness = stream_of(stream)->witness;
    if (revision > witness->recorder.compacted || watch->next >= revision)
        return false;
    watch->create.start_revision = 0;
    witness->compacted++;
    return true;
}

static void on_progress(struct watch_stream *stream, int64_t revision) {
    (void)revision;
    stream_of(stream)->witness->progress_answers++;
}

static void on_ended(struct watch_stream *stream, unsigned outcome) {
    (void)outcome;
    stream_of(stream)->reopen_at_ns = loop_now_ns() + REOPEN_NS;
}

static void on_violated(struct watch_stream *stream, struct watcher *watch, const char *what, int64_t seen,
                        int64_t before) {
    struct witness *witness = stream_of(stream)->witness;
    witness_violation(witness, watch == NULL ? -1 : (struct witness_watcher *)watch - witness->watchers, what,
                      seen, before);
}

/* --- the run ---------------------------------------------------------------------------------------- */

static uint64_t between(struct witness *witness, uint64_t low_ms, uint64_t high_ms) {
    return (low_ms + random_next(&witness->random) % (high_ms - low_ms)) * MILLISECOND_NS;
}

/* A slow reader stops and reads in turn; at the end it reads like the others. */
static void pace(struct witness_stream *stream, uint64_t now) {
    struct grpc_connection *connection = stream->watch.connection;
    if (stream->pace == PACE_FULL || now < stream->turn_at_ns)
        return;
    bool pause = !connection->paused && !stream->witness->catching_up;
    grpc_connection_pause(connection, pause);
    if (stream->pace == PACE_TRICKLE)
        stream->turn_at_ns = now + (pause ? (uint64_t)TRICKLE_NS : 0);
    else
        stream->turn_at_ns =
            now + (pause ? between(stream->witness, 500, 5000) : between(stream->witness, 200, 1500));
}

static void run_stream(struct witness_stream *stream, uint64_t now) {
    struct watch_stream *watch = &stream->watch;
    pace(stream, now);
    if (watch_stream_running(watch) || now < stream->reopen_at_ns ||
        !grpc_connection_usable(watch->connection))
        return;
    watch_stream_open(watch);
    grpc_connection_flush(watch->connection);
}

static void restart_somebody(struct witness *witness) {
    struct witness_stream *stream = &witness->streams[random_next(&witness->random) % witness->stream_count];
    if (stream->watch.count < 2 || !grpc_connection_usable(stream->watch.connection))
        return;
    size_t index = 1 + random_next(&witness->random) % (stream->watch.count - 1); /* not the pulse */
    struct witness_watcher *watcher = (struct witness_watcher *)stream->watch.watchers + index;
    if (watch_stream_restart(&stream->watch, &watcher->watch, witness_old_revision(witness, watcher)))
        grpc_connection_flush(stream->watch.connection);
}

static void ask_somebody(struct witness *witness) {
    struct witness_stream *stream = &witness->streams[random_next(&witness->random) % witness->stream_count];
    if (!watch_stream_running(&stream->watch) || !grpc_connection_usable(stream->watch.connection))
        return;
    watch_stream_ask_progress(&stream->watch);
    grpc_connection_flush(stream->watch.connection);
}

static void disturb(struct witness *witness, uint64_t now) {
    if (now >= witness->next_restart_ns) {
        witness->next_restart_ns = now + (uint64_t)RESTART_AFTER_S * SECOND_NS / witness->watcher_count;
        restart_somebody(witness);
    }
    if (now >= witness->next_progress_ns && !witness->options->no_progress) {
        witness->next_progress_ns = now + PROGRESS_EVERY_NS;
        ask_somebody(witness);
    }
}

static void on_line(void *owner, const char *line) {
    struct witness *witness = (struct witness *)owner;
    if (strncmp(line, "mark ", 5) == 0)
        begin_mark(witness, line + 5);
    else if (strcmp(line, "stop") == 0)
        witness->stopping = true;
    else
        fprintf(stderr, "unknown command: %s\n", line);
}

void witness_turn(struct witness *witness) {
    uint64_t now = loop_now_ns();
    for (size_t i = 0; i < witness->stream_count; i++)
        run_stream(&witness->streams[i], now);
    churn_run(witness->churn, now, !witness->stopping);
    lessees_run(witness->lessees, now, !witness->stopping);
    witness_recorder_turn(witness, now);
    if (!witness->stopping)
        disturb(witness, now);
    if (loop_run_once(&witness->loop, TICK_NS, &witness->commands) && !witness->stopping)
        commands_read(&witness->commands, on_line, witness);
}

/* Until nothing more will change: writes are answered, leases have ended. */
static void run(struct witness *witness) {
    uint64_t limit = 0;
    for (;;) {
        if (witness->stopping && limit == 0)
            limit = loop_now_ns() + 3 * witness->options->timeout_us * 1000;
        size_t leases = lessees_alive(witness->lessees);
        if (witness->stopping && ((churn_idle(witness->churn) && leases == 0) || loop_now_ns() > limit)) {
            if (leases > 0)
                witness_violation(witness, -1, "leases have not ended; number", (int64_t)leases, 0);
            return;
        }
        witness_turn(witness);
    }
}

static void report(const struct witness *witness) {
    const struct churn_totals *churn = churn_totals(witness->churn);
    const struct lessees_totals *leases = lessees_totals(witness->lessees);
    printf("total acknowledged %" PRIu64 " unknown %" PRIu64 " explained %" PRIu64 " revision %" PRId64
           " watchers %zu episodes %zu events %" PRIu64 " resumed %" PRIu64 " restarts %" PRIu64
           " progress %" PRIu64 " compactions %" PRIu64 " overtaken %" PRIu64 " leases %" PRIu64
           " renewals %" PRIu64 " expired %" PRIu64 " revoked %" PRIu64 " violations %ld\n",
           churn->acknowledged, churn->unknown, churn->explained, churn->revision, witness->watcher_count,
           witness->episode_count + witness->watcher_count, witness->events, witness->resumed,
           witness->restarts, witness->progress_answers, witness->recorder.compactions, witness->compacted,
           leases->granted, leases->renewed, leases->expired, leases->revoked, witness->violations);
}

static void set_up(struct witness *witness) {
    const struct witness_options *options = witness->options;
    witness->random = digest_mix(options->seed, 0x5EED) | 1;
    witness_count_connections(witness);
    size_t watching = witness->fast_connections + witness->slow_connections;
    loop_create(&witness->loop, watching + witness->writer_connections + witness->lessee_connections + 1,
                options->endpoints, options->endpoint_count);
    witness_cast(witness);
    for (size_t i = 0; i < witness->stream_count; i++) {
        struct watch_stream *stream = &witness->streams[i].watch;
        stream->created = on_created;
        stream->event = on_event;
        stream->progress = on_progress;
        stream->restarted = on_restarted;
        stream->compacted = on_compacted;
        stream->ended = on_ended;
        stream->violated = on_violated;
    }
    struct churn_options churn = {.writers = options->writers,
                                  .rate = options->rate,
                                  .seed = options->seed,
                                  .timeout_us = options->timeout_us,
                                  .forget_at = options->plant == PLANT_PROMISE ? PLANT_AT : 0,
                                  .pulsed = on_pulsed,
                                  .violated = on_world_violated,
                                  .owner = witness};
    witness->churn = churn_create(&churn, &witness->loop.connections[watching], witness->writer_connections);
    struct lessees_options lessees = {.holders = options->lessees,
                                      .seed = options->seed,
                                      .timeout_us = options->timeout_us,
                                      .compacting = options->compact_every_us > 0,
                                      .misremember = options->plant == PLANT_LEASE,
                                      .violated = on_world_violated,
                                      .owner = witness};
    witness->lessees =
        lessees_create(&lessees, &witness->loop.connections[watching + witness->writer_connections],
                       witness->lessee_connections);
    witness_recorder_create(witness);
    commands_watch(&witness->commands, witness->loop.epoll);
    loop_open_all(&witness->loop);
}

static void tear_down(struct witness *witness) {
    loop_destroy(&witness->loop);
    for (size_t i = 0; i < witness->stream_count; i++)
        watch_stream_free(&witness->streams[i].watch);
    witness_recorder_free(witness);
    churn_free(witness->churn);
    lessees_free(witness->lessees);
    free(witness->streams);
    free(witness->watchers);
    free(witness->episodes);
    free(witness);
}

long witness_run(const struct witness_options *options) {
    struct witness *witness = must_zalloc(sizeof *witness);
    witness->options = options;
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_up(witness);
    printf("ready\n");
    run(witness);
    witness_verdict(witness);
    report(witness);
    long violations = witness->violations;
    tear_down(witness);
    return violations;
}
