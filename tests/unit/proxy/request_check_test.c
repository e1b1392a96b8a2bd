/* request_check: every rule that etcd checks before it does anything, and the order of the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/wire.h"
#include "proxy/request_check.h"

enum { MAX_OPERATIONS = 8, PARTS = 16 };

/* --- building requests; what is built stays until the end of the test --- */

static struct arena built;

static struct bytes keep(struct buffer *buffer) {
    /* Without bytes, but not without data: that ends a list of elements. */
    struct bytes kept = buffer->length == 0 ? bytes_of("", 0) : arena_copy(&built, buffer_bytes(buffer));
    buffer_free(buffer);
    return kept;
}

static struct bytes text(const char *value) {
    return bytes_from_text(value);
}

static struct bytes put(const char *key) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text(key));
    wire_put_bytes(&out, 2, text("v"));
    return keep(&out);
}

static struct bytes range(const char *key, bool serializable) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text(key));
    wire_put_bool(&out, 7, serializable);
    return keep(&out);
}

static struct bytes erase(const char *key, const char *end) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text(key));
    wire_put_bytes(&out, 2, text(end));
    return keep(&out);
}

/* RequestOp */
static struct bytes op(enum request_op_kind kind, struct bytes body) {
    struct buffer out = {0};
    wire_put_bytes_always(&out, kind, body);
    return keep(&out);
}

static struct bytes op_put(const char *key) {
    return op(OP_PUT, put(key));
}

static struct bytes op_erase(const char *key, const char *end) {
    return op(OP_DELETE_RANGE, erase(key, end));
}

static struct bytes op_range(const char *key) {
    return op(OP_RANGE, range(key, false));
}

static struct bytes compare(const char *key) {
    struct buffer out = {0};
    wire_put_bytes(&out, 3, text(key));
    return keep(&out);
}

/* Elements of the three parts, each list ended by an element without data. */
struct parts {
    struct bytes compares[PARTS], success[PARTS], failure[PARTS];
};

static void put_part(struct buffer *out, enum txn_part part, const struct bytes *elements) {
    for (; elements->data != NULL; elements++)
        wire_put_bytes_always(out, part, *elements);
}

static struct bytes txn(struct parts parts) {
    struct buffer out = {0};
    put_part(&out, TXN_COMPARE, parts.compares);
    put_part(&out, TXN_SUCCESS, parts.success);
    put_part(&out, TXN_FAILURE, parts.failure);
    return keep(&out);
}

static struct bytes op_txn(struct parts parts) {
    return op(OP_TXN, txn(parts));
}

static const struct bytes empty_op = {.data = (const uint8_t *)"", .length = 0};

static enum proxy_route route;

static uint16_t check(uint16_t method, struct bytes message) {
    return request_check(method, message, MAX_OPERATIONS, &route);
}

static uint16_t check_txn(struct parts parts) {
    return check(METHOD_TXN, txn(parts));
}

static int forget_built(void **state) {
    (void)state;
    arena_free(&built);
    return 0;
}

/* --- single requests --- */

static uint16_t check_range_fields(const char *key, uint64_t order, uint64_t target, uint64_t filter) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text(key));
    wire_put_uint64(&out, 5, order);
    wire_put_uint64(&out, 6, target);
    wire_put_uint64(&out, 10, filter);
    return check(METHOD_RANGE, keep(&out));
}

static void ranges(void **state) {
    (void)state;
    assert_int_equal(check(METHOD_RANGE, range("k", false)), STATUS_OK);
    assert_int_equal(route, PROXY_LINEARIZABLE_READ);
    assert_int_equal(check(METHOD_RANGE, range("k", true)), STATUS_OK);
    assert_int_equal(route, PROXY_SERIALIZABLE_READ);
    assert_int_equal(check(METHOD_RANGE, range("", false)), STATUS_EMPTY_KEY);
    assert_int_equal(check_range_fields("k", 2, 4, 0), STATUS_OK);
    assert_int_equal(check_range_fields("k", 3, 0, 0), STATUS_INVALID_SORT_OPTION);
    assert_int_equal(check_range_fields("k", 0, 5, 0), STATUS_INVALID_SORT_OPTION);
    assert_int_equal(check_range_fields("k", 0, UINT64_MAX, 0), STATUS_INVALID_SORT_OPTION);
    assert_int_equal(check_range_fields("", 3, 0, 0), STATUS_EMPTY_KEY);
}

