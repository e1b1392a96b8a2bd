/* raft_role: proposals to entries, reads behind them, apply's coming and going, pressure, release, refusals.
 */
#include "raft/raft_role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "common/request.h"
#include "common/status.h"
#include "common/wire.h"
#include "raft/role_node.h"
#include "sim/model_disk.h"

static struct model_disk *model;
static struct node *node;

static int set_up(void **state) {
    (void)state;
    model = model_disk_new(1);
    node = must_zalloc(sizeof *node);
    node_init(node, model_disk_interface(model));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (node->role != NULL)
        node_stop(node);
    free(node);
    model_disk_free(model);
    return 0;
}

static void start(void) {
    char error[512] = "";
    if (!node_start(node, error))
        fail_msg("%s", error);
    node_settle(node);
}

static void start_connected(void) {
    start();
    node_connect(&node->apply.link);
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        node_connect(&node->proxies[slot].link);
    node_settle(node);
}

static const struct seen *seen(size_t place) {
    assert_true(place < node->apply.seen_count);
    return &node->apply.seen[place];
}

/* The entries from `from` on, in order without a gap, are all that apply saw from place on. */
static void assert_entries(size_t place, uint64_t from, uint64_t to) {
    assert_int_equal(node->apply.seen_count - place, to - from + 1);
    for (uint64_t index = from; index <= to; index++) {
        assert_int_equal(seen(place + (index - from))->kind, BUS_RAFT_ENTRY);
        assert_int_equal(seen(place + (index - from))->index, index);
    }
}

static void founds_leads_and_tells(void **state) {
    (void)state;
    start();
    assert_int_equal(raft_role_status(node->role).role, RAFT_LEADER);
    assert_int_equal(raft_role_status(node->role).commit, 2);
    node_connect(&node->apply.link);
    node_connect(&node->proxies[1].link);
    node_settle(node);
    assert_int_equal(node->apply.state.role, RAFT_LEADER);
    assert_int_equal(node->apply.state.term, 2);
    assert_int_equal(node->apply.state.leader, node->options.member);
    assert_entries(0, 1, 2);
    assert_int_equal(seen(0)->type, 1);
    assert_int_equal(seen(0)->term, 1);
    assert_int_equal(seen(1)->type, 0);
    assert_int_equal(seen(1)->length, 0);
    const struct fake_proxy *proxy = &node->proxies[1];
    assert_int_equal(proxy->ups, 1);
    assert_int_equal(proxy->states, 1);
    assert_int_equal(proxy->state.cluster, node->bootstrap.cluster);
    assert_int_equal(proxy->raft.node, node->options.member);
    assert_int_equal(proxy->raft.cluster, node->bootstrap.cluster);
    assert_int_equal(proxy->raft.term, 2);
    assert_int_equal(proxy->raft.largest_id, 0);
    assert_string_equal(raft_role_membership(node->role)->members[0].client_urls[0], "http://127.0.0.1:2379");
}

static void a_proposal_reaches_apply_only_once_durable(void **state) {
    (void)state;
    start_connected();
    size_t before = node->apply.seen_count;
    node_propose(node, 0, 1, 100, 'x');
    node_settle_links(node);
    assert_int_equal(node->apply.seen_count, before);
    assert_true(node_take(node));
    assert_int_equal(node->persist.count, 1);
    assert_int_equal(node->persist.entries[0].index, 3);
    node_settle_links(node);
    assert_int_equal(node->apply.seen_count, before);
    /* What comes during the sync goes into the next one. */
    node_propose(node, 0, 2, 100, 'y');
    node_propose(node, 1, 3, 100, 'z');
    node_settle_links(node);
    assert_false(node_take(node));
    assert_true(node_do(node));
    node_settle_links(node);
    assert_entries(before, 3, 3);
    assert_true(node_take(node));
    assert_int_equal(node->persist.count, 2);
    assert_true(node->persist.has_state);
    assert_int_equal(node->persist.state.commit, 3);
    assert_true(node_do(node));
    node_settle(node);
    assert_entries(before, 3, 5);
    assert_int_equal(raft_role_status(node->role).proposals, 3);
}

