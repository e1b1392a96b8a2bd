/* apply_role: rounds, order, reads and their pace, replay, and what happens when links or the process go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/status.h"
#include "proto/bus.pb-c.h"

#include "role_world.h"

static struct role_world world; /* too large for a stack */
static struct buffer body;

static void open_all(const struct apply_options *options) {
    role_world_open(&world, NULL, options);
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

/* count of the last RangeResponse in `body` */
static uint64_t response_count(struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    uint64_t count = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 4)
            count = field.value;
    }
    assert_false(reader.malformed);
    return count;
}

static void fill(unsigned keys, size_t value_length) {
    uint8_t *value = must_zalloc(value_length + 1);
    memset(value, 'v', value_length);
    for (unsigned i = 0; i < keys; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%06u", i);
        role_world_put(&world, 0, key, bytes_of(value, value_length));
        if (i % 100 == 99)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    free(value);
}

static void test_write_is_answered_to_its_proxy(void **state) {
    (void)state;
    open_all(NULL);
    uint64_t first = role_world_put(&world, 0, "a", text("1"));
    uint64_t second = role_world_put(&world, 1, "b", text("2"));
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, first, &body, NULL);
    assert_non_null(result);
    assert_int_equal(result->status, STATUS_OK);
    assert_int_equal(result->revision, 2);
    assert_int_equal(result->term, 2);
    assert_int_equal(role_world_result(&world, second, &body, NULL)->revision, 3);
    assert_int_equal(world.peers[PEER_RAFT].progress.applied, 2);
    close_all();
}

static void test_results_of_other_members_stay_here(void **state) {
    (void)state;
    open_all(NULL);
    struct internal_request request = {.id = bus_request_id(WORLD_MEMBER + 1, 0, 5), .number = INTERNAL_PUT};
    struct put_request put = {.key = text("a")};
    struct buffer entry = {0};
    encode_put(&body, &put);
    request.body = buffer_bytes(&body);
    internal_request_encode(&entry, &request);
    bus_put_entry(world.peers[PEER_RAFT].link,
                  &(struct bus_entry){.index = 1, .term = 2, .data = buffer_bytes(&entry)});
    role_world_settle(&world);
    assert_int_equal(world.heard_count, 0);
    assert_int_equal(apply_role_state(world.role).revision, 2);
    buffer_free(&entry);
    close_all();
}

static void test_linearizable_read_sees_what_is_before_it(void **state) {
    (void)state;
    open_all(NULL);
    struct range_request range = {.key = text("a")};
    encode_range(&body, &range);
    struct buffer copy = {0};
    buffer_append_bytes(&copy, buffer_bytes(&body));
    role_world_put(&world, 0, "a", text("1"));
    uint64_t id = role_world_read(&world, 0, true, METHOD_RANGE, &copy);
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, NULL);
    assert_int_equal(result->revision, 2);
    assert_int_equal(response_count(buffer_bytes(&body)), 1);
    close_all();
}

static void test_gap_resets_and_repeat_is_skipped(void **state) {
    (void)state;
    open_all(NULL);
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    world.index = 0;
    role_world_put(&world, 0, "a", text("again"));
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).revision, 2);
    assert_int_equal(world.peers[PEER_RAFT].downs, 0);
    world.index = 5;
    role_world_put(&world, 0, "a", text("gap"));
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).index, 1);
    assert_int_equal(world.peers[PEER_RAFT].downs, 1);
    assert_int_equal(world.peers[PEER_RAFT].ups, 2);
    assert_int_equal(world.peers[PEER_RAFT].hello.position, 1);
    close_all();
}

