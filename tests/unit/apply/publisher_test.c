/* publisher: what a proxy is told, in which order, and what it can see of what it was not told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/event.h"
#include "common/status.h"

#include "role_world.h"

static struct role_world world; /* too large for a stack */
static struct buffer body;

static const char *const letters[] = {"a", "z", NULL};
static const char *const only_a[] = {"a", "", NULL};
static const char *const nothing[] = {NULL};

static void connect_all(void) {
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
}

static void open_all(void) {
    role_world_open(&world, NULL, NULL);
    connect_all();
}

static void close_all(void) {
    role_world_close(&world);
    memory_close(&world.store->head);
    buffer_free(&body);
}

static struct bytes text(const char *string) {
    return bytes_from_text(string);
}

static void register_now(uint8_t slot, int64_t revision, bool previous, const char *const *ranges) {
    role_world_register(&world, slot, revision, previous, ranges);
    role_world_settle(&world);
}

static int peer_of(uint8_t slot) {
    return slot == 0 ? PEER_PROXY_0 : PEER_PROXY_1;
}

/* The nth record of events that the proxy heard; NULL: there are not so many. */
static const struct bus_events *events_heard(uint8_t slot, size_t nth) {
    for (size_t i = 0; i < world.heard_count; i++) {
        const struct heard *heard = &world.heard[i];
        if (heard->kind == BUS_APPLY_EVENTS && heard->peer == peer_of(slot) && nth-- == 0)
            return &heard->events;
    }
    return NULL;
}

static size_t place_of(uint16_t kind, uint64_t id) {
    for (size_t i = 0; i < world.heard_count; i++) {
        const struct heard *heard = &world.heard[i];
        uint64_t has = kind == BUS_APPLY_WATCH ? heard->answer.id : heard->result.id;
        if (heard->kind == kind && (kind == BUS_APPLY_EVENTS || has == id))
            return i;
    }
    return SIZE_MAX;
}

static const struct bus_watch_answer *answer_to(uint64_t id) {
    size_t place = place_of(BUS_APPLY_WATCH, id);
    return place == SIZE_MAX ? NULL : &world.heard[place].answer;
}

static void assert_covers(const struct bus_events *events, int64_t from, int64_t to) {
    assert_non_null(events);
    assert_int_equal(events->from, from);
    assert_int_equal(events->to, to);
}

static void assert_nth(uint8_t slot, size_t nth, int64_t from, int64_t to, bool empty) {
    const struct bus_events *events = events_heard(slot, nth);
    assert_covers(events, from, to);
    assert_int_equal(events->body.length == 0, empty);
}

/* A field of a message; all zero when it has none. */
static struct wire_field field_of(struct bytes message, uint32_t number) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    struct wire_field found = {0};
    while (wire_next(&reader, &field)) {
        if (field.number == number)
            found = field;
    }
    assert_false(reader.malformed);
    return found;
}

static void assert_text(struct bytes bytes, const char *expected) {
    assert_int_equal(bytes.length, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.length);
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

static void test_events_precede_the_result(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, false, letters);
    uint64_t id = role_world_put(&world, 0, "b", text("1"));
    role_world_settle(&world);
    assert_nth(0, 0, 2, 2, false);
    assert_null(events_heard(0, 1));
    assert_null(events_heard(1, 0));
    assert_true(place_of(BUS_APPLY_EVENTS, 0) < place_of(BUS_APPLY_RESULT, id));

    struct bytes events = events_heard(0, 0)->body;
    struct event event;
    assert_true(event_next(&events, &event));
    assert_int_equal(event.revision, 2);
    assert_false(event.deleted);
    assert_text(event.key, "b");
    assert_int_equal(event.previous.length, 0);
    assert_int_equal(field_of(event.message, 1).value, 0);
    struct bytes kv = field_of(event.message, 2).bytes;
    assert_text(field_of(kv, 1).bytes, "b");
    assert_int_equal(field_of(kv, 2).value, 2);
    assert_int_equal(field_of(kv, 3).value, 2);
    assert_int_equal(field_of(kv, 4).value, 1);
    assert_text(field_of(kv, 5).bytes, "1");
    assert_false(event_next(&events, &event));
    assert_int_equal(events.length, 0);
    close_all();
}

