/*
 * Releasing the log's beginning and starting from what is left, over the model disk: the order (members file,
 * snapshot record, log), power loss at every operation in between, and everything that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "raft/members_file.h"
#include "raft/role_node.h"
#include "sim/model_disk.h"

enum { SEGMENT = 256 << 10, RELEASE = 256 << 10 };

static struct model_disk *model;
static struct node *node;

static void open_node(uint64_t seed) {
    model = model_disk_new(seed);
    node = must_zalloc(sizeof *node);
    node_init(node, model_disk_interface(model));
    node->storage_options.segment_bytes = SEGMENT;
    node->options.release_bytes = RELEASE;
}

static void close_node(void) {
    if (node->role != NULL)
        node_stop(node);
    free(node);
    model_disk_free(model);
}

static int set_up(void **state) {
    (void)state;
    open_node(1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_node();
    return 0;
}

static void start_connected(void) {
    char error[512] = "";
    if (!node_start(node, error))
        fail_msg("%s", error);
    node_settle(node);
    node_connect(&node->apply.link);
    node_connect(&node->proxies[0].link);
    node_settle(node);
}

static void refused(const char *what) {
    char error[512] = "";
    assert_false(node_start(node, error));
    if (strstr(error, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, what);
}

static void write_entries(unsigned count) {
    static uint64_t counter;
    for (unsigned i = 0; i < count; i++) {
        node_propose(node, 0, ++counter, 10 * 1000, 'x');
        node_settle(node);
    }
}

static struct raft_members read_members(void) {
    struct raft_members members;
    char error[512];
    assert_int_equal(members_file_read(node->disk, "member", &members, error), MEMBERS_FILE_READ);
    return members;
}

static void the_log_is_released_behind_applys_durable_index(void **state) {
    (void)state;
    start_connected();
    write_entries(100);
    assert_int_equal(node->releases, 0);
    node_progress(node, 102, 0);
    node_settle(node);
    assert_int_equal(node->releases, 0); /* nothing of it is durable there */
    node_progress(node, 102, 10);
    node_settle(node);
    assert_int_equal(node->releases, 0); /* not worth it yet */
    node_progress(node, 102, 90);
    node_settle(node);
    assert_int_equal(node->releases, 1);
    assert_int_equal(raft_role_status(node->role).base, 90);
    struct raft_members members = read_members();
    assert_int_equal(members.index, 90);
    assert_int_equal(members.membership.count, 1);
    assert_int_equal(members.membership.members[0].id, node->options.member);
    assert_int_equal(members.membership.cluster, node->bootstrap.cluster);
    assert_true(members.largest_id[0] != 0);
    assert_false(model_disk_exists(model, "member/wal/0000000000000000-0000000000000000.wal"));

    /* On from there, and again from the files. */
    write_entries(10);
    node_stop(node);
    node->apply.applied = node->apply.durable = 90;
    size_t before = node->apply.seen_count;
    start_connected();
    assert_int_equal(raft_role_status(node->role).base, 90);
    assert_int_equal(raft_role_membership(node->role)->count, 1);
    assert_int_equal(node->apply.seen_count - before, 113 - 90);
    assert_int_equal(node->apply.seen[before].index, 91);
    assert_int_equal(node->proxies[0].raft.largest_id, members.largest_id[0] + 10);
}

static void appends_go_on_between_releases(void **state) {
    (void)state;
    start_connected();
    for (unsigned round = 0; round < 10; round++) {
        write_entries(40);
        uint64_t last = raft_role_status(node->role).commit;
        node_progress(node, last, last);
        node_settle(node);
    }
    assert_int_equal(node->releases, 10);
    uint64_t base = raft_role_status(node->role).base;
    assert_int_equal(base, 402);
    node_stop(node);
    start_connected();
    assert_int_equal(raft_role_status(node->role).base, base);
}

static void an_apply_before_the_logs_beginning_is_refused(void **state) {
    (void)state;
    start_connected();
    write_entries(100);
    node_progress(node, 102, 102);
    node_settle(node);
    assert_int_equal(node->releases, 1);
    node_disconnect(&node->apply.link);
    node->apply.applied = node->apply.durable = 50;
    node_connect(&node->apply.link);
    node_settle(node);
    const char *failure = raft_role_failure(node->role);
    assert_non_null(failure);
    assert_non_null(strstr(failure, "begins behind 102"));
}

/* Power goes at each operation of a release in turn: whatever is left starts, with all that was acknowledged.
 */
static void power_loss_at_every_step_of_a_release(void **state) {
    (void)state;
    uint64_t at = 0;
    bool whole = false;
    while (!whole) {
        close_node();
        open_node(1000 + ++at);
        start_connected();
        write_entries(60);
        node_progress(node, 62, 62);
        node_settle_links(node);
        assert_true(node_take(node));
        assert_true(node->persist.release);
        model_disk_power_off_at(model, at);
        whole = raft_storage_persist(node->storage, &node->persist) == 0;
        model_disk_power_off_at(model, 0);
        model_disk_power_loss(model);
        node_stop(node);
        start_connected();
        struct raft_role_status now = raft_role_status(node->role);
        assert_true(now.base == 62 || (now.base == 0 && !whole));
        assert_int_equal(now.commit, 63);
        assert_int_equal(raft_role_membership(node->role)->count, 1);
    }
    assert_true(at > 4);
}

/* The same for the founding of the log and the first writes. */
static void power_loss_at_every_step_of_the_founding(void **state) {
    (void)state;
    bool whole = false;
    uint64_t at = 0;
    while (!whole) {
        char error[512];
        close_node();
        open_node(5000 + ++at);
        model_disk_power_off_at(model, at);
        if (node_start(node, error)) {
            struct raft_persist persist;
            bool failed = false;
            while (!failed && raft_role_take_persist(node->role, &persist)) {
                failed = raft_storage_persist(node->storage, &persist) != 0;
                if (!failed)
                    raft_role_persisted(node->role);
            }
            whole = !failed;
            node_stop(node);
        }
        model_disk_power_off_at(model, 0);
        model_disk_power_loss(model);
        start_connected();
        assert_int_equal(raft_role_status(node->role).role, RAFT_LEADER);
        assert_int_equal(raft_role_membership(node->role)->count, 1);
    }
    assert_true(at > 6);
}

static void what_does_not_fit_together_is_refused(void **state) {
    (void)state;
    start_connected();
    write_entries(100);
    node_progress(node, 102, 90);
    node_settle(node);
    assert_int_equal(node->releases, 1);
    node_stop(node);

    node->storage_options.member ^= 1;
    refused("belongs to member 4d642a63b977231f of cluster fb512c1f686274bc");
    node->storage_options.member ^= 1;
    node->storage_options.cluster ^= 1;
    refused("choose another data directory");
    node->storage_options.cluster ^= 1;

    model_disk_flip_bit(model, "member/members", 30, 1);
    refused("member/members");
    model_disk_flip_bit(model, "member/members", 30, 1);
    model_disk_cut(model, "member/members", 10);
    refused("is damaged");
    assert_int_equal(node->disk->operations->unlink(node->disk, "member/members"), 0);
    refused("members file is missing");
}

static void a_new_log_needs_us_in_the_initial_cluster(void **state) {
    (void)state;
    node->options.bootstrap = NULL;
    refused("does not name this member");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_log_is_released_behind_applys_durable_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(appends_go_on_between_releases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_apply_before_the_logs_beginning_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(power_loss_at_every_step_of_a_release, set_up, tear_down),
        cmocka_unit_test_setup_teardown(power_loss_at_every_step_of_the_founding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_together_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_log_needs_us_in_the_initial_cluster, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
