/*
 * Every rule of etcd-api.md 1.3 and 1.5 that apply decides, as a case with a name. Answers are compared as
 * text: a pair is key=value(create,mod,version).
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

#include "memory_store.h"
#include "requests.h"

struct world {
    struct memory_store *store;
    struct mvcc mvcc;
    struct outcome outcome;
    struct buffer text, scratch;
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
    buffer_free(&world->text);
    buffer_free(&world->scratch);
    free(world);
    return 0;
}

static struct bytes text(const char *string) {
    return string == NULL ? (struct bytes){0} : bytes_from_text(string);
}

/* --- executing --- */

static uint16_t execute(struct world *world, uint32_t number, struct buffer *body) {
    struct internal_request request = {.id = 77, .number = number, .body = buffer_bytes(body)};
    struct buffer entry = {0};
    internal_request_encode(&entry, &request);
    mvcc_execute(&world->mvcc, world->mvcc.index + 1, 1, 0, buffer_bytes(&entry), &world->outcome);
    buffer_free(&entry);
    buffer_free(body);
    return world->outcome.status;
}

static uint16_t put_with(struct world *world, struct put_request request) {
    struct buffer body = {0};
    encode_put(&body, &request);
    return execute(world, INTERNAL_PUT, &body);
}

static void put(struct world *world, const char *key, const char *value) {
    assert_int_equal(put_with(world, (struct put_request){.key = text(key), .value = text(value)}),
                     STATUS_OK);
}

static void delete (struct world *world, const char *key, const char *end) {
    struct delete_range_request request = {.key = text(key), .range_end = text(end), .prev_kv = true};
    struct buffer body = {0};
    encode_delete(&body, &request);
    assert_int_equal(execute(world, INTERNAL_DELETE_RANGE, &body), STATUS_OK);
}

static uint16_t compact(struct world *world, int64_t revision) {
    struct compaction_request request = {.revision = revision};
    struct buffer body = {0};
    encode_compaction(&body, &request);
    return execute(world, INTERNAL_COMPACTION, &body);
}

/* --- answers as text --- */

static void describe_pair(struct buffer *out, struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    struct bytes key = {0};
    struct bytes value = {0};
    uint64_t numbers[7] = {0};
    while (wire_next(&reader, &field)) {
        assert_true(field.number < 7);
        if (field.number == 1)
            key = field.bytes;
        else if (field.number == 5)
            value = field.bytes;
        else
            numbers[field.number] = field.value;
    }
    assert_false(reader.malformed);
    buffer_append_bytes(out, key);
    buffer_append_byte(out, '=');
    buffer_append_bytes(out, value);
    buffer_printf(out, "(%u,%u,%u) ", (unsigned)numbers[2], (unsigned)numbers[3], (unsigned)numbers[4]);
}

static const char *finish(struct world *world) {
    while (world->text.length > 0 && world->text.data[world->text.length - 1] == ' ')
        world->text.length--;
    buffer_append_byte(&world->text, 0);
    return (const char *)world->text.data;
}

static void describe_range(struct buffer *out, struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            describe_pair(out, field.bytes);
        else if (field.number == 3)
            buffer_printf(out, "more ");
        else if (field.number == 4)
            buffer_printf(out, "count=%u ", (unsigned)field.value);
    }
    assert_false(reader.malformed);
}

static const char *range_at(struct world *world, const struct view *view, struct range_request request) {
    struct range_read read;
    world->text.length = 0;
    uint16_t status = range_read_begin(&read, view, &request, false, NULL, SIZE_MAX);
    if (status != STATUS_OK) {
        buffer_printf(&world->text, "%s", status_message(status));
        return finish(world);
    }
    assert_true(range_read_step(&read, (struct range_slice){.keys = UINT64_MAX, .bytes = SIZE_MAX}));
    describe_range(&world->text, buffer_bytes(&read.out));
    range_read_free(&read);
    return finish(world);
}

static const char *range(struct world *world, struct range_request request) {
    mvcc_commit(&world->mvcc);
    struct view view = mvcc_view(&world->mvcc, NULL);
    return range_at(world, &view, request);
}

#define RANGE(first, end, ...)                                                                               \
    range(world, (struct range_request){.key = text(first), .range_end = text(end), __VA_ARGS__})