static void test_delete_and_previous(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, true, letters);
    register_now(1, 1, false, letters);
    role_world_put(&world, 0, "b", text("1"));
    role_world_put(&world, 0, "b", text("2"));
    delete_keys("b", "");
    role_world_put(&world, 0, "b", text("3"));
    role_world_settle(&world);
    static const char *const before[] = {NULL, "1", "2", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct bytes with = events_heard(0, i)->body;
        struct bytes without = events_heard(1, i)->body;
        struct event event;
        struct event bare;
        assert_true(event_next(&with, &event));
        assert_true(event_next(&without, &bare));
        assert_int_equal(bare.previous.length, 0);
        assert_true(bytes_equal(event.message, bare.message));
        assert_int_equal(event.deleted, i == 2);
        assert_int_equal(event.previous.length == 0, before[i] == NULL);
        if (before[i] == NULL)
            continue;
        struct wire_field previous = field_of(event.previous, 3);
        assert_text(field_of(previous.bytes, 1).bytes, "b");
        assert_int_equal(field_of(previous.bytes, 3).value, 1 + i);
        assert_text(field_of(previous.bytes, 5).bytes, before[i]);
        if (i != 2)
            continue;
        struct bytes kv = field_of(event.message, 2).bytes;
        assert_int_equal(field_of(event.message, 1).value, 1);
        assert_text(field_of(kv, 1).bytes, "b");
        assert_int_equal(field_of(kv, 3).value, 4);
        assert_int_equal(kv.length, 5); /* nothing else */
    }
    close_all();
}

static void test_a_revision_goes_in_one_record(void **state) {
    (void)state;
    open_all();
    role_world_put(&world, 0, "b", text("1"));
    role_world_put(&world, 0, "a", text("1"));
    role_world_put(&world, 0, "c", text("1"));
    role_world_settle(&world);
    register_now(0, 4, false, letters);
    delete_keys("a", "z");
    role_world_settle(&world);
    assert_nth(0, 0, 5, 5, false);
    assert_null(events_heard(0, 1));
    struct bytes events = events_heard(0, 0)->body;
    struct event event;
    static const char *const order[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(event_next(&events, &event));
        assert_text(event.key, order[i]);
        assert_int_equal(event.revision, 5);
    }
    assert_int_equal(events.length, 0);
    close_all();
}

/* It is written in parts (mvcc/write.c), and told as one revision all the same. */
static void test_a_large_delete(void **state) {
    (void)state;
    enum { KEYS = 10001 };
    open_all();
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05d", i);
        role_world_put(&world, 1, key, (struct bytes){0});
        if (i % 1000 == 0)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    register_now(0, KEYS + 1, true, letters);
    delete_keys("k", "l");
    role_world_settle(&world);
    assert_nth(0, 0, KEYS + 2, KEYS + 2, false);
    assert_null(events_heard(0, 1));
    struct bytes events = events_heard(0, 0)->body;
    struct event event;
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05d", i);
        assert_true(event_next(&events, &event));
        assert_true(event.deleted);
        assert_text(event.key, key);
        assert_true(event.previous.length > 0);
    }
    assert_int_equal(events.length, 0);
    close_all();
}

static void test_what_does_not_match_is_covered_by_the_next_record(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, false, only_a);
    role_world_put(&world, 0, "b", text("1"));
    role_world_put(&world, 0, "a0", text("1"));
    role_world_settle(&world);
    assert_null(events_heard(0, 0));
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    assert_nth(0, 0, 2, 4, false);
    role_world_put(&world, 0, "b", text("1"));
    role_world_settle(&world);
    assert_null(events_heard(0, 1));
    role_world_tick(&world, 100000);
    assert_nth(0, 1, 5, 5, true);
    role_world_tick(&world, 100000);
    assert_null(events_heard(0, 2));
    close_all();
}

