/* Proposals of apply itself (BUS_APPLY_PROPOSE): valid in one term, dropped in silence, with room for longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "common/request.h"
#include "raft/role_node.h"
#include "sim/model_disk.h"

static struct model_disk *model;
static struct node *node;

static int set_up(void **state) {
    (void)state;
    char error[512] = "";
    model = model_disk_new(1);
    node = must_zalloc(sizeof *node);
    node_init(node, model_disk_interface(model));
    if (!node_start(node, error))
        fail_msg("%s", error);
    node_settle(node);
    node_connect(&node->apply.link);
    node_connect(&node->proxies[0].link);
    node_settle(node);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    node_stop(node);
    free(node);
    model_disk_free(model);
    return 0;
}

static void propose(uint64_t term) {
    struct internal_request request = {.number = INTERNAL_LEASE_REVOKE, .body = bytes_of("\x08\x05", 2)};
    struct buffer body = {0};
    internal_request_encode(&body, &request);
    struct bus_proposal proposal = {.term = term, .body = buffer_bytes(&body)};
    assert_true(bus_put_proposal(node->apply.link.peer, BUS_APPLY_PROPOSE, &proposal));
    buffer_free(&body);
    node_settle(node);
}

static void becomes_an_entry_in_its_term(void **state) {
    (void)state;
    size_t before = node->apply.seen_count;
    assert_int_equal(node->apply.state.term, 2);
    propose(2);
    assert_int_equal(node->apply.seen_count, before + 1);
    assert_int_equal(node->apply.seen[before].kind, BUS_RAFT_ENTRY);
    assert_int_equal(node->apply.seen[before].term, 2);
    assert_int_equal(raft_role_status(node->role).proposals, 1);
    assert_int_equal(raft_role_status(node->role).proposals_dropped, 0);
    assert_int_equal(node->proxies[0].raft.largest_id, 0);
}

static void of_another_term_is_dropped(void **state) {
    (void)state;
    size_t before = node->apply.seen_count;
    propose(1);
    propose(3);
    assert_int_equal(node->apply.seen_count, before);
    assert_int_equal(raft_role_status(node->role).proposals_dropped, 2);
    assert_int_equal(node->apply.ups, 1);
    propose(2);
    assert_int_equal(node->apply.seen_count, before + 1);
}

/* Proposed before raft was killed, sent again after: the new raft leads in the next term. */
static void of_the_term_before_a_restart_is_dropped(void **state) {
    (void)state;
    char error[512] = "";
    node_stop(node);
    assert_true(node_start(node, error));
    node_settle(node);
    node_connect(&node->apply.link);
    node_connect(&node->proxies[0].link);
    node_settle(node);
    size_t before = node->apply.seen_count;
    assert_int_equal(node->apply.state.term, 3);
    propose(2);
    assert_int_equal(node->apply.seen_count, before);
    propose(3);
    assert_int_equal(node->apply.seen_count, before + 1);
}

static void let_time_pass(void) {
    for (unsigned i = 0; i < 25; i++)
        node_tick(node, 50 * 1000);
}

static uint64_t dropped(void) {
    return raft_role_status(node->role).proposals_dropped;
}

/* Clients' proposals are refused 5,000 entries behind, apply's own 10,000. */
static void has_twice_the_room(void **state) {
    (void)state;
    for (uint64_t counter = 1; counter <= 5100; counter++) {
        node_propose(node, 0, counter, 8, 'x');
        if (counter % 500 == 0)
            node_settle(node);
    }
    node_settle(node);
    let_time_pass();
    node_propose(node, 0, 6000, 8, 'x');
    node_settle(node);
    assert_int_equal(node->proxies[0].refused, 1);
    for (unsigned i = 0; i < 4895; i++)
        propose(2);
    assert_int_equal(dropped(), 0);
    let_time_pass();
    for (unsigned i = 0; i < 10; i++)
        propose(2);
    assert_in_range(dropped(), 1, 9);
    uint64_t before = dropped();
    node_progress(node, 9000, 0);
    propose(2);
    assert_int_equal(dropped(), before);
    assert_int_equal(node->apply.ups, 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(becomes_an_entry_in_its_term),
        CASE(of_another_term_is_dropped),
        CASE(of_the_term_before_a_restart_is_dropped),
        CASE(has_twice_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