static uint16_t check_stream_fields(uint64_t order, uint64_t target, uint32_t filter) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text("k"));
    wire_put_uint64(&out, 5, order);
    wire_put_uint64(&out, 6, target);
    if (filter != 0)
        wire_put_uint64(&out, filter, 5);
    return check(METHOD_RANGE_STREAM, keep(&out));
}

static void range_streams(void **state) {
    (void)state;
    assert_int_equal(check_stream_fields(0, 0, 0), STATUS_OK);
    assert_int_equal(check_stream_fields(2, 0, 0), STATUS_STREAM_CUSTOM_SORT);
    assert_int_equal(check_stream_fields(0, 1, 0), STATUS_STREAM_CUSTOM_SORT);
    assert_int_equal(check_stream_fields(9, 0, 0), STATUS_INVALID_SORT_OPTION);
    for (uint32_t filter = 10; filter <= 13; filter++)
        assert_int_equal(check_stream_fields(0, 0, filter), STATUS_STREAM_REVISION_FILTERS);
}

static uint16_t check_put_fields(const char *key, const char *value, uint64_t lease, bool ignore_value,
                                 bool ignore_lease) {
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text(key));
    wire_put_bytes(&out, 2, text(value));
    wire_put_uint64(&out, 3, lease);
    wire_put_bool(&out, 5, ignore_value);
    wire_put_bool(&out, 6, ignore_lease);
    return check(METHOD_PUT, keep(&out));
}

static void puts_and_deletes(void **state) {
    (void)state;
    assert_int_equal(check_put_fields("k", "v", 0, false, false), STATUS_OK);
    assert_int_equal(route, PROXY_WRITE);
    assert_int_equal(check_put_fields("", "v", 1, true, true), STATUS_EMPTY_KEY);
    assert_int_equal(check_put_fields("k", "v", 1, true, true), STATUS_VALUE_PROVIDED);
    assert_int_equal(check_put_fields("k", "", 1, true, true), STATUS_LEASE_PROVIDED);
    assert_int_equal(check_put_fields("k", "", 0, true, true), STATUS_OK);
    assert_int_equal(check(METHOD_DELETE_RANGE, erase("k", "")), STATUS_OK);
    assert_int_equal(check(METHOD_DELETE_RANGE, erase("", "z")), STATUS_EMPTY_KEY);
    assert_int_equal(check(METHOD_COMPACT, (struct bytes){0}), STATUS_OK);
}

static void malformed_messages(void **state) {
    (void)state;
    static const uint8_t cut[] = {0x0a, 0x7f};
    static const uint8_t wrong_type[] = {0x08, 0x01};
    const uint16_t methods[] = {METHOD_RANGE,        METHOD_PUT, METHOD_DELETE_RANGE,
                                METHOD_RANGE_STREAM, METHOD_TXN, METHOD_COMPACT};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        assert_int_equal(check(methods[i], bytes_of(cut, sizeof cut)), STATUS_UNDECODABLE);
    assert_int_equal(check(METHOD_PUT, bytes_of(wrong_type, sizeof wrong_type)), STATUS_UNDECODABLE);
}

/* --- transactions --- */

static void txn_routes(void **state) {
    (void)state;
    assert_int_equal(check_txn((struct parts){.success = {op_put("a")}}), STATUS_OK);
    assert_int_equal(route, PROXY_WRITE);
    assert_int_equal(check_txn((struct parts){.success = {op_range("a")}}), STATUS_OK);
    assert_int_equal(route, PROXY_LINEARIZABLE_READ);
    struct bytes serializable = op(OP_RANGE, range("a", true));
    assert_int_equal(check_txn((struct parts){.success = {serializable}, .failure = {serializable}}),
                     STATUS_OK);
    assert_int_equal(route, PROXY_SERIALIZABLE_READ);
    assert_int_equal(check_txn((struct parts){.success = {serializable}, .failure = {op_range("a")}}),
                     STATUS_OK);
    assert_int_equal(route, PROXY_LINEARIZABLE_READ);
    assert_int_equal(check_txn((struct parts){.compares = {compare("a")}}), STATUS_OK);
    assert_int_equal(route, PROXY_SERIALIZABLE_READ);
    /* A nested transaction goes through the log even if it only reads. */
    assert_int_equal(
        check_txn((struct parts){.success = {op_txn((struct parts){.success = {serializable}})}}), STATUS_OK);
    assert_int_equal(route, PROXY_WRITE);
}

