/*
 * Random entries and reads against mvcc_model.h: puts, deletes, nested transactions, compactions, leases;
 * reads at any revision, sorted, filtered, limited, in slices of random size; commits at random places;
 * physical compactions that go on meanwhile, and take the log away from under reads that are under way;
 * crashes that lose what was not flushed, also in the middle of an entry that is written in parts or of a
 * compaction, after which the log is replayed and must give the same answers. The keys attached to leases are
 * the keys' lease fields at any time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"
#include "apply/mvcc/range_read.h"
#include "apply/mvcc/txn.h"
#include "common/key_hash.h"

#include "lease_check.h"
#include "memory_store.h"
#include "mvcc_model.h"
#include "plan_model.h"
#include "requests.h"

enum { SEEDS = 40, STEPS = 400, KEYS = 14, LEASES = 5 };

struct world {
    uint64_t random;
    struct memory_store *store;
    struct mvcc mvcc;
    struct model model;
    struct plan plan;
    unsigned compactions, reads_cut_short;
    struct arena arena;
    /* The log, and what each entry was answered. */
    struct bytes entries[STEPS + 1];
    struct bytes answers[STEPS + 1];
    uint16_t statuses[STEPS + 1];
    int64_t revisions[STEPS + 1];
    uint64_t last;
};

static uint64_t draw(struct world *world, uint64_t below) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random >> 11) % below;
}

static bool one_in(struct world *world, uint64_t chance) {
    return draw(world, chance) == 0;
}

/* "k" and a letter, now and then an extension of it. */
static struct bytes draw_key(struct world *world) {
    uint8_t *key = arena_alloc(&world->arena, 3);
    key[0] = 'k';
    key[1] = (uint8_t)('a' + draw(world, KEYS));
    key[2] = 0;
    return bytes_of(key, one_in(world, 6) ? 3 : 2);
}

static struct bytes draw_end(struct world *world) {
    static const uint8_t zero;
    if (one_in(world, 4))
        return bytes_of(&zero, 1);
    return draw_key(world);
}

static struct bytes draw_value(struct world *world) {
    size_t length = draw(world, 20);
    uint8_t *value = arena_alloc(&world->arena, length + 1);
    for (size_t i = 0; i < length; i++)
        value[i] = (uint8_t)('0' + draw(world, 3));
    return bytes_of(value, length);
}

static int64_t draw_revision(struct world *world) {
    int64_t revision = world->model.revision;
    return one_in(world, 2) ? 0 : revision + 2 - (int64_t)draw(world, (uint64_t)revision + 4);
}

static struct range_request draw_range(struct world *world) {
    struct range_request request = {.key = draw_key(world)};
    if (!one_in(world, 4))
        request.range_end = draw_end(world);
    request.revision = draw_revision(world);
    if (one_in(world, 2))
        request.limit = (int64_t)draw(world, 6);
    if (one_in(world, 2)) {
        request.sort_order = (int32_t)draw(world, 3);
        request.sort_target = (int32_t)draw(world, 5);
    }
    request.keys_only = one_in(world, 5);
    request.count_only = one_in(world, 6);
    if (one_in(world, 4)) {
        int64_t revision = world->model.revision + 1;
        request.min_mod_revision = one_in(world, 2) ? (int64_t)draw(world, (uint64_t)revision) : 0;
        request.max_mod_revision = one_in(world, 2) ? (int64_t)draw(world, (uint64_t)revision) : 0;
        request.min_create_revision = one_in(world, 2) ? (int64_t)draw(world, (uint64_t)revision) : 0;
        request.max_create_revision = one_in(world, 2) ? (int64_t)draw(world, (uint64_t)revision) : 0;
    }
    return request;
}

static struct bytes keep(struct world *world, struct buffer *buffer) {
    struct bytes copy = arena_copy(&world->arena, buffer_bytes(buffer));
    buffer_free(buffer);
    return copy;
}

static struct put_request draw_put(struct world *world) {
    struct put_request put = {
        .key = draw_key(world), .value = draw_value(world), .prev_kv = one_in(world, 3)};
    if (one_in(world, 8)) {
        put.ignore_value = true;
        put.value = (struct bytes){0};
    }
    put.ignore_lease = one_in(world, 12);
    put.lease = one_in(world, 3) ? 1 + (int64_t)draw(world, LEASES) : 0;
    return put;
}

