/* compaction: the physical step as the apply role carries it out, with maint played by the test. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/store_record.h"

#include "plan_model.h"
#include "role_world.h"

enum { KEYS = 40, ROUNDS = 5 };

static struct role_world world;
static const struct apply_options options = {.member_directory = "/member"};
static int64_t compacted; /* in the middle of the history */

static void open_world(struct memory_store *store) {
    role_world_open(&world, store, &options);
    role_world_connect(&world, PEER_RAFT);
    role_world_connect(&world, PEER_PROXY_0);
    role_world_connect(&world, PEER_MAINT);
}

static void put_key(unsigned key, unsigned round) {
    char name[16];
    char value[16];
    snprintf(name, sizeof name, "key-%02u", key);
    snprintf(value, sizeof value, "value-%u", round);
    role_world_put(&world, 0, name, bytes_from_text(value));
}

static void delete_key(unsigned key) {
    char name[16];
    struct buffer body = {0};
    snprintf(name, sizeof name, "key-%02u", key);
    encode_delete(&body, &(struct delete_range_request){.key = bytes_from_text(name)});
    role_world_entry(&world, 0, INTERNAL_DELETE_RANGE, &body);
}

static uint64_t compact(int64_t revision, bool physical) {
    struct buffer body = {0};
    encode_compaction(&body, &(struct compaction_request){.revision = revision, .physical = physical});
    uint64_t id = role_world_entry(&world, 0, INTERNAL_COMPACTION, &body);
    role_world_settle(&world);
    return id;
}

/* Every key is put in every round; the last one is gone after the first. */
static int setup(void **state) {
    (void)state;
    open_world(NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned key = 0; key < KEYS - 1; key++)
            put_key(key, round);
        if (round == 0) {
            put_key(KEYS - 1, round);
            delete_key(KEYS - 1);
        }
        role_world_settle(&world);
    }
    compacted = 2 + KEYS + 2 * (KEYS - 1) + KEYS / 2; /* in the third round after the first */
    return 0;
}

static int teardown(void **state) {
    (void)state;
    struct memory_store *store = world.store;
    role_world_close(&world);
    memory_close(&store->head);
    return 0;
}

static struct peer *maint(void) {
    return &world.peers[PEER_MAINT];
}

static void ask(uint64_t id) {
    struct bus_checkpoint request = {.id = id, .directory = bytes_from_text("/member/maint/compact")};
    maint()->checkpoint = (struct bus_checkpoint){0};
    maint()->planned = (struct bus_plan){0};
    assert_true(bus_put_checkpoint(maint()->link, BUS_MAINT_COMPACT, &request));
}

/* What maint would compute from a checkpoint made now. */
static void compute(struct plan *plan) {
    *plan = (struct plan){.compacted = maint()->checkpoint.compact_revision};
    plan_compute(plan, world.store->now);
}

static void send_items(uint64_t id, const struct plan *plan, size_t from, size_t to, bool last) {
    struct buffer items = {0};
    for (size_t i = from; i < to; i++)
        plan_item_put(&items, &plan->items[i]);
    struct bus_plan piece = {.id = id, .items = to, .last = last, .body = buffer_bytes(&items)};
    assert_true(bus_put_plan(maint()->link, BUS_MAINT_PLAN, &piece));
    buffer_free(&items);
}

static void run_compaction(uint64_t id) {
    struct plan plan;
    ask(id);
    role_world_settle(&world);
    assert_int_equal(maint()->checkpoint.id, id);
    assert_int_equal(maint()->checkpoint.status, 0);
    compute(&plan);
    assert_true(plan.count > 0);
    send_items(id, &plan, 0, plan.count / 2, false);
    role_world_settle(&world);
    assert_int_equal(maint()->planned.items, plan.count / 2);
    send_items(id, &plan, plan.count / 2, plan.count, true);
    role_world_settle(&world);
    assert_int_equal(maint()->planned.items, plan.count);
    assert_false(maint()->planned.last);
    role_world_tick(&world, 100000);
    assert_true(maint()->planned.last);
    assert_int_equal(maint()->planned.status, 0);
    plan_clear(&plan);
}

static int64_t oldest_logged(void) {
    const struct store_snapshot *now = world.store->now;
    for (size_t i = 0; i < now->count; i++) {
        if (now->pairs[i].key.data[0] == PREFIX_LOG)
            return log_key_load(now->pairs[i].key).main;
    }
    return 0;
}

