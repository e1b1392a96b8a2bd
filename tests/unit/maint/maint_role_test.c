/* maint_role: checkpoints over in-memory links to stand-ins for raft and apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "maint/maint_role.h"

enum { TO_PEER, TO_ROLE, QUEUE = 64 };

/* One edge: the role's link, the peer's link, and frames under way each way. */
struct edge {
    struct bus_link *role, *peer;
    struct bytes frames[2][QUEUE];
    unsigned count[2];
    struct bus_checkpoint asked; /* by the role; the directory is copied */
    char directory[4096];
    unsigned requests;
};

static struct edge raft, apply, proxy;
static struct maint_role *role;
static uint64_t now;

static bool send_frame(struct edge *edge, int way, struct bytes frame) {
    uint8_t *copy = must_alloc(frame.length);
    memcpy(copy, frame.data, frame.length);
    assert_true(edge->count[way] < QUEUE);
    edge->frames[way][edge->count[way]++] = bytes_of(copy, frame.length);
    return true;
}
static bool send_to_peer(void *context, struct bytes frame) {
    return send_frame(context, TO_PEER, frame);
}
static bool send_to_role(void *context, struct bytes frame) {
    return send_frame(context, TO_ROLE, frame);
}

static void peer_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct edge *edge = context;
    (void)link;
    assert_int_equal(record->kind, BUS_MAINT_CHECKPOINT);
    assert_true(bus_get_checkpoint(record, &edge->asked));
    memcpy(edge->directory, edge->asked.directory.data, edge->asked.directory.length);
    edge->directory[edge->asked.directory.length] = '\0';
    edge->requests++;
}

static bool deliver(struct edge *edge, int way) {
    if (edge->count[way] == 0)
        return false;
    struct bytes frame = edge->frames[way][0];
    edge->count[way]--;
    memmove(edge->frames[way], edge->frames[way] + 1, edge->count[way] * sizeof frame);
    bus_link_frame(way == TO_PEER ? edge->peer : edge->role, frame);
    free((void *)(uintptr_t)frame.data);
    return true;
}

static void settle(void) {
    struct edge *edges[] = {&raft, &apply, &proxy};
    for (bool moved = true; moved;) {
        moved = false;
        maint_role_end_round(role, now);
        for (unsigned i = 0; i < 3; i++) {
            bus_link_flush(edges[i]->peer);
            while (deliver(edges[i], TO_PEER) || deliver(edges[i], TO_ROLE))
                moved = true;
        }
    }
}

static void open_edge(struct edge *edge, enum bus_role peer, struct bus_handler handler) {
    *edge = (struct edge){0};
    struct bus_handler peer_handler = {.record = peer_record, .context = edge};
    edge->role = bus_link_new("role", BUS_ROLE_MAINT, 0, peer, 0, 1,
                              (struct bus_transport){.send = send_to_peer, .context = edge}, handler);
    edge->peer = bus_link_new("peer", peer, 0, BUS_ROLE_MAINT, 0, 2,
                              (struct bus_transport){.send = send_to_role, .context = edge}, peer_handler);
}

static void connect_edge(struct edge *edge) {
    bus_link_connected(edge->role);
    bus_link_connected(edge->peer);
    settle();
}

static void disconnect_edge(struct edge *edge) {
    bus_link_disconnected(edge->role);
    bus_link_disconnected(edge->peer);
    for (int way = 0; way < 2; way++) {
        while (edge->count[way] > 0)
            free((void *)(uintptr_t)edge->frames[way][--edge->count[way]].data);
    }
}

static int set_up(void **state) {
    (void)state;
    now = 1000;
    role = maint_role_new("/data/member/maint", 0xabc, now);
    open_edge(&raft, BUS_ROLE_RAFT, maint_role_raft_handler(role));
    open_edge(&apply, BUS_ROLE_APPLY, maint_role_apply_handler(role));
    open_edge(&proxy, BUS_ROLE_PROXY, maint_role_proxy_handler(role, 0));
    maint_role_attach_raft(role, raft.role);
    maint_role_attach_apply(role, apply.role);
    maint_role_attach_proxy(role, 0, proxy.role);
    return 0;
}

static int tear_down(void **state) {
    struct edge *edges[] = {&raft, &apply, &proxy};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        disconnect_edge(edges[i]);
        bus_link_free(edges[i]->role);
        bus_link_free(edges[i]->peer);
    }
    maint_role_free(role);
    return 0;
}

