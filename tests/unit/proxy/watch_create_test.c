/* Watches are created, matched and canceled: answers in order, ids, refusals, filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/watch_bench.h"

static struct fake_node node; /* too large for a stack */

static const struct fake_record *last_of_kind(uint16_t kind) {
    const struct fake_record *found = NULL;
    for (size_t i = 0; i < node.apply.record_count; i++) {
        if (node.apply.records[i].kind == kind)
            found = &node.apply.records[i];
    }
    assert_non_null(found);
    return found;
}

static void create_asks_apply_and_starts_behind_its_answer(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "foo"});
    fake_node_settle(&node);
    const struct fake_record *ranges = last_of_kind(BUS_PROXY_RANGES);
    const struct fake_record *ask = last_of_kind(BUS_PROXY_WATCH);
    assert_true(ranges < ask);
    struct bytes body = buffer_bytes(&ranges->body);
    struct bus_range range;
    assert_true(bus_range_next(&body, &range));
    assert_true(bytes_equal(range.key, bytes_from_text("foo")));
    assert_int_equal(range.range_end.length, 0);
    assert_false(range.previous);
    assert_int_equal(body.length, 0);
    assert_int_equal(ask->method, METHOD_WATCH);
    assert_int_equal(client.count, 0);

    answer_asks(&node, 7, -1);
    assert_int_equal(client.count, 1);
    const struct seen_response *created = watching_last(&client);
    assert_true(created->created);
    assert_false(created->canceled);
    assert_int_equal(created->watch_id, 0);
    assert_int_equal(created->revision, 7);
    assert_true(created->cluster == FAKE_CLUSTER && created->member == FAKE_MEMBER);
    assert_int_equal(created->term, 2);

    publish_put(&node, 8, "foo");
    publish_put(&node, 9, "fop");
    assert_int_equal(client.count, 2);
    assert_int_equal(watching_last(&client)->events, 1);
    assert_int_equal(watching_last(&client)->revision, 8);
    assert_int_equal(client.events[0].revision, 8);
    assert_string_equal(client.events[0].key, "foo");
    watching_close(&client);
    fake_node_close(&node);
}

static void a_rounds_events_are_one_response(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .range_end = "b"});
    watching_create(&client, &(struct create){.key = "a1"});
    answer_asks(&node, 1, -1);
    put_event(&record, 2, "a1", "x", false);
    put_event(&record, 2, "a2", "x", false);
    put_event(&record, 3, "b", "x", false);
    put_delete(&record, 4, "a1", false);
    publish(&node, &record, 2, 4);
    assert_int_equal(client.count, 4);
    assert_int_equal(client.event_count, 5);
    for (size_t i = 2; i < 4; i++) {
        const struct seen_response *seen = &client.responses[i];
        assert_int_equal(seen->events, seen->watch_id == 0 ? 3 : 2);
        assert_int_equal(seen->revision, 4);
        assert_true(client.events[seen->first_event + seen->events - 1].deleted);
    }
    watching_close(&client);
    fake_node_close(&node);
}

static void ranges_begin_and_end_where_etcd_has_them(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.watch_id = 1});                               /* "\0" */
    watching_create(&client, &(struct create){.range_end = "*", .watch_id = 2});             /* all */
    watching_create(&client, &(struct create){.key = "m", .range_end = "*", .watch_id = 3}); /* >= m */
    watching_create(&client, &(struct create){.key = "a", .range_end = "m", .watch_id = 4});
    watching_create(&client, &(struct create){.key = "m", .watch_id = 5});
    answer_asks(&node, 1, -1);
    put_event(&record, 2, "m", "x", false);
    publish(&node, &record, 2, 2);
    size_t got[6] = {0};
    for (size_t i = 5; i < client.count; i++)
        got[client.responses[i].watch_id]++;
    assert_int_equal(got[1] + got[4], 0);
    assert_true(got[2] == 1 && got[3] == 1 && got[5] == 1);
    watching_close(&client);
    fake_node_close(&node);
}

