/*
 * bus_link: what the link promises while its peer behaves: handshake, order, batching, credit, hold, limits.
 * What a hostile or dying peer does to it is in bus_hostile_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bus/frame.h"
#include "common/link_pair.h"

static struct pair pair;

static void test_handshake_carries_who_and_where(void **state) {
    (void)state;
    pair_open(&pair);
    pair.ends[END_RAFT].greet_position = 41;
    pair.ends[END_APPLY].greet_position = 39;
    assert_false(bus_link_is_up(pair.ends[END_RAFT].link));
    assert_false(pair_put_entry(&pair, 1, 8));
    pair_connect(&pair);
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_RAFT].ups, 1);
    assert_int_equal(pair.ends[END_APPLY].ups, 1);
    const struct bus_hello *apply = &pair.ends[END_RAFT].peer;
    assert_int_equal(apply->role, BUS_ROLE_APPLY);
    assert_int_equal(apply->position, 39);
    assert_int_equal(apply->node, 77);
    assert_int_equal(apply->incarnation, 1000 + BUS_ROLE_APPLY);
    assert_int_equal(pair.ends[END_APPLY].peer.position, 41);
    assert_int_equal(bus_link_peer(pair.ends[END_RAFT].link)->connection, apply->connection);
    pair_close(&pair);
}

/* One end is told of the connection before the other: its first HELLO meets an end that does not listen. */
static void test_handshake_survives_a_hello_lost_before_connect(void **state) {
    (void)state;
    for (int first = 0; first < 2; first++) {
        pair_open(&pair);
        bus_link_connected(pair.ends[first].link);
        assert_true(pair_step(&pair, first)); /* lost */
        bus_link_connected(pair.ends[1 - first].link);
        pair_settle(&pair);
        assert_int_equal(pair.ends[0].ups, 1);
        assert_int_equal(pair.ends[1].ups, 1);
        pair_close(&pair);
    }
}

static void test_records_arrive_in_order_in_one_frame(void **state) {
    (void)state;
    pair_open_up(&pair);
    uint64_t before = bus_link_counts(pair.ends[END_RAFT].link)->frames_sent;
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(pair_put_entry(&pair, i, i % 37));
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, 1000);
    assert_false(pair.ends[END_APPLY].disorder);
    assert_int_equal(bus_link_counts(pair.ends[END_RAFT].link)->frames_sent - before, 1);
    assert_int_equal(bus_link_counts(pair.ends[END_RAFT].link)->records_sent, 1000);
    assert_int_equal(bus_link_counts(pair.ends[END_APPLY].link)->records_received, 1000);
    pair_close(&pair);
}

static void test_much_pending_is_split_into_frames(void **state) {
    (void)state;
    pair_open_up(&pair);
    uint64_t before = bus_link_counts(pair.ends[END_RAFT].link)->frames_sent;
    for (uint64_t i = 1; i <= 6; i++)
        assert_true(pair_put_entry(&pair, i, BUS_FRAME_TARGET));
    pair_settle(&pair);
    assert_int_equal(bus_link_counts(pair.ends[END_RAFT].link)->frames_sent - before, 6);
    assert_int_equal(pair.ends[END_APPLY].records, 6);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

static void test_records_at_the_limit(void **state) {
    (void)state;
    pair_open_up(&pair);
    assert_true(pair_put_entry(&pair, 1, 0));
    assert_true(pair_put_entry(&pair, 2, BUS_FRAME_TARGET - FRAME_HEADER - 2 * RECORD_HEADER - 8));
    assert_true(pair_put_entry(&pair, 3, BUS_RECORD_LIMIT)); /* joins the frame that is just not full */
    assert_true(pair_put_entry(&pair, 4, BUS_RECORD_LIMIT));
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, 4);
    assert_int_equal(pair.ends[END_APPLY].last_length, BUS_RECORD_LIMIT);
    assert_false(pair.ends[END_APPLY].disorder);
    assert_int_equal(pair.ends[END_APPLY].downs, 0);
    pair_close(&pair);
}