static void reads_go_behind_the_entries_they_must_see(void **state) {
    (void)state;
    start_connected();
    size_t before = node->apply.seen_count;
    node_read(node, 0, 1, 1000);
    node_settle(node);
    assert_int_equal(seen(before)->kind, BUS_RAFT_READ);
    assert_int_equal(seen(before)->id, node_id(node, 0, 1));
    /* A write under way is not waited for; it is not committed. */
    node_propose(node, 0, 2, 10, 'x');
    node_settle_links(node);
    node_read(node, 0, 3, 1000);
    node_settle_links(node);
    assert_int_equal(seen(before + 1)->kind, BUS_RAFT_READ);
    node_settle(node);
    node_read(node, 1, 4, 1000);
    node_settle(node);
    assert_int_equal(seen(before + 2)->index, 3);
    assert_int_equal(seen(before + 3)->id, node_id(node, 1, 4));
    assert_int_equal(raft_role_status(node->role).reads_waiting, 0);
}

static void reads_wait_for_apply_and_for_the_stream(void **state) {
    (void)state;
    start();
    node_connect(&node->proxies[0].link);
    node_connect(&node->proxies[1].link);
    node_settle(node);
    for (uint64_t i = 0; i < 50; i++)
        node_propose(node, 0, i, 1000, 'x');
    node_settle(node);
    for (uint64_t i = 100; i < 105; i++)
        node_read(node, 0, i, 5000);
    node_read(node, 1, 200, 5000);
    node_settle(node);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 6);
    /* Cancelled, expired, its proxy gone. */
    assert_true(bus_put_cancel(node->proxies[0].link.peer, node_id(node, 0, 101)));
    assert_true(bus_put_cancel(node->proxies[0].link.peer, node_id(node, 0, 999)));
    node_read(node, 0, 106, 10);
    node_settle(node);
    node_tick(node, 100 * 1000);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 5);
    node_disconnect(&node->proxies[1].link);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 4);
    node_connect(&node->apply.link);
    node_settle(node);
    assert_int_equal(node->apply.seen_count, 52 + 4);
    static const uint64_t left[] = {100, 102, 103, 104};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(seen(52 + i)->id, node_id(node, 0, left[i]));
    assert_int_equal(seen(51)->index, 52);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 0);
}

static void queued_reads_are_dropped_when_apply_goes(void **state) {
    (void)state;
    start_connected();
    bus_link_hold(node->apply.link.peer, true);
    for (uint64_t i = 0; i < 10; i++)
        node_propose(node, 0, i, 3 << 20, 'x'); /* more than apply's link takes unconsumed */
    node_settle(node);
    node_read(node, 0, 100, 5000);
    node_settle(node);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 1);
    node_disconnect(&node->apply.link);
    assert_int_equal(raft_role_status(node->role).reads_waiting, 0);
}

static void bounded_reads_are_refused(void **state) {
    (void)state;
    start();
    node_connect(&node->proxies[0].link);
    node_settle(node);
    for (uint64_t i = 0; i < 200 * 1000 && node->proxies[0].refused == 0; i++) {
        node_read(node, 0, i, 60 * 1000);
        if (i % 100 == 0)
            node_settle(node);
    }
    assert_int_equal(node->proxies[0].refused_status, STATUS_TOO_MANY_REQUESTS);
    assert_true(raft_role_status(node->role).reads_waiting > 10000);
}

static void apply_gets_a_replay_from_where_it_stands(void **state) {
    (void)state;
    start_connected();
    for (uint64_t i = 0; i < 100; i++)
        node_propose(node, 0, i, 50, 'x');
    node_settle(node);
    node_progress(node, 102, 40);
    node_settle(node);
    assert_int_equal(raft_role_status(node->role).applied, 102);
    assert_int_equal(raft_role_status(node->role).apply_durable, 40);
    /* It is killed and stands at its last flush. */
    node_disconnect(&node->apply.link);
    node->apply.applied = node->apply.durable = 40;
    size_t before = node->apply.seen_count;
    node_propose(node, 0, 1000, 50, 'x');
    node_settle(node);
    assert_int_equal(raft_role_status(node->role).commit, 103); /* the log goes on */
    node_connect(&node->apply.link);
    node_settle(node);
    assert_entries(before, 41, 103);
    assert_int_equal(node->fetches, 0);
    assert_null(raft_role_failure(node->role));
}