/* A range over everything at the revision: its status; *count: keys. */
static uint16_t read_all(int64_t revision, size_t *size) {
    struct range_request request = {
        .key = bytes_from_text("k"), .range_end = bytes_from_text("l"), .revision = revision};
    struct buffer body = {0};
    encode_range(&body, &request);
    uint64_t id = role_world_read(&world, 0, false, METHOD_RANGE, &body);
    role_world_settle(&world);
    const struct bus_result *result = role_world_result(&world, id, &body, NULL);
    assert_non_null(result);
    uint16_t status = result->status;
    *size = body.length;
    buffer_free(&body);
    return status;
}

static void check_reads(void) {
    size_t size = 0;
    size_t present = 0;
    assert_int_equal(read_all(0, &present), STATUS_OK);
    assert_int_equal(read_all(compacted - 1, &size), STATUS_COMPACTED);
    for (int64_t revision = compacted; revision <= apply_role_state(world.role).revision; revision++) {
        assert_int_equal(read_all(revision, &size), STATUS_OK);
        assert_in_range(size, present - 200, present + 200); /* all keys, with varints a byte more or less */
    }
}

static void test_from_end_to_end(void **state) {
    (void)state;
    compact(compacted, false);
    role_world_tick(&world, 100000);
    assert_int_equal(maint()->state.compacted, compacted);
    assert_int_equal(maint()->state.physical, -1);
    check_reads();
    run_compaction(1);
    assert_int_equal(oldest_logged(), compacted);
    assert_int_equal(maint()->state.physical, compacted);
    check_reads();
    for (unsigned key = 0; key < KEYS; key++) /* supersedes what has no log any more */
        put_key(key, ROUNDS);
    role_world_settle(&world);
    check_reads();
    ask(2);
    role_world_settle(&world);
    assert_int_equal(maint()->checkpoint.status, EALREADY);
}

static const struct bus_result *result_of(uint64_t id) {
    static struct buffer body;
    const struct bus_result *result = role_world_result(&world, id, &body, NULL);
    buffer_free(&body);
    return result;
}

static void test_physical_results_wait(void **state) {
    (void)state;
    uint64_t first = compact(compacted, true);
    uint64_t second = compact(compacted + 1, true);
    uint64_t late = compact(compacted, true); /* compacted already: the error waits as long */
    uint64_t logical = compact(compacted + 2, false);
    uint64_t future = compact(100000, true);
    assert_null(result_of(first));
    assert_null(result_of(second));
    assert_null(result_of(late));
    assert_int_equal(result_of(logical)->status, STATUS_OK);
    assert_int_equal(result_of(future)->status, STATUS_FUTURE_REVISION);
    role_world_tick(&world, 100000);
    assert_true(maint()->state.awaited);
    put_key(0, 9);
    run_compaction(1);
    assert_int_equal(result_of(first)->status, STATUS_OK);
    assert_int_equal(result_of(first)->revision, apply_role_state(world.role).revision);
    assert_int_equal(result_of(second)->status, STATUS_OK);
    assert_int_equal(result_of(late)->status, STATUS_COMPACTED);
    role_world_tick(&world, 100000);
    assert_false(maint()->state.awaited);
    /* Nothing to wait for any more. */
    assert_int_equal(result_of(compact(compacted, true))->status, STATUS_COMPACTED);
}

static void crash(void) {
    struct memory_store *store = world.store;
    role_world_close(&world);
    memory_crash(store);
    open_world(store);
}

/* After a crash the entry is executed again, and waits again. */
static void test_crash_before_the_checkpoint(void **state) {
    (void)state;
    memory_flush_wait(&world.store->head);
    uint64_t index = world.index;
    compact(compacted, true);
    ask(1); /* and no round after it */
    crash();
    assert_int_equal(world.index, index);
    uint64_t id = compact(compacted, true);
    assert_null(result_of(id));
    check_reads();
    run_compaction(1);
    assert_int_equal(result_of(id)->status, STATUS_OK);
}