/* Everything that can be wrong with a create is answered in its turn, with etcd's words. */
static void refusals_come_in_order(void **state) {
    (void)state;
    static const char *const reasons[] = {"", "mvcc: watcher range is empty",
                                          "mvcc: duplicate watch ID provided on the WatchStream",
                                          "etcdserver: mvcc: required revision has been compacted", ""};
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .watch_id = 5});
    watching_create(&client, &(struct create){.key = "b", .range_end = "b"});
    watching_create(&client, &(struct create){.key = "c", .watch_id = 5});
    watching_create(&client, &(struct create){.key = "d", .start_revision = -1});
    watching_create(&client, &(struct create){.key = "e"});
    answer_asks(&node, 3, -1);
    assert_int_equal(client.count, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct seen_response *seen = &client.responses[i];
        bool good = reasons[i][0] == '\0';
        assert_true(seen->created);
        assert_int_equal(seen->canceled, !good);
        assert_int_equal(seen->revision, 3);
        assert_int_equal(seen->watch_id, i == 0 ? 5 : good ? 0 : -1);
        assert_string_equal(seen->reason, reasons[i]);
    }
    watching_close(&client);
    fake_node_close(&node);
}

static void ids_are_the_next_unused(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .watch_id = 1});
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "a"});
    answer_asks(&node, 3, -1);
    watching_cancel(&client, 0);
    watching_create(&client, &(struct create){.key = "a"});
    answer_asks(&node, 3, -1);
    assert_int_equal(client.responses[1].watch_id, 0);
    assert_int_equal(client.responses[2].watch_id, 2);
    assert_int_equal(client.responses[4].watch_id, 3);
    watching_close(&client);
    fake_node_close(&node);
}

static void permission_is_refused_as_go_words_it(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a"});
    fake_node_settle(&node);
    bus_put_watch_answer(node.apply.far, &(struct bus_watch_answer){.id = fake_last(&node.apply)->id,
                                                                    .status = STATUS_PERMISSION_DENIED,
                                                                    .revision = 4,
                                                                    .compacted = -1});
    fake_node_settle(&node);
    const struct seen_response *seen = watching_last(&client);
    assert_true(seen->created && seen->canceled);
    assert_int_equal(seen->watch_id, -1);
    assert_string_equal(seen->reason,
                        "rpc error: code = PermissionDenied desc = etcdserver: permission denied");
    watching_close(&client);
    fake_node_close(&node);
}

static void cancel_answers_and_silences(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a"});
    watching_cancel(&client, 0); /* behind the create */
    watching_cancel(&client, 77);
    watching_create(&client, &(struct create){.key = "a"});
    answer_asks(&node, 3, -1);
    assert_int_equal(client.count, 3);
    assert_true(client.responses[0].created);
    assert_true(client.responses[1].canceled && client.responses[1].watch_id == 0);
    assert_true(client.responses[1].reason[0] == '\0' && client.responses[1].revision == 3);
    assert_true(client.responses[2].created && client.responses[2].watch_id == 1);
    publish_put(&node, 4, "a");
    assert_int_equal(client.count, 4);
    watching_cancel(&client, 1);
    assert_true(watching_last(&client)->canceled && watching_last(&client)->revision == 4);
    publish_put(&node, 5, "a");
    assert_int_equal(client.count, 5);
    watching_cancel(&client, 1);
    assert_int_equal(client.count, 5);
    watching_close(&client);
    fake_node_close(&node);
}

static void filters_and_previous_are_each_watchers_own(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .watch_id = 1, .no_put = true});
    watching_create(&client, &(struct create){.key = "a", .watch_id = 2, .no_delete = true});
    watching_create(&client, &(struct create){.key = "a", .watch_id = 3, .previous = true});
    watching_create(&client, &(struct create){.key = "a", .watch_id = 4});
    watching_create(&client, &(struct create){.key = "a", .watch_id = 5, .no_put = true, .no_delete = true});
    answer_asks(&node, 1, -1);
    put_event(&record, 2, "a", "x", true);
    put_delete(&record, 3, "a", false);
    publish(&node, &record, 2, 3);
    assert_int_equal(client.count, 9);
    for (size_t i = 5; i < 9; i++) {
        const struct seen_response *seen = &client.responses[i];
        const struct seen_event *first = &client.events[seen->first_event];
        assert_int_equal(seen->events, seen->watch_id >= 3 ? 2 : 1);
        assert_int_equal(first->deleted, seen->watch_id == 1);
        assert_int_equal(first->previous, seen->watch_id == 3);
    }
    watching_close(&client);
    fake_node_close(&node);
}

