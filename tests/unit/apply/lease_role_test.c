/*
 * Leases through apply's role: what a proxy asks and is answered, and when; what raft is proposed; what
 * happens when raft, a proxy or the process goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/status.h"

#include "role_world.h"

enum { SECOND = 1000000 };

static struct role_world world; /* too large for a stack */
static struct buffer body;

static void connect_all(void) {
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_connect(&world, peer);
}

static int setup(void **state) {
    (void)state;
    role_world_open(&world, NULL, NULL);
    connect_all();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    role_world_close(&world);
    memory_close(&world.store->head);
    buffer_free(&body);
    return 0;
}

/* --- requests --- */

static void grant(int64_t id, int64_t ttl) {
    body.length = 0;
    encode_lease_grant(&body, id, ttl);
    role_world_entry(&world, 0, INTERNAL_LEASE_GRANT, &body);
    role_world_settle(&world);
}

static void attach(const char *key, int64_t lease) {
    body.length = 0;
    encode_put(&body, &(struct put_request){.key = bytes_from_text(key), .lease = lease});
    role_world_entry(&world, 0, INTERNAL_PUT, &body);
}

static uint64_t ask_of(uint8_t slot, uint16_t method, int64_t id, bool keys) {
    body.length = 0;
    encode_lease(&body, id, keys);
    uint64_t request = role_world_read(&world, slot, false, method, &body);
    role_world_settle(&world);
    return request;
}

static uint64_t keep_alive(int64_t id) {
    return ask_of(0, METHOD_LEASE_KEEP_ALIVE, id, false);
}

static void lead(void) {
    attach("of this term", 0);
    role_world_lead(&world, true, 2);
}

/* --- answers --- */

struct answer {
    int64_t id, ttl, granted;
    char keys[64];
    size_t key_count;
};

static const struct bus_result *result_of(uint64_t request) {
    return role_world_result(&world, request, &body, NULL);
}

static struct answer answer_to(uint64_t request) {
    struct answer answer = {0};
    const struct bus_result *result = result_of(request);
    assert_non_null(result);
    assert_int_equal(result->status, STATUS_OK);
    assert_int_equal(result->revision, apply_role_state(world.role).revision);
    struct wire_reader reader = wire_reader_of(buffer_bytes(&body));
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            answer.id = (int64_t)field.value;
        else if (field.number == 3)
            answer.ttl = (int64_t)field.value;
        else if (field.number == 4)
            answer.granted = (int64_t)field.value;
        else if (answer.key_count++ < 10)
            strncat(answer.keys, (const char *)field.bytes.data, field.bytes.length);
    }
    assert_false(reader.malformed);
    return answer;
}

static void assert_waits(uint64_t request) {
    assert_null(result_of(request));
}

/* --- cases --- */

static void test_keep_alive(void **state) {
    (void)state;
    lead();
    grant(7, 10);
    role_world_tick(&world, 4 * SECOND);
    struct answer answer = answer_to(keep_alive(7));
    assert_int_equal(answer.id, 7);
    assert_int_equal(answer.ttl, 10);
    answer = answer_to(keep_alive(8));
    assert_int_equal(answer.id, 8);
    assert_int_equal(answer.ttl, 0);
    role_world_tick(&world, 9 * SECOND);
    assert_int_equal(world.proposal_count, 0);
    answer = answer_to(ask_of(1, METHOD_LEASE_TIME_TO_LIVE, 7, false));
    assert_int_equal(answer.ttl, 1);
    assert_int_equal(answer.granted, 10);
    answer = answer_to(ask_of(1, METHOD_LEASE_TIME_TO_LIVE, 8, true));
    assert_int_equal(answer.id, 8);
    assert_int_equal(answer.ttl, -1);
    assert_int_equal(answer.granted, 0);
}

