/*
 * expiry: see expiry.h. One thread. Connection 0 carries the watch and connection 1 the renewals, so that the
 * crowd of requests before them does not stand in their way.
 */
#include "ops/load/expiry.h"

#include "common/clock.h"
#include "common/status.h"
#include "common/wire.h"
#include "ops/load/histogram.h"
#include "ops/load/loop.h"
#include "ops/load/report.h"
#include "ops/load/watch_stream.h"
#include "ops/load/workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define SECOND_NS 1000000000U

enum {
    WATCH_CONNECTION,
    RENEWAL_CONNECTION,
    FIRST_CONNECTION,
    VALUE_SIZE = 32,
    TICK_NS = 1000 * 1000,
    SETUP_LIMIT_S = 600, /* without any progress */
    WAIT_LIMIT_S = 600,
    SHOWN = 10,
};

struct lease {
    uint64_t due_ns; /* 0: not renewed */
    int64_t deleted; /* revision of its first deletion */
    uint32_t gone;   /* keys deleted */
    bool renewed;    /* answered */
};

enum step { STEP_GRANT, STEP_ATTACH };

struct slot {
    struct grpc_call call; /* first: a call is its slot */
    struct expiry *expiry;
    struct grpc_connection *connection;
    struct slot *next_free;
};

struct expiry {
    const struct expiry_options *options;
    struct loop loop;
    struct lease *leases;
    struct slot *slots, *free_slots;
    size_t slot_count;
    enum step step;
    size_t started, finished; /* of the step */
    uint64_t random;
    struct watch_stream stream;
    struct watcher watcher;
    bool watching;
    struct grpc_call renewals;
    struct buffer request;
    size_t sent, renewed, keys_gone, leases_gone;
    uint64_t failed, last_progress_ns;
    long violations;
    double grant_s, attach_s;
    uint64_t first_due_ns, last_due_ns, last_deleted_ns;
    struct histogram delay; /* of the last key of each lease */
};

static void complain(struct expiry *expiry, const char *what, size_t lease, int64_t detail) {
    if (++expiry->violations <= SHOWN)
        fprintf(stderr, "quorate-load: lease %zu: %s: %" PRId64 "\n", lease, what, detail);
}

/* --- grant and attach ------------------------------------------------------------------------------- */

static void make_grant(const struct expiry *expiry, size_t lease, struct grpc_call *call) {
    wire_put_uint64(&call->message, 1, expiry->options->ttl_s);
    wire_put_uint64(&call->message, 2, EXPIRY_FIRST_LEASE + lease);
    call->path = "/etcdserverpb.Lease/LeaseGrant";
}

/* TxnRequest.success = 2, RequestOp.request_put = 2. */
static void make_attach(struct expiry *expiry, size_t lease, struct grpc_call *call) {
    for (size_t i = 0; i < expiry->options->keys_each; i++) {
        char key[WORKLOAD_KEY_ROOM];
        snprintf(key, sizeof key, "%s%08zu/%04zu", expiry->options->prefix, lease, i);
        size_t operation = wire_begin_message(&call->message, 2);
        size_t put = wire_begin_message(&call->message, 2);
        wire_put_bytes(&call->message, 1, bytes_from_text(key));
        wire_put_bytes(&call->message, 2, workload_value(VALUE_SIZE, &expiry->random));
        wire_put_uint64(&call->message, 3, EXPIRY_FIRST_LEASE + lease);
        wire_end_message(&call->message, put);
        wire_end_message(&call->message, operation);
    }
    call->path = "/etcdserverpb.KV/Txn";
}

