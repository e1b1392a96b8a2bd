/*
 * Leases as log entries: grant, revoke, checkpoint; who is attached to what after puts, deletes and
 * transactions; revocations in parts and crashes between them. After every step the attachments in the store
 * must be the keys' lease fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"
#include "common/key_hash.h"

#include "lease_check.h"
#include "memory_store.h"
#include "requests.h"

enum { EVENTS = 100 };

struct world {
    struct memory_store *store;
    struct mvcc mvcc;
    struct outcome outcome;
    /* told to the observer: deletes of a revocation */
    char events[EVENTS][8];
    struct revision at[EVENTS];
    size_t event_count;
};

static int setup(void **state) {
    struct world *world = must_zalloc(sizeof *world);
    char error[256];
    world->store = memory_store_new();
    assert_true(mvcc_open(&world->mvcc, &world->store->head, 1, error));
    *state = world;
    return 0;
}

static int teardown(void **state) {
    struct world *world = *state;
    mvcc_close(&world->mvcc);
    memory_close(&world->store->head);
    free(world);
    return 0;
}

static struct bytes text(const char *string) {
    return bytes_from_text(string);
}

static void reopen(struct world *world, bool crash) {
    char error[256];
    mvcc_close(&world->mvcc);
    if (crash)
        memory_crash(world->store);
    assert_true(mvcc_open(&world->mvcc, &world->store->head, 2, error));
}

/* --- entries --- */

static uint16_t execute(struct world *world, uint32_t number, struct buffer *body) {
    struct internal_request request = {.id = 77, .number = number, .body = buffer_bytes(body)};
    struct buffer entry = {0};
    internal_request_encode(&entry, &request);
    mvcc_execute(&world->mvcc, world->mvcc.index + 1, 1, 0, buffer_bytes(&entry), &world->outcome);
    buffer_free(&entry);
    buffer_free(body);
    return world->outcome.status;
}

static uint16_t grant(struct world *world, int64_t id, int64_t ttl) {
    struct buffer body = {0};
    encode_lease_grant(&body, id, ttl);
    return execute(world, INTERNAL_LEASE_GRANT, &body);
}

static uint16_t revoke(struct world *world, int64_t id) {
    struct buffer body = {0};
    encode_lease(&body, id, false);
    return execute(world, INTERNAL_LEASE_REVOKE, &body);
}

static uint16_t put_with(struct world *world, struct put_request request) {
    struct buffer body = {0};
    encode_put(&body, &request);
    return execute(world, INTERNAL_PUT, &body);
}

static uint16_t put(struct world *world, const char *key, int64_t lease) {
    return put_with(world, (struct put_request){.key = text(key), .value = text("v"), .lease = lease});
}

static void delete_range(struct world *world, const char *key, const char *end) {
    struct delete_range_request request = {.key = text(key), .range_end = text(end)};
    struct buffer body = {0};
    encode_delete(&body, &request);
    assert_int_equal(execute(world, INTERNAL_DELETE_RANGE, &body), STATUS_OK);
}

/* A transaction of puts, key=lease each. */
static uint16_t txn_puts(struct world *world, const char *const *keys, const int64_t *leases, size_t count) {
    struct buffer body = {0};
    for (size_t i = 0; i < count; i++) {
        struct put_request request = {.key = text(keys[i]), .value = text("t"), .lease = leases[i]};
        size_t operation = wire_begin_message(&body, TXN_SUCCESS);
        size_t message = wire_begin_message(&body, OP_PUT);
        encode_put(&body, &request);
        wire_end_message(&body, message);
        wire_end_message(&body, operation);
    }
    return execute(world, INTERNAL_TXN, &body);
}

/* Numbers 2 and 3 of the result. */
static void assert_granted(struct world *world, int64_t id, int64_t ttl) {
    struct buffer expected = {0};
    wire_put_int64(&expected, 2, id);
    wire_put_int64(&expected, 3, ttl);
    assert_true(bytes_equal(buffer_bytes(&expected), world->outcome.body));
    buffer_free(&expected);
}