static void describe_header(struct buffer *out, struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    if (message.length == 0)
        buffer_printf(out, "{} ");
    while (wire_next(&reader, &field))
        buffer_printf(out, field.number == 3 ? "@%u " : "?%u ", (unsigned)field.value);
}

static void describe_txn(struct buffer *out, struct bytes body);

static void describe_response(struct buffer *out, struct bytes message) {
    static const char *const names[] = {"", "range", "put", "delete", "txn"};
    struct wire_reader outer = wire_reader_of(message);
    struct wire_field operation = {0};
    assert_true(wire_next(&outer, &operation));
    buffer_printf(out, "%s[", names[operation.number]);
    struct wire_reader reader = wire_reader_of(operation.bytes);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            describe_header(out, field.bytes);
        else if (field.type == WIRE_BYTES && operation.number != OP_TXN)
            describe_pair(out, field.bytes);
        else if (operation.number == OP_DELETE_RANGE)
            buffer_printf(out, "deleted=%u ", (unsigned)field.value);
        else if (operation.number == OP_RANGE)
            buffer_printf(out, field.number == 3 ? "more " : "count=%u ", (unsigned)field.value);
    }
    if (operation.number == OP_TXN)
        describe_txn(out, operation.bytes);
    while (out->data[out->length - 1] == ' ')
        out->length--;
    buffer_printf(out, "] ");
}

static void describe_txn(struct buffer *out, struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    bool succeeded = false;
    size_t at = out->length;
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            succeeded = field.value != 0;
        else if (field.number == 3)
            describe_response(out, field.bytes);
    }
    struct buffer rest = {0};
    buffer_append(&rest, out->data + at, out->length - at);
    out->length = at;
    buffer_printf(out, succeeded ? "then " : "else ");
    buffer_append_bytes(out, buffer_bytes(&rest));
    buffer_free(&rest);
}

/* --- building transactions --- */

struct txn_builder {
    struct buffer body;
};

static void add(struct txn_builder *txn, enum txn_part part, uint32_t kind, struct buffer *body) {
    struct buffer operation = {0};
    wire_put_bytes_always(&operation, kind, buffer_bytes(body));
    wire_put_bytes_always(&txn->body, part, buffer_bytes(&operation));
    buffer_free(&operation);
    buffer_free(body);
}

static void add_put(struct txn_builder *txn, enum txn_part part, const char *key, const char *value) {
    struct put_request request = {.key = text(key), .value = text(value), .prev_kv = true};
    struct buffer body = {0};
    encode_put(&body, &request);
    add(txn, part, OP_PUT, &body);
}

static void add_range(struct txn_builder *txn, enum txn_part part, const char *key, const char *end,
                      int64_t revision) {
    struct range_request request = {.key = text(key), .range_end = text(end), .revision = revision};
    struct buffer body = {0};
    encode_range(&body, &request);
    add(txn, part, OP_RANGE, &body);
}

static void add_delete(struct txn_builder *txn, enum txn_part part, const char *key, const char *end) {
    struct delete_range_request request = {.key = text(key), .range_end = text(end)};
    struct buffer body = {0};
    encode_delete(&body, &request);
    add(txn, part, OP_DELETE_RANGE, &body);
}

static void add_compare(struct txn_builder *txn, struct compare compare) {
    struct buffer body = {0};
    encode_compare(&body, &compare);
    wire_put_bytes_always(&txn->body, TXN_COMPARE, buffer_bytes(&body));
    buffer_free(&body);
}

static const char *run(struct world *world, struct txn_builder *txn) {
    world->text.length = 0;
    if (execute(world, INTERNAL_TXN, &txn->body) == STATUS_OK)
        describe_txn(&world->text, world->outcome.body);
    else
        buffer_printf(&world->text, "%s", status_message(world->outcome.status));
    return finish(world);
}

static bool holds(struct world *world, struct compare compare) {
    struct txn_builder txn = {0};
    add_compare(&txn, compare);
    return strcmp(run(world, &txn), "then") == 0;
}

/* --- put and delete --- */

static void test_revision_begins_at_one(void **state) {
    struct world *world = *state;
    assert_string_equal(RANGE("a", NULL, .limit = 0), "");
    assert_int_equal(world->mvcc.revision, 1);
    put(world, "a", "1");
    assert_int_equal(world->outcome.revision, 2);
}

