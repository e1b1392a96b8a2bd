/*
 * Watches against a model: an apply that publishes, leaves out, compacts, answers late and dies at random,
 * and clients that create, cancel, stop reading and go on at random. Each watcher has to get the model's
 * events of its range from its start, each once, in order, a revision in one piece, nothing behind a progress
 * or canceled that says otherwise. A failure prints its seed: WATCH_MODEL_SEED=<seed> repeats it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/request.h"
#include "proxy/watch_bench.h"

enum {
    SEEDS = 150,
    STEPS = 500,
    KEYS = 40,
    CLIENTS = 4,
    WATCHERS = 400,
    EVENTS = 20000,
    JOBS = 16,
    ASKS = 256,
    RECORD_BYTES = 500000,
};

static struct fake_node node;
static uint64_t random_state;

static unsigned below(unsigned bound) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((random_state >> 33) % bound);
}

/* --- the model of apply --- */

struct model_event {
    int64_t revision;
    char key[4];
    bool deleted;
};

struct job {
    bool used;
    uint64_t id;
    int64_t to;
    size_t at; /* the next event to look at */
    struct buffer ranges;
};

static struct {
    struct model_event events[EVENTS];
    size_t count;
    int64_t revision, compacted;
    char *value;
    /* of the connection */
    bool registered;
    struct buffer ranges;
    int64_t sent, from;
    uint64_t asks[ASKS];
    size_t ask_count;
    struct job jobs[JOBS];
    bool stalls; /* answers no reads for now */
} model;

static bool in_ranges(const struct buffer *ranges, const char *key, bool *previous) {
    struct bytes body = buffer_bytes(ranges);
    struct bus_range range;
    while (bus_range_next(&body, &range)) {
        *previous = range.previous;
        if (interval_contains(range.key, range.range_end, bytes_from_text(key)))
            return true;
    }
    return false;
}

static void put_model_event(struct stream_record *record, const struct buffer *ranges,
                            const struct model_event *event) {
    bool previous = false;
    if (!in_ranges(ranges, event->key, &previous))
        return;
    if (event->deleted)
        put_delete(record, event->revision, event->key, previous);
    else
        put_event(record, event->revision, event->key, model.value, previous);
}

static size_t first_of(int64_t revision) {
    size_t at = 0;
    while (at < model.count && model.events[at].revision < revision)
        at++;
    return at;
}

static void publish_through(struct stream_record *record, int64_t to) {
    int64_t from = model.from;
    model.sent = to;
    model.from = to + 1;
    bus_put_events(node.apply.far, &(struct bus_events){.from = from,
                                                        .to = to,
                                                        .compacted = model.compacted,
                                                        .body = buffer_bytes(&record->body)});
    buffer_free(&record->body);
    buffer_free(&record->message);
    if (below(2) == 0) /* or in one frame with what comes next */
        fake_node_settle(&node);
}

/* Everything up to the present, in records of whole revisions; or it is left out. */
static void publish_present(bool leave_out) {
    struct stream_record record = {0};
    if (!model.registered || model.revision < model.from)
        return;
    if (leave_out) {
        model.from = model.revision + 1;
        if (below(2) == 0)
            return; /* told later */
    }
    for (size_t i = first_of(model.from); i < model.count; i++) {
        int64_t revision = model.events[i].revision;
        if (i > 0 && model.events[i - 1].revision < revision) {
            bool skip = below(40) == 0;
            if (skip || record.body.length > RECORD_BYTES)
                publish_through(&record, revision - 1);
            if (skip)
                model.from = revision + 1;
        }
        if (revision >= model.from)
            put_model_event(&record, &model.ranges, &model.events[i]);
    }
    if (model.from <= model.revision)
        publish_through(&record, model.revision);
}

/* What was left out is told before anything else is. */
static void tell_hole(void) {
    struct stream_record record = {0};
    if (model.registered && model.from != model.sent + 1 && model.from > model.revision) {
        model.sent = model.revision;
        publish(&node, &record, model.revision + 1, model.revision);
    }
}

