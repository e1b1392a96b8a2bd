/* Watchers that are behind: history, gaps in the stream, clients that do not read, fragments, compaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/watch_bench.h"

static struct fake_node node; /* too large for a stack */

static void expect_revisions(const struct watching *client, int64_t first, size_t count) {
    assert_int_equal(client->event_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(client->events[i].revision, first + (int64_t)i);
}

static size_t count_kind(uint16_t kind) {
    size_t count = 0;
    for (size_t i = 0; i < node.apply.record_count; i++)
        count += node.apply.records[i].kind == kind;
    return count;
}

/* A watcher of `key` at present revision 10. */
static void open_at_ten(struct watching *client, const struct create *create) {
    watch_bench_open(&node);
    watching_open(&node, client, false);
    watching_create(client, create);
    answer_asks(&node, 10, -1);
}

static void past_start_reads_history_and_joins(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    open_at_ten(&client,
                &(struct create){.key = "a", .range_end = "c", .start_revision = 4, .previous = true});
    assert_true(watching_last(&client)->created);
    assert_non_null(asked_history(&node, &request));
    assert_true(request.from == 4 && request.to == 10);
    struct bus_range range;
    assert_true(bus_range_next(&request.ranges, &range));
    assert_true(bytes_equal(range.key, bytes_from_text("a")) && range.previous);
    assert_true(bytes_equal(range.range_end, bytes_from_text("c")));

    publish_put(&node, 11, "b"); /* the stream goes on meanwhile */
    for (int64_t revision = 4; revision <= 7; revision++)
        put_event(&record, revision, "b", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 7, true);
    expect_revisions(&client, 4, 4);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_CONSUMED);
    for (int64_t revision = 8; revision <= 10; revision++)
        put_event(&record, revision, "b", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 10, false);
    expect_revisions(&client, 4, 8); /* 11 came from the ring */
    publish_put(&node, 12, "b");
    expect_revisions(&client, 4, 9);
    assert_int_equal(watching_last(&client)->revision, 12);
    watching_close(&client);
    fake_node_close(&node);
}

static void one_scan_serves_many_and_each_gets_its_own(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .start_revision = 7, .watch_id = 1});
    watching_create(&client, &(struct create){.key = "a", .start_revision = 5, .watch_id = 2});
    watching_create(&client, &(struct create){.key = "b", .start_revision = 6, .watch_id = 3});
    answer_asks(&node, 10, -1);
    const struct fake_record *asked = asked_history(&node, &request);
    assert_non_null(asked);
    assert_int_equal(request.from, 5);
    put_event(&record, 6, "a", "x", false);
    put_event(&record, 7, "b", "x", false);
    put_event(&record, 8, "a", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 10, false);
    assert_null(asked_history(&node, &request));
    assert_int_equal(client.count, 6);
    for (size_t i = 3; i < 6; i++)
        assert_int_equal(client.responses[i].events, client.responses[i].watch_id == 2 ? 2 : 1);
    watching_close(&client);
    fake_node_close(&node);
}

static void a_gap_sends_synced_watchers_to_history(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    open_at_ten(&client, &(struct create){.key = "a"});
    publish_put(&node, 11, "a");
    put_event(&record, 15, "a", "x", false);
    publish(&node, &record, 14, 15);
    expect_revisions(&client, 11, 1);
    assert_non_null(asked_history(&node, &request));
    assert_int_equal(request.from, 12);
    put_event(&record, 12, "a", "x", false);
    put_event(&record, 13, "a", "x", false);
    put_event(&record, 14, "a", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 14, false);
    expect_revisions(&client, 11, 5);
    publish_put(&node, 16, "a");
    expect_revisions(&client, 11, 6);
    watching_close(&client);
    fake_node_close(&node);
}

/* What apply says when it left revisions out and has nothing behind them yet. */
static void a_hole_at_the_end_is_seen(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    open_at_ten(&client, &(struct create){.key = "a"});
    publish(&node, &record, 13, 12);
    assert_non_null(asked_history(&node, &request));
    assert_true(request.from == 11 && request.to == 12);
    put_event(&record, 12, "a", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 12, false);
    publish_put(&node, 13, "a");
    expect_revisions(&client, 12, 2);
    watching_close(&client);
    fake_node_close(&node);
}

static void an_answer_beyond_the_stream_is_a_gap(void **state) {
    (void)state;
    struct watching client;
    struct history_request request;
    open_at_ten(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "b"});
    answer_asks(&node, 14, -1);
    assert_non_null(asked_history(&node, &request));
    assert_true(request.from == 11 && request.to == 14);
    watching_close(&client);
    fake_node_close(&node);
}

