/* lessor: terms, expiry, pacing, retries and checkpoints, with a time and a log that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/lease/leadership.h"
#include "apply/lease/lessor.h"
#include "apply/mvcc/mvcc.h"

#include "memory_store.h"
#include "requests.h"

enum { PROPOSALS = 1024, SECOND = 1000000, ELECTION = 2 * SECOND, MINUTES_5 = 300 };

struct world {
    struct memory_store *store;
    struct mvcc mvcc;
    struct lessor *lessor;
    uint64_t now_us;
    bool refuse;                       /* proposals */
    struct bytes proposals[PROPOSALS]; /* not executed yet; owned */
    uint64_t terms[PROPOSALS];
    size_t proposed, executed;
};

static bool propose(void *context, uint64_t term, struct bytes request) {
    struct world *world = context;
    if (world->refuse)
        return false;
    assert_true(world->proposed - world->executed < PROPOSALS);
    world->proposals[world->proposed % PROPOSALS] = memory_copy(request);
    world->terms[world->proposed++ % PROPOSALS] = term;
    return true;
}

static void open_lessor(struct world *world) {
    world->lessor = lessor_new(&(struct lessor_options){
        .book = &world->mvcc.leases, .election_us = ELECTION, .propose = propose, .context = world});
}

static int setup(void **state) {
    struct world *world = must_zalloc(sizeof *world);
    char error[256];
    world->store = memory_store_new();
    assert_true(mvcc_open(&world->mvcc, &world->store->head, 1, error));
    world->now_us = 12345678;
    open_lessor(world);
    *state = world;
    return 0;
}

static void drop(struct world *world) {
    while (world->executed < world->proposed)
        free((void *)world->proposals[world->executed++ % PROPOSALS].data);
}

static int teardown(void **state) {
    struct world *world = *state;
    drop(world);
    lessor_free(world->lessor);
    mvcc_close(&world->mvcc);
    memory_close(&world->store->head);
    free(world);
    return 0;
}

/* --- the log --- */

static uint16_t execute_entry(struct world *world, struct bytes entry) {
    struct outcome outcome;
    mvcc_execute(&world->mvcc, world->mvcc.index + 1, 1, 0, entry, &outcome);
    return outcome.status;
}

static uint16_t execute(struct world *world, uint32_t number, struct buffer *body) {
    struct internal_request request = {.number = number, .body = buffer_bytes(body)};
    struct buffer entry = {0};
    internal_request_encode(&entry, &request);
    uint16_t status = execute_entry(world, buffer_bytes(&entry));
    buffer_free(&entry);
    buffer_free(body);
    return status;
}

static void grant(struct world *world, int64_t id, int64_t ttl) {
    struct buffer body = {0};
    encode_lease_grant(&body, id, ttl);
    assert_int_equal(execute(world, INTERNAL_LEASE_GRANT, &body), STATUS_OK);
}

static void revoke(struct world *world, int64_t id) {
    struct buffer body = {0};
    encode_lease(&body, id, false);
    assert_int_equal(execute(world, INTERNAL_LEASE_REVOKE, &body), STATUS_OK);
}

static void attach(struct world *world, int64_t id, unsigned keys) {
    for (unsigned i = 0; i < keys; i++) {
        char key[32];
        struct buffer body = {0};
        snprintf(key, sizeof key, "%d/%u", (int)id, i);
        encode_put(&body, &(struct put_request){.key = bytes_from_text(key), .lease = id});
        assert_int_equal(execute(world, INTERNAL_PUT, &body), STATUS_OK);
    }
}

static bool exists(const struct world *world, int64_t id) {
    return lease_book_find(&world->mvcc.leases, id) != NULL;
}

/* Executes what was proposed, as one round. Returns how many. */
static size_t run_proposals(struct world *world) {
    size_t until = world->proposed;
    size_t count = until - world->executed;
    while (world->executed < until) {
        struct bytes entry = world->proposals[world->executed++ % PROPOSALS];
        execute_entry(world, entry);
        free((void *)entry.data);
    }
    mvcc_commit(&world->mvcc);
    return count;
}

static void pass(struct world *world, uint64_t us) {
    world->now_us += us;
    lessor_advance(world->lessor, world->now_us);
    lessor_finish(world->lessor);
}

static void lead(struct world *world, uint64_t term) {
    lessor_lead(world->lessor, true, term);
    pass(world, 0);
}

