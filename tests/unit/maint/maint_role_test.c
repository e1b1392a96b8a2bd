/* maint_role: checkpoints and compactions over in-memory links to stand-ins for raft and apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/request.h"
#include "maint/maint_role.h"

#include "fake_checkpoint.h"

enum { TO_PEER, TO_ROLE, QUEUE = 64 };

/* One edge: the role's link, the peer's link, and frames under way each way. */
struct edge {
    struct bus_link *role, *peer;
    struct bytes frames[2][QUEUE];
    unsigned count[2];
    struct bus_checkpoint asked; /* by the role; the directory is copied */
    uint16_t asked_kind;
    char directory[4096];
    unsigned requests;
    /* of the plan */
    struct bus_plan plan;
    struct buffer items;
    unsigned pieces;
    /* of automatic compaction */
    struct buffer proposal;
    uint64_t proposal_term;
};

static struct edge raft, apply, proxy;
static struct maint_role *role;
static struct fake_checkpoint fake;
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
    if (record->kind == BUS_MAINT_PLAN) {
        assert_true(bus_get_plan(record, &edge->plan));
        buffer_append_bytes(&edge->items, edge->plan.body);
        edge->pieces++;
        return;
    }
    if (record->kind == BUS_MAINT_PROPOSE) {
        struct bus_proposal proposal;
        assert_true(bus_get_proposal(record, &proposal));
        edge->proposal.length = 0;
        buffer_append_bytes(&edge->proposal, proposal.body);
        edge->proposal_term = proposal.term;
        return;
    }
    assert_true(record->kind == BUS_MAINT_CHECKPOINT || record->kind == BUS_MAINT_COMPACT);
    edge->asked_kind = record->kind;
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
    fake = (struct fake_checkpoint){0};
    struct maint_options options = {.work_directory = "/data/member/maint",
                                    .incarnation = 0xabc,
                                    .auto_compaction = {.retention = 60000}};
    role = maint_role_new(&options, now);
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
        buffer_free(&edges[i]->items);
        buffer_free(&edges[i]->proposal);
    }
    maint_role_free(role);
    fake_free(&fake);
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

/* Runs one slice of work. False: there is none. */
static bool work(void) {
    struct checkpoint_files files = fake_files(&fake);
    struct maint_work *taken = maint_role_take_work(role);
    if (taken == NULL)
        return false;
    assert_null(maint_role_take_work(role));
    maint_work_run(taken, &files);
    maint_role_work_done(role, now);
    settle();
    return true;
}

static void test_checkpoint(void **state) {
    (void)state;
    fake_put_index(&fake, 42);
    connect_all();
    pass(MAINT_FIRST_CHECK_US - 1);
    assert_int_equal(apply.requests, 0);
    pass(1);
    assert_int_equal(apply.requests, 1);
    assert_memory_equal(apply.directory, "/data/member/maint/", 19);
    assert_null(strchr(apply.directory + 19, '/'));
    pass(1000);
    assert_int_equal(apply.requests, 1);
    assert_false(work());
    answer(0, 42);
    assert_true(work());
    assert_string_equal(fake.removed[0], apply.directory);
    assert_false(work());
    assert_int_equal(maint_role_state(role).verified, 1);
    pass(UINT64_C(3600) * 1000000);
    assert_int_equal(apply.requests, 1);
    pass(UINT64_C(24 * 3600) * 1000000);
    assert_int_equal(apply.requests, 2);
}

static void test_wrong_index(void **state) {
    (void)state;
    fake_put_index(&fake, 41);
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    assert_false(maint_role_request_checkpoint(role, now));
    settle();
    answer(0, 42);
    assert_true(work());
    assert_int_equal(fake.removals, 1);
    assert_int_equal(maint_role_state(role).failed, 1);
    pass(UINT64_C(3599) * 1000000);
    assert_int_equal(apply.requests, 1);
    pass(UINT64_C(1) * 1000000);
    assert_int_equal(apply.requests, 2);
}

static void test_refused(void **state) {
    (void)state;
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    answer(28, 0);
    assert_true(work());
    assert_int_equal(maint_role_state(role).failed, 1);
}

static void test_apply_goes_away(void **state) {
    (void)state;
    char first[4096];
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    strcpy(first, apply.directory);
    disconnect_edge(&apply);
    assert_true(work());
    assert_string_equal(fake.removed[0], first);
    assert_int_equal(maint_role_state(role).failed, 0);
    assert_false(maint_role_request_checkpoint(role, now));
    connect_edge(&apply);
    pass(MAINT_FIRST_CHECK_US);
    assert_int_equal(apply.requests, 2);
    assert_string_not_equal(apply.directory, first);
    /* apply may have made the first one after all: it goes with the second. */
    fake_put_index(&fake, 42);
    answer(0, 42);
    assert_true(work());
    assert_int_equal(fake.removals, 3);
    assert_string_equal(fake.removed[1], apply.directory);
    assert_string_equal(fake.removed[2], first);
}