static void apply_restarts_without_a_gap_and_nobody_reads_history(void **state) {
    (void)state;
    struct watching client;
    struct history_request request;
    open_at_ten(&client, &(struct create){.key = "a"});
    publish_put(&node, 11, "a");
    fake_link_down(&node.apply);
    fake_link_up(&node.apply, true);
    assert_int_equal(node.apply.seen.position, 11);
    const struct fake_record *ranges = fake_last(&node.apply);
    assert_int_equal(ranges->kind, BUS_PROXY_RANGES);
    assert_int_equal(ranges->position, 11);
    publish_put(&node, 12, "a");
    expect_revisions(&client, 11, 2);
    assert_null(asked_history(&node, &request));
    watching_close(&client);
    fake_node_close(&node);
}

static void a_scan_that_breaks_off_is_begun_again(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    open_at_ten(&client, &(struct create){.key = "a", .start_revision = 3});
    put_event(&record, 3, "a", "x", false);
    put_event(&record, 4, "a", "x", false);
    answer_history(&node, &record, HISTORY_PARTIAL, 4, true); /* 4 may have more events */
    expect_revisions(&client, 3, 1);
    fake_link_down(&node.apply);
    for (size_t i = 0; i < node.apply.record_count; i++)
        node.apply.records[i].kind = BUS_NONE;
    fake_link_up(&node.apply, true);
    fake_node_wait(&node, 100000);
    assert_non_null(asked_history(&node, &request));
    assert_int_equal(request.from, 4);
    put_event(&record, 4, "a", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 10, false);
    expect_revisions(&client, 3, 2);
    watching_close(&client);
    fake_node_close(&node);
}

static void a_revision_in_parts_is_one_response(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    open_at_ten(&client, &(struct create){.key = "a", .range_end = "b", .start_revision = 3});
    put_event(&record, 3, "a1", "x", false);
    put_event(&record, 4, "a1", "x", false);
    answer_history(&node, &record, HISTORY_PARTIAL, 4, true);
    put_event(&record, 4, "a2", "x", false);
    answer_history(&node, &record, HISTORY_PARTIAL, 4, true);
    put_event(&record, 4, "a3", "x", false);
    put_event(&record, 5, "a1", "x", false);
    answer_history(&node, &record, HISTORY_PARTIAL, 5, true);
    assert_int_equal(client.count, 3);
    assert_int_equal(watching_last(&client)->events, 3);
    answer_history(&node, &record, HISTORY_COMPLETE, 10, false);
    assert_int_equal(client.count, 4);
    assert_int_equal(client.event_count, 5);
    watching_close(&client);
    fake_node_close(&node);
}

static void compaction_ends_who_needs_what_is_gone(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    struct history_request request;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .start_revision = 5, .watch_id = 1});
    watching_create(&client, &(struct create){.key = "a", .start_revision = 8, .watch_id = 2});
    answer_asks(&node, 10, 3);
    put_event(&record, 5, "a", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 5, true);
    answer_history(&node, &record, HISTORY_COMPACTED, 8, false);
    const struct seen_response *seen = watching_last(&client);
    assert_true(seen->canceled && seen->watch_id == 1);
    assert_true(seen->compact_revision == 8 && seen->revision == 0);
    assert_string_equal(seen->reason, "");
    assert_int_equal(client.count, 4);
    assert_non_null(asked_history(&node, &request)); /* the other goes on */
    assert_int_equal(request.from, 8);
    watching_close(&client);
    fake_node_close(&node);
}

/* A client that does not read stops, alone, with little in its backlog; it goes on where it stopped. */
static void a_deaf_client_stops_and_goes_on_from_the_ring(void **state) {
    (void)state;
    static char value[60000];
    struct watching deaf;
    struct watching other;
    struct stream_record record = {0};
    struct history_request request;
    memset(value, 'v', sizeof value - 1);
    open_at_ten(&deaf, &(struct create){.key = "a"});
    watching_open(&node, &other, false);
    watching_create(&other, &(struct create){.key = "a"});
    answer_asks(&node, 10, -1);
    deaf.deaf = true;
    for (int64_t revision = 11; revision <= 30; revision++) {
        put_event(&record, revision, "a", value, false);
        publish(&node, &record, revision, revision);
    }
    expect_revisions(&other, 11, 20);
    assert_true(deaf.event_count >= 4 && deaf.event_count < 8);
    assert_true(deaf.backlog < 400000);
    watching_ask_progress(&deaf); /* waits until it has everything */
    answer_asks(&node, 30, -1);
    while (deaf.event_count < 20) {
        size_t before = deaf.event_count;
        watching_read(&deaf);
        fake_node_settle(&node);
        assert_true(deaf.event_count > before);
    }
    expect_revisions(&deaf, 11, 20);
    watching_read(&deaf);
    fake_node_settle(&node);
    assert_int_equal(watching_last(&deaf)->watch_id, -1);
    assert_int_equal(watching_last(&deaf)->revision, 30);
    deaf.deaf = false;
    publish_put(&node, 31, "a");
    expect_revisions(&deaf, 11, 21);
    assert_null(asked_history(&node, &request));
    watching_close(&deaf);
    watching_close(&other);
    fake_node_close(&node);
}