static void change(void) {
    if (model.count + 8 > EVENTS)
        return;
    model.revision++;
    for (unsigned i = 0, events = below(8) == 0 ? 1 + below(6) : 1; i < events; i++) {
        struct model_event *event = &model.events[model.count++];
        *event = (struct model_event){.revision = model.revision, .deleted = below(4) == 0};
        snprintf(event->key, sizeof event->key, "k%02u", below(KEYS));
    }
}

static void answer_some(void) {
    if (model.ask_count == 0 || !node.apply.connected)
        return;
    publish_present(false);
    tell_hole();
    size_t now = 1 + below((unsigned)model.ask_count);
    for (size_t i = 0; i < now; i++)
        bus_put_watch_answer(node.apply.far, &(struct bus_watch_answer){.id = model.asks[i],
                                                                        .revision = model.revision,
                                                                        .compacted = model.compacted});
    model.ask_count -= now;
    memmove(model.asks, model.asks + now, model.ask_count * sizeof *model.asks);
    fake_node_settle(&node);
}

static void send_part(struct job *job, struct stream_record *record, enum history_part part, int64_t through,
                      bool more) {
    struct buffer body = {0};
    history_head_put(&body, &(struct history_head){.part = part, .through = through});
    buffer_append_bytes(&body, buffer_bytes(&record->body));
    if (!more)
        job->used = false;
    fake_answer(&node, &(struct bus_result){.id = job->id, .more = more, .body = buffer_bytes(&body)});
    buffer_free(&body);
    buffer_free(&record->body);
    buffer_free(&record->message);
}

static void job_step(struct job *job) {
    struct stream_record record = {0};
    int64_t to = job->to < model.revision ? job->to : model.revision;
    int64_t next = job->at < model.count ? model.events[job->at].revision : model.revision + 1;
    if (next < model.compacted) {
        send_part(job, &record, HISTORY_COMPACTED, model.compacted, false);
        return;
    }
    size_t end = job->at + 1 + below(12);
    while (job->at < end && job->at < model.count && model.events[job->at].revision <= to)
        put_model_event(&record, &job->ranges, &model.events[job->at++]);
    bool last = job->at == model.count || model.events[job->at].revision > to;
    int64_t reached = last ? to : model.events[job->at].revision;
    bool inside = !last && job->at > 0 && model.events[job->at - 1].revision == reached;
    if (last)
        send_part(job, &record, HISTORY_COMPLETE, to, false);
    else if (inside)
        send_part(job, &record, HISTORY_PARTIAL, reached, true);
    else
        send_part(job, &record, HISTORY_COMPLETE, reached - 1, true);
}

static void step_jobs(void) {
    for (unsigned i = 0; i < JOBS; i++) {
        if (model.jobs[i].used && !model.stalls && below(2) == 0 && node.apply.connected)
            job_step(&model.jobs[i]);
    }
}

static void take_register(const struct fake_record *record) {
    tell_hole();
    publish_present(false);
    int64_t seen = (int64_t)record->position;
    if (!model.registered) {
        model.sent = seen;
        model.from = (seen > model.revision ? seen : model.revision) + 1;
        /* Sometimes it still has what the proxy missed. */
        if (seen > 0 && seen <= model.revision && below(2) == 0)
            model.from = seen + 1;
    }
    model.registered = true;
    buffer_reset(&model.ranges, 1 << 20);
    buffer_append_bytes(&model.ranges, buffer_bytes(&record->body));
    struct bytes body = buffer_bytes(&model.ranges);
    struct bus_range range;
    struct bytes before = {0};
    size_t count = 0;
    for (; bus_range_next(&body, &range); count++) {
        assert_true(count == 0 || bytes_compare(before, range.key) < 0);
        before = range.key;
    }
    assert_true(count <= BUS_RANGES_LIMIT && body.length == 0);
    tell_hole();
}

static void take_read(const struct fake_record *record) {
    struct history_request request;
    assert_int_equal(record->method, METHOD_WATCH_HISTORY);
    assert_true(history_request_get(buffer_bytes(&record->body), &request));
    assert_true(request.from <= request.to);
    for (unsigned i = 0; i < JOBS; i++) {
        struct job *job = &model.jobs[i];
        if (job->used)
            continue;
        buffer_free(&job->ranges);
        *job = (struct job){.used = true, .id = record->id, .to = request.to, .at = first_of(request.from)};
        buffer_append_bytes(&job->ranges, request.ranges);
        if (request.from < model.compacted) {
            struct stream_record nothing = {0};
            send_part(job, &nothing, HISTORY_COMPACTED, model.compacted, false);
        }
        return;
    }
    fail_msg("too many reads");
}