static void test_expiry_and_who_waits_for_it(void **state) {
    (void)state;
    lead();
    grant(7, 10);
    attach("a", 7);
    attach("b", 7);
    role_world_settle(&world);
    int64_t revision = apply_role_state(world.role).revision;
    role_world_tick(&world, 10 * SECOND);
    assert_int_equal(world.proposal_count, 1);
    uint64_t late = keep_alive(7);
    uint64_t later = ask_of(1, METHOD_LEASE_KEEP_ALIVE, 7, false);
    assert_waits(late);
    role_world_tick(&world, 100000);
    assert_waits(late);
    assert_int_equal(role_world_execute_proposals(&world), 1);
    assert_int_equal(apply_role_state(world.role).revision, revision + 1);
    assert_int_equal(answer_to(late).ttl, 0);
    assert_int_equal(answer_to(later).ttl, 0);
    uint64_t id = role_world_range(&world, 0, "a", "c");
    role_world_settle(&world);
    result_of(id);
    assert_int_equal(body.length, 0);
}

static void test_waits_for_a_leader(void **state) {
    (void)state;
    grant(7, 10);
    uint64_t waits = keep_alive(7);
    uint64_t asks = ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, false);
    role_world_lead(&world, false, 2);
    role_world_tick(&world, SECOND);
    assert_waits(waits);
    role_world_lead(&world, true, 3); /* nothing of term 3 was executed yet */
    role_world_tick(&world, SECOND);
    assert_waits(waits);
    lead();
    assert_int_equal(answer_to(waits).ttl, 10);
    assert_true(answer_to(asks).ttl >= 10);
}

/* All that raft's log held when the connection began comes first: a revocation may be in it. */
static void test_waits_for_what_was_in_the_log(void **state) {
    (void)state;
    grant(7, 10);
    role_world_disconnect(&world, PEER_RAFT);
    world.peers[PEER_RAFT].greet_position = world.index + 1;
    world.peers[PEER_RAFT].greet_term = 2;
    role_world_connect(&world, PEER_RAFT);
    role_world_lead(&world, true, 2);
    uint64_t waits = keep_alive(7);
    assert_waits(waits);
    encode_lease(&body, 7, false);
    role_world_entry(&world, 0, INTERNAL_LEASE_REVOKE, &body);
    role_world_settle(&world);
    assert_int_equal(answer_to(waits).ttl, 0);
}

static void test_waiting_ends_at_the_deadline(void **state) {
    (void)state;
    grant(7, 10);
    uint64_t waits = keep_alive(7);
    role_world_tick(&world, 6 * SECOND);
    lead();
    assert_waits(waits);
    assert_int_equal(answer_to(keep_alive(7)).ttl, 10);
}

static void test_waiting_ends_with_the_proxy(void **state) {
    (void)state;
    grant(7, 10);
    uint64_t waits = keep_alive(7);
    uint64_t other = ask_of(1, METHOD_LEASE_KEEP_ALIVE, 7, false);
    role_world_disconnect(&world, PEER_PROXY_0);
    role_world_connect(&world, PEER_PROXY_0);
    lead();
    assert_waits(waits);
    assert_int_equal(answer_to(other).ttl, 10);
}

static void test_waiting_is_bounded(void **state) {
    (void)state;
    uint64_t last = 0;
    for (unsigned i = 0; i < 200; i++) {
        uint8_t padding[30000] = {0};
        encode_lease(&body, 7, false);
        wire_put_bytes(&body, 9, bytes_of(padding, sizeof padding));
        last = role_world_read(&world, 0, false, METHOD_LEASE_KEEP_ALIVE, &body);
        role_world_settle(&world);
    }
    assert_int_equal(result_of(last)->status, STATUS_TOO_MANY_REQUESTS);
    lead();
    assert_int_equal(result_of(last)->status, STATUS_TOO_MANY_REQUESTS);
}

static void test_raft_goes_and_comes(void **state) {
    (void)state;
    lead();
    grant(7, 10);
    role_world_disconnect(&world, PEER_RAFT);
    uint64_t waits = keep_alive(7);
    assert_waits(waits);
    role_world_tick(&world, 4 * SECOND);
    world.peers[PEER_RAFT].greet_position = world.index;
    role_world_connect(&world, PEER_RAFT);
    uint64_t life = ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, false);
    role_world_lead(&world, true, 2);
    assert_int_equal(answer_to(waits).ttl, 10);
    assert_in_range(answer_to(life).ttl, 6, 10);
}