static void start_slots(struct expiry *expiry) {
    struct slot *slot = expiry->free_slots;
    expiry->free_slots = NULL;
    while (slot != NULL) {
        struct slot *next = slot->next_free;
        if (expiry->started < expiry->options->leases && grpc_connection_usable(slot->connection)) {
            slot->call.message.length = 0;
            if (expiry->step == STEP_GRANT)
                make_grant(expiry, expiry->started++, &slot->call);
            else
                make_attach(expiry, expiry->started++, &slot->call);
            grpc_connection_call(slot->connection, &slot->call);
        } else {
            slot->next_free = expiry->free_slots;
            expiry->free_slots = slot;
        }
        slot = next;
    }
    for (size_t i = FIRST_CONNECTION; i < expiry->loop.count; i++)
        grpc_connection_flush(&expiry->loop.connections[i]);
}

static void on_slot_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)response;
    struct slot *slot = (struct slot *)call->owner;
    struct expiry *expiry = slot->expiry;
    expiry->finished++;
    expiry->last_progress_ns = loop_now_ns();
    if (outcome != GRPC_OK) {
        expiry->failed++;
        complain(expiry,
                 expiry->step == STEP_GRANT ? "not granted, gRPC code" : "no keys attached, gRPC code",
                 expiry->started, outcome);
    }
    slot->next_free = expiry->free_slots;
    expiry->free_slots = slot;
}

/* Seconds it took; negative: it did not end. */
static double run_step(struct expiry *expiry, enum step step) {
    expiry->step = step;
    expiry->started = expiry->finished = 0;
    uint64_t began = expiry->last_progress_ns = loop_now_ns();
    while (expiry->finished < expiry->options->leases) {
        if (loop_now_ns() - expiry->last_progress_ns > (uint64_t)SETUP_LIMIT_S * SECOND_NS ||
            loop_interrupted())
            return -1;
        if (expiry->free_slots != NULL)
            start_slots(expiry);
        loop_run_once(&expiry->loop, TICK_NS, NULL);
    }
    return (double)(loop_now_ns() - began) / SECOND_NS;
}

/* --- the watch -------------------------------------------------------------------------------------- */

static void on_created(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    (void)watcher, (void)revision;
    ((struct expiry *)stream->owner)->watching = true;
}

static bool read_lease(const struct expiry *expiry, struct bytes key, size_t *lease) {
    size_t at = strlen(expiry->options->prefix);
    *lease = 0;
    for (; at < key.length && key.data[at] != '/'; at++)
        *lease = *lease * 10 + (size_t)(key.data[at] - '0');
    return *lease < expiry->options->leases;
}

static void on_event(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event) {
    (void)watcher;
    struct expiry *expiry = (struct expiry *)stream->owner;
    size_t number;
    if (!event->deleted || !read_lease(expiry, event->now.key, &number))
        return;
    struct lease *lease = &expiry->leases[number];
    uint64_t now = loop_now_ns();
    expiry->keys_gone++;
    expiry->last_deleted_ns = now;
    if (lease->gone++ == 0)
        lease->deleted = event->now.modified;
    if (lease->deleted != event->now.modified)
        complain(expiry, "its keys went in several revisions", number, event->now.modified);
    if (!lease->renewed || now < lease->due_ns)
        complain(expiry,
                 lease->renewed ? "ended too early, us" : "ended before it could be renewed: raise --ttl",
                 number, lease->renewed ? (int64_t)(lease->due_ns - now) / 1000 : 0);
    if (lease->gone == expiry->options->keys_each) {
        expiry->leases_gone++;
        histogram_record(&expiry->delay, now < lease->due_ns ? 0 : now - lease->due_ns);
    }
}

static void on_violated(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                        int64_t before) {
    (void)watcher, (void)before;
    complain((struct expiry *)stream->owner, what, 0, seen);
}

static void on_watch_ended(struct watch_stream *stream, unsigned outcome) {
    complain((struct expiry *)stream->owner, "the watch ended, gRPC code", 0, outcome);
}

static bool wait_watching(struct expiry *expiry) {
    uint64_t limit = loop_now_ns() + (uint64_t)10 * SECOND_NS;
    while (!expiry->watching && loop_now_ns() < limit && !loop_interrupted()) {
        if (!watch_stream_running(&expiry->stream) && grpc_connection_usable(expiry->stream.connection)) {
            watch_stream_open(&expiry->stream);
            grpc_connection_flush(expiry->stream.connection);
        }
        loop_run_once(&expiry->loop, TICK_NS, NULL);
    }
    return expiry->watching;
}