static void test_version_and_create(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    put(world, "a", "2");
    assert_string_equal(RANGE("a", NULL, .limit = 0), "a=2(2,3,2) count=1");
    delete (world, "a", NULL);
    put(world, "a", "3");
    assert_string_equal(RANGE("a", NULL, .limit = 0), "a=3(5,5,1) count=1");
}

static void test_put_returns_previous(void **state) {
    struct world *world = *state;
    struct put_request request = {.key = text("a"), .value = text("2"), .prev_kv = true};
    assert_int_equal(put_with(world, request), STATUS_OK);
    assert_int_equal(world->outcome.body.length, 0);
    assert_int_equal(put_with(world, request), STATUS_OK);
    describe_range(&world->text, world->outcome.body);
    assert_string_equal(finish(world), "a=2(2,2,1)");
}

static void test_ignore_value_and_lease(void **state) {
    struct world *world = *state;
    struct put_request request = {.key = text("a"), .ignore_value = true};
    assert_int_equal(put_with(world, request), STATUS_KEY_NOT_FOUND);
    assert_int_equal(world->outcome.revision, 1);
    put(world, "a", "1");
    assert_int_equal(put_with(world, request), STATUS_OK);
    request = (struct put_request){.key = text("a"), .value = text("2"), .ignore_lease = true};
    assert_int_equal(put_with(world, request), STATUS_OK);
    assert_string_equal(RANGE("a", NULL, .limit = 0), "a=2(2,4,3) count=1");
    delete (world, "a", NULL);
    assert_int_equal(put_with(world, request), STATUS_KEY_NOT_FOUND);
}

static void test_unknown_lease(void **state) {
    struct world *world = *state;
    struct put_request request = {.key = text("a"), .lease = 5};
    assert_int_equal(put_with(world, request), STATUS_LEASE_NOT_FOUND);
    /* a plain put looks for the lease first, a transaction for the key */
    request.ignore_value = true;
    assert_int_equal(put_with(world, request), STATUS_LEASE_NOT_FOUND);
    struct txn_builder txn = {0};
    struct buffer body = {0};
    encode_put(&body, &request);
    add(&txn, TXN_SUCCESS, OP_PUT, &body);
    assert_string_equal(run(world, &txn), "etcdserver: key not found");
    assert_int_equal(world->mvcc.revision, 1);
}

static void test_delete(void **state) {
    struct world *world = *state;
    for (const char *key = "abcde"; *key != 0; key++)
        put(world, (char[]){*key, 0}, "1");
    delete (world, "x", NULL);
    assert_int_equal(world->outcome.revision, 6);
    assert_int_equal(world->outcome.body.length, 0);
    delete (world, "b", "d");
    assert_int_equal(world->outcome.revision, 7);
    assert_string_equal(RANGE("a", "\xff", .limit = 0), "a=1(2,2,1) d=1(5,5,1) e=1(6,6,1) count=3");
    delete (world, "d", "b"); /* nothing lies in it */
    assert_int_equal(world->outcome.revision, 7);
    delete (world, "b", "d"); /* deleted already */
    assert_int_equal(world->outcome.revision, 7);
}

static void test_delete_to_the_end(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    put(world, "b", "1");
    put(world, "c", "1");
    struct delete_range_request request = {.key = text("b"), .range_end = bytes_of("\0", 1)};
    struct buffer body = {0};
    encode_delete(&body, &request);
    execute(world, INTERNAL_DELETE_RANGE, &body);
    assert_string_equal(RANGE("a", "z", .limit = 0), "a=1(2,2,1) count=1");
}

/* --- range --- */

static void fill(struct world *world) {
    put(world, "a", "3");
    put(world, "b", "1");
    put(world, "c", "2");
    put(world, "b", "1");
}

static void test_range_intervals(void **state) {
    struct world *world = *state;
    fill(world);
    assert_string_equal(RANGE("b", NULL, .limit = 0), "b=1(3,5,2) count=1");
    assert_string_equal(RANGE("a", "c", .limit = 0), "a=3(2,2,1) b=1(3,5,2) count=2");
    assert_string_equal(RANGE("c", "a", .limit = 0), "");
    assert_string_equal(RANGE("a", "a", .limit = 0), "");
    struct range_request all = {.key = bytes_of("\0", 1), .range_end = bytes_of("\0", 1), .count_only = true};
    assert_string_equal(range(world, all), "count=3");
    all.key = text("b");
    assert_string_equal(range(world, all), "count=2");
}

