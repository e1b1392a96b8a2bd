/*
 * history: the events of the past, against the stream that told them when they happened; parts, prev_kv,
 * compaction, pace and bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/watch/history_read.h"
#include "common/event.h"
#include "common/status.h"

#include "role_world.h"

static struct role_world world; /* too large for a stack */
static struct buffer body;

enum { EVENTS_LIMIT = 4000 };

/* Events that borrow from what was heard, or from a buffer. */
struct event_list {
    struct event events[EVENTS_LIMIT];
    size_t count;
};

static void open_all(void) {
    role_world_open(&world, NULL, NULL);
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
}

static void close_all(void) {
    role_world_close(&world);
    memory_close(&world.store->head);
    buffer_free(&body);
}

static struct bytes text(const char *string) {
    return bytes_from_text(string);
}

static void take_events(struct event_list *list, struct bytes events) {
    while (list->count < EVENTS_LIMIT && event_next(&events, &list->events[list->count]))
        list->count++;
    assert_int_equal(events.length, 0);
}

static uint64_t ask_raw(int64_t from, int64_t to, struct bytes ranges) {
    struct history_request request = {.from = from, .to = to, .ranges = ranges};
    struct buffer encoded = {0};
    history_request_put(&encoded, &request);
    return role_world_read(&world, 0, false, METHOD_WATCH_HISTORY, &encoded);
}

static uint64_t ask(int64_t from, int64_t to, const char *key, const char *end, bool previous) {
    struct buffer ranges = {0};
    struct bus_range range = {.key = text(key), .range_end = text(end), .previous = previous};
    bus_range_put(&ranges, &range);
    uint64_t id = ask_raw(from, to, buffer_bytes(&ranges));
    buffer_free(&ranges);
    return id;
}

/* Whole answers: checks what every sequence of parts has to keep, and returns the last head. */
static struct history_head parts_of(uint64_t id, struct event_list *list, unsigned *parts) {
    struct history_head head = {0};
    struct history_head last = {.through = 0};
    *parts = 0;
    list->count = 0;
    for (size_t i = 0; i < world.heard_count; i++) {
        const struct bus_result *result = &world.heard[i].result;
        if (world.heard[i].kind != BUS_APPLY_RESULT || result->id != id)
            continue;
        assert_int_equal(result->status, STATUS_OK);
        assert_int_equal(result->header, !result->more);
        assert_int_equal(result->total, 0);
        size_t before = list->count;
        struct bytes part = result->body;
        assert_true(history_head_take(&part, &head));
        take_events(list, part);
        assert_true(list->count - before <= 1 || result->body.length <= 256 * 1024 + HISTORY_HEAD);
        for (size_t at = before; at < list->count; at++) {
            assert_true(list->events[at].revision <= head.through);
            assert_true(at == 0 || list->events[at].revision >= list->events[at - 1].revision);
            assert_true(last.part == HISTORY_PARTIAL || list->events[at].revision > last.through);
        }
        assert_true(head.through >= last.through);
        last = head;
        ++*parts;
    }
    return head;
}

static struct history_head history_of(uint64_t id, struct event_list *list, unsigned *parts) {
    role_world_settle(&world);
    struct history_head head = parts_of(id, list, parts);
    assert_true(*parts > 0);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    return head;
}

static void assert_answer(uint64_t id, enum history_part part, int64_t through, size_t events) {
    static struct event_list list;
    unsigned parts = 0;
    struct history_head head = history_of(id, &list, &parts);
    assert_int_equal(head.part, part);
    assert_int_equal(head.through, through);
    assert_int_equal(list.count, events);
}

static void delete_keys(const char *key, const char *end) {
    struct delete_range_request request = {.key = text(key), .range_end = text(end)};
    encode_delete(&body, &request);
    role_world_entry(&world, 0, INTERNAL_DELETE_RANGE, &body);
}

static void compact(int64_t revision) {
    struct compaction_request request = {.revision = revision};
    encode_compaction(&body, &request);
    role_world_entry(&world, 0, INTERNAL_COMPACTION, &body);
}