static void take_cancel(uint64_t id) {
    for (unsigned i = 0; i < JOBS; i++) {
        if (model.jobs[i].used && model.jobs[i].id == id)
            model.jobs[i].used = false;
    }
}

/* What the proxy has sent. Handling a record may bring more: they are taken in their order. */
static void take_records(void) {
    fake_node_settle(&node);
    for (size_t i = 0; i < node.apply.record_count; i++) {
        const struct fake_record *record = &node.apply.records[i];
        if (record->kind == BUS_PROXY_RANGES)
            take_register(record);
        else if (record->kind == BUS_PROXY_WATCH)
            model.asks[model.ask_count++] = record->id;
        else if (record->kind == BUS_PROXY_READ)
            take_read(record);
        else if (record->kind == BUS_PROXY_CANCEL)
            take_cancel(record->id);
        REQUIRE(model.ask_count < ASKS);
    }
    for (size_t i = 0; i < node.apply.record_count; i++)
        buffer_free(&node.apply.records[i].body);
    node.apply.record_count = 0;
}

static void link_down(void) {
    take_records();
    fake_link_down(&node.apply);
    model.registered = false;
    model.ask_count = 0;
    for (unsigned i = 0; i < JOBS; i++)
        model.jobs[i].used = false;
    take_records();
}

/* --- clients and what their watchers should get --- */

struct expectation {
    struct create create;
    char key[4], range_end[4];
    bool pending, alive, compacted;
    int64_t id, next; /* next: the first revision whose events it has not got */
    size_t at;        /* of the model's events, those before were got or are none of its */
    bool open;        /* in a fragment group */
};

struct model_client {
    struct watching watching;
    size_t checked; /* responses */
    struct expectation watchers[WATCHERS];
    size_t first_pending, count;
    bool progress_asked; /* since the last one came */
    bool progress_ever;
};

static struct model_client clients[CLIENTS];

static bool is_expected(const struct expectation *watcher, const struct model_event *event) {
    struct bytes end = watcher->create.range_end == NULL      ? (struct bytes){0}
                       : strcmp(watcher->range_end, "*") == 0 ? bytes_of("", 1)
                                                              : bytes_from_text(watcher->range_end);
    return event->revision >= watcher->next &&
           interval_contains(bytes_from_text(watcher->key), end, bytes_from_text(event->key)) &&
           !(event->deleted ? watcher->create.no_delete : watcher->create.no_put);
}

/* Moves on to the next event it should get; false: there is none yet. */
static bool seek(struct expectation *watcher) {
    while (watcher->at < model.count && !is_expected(watcher, &model.events[watcher->at]))
        watcher->at++;
    return watcher->at < model.count;
}

static void check_events(struct model_client *client, struct expectation *watcher,
                         const struct seen_response *seen) {
    for (size_t i = 0; i < seen->events; i++) {
        const struct seen_event *event = &client->watching.events[seen->first_event + i];
        assert_true(seek(watcher));
        const struct model_event *expected = &model.events[watcher->at++];
        assert_int_equal(event->revision, expected->revision);
        assert_string_equal(event->key, expected->key);
        assert_int_equal(event->deleted, expected->deleted);
        assert_int_equal(event->previous, watcher->create.previous);
        assert_true(event->revision <= seen->revision);
    }
    watcher->open = seen->fragment;
    if (!seen->fragment && seen->events > 0 && seek(watcher))
        assert_true(model.events[watcher->at].revision >
                    client->watching.events[seen->first_event + seen->events - 1].revision);
}

static struct expectation *find_watcher(struct model_client *client, int64_t id) {
    for (size_t i = 0; i < client->count; i++) {
        if ((client->watchers[i].alive || client->watchers[i].compacted) && client->watchers[i].id == id)
            return &client->watchers[i];
    }
    return NULL;
}