static struct bytes draw_txn(struct world *world, unsigned depth, uint32_t *used);

/* `used`: bits of the keys that this branch puts or deletes already: the proxy refuses duplicates. */
static bool draw_operation(struct world *world, unsigned depth, uint32_t *used, struct buffer *out) {
    struct buffer body = {0};
    uint32_t kind = (uint32_t)draw(world, depth < 3 ? 4 : 3) + 1;
    if (kind == OP_RANGE) {
        struct range_request range = draw_range(world);
        if (!one_in(world, 10))
            range.revision = 0;
        encode_range(&body, &range);
    } else if (kind == OP_PUT) {
        struct put_request put = draw_put(world);
        uint32_t bit = 1u << (put.key.data[1] - 'a');
        if ((*used & bit) != 0)
            return false;
        *used |= bit;
        encode_put(&body, &put);
    } else if (kind == OP_DELETE_RANGE) {
        struct delete_range_request delete = {.key = draw_key(world), .prev_kv = one_in(world, 2)};
        uint32_t bits = 1u << (delete.key.data[1] - 'a');
        if (one_in(world, 2) && *used == 0) {
            delete.range_end = draw_end(world);
            bits = UINT32_MAX;
        }
        if ((*used & bits) != 0)
            return false;
        *used |= bits;
        encode_delete(&body, &delete);
    } else {
        buffer_append_bytes(&body, draw_txn(world, depth + 1, used));
    }
    wire_put_bytes_always(out, kind, buffer_bytes(&body));
    buffer_free(&body);
    return true;
}

static void draw_compare(struct world *world, struct buffer *out) {
    struct compare compare = {
        .result = (int32_t)draw(world, 4), .target = (int32_t)draw(world, 5), .key = draw_key(world)};
    compare.operand = (uint32_t)(4 + compare.target);
    compare.number = (int64_t)draw(world, (uint64_t)world->model.revision + 1);
    if (compare.target == COMPARE_VERSION)
        compare.number = (int64_t)draw(world, 4);
    compare.value = draw_value(world);
    if (one_in(world, 3))
        compare.range_end = draw_end(world);
    encode_compare(out, &compare);
}

static struct bytes draw_txn(struct world *world, unsigned depth, uint32_t *used) {
    struct buffer out = {0};
    uint32_t before = *used;
    uint32_t after = before;
    for (uint64_t i = draw(world, 3); i > 0; i--) {
        struct buffer compare = {0};
        draw_compare(world, &compare);
        wire_put_bytes_always(&out, TXN_COMPARE, buffer_bytes(&compare));
        buffer_free(&compare);
    }
    for (uint32_t part = TXN_SUCCESS; part <= TXN_FAILURE; part++) {
        uint32_t branch = before;
        for (uint64_t i = draw(world, 5); i > 0; i--) {
            struct buffer operation = {0};
            if (draw_operation(world, depth, &branch, &operation))
                wire_put_bytes_always(&out, part, buffer_bytes(&operation));
            buffer_free(&operation);
        }
        after |= branch;
    }
    *used = after;
    return keep(world, &out);
}

/* Ids of a small range, TTLs and remainders in and out of theirs. */
static uint32_t draw_lease(struct world *world, struct buffer *body) {
    int64_t id = (int64_t)draw(world, LEASES + 1);
    uint64_t kind = draw(world, 8);
    if (kind < 5) {
        encode_lease_grant(body, id, (int64_t)draw(world, 100) - 2);
        return INTERNAL_LEASE_GRANT;
    }
    if (kind < 7) {
        encode_lease(body, id, false);
        return INTERNAL_LEASE_REVOKE;
    }
    for (uint64_t i = draw(world, 4); i > 0; i--)
        encode_lease_checkpoint(body, (int64_t)draw(world, LEASES + 2), (int64_t)draw(world, 120));
    return INTERNAL_LEASE_CHECKPOINT;
}