static void test_range_limit_and_more(void **state) {
    struct world *world = *state;
    fill(world);
    assert_string_equal(RANGE("a", "z", .limit = 2), "a=3(2,2,1) b=1(3,5,2) more count=3");
    assert_string_equal(RANGE("a", "z", .limit = 3), "a=3(2,2,1) b=1(3,5,2) c=2(4,4,1) count=3");
    assert_string_equal(RANGE("a", "z", .limit = -1, .keys_only = true),
                        "a=(2,2,1) b=(3,5,2) c=(4,4,1) count=3");
    assert_string_equal(RANGE("a", "z", .limit = 1, .count_only = true), "count=3");
}

static void test_range_filters_count_everything(void **state) {
    struct world *world = *state;
    fill(world);
    assert_string_equal(RANGE("a", "z", .min_mod_revision = 4, .limit = 1), "b=1(3,5,2) more count=3");
    assert_string_equal(RANGE("a", "z", .max_mod_revision = 4), "a=3(2,2,1) c=2(4,4,1) count=3");
    assert_string_equal(RANGE("a", "z", .min_create_revision = 3, .max_create_revision = 3),
                        "b=1(3,5,2) count=3");
}

static void test_range_sort(void **state) {
    struct world *world = *state;
    fill(world);
    assert_string_equal(RANGE("a", "z", .sort_target = SORT_BY_VALUE, .sort_order = SORT_ASCEND),
                        "b=1(3,5,2) c=2(4,4,1) a=3(2,2,1) count=3");
    assert_string_equal(RANGE("a", "z", .sort_target = SORT_BY_KEY, .sort_order = SORT_DESCEND, .limit = 2),
                        "c=2(4,4,1) b=1(3,5,2) more count=3");
    assert_string_equal(RANGE("a", "z", .sort_target = SORT_BY_MOD, .sort_order = SORT_DESCEND, .limit = 1),
                        "b=1(3,5,2) more count=3");
    assert_string_equal(RANGE("a", "z", .sort_target = SORT_BY_VERSION), /* NONE is ASCEND */
                        "a=3(2,2,1) c=2(4,4,1) b=1(3,5,2) count=3");
    assert_string_equal(
        RANGE("a", "z", .sort_target = SORT_BY_CREATE, .min_mod_revision = 4, .sort_order = SORT_DESCEND),
        "c=2(4,4,1) b=1(3,5,2) count=3");
}

static void test_range_sort_out_of_range(void **state) {
    struct world *world = *state;
    assert_string_equal(RANGE("a", "z", .sort_target = 9), "etcdserver: invalid sort option");
    assert_string_equal(RANGE("a", "z", .sort_order = -1), "etcdserver: invalid sort option");
}

static void test_range_at_a_revision(void **state) {
    struct world *world = *state;
    fill(world);
    delete (world, "a", NULL);
    assert_string_equal(RANGE("a", "z", .revision = 4), "a=3(2,2,1) b=1(3,3,1) c=2(4,4,1) count=3");
    assert_string_equal(RANGE("a", "z", .revision = 6), "b=1(3,5,2) c=2(4,4,1) count=2");
    assert_string_equal(RANGE("a", NULL, .revision = 1), "");
    assert_string_equal(RANGE("a", NULL, .revision = 7),
                        "etcdserver: mvcc: required revision is a future revision");
    assert_string_equal(RANGE("b", NULL, .revision = -3), "b=1(3,5,2) count=1");
}

static void test_compaction(void **state) {
    struct world *world = *state;
    fill(world);
    assert_int_equal(compact(world, 6), STATUS_FUTURE_REVISION);
    assert_int_equal(compact(world, 4), STATUS_OK);
    assert_int_equal(world->outcome.revision, 5);
    assert_int_equal(compact(world, 4), STATUS_COMPACTED);
    assert_string_equal(RANGE("a", NULL, .revision = 3),
                        "etcdserver: mvcc: required revision has been compacted");
    assert_string_equal(RANGE("b", NULL, .revision = 4), "b=1(3,3,1) count=1");
    assert_int_equal(compact(world, 5), STATUS_OK);
    assert_string_equal(RANGE("b", NULL, .revision = 0), "b=1(3,5,2) count=1");
}

