/* key_hash: keys made to collide do not, few do by chance, and no bits of the result are worse than others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/key_hash.h"

static uint64_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 33;
}

/*
 * Two words in which the highest bit of the first is flipped, and in the second any two bits: where words are
 * only multiplied modulo 2^64 and shifted, one of these pairs collides whatever the seed is, and n such pairs
 * in a row make 2^n keys of one hash.
 */
static void test_no_difference_cancels_out(void **state) {
    (void)state;
    uint64_t random = 1;
    for (unsigned low = 0; low < 64; low++) {
        for (unsigned high = low; high < 64; high++) {
            unsigned collisions = 0;
            for (unsigned round = 0; round < 4; round++) {
                uint64_t seed = next_random(&random);
                uint64_t words[2] = {next_random(&random), next_random(&random)};
                uint64_t others[2] = {words[0] ^ UINT64_C(1) << 63,
                                      words[1] ^ (UINT64_C(1) << low | UINT64_C(1) << high)};
                collisions += key_hash(bytes_of(words, sizeof words), seed) ==
                              key_hash(bytes_of(others, sizeof others), seed);
            }
            assert_int_equal(collisions, 0);
        }
    }
}

static void test_length_counts(void **state) {
    (void)state;
    static const uint8_t zeros[40] = {0};
    for (size_t a = 0; a < sizeof zeros; a++) {
        for (size_t b = 0; b < a; b++)
            assert_int_not_equal(key_hash(bytes_of(zeros, a), 7), key_hash(bytes_of(zeros, b), 7));
    }
}

/* Keys as clients have them, into 1,024 buckets by the lowest, and by the highest bits: 64 in each, about. */
static void test_spreads(void **state) {
    (void)state;
    static const uint64_t seeds[] = {0, 1, UINT64_C(0xfedcba9876543210)};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        unsigned low[1024] = {0};
        unsigned high[1024] = {0};
        for (unsigned number = 0; number < 65536; number++) {
            char key[64];
            int length = snprintf(key, sizeof key, "/registry/pods/default/pod-%u", number);
            uint64_t hash = key_hash(bytes_of(key, (size_t)length), seeds[i]);
            low[hash % 1024]++;
            high[hash >> 54]++;
        }
        for (unsigned bucket = 0; bucket < 1024; bucket++) {
            assert_in_range(low[bucket], 24, 112);
            assert_in_range(high[bucket], 24, 112);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_difference_cancels_out),
        cmocka_unit_test(test_length_counts),
        cmocka_unit_test(test_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