/* --- renewals --------------------------------------------------------------------------------------- */

static void on_renewal(struct grpc_call *call, struct bytes message) {
    struct expiry *expiry = (struct expiry *)call->owner;
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    uint64_t id = 0;
    uint64_t ttl = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            id = field.value;
        else if (field.number == 3)
            ttl = field.value;
    }
    size_t number = (size_t)(id - EXPIRY_FIRST_LEASE);
    if (number >= expiry->options->leases || ttl != expiry->options->ttl_s) {
        complain(expiry, "renewed for another TTL (0: it was gone: raise --ttl)", number, (int64_t)ttl);
        return;
    }
    expiry->leases[number].renewed = true;
    expiry->renewed++;
}

static void on_renewals_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)response;
    complain((struct expiry *)call->owner, "the stream of renewals ended, gRPC code", 0, outcome);
}

static void renew(struct expiry *expiry, size_t number, uint64_t now) {
    expiry->leases[number].due_ns = now + expiry->options->ttl_s * SECOND_NS;
    if (expiry->first_due_ns == 0)
        expiry->first_due_ns = expiry->leases[number].due_ns;
    expiry->last_due_ns = expiry->leases[number].due_ns;
    expiry->request.length = 0;
    wire_put_uint64(&expiry->request, 1, EXPIRY_FIRST_LEASE + number);
    grpc_call_send(&expiry->renewals, buffer_bytes(&expiry->request));
}

static bool renew_all(struct expiry *expiry) {
    size_t leases = expiry->options->leases;
    struct grpc_connection *connection = &expiry->loop.connections[RENEWAL_CONNECTION];
    if (!grpc_connection_usable(connection))
        return false;
    grpc_connection_call(connection, &expiry->renewals);
    uint64_t began = loop_now_ns();
    uint64_t limit = began + (uint64_t)((expiry->options->spread_s + 30) * SECOND_NS);
    while (expiry->renewed < leases && expiry->violations == 0) {
        uint64_t now = loop_now_ns();
        double passed = (double)(now - began) / SECOND_NS;
        if (now > limit || loop_interrupted())
            return false;
        for (; expiry->sent < leases &&
               (double)expiry->sent * expiry->options->spread_s <= passed * (double)leases;
             expiry->sent++)
            renew(expiry, expiry->sent, now);
        grpc_connection_flush(connection);
        loop_run_once(&expiry->loop, TICK_NS, NULL);
    }
    return expiry->renewed == leases;
}

static void wait_gone(struct expiry *expiry) {
    uint64_t limit = expiry->last_due_ns + (uint64_t)WAIT_LIMIT_S * SECOND_NS;
    while (expiry->leases_gone < expiry->options->leases && loop_now_ns() < limit && !loop_interrupted())
        loop_run_once(&expiry->loop, TICK_NS, NULL);
}

/* --- the whole -------------------------------------------------------------------------------------- */

static void report(const struct expiry *expiry) {
    const struct expiry_options *options = expiry->options;
    double seconds = (double)(expiry->last_deleted_ns - expiry->first_due_ns) / SECOND_NS;
    size_t keys = options->leases * options->keys_each;
    if (options->json) {
        printf("{\"leases\": %zu, \"keys\": %zu, \"gone\": %zu, \"failed\": %" PRIu64
               ", \"violations\": %ld, "
               "\"grant_s\": %.3f, \"attach_s\": %.3f, \"first_due_s\": %.3f, \"last_due_s\": %.3f, "
               "\"last_deleted_s\": %.3f, \"delay_us\": ",
               options->leases, keys, expiry->leases_gone, expiry->failed, expiry->violations,
               expiry->grant_s, expiry->attach_s, (double)expiry->first_due_ns / SECOND_NS,
               (double)expiry->last_due_ns / SECOND_NS, (double)expiry->last_deleted_ns / SECOND_NS);
        report_json_latency(stdout, &expiry->delay, seconds);
        printf("}\n");
        return;
    }
    printf("granted       %zu leases, %.0f/s; %zu keys attached, %.0f/s\n", options->leases,
           (double)options->leases / expiry->grant_s, keys, (double)keys / expiry->attach_s);
    printf("gone          %zu leases with %zu keys\n", expiry->leases_gone, expiry->keys_gone);
    report_text_latency(stdout, "delay", &expiry->delay, seconds);
    printf("failed        %" PRIu64 ", violations %ld\n", expiry->failed, expiry->violations);
}