static void test_lost_proposal_is_repeated(void **state) {
    (void)state;
    lead();
    grant(7, 2);
    role_world_tick(&world, 2 * SECOND);
    assert_int_equal(world.proposal_count, 1);
    free((void *)world.proposals[--world.proposal_count].data);
    role_world_tick(&world, SECOND);
    assert_int_equal(world.proposal_count, 0);
    role_world_tick(&world, SECOND);
    assert_int_equal(role_world_execute_proposals(&world), 1);
    assert_int_equal(answer_to(ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, false)).ttl, -1);
}

static void test_restart_extends(void **state) {
    (void)state;
    lead();
    grant(7, 10);
    role_world_tick(&world, 9 * SECOND);
    memory_flush_wait(&world.store->head);
    struct memory_store *store = world.store;
    role_world_close(&world);
    role_world_open(&world, store, NULL);
    connect_all();
    uint64_t waits = ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, false);
    assert_waits(waits);
    role_world_lead(&world, true, 2);
    assert_int_equal(answer_to(waits).ttl, 11);
    role_world_tick(&world, 10 * SECOND);
    assert_int_equal(world.proposal_count, 0);
    role_world_tick(&world, SECOND);
    assert_int_equal(world.proposal_count, 1);
}

static void test_checkpoint_is_cleared_before_the_answer(void **state) {
    (void)state;
    lead();
    grant(7, 3600);
    role_world_tick(&world, (uint64_t)301 * SECOND);
    assert_int_equal(role_world_execute_proposals(&world), 1);
    uint64_t waits = keep_alive(7);
    assert_waits(waits);
    assert_int_equal(role_world_execute_proposals(&world), 1);
    assert_int_equal(answer_to(waits).ttl, 3600);
    assert_int_equal(answer_to(keep_alive(7)).ttl, 3600);
    assert_int_equal(world.proposal_count, 0);
}

/* --- keys and lists --- */

static void test_keys_in_order(void **state) {
    (void)state;
    lead();
    grant(7, 10);
    attach("c", 7);
    attach("a", 7);
    attach("b", 7);
    attach("d", 0);
    role_world_settle(&world);
    struct answer answer = answer_to(ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, true));
    assert_string_equal(answer.keys, "abc");
    assert_int_equal(answer_to(ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, false)).key_count, 0);
}

static void test_many_keys_are_a_job(void **state) {
    (void)state;
    unsigned parts = 0;
    lead();
    grant(7, 10);
    for (unsigned i = 0; i < 3000; i++) {
        char key[64];
        snprintf(key, sizeof key, "%060u", i);
        attach(key, 7);
        if (i % 100 == 0)
            role_world_settle(&world);
    }
    role_world_settle(&world);
    world.hold_jobs = true;
    uint64_t id = ask_of(0, METHOD_LEASE_TIME_TO_LIVE, 7, true);
    assert_int_equal(apply_role_state(world.role).jobs, 1);
    attach("not yet", 7);
    role_world_settle(&world);
    assert_waits(id);
    world.hold_jobs = false;
    role_world_settle(&world);
    assert_int_equal(role_world_result(&world, id, &body, &parts)->revision,
                     apply_role_state(world.role).revision - 1);
    assert_true(parts > 1);
    struct wire_reader reader = wire_reader_of(buffer_bytes(&body));
    struct wire_field field;
    unsigned keys = 0;
    while (wire_next(&reader, &field)) {
        char key[64];
        snprintf(key, sizeof key, "%060u", keys);
        if (field.number == 5) {
            assert_true(bytes_equal(field.bytes, bytes_from_text(key)));
            keys++;
        }
    }
    assert_int_equal(keys, 3000);
}

/* The ids of a LeaseLeasesResponse. */
static size_t listed(uint64_t request, int64_t *ids) {
    size_t count = 0;
    assert_int_equal(result_of(request)->status, STATUS_OK);
    struct wire_reader reader = wire_reader_of(buffer_bytes(&body));
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        struct wire_reader inner = wire_reader_of(field.bytes);
        struct wire_field id;
        assert_int_equal(field.number, 2);
        assert_true(wire_next(&inner, &id));
        ids[count++] = (int64_t)id.value;
    }
    return count;
}

