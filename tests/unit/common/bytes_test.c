/* bytes: order and equality, buffers that grow, print and let go of memory, arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bytes.h"

static void test_compare_and_equal(void **state) {
    (void)state;
    static const struct bytes ascending[] = {
        {NULL, 0},
        {(const uint8_t *)"\x00", 1},
        {(const uint8_t *)"a", 1},
        {(const uint8_t *)"a\x00", 2},
        {(const uint8_t *)"ab", 2},
        {(const uint8_t *)"b", 1},
        {(const uint8_t *)"\x7f", 1},
        {(const uint8_t *)"\x80", 1}, /* unsigned */
        {(const uint8_t *)"\xff\xff", 2},
    };
    int count = sizeof ascending / sizeof *ascending;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int order = bytes_compare(ascending[i], ascending[j]);
            assert_true(i < j ? order < 0 : i > j ? order > 0 : order == 0);
            assert_int_equal(bytes_equal(ascending[i], ascending[j]), i == j);
        }
    }
    assert_true(bytes_equal(bytes_of("x", 0), (struct bytes){0}));
}

static void test_buffer(void **state) {
    (void)state;
    struct buffer buffer = {0};
    buffer_append(&buffer, NULL, 0);
    assert_int_equal(buffer.length, 0);
    for (unsigned i = 0; i < 5000; i++)
        buffer_append_byte(&buffer, (uint8_t)i);
    buffer_append_bytes(&buffer, bytes_from_text("tail"));
    assert_int_equal(buffer.length, 5004);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(buffer.data[i], (uint8_t)i);
    assert_memory_equal(buffer.data + 5000, "tail", 4);
    uint8_t *place = buffer_reserve(&buffer, 100000);
    assert_ptr_equal(place, buffer.data + 5004);
    assert_int_equal(buffer.length, 5004);
    assert_true(buffer.capacity >= 105004);
    buffer_reset(&buffer, 1 << 20); /* moderate memory is kept */
    assert_int_equal(buffer.length, 0);
    assert_true(buffer.capacity >= 105004);
    buffer_reset(&buffer, 1000); /* a burst is not */
    assert_int_equal(buffer.capacity, 0);
    buffer_free(&buffer);
}

static void test_forget_used(void **state) {
    (void)state;
    struct buffer buffer = {0};
    size_t used = 0;
    buffer_append_bytes(&buffer, bytes_from_text("abcdefghij"));
    used = 4;
    buffer_forget_used(&buffer, &used);
    assert_true(used == 4 && buffer.length == 10); /* the smaller part */
    used = 7;
    buffer_forget_used(&buffer, &used);
    assert_int_equal(used, 0);
    assert_true(bytes_equal(buffer_bytes(&buffer), bytes_from_text("hij")));
    used = 3;
    buffer_forget_used(&buffer, &used);
    assert_true(used == 0 && buffer.length == 0);
    buffer_forget_used(&buffer, &used);
    buffer_free(&buffer);
}

static void test_printf(void **state) {
    (void)state;
    struct buffer buffer = {0};
    buffer_printf(&buffer, "%s-%d", "proxy", 7);
    buffer_printf(&buffer, "%s", "");
    buffer_printf(&buffer, "%0300d", 1);
    assert_int_equal(buffer.length, 7 + 300);
    assert_memory_equal(buffer.data, "proxy-7000", 10);
    assert_int_equal(buffer.data[306], '1');
    buffer_free(&buffer);
}

static void test_arena(void **state) {
    (void)state;
    struct arena arena = {0};
    for (unsigned round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 7) {
            uint8_t *memory = arena_alloc(&arena, size);
            assert_int_equal((uintptr_t)memory % 16, 0);
            memset(memory, 0xaa, size); /* overlap would be seen below */
            uint8_t *zeroed = arena_zalloc(&arena, size);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(zeroed[i], 0);
            if (size > 0)
                assert_int_equal(memory[size - 1], 0xaa);
        }
        uint8_t *large = arena_alloc(&arena, 1 << 20);
        memset(large, 1, 1 << 20);
        struct bytes copy = arena_copy(&arena, bytes_from_text("copied"));
        assert_true(bytes_equal(copy, bytes_from_text("copied")));
        assert_int_equal(arena_copy(&arena, (struct bytes){0}).length, 0);
        assert_true(arena.used > 1 << 20);
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    arena_free(&arena);
    arena_free(&arena);
    arena_reset(&arena);
}

static void test_panic_aborts_with_a_message(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        REQUIRE(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char text[256] = {0};
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "bytes_test.c"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare_and_equal),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_forget_used),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_panic_aborts_with_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
