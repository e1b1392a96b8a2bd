/* crc32c: the published check values, chaining at every split, every alignment against a bit-by-bit model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "common/crc32c.h"

/* The definition: reflected polynomial 0x82f63b78, all ones before and after. */
static uint32_t model(uint32_t crc, const uint8_t *data, size_t length) {
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void test_check_values(void **state) {
    (void)state;
    uint8_t block[32] = {0};
    assert_int_equal(crc32c_update(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_update(0, "", 0), 0);
    assert_int_equal(crc32c_update(0, block, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    memset(block, 0xff, 32);
    assert_int_equal(crc32c_update(0, block, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    assert_int_equal(crc32c_update(0, block, 32), 0x46dd794e);
}

static void test_every_length_alignment_and_split(void **state) {
    (void)state;
    uint8_t data[200];
    uint32_t random = 12345;
    for (size_t i = 0; i < sizeof data; i++) {
        random = random * 1103515245 + 12345;
        data[i] = (uint8_t)(random >> 16);
    }
    for (size_t start = 0; start < 9; start++) {
        for (size_t length = 0; length <= 150; length++) {
            uint32_t whole = model(7, data + start, length);
            assert_int_equal(crc32c_update(7, data + start, length), whole);
            size_t split = length / 3;
            uint32_t part = crc32c_update(7, data + start, split);
            assert_int_equal(crc32c_update(part, data + start + split, length - split), whole);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_values),
        cmocka_unit_test(test_every_length_alignment_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