/* Puts of `count` keys in one transaction. */
static void put_many(unsigned count, struct bytes value) {
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        struct buffer put = {0};
        struct buffer operation = {0};
        snprintf(key, sizeof key, "t%05u", i);
        encode_put(&put, &(struct put_request){.key = text(key), .value = value});
        wire_put_bytes_always(&operation, OP_PUT, buffer_bytes(&put));
        wire_put_bytes_always(&body, TXN_SUCCESS, buffer_bytes(&operation));
        buffer_free(&put);
        buffer_free(&operation);
    }
    role_world_entry(&world, 0, INTERNAL_TXN, &body);
}

/* Several changes of one key in one transaction, as nested ones may: 'p' puts, 'd' deletes. */
static void change_often(const char *key, const char *changes) {
    for (; *changes != 0; changes++) {
        struct buffer change = {0};
        struct buffer operation = {0};
        if (*changes == 'p')
            encode_put(&change, &(struct put_request){.key = text(key), .value = text(changes)});
        else
            encode_delete(&change, &(struct delete_range_request){.key = text(key)});
        wire_put_bytes_always(&operation, *changes == 'p' ? OP_PUT : OP_DELETE_RANGE, buffer_bytes(&change));
        wire_put_bytes_always(&body, TXN_SUCCESS, buffer_bytes(&operation));
        buffer_free(&change);
        buffer_free(&operation);
    }
    role_world_entry(&world, 0, INTERNAL_TXN, &body);
}

/* --- against the stream --- */

static uint32_t state = 7;

static unsigned below(unsigned limit) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static void random_key(char key[4]) {
    snprintf(key, 4, "%c%c", (char)('a' + below(4)), (char)('a' + below(5)));
}

static void random_change(void) {
    char key[4];
    char end[4];
    random_key(key);
    random_key(end);
    switch (below(9)) {
    case 0:
        delete_keys(key, "");
        break;
    case 8:
        change_often(key, below(2) == 0 ? "pdp" : "dpd");
        break;
    case 1:
        delete_keys(key, end);
        break;
    case 2:
        put_many(1 + below(20), text("in a transaction"));
        break;
    default:
        role_world_put(&world, 0, key, text(end));
    }
}

/* What the stream told of [from, to] and the range. */
static size_t expect(const struct event_list *told, struct event_list *expected, int64_t from, int64_t to,
                     struct bytes key, struct bytes end, bool previous, int64_t compacted) {
    expected->count = 0;
    for (size_t i = 0; i < told->count; i++) {
        struct event event = told->events[i];
        if (event.revision < from || event.revision > to || !interval_contains(key, end, event.key))
            continue;
        if (!previous || event.revision - 1 < compacted)
            event.previous = (struct bytes){0};
        expected->events[expected->count++] = event;
    }
    return expected->count;
}

static void assert_same(const struct event_list *a, const struct event_list *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->events[i].revision, b->events[i].revision);
        assert_int_equal(a->events[i].deleted, b->events[i].deleted);
        assert_true(bytes_equal(a->events[i].key, b->events[i].key));
        assert_true(bytes_equal(a->events[i].message, b->events[i].message));
        assert_true(bytes_equal(a->events[i].previous, b->events[i].previous));
    }
}

static void told_by_the_stream(struct event_list *told) {
    told->count = 0;
    for (size_t i = 0; i < world.heard_count; i++) {
        if (world.heard[i].kind == BUS_APPLY_EVENTS)
            take_events(told, world.heard[i].events.body);
    }
}

static void test_history_is_what_the_stream_told(void **unused) {
    (void)unused;
    static struct event_list told;
    static struct event_list expected;
    static struct event_list found;
    static const char *const everything[] = {"a", "z", NULL};
    open_all();
    role_world_register(&world, 1, 1, true, everything);
    role_world_settle(&world);
    for (unsigned i = 0; i < 300; i++) {
        random_change();
        role_world_settle(&world);
    }
    told_by_the_stream(&told);
    assert_true(told.count > 500 && told.count < EVENTS_LIMIT);
    int64_t revision = apply_role_state(world.role).revision;
    int64_t compacted = -1;
    for (unsigned round = 0; round < 300; round++) {
        if (round == 100 || round == 200) {
            compacted = revision * round / 300;
            compact(compacted);
            role_world_settle(&world);
        }
        char key[4];
        char end[4];
        unsigned parts = 0;
        bool previous = below(2) == 0;
        int64_t from = 1 + (int64_t)below((unsigned)revision);
        int64_t to = from + (int64_t)below(100);
        random_key(key);
        random_key(end);
        if (below(4) == 0)
            *end = 0;
        uint64_t id = ask(from, to, key, end, previous);
        struct history_head head = history_of(id, &found, &parts);
        if (from < compacted) {
            assert_int_equal(head.part, HISTORY_COMPACTED);
            assert_int_equal(head.through, compacted);
            assert_int_equal(found.count, 0);
            continue;
        }
        assert_int_equal(head.part, HISTORY_COMPLETE);
        assert_int_equal(head.through, to < revision ? to : revision);
        expect(&told, &expected, from, to, text(key), text(end), previous, compacted);
        assert_same(&found, &expected);
    }
    close_all();
}

