/* store_format: what maint expects in a checkpoint is what mvcc writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apply/mvcc/mvcc.h"
#include "common/store_format.h"

static void test_key(void **state) {
    (void)state;
    assert_true(bytes_equal(mvcc_applied_key(), bytes_from_text(STORE_APPLIED_KEY)));
}

static void test_value(void **state) {
    (void)state;
    uint8_t value[STORE_APPLIED_LENGTH + 1];
    for (unsigned i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(0xf1 + i);
    for (size_t length = 0; length <= sizeof value; length++) {
        struct bytes bytes = bytes_of(value, length);
        assert_int_equal(mvcc_applied_index(bytes), store_applied_index(bytes));
        assert_int_equal(store_applied_index(bytes) != 0, length == STORE_APPLIED_LENGTH);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_key), cmocka_unit_test(test_value)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