static void test_silence_and_late_answer(void **state) {
    (void)state;
    connect_all();
    assert_true(maint_role_request_checkpoint(role, now));
    settle();
    struct bus_checkpoint old = apply.asked;
    pass(MAINT_ANSWER_US + 1);
    assert_true(work());
    pass(MAINT_FIRST_CHECK_US);
    assert_int_equal(apply.requests, 2);
    old.directory = bytes_from_text("");
    assert_true(bus_put_checkpoint(apply.peer, BUS_APPLY_CHECKPOINT, &old));
    settle();
    assert_false(work());
}

/* --- compactions --- */

static void tell(int64_t compacted, int64_t physical, bool awaited) {
    struct bus_apply_state told = {
        .index = 7, .revision = 1000, .compacted = compacted, .physical = physical, .awaited = awaited};
    assert_true(bus_put_apply_state(apply.peer, &told));
    settle();
}

static void answer_compaction(int64_t compacted) {
    assert_int_equal(apply.asked_kind, BUS_MAINT_COMPACT);
    struct bus_checkpoint checkpoint = {.id = apply.asked.id, .index = 7, .compact_revision = compacted};
    assert_true(bus_put_checkpoint(apply.peer, BUS_APPLY_CHECKPOINT, &checkpoint));
    settle();
}

static void acknowledge(uint64_t items, uint16_t status, bool last) {
    struct bus_plan planned = {.id = apply.asked.id, .items = items, .status = status, .last = last};
    assert_true(bus_put_plan(apply.peer, BUS_APPLY_PLANNED, &planned));
    settle();
}