enum { KIND_LEASE = 19, KIND_COMPACTION = 23, KINDS };

static struct bytes draw_entry(struct world *world, uint64_t kind) {
    struct buffer body = {0};
    struct buffer out = {0};
    struct internal_request request = {.id = world->last + 1};
    if (kind < 9) {
        struct put_request put = draw_put(world);
        encode_put(&body, &put);
        request.number = INTERNAL_PUT;
    } else if (kind < 13) {
        struct delete_range_request delete = {.key = draw_key(world), .prev_kv = one_in(world, 2)};
        if (one_in(world, 2))
            delete.range_end = draw_end(world);
        encode_delete(&body, &delete);
        request.number = INTERNAL_DELETE_RANGE;
    } else if (kind < KIND_LEASE) {
        uint32_t used = 0;
        buffer_append_bytes(&body, draw_txn(world, 1, &used));
        request.number = INTERNAL_TXN;
    } else if (kind < KIND_COMPACTION) {
        request.number = draw_lease(world, &body);
    } else {
        struct compaction_request compaction = {
            .revision = one_in(world, 3) ? world->model.revision + 1 - (int64_t)draw(world, 9)
                                         : world->model.compacted + (int64_t)draw(world, 12)};
        encode_compaction(&body, &compaction);
        request.number = INTERNAL_COMPACTION;
    }
    request.body = buffer_bytes(&body);
    internal_request_encode(&out, &request);
    buffer_free(&body);
    return keep(world, &out);
}

/* Executes entry number `index` and compares with what the model said when it was first executed. */
static void execute(struct world *world, uint64_t index) {
    struct outcome outcome;
    mvcc_execute(&world->mvcc, index, 3, 0, world->entries[index], &outcome);
    assert_int_equal(outcome.status, world->statuses[index]);
    assert_int_equal(outcome.revision, world->revisions[index]);
    assert_int_equal(outcome.id, index);
    if (outcome.status != STATUS_OK)
        return;
    assert_int_equal(outcome.body.length, world->answers[index].length);
    assert_memory_equal(outcome.body.data == NULL ? "" : (const char *)outcome.body.data,
                        world->answers[index].data == NULL ? "" : (const char *)world->answers[index].data,
                        outcome.body.length);
}

static void step_entry_of(struct world *world, uint64_t kind) {
    struct bytes entry = draw_entry(world, kind);
    struct internal_request request;
    struct buffer answer = {0};
    uint64_t index = ++world->last;
    assert_true(internal_request_decode(entry, &request));
    world->store->flush_after = (unsigned)draw(world, 6);
    world->entries[index] = entry;
    world->statuses[index] = model_execute(&world->model, &request, &answer);
    world->answers[index] = keep(world, &answer);
    world->revisions[index] = world->model.revision;
    execute(world, index);
}

static void step_entry(struct world *world) {
    if (world->last < STEPS)
        step_entry_of(world, draw(world, KINDS));
}

/* The log goes on while the snapshot is prepared: it still has to show the revision of the request. */
static struct store_snapshot *prepared_snapshot(struct world *world, int64_t *revision) {
    mvcc_commit(&world->mvcc);
    struct recent_mark mark = mvcc_request_snapshot(&world->mvcc);
    *revision = world->mvcc.revision;
    while (!mvcc_snapshot_ready(&world->mvcc, mark)) {
        if (one_in(world, 2))
            step_entry(world);
        mvcc_commit(&world->mvcc);
    }
    return world->store->head.operations->snapshot(&world->store->head);
}

/* Small bounds, so that little data makes them work. */
static void draw_bounds(struct world *world) {
    world->mvcc.large_delete_keys = 1 + draw(world, 6);
    world->mvcc.spill_limit = draw(world, 4000);
    world->mvcc.spill_step = 1 + draw(world, 200);
    world->mvcc.recent.limit = world->mvcc.spill_limit + draw(world, 4000);
}

/* Of what no read at or after the compacted revision can need, nothing is left but log that is not dropped.
 */