/* What clients do not take is bounded in all; those who take nothing must not keep the others from it. */
static void clients_that_read_nothing_make_room(void **state) {
    (void)state;
    enum { DEAF = 560 };
    static char value[1000001];
    static struct watching deaf[DEAF];
    struct watching slow;
    struct watching other;
    struct stream_record record = {0};
    memset(value, 'v', sizeof value - 1);
    open_at_ten(&other, &(struct create){.key = "b"});
    for (unsigned i = 0; i < DEAF; i++) {
        watching_open(&node, &deaf[i], false);
        watching_create(&deaf[i], &(struct create){.key = "a"});
        deaf[i].deaf = true;
    }
    watching_open(&node, &slow, false);
    watching_create(&slow, &(struct create){.key = "a"});
    slow.deaf = true;
    answer_asks(&node, 10, -1);
    put_event(&record, 11, "a", value, false);
    publish(&node, &record, 11, 11);
    assert_int_equal(slow.event_count, 1);
    put_event(&record, 12, "b", value, false);
    publish(&node, &record, 12, 12);
    for (unsigned i = 0; i < 100 && other.event_count == 0; i++) {
        fake_node_wait(&node, 100000);
        slow.backlog -= 1000; /* that is something */
    }
    assert_int_equal(other.event_count, 1);
    assert_int_equal(slow.ended, 0);
    unsigned ended = 0;
    for (unsigned i = 0; i < DEAF; i++) {
        ended += deaf[i].ended != 0;
        assert_true(deaf[i].ended == 0 || deaf[i].backlog == 0);
        watching_close(&deaf[i]);
    }
    assert_in_range(ended, 200, 400); /* not more than it takes */
    watching_close(&slow);
    watching_close(&other);
    fake_node_close(&node);
}

static void a_long_deaf_client_goes_on_from_history(void **state) {
    (void)state;
    static char value[1000001];
    struct watching deaf;
    struct stream_record record = {0};
    struct history_request request;
    memset(value, 'v', sizeof value - 1);
    open_at_ten(&deaf, &(struct create){.key = "a"});
    deaf.deaf = true;
    for (int64_t revision = 11; revision <= 40; revision++) {
        put_event(&record, revision, "a", value, false);
        publish(&node, &record, revision, revision);
    }
    expect_revisions(&deaf, 11, 1);
    assert_null(asked_history(&node, &request));
    deaf.deaf = false;
    deaf.backlog = 0; /* read, but nobody says so: it is looked at by itself */
    fake_node_wait(&node, 100000);
    fake_node_wait(&node, 100000);
    assert_non_null(asked_history(&node, &request));
    assert_true(request.from == 12 && request.to == 40);
    put_event(&record, 12, "a", value, false);
    answer_history(&node, &record, HISTORY_COMPLETE, 30, false); /* it went less far than asked */
    assert_int_equal(deaf.event_count, 12);                      /* the rest came from the ring */
    assert_int_equal(deaf.events[2].revision, 31);
    assert_int_equal(deaf.events[11].revision, 40);
    assert_null(asked_history(&node, &request));
    watching_close(&deaf);
    fake_node_close(&node);
}

static void fragments_only_for_who_asks(void **state) {
    (void)state;
    static char value[900001];
    struct watching client;
    struct stream_record record = {0};
    memset(value, 'v', sizeof value - 1);
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .range_end = "b", .watch_id = 1, .fragment = true});
    watching_create(&client, &(struct create){.key = "a", .range_end = "b", .watch_id = 2});
    answer_asks(&node, 10, -1);
    for (char key[3] = "a0"; key[1] < '5'; key[1]++)
        put_event(&record, 11, key, value, false);
    publish(&node, &record, 11, 11);
    size_t fragments = 0;
    for (size_t i = 2; i < client.count; i++) {
        const struct seen_response *seen = &client.responses[i];
        if (seen->watch_id == 2) {
            assert_int_equal(seen->events, 5);
            assert_false(seen->fragment);
            continue;
        }
        fragments++;
        assert_true(seen->length < 1572864 + (512 << 10) + 100);
        assert_int_equal(seen->fragment, fragments < 3);
        assert_int_equal(seen->events, fragments < 3 ? 2 : 1);
    }
    assert_int_equal(fragments, 3);
    watching_close(&client);
    fake_node_close(&node);
}