static void old_entries_come_from_the_log_on_disk(void **state) {
    (void)state;
    node->options.cache_bytes = 1 << 20;
    start();
    node_connect(&node->proxies[0].link);
    for (uint64_t i = 0; i < 500; i++) {
        node_settle(node);
        node_propose(node, 0, i, 20 * 1000, (uint8_t)i);
    }
    node_settle(node);
    node_connect(&node->apply.link);
    node_settle(node);
    assert_entries(0, 1, 502);
    assert_true(node->fetches > 4);
    for (uint64_t i = 0; i < 500; i++)
        assert_true(seen(i + 2)->length > 20 * 1000);
    /* Again from somewhere in the middle, in the midst of a fetch. */
    node_disconnect(&node->apply.link);
    node->apply.applied = 100;
    node_connect(&node->apply.link);
    node_settle_links(node);
    node_disconnect(&node->apply.link);
    node->apply.applied = 10;
    node_connect(&node->apply.link);
    size_t before = node->apply.seen_count;
    node_settle(node);
    assert_entries(before, 11, 502);
    /* A restart keeps the newest in memory and finds the rest. */
    node_stop(node);
    node->apply.applied = 0;
    before = node->apply.seen_count;
    start_connected();
    assert_entries(before, 1, 503);
}

static void an_apply_beyond_the_log_is_refused(void **state) {
    (void)state;
    start();
    node->apply.applied = 17;
    node_connect(&node->apply.link);
    node_settle(node);
    const char *failure = raft_role_failure(node->role);
    assert_non_null(failure);
    assert_non_null(strstr(failure, "index 17"));
    assert_non_null(strstr(failure, "ends at 2"));
    assert_non_null(strstr(failure, "remove this member"));
    assert_int_equal(node->apply.seen_count, 0);
}

static void impossible_progress_resets_the_link_and_nothing_else(void **state) {
    (void)state;
    start_connected();
    node_progress(node, 100, 0); /* an index it was never sent */
    node->apply.applied = 2;
    node_settle(node);
    assert_int_equal(node->apply.ups, 2);
    assert_null(raft_role_failure(node->role));
    node_propose(node, 0, 1, 10, 'x');
    node_settle(node);
    assert_int_equal(seen(node->apply.seen_count - 1)->index, 3);

    struct bus_request empty = {.id = 9, .method = METHOD_PUT};
    assert_true(bus_put_request(node->proxies[1].link.peer, BUS_PROXY_PROPOSE, &empty));
    node_settle(node);
    assert_int_equal(node->proxies[1].refused_status, STATUS_UNDECODABLE);
    assert_int_equal(node->proxies[1].refused_id, 9);
    assert_int_equal(node->proxies[1].ups, 1);
}

static void pressure_holds_the_proxies(void **state) {
    (void)state;
    start_connected();
    bus_link_hold(node->apply.link.peer, true);
    uint64_t counter = 0;
    /* apply takes nothing: its link fills, then the proxy's runs out of room. */
    for (unsigned i = 0; i < 100 && bus_link_room(node->proxies[0].link.peer) > 0; i++) {
        node_propose(node, 0, ++counter, 1 << 20, 'x');
        node_settle(node);
    }
    assert_int_equal(bus_link_room(node->proxies[0].link.peer), 0);
    assert_true(counter < 60);
    bus_link_hold(node->apply.link.peer, false);
    node_settle(node);
    assert_true(bus_link_room(node->proxies[0].link.peer) > 0);
    assert_entries(0, 1, counter + 2);
    /* The disk does not get on: the same. */
    for (unsigned i = 0; i < 100 && bus_link_room(node->proxies[1].link.peer) > 0; i++) {
        node_propose(node, 1, ++counter, 1 << 20, 'x');
        node_settle_links(node);
    }
    assert_int_equal(bus_link_room(node->proxies[1].link.peer), 0);
    node_settle(node);
    assert_entries(0, 1, counter + 2);
}