static void check_leftovers(struct world *world, int64_t compacted) {
    const struct store_snapshot *state = world->store->now;
    for (size_t i = 0; i < state->count; i++) {
        const struct pair *pair = &state->pairs[i];
        struct record record;
        if (pair->key.data[0] == PREFIX_CURRENT) {
            struct bytes key = bytes_of(pair->key.data + 1, pair->key.length - 1);
            mvcc_lookup(&world->mvcc, key, key_hash(key, world->mvcc.hash_seed), &record);
            assert_false(record.tombstone && record.modified.main < compacted);
        } else if (pair->key.data[0] == PREFIX_KEPT) {
            assert_true(plan_is_link(state, log_key_load(pair->key), compacted));
        } else if (pair->key.data[0] == PREFIX_LOG && world->store->keep_one_in == 0) {
            assert_true(log_key_load(pair->key).main >= compacted);
        }
    }
}

static void step_compaction(struct world *world) {
    int64_t compacted = world->plan.compacted;
    if (!plan_step(&world->plan, &world->mvcc, draw(world, 5)))
        return;
    world->compactions++;
    mvcc_commit(&world->mvcc);
    check_leftovers(world, compacted);
}

static bool same_version(const struct record *record, const struct version *version) {
    return record->create == version->create && record->version == version->version &&
           record->modified.main == version->main && record->tombstone == version->tombstone &&
           bytes_equal(record->value, version->value);
}

/* The log from the compacted revision on is whole, and the links of what came later lead somewhere. */
static void check_history(struct world *world) {
    struct view view = mvcc_view(&world->mvcc, NULL);
    const struct model *model = &world->model;
    uint32_t sub = 0;
    for (size_t i = 0; i < model->count; i++) {
        const struct version *version = &model->versions[i];
        struct found found = {0};
        struct bytes key;
        sub = i > 0 && model->versions[i - 1].main == version->main ? sub + 1 : 0;
        if (version->main < model->compacted)
            continue;
        assert_true(view_at(&view, (struct revision){version->main, sub}, &key, &found));
        assert_true(bytes_equal(key, version->key) && same_version(&found.record, version));
        const struct version *older = model_at(model, version->key, version->main - 1);
        struct revision previous = found.record.previous;
        assert_true(older == NULL || previous.main == older->main);
        if (previous.main != 0 && version->main > model->compacted) {
            assert_true(view_at(&view, previous, &key, &found));
            assert_true(bytes_equal(key, version->key));
            assert_true(older == NULL ? found.record.tombstone : same_version(&found.record, older));
        }
        view_release(&view, &found);
    }
}

/* What goes on while a read over a snapshot is between two slices. */
static void disturb(struct world *world) {
    step_entry(world);
    if (world->last < STEPS && one_in(world, 4))
        step_entry_of(world, KIND_COMPACTION);
    for (uint64_t i = draw(world, 40); i > 0; i--) {
        step_compaction(world);
        if (one_in(world, 3))
            memory_flush_wait(&world->store->head);
    }
    memory_drop_some(world->store);
}

static void step_read(struct world *world) {
    struct range_request request = draw_range(world);
    struct buffer expected = {0};
    struct buffer answer = {0};
    struct range_read read;
    struct answer_budget budget = {.limit = one_in(world, 4) ? 100 : SIZE_MAX};
    struct store *store = &world->store->head;
    int64_t revision = world->mvcc.revision;
    struct store_snapshot *snapshot = one_in(world, 2) ? prepared_snapshot(world, &revision) : NULL;
    if (one_in(world, 2))
        mvcc_commit(&world->mvcc);
    struct view view = mvcc_view(&world->mvcc, snapshot);
    view.revision = revision;
    uint16_t status = model_range(&world->model, &request, revision, &expected);
    assert_int_equal(
        range_read_begin(&read, &view, &request, false, &budget, one_in(world, 2) ? 100 : SIZE_MAX), status);
    bool done = status != STATUS_OK;
    bool sized = false;
    uint64_t total = 0;
    while (!done) {
        struct range_slice slice = {.keys = 1 + draw(world, 4), .bytes = 1 + draw(world, 60)};
        done = range_read_step(&read, slice);
        if (!done && snapshot != NULL && one_in(world, 3))
            disturb(world);
        if (!range_read_ready(&read) || read.status != STATUS_OK)
            continue;
        assert_true(!sized || total == read.total);
        total = read.total;
        sized = true;
        buffer_append_bytes(&answer, buffer_bytes(&read.out));
        range_read_sent(&read);
    }
    if (status == STATUS_OK && read.status == STATUS_OK) {
        assert_int_equal(answer.length, expected.length);
        assert_int_equal(total, expected.length);
        assert_memory_equal(answer.data == NULL ? (void *)"" : answer.data,
                            expected.data == NULL ? (void *)"" : expected.data, answer.length);
    } else if (status == STATUS_OK && read.status == STATUS_COMPACTED) {
        world->reads_cut_short++;
        assert_true(snapshot != NULL && read.view.missing == read.revision);
        assert_true(read.revision < world->mvcc.compacted);
    } else if (status == STATUS_OK) {
        assert_int_equal(read.status, STATUS_TOO_MANY_REQUESTS); /* a selection beyond the budget */
        assert_int_equal(budget.limit, 100);
    }
    range_read_free(&read);
    assert_int_equal(atomic_load(&budget.used), 0);
    if (snapshot != NULL)
        store->operations->release_snapshot(snapshot);
    buffer_free(&expected);
    buffer_free(&answer);
}