static void test_never_in_the_past(void **state) {
    (void)state;
    role_world_open(&world, NULL, NULL);
    world.peers[PEER_RAFT].greet_durable = 0;
    world.peers[PEER_PROXY_0].greet_position = 3;
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
    uint64_t waits = role_world_range(&world, 0, "a", NULL);
    uint64_t other = role_world_range(&world, 1, "a", NULL);
    uint64_t replayed = role_world_put(&world, 0, "a", text("1")); /* revision 2 */
    role_world_settle(&world);
    assert_null(role_world_result(&world, waits, &body, NULL));
    assert_null(role_world_result(&world, replayed, &body, NULL));
    assert_non_null(role_world_result(&world, other, &body, NULL));
    uint64_t reached = role_world_put(&world, 0, "a", text("2")); /* revision 3 */
    role_world_settle(&world);
    assert_int_equal(role_world_result(&world, reached, &body, NULL)->revision, 3);
    assert_int_equal(role_world_result(&world, waits, &body, NULL)->revision, 3);
    assert_int_equal(response_count(buffer_bytes(&body)), 1);
    close_all();
}

static void test_no_read_before_the_replay_is_over(void **state) {
    (void)state;
    role_world_open(&world, NULL, NULL);
    world.peers[PEER_RAFT].greet_durable = 2; /* committed */
    role_world_connect(&world, PEER_PROXY_0);
    uint64_t early = role_world_range(&world, 0, "a", NULL);
    role_world_settle(&world);
    role_world_connect(&world, PEER_RAFT);
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    assert_null(role_world_result(&world, early, &body, NULL));
    role_world_put(&world, 0, "b", text("1"));
    role_world_settle(&world);
    assert_int_equal(role_world_result(&world, early, &body, NULL)->revision, 3);
    close_all();
}

/* Raft may be away by then. */
static void test_a_later_proxy_hears_of_the_cluster(void **state) {
    (void)state;
    open_all(NULL);
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    role_world_disconnect(&world, PEER_RAFT);
    role_world_disconnect(&world, PEER_PROXY_0);
    role_world_connect(&world, PEER_PROXY_0);
    role_world_settle(&world);
    assert_int_equal(world.peers[PEER_PROXY_0].hello.cluster, WORLD_CLUSTER);
    assert_int_equal(world.peers[PEER_PROXY_0].hello.node, WORLD_MEMBER);
    assert_true(world.peers[PEER_PROXY_0].hello.term > 0);
    close_all();
}

static void test_crash_goes_back_and_replays(void **state) {
    (void)state;
    open_all(NULL);
    role_world_put(&world, 0, "a", text("1"));
    role_world_settle(&world);
    memory_flush_wait(&world.store->head);
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    struct memory_store *store = world.store;
    role_world_close(&world);
    memory_crash(store);
    role_world_open(&world, store, NULL);
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
    assert_int_equal(world.peers[PEER_RAFT].hello.position, 1);
    assert_int_equal(world.peers[PEER_RAFT].hello.durable, 1);
    assert_int_equal(world.peers[PEER_PROXY_0].hello.position, 2);
    role_world_put(&world, 0, "a", text("2"));
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).revision, 3);
    close_all();
}

static void test_flush_policy_and_durable_index(void **state) {
    (void)state;
    struct apply_options options = {.flush_entries = 10, .flush_interval_us = 1000000};
    open_all(&options);
    fill(9, 10);
    role_world_tick(&world, 100000);
    assert_int_equal(world.peers[PEER_RAFT].progress.durable, 0);
    fill(1, 10);
    role_world_tick(&world, 100000);
    assert_int_equal(world.peers[PEER_RAFT].progress.durable, 10);
    fill(1, 10);
    role_world_tick(&world, 500000);
    assert_int_equal(world.peers[PEER_RAFT].progress.durable, 10);
    role_world_tick(&world, 600000);
    assert_int_equal(world.peers[PEER_RAFT].progress.durable, 11);
    close_all();
}

static void test_large_range_becomes_a_job_at_its_revision(void **state) {
    (void)state;
    unsigned parts = 0;
    open_all(NULL);
    fill(3000, 10);
    world.hold_jobs = true;
    uint64_t id = role_world_range(&world, 0, "key", "l");
    role_world_settle(&world);
    assert_null(role_world_result(&world, id, &body, NULL));
    assert_int_equal(apply_role_state(world.role).jobs, 1);
    fill(1, 10); /* goes on meanwhile, and is not seen */
    role_world_put(&world, 0, "keyz", text("new"));
    world.hold_jobs = false;
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, &parts);
    assert_int_equal(result->revision, 3001);
    assert_int_equal(response_count(buffer_bytes(&body)), 3000);
    assert_true(parts > 1);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    close_all();
}