static void txn_rules_apply_in_both_branches(void **state) {
    (void)state;
    assert_int_equal(check_txn((struct parts){.compares = {compare("")}}), STATUS_EMPTY_KEY);
    assert_int_equal(check_txn((struct parts){.failure = {op_put("")}}), STATUS_EMPTY_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_erase("", "")}}), STATUS_EMPTY_KEY);
    assert_int_equal(check_txn((struct parts){.failure = {empty_op}}), STATUS_KEY_NOT_FOUND);
    struct parts nested = {.failure = {op_txn((struct parts){.failure = {op_range("")}})}};
    assert_int_equal(check_txn(nested), STATUS_EMPTY_KEY);
}

static void txn_first_error_counts_but_malformed_goes_before(void **state) {
    (void)state;
    static const uint8_t cut[] = {0x0a, 0x7f};
    struct bytes broken = op(OP_PUT, bytes_of(cut, sizeof cut));
    assert_int_equal(check_txn((struct parts){.compares = {compare("")}, .success = {empty_op}}),
                     STATUS_EMPTY_KEY);
    assert_int_equal(check_txn((struct parts){.success = {empty_op, op_put("")}}), STATUS_KEY_NOT_FOUND);
    assert_int_equal(check_txn((struct parts){.success = {empty_op}, .failure = {broken}}),
                     STATUS_UNDECODABLE);
    struct parts deep = {.compares = {compare("")}, .failure = {op_txn((struct parts){.success = {broken}})}};
    assert_int_equal(check_txn(deep), STATUS_UNDECODABLE);
}

static void txn_operation_budget(void **state) {
    (void)state;
    struct parts parts = {0};
    for (unsigned i = 0; i < MAX_OPERATIONS; i++)
        parts.success[i] = parts.failure[i] = op_range("a");
    assert_int_equal(check_txn(parts), STATUS_OK);
    parts.failure[MAX_OPERATIONS] = op_range("a");
    assert_int_equal(check_txn(parts), STATUS_TOO_MANY_OPS);
    /* Too many goes before what is wrong with them. */
    parts.compares[0] = compare("");
    assert_int_equal(check_txn(parts), STATUS_TOO_MANY_OPS);
}

static void nested_txn_has_what_its_parent_left(void **state) {
    (void)state;
    struct parts inner = {0};
    struct parts outer = {0};
    for (unsigned i = 0; i < 3; i++)
        outer.failure[i] = op_range("a");
    for (unsigned i = 0; i < MAX_OPERATIONS - 3; i++)
        inner.success[i] = op_range("a");
    outer.success[0] = op_txn(inner);
    assert_int_equal(check_txn(outer), STATUS_OK);
    inner.success[MAX_OPERATIONS - 3] = op_range("a");
    outer.success[0] = op_txn(inner);
    assert_int_equal(check_txn(outer), STATUS_TOO_MANY_OPS);
}

static void nesting_is_bounded(void **state) {
    (void)state;
    struct bytes message = txn((struct parts){0});
    for (unsigned depth = 0; depth < 10000; depth++) {
        struct buffer out = {0};
        struct bytes wrapped = op(OP_TXN, message);
        wire_put_bytes_always(&out, TXN_SUCCESS, wrapped);
        message = keep(&out);
    }
    assert_int_equal(request_check(METHOD_TXN, message, UINT32_MAX, &route), STATUS_TOO_MANY_OPS);
    assert_int_equal(check(METHOD_TXN, message), STATUS_TOO_MANY_OPS);
}

/* --- duplicate keys --- */

static void duplicates_in_one_list(void **state) {
    (void)state;
    assert_int_equal(check_txn((struct parts){.success = {op_put("a"), op_put("b")}}), STATUS_OK);
    assert_int_equal(check_txn((struct parts){.success = {op_put("a"), op_put("a")}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.failure = {op_put("a"), op_put("a")}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_put("a")}, .failure = {op_put("a")}}),
                     STATUS_OK);
    assert_int_equal(check_txn((struct parts){.success = {op_put("a"), op_erase("a", "")}}),
                     STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_erase("a", "c"), op_put("b")}}),
                     STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_erase("a", "b"), op_put("b")}}), STATUS_OK);
    assert_int_equal(check_txn((struct parts){.success = {op_erase("a", "c"), op_erase("b", "d")}}),
                     STATUS_OK);
    /* An end below the key deletes nothing. */
    assert_int_equal(check_txn((struct parts){.success = {op_erase("c", "a"), op_put("b"), op_put("c")}}),
                     STATUS_OK);
}