static size_t waiting_proposals(const struct world *world) {
    return world->proposed - world->executed;
}

static int64_t left(struct world *world, int64_t id) {
    struct lease_life life = {0};
    assert_int_equal(lessor_time_to_live(world->lessor, id, &life), LEASE_ANSWERED);
    return life.ttl;
}

static enum lease_answer renew(struct world *world, int64_t id) {
    int64_t ttl = 0;
    return lessor_renew(world->lessor, id, &ttl);
}

/* --- cases --- */

static void test_only_a_primary_answers(void **state) {
    struct world *world = *state;
    struct lease_life life;
    grant(world, 1, 10);
    pass(world, 0);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    assert_int_equal(renew(world, 2), LEASE_WAIT);
    assert_int_equal(lessor_time_to_live(world->lessor, 1, &life), LEASE_WAIT);
    assert_false(lessor_moved(world->lessor));
    pass(world, 100 * SECOND); /* nothing expires */
    assert_int_equal(waiting_proposals(world), 0);
    lead(world, 3);
    assert_true(lessor_moved(world->lessor));
    assert_false(lessor_moved(world->lessor));
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
    assert_int_equal(renew(world, 2), LEASE_UNKNOWN);
    lessor_lead(world->lessor, false, 3);
    pass(world, 0);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
}

static void test_expires_in_time(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 10);
    pass(world, 5 * SECOND); /* its time begins here: the grant's round ends */
    assert_int_equal(left(world, 1), 10);
    pass(world, 9 * SECOND + 999999);
    assert_int_equal(left(world, 1), 0);
    assert_int_equal(waiting_proposals(world), 0);
    pass(world, 1);
    assert_int_equal(waiting_proposals(world), 1);
    assert_int_equal(world->terms[0], 3);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 1500000);
    assert_int_equal(left(world, 1), -1);
    assert_int_equal(waiting_proposals(world), 1);
    run_proposals(world);
    assert_true(lessor_moved(world->lessor)); /* the renewal waits */
    assert_int_equal(renew(world, 1), LEASE_UNKNOWN);
    assert_int_equal(lessor_counts(world->lessor).expired, 1);
}

static void test_renewals_keep_it(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3);
    grant(world, 2, 3);
    pass(world, 0);
    for (unsigned i = 0; i < 10; i++) {
        pass(world, SECOND);
        assert_int_equal(renew(world, 1), LEASE_ANSWERED);
        run_proposals(world);
    }
    assert_true(exists(world, 1));
    assert_false(exists(world, 2));
    assert_int_equal(left(world, 1), 3);
    pass(world, 3 * SECOND);
    assert_int_equal(run_proposals(world), 1);
    assert_false(exists(world, 1));
    assert_int_equal(lessor_counts(world->lessor).renewed, 10);
}

static void test_revoked_by_a_client_meanwhile(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3);
    grant(world, 2, 4);
    pass(world, 0);
    revoke(world, 1);
    pass(world, 3 * SECOND);
    assert_int_equal(waiting_proposals(world), 0);
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    revoke(world, 2); /* while its revocation is under way */
    run_proposals(world);
    grant(world, 2, 3);
    pass(world, 0);
    assert_int_equal(renew(world, 2), LEASE_ANSWERED);
}

/* What was proposed for a lease does not meet the next one of its id. */
static void test_an_id_comes_again(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3);
    pass(world, 0);
    pass(world, 3 * SECOND);
    pass(world, 2 * SECOND); /* and once more, as it took long */
    assert_int_equal(waiting_proposals(world), 2);
    revoke(world, 1);
    grant(world, 1, 3600);
    attach(world, 1, 1);
    run_proposals(world);
    assert_true(exists(world, 1));
    pass(world, 0);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);

    pass(world, MINUTES_5 * (uint64_t)SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    revoke(world, 1);
    grant(world, 1, 3600);
    run_proposals(world);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 1)->remaining, 0);
}

static void test_new_term_begins_anew(void **state) {
    struct world *world = *state;
    grant(world, 1, 10);
    lead(world, 3);
    pass(world, 11 * SECOND);
    assert_int_equal(waiting_proposals(world), 0); /* ten seconds and an election timeout */
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    drop(world); /* raft was not the leader any more */
    lead(world, 4);
    assert_int_equal(left(world, 1), 12);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
    assert_int_equal(left(world, 1), 10);
}