/* --- transactions --- */

static void test_txn_empty(void **state) {
    struct world *world = *state;
    struct txn_builder txn = {0};
    assert_string_equal(run(world, &txn), "then");
    assert_int_equal(world->outcome.revision, 1);
}

static void test_txn_sees_its_own_writes(void **state) {
    struct world *world = *state;
    put(world, "a", "0");
    struct txn_builder txn = {0};
    add_range(&txn, TXN_SUCCESS, "a", "z", 0);
    add_put(&txn, TXN_SUCCESS, "b", "1");
    add_range(&txn, TXN_SUCCESS, "a", "z", 0);
    add_delete(&txn, TXN_SUCCESS, "a", NULL);
    add_range(&txn, TXN_SUCCESS, "a", "z", 0);
    add_range(&txn, TXN_SUCCESS, "a", "z", 2);
    assert_string_equal(run(world, &txn), "then range[@2 a=0(2,2,1) count=1] put[@3] "
                                          "range[@3 a=0(2,2,1) b=1(3,3,1) count=2] delete[@3 deleted=1] "
                                          "range[@3 b=1(3,3,1) count=1] range[@3 a=0(2,2,1) count=1]");
    assert_int_equal(world->outcome.revision, 3);
}

static void test_txn_one_revision_many_subs(void **state) {
    struct world *world = *state;
    struct txn_builder txn = {0};
    add_put(&txn, TXN_SUCCESS, "a", "1");
    add_put(&txn, TXN_SUCCESS, "b", "2");
    run(world, &txn);
    put(world, "a", "3");
    put(world, "b", "4");
    assert_string_equal(RANGE("a", "z", .revision = 2), "a=1(2,2,1) b=2(2,2,1) count=2");
    assert_string_equal(RANGE("a", "z", .revision = 3), "a=3(2,3,2) b=2(2,2,1) count=2");
}

static void test_txn_without_effect(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    struct txn_builder txn = {0};
    add_delete(&txn, TXN_SUCCESS, "x", "z");
    add_range(&txn, TXN_SUCCESS, "a", NULL, 0);
    assert_string_equal(run(world, &txn), "then delete[@2] range[@2 a=1(2,2,1) count=1]");
    assert_int_equal(world->outcome.revision, 2);
}

static void test_txn_branches(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    struct txn_builder txn = {0};
    add_compare(
        &txn, (struct compare){.key = text("a"), .target = COMPARE_VALUE, .operand = 7, .value = text("2")});
    add_put(&txn, TXN_SUCCESS, "b", "1");
    add_put(&txn, TXN_FAILURE, "a", "2");
    assert_string_equal(run(world, &txn), "else put[@3 a=1(2,2,1)]");
}

static void test_txn_nested(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    struct txn_builder inner = {0};
    /* compares of nested transactions see the state before the outer one */
    add_compare(&inner, (struct compare){
                            .key = text("a"), .target = COMPARE_VALUE, .operand = 7, .value = text("1")});
    add_range(&inner, TXN_SUCCESS, "a", NULL, 0);
    add_put(&inner, TXN_SUCCESS, "b", "1");
    struct txn_builder outer = {0};
    add_put(&outer, TXN_SUCCESS, "a", "2");
    add(&outer, TXN_SUCCESS, OP_TXN, &inner.body);
    add_range(&outer, TXN_SUCCESS, "b", NULL, 0);
    assert_string_equal(run(world, &outer),
                        "then put[@3 a=1(2,2,1)] txn[{} then range[@3 a=2(2,3,2) count=1] "
                        "put[@3]] range[@3 b=1(3,3,1) count=1]");
}

