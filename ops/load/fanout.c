/*
 * fanout: see fanout.h. One thread, one epoll: first the watchers' connections, then those of the puts.
 */
#include "ops/load/fanout.h"

#include "common/clock.h"
#include "ops/load/digest.h"
#include "ops/load/fanout_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define SECOND_NS 1000000000U

enum { CREATE_LIMIT_S = 120, DRAIN_LIMIT_S = 60 };

static struct fanout *fanout_of(struct watch_stream *stream) {
    return (struct fanout *)stream->owner;
}

/* --- events ----------------------------------------------------------------------------------------- */

static void on_created(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    (void)watcher, (void)revision;
    fanout_of(stream)->live++;
}

static void on_violated(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                        int64_t before) {
    struct fanout *fanout = fanout_of(stream);
    if (++fanout->violations > FANOUT_SHOWN)
        return;
    ptrdiff_t index = watcher == NULL ? -1 : (struct fan_watcher *)watcher - fanout->watchers;
    fprintf(stderr, "quorate-load: watcher %td: %s: %" PRId64 " after %" PRId64 "\n", index, what, seen,
            before);
}

static void on_event(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event) {
    struct fanout *fanout = fanout_of(stream);
    struct fan_watcher *fan = (struct fan_watcher *)watcher;
    fanout->events++;
    uint64_t number;
    if (fanout->options->kind == FANOUT_HOLD)
        return;
    if (!fanout_read_number(event->now.value, &number)) {
        on_violated(stream, watcher, "an event of nobody's put at revision", event->now.modified, 0);
        return;
    }
    fan->sum += digest_mix((uint64_t)event->now.modified, number);
    fan->count++;
    struct put *put = &fanout->puts[number % fanout->put_count];
    if (put->number != number || put->missing == 0) {
        if (fanout->failed == 0)
            on_violated(stream, watcher, "an event too many of the put", (int64_t)number,
                        (int64_t)put->number);
        return;
    }
    uint64_t now = loop_now_ns();
    if (now >= fanout->measure_ns && now <= fanout->end_ns)
        fanout->span_events++;
    if (put->due_ns >= fanout->measure_ns && put->due_ns <= fanout->end_ns)
        histogram_record(&fanout->event_latency, now - put->due_ns);
    if (--put->missing == 0)
        fanout_release(put);
}

static void on_ended(struct watch_stream *stream, unsigned outcome) {
    (void)outcome;
    struct fanout *fanout = fanout_of(stream);
    if (!fanout->stopping)
        fanout->ended_streams++;
}

/* --- the run ---------------------------------------------------------------------------------------- */

static void open_streams(struct fanout *fanout) {
    for (size_t i = 0; i < fanout->stream_count; i++) {
        struct watch_stream *stream = &fanout->streams[i];
        if (watch_stream_running(stream) || !grpc_connection_usable(stream->connection))
            continue;
        watch_stream_open(stream);
        grpc_connection_flush(stream->connection);
    }
}

static void describe_watcher(struct fanout *fanout, size_t index) {
    const struct fanout_options *options = fanout->options;
    const struct workload *workload = &options->workload;
    struct watch_create *create = &fanout->watchers[index].watch.create;
    uint8_t room[WORKLOAD_KEY_ROOM];
    create->previous = options->previous;
    if (fanout_everybody(fanout)) {
        create->key = bytes_from_text(workload->prefix);
        struct bytes end = workload_prefix_end(create->key, room);
        create->range_end = bytes_of(memcpy(must_alloc(end.length), end.data, end.length), end.length);
        return;
    }
    uint64_t number = index % workload->keys;
    struct bytes key = workload_key(workload, workload->first_key + number, room);
    create->key = bytes_of(memcpy(must_alloc(key.length), key.data, key.length), key.length);
    fanout->watchers_of[number]++;
}

static void make_watchers(struct fanout *fanout) {
    const struct fanout_options *options = fanout->options;
    fanout->watchers = must_zalloc(options->watchers * sizeof *fanout->watchers);
    fanout->watchers_of = must_zalloc(options->workload.keys * sizeof *fanout->watchers_of);
    fanout->tallies = must_zalloc(options->workload.keys * sizeof *fanout->tallies);
    for (size_t i = 0; i < options->watchers; i++)
        describe_watcher(fanout, i);
    fanout->stream_count = options->watch_connections * options->watch_streams;
    fanout->streams = must_zalloc(fanout->stream_count * sizeof *fanout->streams);
    size_t given = 0;
    for (size_t i = 0; i < fanout->stream_count; i++) {
        size_t share =
            options->watchers / fanout->stream_count + (i < options->watchers % fanout->stream_count ? 1 : 0);
        fanout->streams[i] = (struct watch_stream){
            .connection = &fanout->loop.connections[i % options->watch_connections],
            .watchers = &fanout->watchers[given].watch,
            .count = share,
            .stride = sizeof(struct fan_watcher),
            .created = on_created,
            .event = on_event,
            .ended = on_ended,
            .violated = on_violated,
            .owner = fanout,
        };
        given += share;
    }
}