/* etcd takes "\0" literally here, as an end below every key. */
static void delete_from_key_on_covers_nothing(void **state) {
    (void)state;
    struct buffer out = {0};
    wire_put_bytes(&out, 1, text("a"));
    wire_put_bytes(&out, 2, bytes_of("", 1));
    struct bytes from_key = op(OP_DELETE_RANGE, keep(&out));
    assert_int_equal(check_txn((struct parts){.success = {from_key, op_put("b")}}), STATUS_OK);
}

static void duplicates_across_nesting(void **state) {
    (void)state;
    struct bytes inner_put = op_txn((struct parts){.success = {op_put("a")}});
    struct bytes inner_erase = op_txn((struct parts){.failure = {op_erase("a", "")}});
    assert_int_equal(check_txn((struct parts){.success = {op_put("a"), inner_put}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {inner_put, op_put("a")}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {inner_put, inner_put}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_put("a"), inner_erase}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {inner_put, op_erase("a", "b")}}),
                     STATUS_DUPLICATE_KEY);
    /* Between two nested transactions only a delete that stands before a put counts. */
    assert_int_equal(check_txn((struct parts){.success = {inner_erase, inner_put}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {inner_put, inner_erase}}), STATUS_OK);
}

static void exclusive_branches_do_not_collide(void **state) {
    (void)state;
    struct parts both = {.success = {op_put("a")}, .failure = {op_put("a"), op_erase("b", "")}};
    struct parts crossed = {.success = {op_put("b")}, .failure = {op_erase("a", "z")}};
    assert_int_equal(check_txn((struct parts){.success = {op_txn(both)}}), STATUS_OK);
    assert_int_equal(check_txn((struct parts){.success = {op_txn(crossed)}}), STATUS_OK);
    /* Deeper inside the branches as well. */
    struct parts deep = {.success = {op_txn(both)}, .failure = {op_txn(both)}};
    assert_int_equal(check_txn((struct parts){.success = {op_txn(deep)}}), STATUS_OK);
    /* But both count against a third put next to them. */
    assert_int_equal(check_txn((struct parts){.success = {op_txn(both), op_put("a")}}), STATUS_DUPLICATE_KEY);
    assert_int_equal(check_txn((struct parts){.success = {op_txn(both), op_txn(both)}}),
                     STATUS_DUPLICATE_KEY);
}

/* Many exclusive pairs of a put and a covering delete: bounded, not quadratic. */
static void hostile_pairs_are_bounded(void **state) {
    (void)state;
    struct buffer puts = {0};
    struct buffer erases = {0};
    for (unsigned i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05u", i);
        wire_put_bytes_always(&puts, TXN_SUCCESS, op_put(key));
        wire_put_bytes_always(&erases, TXN_FAILURE, op_erase("a", "z"));
    }
    buffer_append_bytes(&puts, buffer_bytes(&erases));
    buffer_free(&erases);
    struct bytes nested = op(OP_TXN, keep(&puts));
    struct bytes message = txn((struct parts){.success = {nested}});
    assert_int_equal(request_check(METHOD_TXN, message, 100000, &route), STATUS_TOO_MANY_OPS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ranges, forget_built),
        cmocka_unit_test_teardown(range_streams, forget_built),
        cmocka_unit_test_teardown(puts_and_deletes, forget_built),
        cmocka_unit_test_teardown(malformed_messages, forget_built),
        cmocka_unit_test_teardown(txn_routes, forget_built),
        cmocka_unit_test_teardown(txn_rules_apply_in_both_branches, forget_built),
        cmocka_unit_test_teardown(txn_first_error_counts_but_malformed_goes_before, forget_built),
        cmocka_unit_test_teardown(txn_operation_budget, forget_built),
        cmocka_unit_test_teardown(nested_txn_has_what_its_parent_left, forget_built),
        cmocka_unit_test_teardown(nesting_is_bounded, forget_built),
        cmocka_unit_test_teardown(duplicates_in_one_list, forget_built),
        cmocka_unit_test_teardown(delete_from_key_on_covers_nothing, forget_built),
        cmocka_unit_test_teardown(duplicates_across_nesting, forget_built),
        cmocka_unit_test_teardown(exclusive_branches_do_not_collide, forget_built),
        cmocka_unit_test_teardown(hostile_pairs_are_bounded, forget_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