static void test_txn_checks_before_it_executes(void **state) {
    struct world *world = *state;
    put(world, "a", "1");
    assert_int_equal(compact(world, 2), STATUS_OK);
    struct txn_builder txn = {0};
    add_put(&txn, TXN_SUCCESS, "b", "1");
    add_range(&txn, TXN_SUCCESS, "a", NULL, 1);
    assert_string_equal(run(world, &txn), "etcdserver: mvcc: required revision has been compacted");
    txn = (struct txn_builder){0};
    add_put(&txn, TXN_SUCCESS, "b", "1");
    add_range(&txn, TXN_SUCCESS, "a", NULL, 3);
    assert_string_equal(run(world, &txn), "etcdserver: mvcc: required revision is a future revision");
    txn = (struct txn_builder){0};
    add_put(&txn, TXN_SUCCESS, "b", "1");
    add_range(&txn, TXN_FAILURE, "a", NULL, 3); /* not on the path */
    assert_string_equal(run(world, &txn), "then put[@3]");
    assert_string_equal(RANGE("b", NULL, .limit = 0), "b=1(3,3,1) count=1");
}

static void test_compare_missing_key(void **state) {
    struct world *world = *state;
    struct bytes key = text("x");
    struct bytes none = {0};
    for (int32_t result = COMPARE_EQUAL; result <= COMPARE_NOT_EQUAL; result++)
        assert_false(holds(
            world, (struct compare){
                       .key = key, .target = COMPARE_VALUE, .result = result, .operand = 7, .value = none}));
    assert_true(holds(world, (struct compare){.key = key, .target = COMPARE_VERSION, .operand = 4}));
    assert_true(holds(world, (struct compare){.key = key, .target = COMPARE_CREATE, .operand = 5}));
    assert_true(holds(world, (struct compare){.key = key, .target = COMPARE_MOD, .operand = 6}));
    assert_true(holds(world, (struct compare){.key = key, .target = COMPARE_LEASE, .operand = 8}));
    assert_true(holds(
        world, (struct compare){
                   .key = key, .target = COMPARE_MOD, .result = COMPARE_LESS, .operand = 6, .number = 1}));
    put(world, "x", "1");
    delete (world, "x", NULL);
    assert_true(holds(world, (struct compare){.key = key, .target = COMPARE_CREATE, .operand = 5}));
}

static void test_compare_results(void **state) {
    struct world *world = *state;
    put(world, "a", "m");
    put(world, "a", "m");
    struct compare compare = {.key = text("a"), .target = COMPARE_VERSION, .operand = 4, .number = 2};
    assert_true(holds(world, compare));
    compare.result = COMPARE_GREATER;
    assert_false(holds(world, compare));
    compare.number = 1;
    assert_true(holds(world, compare));
    compare.result = COMPARE_NOT_EQUAL;
    assert_true(holds(world, compare));
    compare = (struct compare){
        .key = text("a"), .target = COMPARE_VALUE, .result = COMPARE_LESS, .operand = 7, .value = text("n")};
    assert_true(holds(world, compare));
    compare.target = 17; /* unknown: equal */
    assert_false(holds(world, compare));
    compare.result = COMPARE_EQUAL;
    assert_true(holds(world, compare));
    compare.result = 17; /* unknown: holds */
    assert_true(holds(world, compare));
}

static void test_compare_ranges(void **state) {
    struct world *world = *state;
    struct compare compare = {
        .key = text("a"), .range_end = text("z"), .target = COMPARE_VERSION, .operand = 4};
    assert_true(holds(world, compare)); /* no keys: one of zeros */
    put(world, "b", "1");
    put(world, "c", "1");
    assert_false(holds(world, compare));
    compare.number = 1;
    assert_true(holds(world, compare));
    put(world, "c", "1");
    assert_false(holds(world, compare));
    compare =
        (struct compare){.key = text("x"), .range_end = text("z"), .target = COMPARE_VALUE, .operand = 7};
    assert_false(holds(world, compare));
}

/* --- what no proxy would let through --- */

static void test_poison_entries(void **state) {
    struct world *world = *state;
    static const char *const poison[] = {"\xff\xff\xff", "\x22\x05junk!",        "\x22\x02\x0a\x7f",
                                         "plain text",   "\x32\x03\x12\x01\x0a", "\x32\x04\x12\x02\x0a\x55"};
    for (size_t i = 0; i < sizeof poison / sizeof *poison; i++) {
        mvcc_execute(&world->mvcc, world->mvcc.index + 1, 1, 0, text(poison[i]), &world->outcome);
        assert_int_not_equal(world->outcome.status, STATUS_OK);
        assert_int_equal(world->outcome.revision, 1);
        assert_int_equal(world->mvcc.index, i + 1);
    }
    mvcc_commit(&world->mvcc);
    assert_int_equal(mvcc_durable_index(&world->mvcc), 0);
}