static void assert_keys(struct world *world, int64_t id, const char *expected) {
    struct buffer keys = {0};
    lease_check(&world->mvcc);
    lease_check_keys(&world->mvcc, id, &keys);
    buffer_append_byte(&keys, 0);
    assert_string_equal((const char *)keys.data, expected);
    buffer_free(&keys);
}

/* --- grants --- */

static void test_grant(void **state) {
    struct world *world = *state;
    assert_int_equal(grant(world, 5, 60), STATUS_OK);
    assert_granted(world, 5, 60);
    assert_int_equal(world->outcome.revision, 1);
    assert_int_equal(grant(world, 5, 10), STATUS_LEASE_EXISTS);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 5)->ttl, 60);
    assert_int_equal(world->mvcc.counts.leases_granted, 1);
}

static void test_grant_is_total(void **state) {
    struct world *world = *state;
    assert_int_equal(grant(world, 0, 60), STATUS_LEASE_NOT_FOUND);
    assert_int_equal(grant(world, -1, 0), STATUS_OK);
    assert_granted(world, -1, 1);
    assert_int_equal(grant(world, INT64_MIN, -7), STATUS_OK);
    assert_granted(world, INT64_MIN, 1);
    assert_int_equal(grant(world, INT64_MAX, INT64_C(9000000000)), STATUS_OK);
    assert_int_equal(grant(world, 1, INT64_C(9000000001)), STATUS_LEASE_TTL_TOO_LARGE);
    struct buffer garbage = {0};
    buffer_append(&garbage, "\x08", 1);
    assert_int_equal(execute(world, INTERNAL_LEASE_GRANT, &garbage), STATUS_UNDECODABLE);
    buffer_append(&garbage, "\x08", 1);
    assert_int_equal(execute(world, INTERNAL_LEASE_REVOKE, &garbage), STATUS_UNDECODABLE);
    buffer_append(&garbage, "\x08\x01", 2);
    assert_int_equal(execute(world, INTERNAL_LEASE_CHECKPOINT, &garbage), STATUS_UNDECODABLE);
    assert_int_equal(put(world, "edge", -1), STATUS_OK);
    assert_int_equal(put(world, "edge2", INT64_MAX), STATUS_OK);
    assert_keys(world, -1, "edge ");
    assert_int_equal(revoke(world, -1), STATUS_OK);
    assert_keys(world, INT64_MAX, "edge2 ");
}

static void test_many_leases_survive(void **state) {
    struct world *world = *state;
    for (int64_t id = 1; id <= 500; id++)
        assert_int_equal(grant(world, id * 977, id), STATUS_OK);
    for (int64_t id = 1; id <= 500; id += 3)
        assert_int_equal(revoke(world, id * 977), STATUS_OK);
    mvcc_commit(&world->mvcc);
    reopen(world, false);
    for (int64_t id = 1; id <= 500; id++) {
        const struct lease *lease = lease_book_find(&world->mvcc.leases, id * 977);
        assert_int_equal(lease == NULL, id % 3 == 1);
        assert_true(lease == NULL || lease->ttl == id);
    }
}

/* --- attaching --- */

static void test_put_attaches_and_detaches(void **state) {
    struct world *world = *state;
    assert_int_equal(put(world, "a", 1), STATUS_LEASE_NOT_FOUND);
    grant(world, 1, 60);
    grant(world, 2, 60);
    put(world, "a", 1);
    put(world, "b", 1);
    assert_keys(world, 1, "a b ");
    put(world, "a", 1); /* the same again */
    assert_keys(world, 1, "a b ");
    put(world, "a", 2);
    assert_keys(world, 1, "b ");
    assert_keys(world, 2, "a ");
    put(world, "b", 0);
    assert_keys(world, 1, "");
    put_with(world, (struct put_request){.key = text("a"), .value = text("w"), .ignore_lease = true});
    assert_keys(world, 2, "a ");
    put_with(world, (struct put_request){.key = text("a"), .ignore_value = true});
    assert_keys(world, 2, "");
}

