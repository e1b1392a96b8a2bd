/*
 * bench: see bench.h. One worker a thread, each with its own share of the connections and nothing shared but
 * two barriers; the results are summed at the end.
 */
#include "ops/load/bench.h"

#include "common/clock.h"
#include "common/status.h"
#include "ops/load/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define SECOND_NS 1000000000U

enum { DRAIN_LIMIT_S = 15, NO_SERVER_S = 10, IDLE_WAIT_NS = 100 * 1000 * 1000, DOWN_WAIT_NS = 1000 * 1000 };

enum phase { PHASE_PREFILL, PHASE_MEASURE };

struct slot {
    struct grpc_call call; /* first: a call is its slot */
    struct worker *worker;
    struct grpc_connection *connection;
    struct slot *next_free;
    enum operation operation;
    bool waiting;          /* for an answer; a stream stays open between two requests */
    struct buffer request; /* of a stream; a unary call has its own */
    uint64_t due_ns;
};

struct worker {
    const struct bench_options *options;
    struct bench_result *result;
    struct loop loop;
    struct slot *slots;
    size_t slot_count, in_flight;
    struct slot *free_slots;
    uint64_t random;
    enum phase phase;
    bool stopping;
    uint64_t budget;     /* requests this worker may still start in this phase */
    uint64_t prefill_at; /* next key number to prefill */
    uint64_t issued;     /* open loop: requests started */
    double interval_ns;  /* open loop: between two of this worker's */
    uint64_t start_ns, measure_ns, end_ns;
    uint64_t served_ns; /* when there was a connection last */
    bool gave_up;       /* no server */
    pthread_t thread;
};

static pthread_barrier_t barrier;
static atomic_ullong progress_count;

static void on_message(struct grpc_call *call, struct bytes message);

static void send_request(struct slot *slot, const char *path, bool stream) {
    struct grpc_call *call = &slot->call;
    call->path = path;
    bool open = call->connection != NULL;
    if (stream && !open) {
        call->received = on_message;
        call->message.length = 0;
    }
    if (stream)
        grpc_call_send(call, buffer_bytes(&slot->request));
    if (!open)
        grpc_connection_call(slot->connection, call);
}

static void start(struct slot *slot, uint64_t now, uint64_t due) {
    struct worker *worker = slot->worker;
    const struct workload *workload = &worker->options->workload;
    const char *path;
    bool stream = false;
    if (worker->phase == PHASE_PREFILL) {
        slot->call.message.length = 0;
        path = workload_prefill(workload, worker->prefill_at, &worker->random, &slot->call.message);
        worker->prefill_at += worker->options->threads;
    } else {
        uint64_t key = workload->first_key + random_next(&worker->random) % workload->keys;
        slot->operation = workload_pick(workload, &worker->random);
        stream = workload_streams(slot->operation);
        slot->call.discard = slot->operation == OPERATION_LIST;
        struct buffer *request = stream ? &slot->request : &slot->call.message;
        request->length = 0;
        path = workload_request(workload, slot->operation, key, &worker->random, request);
    }
    slot->call.started_ns = now;
    slot->due_ns = due;
    slot->waiting = true;
    worker->budget--;
    worker->in_flight++;
    send_request(slot, path, stream);
}

static bool may_start(const struct worker *worker, const struct slot *slot) {
    return !worker->stopping && worker->budget > 0 && grpc_connection_usable(slot->connection);
}

static void put_free(struct slot *slot) {
    slot->next_free = slot->worker->free_slots;
    slot->worker->free_slots = slot;
}

static void record(struct slot *slot, unsigned outcome, uint64_t now) {
    struct worker *worker = slot->worker;
    if (worker->phase == PHASE_PREFILL) {
        if (outcome == GRPC_OK)
            worker->result->prefilled++;
        else
            worker->result->outcomes[outcome]++;
        return;
    }
    worker->result->completed++;
    worker->result->outcomes[outcome]++;
    if (outcome != GRPC_OK)
        return;
    if (worker->options->window_s > 0 && slot->due_ns >= worker->measure_ns && slot->due_ns <= worker->end_ns)
        windows_record(&worker->result->windows, worker->options->window_s, slot->due_ns - worker->measure_ns,
                       now - slot->due_ns);
    if (now >= worker->measure_ns && now <= worker->end_ns)
        histogram_record(&worker->result->latency[slot->operation], now - slot->due_ns);
}

static void complete(struct slot *slot, unsigned outcome) {
    struct worker *worker = slot->worker;
    uint64_t now = loop_now_ns();
    slot->waiting = false;
    worker->in_flight--;
    record(slot, outcome, now);
    if (worker->options->progress)
        atomic_fetch_add_explicit(&progress_count, 1, memory_order_relaxed);
    bool closed_loop = worker->interval_ns == 0 || worker->phase == PHASE_PREFILL;
    if (closed_loop && may_start(worker, slot))
        start(slot, now, now);
    else
        put_free(slot);
}

