/* config: written and read back, bad files refused, addresses taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/config.h"

static char directory[64], path[96], error[256];

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/quorate-unit-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/node.conf", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static void write_text(const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_round_trip(void **state) {
    (void)state;
    struct config written, read;
    config_set_defaults(&written);
    assert_true(config_set(&written, "name", "a: b # c", error));
    assert_true(config_set(&written, "quota-bytes", "18446744073709551615", error));
    assert_true(config_set(&written, "max-streams", "4294967295", error));
    assert_true(config_set(&written, "pre-vote", "false", error));
    assert_int_equal(config_write(path, &written), 0);
    struct stat mode;
    assert_int_equal(stat(path, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0600);
    assert_true(config_read(path, &read, error));
    assert_string_equal(read.name, "a: b # c");
    assert_int_equal(read.quota_bytes, UINT64_MAX);
    assert_int_equal(read.max_streams, UINT32_MAX);
    assert_false(read.pre_vote);
    assert_true(read.strict_reconfig);
    assert_string_equal(read.wal_directory, "");
    assert_string_equal(read.auto_compaction_mode, written.auto_compaction_mode);
    config_free(&written);
    config_free(&read);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {{"name: a\nfuture: 1\n", "line 2: unknown key future"},
                 {"name\n", "no colon"},
                 {"proxies: -1\n", "bad value for proxies"},
                 {"proxies: 4294967296\n", "bad value"},
                 {"proxies: 1x\n", "bad value"},
                 {"proxies: \n", "bad value"},
                 {"quota-bytes: 18446744073709551616\n", "bad value"},
                 {"pre-vote: yes\n", "bad value"}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        write_text(cases[i].text);
        assert_false(config_read(path, &config, error));
        if (strstr(error, cases[i].complaint) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", error, cases[i].complaint);
        config_free(&config);
    }
    struct config config;
    assert_false(config_read("/nowhere/node.conf", &config, error));
    assert_non_null(strstr(error, "/nowhere/node.conf"));
    assert_false(config_set(&config, "name", "two\nlines", error));
    config_free(&config);
}

static void test_comments(void **state) {
    (void)state;
    struct config config;
    write_text("# a comment\n\nname:x\nproxies: 3");
    assert_true(config_read(path, &config, error));
    assert_string_equal(config.name, "x");
    assert_int_equal(config.proxies, 3);
    config_free(&config);
}

static void test_urls(void **state) {
    (void)state;
    static const struct {
        const char *text, *scheme, *host;
        uint16_t port;
    } good[] = {{"http://127.0.0.1:2379", "http", "127.0.0.1", 2379},
                {"https://host.example:1/", "https", "host.example", 1},
                {"http://[2001:db8::1]:65535", "http", "2001:db8::1", 65535},
                {"unix:///run/a b", "unix", "/run/a b", 0},
                {"unixs://localhost:m10", "unixs", "localhost:m10", 0},
                {"http://localhost:0", "http", "localhost", 0}};
    static const char *const bad[] = {"",
                                      "http://",
                                      "http://a",
                                      "http://:1",
                                      "http://a:",
                                      "http://a:x",
                                      "http://a:1/b",
                                      "http://a b:1",
                                      "http://u@a:1",
                                      "tcp://a:1",
                                      "unix://",
                                      "http://[a:1",
                                      "http://[::1]",
                                      "http://[]:1",
                                      "http://[::1]1:1",
                                      "http://a:123456"};
    struct url url;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(url_parse(good[i].text, strlen(good[i].text), &url));
        assert_string_equal(url.scheme, good[i].scheme);
        assert_string_equal(url.host, good[i].host);
        assert_int_equal(url.port, good[i].port);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (url_parse(bad[i], strlen(bad[i]), &url))
            fail_msg("accepted \"%s\"", bad[i]);
    }
    char longest[400];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "http://", 7);
    memcpy(longest + sizeof longest - 3, ":1", 3);
    assert_false(url_parse(longest, strlen(longest), &url));
}

static void count_url(void *context, const struct url *url) {
    *(unsigned *)context += url->port;
}

static void test_url_lists(void **state) {
    (void)state;
    unsigned sum = 0;
    assert_true(url_list_each("", count_url, &sum));
    assert_true(url_list_each("http://a:1,http://b:20,http://c:300", count_url, &sum));
    assert_int_equal(sum, 321);
    assert_false(url_list_each("http://a:1,", count_url, &sum));
    assert_false(url_list_each(",http://a:1", count_url, &sum));
    assert_false(url_list_each("http://a:1,,http://a:1", count_url, &sum));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refusals),  cmocka_unit_test(test_comments),
        cmocka_unit_test(test_urls),       cmocka_unit_test(test_url_lists),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