static void check_leases(struct world *world) {
    const struct model *model = &world->model;
    size_t count = 0;
    lease_check(&world->mvcc);
    for (size_t i = 0; i < MODEL_LEASES; i++) {
        if (model->leases[i].id == 0)
            continue;
        const struct lease *lease = lease_book_find(&world->mvcc.leases, model->leases[i].id);
        assert_non_null(lease);
        assert_int_equal(lease->ttl, model->leases[i].ttl);
        assert_int_equal(lease->remaining, model->leases[i].remaining);
        count++;
    }
    assert_int_equal(world->mvcc.leases.count, count);
}

static void step_crash(struct world *world) {
    char error[256];
    struct store *store = &world->store->head;
    mvcc_close(&world->mvcc);
    plan_clear(&world->plan);
    memory_crash(world->store);
    assert_true(mvcc_open(&world->mvcc, store, draw(world, UINT32_MAX), error));
    if (world->mvcc.physical >= 0)
        store->operations->drop_below(store, PREFIX_LOG, (uint64_t)world->mvcc.physical);
    draw_bounds(world);
    while (world->mvcc.index < world->last) {
        execute(world, world->mvcc.index + 1);
        if (one_in(world, 3))
            mvcc_commit(&world->mvcc);
    }
    assert_int_equal(world->mvcc.revision, world->model.revision);
    assert_int_equal(world->mvcc.compacted, world->model.compacted);
    check_leases(world);
}

static unsigned compactions, reads_cut_short; /* in all seeds */

static void run_seed(uint64_t seed) {
    static struct world world;
    char error[256];
    world = (struct world){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .store = memory_store_new()};
    model_init(&world.model);
    assert_true(mvcc_open(&world.mvcc, &world.store->head, seed, error));
    draw_bounds(&world);
    world.store->keep_one_in = (unsigned)draw(&world, 4);
    while (world.last < STEPS) {
        uint64_t kind = draw(&world, 34);
        if (kind < 15)
            step_entry(&world);
        else if (kind < 25)
            step_read(&world);
        else if (kind < 27)
            mvcc_commit(&world.mvcc);
        else if (kind < 28)
            memory_flush_wait(&world.store->head);
        else if (kind < 29)
            check_leases(&world);
        else if (kind < 31 && one_in(&world, 4))
            step_crash(&world);
        else if (kind < 33)
            step_compaction(&world);
        else
            check_history(&world);
    }
    compactions += world.compactions;
    reads_cut_short += world.reads_cut_short;
    plan_clear(&world.plan);
    mvcc_close(&world.mvcc);
    memory_close(&world.store->head);
    model_free(&world.model);
    arena_free(&world.arena);
}

static void test_random(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %u\n", (unsigned)seed);
        run_seed(seed);
    }
    print_message("%u compactions, %u reads cut short\n", compactions, reads_cut_short);
    assert_true(compactions > SEEDS && reads_cut_short > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