/* The link to raft was away, nobody else led: the clocks went on. */
static void test_same_term_goes_on(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 10);
    pass(world, 0);
    lessor_lead(world->lessor, false, 3);
    pass(world, 6 * SECOND);
    grant(world, 2, 10);
    lead(world, 3);
    assert_int_equal(left(world, 1), 4);
    assert_int_equal(left(world, 2), 10);
}

static void test_lost_proposals_are_repeated(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 2);
    pass(world, 0);
    world->refuse = true;
    pass(world, 2 * SECOND);
    assert_int_equal(waiting_proposals(world), 0);
    world->refuse = false;
    pass(world, 0);
    assert_int_equal(waiting_proposals(world), 1);
    drop(world);
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 0);
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    assert_int_equal(lessor_counts(world->lessor).expired, 1);
    run_proposals(world);
    assert_false(exists(world, 1));
}

static void test_restart_gives_full_time(void **state) {
    struct world *world = *state;
    struct buffer body = {0};
    grant(world, 1, 600);
    grant(world, 2, 600);
    encode_lease_checkpoint(&body, 2, 400);
    execute(world, INTERNAL_LEASE_CHECKPOINT, &body);
    lessor_free(world->lessor);
    open_lessor(world);
    lead(world, 3);
    assert_int_equal(left(world, 1), 602);
    assert_int_equal(left(world, 2), 402);
}

/* --- pacing --- */

static void grant_with_keys(struct world *world, int64_t first, int64_t last, int64_t ttl, unsigned keys) {
    for (int64_t id = first; id <= last; id++) {
        grant(world, id, ttl);
        attach(world, id, keys);
    }
    pass(world, 0);
}

/* Rounds until all leases are gone, each so long; the most proposals under way in one. */
static unsigned rounds_until_gone(struct world *world, uint64_t round_us, size_t *most) {
    unsigned rounds = 0;
    *most = 0;
    for (; world->mvcc.leases.count > 0; rounds++) {
        size_t under_way = waiting_proposals(world);
        *most = under_way > *most ? under_way : *most;
        pass(world, round_us / 2); /* nothing new while they are under way */
        assert_int_equal(waiting_proposals(world), under_way);
        world->now_us += round_us / 2;
        run_proposals(world);
        pass(world, 0);
    }
    return rounds;
}

static void test_few_at_a_time(void **state) {
    struct world *world = *state;
    size_t most = 0;
    lead(world, 3);
    grant_with_keys(world, 1, 300, 5, 0);
    pass(world, 5 * SECOND);
    assert_int_equal(rounds_until_gone(world, 1000, &most), 4);
    assert_true(most > 64 && most <= 128);
}

/* 20,000 keys: 0.4 s, whatever the latency is, unless it is very short or very long. */
static void test_rate_at_any_latency(void **state) {
    static const uint64_t latencies_us[] = {500, 1500, 5000, 15000, 100000};
    struct world *world = *state;
    lead(world, 3);
    for (size_t i = 0; i < sizeof latencies_us / sizeof *latencies_us; i++) {
        uint64_t latency_us = latencies_us[i];
        size_t most = 0;
        grant_with_keys(world, 1, 2000, 5, 9);
        pass(world, 5 * SECOND);
        unsigned rounds = rounds_until_gone(world, latency_us, &most);
        assert_true(most <= 128);
        if (latency_us < 1000)
            assert_in_range(rounds, 20000 / 100, 20000 / 60); /* six leases, which are 60 keys */
        else if (latency_us < 20000)
            assert_in_range(rounds * latency_us, 350000, 600000);
        else
            assert_in_range(rounds, 20, 24); /* 1,000 keys */
    }
}

/* Rounds of 20 ms: down to 64 keys, and up again when they are short. */
static void test_fewer_in_long_rounds(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant_with_keys(world, 1, 3000, 5, 9);
    pass(world, 5 * SECOND);
    for (unsigned i = 0; i < 30; i++) {
        world->now_us += 20000;
        run_proposals(world);
        lessor_took(world->lessor, 20000);
        pass(world, 0);
    }
    assert_int_equal(waiting_proposals(world), 6);
    for (unsigned i = 0; i < 30; i++) {
        world->now_us += 20000;
        run_proposals(world);
        lessor_took(world->lessor, 2000);
        pass(world, 0);
    }
    assert_in_range(waiting_proposals(world), 90, 100);
}