static void test_list_by_expiry(void **state) {
    (void)state;
    static int64_t ids[1000];
    assert_int_equal(listed(ask_of(0, METHOD_LEASE_LEASES, 0, false), ids), 0);
    grant(1, 30);
    grant(2, 10);
    grant(3, 20);
    assert_int_equal(listed(ask_of(0, METHOD_LEASE_LEASES, 0, false), ids), 3); /* whoever leads */
    lead();
    assert_int_equal(listed(ask_of(0, METHOD_LEASE_LEASES, 0, false), ids), 3);
    assert_true(ids[0] == 2 && ids[1] == 3 && ids[2] == 1);
    role_world_tick(&world, 5 * SECOND);
    keep_alive(2);
    keep_alive(3);
    assert_int_equal(listed(ask_of(0, METHOD_LEASE_LEASES, 0, false), ids), 3);
    assert_true(ids[0] == 2 && ids[1] == 3 && ids[2] == 1);
    for (int64_t id = 100; id < 900; id++)
        grant(id, 1000 - id);
    assert_int_equal(listed(ask_of(0, METHOD_LEASE_LEASES, 0, false), ids), 803);
    for (size_t i = 0; i < 5; i++)
        assert_true(ids[i] == 2 || ids[i] == 3 || ids[i] == 1 || ids[i] > 890);
    assert_int_equal(ids[802], 100);
}

/* STATUS_OK: there is no result. */
static uint16_t refusal_of(uint64_t request) {
    const struct bus_result *result = result_of(request);
    return result == NULL ? STATUS_OK : result->status;
}

/* Each list that is being made takes memory for every lease: a few at a time, the others are refused. */
static void test_lists_are_bounded(void **state) {
    (void)state;
    enum { LEASES = 300, FIT = 3, ASKED = 5 };
    static int64_t ids[LEASES];
    uint64_t requests[ASKED];
    teardown(NULL);
    role_world_open(&world, NULL, &(struct apply_options){.answer_bytes = 16 * LEASES * FIT + 100});
    connect_all();
    for (int64_t id = 1; id <= LEASES; id++)
        grant(id, 100);
    world.hold_jobs = true;
    for (unsigned i = 0; i < ASKED; i++)
        requests[i] = ask_of(0, METHOD_LEASE_LEASES, 0, false);
    for (unsigned i = 0; i < ASKED; i++) {
        if (i < FIT)
            assert_null(result_of(requests[i]));
        else
            assert_int_equal(refusal_of(requests[i]), STATUS_TOO_MANY_REQUESTS);
    }
    world.hold_jobs = false;
    role_world_settle(&world);
    for (unsigned i = 0; i < FIT; i++)
        assert_int_equal(listed(requests[i], ids), LEASES);

    /* What was given up before it ran counts no longer. */
    world.hold_jobs = true;
    for (unsigned i = 0; i < FIT; i++)
        ask_of(0, METHOD_LEASE_LEASES, 0, false);
    role_world_disconnect(&world, PEER_PROXY_0);
    world.hold_jobs = false;
    role_world_settle(&world);
    role_world_connect(&world, PEER_PROXY_0);
    world.hold_jobs = true;
    for (unsigned i = 0; i < FIT; i++)
        requests[i] = ask_of(0, METHOD_LEASE_LEASES, 0, false);
    world.hold_jobs = false;
    role_world_settle(&world);
    for (unsigned i = 0; i < FIT; i++)
        assert_int_equal(listed(requests[i], ids), LEASES);
}

static void test_malformed(void **state) {
    (void)state;
    lead();
    buffer_append(&body, "\x08", 1);
    uint64_t id = role_world_read(&world, 0, false, METHOD_LEASE_KEEP_ALIVE, &body);
    role_world_settle(&world);
    assert_int_equal(result_of(id)->status, STATUS_UNDECODABLE);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_keep_alive),
        CASE(test_expiry_and_who_waits_for_it),
        CASE(test_waits_for_a_leader),
        CASE(test_waits_for_what_was_in_the_log),
        CASE(test_waiting_ends_at_the_deadline),
        CASE(test_waiting_ends_with_the_proxy),
        CASE(test_waiting_is_bounded),
        CASE(test_raft_goes_and_comes),
        CASE(test_lost_proposal_is_repeated),
        CASE(test_restart_extends),
        CASE(test_checkpoint_is_cleared_before_the_answer),
        CASE(test_keys_in_order),
        CASE(test_many_keys_are_a_job),
        CASE(test_list_by_expiry),
        CASE(test_lists_are_bounded),
        CASE(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