/* 20 MB: sized first, then sent in records of at most 64 KB, a window ahead of the client. */
static void test_huge_answer_is_paced(void **state) {
    (void)state;
    open_all(NULL);
    fill(2000, 10000);
    uint64_t id = role_world_range(&world, 0, "key", "l");
    role_world_settle(&world);
    size_t got = 0;
    for (unsigned rounds = 0;; rounds++) {
        const struct bus_result *result = role_world_result(&world, id, &body, NULL);
        assert_non_null(result);
        assert_true(body.length - got <= (1u << 20) + 64 * 1024);
        assert_true(rounds < 100);
        if (!result->more)
            break;
        assert_true(body.length > got);
        bus_put_consumed(world.peers[PEER_PROXY_0].link, id, body.length - got);
        got = body.length;
        role_world_settle(&world);
    }
    assert_int_equal(response_count(buffer_bytes(&body)), 2000);
    for (size_t i = 0; i < world.heard_count; i++) {
        if (world.heard[i].result.id != id)
            continue;
        assert_int_equal(world.heard[i].result.total, body.length);
        assert_true(world.heard[i].result.body.length <= 64 * 1024);
    }
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    close_all();
}

/* How fast a client takes its answer is its own affair, and its proxy's, who cancels what nobody wants. */
static void test_an_answer_that_has_begun_outlives_its_deadline(void **state) {
    (void)state;
    open_all(NULL);
    fill(500, 10000);
    uint64_t id = role_world_range(&world, 0, "key", "l");
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, NULL);
    size_t got = 0;
    while (result->more) {
        role_world_tick(&world, 6000000);
        bus_put_consumed(world.peers[PEER_PROXY_0].link, id, body.length - got);
        got = body.length;
        role_world_settle(&world);
        result = role_world_result(&world, id, &body, NULL);
        assert_true(body.length > got);
    }
    assert_int_equal(response_count(buffer_bytes(&body)), 500);
    close_all();
}

static void test_cancel_and_link_down_stop_a_job(void **state) {
    (void)state;
    open_all(NULL);
    fill(2000, 10000);
    world.hold_jobs = true;
    uint64_t first = role_world_range(&world, 0, "key", "l");
    role_world_settle(&world);
    struct apply_job *taken = apply_role_take_job(world.role);
    assert_non_null(taken);
    bus_put_cancel(world.peers[PEER_PROXY_0].link, first);
    role_world_settle(&world);
    apply_job_run(taken);
    apply_role_job_done(world.role, taken);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 0);

    world.hold_jobs = false;
    uint64_t second = role_world_range(&world, 0, "key", "l"); /* parks: nobody consumes */
    role_world_settle(&world);
    assert_true(role_world_result(&world, second, &body, NULL)->more);
    assert_int_equal(apply_role_state(world.role).jobs, 1);
    role_world_disconnect(&world, PEER_PROXY_0);
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 0);

    role_world_connect(&world, PEER_PROXY_0);
    world.hold_jobs = true;
    uint64_t third = role_world_range(&world, 0, "key", "l");
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 1);
    role_world_tick(&world, 5100000); /* past the deadline */
    world.hold_jobs = false;
    role_world_settle(&world);
    assert_int_equal(apply_role_state(world.role).jobs, 0);
    assert_null(role_world_result(&world, first, &body, NULL));
    assert_null(role_world_result(&world, third, &body, NULL));
    close_all();
}