static void on_message(struct grpc_call *call, struct bytes message) {
    struct slot *slot = (struct slot *)call->owner;
    if (slot->waiting) /* else it is an event of a watch */
        complete(slot, workload_outcome(slot->operation, message));
}

static void on_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)response;
    struct slot *slot = (struct slot *)call->owner;
    if (call->received != NULL && outcome == GRPC_OK)
        outcome = GRPC_UNAVAILABLE; /* nobody asked for the stream's end */
    if (slot->waiting)
        complete(slot, outcome);
}

/* Starts on every free slot that has a usable connection and something due. */
static void start_free(struct worker *worker) {
    struct slot *slot = worker->free_slots;
    worker->free_slots = NULL;
    bool open_loop = worker->interval_ns > 0 && worker->phase == PHASE_MEASURE;
    uint64_t now = loop_now_ns();
    while (slot != NULL) {
        struct slot *next = slot->next_free;
        uint64_t due = now;
        if (open_loop)
            due = worker->start_ns + (uint64_t)((double)worker->issued * worker->interval_ns);
        if (may_start(worker, slot) && due <= now) {
            worker->issued++;
            start(slot, now, due);
        } else {
            put_free(slot);
        }
        slot = next;
    }
    for (size_t i = 0; i < worker->loop.count; i++)
        grpc_connection_flush(&worker->loop.connections[i]);
}

static uint64_t wait_time(const struct worker *worker, uint64_t now) {
    if (worker->interval_ns == 0 || worker->phase == PHASE_PREFILL || worker->stopping)
        return IDLE_WAIT_NS;
    uint64_t due = worker->start_ns + (uint64_t)((double)worker->issued * worker->interval_ns);
    if (due > now)
        return due - now < IDLE_WAIT_NS ? due - now : IDLE_WAIT_NS;
    if (worker->free_slots == NULL)
        return IDLE_WAIT_NS;
    return worker->loop.down > 0 ? DOWN_WAIT_NS : 0;
}

/* A server that is restarted is waited for; one that is not there must not be waited for in silence. */
static bool no_server(struct worker *worker, uint64_t now) {
    for (size_t i = 0; i < worker->loop.count && worker->served_ns != now; i++)
        if (grpc_connection_usable(&worker->loop.connections[i]))
            worker->served_ns = now;
    worker->gave_up = now - worker->served_ns > (uint64_t)NO_SERVER_S * SECOND_NS;
    return worker->gave_up;
}

static void run_phase(struct worker *worker) {
    uint64_t limit = UINT64_MAX; /* for stragglers, once the phase has ended */
    worker->stopping = false;
    worker->served_ns = loop_now_ns();
    for (;;) {
        uint64_t now = loop_now_ns();
        bool over = worker->budget == 0 || (worker->phase == PHASE_MEASURE && now >= worker->end_ns) ||
                    loop_interrupted();
        if (no_server(worker, now))
            return;
        if (over && !worker->stopping) {
            worker->stopping = true;
            limit = now + (uint64_t)DRAIN_LIMIT_S * SECOND_NS;
        }
        if (worker->stopping && (worker->in_flight == 0 || now > limit))
            return;
        if (worker->free_slots != NULL && !worker->stopping)
            start_free(worker);
        loop_run_once(&worker->loop, wait_time(worker, loop_now_ns()), NULL);
    }
}

static void make_slots(struct worker *worker) {
    worker->slot_count = worker->loop.count * worker->options->streams;
    worker->slots = must_zalloc(worker->slot_count * sizeof *worker->slots);
    for (size_t i = worker->slot_count; i-- > 0;) {
        struct slot *slot = &worker->slots[i];
        slot->worker = worker;
        slot->connection = &worker->loop.connections[i % worker->loop.count];
        slot->call.done = on_done;
        slot->call.owner = slot;
        put_free(slot);
    }
}

static void prefill(struct worker *worker, size_t index) {
    const struct bench_options *options = worker->options;
    uint64_t keys = options->workload.keys;
    worker->phase = PHASE_PREFILL;
    worker->prefill_at = options->workload.first_key + index;
    worker->budget = keys / options->threads + (index < keys % options->threads ? 1 : 0);
    uint64_t began = loop_now_ns();
    run_phase(worker);
    worker->result->prefill_s = (double)(loop_now_ns() - began) / SECOND_NS;
}