static void check_created(struct model_client *client, const struct seen_response *seen) {
    while (!client->watchers[client->first_pending].pending)
        client->first_pending++;
    struct expectation *watcher = &client->watchers[client->first_pending];
    assert_false(seen->canceled);
    assert_null(find_watcher(client, seen->watch_id));
    watcher->pending = false;
    watcher->alive = true;
    watcher->id = seen->watch_id;
    watcher->next = watcher->create.start_revision == 0 ? seen->revision + 1 : watcher->create.start_revision;
}

/* Everything up to the revision has been got. */
static void check_progress(struct expectation *watcher, int64_t revision) {
    assert_true(watcher->alive);
    assert_true(!seek(watcher) || model.events[watcher->at].revision > revision);
}

static void check_response(struct model_client *client, const struct seen_response *seen) {
    struct expectation *watcher = find_watcher(client, seen->watch_id);
    if (seen->created) {
        check_created(client, seen);
        return;
    }
    if (seen->watch_id == -1) {
        assert_int_equal(seen->events, 0);
        assert_true(client->progress_ever);
        client->progress_asked = false;
        for (size_t i = 0; i < client->count; i++) {
            if (client->watchers[i].alive)
                check_progress(&client->watchers[i], seen->revision);
        }
        return;
    }
    assert_non_null(watcher);
    if (watcher->compacted) { /* the answer to a cancel; its id was taken until now */
        assert_true(seen->canceled && seen->compact_revision == 0 && seen->revision > 0);
        watcher->compacted = false;
    } else if (seen->canceled) {
        watcher->alive = false;
        watcher->compacted = seen->compact_revision != 0;
        if (watcher->compacted) {
            assert_int_equal(seen->revision, 0);
            assert_true(!seek(watcher) || model.events[watcher->at].revision < seen->compact_revision ||
                        watcher->next < seen->compact_revision);
            assert_true(seen->compact_revision <= model.compacted);
        }
    } else if (seen->events == 0 && !watcher->open) {
        assert_true(watcher->create.notify);
        check_progress(watcher, seen->revision);
    } else {
        check_events(client, watcher, seen);
    }
}

static void check_clients(void) {
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct model_client *client = &clients[i];
        for (; client->checked < client->watching.count; client->checked++)
            check_response(client, &client->watching.responses[client->checked]);
        assert_int_equal(client->watching.ended, 0);
    }
}

static void create_some(struct model_client *client) {
    if (client->count == WATCHERS || model.ask_count > ASKS / 2)
        return;
    struct expectation *watcher = &client->watchers[client->count++];
    *watcher = (struct expectation){.pending = true};
    unsigned first = below(KEYS);
    snprintf(watcher->key, sizeof watcher->key, "k%02u", first % 100);
    watcher->create = (struct create){.key = watcher->key,
                                      .no_put = below(6) == 0,
                                      .no_delete = below(6) == 0,
                                      .previous = below(3) == 0,
                                      .notify = below(3) == 0,
                                      .fragment = below(3) == 0};
    if (below(2) == 0) {
        snprintf(watcher->range_end, sizeof watcher->range_end, "k%02u", (first + 1 + below(10)) % 100);
        if (below(5) == 0)
            snprintf(watcher->range_end, sizeof watcher->range_end, "*");
        watcher->create.range_end = watcher->range_end;
    }
    if (below(2) == 0) {
        int64_t back = below(4) == 0 ? below((unsigned)model.revision) : below(30);
        int64_t start = model.revision + 5 - back;
        watcher->create.start_revision = start < 1 ? 1 : start;
    }
    watching_create(&client->watching, &watcher->create);
}

static void cancel_some(struct model_client *client) {
    if (client->count == 0)
        return;
    const struct expectation *watcher = &client->watchers[below((unsigned)client->count)];
    if (watcher->alive || watcher->compacted)
        watching_cancel(&client->watching, watcher->id);
}

static void read_all(struct model_client *client) {
    client->watching.deaf = false;
    watching_read(&client->watching);
}