/* `keys` keys, each put at a revision of its own below `compacted` and again above. */
static void fill(int64_t keys, int64_t compacted) {
    fake_put_index(&fake, 7);
    for (int64_t i = 0; i < keys; i++) {
        uint8_t name[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        struct record older = {.create = 2 + i, .version = 1, .modified = {.main = 2 + i}};
        struct record newer = {.create = 2 + i,
                               .version = 2,
                               .modified = {.main = compacted + 1 + i},
                               .previous = {.main = 2 + i}};
        fake_put_log(&fake, false, bytes_of(name, 2), &older);
        fake_put_log(&fake, false, bytes_of(name, 2), &newer);
        fake_put_current(&fake, bytes_of(name, 2), &newer);
    }
}

static uint64_t count_items(enum plan_item_kind kind) {
    struct bytes rest = buffer_bytes(&apply.items);
    struct plan_item item;
    uint64_t count = 0;
    while (plan_item_next(&rest, &item))
        count += item.kind == kind;
    assert_int_equal(rest.length, 0);
    return count;
}

static void test_compaction(void **state) {
    (void)state;
    fill(10, 500);
    connect_all();
    tell(-1, -1, false);
    assert_int_equal(apply.requests, 0);
    tell(500, -1, false);
    assert_int_equal(apply.requests, 1);
    assert_false(maint_role_request_checkpoint(role, now));
    answer_compaction(500);
    assert_true(work());
    assert_int_equal(apply.pieces, 1);
    assert_true(apply.plan.last);
    assert_int_equal(apply.plan.items, 10);
    assert_int_equal(count_items(PLAN_KEEP), 10);
    assert_string_equal(fake.removed[0], apply.directory);
    assert_false(work());
    acknowledge(3, 0, false);
    now += 1000000;
    acknowledge(10, 0, true);
    assert_int_equal(maint_role_state(role).compactions, 1);
    tell(500, 500, false);
    assert_int_equal(apply.requests, 1);
    /* It took a second: the next one comes after a rest, unless somebody waits for it. */
    tell(600, 500, false);
    assert_int_equal(apply.requests, 1);
    tell(600, 500, true);
    assert_int_equal(apply.requests, 2);
}

static void test_compaction_rests(void **state) {
    (void)state;
    fill(1, 500);
    connect_all();
    tell(500, -1, false);
    answer_compaction(500);
    assert_true(work());
    now += 1000000;
    acknowledge(1, 0, true);
    tell(600, 500, false);
    pass(2900000);
    assert_int_equal(apply.requests, 1);
    pass(100000);
    assert_int_equal(apply.requests, 2);
}

/* Not further ahead of apply than a few pieces. */
static void test_flow(void **state) {
    (void)state;
    fill(2000, 5000);
    connect_all();
    tell(5000, -1, false);
    answer_compaction(5000);
    while (work())
        ;
    uint64_t ahead = apply.plan.items;
    assert_true(ahead >= 1024 && ahead < 1300 && !apply.plan.last);
    acknowledge(100, 0, false);
    assert_int_equal(apply.plan.items, ahead);
    acknowledge(ahead, 0, false);
    while (work())
        ;
    assert_true(apply.plan.last);
    assert_int_equal(count_items(PLAN_KEEP), 2000);
    acknowledge(2000, 0, true);
    assert_int_equal(maint_role_state(role).compactions, 1);
}

static void expect_failure(void) {
    while (work())
        ;
    assert_int_equal(fake.open, 0);
    assert_true(fake.removals > 0);
    assert_int_equal(maint_role_state(role).compaction_failures, 1);
    assert_int_equal(maint_role_state(role).compactions, 0);
}

static void test_void_plan(void **state) {
    (void)state;
    fill(2000, 5000);
    connect_all();
    tell(5000, -1, true);
    answer_compaction(5000);
    assert_true(work());
    acknowledge(0, 22, false);
    expect_failure();
    pass(4900000);
    assert_int_equal(apply.requests, 1);
    pass(100000);
    assert_int_equal(apply.requests, 2);
}

static void test_refused_compaction(void **state) {
    (void)state;
    connect_all();
    tell(500, -1, false);
    answer(16, 0);
    expect_failure();
}

static void test_unreadable_checkpoint(void **state) {
    (void)state;
    fill(2000, 5000);
    fake.fail_after = 1500;
    connect_all();
    tell(5000, -1, false);
    answer_compaction(5000);
    expect_failure();
    assert_false(apply.plan.last);
}

static void test_checkpoint_of_another_index(void **state) {
    (void)state;
    fake_put_index(&fake, 6);
    connect_all();
    tell(500, -1, false);
    answer_compaction(500);
    expect_failure();
    assert_int_equal(apply.pieces, 0);
}

/* While a slice is being worked on, while it waits, and when all was sent. */
static void test_apply_goes_away_from_a_plan(void **state) {
    (void)state;
    struct checkpoint_files files = fake_files(&fake);
    fill(2000, 5000);
    connect_all();
    pass(MAINT_FIRST_CHECK_US);
    answer(0, 7);
    assert_true(work());
    for (unsigned when = 0; when < 3; when++) {
        tell(5000, -1, false);
        pass(6000000);
        answer_compaction(5000);
        struct maint_work *taken = maint_role_take_work(role);
        assert_non_null(taken);
        maint_work_run(taken, &files);
        if (when == 0)
            disconnect_edge(&apply);
        maint_role_work_done(role, now);
        while (when == 2 && !apply.plan.last) {
            settle();
            if (!work())
                acknowledge(apply.plan.items, 0, false);
        }
        if (when > 0)
            disconnect_edge(&apply);
        while (work())
            ;
        assert_int_equal(fake.open, 0);
        assert_string_equal(fake.removed[when + 1], apply.directory);
        assert_int_equal(maint_role_state(role).compaction_failures, when + 1);
        apply.plan.last = false;
        connect_edge(&apply);
    }
}

/* --- automatic compaction: when is auto_compaction_test's business --- */

static void tell_role(uint16_t raft_role, uint64_t term) {
    assert_true(bus_put_raft_state(raft.peer, &(struct bus_raft_state){.role = raft_role, .term = term}));
    settle();
}

static void test_auto_compaction(void **state) {
    (void)state;
    struct internal_request request;
    struct compaction_request compaction;
    connect_all();
    tell_role(RAFT_FOLLOWER, 3);
    tell(-1, -1, false); /* at revision 1000 */
    for (unsigned second = 0; second < 70; second++)
        pass(1000000);
    assert_int_equal(raft.proposal.length, 0);
    tell_role(RAFT_LEADER, 4);
    for (unsigned second = 0; second < 7; second++)
        pass(1000000);
    assert_int_equal(raft.proposal_term, 4);
    assert_true(internal_request_decode(buffer_bytes(&raft.proposal), &request));
    assert_int_equal(request.id, 0);
    assert_int_equal(request.number, INTERNAL_COMPACTION);
    assert_true(compaction_request_decode(request.body, &compaction));
    assert_int_equal(compaction.revision, 1000);
    assert_false(compaction.physical);
    /* Not on what may have been so before the link to raft was lost. */
    disconnect_edge(&raft);
    connect_edge(&raft);
    raft.proposal.length = 0;
    for (unsigned second = 0; second < 70; second++)
        pass(1000000);
    assert_int_equal(raft.proposal.length, 0);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_ready),
        CASE(test_checkpoint),
        CASE(test_wrong_index),
        CASE(test_refused),
        CASE(test_apply_goes_away),
        CASE(test_silence_and_late_answer),
        CASE(test_compaction),
        CASE(test_compaction_rests),
        CASE(test_flow),
        CASE(test_void_plan),
        CASE(test_refused_compaction),
        CASE(test_unreadable_checkpoint),
        CASE(test_auto_compaction),
        CASE(test_checkpoint_of_another_index),
        CASE(test_apply_goes_away_from_a_plan),
    };
#undef CASE
    log_init("test", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