static void measure(struct worker *worker, size_t index) {
    const struct bench_options *options = worker->options;
    worker->phase = PHASE_MEASURE;
    worker->issued = 0;
    worker->budget = UINT64_MAX;
    worker->start_ns = loop_now_ns();
    worker->measure_ns = worker->start_ns + (uint64_t)(options->warmup_s * SECOND_NS);
    worker->end_ns = worker->measure_ns + (uint64_t)(options->duration_s * SECOND_NS);
    worker->result->began_s = (double)worker->measure_ns / SECOND_NS;
    if (options->requests > 0) {
        worker->budget =
            options->requests / options->threads + (index < options->requests % options->threads ? 1 : 0);
        worker->measure_ns = worker->start_ns;
        worker->end_ns = UINT64_MAX;
    }
    if (options->rate > 0)
        worker->interval_ns = (double)SECOND_NS * (double)options->threads / options->rate;
    run_phase(worker);
    uint64_t now = loop_now_ns();
    uint64_t until = now < worker->end_ns ? now : worker->end_ns;
    if (until > worker->measure_ns) /* else it was interrupted */
        worker->result->elapsed_s = (double)(until - worker->measure_ns) / SECOND_NS;
}

static size_t share_of(size_t total, size_t parts, size_t index) {
    return total / parts + (index < total % parts ? 1 : 0);
}

struct thread_argument {
    struct worker *worker;
    size_t index;
};

static void *worker_main(void *opaque) {
    struct thread_argument *argument = opaque;
    struct worker *worker = argument->worker;
    const struct bench_options *options = worker->options;
    prctl(PR_SET_TIMERSLACK, 1000UL);
    loop_create(&worker->loop, share_of(options->connections, options->threads, argument->index),
                options->endpoints, options->endpoint_count);
    make_slots(worker);
    loop_open_all(&worker->loop);
    if (options->prefill)
        prefill(worker, argument->index);
    pthread_barrier_wait(&barrier);
    if (!options->prefill_only && !worker->gave_up)
        measure(worker, argument->index);
    worker->result->dropped = worker->loop.dropped;
    pthread_barrier_wait(&barrier);
    loop_destroy(&worker->loop);
    for (size_t i = 0; i < worker->slot_count; i++) {
        grpc_call_free(&worker->slots[i].call);
        buffer_free(&worker->slots[i].request);
    }
    free(worker->slots);
    return NULL;
}

static void add_result(struct bench_result *into, const struct bench_result *from) {
    into->began_s = from->began_s;
    windows_add(&into->windows, &from->windows);
    if (from->elapsed_s > into->elapsed_s)
        into->elapsed_s = from->elapsed_s;
    if (from->prefill_s > into->prefill_s)
        into->prefill_s = from->prefill_s;
    into->completed += from->completed;
    into->prefilled += from->prefilled;
    into->dropped += from->dropped;
    for (unsigned code = 0; code < GRPC_OUTCOMES; code++)
        into->outcomes[code] += from->outcomes[code];
    for (unsigned operation = 0; operation < OPERATION_COUNT; operation++)
        histogram_add(&into->latency[operation], &from->latency[operation]);
}

static atomic_bool progress_stop;

static void *progress_main(void *unused) {
    (void)unused;
    unsigned long long last = 0;
    for (unsigned second = 1; !atomic_load(&progress_stop); second++) {
        struct timespec pause = {.tv_sec = 1};
        nanosleep(&pause, NULL);
        unsigned long long count = atomic_load(&progress_count);
        fprintf(stderr, "%4u s %10llu answers/s\n", second, count - last);
        last = count;
    }
    return NULL;
}

void bench_result_free(struct bench_result *result) {
    windows_free(&result->windows);
    free(result);
}

bool bench_run(const struct bench_options *options, struct bench_result *result) {
    bool served = true;
    struct worker *workers = must_zalloc(options->threads * sizeof *workers);
    struct thread_argument *arguments = must_zalloc(options->threads * sizeof *arguments);
    pthread_t progress_thread;
    workload_prepare();
    loop_listen_to_signals();
    pthread_barrier_init(&barrier, NULL, (unsigned)options->threads);
    if (options->progress)
        pthread_create(&progress_thread, NULL, progress_main, NULL);
    for (size_t i = 0; i < options->threads; i++) {
        workers[i].options = options;
        workers[i].result = must_zalloc(sizeof *workers[i].result);
        workers[i].random = clock_random() | 1;
        arguments[i] = (struct thread_argument){.worker = &workers[i], .index = i};
        if (pthread_create(&workers[i].thread, NULL, worker_main, &arguments[i]) != 0)
            PANIC("cannot start a thread");
    }
    for (size_t i = 0; i < options->threads; i++) {
        pthread_join(workers[i].thread, NULL);
        add_result(result, workers[i].result);
        bench_result_free(workers[i].result);
        served = served && !workers[i].gave_up;
    }
    if (options->progress) {
        atomic_store(&progress_stop, true);
        pthread_join(progress_thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
    free(arguments);
    free(workers);
    if (!served)
        fprintf(stderr, "quorate-load: no server at %s for %d s\n", options->endpoints[0].authority,
                NO_SERVER_S);
    return served;
}