static void test_delete_detaches(void **state) {
    struct world *world = *state;
    grant(world, 1, 60);
    put(world, "a", 1);
    put(world, "b", 1);
    put(world, "c", 1);
    delete_range(world, "b", "");
    assert_keys(world, 1, "a c ");
    mvcc_commit(&world->mvcc);
    delete_range(world, "a", "z");
    assert_keys(world, 1, "");
    put(world, "a", 0);
    assert_int_equal(revoke(world, 1), STATUS_OK);
    assert_int_equal(world->outcome.revision, world->mvcc.revision);
    struct record record;
    mvcc_lookup(&world->mvcc, text("a"), key_hash(text("a"), world->mvcc.hash_seed), &record);
    assert_false(record.tombstone);
}

static void test_txn_attaches_all_or_nothing(void **state) {
    struct world *world = *state;
    grant(world, 1, 60);
    grant(world, 2, 60);
    put(world, "b", 2);
    assert_int_equal(txn_puts(world, (const char *[]){"a", "b"}, (int64_t[]){1, 9}, 2),
                     STATUS_LEASE_NOT_FOUND);
    assert_keys(world, 1, "");
    assert_int_equal(txn_puts(world, (const char *[]){"a", "b", "c"}, (int64_t[]){1, 1, 2}, 3), STATUS_OK);
    assert_keys(world, 1, "a b ");
    assert_keys(world, 2, "c ");
}

/* --- revoking --- */

static bool wants(void *context, struct bytes key, int64_t revision, bool *previous) {
    (void)context, (void)key, (void)revision;
    *previous = true;
    return true;
}

static void changed(void *context, struct bytes key, const struct record *record,
                    const struct record *previous) {
    struct world *world = context;
    assert_true(world->event_count < EVENTS);
    assert_true(record->tombstone && previous != NULL);
    memcpy(world->events[world->event_count], key.data, key.length);
    world->at[world->event_count++] = record->modified;
}

static void observe(struct world *world) {
    world->mvcc.observer = (struct mvcc_observer){.context = world, .wants = wants, .changed = changed};
    memset(world->events, 0, sizeof world->events);
    world->event_count = 0;
}

static void test_revoke_deletes_in_one_revision(void **state) {
    struct world *world = *state;
    grant(world, 1, 60);
    put(world, "c", 1);
    put(world, "a", 1);
    put(world, "x", 0);
    mvcc_commit(&world->mvcc);
    put(world, "b", 1); /* in the batch alone */
    assert_int_equal(world->mvcc.revision, 5);
    observe(world);
    assert_int_equal(revoke(world, 1), STATUS_OK);
    assert_int_equal(world->outcome.revision, 6);
    assert_int_equal(world->outcome.body.length, 0);
    assert_int_equal(world->event_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world->events[i][0], "abc"[i]);
        assert_int_equal(world->at[i].main, 6);
        assert_int_equal(world->at[i].sub, i);
    }
    lease_check(&world->mvcc);
    assert_int_equal(revoke(world, 1), STATUS_LEASE_NOT_FOUND);
    assert_int_equal(put(world, "a", 1), STATUS_LEASE_NOT_FOUND);
}

static void test_revoke_without_keys_changes_nothing(void **state) {
    struct world *world = *state;
    grant(world, 1, 60);
    assert_int_equal(revoke(world, 1), STATUS_OK);
    assert_int_equal(world->outcome.revision, 1);
    assert_int_equal(grant(world, 1, 60), STATUS_OK);
}

/* Granted again in the same batch: nothing of the first life is left. */
static void test_revoked_and_granted_again(void **state) {
    struct world *world = *state;
    grant(world, 1, 60);
    put(world, "a", 1);
    revoke(world, 1);
    grant(world, 1, 30);
    put(world, "b", 1);
    assert_keys(world, 1, "b ");
    mvcc_commit(&world->mvcc);
    reopen(world, false);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 1)->ttl, 30);
    assert_keys(world, 1, "b ");
}