static void test_large_lease_goes_alone(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant_with_keys(world, 1, 1, 5, 3000);
    grant_with_keys(world, 2, 3, 6, 0);
    pass(world, 5 * SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    run_proposals(world);
    pass(world, 0);
    assert_int_equal(waiting_proposals(world), 2);
}

/* All are due in the heap, all were renewed: looking at them is spread over rounds, and keeps none back long.
 */
static void test_many_renewed_at_once(void **state) {
    struct world *world = *state;
    lead(world, 3);
    for (int64_t id = 1; id <= 20000; id++)
        grant(world, id, 10);
    pass(world, 0);
    pass(world, 5 * SECOND);
    for (int64_t id = 1; id < 20000; id++)
        assert_int_equal(renew(world, id), LEASE_ANSWERED);
    unsigned rounds = 0;
    pass(world, 5 * SECOND);
    for (; lessor_is_busy(world->lessor); rounds++)
        pass(world, 100);
    assert_true(rounds >= 4 && rounds <= 6);
    assert_int_equal(run_proposals(world), 1);
    assert_false(exists(world, 20000));
    assert_int_equal(world->mvcc.leases.count, 19999);
}

/* --- checkpoints --- */

static int64_t remaining(const struct world *world, int64_t id) {
    return lease_book_find(&world->mvcc.leases, id)->remaining;
}

static void test_checkpoints(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3600);
    grant(world, 2, 400); /* short: 100 s are left after five minutes */
    grant(world, 3, 3600);
    pass(world, 0);
    pass(world, (MINUTES_5 - 1) * (uint64_t)SECOND);
    assert_int_equal(renew(world, 3), LEASE_ANSWERED); /* nothing to say about it */
    assert_int_equal(waiting_proposals(world), 0);
    pass(world, SECOND);
    assert_int_equal(run_proposals(world), 1);
    assert_int_equal(remaining(world, 1), 3300);
    assert_int_equal(remaining(world, 2), 0);
    assert_int_equal(remaining(world, 3), 0);
    pass(world, SECOND);
    assert_int_equal(waiting_proposals(world), 0);

    /* The first renewal undoes it through the log, the second has nothing to undo. */
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    lessor_finish(world->lessor);
    assert_int_equal(waiting_proposals(world), 1);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 0);
    assert_int_equal(run_proposals(world), 1);
    assert_true(lessor_moved(world->lessor));
    assert_int_equal(remaining(world, 1), 0);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
    assert_int_equal(left(world, 1), 3600);
    lessor_finish(world->lessor);
    assert_int_equal(waiting_proposals(world), 0);
}

static void test_lost_clear_is_repeated(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3600);
    pass(world, 0);
    pass(world, MINUTES_5 * (uint64_t)SECOND);
    run_proposals(world);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 0);
    drop(world);
    pass(world, SECOND);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 0);
    assert_int_equal(waiting_proposals(world), 0);
    pass(world, SECOND);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 0);
    run_proposals(world);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
}

/* A primary before us cleared it, so it answered a renewal: that must hold here. */
static void test_clear_of_another_primary_renews(void **state) {
    struct world *world = *state;
    struct buffer body = {0};
    grant(world, 1, 3600);
    encode_lease_checkpoint(&body, 1, 400);
    execute(world, INTERNAL_LEASE_CHECKPOINT, &body);
    lead(world, 3);
    assert_int_equal(left(world, 1), 402);
    encode_lease_checkpoint(&body, 1, 0);
    execute(world, INTERNAL_LEASE_CHECKPOINT, &body);
    assert_int_equal(left(world, 1), 3600);
}

/*
 * A checkpoint is proposed, and before it is executed the lease is renewed. Answered from memory, the
 * checkpoint would then take back what the answer promised: a primary to come would give the lease 3,300 s.
 */