static void test_range_stream(void **state) {
    (void)state;
    open_all(NULL);
    fill(700, 1000);
    struct range_request range = {.key = text("key"), .range_end = text("l"), .limit = 650};
    struct buffer request = {0};
    encode_range(&request, &range);
    uint64_t id = role_world_read(&world, 0, false, METHOD_RANGE_STREAM, &request);
    role_world_settle(&world);
    unsigned keys = 0;
    unsigned parts = 0;
    bool more = false;
    uint64_t count = 0;
    for (size_t i = 0; i < world.heard_count; i++) {
        const struct bus_result *result = &world.heard[i].result;
        if (result->id != id)
            continue;
        struct wire_reader outer = wire_reader_of(result->body);
        struct wire_field field;
        unsigned before = keys;
        assert_true(wire_next(&outer, &field));
        assert_int_equal(field.number, 1);
        struct wire_reader reader = wire_reader_of(field.bytes);
        while (wire_next(&reader, &field)) {
            keys += field.number == 2;
            more |= field.number == 3;
            count += field.number == 4 ? field.value : 0;
        }
        if (parts++ == 0)
            assert_int_equal(keys - before, 10);
        assert_int_equal(result->header, !result->more);
        assert_int_equal(result->total, 0);
        assert_int_equal(result->revision, 701);
        assert_false(wire_next(&outer, &field));
    }
    assert_true(parts > 2);
    assert_int_equal(keys, 650);
    assert_true(more);
    assert_int_equal(count, 700);
    close_all();
}

static void test_small_range_stream_and_its_refusals(void **state) {
    (void)state;
    open_all(NULL);
    struct range_request range = {.key = text("key"), .range_end = text("l")};
    struct buffer request = {0};
    encode_range(&request, &range);
    uint64_t id = role_world_read(&world, 0, false, METHOD_RANGE_STREAM, &request);
    range.sort_order = SORT_DESCEND;
    encode_range(&request, &range);
    uint64_t sorted = role_world_read(&world, 0, false, METHOD_RANGE_STREAM, &request);
    range.sort_order = SORT_NONE;
    range.min_mod_revision = 1;
    encode_range(&request, &range);
    uint64_t filtered = role_world_read(&world, 0, false, METHOD_RANGE_STREAM, &request);
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, NULL);
    assert_true(result->header);
    assert_int_equal(body.length, 2); /* an empty RangeResponse inside */
    assert_int_equal(role_world_result(&world, sorted, &body, NULL)->status, STATUS_STREAM_CUSTOM_SORT);
    assert_int_equal(role_world_result(&world, filtered, &body, NULL)->status,
                     STATUS_STREAM_REVISION_FILTERS);
    close_all();
}

static void test_reading_transaction_inline_and_as_job(void **state) {
    (void)state;
    open_all(NULL);
    fill(1000, 10);
    for (int large = 0; large < 2; large++) {
        struct range_request range = {.key = text("key"), .range_end = text(large ? "l" : "key000003")};
        struct buffer inner = {0};
        struct buffer operation = {0};
        struct buffer txn = {0};
        encode_range(&inner, &range);
        wire_put_bytes_always(&operation, OP_RANGE, buffer_bytes(&inner));
        wire_put_bytes_always(&txn, TXN_SUCCESS, buffer_bytes(&operation));
        uint64_t id = role_world_read(&world, 0, true, METHOD_TXN, &txn);
        world.hold_jobs = true;
        role_world_settle(&world);
        assert_int_equal(apply_role_state(world.role).jobs, large);
        world.hold_jobs = false;
        role_world_settle(&world);
        const struct bus_result *result = role_world_result(&world, id, &body, NULL);
        assert_int_equal(result->status, STATUS_OK);
        assert_true(large ? body.length > 20000 : body.length > 20);
        buffer_free(&inner);
        buffer_free(&operation);
    }
    close_all();
}

static void test_a_write_is_no_read(void **state) {
    (void)state;
    open_all(NULL);
    struct put_request put = {.key = text("a")};
    struct buffer request = {0};
    encode_put(&request, &put);
    uint64_t id = role_world_read(&world, 0, false, METHOD_PUT, &request);
    role_world_settle(&world);
    assert_int_equal(role_world_result(&world, id, &body, NULL)->status, STATUS_UNIMPLEMENTED);
    close_all();
}