static void a_future_start_gives_nothing_before_it(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .start_revision = 4});
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "a", .start_revision = INT64_C(1) << 62});
    answer_asks(&node, 1, -1);
    for (int64_t revision = 2; revision <= 5; revision++)
        put_event(&record, revision, "a", "x", false);
    publish(&node, &record, 2, 5);
    assert_int_equal(client.count, 5);
    for (size_t i = 3; i < 5; i++)
        assert_int_equal(client.responses[i].events, client.responses[i].watch_id == 0 ? 2 : 4);
    watching_close(&client);
    fake_node_close(&node);
}

static void compacted_start_is_created_then_canceled(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .start_revision = 4});
    answer_asks(&node, 9, 5);
    assert_int_equal(client.count, 2);
    assert_true(client.responses[0].created && !client.responses[0].canceled);
    assert_int_equal(client.responses[0].revision, 9);
    const struct seen_response *seen = watching_last(&client);
    assert_true(seen->canceled && !seen->created);
    assert_int_equal(seen->watch_id, 0);
    assert_int_equal(seen->compact_revision, 5);
    assert_int_equal(seen->revision, 0);
    assert_true(seen->member == FAKE_MEMBER);
    assert_string_equal(seen->reason, "");
    watching_close(&client);
    fake_node_close(&node);
}

/* Until the client cancels it, which is answered once. */
static void the_id_of_a_compacted_watch_stays_taken(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client,
                    &(struct create){.key = "a", .start_revision = 4, .watch_id = 7, .notify = true});
    watching_create(&client, &(struct create){.key = "a", .watch_id = 7});
    watching_create(&client, &(struct create){.key = "a"});
    answer_asks(&node, 9, 5);
    assert_int_equal(client.count, 4);
    assert_int_equal(client.responses[1].compact_revision, 5);
    assert_true(client.responses[2].created && client.responses[2].canceled);
    assert_int_equal(client.responses[2].watch_id, -1);
    publish_put(&node, 10, "a");
    assert_int_equal(client.count, 5); /* the third watch's */
    watching_cancel(&client, 7);
    watching_cancel(&client, 7);
    fake_node_settle(&node);
    assert_int_equal(client.count, 6);
    assert_true(watching_last(&client)->canceled && watching_last(&client)->compact_revision == 0);
    assert_int_equal(watching_last(&client)->revision, 10);
    watching_create(&client, &(struct create){.key = "a", .watch_id = 7});
    answer_asks(&node, 10, 5);
    assert_true(watching_last(&client)->created && !watching_last(&client)->canceled);
    watching_close(&client);
    fake_node_close(&node);
}

/* Not before there are watches, and not while one of them starts in the future. */
static void progress_is_of_watches_that_have_begun(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_ask_progress(&client);
    answer_asks(&node, 1, -1);
    assert_int_equal(client.count, 0);
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "b", .start_revision = 4});
    answer_asks(&node, 1, -1);
    publish_put(&node, 2, "c");
    assert_int_equal(client.count, 2);
    publish_put(&node, 3, "c");
    assert_int_equal(client.count, 3);
    assert_int_equal(watching_last(&client)->watch_id, -1);
    assert_int_equal(watching_last(&client)->revision, 3);
    watching_create(&client, &(struct create){.key = "b", .start_revision = 100});
    watching_ask_progress(&client);
    answer_asks(&node, 3, -1);
    publish_put(&node, 4, "c");
    assert_int_equal(client.count, 4);
    watching_cancel(&client, 2); /* and what was waited for is no more */
    fake_node_settle(&node);
    publish_put(&node, 5, "c");
    assert_int_equal(client.count, 6);
    assert_true(client.responses[4].canceled);
    assert_int_equal(watching_last(&client)->watch_id, -1);
    watching_close(&client);
    fake_node_close(&node);
}