static void test_several_ranges_in_one_pass(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    for (int i = 0; i < 2; i++) {
        role_world_put(&world, 0, "a", text("1"));
        role_world_put(&world, 0, "b", text("1"));
        role_world_put(&world, 0, "c", text("1"));
    }
    role_world_settle(&world);
    struct buffer ranges = {0};
    bus_range_put(&ranges, &(struct bus_range){.key = text("a")});
    bus_range_put(&ranges, &(struct bus_range){.key = text("c"), .previous = true});
    uint64_t id = ask_raw(2, 100, buffer_bytes(&ranges));
    struct history_head head = history_of(id, &list, &parts);
    assert_int_equal(head.through, 7);
    assert_int_equal(parts, 1);
    static const char *const keys[] = {"a", "c", "a", "c"};
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(bytes_equal(list.events[i].key, text(keys[i])));
        assert_int_equal(list.events[i].previous.length != 0, i == 3);
    }
    buffer_free(&ranges);
    close_all();
}

/* --- where it ends --- */

static void test_the_ends_of_history(void **unused) {
    (void)unused;
    open_all();
    assert_answer(ask(1, 100, "a", "z", false), HISTORY_COMPLETE, 1, 0);
    for (int i = 0; i < 5; i++)
        role_world_put(&world, 0, "a", text("1")); /* revisions 2 to 6 */
    role_world_settle(&world);
    assert_answer(ask(2, 4, "a", "", false), HISTORY_COMPLETE, 4, 3);
    assert_answer(ask(1, INT64_MAX, "a", "", false), HISTORY_COMPLETE, 6, 5);
    assert_answer(ask(7, INT64_MAX, "a", "", false), HISTORY_COMPLETE, 6, 0);
    assert_answer(ask(INT64_MAX, INT64_MAX, "a", "", false), HISTORY_COMPLETE, 6, 0);
    assert_answer(ask(4, 3, "a", "", false), HISTORY_COMPLETE, 3, 0);
    assert_answer(ask(2, 4, "b", "", false), HISTORY_COMPLETE, 4, 0);
    assert_answer(ask_raw(2, 4, (struct bytes){0}), HISTORY_COMPLETE, 4, 0);
    compact(4);
    role_world_settle(&world);
    assert_answer(ask(3, 6, "a", "", false), HISTORY_COMPACTED, 4, 0);
    assert_answer(ask(4, 6, "a", "", false), HISTORY_COMPLETE, 6, 3);
    close_all();
}

static void test_previous_ends_at_the_compacted_revision(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    for (int i = 0; i < 5; i++)
        role_world_put(&world, 0, "a", text("1")); /* revisions 2 to 6 */
    delete_keys("a", "");                          /* 7 */
    role_world_put(&world, 0, "a", text("1"));     /* 8 */
    compact(4);
    role_world_settle(&world);
    history_of(ask(4, 8, "a", "", true), &list, &parts);
    static const bool has[] = {false, true, true, true, false};
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(list.events[i].previous.length != 0, has[i]);
    close_all();
}

/* What was before the revision, not before the change; a new key has none. */
static void test_previous_of_several_changes_in_a_revision(void **unused) {
    (void)unused;
    static struct event_list list;
    static const char *const everything[] = {"a", "z", NULL};
    static const bool has[] = {false, false, false, true, true, false, true};
    unsigned parts = 0;
    open_all();
    role_world_register(&world, 1, 1, true, everything);
    role_world_settle(&world);
    change_often("a", "pd");                     /* 2: of nothing */
    role_world_put(&world, 0, "a", text("old")); /* 3 */
    change_often("a", "pdpd");                   /* 4 */
    role_world_settle(&world);
    for (unsigned source = 0; source < 2; source++) {
        source == 0 ? told_by_the_stream(&list) : (void)history_of(ask(2, 4, "a", "", true), &list, &parts);
        assert_int_equal(list.count, 7);
        for (size_t i = 0; i < 7; i++) {
            assert_int_equal(list.events[i].previous.length != 0, has[i]);
            if (has[i])
                assert_true(bytes_equal(list.events[i].previous, list.events[3].previous)); /* "old" */
        }
    }
    close_all();
}