/* The peer takes frames but its role holds: a window of frames goes out, the rest gathers in larger ones. */
static void test_frame_credit_runs_out_and_recovers(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct pair_end *raft = &pair.ends[END_RAFT];
    bus_link_hold(pair.ends[END_APPLY].link, true);
    uint64_t before = bus_link_counts(raft->link)->frames_sent;
    for (uint64_t i = 1; i <= 100; i++) {
        assert_true(pair_put_entry(&pair, i, 100));
        pair_settle(&pair);
    }
    assert_int_equal(bus_link_counts(raft->link)->frames_sent - before, BUS_WINDOW_FRAMES);
    assert_int_equal(pair.ends[END_APPLY].records, BUS_WINDOW_FRAMES);
    bus_link_hold(pair.ends[END_APPLY].link, false);
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, 100);
    assert_int_equal(bus_link_counts(raft->link)->frames_sent - before, BUS_WINDOW_FRAMES + 1);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

static void fill(struct pair_end *end) {
    while (bus_link_room(end->link) > 0) {
        REQUIRE(pair_put_entry(&pair, ++end->greet_position, 300000));
    }
}

static void test_byte_credit_room_and_the_call_back(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct pair_end *raft = &pair.ends[END_RAFT];
    bus_link_hold(pair.ends[END_APPLY].link, true);
    assert_int_equal(bus_link_room(raft->link), BUS_PENDING_LIMIT);
    fill(raft);
    assert_int_equal(raft->rooms, 0);
    bus_link_flush(raft->link);
    assert_int_equal(raft->rooms, 1); /* half a window went out at once */
    fill(raft);
    pair_settle(&pair);
    assert_int_equal(raft->rooms, 1);
    assert_int_equal(bus_link_room(raft->link), 0);
    assert_true(bus_link_counts(raft->link)->bytes_sent < BUS_WINDOW_BYTES + 2 * BUS_FRAME_TARGET);
    bus_link_hold(pair.ends[END_APPLY].link, false);
    pair_settle(&pair);
    assert_int_equal(raft->rooms, 2);
    assert_int_equal(bus_link_room(raft->link), BUS_PENDING_LIMIT);
    assert_int_equal(pair.ends[END_APPLY].records, raft->greet_position);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

/* A role that refills from the callback keeps the stream going for good. */
static void refill(struct pair_end *end) {
    if (end->greet_position < 1000)
        fill(end);
}

static void test_refilling_from_the_call_back(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct pair_end *raft = &pair.ends[END_RAFT];
    raft->on_room = refill;
    fill(raft);
    pair_settle(&pair);
    assert_true(raft->greet_position >= 1000);
    assert_int_equal(pair.ends[END_APPLY].records, raft->greet_position);
    assert_false(pair.ends[END_APPLY].disorder);
    assert_int_equal(raft->downs, 0);
    pair_close(&pair);
}

/* Traffic both ways carries the acknowledgements itself: no CREDIT frame is needed. */
static void test_acknowledgements_ride_on_data(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct bus_link *raft = pair.ends[END_RAFT].link;
    struct bus_link *apply = pair.ends[END_APPLY].link;
    uint64_t sent_before = bus_link_counts(apply)->frames_sent;
    for (uint64_t i = 1; i <= 200; i++) {
        assert_true(pair_put_entry(&pair, i, 10));
        bus_link_flush(raft);
        assert_true(pair_step(&pair, END_RAFT));
        assert_true(bus_put_progress(apply, &(struct bus_progress){.applied = i, .durable = i}));
        bus_link_flush(apply);
        assert_true(pair_step(&pair, END_APPLY));
    }
    assert_int_equal(pair.ends[END_APPLY].records, 200);
    assert_int_equal(pair.ends[END_RAFT].records, 200);
    assert_int_equal(bus_link_counts(apply)->frames_sent - sent_before, 200);
    pair_close(&pair);
}

static void test_the_transport_refusing_is_a_disconnect(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct pair_end *raft = &pair.ends[END_RAFT];
    for (uint64_t i = 1; i <= 3; i++)
        assert_true(pair_put_entry(&pair, i, BUS_FRAME_TARGET));
    raft->broken = true;
    bus_link_flush(raft->link);
    assert_int_equal(raft->downs, 1);
    assert_false(pair_put_entry(&pair, 4, 1));
    raft->broken = false;
    pair_connect(&pair);
    pair_settle(&pair);
    assert_int_equal(raft->ups, 2);
    assert_int_equal(pair.ends[END_APPLY].records, 0); /* nothing is sent twice, nothing lives on */
    assert_true(pair_put_entry(&pair, 1, 5));
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, 1);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

/* The link goes down between begin and commit: what was built is forgotten. */
static void test_down_while_a_record_is_built(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct bus_link *raft = pair.ends[END_RAFT].link;
    struct buffer *body = bus_link_begin(raft);
    assert_non_null(body);
    bus_link_disconnected(raft);
    buffer_append(body, "lost", 4);
    bus_link_commit(raft, &(struct bus_record){.kind = BUS_RAFT_ENTRY, .position = 1});
    pair_connect(&pair);
    pair_settle(&pair);
    assert_true(pair_put_entry(&pair, 1, 5));
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, 1);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

/* Sends standard error into a pipe for as long as one record travels. */
static void test_trace_is_one_line_a_record_both_ways(void **state) {
    (void)state;
    pair_open_up(&pair);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int standard_error = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    bus_trace = true;
    bool put = pair_put_entry(&pair, 1, 10);
    pair_settle(&pair);
    bus_trace = false;
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    close(ends[1]);
    assert_true(put);
    char text[4096] = {0};
    ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(length > 0);
    char *second = strchr(text, '\n') + 1;
    assert_int_equal(strchr(second, '\n') + 1 - text, length); /* two lines */
    second[-1] = '\0';
    assert_non_null(strstr(text, "\"direction\":\"out\""));
    assert_non_null(strstr(second, "\"direction\":\"in\""));
    assert_non_null(strstr(text, "\"kind\":\"raft-entry\""));
    assert_non_null(strstr(second, "\"link\":\"raft.apply\""));
    pair_close(&pair);
}

/* The role hears of room in the round in which the credit comes, before anything is flushed. */
static void test_room_comes_with_the_credit(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct pair_end *raft = &pair.ends[END_RAFT];
    bus_link_hold(pair.ends[END_APPLY].link, true);
    fill(raft);
    bus_link_flush(raft->link);
    fill(raft);
    pair_settle(&pair);
    unsigned rooms = raft->rooms;
    bus_link_hold(pair.ends[END_APPLY].link, false);
    bus_link_flush(pair.ends[END_APPLY].link);
    assert_true(pair_step(&pair, END_APPLY));
    assert_int_equal(raft->rooms, rooms + 1);
    pair_settle(&pair);
    assert_false(pair.ends[END_APPLY].disorder);
    pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_carries_who_and_where),
        cmocka_unit_test(test_handshake_survives_a_hello_lost_before_connect),
        cmocka_unit_test(test_records_arrive_in_order_in_one_frame),
        cmocka_unit_test(test_much_pending_is_split_into_frames),
        cmocka_unit_test(test_records_at_the_limit),
        cmocka_unit_test(test_frame_credit_runs_out_and_recovers),
        cmocka_unit_test(test_byte_credit_room_and_the_call_back),
        cmocka_unit_test(test_refilling_from_the_call_back),
        cmocka_unit_test(test_acknowledgements_ride_on_data),
        cmocka_unit_test(test_the_transport_refusing_is_a_disconnect),
        cmocka_unit_test(test_down_while_a_record_is_built),
        cmocka_unit_test(test_room_comes_with_the_credit),
        cmocka_unit_test(test_trace_is_one_line_a_record_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