static void test_deep_nesting_is_refused(void **state) {
    struct world *world = *state;
    struct buffer body = {0};
    for (int i = 0; i < 10000; i++) {
        struct txn_builder outer = {0};
        add(&outer, TXN_SUCCESS, OP_TXN, &body);
        body = outer.body;
    }
    assert_int_equal(execute(world, INTERNAL_TXN, &body), STATUS_TOO_MANY_OPS);
}

static void test_duplicate_keys_are_survived(void **state) {
    struct world *world = *state;
    struct txn_builder txn = {0};
    add_put(&txn, TXN_SUCCESS, "a", "1");
    add_put(&txn, TXN_SUCCESS, "a", "2");
    add_delete(&txn, TXN_SUCCESS, "a", NULL);
    add_put(&txn, TXN_SUCCESS, "a", "3");
    add_range(&txn, TXN_SUCCESS, "a", "z", 0);
    run(world, &txn);
    assert_string_equal(RANGE("a", NULL, .limit = 0), "a=3(2,2,1) count=1");
    assert_string_equal(RANGE("a", NULL, .revision = 1), "");
}

static void test_kinds_of_later_releases(void **state) {
    struct world *world = *state;
    struct buffer body = {0};
    assert_int_equal(execute(world, INTERNAL_ALARM, &body), STATUS_UNIMPLEMENTED);
    assert_int_equal(execute(world, 1234, &body), STATUS_UNIMPLEMENTED);
}

static void test_configuration_and_format_survive(void **state) {
    struct world *world = *state;
    struct buffer change = {0};
    char error[256] = "";
    wire_put_uint64(&change, 3, 0xabcd);
    mvcc_execute(&world->mvcc, 1, 1, 1, buffer_bytes(&change), &world->outcome);
    mvcc_execute(&world->mvcc, 2, 1, 1, text("junk"), &world->outcome);
    mvcc_execute(&world->mvcc, 3, 2, 0, text(NULL), &world->outcome);
    put(world, "a", "1");
    mvcc_commit(&world->mvcc);
    mvcc_close(&world->mvcc);
    assert_true(mvcc_open(&world->mvcc, &world->store->head, 9, error));
    assert_int_equal(world->mvcc.index, 4);
    assert_int_equal(world->mvcc.revision, 2);
    assert_int_equal(world->mvcc.conf_state.voter_count, 1);
    assert_int_equal(world->mvcc.conf_state.voters[0], 0xabcd);
    buffer_free(&change);

    struct store *store = &world->store->head;
    struct store_batch *batch = store->operations->new_batch(store);
    store->operations->batch_put(batch, text("mformat"), bytes_of("\3\0\0\0\0\0\0\0", 8));
    store->operations->write(store, batch);
    store->operations->free_batch(batch);
    struct mvcc other;
    assert_false(mvcc_open(&other, store, 9, error));
    assert_non_null(strstr(error, "format version 3"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_revision_begins_at_one),
        CASE(test_version_and_create),
        CASE(test_put_returns_previous),
        CASE(test_ignore_value_and_lease),
        CASE(test_unknown_lease),
        CASE(test_delete),
        CASE(test_delete_to_the_end),
        CASE(test_range_intervals),
        CASE(test_range_limit_and_more),
        CASE(test_range_filters_count_everything),
        CASE(test_range_sort),
        CASE(test_range_sort_out_of_range),
        CASE(test_range_at_a_revision),
        CASE(test_compaction),
        CASE(test_txn_empty),
        CASE(test_txn_sees_its_own_writes),
        CASE(test_txn_one_revision_many_subs),
        CASE(test_txn_without_effect),
        CASE(test_txn_branches),
        CASE(test_txn_nested),
        CASE(test_txn_checks_before_it_executes),
        CASE(test_compare_missing_key),
        CASE(test_compare_results),
        CASE(test_compare_ranges),
        CASE(test_poison_entries),
        CASE(test_deep_nesting_is_refused),
        CASE(test_duplicate_keys_are_survived),
        CASE(test_kinds_of_later_releases),
        CASE(test_configuration_and_format_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