/* The set is replaced without a hole, also when the stream lags; an empty one moves with the ticks. */
static void test_new_ranges_go_on_where_the_old_ones_ended(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, false, only_a);
    role_world_put(&world, 0, "b", text("1"));
    role_world_settle(&world);
    register_now(0, 1, false, letters);
    assert_nth(0, 0, 2, 2, true);
    role_world_put(&world, 0, "b", text("2"));
    role_world_settle(&world);
    assert_nth(0, 1, 3, 3, false);
    register_now(0, 3, false, nothing);
    role_world_put(&world, 0, "b", text("3"));
    role_world_settle(&world);
    assert_null(events_heard(0, 2));
    role_world_tick(&world, 100000);
    assert_nth(0, 2, 4, 4, true);
    close_all();
}

/* A proxy that was away is told at once from where the stream goes on. */
static void test_a_proxy_that_lags_sees_the_hole(void **state) {
    (void)state;
    open_all();
    for (int i = 0; i < 5; i++)
        role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    register_now(0, 3, false, letters);
    assert_nth(0, 0, 7, 6, true);
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    assert_nth(0, 1, 7, 7, false);
    close_all();
}

static void test_a_revision_too_large_is_left_out(void **state) {
    (void)state;
    open_all();
    uint8_t *value = must_zalloc(1500000);
    register_now(0, 1, false, letters);
    register_now(1, 1, true, only_a);
    role_world_put(&world, 0, "b", bytes_of(value, 700000));
    role_world_settle(&world);
    assert_nth(0, 0, 2, 2, false);
    role_world_put(&world, 0, "b", bytes_of(value, 1500000));
    role_world_settle(&world);
    assert_nth(0, 1, 4, 3, true); /* from 4: nothing was said of 3 */
    role_world_put(&world, 0, "a", bytes_of(value, 700000));
    role_world_settle(&world);
    assert_nth(0, 2, 4, 4, false);
    assert_nth(1, 0, 2, 4, false); /* the other one did not ask for b */
    role_world_put(&world, 0, "a", bytes_of(value, 700000));
    role_world_settle(&world);
    assert_nth(0, 3, 5, 5, false);
    assert_nth(1, 1, 6, 5, true); /* prev_kv makes it too large */
    free(value);
    close_all();
}

static void test_a_full_link_leaves_a_hole(void **state) {
    (void)state;
    open_all();
    struct peer *deaf = &world.peers[PEER_PROXY_0];
    uint8_t *value = must_zalloc(900000);
    register_now(0, 1, false, letters);
    bus_link_hold(deaf->link, true); /* it acknowledges nothing */
    int64_t revision = 1;
    while (bus_link_room(deaf->own) > 0) {
        role_world_put(&world, 1, "a", bytes_of(value, 900000));
        role_world_settle(&world);
        revision++;
        assert_true(revision < 100);
    }
    int64_t full = revision;
    uint64_t question = role_world_ask(&world, 0, METHOD_WATCH);
    role_world_put(&world, 1, "a", text("left out"));
    role_world_put(&world, 1, "a", text("left out too"));
    role_world_tick(&world, 100000);
    revision += 2;
    assert_null(answer_to(question));
    bus_link_hold(deaf->link, false);
    register_now(0, 1, false, letters); /* something to acknowledge with */
    for (int i = 0; i < 10; i++)
        role_world_tick(&world, 100000);
    /* Everything that was put arrived, in order; then the hole, before the answer that is behind it. */
    int64_t next = 2;
    size_t nth = 0;
    for (; next <= full; nth++, next++)
        assert_nth(0, nth, next, next, false);
    assert_nth(0, nth, revision + 1, revision, true);
    assert_int_equal(answer_to(question)->revision, revision);
    role_world_put(&world, 1, "a", text("seen"));
    role_world_settle(&world);
    assert_nth(0, nth + 1, revision + 1, revision + 1, false);
    free(value);
    close_all();
}

/* What the old ranges did not hold and could not be told of is a hole in the new ones. */
static void test_new_ranges_on_a_full_link(void **state) {
    (void)state;
    open_all();
    struct peer *deaf = &world.peers[PEER_PROXY_0];
    uint8_t *value = must_zalloc(900000);
    register_now(0, 1, false, only_a);
    bus_link_hold(deaf->link, true);
    int64_t revision = 1;
    while (bus_link_room(deaf->own) > 0) {
        role_world_put(&world, 1, "a", bytes_of(value, 900000));
        role_world_settle(&world);
        revision++;
    }
    size_t told = (size_t)revision - 1;
    role_world_put(&world, 1, "b", text("nobody asked"));
    role_world_settle(&world);
    revision++;
    register_now(0, 1, false, letters);
    bus_link_hold(deaf->link, false);
    role_world_tick(&world, 100000);
    role_world_tick(&world, 100000);
    assert_nth(0, told - 1, revision - 1, revision - 1, false);
    assert_nth(0, told, revision + 1, revision, true);
    free(value);
    close_all();
}