static void test_status_alarm_and_health(void **state) {
    (void)state;
    struct apply_options options = {.quota_bytes = 77};
    open_all(&options);
    fill(3, 3);
    struct buffer request = {0};
    uint64_t status = role_world_read(&world, 0, false, METHOD_STATUS, &request);
    uint64_t alarm = role_world_read(&world, 0, false, METHOD_ALARM, &request);
    struct range_request range = {.key = bytes_of("\0", 1), .range_end = bytes_of("\0", 1), .limit = 1};
    encode_range(&request, &range);
    uint64_t health = role_world_read(&world, 0, true, METHOD_HEALTH, &request);
    role_world_settle(&world);
    assert_int_equal(role_world_result(&world, status, &body, NULL)->status, STATUS_OK);
    Quorate__BusApplyStatus *message = quorate__bus_apply_status__unpack(NULL, body.length, body.data);
    assert_non_null(message);
    assert_int_equal(message->applied_index, 3);
    assert_int_equal(message->revision, 4);
    assert_int_equal(message->db_size, 2);
    assert_int_equal(message->db_size_in_use, 1);
    assert_int_equal(message->quota, 77);
    quorate__bus_apply_status__free_unpacked(message, NULL);
    assert_int_equal(role_world_result(&world, alarm, &body, NULL)->status, STATUS_OK);
    assert_int_equal(body.length, 0);
    assert_int_equal(role_world_result(&world, health, &body, NULL)->status, STATUS_OK);
    assert_int_equal(response_count(buffer_bytes(&body)), 3);
    close_all();
}

/* A proxy that takes nothing: its reads wait, its link is held; the other proxy goes on. */
static void test_deaf_proxy_hurts_nobody(void **state) {
    (void)state;
    open_all(NULL);
    fill(100, 500);
    struct peer *deaf = &world.peers[PEER_PROXY_0];
    bus_link_hold(deaf->link, true); /* it acknowledges nothing */
    for (int i = 0; i < 2000; i++) {
        role_world_range(&world, 0, "key", "l");
        if (i % 50 == 0)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    assert_int_equal(bus_link_room(deaf->own), 0);
    uint64_t other = role_world_range(&world, 1, "key000001", NULL);
    role_world_settle(&world);
    assert_non_null(role_world_result(&world, other, &body, NULL));
    bus_link_hold(deaf->link, false);
    uint64_t last = role_world_range(&world, 0, "key", "l");
    for (int i = 0; i < 100 && role_world_result(&world, last, &body, NULL) == NULL; i++)
        role_world_tick(&world, 1000);
    assert_non_null(role_world_result(&world, last, &body, NULL));
    close_all();
}

/*
 * A proxy that took nothing for long acknowledges in the middle of a round: the reads that waited for room
 * are answered then, and have to see the entries of this round whose revision they claim.
 */
static void test_room_in_the_middle_of_a_round(void **state) {
    (void)state;
    open_all(NULL);
    fill(100, 500);
    struct peer *deaf = &world.peers[PEER_PROXY_0];
    bus_link_hold(deaf->link, true);
    while (bus_link_room(deaf->own) > 0) {
        role_world_range(&world, 0, "key", "l");
        role_world_settle(&world);
    }
    uint64_t waiting = role_world_range(&world, 0, "fresh", NULL);
    role_world_settle(&world);
    assert_null(role_world_result(&world, waiting, &body, NULL));

    /* In one round: raft's entry, then the acknowledgement. */
    bus_link_hold(deaf->link, false);
    role_world_put(&world, 1, "fresh", text("value"));
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, waiting, &body, NULL);
    assert_non_null(result);
    assert_int_equal(result->revision, 102);
    assert_int_equal(response_count(buffer_bytes(&body)), 1);
    close_all();
}

static void test_large_result_of_a_write_goes_in_parts(void **state) {
    (void)state;
    unsigned parts = 0;
    open_all(NULL);
    fill(30, 10000);
    struct delete_range_request request = {.key = text("key"), .range_end = text("l"), .prev_kv = true};
    struct buffer encoded = {0};
    encode_delete(&encoded, &request);
    uint64_t id = role_world_entry(&world, 0, INTERNAL_DELETE_RANGE, &encoded);
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, &parts);
    assert_false(result->more);
    assert_true(parts > 3);
    assert_int_equal(result->total, body.length);
    assert_int_equal(result->revision, 32);
    close_all();
}