/* Created, events and progress keep the order in which apply has put them. */
static void progress_comes_behind_events_and_creates(void **state) {
    (void)state;
    struct watching client;
    struct stream_record record = {0};
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a"});
    answer_asks(&node, 1, -1);
    watching_create(&client, &(struct create){.key = "b"});
    watching_ask_progress(&client);
    fake_node_settle(&node);
    put_event(&record, 2, "a", "x", false);
    bus_put_events(
        node.apply.far,
        &(struct bus_events){.from = 2, .to = 2, .compacted = -1, .body = buffer_bytes(&record.body)});
    buffer_free(&record.body);
    buffer_free(&record.message);
    answer_asks(&node, 2, -1);
    assert_int_equal(client.count, 4);
    assert_int_equal(client.responses[1].events, 1);
    assert_true(client.responses[2].created);
    assert_int_equal(client.responses[3].watch_id, -1);
    assert_int_equal(client.responses[3].revision, 2);
    assert_int_equal(client.responses[3].events, 0);
    watching_close(&client);
    fake_node_close(&node);
}

/* A record of the stream that comes while the round goes on. */
static void inject_put(int64_t revision, const char *key) {
    struct stream_record record = {0};
    struct bus_handler handler = proxy_role_handler(node.role, BUS_ROLE_APPLY);
    put_event(&record, revision, key, "x", false);
    handler.record(handler.context, node.apply.near,
                   &(struct bus_record){.kind = BUS_APPLY_EVENTS,
                                        .id = UINT64_MAX,
                                        .position = (uint64_t)revision,
                                        .epoch = (uint64_t)revision,
                                        .body = buffer_bytes(&record.body)});
    buffer_free(&record.body);
    buffer_free(&record.message);
}

static void a_watcher_may_go_while_its_events_wait(void **state) {
    (void)state;
    struct watching client;
    struct watching other;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_open(&node, &other, false);
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "b"});
    watching_create(&other, &(struct create){.key = "b"});
    answer_asks(&node, 1, -1);
    inject_put(2, "a");
    inject_put(3, "b");
    watching_cancel(&client, 0);
    watching_close(&client);
    fake_node_settle(&node);
    assert_int_equal(other.event_count, 1);
    watching_close(&other);
    fake_node_close(&node);
}

static void notifications_come_when_quiet_and_behind_events(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    fake_node_wait(&node, 1); /* the role learns the time */
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a", .notify = true});
    watching_create(&client, &(struct create){.key = "b", .notify = true});
    watching_create(&client, &(struct create){.key = "c"});
    answer_asks(&node, 1, -1);
    uint64_t due = proxy_role_next_us(node.role);
    assert_true(due >= node.now_us + 10000000 && due <= node.now_us + 11000000);
    publish_put(&node, 2, "a");
    assert_int_equal(client.count, 4);
    fake_node_wait(&node, due - node.now_us - 1);
    assert_int_equal(client.count, 4);
    fake_node_wait(&node, 1);
    assert_int_equal(client.count, 5); /* a was not quiet, c does not want it */
    assert_int_equal(watching_last(&client)->watch_id, 1);
    assert_int_equal(watching_last(&client)->revision, 2);
    assert_int_equal(watching_last(&client)->events, 0);
    inject_put(3, "b");
    node.now_us += 11000000;
    proxy_role_tick(node.role, node.now_us);
    assert_int_equal(client.count, 7);
    assert_int_equal(client.responses[5].events, 1);
    assert_int_equal(client.responses[6].watch_id, 0);
    assert_int_equal(client.responses[6].revision, 3);
    watching_close(&client);
    assert_true(proxy_role_next_us(node.role) > node.now_us);
    fake_node_close(&node);
}