/* More than is held for one response: fragments for everybody, and apply waits for who is slow. */
static void an_immense_revision_comes_in_fragments(void **state) {
    (void)state;
    static char value[1000001];
    struct watching client;
    struct stream_record record = {0};
    memset(value, 'v', sizeof value - 1);
    open_at_ten(&client, &(struct create){.key = "a", .range_end = "b", .start_revision = 5});
    client.deaf = true;
    size_t parts = 0;
    for (; client.event_count == 0; parts++) {
        assert_true(parts < 20);
        put_event(&record, 5, "a1", value, false);
        answer_history(&node, &record, HISTORY_PARTIAL, 5, true);
    }
    assert_int_equal(parts, 17);
    assert_int_equal(client.event_count, 17);
    size_t told = node.apply.record_count;
    put_event(&record, 5, "a1", value, false);
    answer_history(&node, &record, HISTORY_PARTIAL, 5, true);
    assert_int_equal(node.apply.record_count, told); /* not taken, as far as apply knows */
    watching_read(&client);
    fake_node_settle(&node);
    assert_int_equal(node.apply.record_count, told + 1);
    client.deaf = false;
    client.backlog = 0;
    put_event(&record, 6, "a1", "x", false);
    answer_history(&node, &record, HISTORY_COMPLETE, 10, false);
    assert_int_equal(client.event_count, 19);
    bool open = false;
    for (size_t i = 1; i < client.count; i++) {
        if (!client.responses[i].fragment)
            assert_true(i + 1 == client.count || !client.responses[i + 1].fragment || !open);
        open = client.responses[i].fragment;
    }
    assert_false(open);
    watching_close(&client);
    fake_node_close(&node);
}

static void a_member_that_stalls_an_immense_revision_ends(void **state) {
    (void)state;
    static char value[1000001];
    struct watching client;
    struct stream_record record = {0};
    memset(value, 'v', sizeof value - 1);
    open_at_ten(&client, &(struct create){.key = "a", .start_revision = 5});
    client.deaf = true;
    for (unsigned i = 0; i < 18; i++) {
        put_event(&record, 5, "a", value, false);
        answer_history(&node, &record, HISTORY_PARTIAL, 5, true);
    }
    for (unsigned seconds = 0; seconds < 29; seconds++)
        fake_node_wait(&node, 1000000);
    assert_int_equal(client.ended, 0);
    for (unsigned seconds = 0; seconds < 3; seconds++)
        fake_node_wait(&node, 1000000);
    assert_int_equal(client.ended, STATUS_STOPPED);
    assert_int_equal(count_kind(BUS_PROXY_CANCEL), 1);
    watching_close(&client);
    fake_node_close(&node);
}

static void short_lags_do_not_wait_for_long_ones(void **state) {
    (void)state;
    struct watching client;
    struct history_request request;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    for (int64_t start = 1; start < 1 << 20; start *= 4)
        watching_create(&client, &(struct create){.key = "a", .start_revision = (2 << 20) - start * 2});
    answer_asks(&node, 2 << 20, -1);
    size_t far = 0;
    size_t near = 0;
    for (size_t i = 0; i < node.apply.record_count; i++) {
        const struct fake_record *at = &node.apply.records[i];
        if (at->kind != BUS_PROXY_READ)
            continue;
        assert_true(history_request_get(buffer_bytes(&at->body), &request));
        far += request.to - request.from > 10000;
        near += request.to - request.from <= 10000;
    }
    assert_int_equal(far, 2);
    assert_int_equal(near, 2);
    watching_close(&client);
    fake_node_settle(&node);
    assert_int_equal(count_kind(BUS_PROXY_CANCEL), 4); /* nobody is left who wants them */
    fake_node_close(&node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(past_start_reads_history_and_joins),
        cmocka_unit_test(one_scan_serves_many_and_each_gets_its_own),
        cmocka_unit_test(a_gap_sends_synced_watchers_to_history),
        cmocka_unit_test(a_hole_at_the_end_is_seen),
        cmocka_unit_test(an_answer_beyond_the_stream_is_a_gap),
        cmocka_unit_test(apply_restarts_without_a_gap_and_nobody_reads_history),
        cmocka_unit_test(a_scan_that_breaks_off_is_begun_again),
        cmocka_unit_test(a_revision_in_parts_is_one_response),
        cmocka_unit_test(compaction_ends_who_needs_what_is_gone),
        cmocka_unit_test(a_deaf_client_stops_and_goes_on_from_the_ring),
        cmocka_unit_test(clients_that_read_nothing_make_room),
        cmocka_unit_test(a_long_deaf_client_goes_on_from_history),
        cmocka_unit_test(fragments_only_for_who_asks),
        cmocka_unit_test(an_immense_revision_comes_in_fragments),
        cmocka_unit_test(a_member_that_stalls_an_immense_revision_ends),
        cmocka_unit_test(short_lags_do_not_wait_for_long_ones),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