static void ask_checkpoint(uint64_t id, const char *directory) {
    bus_put_checkpoint(world.peers[PEER_MAINT].link, BUS_MAINT_CHECKPOINT,
                       &(struct bus_checkpoint){.id = id, .directory = text(directory)});
    role_world_settle(&world);
}

static void test_checkpoint(void **state) {
    (void)state;
    struct apply_options options = {.member_directory = "/data/member"};
    open_all(&options);
    fill(5, 5);
    ask_checkpoint(1, "/data/member/maint/one");
    assert_int_equal(world.peers[PEER_MAINT].checkpoint.id, 1);
    assert_int_equal(world.peers[PEER_MAINT].checkpoint.status, 0);
    assert_int_equal(world.peers[PEER_MAINT].checkpoint.index, 5);
    static const char *const outside[] = {"/data/member",
                                          "/data/member/",
                                          "/data/memberx/a",
                                          "/etc/a",
                                          "/data/member/../a",
                                          "/data/member/a/..",
                                          ""};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        ask_checkpoint(10 + i, outside[i]);
        assert_int_equal(world.peers[PEER_MAINT].checkpoint.id, 10 + i);
        assert_int_not_equal(world.peers[PEER_MAINT].checkpoint.status, 0);
    }
    world.hold_jobs = true;
    ask_checkpoint(20, "/data/member/maint/two");
    ask_checkpoint(21, "/data/member/maint/three");
    assert_int_equal(world.peers[PEER_MAINT].checkpoint.id, 21); /* busy */
    assert_int_not_equal(world.peers[PEER_MAINT].checkpoint.status, 0);
    role_world_disconnect(&world, PEER_MAINT);
    role_world_connect(&world, PEER_MAINT);
    assert_true(role_world_run_job(&world)); /* whoever asked is gone */
    role_world_settle(&world);
    assert_int_equal(world.peers[PEER_MAINT].checkpoint.id, 21);
    ask_checkpoint(22, "/data/member/maint/four"); /* left in the queue */
    close_all();
}

static void test_an_id_of_another_proxy_resets(void **state) {
    (void)state;
    open_all(NULL);
    bus_put_cancel(world.peers[PEER_PROXY_0].link, bus_request_id(WORLD_MEMBER, 1, 5));
    role_world_settle(&world);
    assert_int_equal(world.peers[PEER_PROXY_0].downs, 1);
    assert_int_equal(world.peers[PEER_PROXY_0].ups, 2);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_is_answered_to_its_proxy),
        cmocka_unit_test(test_results_of_other_members_stay_here),
        cmocka_unit_test(test_linearizable_read_sees_what_is_before_it),
        cmocka_unit_test(test_gap_resets_and_repeat_is_skipped),
        cmocka_unit_test(test_never_in_the_past),
        cmocka_unit_test(test_no_read_before_the_replay_is_over),
        cmocka_unit_test(test_crash_goes_back_and_replays),
        cmocka_unit_test(test_flush_policy_and_durable_index),
        cmocka_unit_test(test_large_range_becomes_a_job_at_its_revision),
        cmocka_unit_test(test_huge_answer_is_paced),
        cmocka_unit_test(test_an_answer_that_has_begun_outlives_its_deadline),
        cmocka_unit_test(test_cancel_and_link_down_stop_a_job),
        cmocka_unit_test(test_range_stream),
        cmocka_unit_test(test_small_range_stream_and_its_refusals),
        cmocka_unit_test(test_reading_transaction_inline_and_as_job),
        cmocka_unit_test(test_a_write_is_no_read),
        cmocka_unit_test(test_status_alarm_and_health),
        cmocka_unit_test(test_deaf_proxy_hurts_nobody),
        cmocka_unit_test(test_room_in_the_middle_of_a_round),
        cmocka_unit_test(test_large_result_of_a_write_goes_in_parts),
        cmocka_unit_test(test_a_later_proxy_hears_of_the_cluster),
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_an_id_of_another_proxy_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