/* After a crash apply stands at its last flush; the proxy has seen more. */
static void test_replay_is_not_published(void **state) {
    (void)state;
    open_all();
    struct memory_store *store = world.store;
    role_world_close(&world);
    role_world_open(&world, store, NULL);
    world.peers[PEER_PROXY_0].greet_position = 4;
    connect_all();
    register_now(0, 4, false, letters);
    register_now(1, 1, false, letters);
    uint64_t question = role_world_ask(&world, 0, METHOD_WATCH);
    uint64_t other = role_world_ask(&world, 1, METHOD_WATCH);
    role_world_put(&world, 0, "a", text("2"));
    role_world_put(&world, 0, "a", text("3"));
    role_world_tick(&world, 100000);
    register_now(0, 4, false, letters); /* again, while behind */
    role_world_tick(&world, 100000);
    assert_null(events_heard(0, 0));
    assert_null(answer_to(question));
    assert_non_null(answer_to(other));
    assert_nth(1, 0, 2, 2, false);
    role_world_put(&world, 0, "a", text("4"));
    role_world_settle(&world);
    assert_null(events_heard(0, 0));
    assert_int_equal(answer_to(question)->revision, 4);
    role_world_put(&world, 0, "a", text("5"));
    role_world_settle(&world);
    assert_nth(0, 0, 5, 5, false);
    close_all();
}

static void test_questions_wait_for_raft_and_its_replay(void **state) {
    (void)state;
    role_world_open(&world, NULL, NULL);
    world.peers[PEER_RAFT].greet_durable = 2; /* committed */
    role_world_connect(&world, PEER_PROXY_0);
    uint64_t first = role_world_ask(&world, 0, METHOD_WATCH);
    uint64_t second = role_world_ask(&world, 0, METHOD_WATCH_PROGRESS);
    role_world_settle(&world);
    assert_null(answer_to(first));
    role_world_connect(&world, PEER_RAFT);
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    assert_null(answer_to(first));
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    assert_int_equal(answer_to(first)->revision, 3);
    assert_int_equal(answer_to(first)->compacted, -1);
    assert_int_equal(answer_to(first)->status, STATUS_OK);
    assert_true(place_of(BUS_APPLY_WATCH, first) < place_of(BUS_APPLY_WATCH, second));
    close_all();
}

/* In one round: a question, then entries. The answer names what is before it in the stream. */
static void test_an_answer_is_behind_its_revision(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, false, only_a);
    role_world_put(&world, 1, "a", text("1"));
    role_world_put(&world, 1, "b", text("1"));
    uint64_t question = role_world_ask(&world, 0, METHOD_WATCH_PROGRESS);
    role_world_settle(&world);
    assert_int_equal(answer_to(question)->revision, 3);
    assert_nth(0, 0, 2, 2, false);
    assert_nth(0, 1, 3, 3, true);
    assert_true(&events_heard(0, 1)->from < &answer_to(question)->revision); /* heard before */
    role_world_put(&world, 1, "a", text("1"));
    role_world_settle(&world);
    assert_nth(0, 2, 4, 4, false);
    close_all();
}

static void test_compactions_travel_in_the_stream(void **state) {
    (void)state;
    open_all();
    register_now(0, 1, false, letters);
    role_world_put(&world, 0, "a", text("1"));
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    assert_int_equal(events_heard(0, 1)->compacted, -1);
    compact(2);
    role_world_settle(&world);
    assert_null(events_heard(0, 2));
    role_world_tick(&world, 100000);
    assert_nth(0, 2, 4, 3, true);
    assert_int_equal(events_heard(0, 2)->compacted, 2);
    role_world_tick(&world, 100000);
    assert_null(events_heard(0, 3));
    compact(3);
    role_world_put(&world, 0, "a", text("3"));
    uint64_t question = role_world_ask(&world, 0, METHOD_WATCH);
    role_world_settle(&world);
    assert_nth(0, 3, 4, 4, false);
    assert_int_equal(events_heard(0, 3)->compacted, 3);
    assert_int_equal(answer_to(question)->compacted, 3);
    register_now(1, 4, false, letters); /* a new stream tells it first of all */
    assert_nth(1, 0, 5, 4, true);
    assert_int_equal(events_heard(1, 0)->compacted, 3);
    close_all();
}