static void streams_that_need_a_leader_end_without_one(void **state) {
    (void)state;
    struct watching needs;
    struct watching other;
    watch_bench_open(&node);
    bus_put_raft_state(node.raft.far, &(struct bus_raft_state){.leader = 5, .term = 2});
    fake_node_settle(&node);
    watching_open(&node, &needs, true);
    watching_open(&node, &other, false);
    watching_create(&needs, &(struct create){.key = "a"});
    answer_asks(&node, 1, -1);
    fake_node_wait(&node, 10000000);
    bus_put_raft_state(node.raft.far, &(struct bus_raft_state){.leader = 0, .term = 3});
    fake_node_settle(&node);
    fake_node_wait(&node, 1);
    fake_node_wait(&node, 2900000);
    bus_put_raft_state(node.raft.far, &(struct bus_raft_state){.leader = 4, .term = 3});
    fake_node_settle(&node);
    fake_node_wait(&node, 1000000);
    assert_int_equal(needs.ended, 0);
    fake_link_down(&node.raft);
    fake_node_wait(&node, 1);
    fake_node_wait(&node, 2999998);
    assert_int_equal(needs.ended, 0);
    assert_true(proxy_role_next_us(node.role) <= node.now_us + 2);
    fake_node_wait(&node, 2);
    assert_int_equal(needs.ended, STATUS_NO_LEADER);
    assert_int_equal(other.ended, 0);
    size_t before = needs.count;
    watching_create(&needs, &(struct create){.key = "b"}); /* nobody is there */
    publish_put(&node, 2, "a");
    answer_asks(&node, 2, -1);
    assert_int_equal(needs.count, before);
    watching_close(&needs);
    watching_close(&other);
    fake_node_close(&node);
}

static void ranges_are_told_again_when_most_watchers_are_gone(void **state) {
    (void)state;
    struct watching client;
    struct watching stays;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_open(&node, &stays, false);
    watching_create(&stays, &(struct create){.key = "k50"});
    for (unsigned i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%02u", i);
        watching_create(&client, &(struct create){.key = key});
    }
    answer_asks(&node, 1, -1);
    const struct fake_record *wide = last_of_kind(BUS_PROXY_RANGES);
    struct bytes body = buffer_bytes(&wide->body);
    struct bus_range range;
    size_t count = 0;
    while (bus_range_next(&body, &range))
        count++;
    assert_true(count >= 48 && count <= 64);
    watching_close(&client);
    fake_node_wait(&node, 100000);
    body = buffer_bytes(&last_of_kind(BUS_PROXY_RANGES)->body);
    assert_true(bus_range_next(&body, &range) && body.length == 0);
    assert_true(bytes_equal(range.key, bytes_from_text("k50")) && range.range_end.length == 0);
    watching_close(&stays);
    fake_node_wait(&node, 100000);
    assert_int_equal(last_of_kind(BUS_PROXY_RANGES)->body.length, 0);
    fake_node_close(&node);
}

static void a_client_that_only_asks_is_ended(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    client.deaf = true;
    for (unsigned i = 0; i < 400000 && client.ended == 0; i++) {
        watching_create(&client, &(struct create){.key = "b", .range_end = "a"});
        if (i % 2000 == 0) {
            answer_asks(&node, 1, -1);
            for (size_t j = 0; j < node.apply.record_count; j++)
                buffer_free(&node.apply.records[j].body);
            node.apply.record_count = 0;
        }
    }
    assert_int_equal(client.ended, STATUS_TOO_MANY_REQUESTS);
    assert_true(client.backlog < 20 << 20);
    watching_close(&client);
    fake_node_close(&node);
}

static void unanswered_creates_are_asked_again(void **state) {
    (void)state;
    struct watching client;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&client, &(struct create){.key = "b"});
    fake_node_settle(&node);
    fake_link_down(&node.apply);
    for (size_t i = 0; i < node.apply.record_count; i++)
        node.apply.records[i].kind = BUS_NONE;
    fake_link_up(&node.apply, true);
    assert_int_equal(client.count, 0);
    assert_true(last_of_kind(BUS_PROXY_RANGES) < last_of_kind(BUS_PROXY_WATCH));
    answer_asks(&node, 3, -1);
    assert_int_equal(client.count, 2);
    watching_close(&client);
    fake_node_close(&node);
}