static void proposals_are_refused_when_apply_lags(void **state) {
    (void)state;
    start_connected();
    uint64_t counter = 0;
    for (unsigned i = 0; i < 5100; i++) {
        node_propose(node, 0, ++counter, 8, 'x');
        if (i % 500 == 0)
            node_settle(node);
    }
    node_settle(node);
    node_tick(node, 60 * 1000);
    node_propose(node, 0, ++counter, 8, 'x');
    node_settle(node);
    assert_int_equal(node->proxies[0].refused, 0); /* far behind, but not for long */
    for (unsigned i = 0; i < 25; i++)
        node_tick(node, 50 * 1000);
    node_propose(node, 0, ++counter, 8, 'x');
    node_settle(node);
    assert_int_equal(node->proxies[0].refused, 1);
    assert_int_equal(node->proxies[0].refused_status, STATUS_TOO_MANY_REQUESTS);
    node_progress(node, 5000, 0);
    node_settle(node);
    node_propose(node, 0, ++counter, 8, 'x');
    node_settle(node);
    assert_int_equal(node->proxies[0].refused, 1);
}

static void ids_seen_in_the_log_are_named_after_a_restart(void **state) {
    (void)state;
    start_connected();
    node_propose(node, 0, 500, 10, 'x');
    node_propose(node, 0, 400, 10, 'x');
    node_propose(node, 1, 77, 10, 'x');
    node_settle(node);
    node_stop(node);
    node->apply.applied = 0;
    start_connected();
    assert_int_equal(node->proxies[0].raft.largest_id, node_id(node, 0, 500));
    assert_int_equal(node->proxies[1].raft.largest_id, node_id(node, 1, 77));
    assert_int_equal(node->proxies[0].raft.term, 3);
}

static void cluster_requests_are_answered(void **state) {
    (void)state;
    start_connected();
    struct fake_proxy *proxy = &node->proxies[0];
    struct bus_request request = {.id = 11, .method = METHOD_MEMBER_LIST};
    assert_true(bus_put_request(proxy->link.peer, BUS_PROXY_CLUSTER, &request));
    node_settle(node);
    assert_int_equal(proxy->results, 1);
    assert_int_equal(proxy->result.id, 11);
    assert_int_equal(proxy->result.status, STATUS_OK);
    struct wire_reader reader = wire_reader_of(proxy->result.body);
    struct wire_field field;
    struct member member;
    assert_true(wire_next(&reader, &field));
    assert_true(member_decode(field.bytes, &member));
    assert_int_equal(member.id, node->options.member);
    assert_string_equal(member.name, "a");
    assert_string_equal(member.client_urls[0], "http://127.0.0.1:2379");

    request = (struct bus_request){.id = 12, .method = METHOD_STATUS};
    assert_true(bus_put_request(proxy->link.peer, BUS_PROXY_CLUSTER, &request));
    node_settle(node);
    uint64_t fields[16] = {0};
    reader = wire_reader_of(proxy->result.body);
    while (wire_next(&reader, &field) && field.number < 16)
        fields[field.number] = field.value;
    assert_int_equal(fields[1], RAFT_LEADER);
    assert_int_equal(fields[2], 2);
    assert_int_equal(fields[3], node->options.member);
    assert_int_equal(fields[4], 2);

    request = (struct bus_request){.id = 13, .method = METHOD_PUT};
    assert_true(bus_put_request(proxy->link.peer, BUS_PROXY_CLUSTER, &request));
    node_settle(node);
    assert_int_equal(proxy->result.status, STATUS_UNIMPLEMENTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(founds_leads_and_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_proposal_reaches_apply_only_once_durable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_go_behind_the_entries_they_must_see, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_wait_for_apply_and_for_the_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queued_reads_are_dropped_when_apply_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounded_reads_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(apply_gets_a_replay_from_where_it_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_entries_come_from_the_log_on_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_apply_beyond_the_log_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(impossible_progress_resets_the_link_and_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pressure_holds_the_proxies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proposals_are_refused_when_apply_lags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_seen_in_the_log_are_named_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cluster_requests_are_answered, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