static void test_a_lost_link_loses_its_registration(void **state) {
    (void)state;
    role_world_open(&world, NULL, NULL);
    role_world_connect(&world, PEER_PROXY_0);
    register_now(0, 1, false, letters);
    uint64_t question = role_world_ask(&world, 0, METHOD_WATCH);
    role_world_settle(&world);
    role_world_disconnect(&world, PEER_PROXY_0);
    connect_all();
    role_world_put(&world, 0, "a", text("1"));
    role_world_tick(&world, 100000);
    assert_null(events_heard(0, 0));
    assert_null(answer_to(question));
    register_now(0, 2, false, letters);
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    assert_nth(0, 0, 3, 3, false);
    close_all();
}

static void register_raw(int64_t revision, struct bytes ranges) {
    bus_put_ranges(world.peers[PEER_PROXY_0].link,
                   &(struct bus_ranges){.revision = revision, .body = ranges});
    role_world_settle(&world);
}

static void test_bounds_of_a_registration(void **state) {
    (void)state;
    open_all();
    struct bus_range all = {.range_end = bytes_of("\0", 1)};
    for (int i = 0; i < BUS_RANGES_LIMIT; i++)
        bus_range_put(&body, &all);
    register_raw(1, buffer_bytes(&body));
    assert_int_equal(world.peers[PEER_PROXY_0].downs, 0);
    role_world_put(&world, 1, "\xff", text("1"));
    role_world_settle(&world);
    assert_nth(0, 0, 2, 2, false);
    bus_range_put(&body, &all);
    register_raw(2, buffer_bytes(&body));
    assert_int_equal(world.peers[PEER_PROXY_0].downs, 1);
    assert_int_equal(world.peers[PEER_PROXY_0].ups, 2);
    register_raw(2, bytes_of(body.data, 8));
    assert_int_equal(world.peers[PEER_PROXY_0].downs, 2);
    register_raw(-1, (struct bytes){0});
    assert_int_equal(world.peers[PEER_PROXY_0].downs, 3);
    close_all();
}

static void test_too_many_questions_are_refused(void **state) {
    (void)state;
    enum { LIMIT = 1 << 18, MORE = 3 };
    role_world_open(&world, NULL, NULL);
    role_world_connect(&world, PEER_PROXY_0);
    uint64_t last = 0;
    for (int i = 0; i < LIMIT + MORE; i++) {
        last = role_world_ask(&world, 0, METHOD_WATCH);
        if (i % 10000 == 0)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    assert_int_equal(world.heard_count, MORE);
    assert_int_equal(answer_to(last)->status, STATUS_TOO_MANY_REQUESTS);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_precede_the_result),
        cmocka_unit_test(test_delete_and_previous),
        cmocka_unit_test(test_a_revision_goes_in_one_record),
        cmocka_unit_test(test_a_large_delete),
        cmocka_unit_test(test_what_does_not_match_is_covered_by_the_next_record),
        cmocka_unit_test(test_new_ranges_go_on_where_the_old_ones_ended),
        cmocka_unit_test(test_a_proxy_that_lags_sees_the_hole),
        cmocka_unit_test(test_a_revision_too_large_is_left_out),
        cmocka_unit_test(test_a_full_link_leaves_a_hole),
        cmocka_unit_test(test_new_ranges_on_a_full_link),
        cmocka_unit_test(test_replay_is_not_published),
        cmocka_unit_test(test_questions_wait_for_raft_and_its_replay),
        cmocka_unit_test(test_an_answer_is_behind_its_revision),
        cmocka_unit_test(test_compactions_travel_in_the_stream),
        cmocka_unit_test(test_a_lost_link_loses_its_registration),
        cmocka_unit_test(test_bounds_of_a_registration),
        cmocka_unit_test(test_too_many_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