static void test_renewed_while_a_checkpoint_is_under_way(void **state) {
    struct world *world = *state;
    lead(world, 3);
    grant(world, 1, 3600);
    pass(world, 0);
    world->refuse = true;
    pass(world, MINUTES_5 * (uint64_t)SECOND); /* it is not even with raft */
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    world->refuse = false;
    lessor_finish(world->lessor); /* what undoes it must not go before it */
    pass(world, 0);
    assert_int_equal(waiting_proposals(world), 2);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    run_proposals(world);
    assert_int_equal(remaining(world, 1), 0);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
    assert_int_equal(left(world, 1), 3600);

    /* A checkpoint that got lost costs one such detour. */
    pass(world, MINUTES_5 * (uint64_t)SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    drop(world);
    assert_int_equal(renew(world, 1), LEASE_WAIT);
    pass(world, 0);
    run_proposals(world);
    assert_int_equal(renew(world, 1), LEASE_ANSWERED);
    lessor_finish(world->lessor);
    assert_int_equal(waiting_proposals(world), 0);
}

static void test_checkpoints_come_in_batches(void **state) {
    struct world *world = *state;
    lead(world, 3);
    for (int64_t id = 1; id <= 2500; id++)
        grant(world, id, 3600);
    pass(world, 0);
    pass(world, MINUTES_5 * (uint64_t)SECOND);
    assert_int_equal(waiting_proposals(world), 1);
    pass(world, 1000);
    assert_int_equal(waiting_proposals(world), 1); /* one every 100 ms */
    for (unsigned i = 0; i < 5; i++)
        pass(world, 100000);
    assert_int_equal(run_proposals(world), 3);
    for (int64_t id = 1; id <= 2500; id++)
        assert_true(remaining(world, id) == 3300 || remaining(world, id) == 3299);
}

/* --- order and leadership --- */

static void test_list(void **state) {
    struct world *world = *state;
    struct buffer list = {0};
    lead(world, 3);
    grant(world, 1, 30);
    grant(world, 2, 10);
    pass(world, 0);
    lessor_list(world->lessor, &list);
    assert_int_equal(list.length, 2 * sizeof(struct lease_expiry));
    for (unsigned i = 0; i < 2; i++) {
        struct lease_expiry expiry;
        memcpy(&expiry, list.data + i * sizeof expiry, sizeof expiry);
        assert_int_equal(expiry.at_us, world->now_us + (expiry.id == 1 ? 30 : 10) * (uint64_t)SECOND);
    }
    buffer_free(&list);
}

static void test_leadership(void **state) {
    (void)state;
    struct leadership leadership = {0};
    struct bus_raft_state leader = {.role = RAFT_LEADER, .term = 5};
    assert_false(leadership_holds(&leadership, 0, 0));
    leadership_up(&leadership, &(struct bus_hello){.term = 5, .position = 10});
    assert_false(leadership_holds(&leadership, 10, 5));
    leadership_state(&leadership, &leader);
    assert_false(leadership_holds(&leadership, 10, 4)); /* nothing of its term yet */
    assert_false(leadership_holds(&leadership, 9, 5));  /* proposed before the connection began */
    assert_true(leadership_holds(&leadership, 10, 5));
    leadership_down(&leadership);
    assert_false(leadership_holds(&leadership, 10, 5));
    /* Elected later: what was in the log at the time of the connection may be gone. */
    leader.term = 6;
    leadership_state(&leadership, &leader);
    assert_false(leadership_holds(&leadership, 9, 5));
    assert_true(leadership_holds(&leadership, 9, 6));
    leadership_state(&leadership, &(struct bus_raft_state){.role = RAFT_FOLLOWER, .term = 7});
    assert_false(leadership_holds(&leadership, 9, 7));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_only_a_primary_answers),
        CASE(test_expires_in_time),
        CASE(test_renewals_keep_it),
        CASE(test_revoked_by_a_client_meanwhile),
        CASE(test_an_id_comes_again),
        CASE(test_new_term_begins_anew),
        CASE(test_same_term_goes_on),
        CASE(test_lost_proposals_are_repeated),
        CASE(test_restart_gives_full_time),
        CASE(test_few_at_a_time),
        CASE(test_rate_at_any_latency),
        CASE(test_fewer_in_long_rounds),
        CASE(test_large_lease_goes_alone),
        CASE(test_many_renewed_at_once),
        CASE(test_checkpoints),
        CASE(test_renewed_while_a_checkpoint_is_under_way),
        CASE(test_lost_clear_is_repeated),
        CASE(test_clear_of_another_primary_renews),
        CASE(test_checkpoints_come_in_batches),
        CASE(test_list),
        CASE(test_leadership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