static void client_step(struct model_client *client) {
    switch (below(12)) {
    case 0:
    case 1:
        create_some(client);
        break;
    case 2:
        cancel_some(client);
        break;
    case 3:
        client->progress_asked = client->progress_ever = true;
        watching_ask_progress(&client->watching);
        break;
    case 4:
        client->watching.deaf = true;
        break;
    case 5:
        read_all(client);
        break;
    case 6:
        watching_read(&client->watching); /* and is deaf again if it was */
        break;
    default:
        break;
    }
}

static void apply_step(void) {
    switch (below(24)) {
    case 0:
        publish_present(true);
        break;
    case 1:
        if (node.apply.connected && below(3) == 0)
            link_down();
        break;
    case 2:
        if (!node.apply.connected)
            fake_link_up(&node.apply, below(2) == 0);
        break;
    case 3:
        if (below(12) == 0 && model.revision > 20 && model.compacted < model.revision - 20)
            model.compacted = model.revision - 1 - (int64_t)below(20);
        break;
    case 4:
        model.stalls = below(3) == 0;
        break;
    case 5:
    case 6:
    case 7:
        answer_some();
        break;
    case 8:
        fake_node_wait(&node, below(200) * 1000);
        break;
    default:
        change();
        if (below(3) == 0 && node.apply.connected)
            publish_present(false);
        break;
    }
}

/* --- a run --- */

static void settle_everything(void) {
    model.stalls = false;
    if (!node.apply.connected)
        fake_link_up(&node.apply, true);
    for (unsigned i = 0; i < 2000; i++) {
        take_records();
        step_jobs();
        answer_some();
        publish_present(false);
        tell_hole();
        for (unsigned j = 0; j < CLIENTS; j++)
            read_all(&clients[j]);
        if (i % 4 == 0)
            fake_node_wait(&node, 60000);
        check_clients();
    }
}

/* A request waits while there is no watcher, or one that starts in the future. */
static void ask_for_progress_once_all_have_begun(struct model_client *client) {
    bool any = false;
    client->progress_asked = false;
    for (size_t i = 0; i < client->count; i++) {
        if (client->watchers[i].alive && client->watchers[i].create.start_revision > model.revision)
            return;
        any = any || client->watchers[i].alive;
    }
    if (!any)
        return;
    client->progress_asked = client->progress_ever = true;
    watching_ask_progress(&client->watching);
}

static void run(uint64_t seed) {
    random_state = seed;
    static const size_t sizes[] = {10, 10, 2000, 20000, 200000};
    size_t size = sizes[below(5)];
    memset(&model, 0, sizeof model);
    memset(clients, 0, sizeof clients);
    model.revision = 1;
    model.compacted = -1;
    model.value = must_zalloc(size + 1);
    memset(model.value, 'v', size);
    struct proxy_role_config config = watch_bench_config;
    config.watch_progress_us = 300000;
    config.seed = seed;
    config.max_request_bytes = 1000;
    fake_node_open(&node, &config);
    fake_link_up(&node.raft, false);
    fake_link_up(&node.apply, false);
    for (unsigned i = 0; i < CLIENTS; i++)
        watching_open(&node, &clients[i].watching, false);
    unsigned steps = size > 100000 ? STEPS / 3 : STEPS;
    for (unsigned i = 0; i < steps; i++) {
        apply_step();
        take_records();
        client_step(&clients[below(CLIENTS)]);
        take_records();
        step_jobs();
        take_records();
        check_clients();
    }
    settle_everything();
    for (unsigned i = 0; i < CLIENTS; i++)
        ask_for_progress_once_all_have_begun(&clients[i]);
    settle_everything();
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_false(clients[i].progress_asked);
        for (size_t j = 0; j < clients[i].count; j++) {
            struct expectation *watcher = &clients[i].watchers[j];
            assert_false(watcher->pending);
            assert_false(watcher->open);
            assert_true(!watcher->alive || !seek(watcher));
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        watching_close(&clients[i].watching);
    fake_node_close(&node);
    buffer_free(&model.ranges);
    for (unsigned i = 0; i < JOBS; i++)
        buffer_free(&model.jobs[i].ranges);
    free(model.value);
}

static void watchers_get_what_the_model_has(void **state) {
    (void)state;
    const char *only = getenv("WATCH_MODEL_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    uint64_t last = only == NULL ? SEEDS : first;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(watchers_get_what_the_model_has)};
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