/* Whatever took it away. */
static void test_a_missing_previous_record_is_no_previous(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    role_world_put(&world, 0, "a", text("1"));
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    uint8_t key[LOG_KEY_LENGTH];
    struct store_batch *batch = memory_new_batch(&world.store->head);
    log_key_store(key, (struct revision){.main = 2});
    memory_batch_delete(batch, bytes_of(key, sizeof key));
    memory_write(&world.store->head, batch);
    memory_free_batch(batch);
    history_of(ask(2, 3, "a", "", true), &list, &parts);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.events[0].revision, 3);
    assert_int_equal(list.events[0].previous.length, 0);
    close_all();
}

static void test_what_does_not_decode_is_refused(void **unused) {
    (void)unused;
    open_all();
    struct buffer many = {0};
    for (int i = 0; i <= HISTORY_RANGES_LIMIT; i++)
        bus_range_put(&many, &(struct bus_range){.key = text("a")});
    struct buffer garbage = {0};
    buffer_append(&garbage, "garbage", 7);
    const uint64_t ids[] = {
        ask(0, 5, "a", "", false),
        ask(-1, 5, "a", "", false),
        ask_raw(1, 5, text("x")),
        ask_raw(1, 5, buffer_bytes(&many)),
        role_world_read(&world, 0, false, METHOD_WATCH_HISTORY, &garbage),
    };
    role_world_settle(&world);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_int_equal(role_world_result(&world, ids[i], &body, NULL)->status, STATUS_UNDECODABLE);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    buffer_free(&many);
    close_all();
}

/* --- parts and pace --- */

static void fill(unsigned count, size_t length) {
    uint8_t *value = must_zalloc(length + 1);
    for (unsigned i = 0; i < count; i++) {
        role_world_put(&world, 1, "a", bytes_of(value, length));
        if (i % 50 == 0)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    free(value);
}

static void test_parts_are_of_whole_revisions(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    fill(400, 1000);
    struct history_head head = history_of(ask(1, 1000, "a", "", false), &list, &parts);
    assert_int_equal(head.through, 401);
    assert_int_equal(list.count, 400);
    assert_true(parts >= 6 && parts <= 8); /* 400 KB in parts of 64 */
    close_all();
}

static void test_a_revision_too_large_for_a_part(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    uint8_t *value = must_zalloc(400000);
    role_world_put(&world, 1, "s", text("before"));
    put_many(100, bytes_of(value, 7000)); /* 700 KB in revision 3 */
    role_world_put(&world, 1, "t", text("behind"));
    role_world_put(&world, 1, "t", bytes_of(value, 400000));
    role_world_put(&world, 1, "t", text("at the end"));
    role_world_settle(&world);
    uint64_t id = ask(1, 1000, "s", "u", false);
    role_world_settle(&world);
    bus_put_consumed(world.peers[PEER_PROXY_0].link, id, 1 << 20);
    history_of(id, &list, &parts);
    assert_int_equal(list.count, 104);
    struct history_head heads[16];
    size_t count = 0;
    for (size_t i = 0; i < world.heard_count; i++) {
        struct bytes part = world.heard[i].result.body;
        if (world.heard[i].result.id == id)
            assert_true(history_head_take(&part, &heads[count++]));
    }
    static const struct history_head expected[] = {
        {HISTORY_COMPLETE, 2}, {HISTORY_PARTIAL, 3},  {HISTORY_PARTIAL, 3}, {HISTORY_COMPLETE, 3},
        {HISTORY_COMPLETE, 4}, {HISTORY_COMPLETE, 5}, {HISTORY_COMPLETE, 6}};
    assert_int_equal(count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(heads[i].part, expected[i].part);
        assert_int_equal(heads[i].through, expected[i].through);
    }
    free(value);
    close_all();
}

/* The largest values that requests can hold, both in one event. */
static void test_the_largest_event_fits(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    enum { LARGEST = (2 << 20) - 16 };
    open_all();
    fill(2, LARGEST);
    uint64_t id = ask(1, 1000, "a", "", true);
    role_world_settle(&world);
    bus_put_consumed(world.peers[PEER_PROXY_0].link, id, 3 << 20);
    history_of(id, &list, &parts);
    assert_int_equal(list.count, 2);
    assert_true(list.events[1].previous.length > LARGEST);
    close_all();
}

static void test_it_goes_at_the_pace_of_the_proxy(void **unused) {
    (void)unused;
    static struct event_list list;
    unsigned parts = 0;
    open_all();
    fill(1000, 5000);
    uint64_t id = ask(1, 10000, "a", "", false);
    size_t got = 0;
    for (unsigned rounds = 0;; rounds++) {
        role_world_settle(&world);
        const struct bus_result *result = role_world_result(&world, id, &body, NULL);
        assert_true(rounds < 100);
        assert_true(body.length - got <= (1u << 20) + 256 * 1024);
        assert_true(body.length > got);
        if (!result->more)
            break;
        bus_put_consumed(world.peers[PEER_PROXY_0].link, id, body.length - got);
        got = body.length;
    }
    struct history_head head = history_of(id, &list, &parts);
    assert_int_equal(head.part, HISTORY_COMPLETE);
    assert_int_equal(head.through, 1001);
    assert_int_equal(list.count, 1000);
    close_all();
}

static void test_cancel_and_link_down(void **unused) {
    (void)unused;
    open_all();
    fill(1000, 5000);
    uint64_t id = ask(1, 10000, "a", "", false);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 1); /* waits for its client */
    bus_put_cancel(world.peers[PEER_PROXY_0].link, id);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    ask(1, 10000, "a", "", false);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 1);
    role_world_disconnect(&world, PEER_PROXY_0);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    close_all();
}

