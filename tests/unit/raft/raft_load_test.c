/*
 * Loading a role from the records of a write-ahead log, in the orders that a release, a new leader and a
 * snapshot leave behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "raft/raft_role.h"

static struct raft_role *role;
static struct wal_visitor visitor;
static struct membership cluster;

static int set_up(void **state) {
    (void)state;
    uint64_t id = 0;
    char error[256];
    assert_true(membership_bootstrap("a=http://127.0.0.1:43380", "tok-1", "a", &cluster, &id, error));
    role = raft_role_new(&(struct raft_role_options){.member = id,
                                                     .cluster = cluster.cluster,
                                                     .proxies = 1,
                                                     .heartbeat_ms = 100,
                                                     .election_ms = 1000,
                                                     .seed = 1,
                                                     .bootstrap = &cluster});
    visitor = raft_role_visitor(role);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    raft_role_free(role);
    return 0;
}

static void load_members(uint64_t index) {
    raft_role_load_members(role, &(struct raft_members){.index = index, .membership = cluster});
}

static void load_entries(uint64_t first, uint64_t last, uint64_t term) {
    for (uint64_t index = first; index <= last; index++)
        visitor.entry(visitor.context, &(struct wal_entry){.index = index, .term = term});
}

static void load_state(uint64_t term, uint64_t commit) {
    visitor.state(visitor.context, &(struct wal_hard_state){.term = term, .commit = commit});
}

static void load_snapshot(uint64_t index, uint64_t term) {
    visitor.snapshot(visitor.context, &(struct wal_snapshot){.index = index, .term = term});
}

/* Started, and leading: behind the loaded entries comes the empty one of the new term. */
static void starts(uint64_t base, uint64_t last) {
    char error[512] = "";
    struct raft_persist persist;
    if (!raft_role_start(role, 1, error))
        fail_msg("%s", error);
    while (raft_role_take_persist(role, &persist))
        raft_role_persisted(role);
    struct raft_role_status status = raft_role_status(role);
    assert_int_equal(status.base, base);
    assert_int_equal(status.last, last + 1);
    assert_int_equal(status.commit, last + 1);
}

static void dead_entries_at_the_beginning_make_way(void **state) {
    (void)state;
    load_members(93);
    load_state(2, 89);
    load_entries(100, 105, 2); /* a new leader's entries from 90 on replaced them */
    load_entries(90, 110, 3);
    load_state(3, 100);
    load_snapshot(93, 3);
    starts(93, 110);
}

static void a_snapshot_beyond_the_end_replaces_the_log(void **state) {
    (void)state;
    load_members(50);
    load_snapshot(0, 0);
    load_entries(1, 10, 1);
    load_state(1, 10);
    load_snapshot(50, 4);
    load_entries(51, 60, 4);
    load_state(4, 60);
    starts(50, 60);
}

static void a_snapshot_beyond_the_end_may_come_last(void **state) {
    (void)state;
    load_members(50);
    load_entries(1, 10, 1);
    load_state(1, 10);
    load_snapshot(50, 4);
    starts(50, 50);
}

static void an_old_snapshot_may_stand_before_released_entries(void **state) {
    (void)state;
    load_members(555);
    load_state(2, 530);
    load_snapshot(524, 2); /* 525 to 547 stood in the segment before it, which was released for 555 */
    load_entries(548, 560, 2);
    load_state(2, 558);
    load_snapshot(555, 2);
    starts(555, 560);
}

static void is_refused(void) {
    char error[512] = "";
    assert_false(raft_role_start(role, 1, error));
    assert_non_null(strstr(error, "entries are missing"));
}

static void a_gap_is_refused(void **state) {
    (void)state;
    load_entries(1, 10, 1);
    load_entries(12, 13, 1);
    load_state(1, 10);
    is_refused();
}

static void what_a_snapshot_stands_for_is_not_overwritten(void **state) {
    (void)state;
    load_members(50);
    load_entries(1, 10, 1);
    load_snapshot(50, 4);
    load_entries(40, 60, 4);
    load_state(4, 60);
    is_refused();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dead_entries_at_the_beginning_make_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_snapshot_beyond_the_end_replaces_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_snapshot_beyond_the_end_may_come_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_snapshot_may_stand_before_released_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_snapshot_stands_for_is_not_overwritten, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