/* Whatever clients watch, what apply is told of it fits into a record of the bus. */
static void keys_of_any_length_are_watched(void **state) {
    (void)state;
    enum { LENGTH = 2000000, WATCHES = 4 };
    struct watching client;
    char *key = must_zalloc(LENGTH + 1);
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    for (int i = 0; i < WATCHES; i++) {
        memset(key, 'a' + i, LENGTH);
        watching_create(&client, &(struct create){.key = key, .start_revision = 1});
        fake_node_settle(&node);
    }
    answer_asks(&node, 7, -1);
    struct history_request history;
    assert_non_null(asked_history(&node, &history));
    struct bytes body = buffer_bytes(&last_of_kind(BUS_PROXY_RANGES)->body);
    assert_true(body.length < 100000 && history.ranges.length < 100000);
    for (int i = 0; i < WATCHES; i++) {
        struct bus_range range;
        memset(key, 'a' + i, LENGTH);
        assert_true(bus_range_next(&body, &range));
        assert_true(interval_contains(range.key, range.range_end, bytes_from_text(key)));
    }
    free(key);
    watching_close(&client);
    fake_node_close(&node);
}

/* Watches on long keys take memory for each: at some point there is an end of it. */
static void the_bytes_of_keys_are_bounded(void **state) {
    (void)state;
    enum { LENGTH = 2000000, MORE = 70 };
    struct watching client;
    char *key = must_zalloc(LENGTH + 1);
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    memset(key, 'k', LENGTH);
    for (unsigned i = 0; i < MORE; i++) {
        snprintf(key, LENGTH, "%u", i);
        key[strlen(key)] = 'k';
        watching_create(&client, &(struct create){.key = key});
        answer_asks(&node, 7, -1);
    }
    assert_int_equal(client.count, MORE);
    assert_false(client.responses[0].canceled);
    assert_true(watching_last(&client)->canceled);
    assert_string_equal(watching_last(&client)->reason, "etcdserver: too many requests");
    watching_cancel(&client, 0);
    watching_cancel(&client, 1);
    watching_create(&client, &(struct create){.key = key});
    answer_asks(&node, 7, -1);
    assert_false(watching_last(&client)->canceled);
    free(key);
    watching_close(&client);
    fake_node_close(&node);
}

static void a_stream_may_close_while_it_asks(void **state) {
    (void)state;
    struct watching client;
    struct watching other;
    watch_bench_open(&node);
    watching_open(&node, &client, false);
    watching_open(&node, &other, false);
    watching_create(&client, &(struct create){.key = "a"});
    watching_create(&other, &(struct create){.key = "a"});
    fake_node_settle(&node);
    watching_close(&client);
    answer_asks(&node, 3, -1);
    assert_int_equal(other.count, 1);
    publish_put(&node, 4, "a");
    assert_int_equal(other.count, 2);
    watching_create(&other, &(struct create){.key = "b"}); /* open at the end */
    fake_node_settle(&node);
    fake_node_close(&node);
    buffer_free(&other.building);
    free(other.responses);
    free(other.events);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_asks_apply_and_starts_behind_its_answer),
        cmocka_unit_test(a_rounds_events_are_one_response),
        cmocka_unit_test(ranges_begin_and_end_where_etcd_has_them),
        cmocka_unit_test(refusals_come_in_order),
        cmocka_unit_test(ids_are_the_next_unused),
        cmocka_unit_test(permission_is_refused_as_go_words_it),
        cmocka_unit_test(cancel_answers_and_silences),
        cmocka_unit_test(filters_and_previous_are_each_watchers_own),
        cmocka_unit_test(a_future_start_gives_nothing_before_it),
        cmocka_unit_test(compacted_start_is_created_then_canceled),
        cmocka_unit_test(the_id_of_a_compacted_watch_stays_taken),
        cmocka_unit_test(progress_is_of_watches_that_have_begun),
        cmocka_unit_test(progress_comes_behind_events_and_creates),
        cmocka_unit_test(a_watcher_may_go_while_its_events_wait),
        cmocka_unit_test(notifications_come_when_quiet_and_behind_events),
        cmocka_unit_test(streams_that_need_a_leader_end_without_one),
        cmocka_unit_test(ranges_are_told_again_when_most_watchers_are_gone),
        cmocka_unit_test(a_client_that_only_asks_is_ended),
        cmocka_unit_test(unanswered_creates_are_asked_again),
        cmocka_unit_test(keys_of_any_length_are_watched),
        cmocka_unit_test(the_bytes_of_keys_are_bounded),
        cmocka_unit_test(a_stream_may_close_while_it_asks),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