static bool create_all(struct fanout *fanout) {
    uint64_t began = loop_now_ns();
    uint64_t limit = began + (uint64_t)CREATE_LIMIT_S * SECOND_NS;
    while (fanout->live < fanout->options->watchers) {
        if (loop_now_ns() > limit || loop_interrupted()) {
            fprintf(stderr,
                    "quorate-load: %zu of %zu watchers were created within %d s; connections lost or refused "
                    "%" PRIu64 " times\n",
                    fanout->live, fanout->options->watchers, CREATE_LIMIT_S, fanout->loop.dropped);
            return false;
        }
        open_streams(fanout);
        loop_run_once(&fanout->loop, FANOUT_IDLE_NS, NULL);
    }
    fanout->create_s = (double)(loop_now_ns() - began) / SECOND_NS;
    return true;
}

static void measure(struct fanout *fanout) {
    const struct fanout_options *options = fanout->options;
    fanout->start_ns = loop_now_ns();
    fanout->measure_ns = fanout->start_ns + (uint64_t)(options->warmup_s * SECOND_NS);
    fanout->end_ns = fanout->measure_ns + (uint64_t)(options->duration_s * SECOND_NS);
    if (options->rate > 0)
        fanout->interval_ns = (double)SECOND_NS / options->rate;
    uint64_t limit = fanout->end_ns + (uint64_t)DRAIN_LIMIT_S * SECOND_NS;
    for (;;) {
        uint64_t now = loop_now_ns();
        if (!fanout->stopping && (now >= fanout->end_ns || loop_interrupted())) {
            fanout->stopping = true;
            if (now < fanout->end_ns)
                fanout->end_ns = now;
        }
        if (fanout->stopping && (fanout->outstanding == 0 || now > limit))
            break;
        if (!fanout->stopping && fanout->free_puts != NULL)
            fanout_start_puts(fanout);
        open_streams(fanout);
        loop_run_once(&fanout->loop, fanout_wait_time(fanout, loop_now_ns()), NULL);
    }
    if (fanout->end_ns > fanout->measure_ns)
        fanout->elapsed_s = (double)(fanout->end_ns - fanout->measure_ns) / SECOND_NS;
}

static void hold(struct fanout *fanout) {
    printf("ready\n");
    fflush(stdout);
    uint64_t began = loop_now_ns();
    while (!loop_interrupted()) {
        open_streams(fanout);
        loop_run_once(&fanout->loop, FANOUT_IDLE_NS, NULL);
    }
    fanout->stopping = true;
    fanout->elapsed_s = (double)(loop_now_ns() - began) / SECOND_NS;
    fanout->span_events = fanout->events;
}

static void destroy(struct fanout *fanout) {
    loop_destroy(&fanout->loop);
    for (size_t i = 0; i < fanout->stream_count; i++)
        watch_stream_free(&fanout->streams[i]);
    for (size_t i = 0; i < fanout->put_count; i++)
        grpc_call_free(&fanout->puts[i].call);
    for (size_t i = 0; i < fanout->options->watchers; i++)
        free((void *)(uintptr_t)(fanout_everybody(fanout) ? fanout->watchers[i].watch.create.range_end.data
                                                          : fanout->watchers[i].watch.create.key.data));
    free(fanout->streams);
    free(fanout->watchers);
    free(fanout->watchers_of);
    free(fanout->tallies);
    free(fanout->puts);
    free(fanout);
}

bool fanout_run(const struct fanout_options *options) {
    struct fanout *fanout = must_zalloc(sizeof *fanout);
    fanout->options = options;
    fanout->random = clock_random() | 1;
    workload_prepare();
    loop_listen_to_signals();
    prctl(PR_SET_TIMERSLACK, 1000UL);
    loop_create(&fanout->loop,
                options->watch_connections + (options->kind == FANOUT_HOLD ? 0 : options->connections),
                options->endpoints, options->endpoint_count);
    make_watchers(fanout);
    fanout_make_puts(fanout);
    loop_open_all(&fanout->loop);
    bool good = create_all(fanout);
    if (good) {
        if (options->kind == FANOUT_HOLD)
            hold(fanout);
        else
            measure(fanout);
        size_t wrong = fanout_compare(fanout);
        fanout_report(fanout, wrong);
        good = wrong == 0 && fanout->failed == 0 && fanout->violations == 0 && fanout->events > 0;
        if (options->kind == FANOUT_HOLD)
            good = fanout->violations == 0;
    }
    destroy(fanout);
    return good;
}