static void make_slots(struct expiry *expiry) {
    expiry->slot_count = expiry->options->connections * expiry->options->streams;
    expiry->slots = must_zalloc(expiry->slot_count * sizeof *expiry->slots);
    for (size_t i = expiry->slot_count; i-- > 0;) {
        struct slot *slot = &expiry->slots[i];
        slot->expiry = expiry;
        slot->connection = &expiry->loop.connections[FIRST_CONNECTION + i % expiry->options->connections];
        slot->call.done = on_slot_done;
        slot->call.owner = slot;
        slot->next_free = expiry->free_slots;
        expiry->free_slots = slot;
    }
}

static bool play(struct expiry *expiry) {
    expiry->grant_s = run_step(expiry, STEP_GRANT);
    if (expiry->grant_s < 0 || expiry->failed > 0)
        return false;
    expiry->attach_s = run_step(expiry, STEP_ATTACH);
    if (expiry->attach_s < 0 || expiry->failed > 0 || !wait_watching(expiry))
        return false;
    printf("ready\n");
    fflush(stdout);
    if (!renew_all(expiry))
        return false;
    wait_gone(expiry);
    report(expiry);
    return expiry->leases_gone == expiry->options->leases && expiry->violations == 0;
}

bool expiry_run(const struct expiry_options *options) {
    struct expiry *expiry = must_zalloc(sizeof *expiry);
    uint8_t room[WORKLOAD_KEY_ROOM];
    expiry->options = options;
    expiry->random = clock_random() | 1;
    expiry->leases = must_zalloc(options->leases * sizeof *expiry->leases);
    workload_prepare();
    loop_listen_to_signals();
    prctl(PR_SET_TIMERSLACK, 1000UL);
    loop_create(&expiry->loop, FIRST_CONNECTION + options->connections, options->endpoints,
                options->endpoint_count);
    make_slots(expiry);
    struct bytes prefix = bytes_from_text(options->prefix);
    expiry->watcher.create =
        (struct watch_create){.key = prefix, .range_end = workload_prefix_end(prefix, room), .no_put = true};
    expiry->stream = (struct watch_stream){
        .connection = &expiry->loop.connections[WATCH_CONNECTION],
        .watchers = &expiry->watcher,
        .count = 1,
        .stride = sizeof expiry->watcher,
        .created = on_created,
        .event = on_event,
        .ended = on_watch_ended,
        .violated = on_violated,
        .owner = expiry,
    };
    expiry->renewals = (struct grpc_call){.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                                          .received = on_renewal,
                                          .done = on_renewals_done,
                                          .owner = expiry};
    loop_open_all(&expiry->loop);
    bool good = play(expiry);
    if (!good)
        fprintf(stderr,
                "quorate-load: expiry: %zu requests of step %d answered, %zu leases renewed, %zu gone\n",
                expiry->finished, (int)expiry->step, expiry->renewed, expiry->leases_gone);
    loop_destroy(&expiry->loop);
    for (size_t i = 0; i < expiry->slot_count; i++)
        grpc_call_free(&expiry->slots[i].call);
    grpc_call_free(&expiry->renewals);
    watch_stream_free(&expiry->stream);
    buffer_free(&expiry->request);
    free(expiry->slots);
    free(expiry->leases);
    free(expiry);
    return good;
}