static void test_crash_after_parts_of_the_plan(void **state) {
    (void)state;
    struct plan plan;
    compact(compacted, false);
    for (unsigned parts = 0; parts <= 4; parts++) {
        ask(parts);
        role_world_settle(&world);
        compute(&plan);
        send_items(parts, &plan, 0, plan.count * parts / 4, false);
        role_world_settle(&world);
        plan_clear(&plan);
        if (parts % 2 == 0)
            memory_flush_wait(&world.store->head);
        crash();
        assert_int_equal(oldest_logged(), 2);
        check_reads();
    }
    put_key(1, 9);
    run_compaction(5);
    check_reads();
    world.store->keep_one_in = 1; /* nothing is dropped before the crash */
    crash();
    world.store->keep_one_in = 0;
    crash();
    assert_int_equal(oldest_logged(), compacted);
    check_reads();
    role_world_tick(&world, 100000);
    assert_int_equal(maint()->state.physical, compacted);
}

static void assert_void(uint64_t id) {
    role_world_settle(&world);
    assert_int_equal(maint()->planned.id, id);
    assert_int_not_equal(maint()->planned.status, 0);
    for (unsigned i = 0; i < 5; i++)
        role_world_tick(&world, 100000);
    assert_false(maint()->planned.last);
    assert_int_equal(maint()->state.physical, -1);
    assert_int_equal(oldest_logged(), 2);
    check_reads();
}

static void begin(uint64_t id, struct plan *plan) {
    ask(id);
    role_world_settle(&world);
    compute(plan);
}

static void test_bad_plans(void **state) {
    (void)state;
    struct plan plan;
    compact(compacted, false);

    begin(1, &plan); /* an id of nothing that is under way */
    send_items(7, &plan, 0, plan.count, true);
    assert_void(7);
    plan_clear(&plan);

    begin(2, &plan); /* beyond the compacted revision */
    plan.items[3].at.main = compacted;
    send_items(2, &plan, 0, plan.count, true);
    assert_void(2);
    plan_clear(&plan);

    begin(3, &plan); /* of a record that never was */
    plan.items[3] =
        (struct plan_item){.kind = PLAN_KEEP, .at = {.main = 5, .sub = 99}, .key = plan.items[3].key};
    send_items(3, &plan, 0, plan.count, true);
    assert_void(3);
    plan_clear(&plan);

    begin(4, &plan); /* cut */
    struct bus_plan piece = {.id = 4, .items = 1, .last = true, .body = bytes_from_text("\1garbage")};
    assert_true(bus_put_plan(maint()->link, BUS_MAINT_PLAN, &piece));
    assert_void(4);
    plan_clear(&plan);

    run_compaction(5);
    assert_int_equal(oldest_logged(), compacted);
    check_reads();
}

static void test_maint_goes_away(void **state) {
    (void)state;
    struct plan plan;
    compact(compacted, false);
    world.hold_jobs = true; /* while the checkpoint is being made */
    ask(1);
    role_world_settle(&world);
    role_world_disconnect(&world, PEER_MAINT);
    role_world_connect(&world, PEER_MAINT);
    ask(2);
    role_world_settle(&world);
    assert_int_equal(maint()->checkpoint.id, 2);
    assert_int_equal(maint()->checkpoint.status, EBUSY);
    world.hold_jobs = false;
    role_world_settle(&world);

    begin(3, &plan); /* in the middle of a plan */
    send_items(3, &plan, 0, plan.count / 2, false);
    role_world_settle(&world);
    role_world_disconnect(&world, PEER_MAINT);
    role_world_connect(&world, PEER_MAINT);
    send_items(3, &plan, plan.count / 2, plan.count, true);
    assert_void(3);
    plan_clear(&plan);
    run_compaction(4);
    check_reads();
}

/* A second request voids the first, whose plan is then not taken. */
static void test_replaced(void **state) {
    (void)state;
    struct plan plan;
    compact(compacted, false);
    begin(1, &plan);
    send_items(1, &plan, 0, plan.count / 2, false);
    role_world_settle(&world);
    ask(2);
    role_world_settle(&world);
    send_items(1, &plan, plan.count / 2, plan.count, true);
    assert_void(1);
    plan_clear(&plan);
    run_compaction(3);
    check_reads();
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_from_end_to_end),
        CASE(test_physical_results_wait),
        CASE(test_crash_before_the_checkpoint),
        CASE(test_crash_after_parts_of_the_plan),
        CASE(test_bad_plans),
        CASE(test_maint_goes_away),
        CASE(test_replaced),
    };
#undef CASE
    log_init("test", "fatal");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