/* Every place at which a crash can come between the parts of a revocation of ten keys. */
static void test_revoke_in_parts_survives_crashes(void **state) {
    struct world *world = *state;
    for (unsigned flush_after = 1; flush_after <= 5; flush_after++) {
        grant(world, 1, 60);
        for (char key[] = "a"; key[0] < 'k'; key[0]++)
            put(world, key, 1);
        put(world, "z", 0);
        mvcc_commit(&world->mvcc);
        memory_flush_wait(&world->store->head);
        int64_t revision = world->mvcc.revision;
        uint64_t index = world->mvcc.index;
        world->mvcc.large_delete_keys = 3;
        world->store->flush_after = flush_after;
        revoke(world, 1);
        mvcc_commit(&world->mvcc);
        reopen(world, true);
        if (world->mvcc.index == index) {
            assert_int_equal(world->mvcc.revision, revision);
            world->mvcc.large_delete_keys = 2;
            observe(world);
            assert_int_equal(revoke(world, 1), STATUS_OK);
            assert_int_equal(world->event_count, 10);
            for (uint32_t i = 0; i < 10; i++) {
                assert_int_equal(world->events[i][0], 'a' + (int)i);
                assert_int_equal(world->at[i].sub, i);
            }
        }
        assert_int_equal(world->mvcc.revision, revision + 1);
        assert_null(lease_book_find(&world->mvcc.leases, 1));
        lease_check(&world->mvcc);
        world->mvcc.observer = (struct mvcc_observer){0};
    }
}

/* The same for a large delete: the numbers of keys must not count what a part deleted twice. */
static void test_delete_in_parts_counts_once(void **state) {
    struct world *world = *state;
    for (unsigned flush_after = 1; flush_after <= 5; flush_after++) {
        grant(world, flush_after, 60);
        for (char key[] = "a"; key[0] < 'k'; key[0]++)
            put(world, key, flush_after);
        put(world, "z", flush_after);
        mvcc_commit(&world->mvcc);
        memory_flush_wait(&world->store->head);
        uint64_t index = world->mvcc.index;
        world->mvcc.large_delete_keys = 3;
        world->store->flush_after = flush_after;
        delete_range(world, "a", "k");
        mvcc_commit(&world->mvcc);
        reopen(world, true);
        if (world->mvcc.index == index)
            delete_range(world, "a", "k");
        assert_keys(world, flush_after, "z ");
    }
}

/* --- checkpoints --- */

static void test_checkpoint(void **state) {
    struct world *world = *state;
    struct buffer body = {0};
    grant(world, 1, 600);
    grant(world, 2, 600);
    grant(world, 3, 600);
    encode_lease_checkpoint(&body, 1, 400);
    encode_lease_checkpoint(&body, 99, 10); /* gone */
    encode_lease_checkpoint(&body, 2, 10000);
    encode_lease_checkpoint(&body, 3, -5);
    assert_int_equal(execute(world, INTERNAL_LEASE_CHECKPOINT, &body), STATUS_OK);
    mvcc_commit(&world->mvcc);
    reopen(world, false);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 1)->remaining, 400);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 2)->remaining, 600);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 3)->remaining, 0);
    encode_lease_checkpoint(&body, 1, 0);
    assert_int_equal(execute(world, INTERNAL_LEASE_CHECKPOINT, &body), STATUS_OK);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 1)->remaining, 0);
    assert_int_equal(lease_book_find(&world->mvcc.leases, 1)->ttl, 600);
}

static void test_damaged_row_is_refused(void **state) {
    struct world *world = *state;
    char error[256] = "";
    struct store_batch *batch = memory_new_batch(&world->store->head);
    memory_batch_put(batch, text("l1234567"), text("x"));
    memory_write(&world->store->head, batch);
    memory_free_batch(batch);
    struct mvcc other;
    assert_false(mvcc_open(&other, &world->store->head, 1, error));
    assert_non_null(strstr(error, "do not decode"));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_grant),
        CASE(test_grant_is_total),
        CASE(test_many_leases_survive),
        CASE(test_put_attaches_and_detaches),
        CASE(test_delete_detaches),
        CASE(test_txn_attaches_all_or_nothing),
        CASE(test_revoke_deletes_in_one_revision),
        CASE(test_revoke_without_keys_changes_nothing),
        CASE(test_revoked_and_granted_again),
        CASE(test_revoke_in_parts_survives_crashes),
        CASE(test_delete_in_parts_counts_once),
        CASE(test_checkpoint),
        CASE(test_damaged_row_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