/* --- compaction on the way --- */

static struct history_head last_head(uint64_t id) {
    struct history_head head = {0};
    for (size_t i = 0; i < world.heard_count; i++) {
        struct bytes part = world.heard[i].result.body;
        if (world.heard[i].result.id == id)
            assert_true(history_head_take(&part, &head));
    }
    return head;
}

/* A slice may have run over a log that lost records: its output does not count. */
static void test_compaction_during_a_slice(void **unused) {
    (void)unused;
    open_all();
    fill(10, 10);
    world.hold_jobs = true;
    uint64_t late = ask(3, 100, "a", "", false);
    uint64_t safe = ask(6, 100, "a", "", false);
    role_world_settle(&world);
    struct apply_job *jobs[] = {apply_role_take_job(world.role), apply_role_take_job(world.role)};
    assert_non_null(jobs[1]);
    compact(6);
    role_world_settle(&world);
    for (int i = 0; i < 2; i++) {
        apply_job_run(jobs[i]);
        apply_role_job_done(world.role, jobs[i]);
    }
    role_world_settle(&world);
    assert_answer(late, HISTORY_COMPACTED, 6, 0);
    assert_answer(safe, HISTORY_COMPLETE, 11, 6);
    close_all();
}

/* What was sent stays valid; what would follow is gone. */
static void test_compaction_overtakes_a_slow_client(void **unused) {
    (void)unused;
    open_all();
    fill(1000, 5000);
    uint64_t id = ask(1, 10000, "a", "", false);
    role_world_settle(&world);
    assert_int_equal(last_head(id).part, HISTORY_COMPLETE);
    int64_t through = last_head(id).through;
    assert_true(through > 100 && through < 900);
    compact(950);
    bus_put_consumed(world.peers[PEER_PROXY_0].link, id, 10 << 20);
    role_world_settle(&world);
    assert_int_equal(last_head(id).part, HISTORY_COMPACTED);
    assert_int_equal(last_head(id).through, 950);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    close_all();
}

/* --- the scan itself --- */

static struct view view_of(struct memory_store *store) {
    return (struct view){.store = &store->head, .revision = INT64_MAX, .compacted = -1};
}

