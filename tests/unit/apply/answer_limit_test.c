/*
 * answer_limit_test: what a client can make apply hold in memory is bounded: answers that are not taken, and
 * answers that are larger than anybody should ask for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"
#include "common/status.h"

#include "role_world.h"

enum { VALUE_BYTES = 1000000, VALUES = 20, READERS = 300 };

static struct role_world world;

static void open_world(unsigned values) {
    role_world_open(&world, NULL, NULL);
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
    uint8_t *value = must_zalloc(VALUE_BYTES);
    for (unsigned i = 0; i < values; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%04u", i);
        role_world_put(&world, 0, key, bytes_of(value, VALUE_BYTES));
        role_world_settle(&world);
    }
    free(value);
}

static void close_world(void) {
    struct memory_store *store = world.store;
    role_world_close(&world);
    memory_close(&store->head);
}

static unsigned count_status(uint16_t status) {
    unsigned count = 0;
    for (size_t i = 0; i < world.heard_count; i++)
        count += world.heard[i].result.status == status;
    return count;
}

/* Readers of everything that take nothing lose their answers, and one that does read gets his. */
static void test_answers_that_are_not_taken_are_given_up(void **state) {
    (void)state;
    open_world(VALUES);
    for (unsigned i = 0; i < READERS; i++)
        role_world_range(&world, 1, "k", "l");
    role_world_settle(&world);
    uint64_t id = role_world_range(&world, 0, "k", "l");
    role_world_settle(&world);
    struct buffer body = {0};
    unsigned parts = 0;
    size_t taken = 0;
    for (unsigned i = 0; i < 200 && taken < (size_t)VALUES * VALUE_BYTES; i++) {
        role_world_tick(&world, 100000);
        role_world_settle(&world);
        body.length = 0;
        const struct bus_result *result = role_world_result(&world, id, &body, &parts);
        if (result == NULL || body.length == taken)
            continue;
        assert_int_equal(result->status, STATUS_OK);
        bus_put_consumed(world.peers[PEER_PROXY_0].link, id, body.length - taken);
        taken = body.length;
        role_world_settle(&world);
    }
    assert_true(taken >= (size_t)VALUES * VALUE_BYTES);
    assert_true(count_status(STATUS_TOO_MANY_REQUESTS) > 0);
    buffer_free(&body);
    close_world();
}

/* The keys go, the answer would be too large, and the next entry is executed as ever. */
static void test_a_delete_that_would_say_too_much(void **state) {
    (void)state;
    unsigned values = MVCC_ANSWER_LIMIT / VALUE_BYTES + 2;
    open_world(values);
    struct buffer body = {0};
    encode_delete(&body, &(struct delete_range_request){.key = bytes_from_text("k"),
                                                        .range_end = bytes_from_text("l"),
                                                        .prev_kv = true});
    uint64_t id = role_world_entry(&world, 0, INTERNAL_DELETE_RANGE, &body);
    role_world_settle(&world);
    struct buffer answer = {0};
    const struct bus_result *result = role_world_result(&world, id, &answer, NULL);
    assert_non_null(result);
    assert_int_equal(result->status, STATUS_TOO_MANY_REQUESTS);
    assert_int_equal(result->revision, values + 2);
    uint64_t put = role_world_put(&world, 0, "k0001", bytes_from_text("v"));
    role_world_settle(&world);
    answer.length = 0;
    assert_int_equal(role_world_result(&world, put, &answer, NULL)->status, STATUS_OK);
    assert_int_equal(apply_role_state(world.role).revision, values + 3);
    buffer_free(&answer);
    close_world();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_that_are_not_taken_are_given_up),
        cmocka_unit_test(test_a_delete_that_would_say_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