static void pass(uint64_t microseconds) {
    now += microseconds;
    maint_role_tick(role, now);
    settle();
}

static void answer(uint16_t status, uint64_t index) {
    struct bus_checkpoint checkpoint = {.id = apply.asked.id,
                                        .status = status,
                                        .index = index,
                                        .directory =
                                            bytes_from_text(status == 0 ? apply.directory : "no space")};
    assert_true(bus_put_checkpoint(apply.peer, BUS_APPLY_CHECKPOINT, &checkpoint));
    settle();
}

static void connect_all(void) {
    connect_edge(&raft);
    connect_edge(&apply);
}

static void test_ready(void **state) {
    (void)state;
    assert_false(maint_role_state(role).ready);
    connect_edge(&raft);
    assert_false(maint_role_state(role).ready);
    connect_edge(&apply);
    assert_true(maint_role_state(role).ready);
    disconnect_edge(&raft);
    assert_true(maint_role_state(role).ready);
}

static void test_checkpoint(void **state) {
    (void)state;
    struct maint_work work;
    connect_all();
    pass(MAINT_FIRST_CHECK_US - 1);
    assert_int_equal(apply.requests, 0);
    pass(1);
    assert_int_equal(apply.requests, 1);
    assert_memory_equal(apply.directory, "/data/member/maint/", 19);
    assert_null(strchr(apply.directory + 19, '/'));
    pass(1000);
    assert_int_equal(apply.requests, 1);
    assert_false(maint_role_take_work(role, &work));
    answer(0, 42);
    assert_true(maint_role_take_work(role, &work));
    assert_int_equal(work.index, 42);
    assert_string_equal(work.directory, apply.directory);
    assert_false(maint_role_take_work(role, &work));
    maint_role_work_done(role, 42, now);
    assert_int_equal(maint_role_state(role).verified, 1);
    pass(UINT64_C(3600) * 1000000);
    assert_int_equal(apply.requests, 1);
    pass(UINT64_C(24 * 3600) * 1000000);
    assert_int_equal(apply.requests, 2);
}

static void test_wrong_index(void **state) {
    (void)state;
    struct maint_work work;
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    assert_false(maint_role_request_checkpoint(role, now));
    settle();
    answer(0, 42);
    assert_true(maint_role_take_work(role, &work));
    maint_role_work_done(role, 41, now);
    assert_int_equal(maint_role_state(role).failed, 1);
    pass(UINT64_C(3599) * 1000000);
    assert_int_equal(apply.requests, 1);
    pass(UINT64_C(1) * 1000000);
    assert_int_equal(apply.requests, 2);
}

static void test_refused(void **state) {
    (void)state;
    struct maint_work work;
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    answer(28, 0);
    assert_true(maint_role_take_work(role, &work));
    assert_int_equal(work.index, 0);
    maint_role_work_done(role, 0, now);
    assert_int_equal(maint_role_state(role).failed, 1);
}

static void test_apply_goes_away(void **state) {
    (void)state;
    struct maint_work work;
    char first[4096];
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    strcpy(first, apply.directory);
    disconnect_edge(&apply);
    assert_true(maint_role_take_work(role, &work));
    assert_int_equal(work.index, 0);
    assert_string_equal(work.directory, first);
    maint_role_work_done(role, 0, now);
    assert_int_equal(maint_role_state(role).failed, 0);
    assert_false(maint_role_request_checkpoint(role, now));
    connect_edge(&apply);
    pass(MAINT_FIRST_CHECK_US);
    assert_int_equal(apply.requests, 2);
    assert_string_not_equal(apply.directory, first);
}

static void test_silence_and_late_answer(void **state) {
    (void)state;
    struct maint_work work;
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    struct bus_checkpoint old = apply.asked;
    pass(MAINT_ANSWER_US + 1);
    assert_true(maint_role_take_work(role, &work));
    maint_role_work_done(role, 0, now);
    pass(MAINT_FIRST_CHECK_US);
    assert_int_equal(apply.requests, 2);
    old.directory = bytes_from_text("");
    assert_true(bus_put_checkpoint(apply.peer, BUS_APPLY_CHECKPOINT, &old));
    settle();
    assert_false(maint_role_take_work(role, &work));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_ready),   CASE(test_checkpoint),      CASE(test_wrong_index),
        CASE(test_refused), CASE(test_apply_goes_away), CASE(test_silence_and_late_answer),
    };
#undef CASE
    log_init("test", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