/* Records straight into the log: `subs` keys a revision. */
static struct memory_store *store_of(int64_t revisions, uint32_t subs) {
    struct memory_store *store = memory_store_new();
    struct store_batch *batch = memory_new_batch(&store->head);
    for (int64_t main = 2; main < 2 + revisions; main++) {
        for (uint32_t sub = 0; sub < subs; sub++) {
            uint8_t key[LOG_KEY_LENGTH];
            uint8_t place[RECORD_HEAD_LIMIT + 8];
            struct record record = {.create = main, .version = 1};
            size_t length = record_store_log(place, text(sub % 2 == 0 ? "even" : "odd"), &record);
            log_key_store(key, (struct revision){.main = main, .sub = sub});
            memory_batch_put(batch, bytes_of(key, sizeof key), bytes_of(place, length));
        }
    }
    memory_write(&store->head, batch);
    memory_free_batch(batch);
    return store;
}

static void begin_scan(struct history_read *read, struct memory_store *store, int64_t to, const char *key) {
    struct buffer ranges = {0};
    struct view view = view_of(store);
    bus_range_put(&ranges, &(struct bus_range){.key = text(key)});
    struct history_request request = {.from = 2, .to = to, .ranges = buffer_bytes(&ranges)};
    assert_true(history_read_begin(read, &view, &request));
    buffer_free(&ranges);
}

/* A long way without a match is told now and then; each slice does a bounded piece of it. */
static void test_a_long_scan_tells_how_far_it_is(void **unused) {
    (void)unused;
    struct memory_store *store = store_of(450000, 1);
    struct history_read read;
    int64_t through = 0;
    unsigned parts = 0;
    unsigned slices = 0;
    begin_scan(&read, store, 450001, "nobody");
    for (bool done = false; !done; slices++) {
        done = history_read_step(&read, (struct range_slice){.keys = 20000, .bytes = 65536});
        assert_true(history_read_check(&read, -1));
        struct bytes out = buffer_bytes(&read.out);
        struct history_head head;
        while (history_head_take(&out, &head)) {
            assert_int_equal(head.part, HISTORY_COMPLETE);
            assert_true(head.through > through);
            through = head.through;
            parts++;
        }
        history_read_sent(&read);
        assert_true(slices < 30);
    }
    assert_int_equal(through, 450001);
    assert_int_equal(parts, 3);
    assert_true(slices >= 22);
    history_read_free(&read);
    memory_close(&store->head);
}

/* Slices end anywhere in a revision; parts do not. */
static void test_slices_within_a_revision(void **unused) {
    (void)unused;
    struct memory_store *store = store_of(3, 1000);
    struct history_read read;
    size_t events = 0;
    int64_t through = 1;
    begin_scan(&read, store, 4, "odd");
    for (bool done = false; !done;) {
        done = history_read_step(&read, (struct range_slice){.keys = 7, .bytes = 65536});
        if (read.out.length == 0)
            continue;
        struct bytes out = buffer_bytes(&read.out);
        struct history_head head;
        struct event event;
        uint32_t length = 0;
        assert_int_equal(read.parts.length, sizeof length);
        memcpy(&length, read.parts.data, sizeof length);
        assert_int_equal(length, out.length);
        assert_true(history_head_take(&out, &head));
        assert_int_equal(head.part, HISTORY_COMPLETE);
        assert_int_equal(head.through, ++through);
        while (event_next(&out, &event)) {
            assert_int_equal(event.revision, head.through);
            events++;
        }
        history_read_sent(&read);
    }
    assert_int_equal(through, 4);
    assert_int_equal(events, 1500);
    history_read_free(&read);
    memory_close(&store->head);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_is_what_the_stream_told),
        cmocka_unit_test(test_several_ranges_in_one_pass),
        cmocka_unit_test(test_the_ends_of_history),
        cmocka_unit_test(test_previous_ends_at_the_compacted_revision),
        cmocka_unit_test(test_previous_of_several_changes_in_a_revision),
        cmocka_unit_test(test_a_missing_previous_record_is_no_previous),
        cmocka_unit_test(test_what_does_not_decode_is_refused),
        cmocka_unit_test(test_parts_are_of_whole_revisions),
        cmocka_unit_test(test_a_revision_too_large_for_a_part),
        cmocka_unit_test(test_the_largest_event_fits),
        cmocka_unit_test(test_it_goes_at_the_pace_of_the_proxy),
        cmocka_unit_test(test_cancel_and_link_down),
        cmocka_unit_test(test_compaction_during_a_slice),
        cmocka_unit_test(test_compaction_overtakes_a_slow_client),
        cmocka_unit_test(test_a_long_scan_tells_how_far_it_is),
        cmocka_unit_test(test_slices_within_a_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
