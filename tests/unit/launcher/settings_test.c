/* settings: command line, environment and config file, and which of them wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/settings.h"
#include "launcher/temporary.h"

static struct settings settings;
static char error[SETTINGS_ERROR];
static char *no_environment[] = {NULL};

static bool gather(char **arguments, char **environment) {
    int count = 1;
    while (arguments[count] != NULL)
        count++;
    settings_free(&settings);
    memset(error, 0, sizeof error);
    return settings_gather(&settings, count, arguments, environment, error);
}
#define GATHER(environment, ...) gather((char *[]){"quorate", __VA_ARGS__, NULL}, environment)

static void test_notations(void **state) {
    (void)state;
    assert_true(GATHER(no_environment, "--name", "a", "-data-dir=x=y", "--pre-vote", "--unsafe-no-fsync=f"));
    assert_string_equal(settings_get(&settings, "name"), "a");
    assert_string_equal(settings_get(&settings, "data-dir"), "x=y");
    assert_string_equal(settings_get(&settings, "pre-vote"), "true");
    assert_string_equal(settings_get(&settings, "unsafe-no-fsync"), "f");
    assert_null(settings_get(&settings, "wal-dir"));
}

static void test_refusals(void **state) {
    (void)state;
    assert_false(GATHER(no_environment, "--nmae", "a"));
    assert_non_null(strstr(error, "--nmae"));
    assert_non_null(strstr(error, "did you mean --name?"));
    assert_false(GATHER(no_environment, "--completely-different"));
    assert_null(strstr(error, "did you mean"));
    assert_false(GATHER(no_environment, "name"));
    assert_false(GATHER(no_environment, "-"));
    assert_false(GATHER(no_environment, "--"));
    assert_false(GATHER(no_environment, "--=x"));
    assert_false(GATHER(no_environment, "--name"));
    assert_non_null(strstr(error, "needs a value"));
}

static void test_alias(void **state) {
    (void)state;
    assert_true(GATHER(no_environment, "--experimental-watch-progress-notify-interval", "5s"));
    assert_string_equal(settings_get(&settings, "watch-progress-notify-interval"), "5s");
}

static void test_every_alias_leads_somewhere(void **state) {
    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        int found = flag_find(flag_rows[i].name, strlen(flag_rows[i].name));
        assert_true(found >= 0);
        assert_true(flag_rows[found].action != FLAG_ALIAS);
    }
}

static void test_names_are_unique(void **state) {
    (void)state;
    for (size_t i = 0; i < flag_count; i++) {
        for (size_t j = i + 1; j < flag_count; j++)
            assert_string_not_equal(flag_rows[i].name, flag_rows[j].name);
    }
}

static void test_environment(void **state) {
    (void)state;
    char *environment[] = {"ETCD_NAME=env",
                           "ETCD_DATA_DIR=",
                           "ETCD_NONSENSE=1",
                           "QUORATE_PROXIES=2",
                           "PATH=/bin",
                           "ETCD_",
                           NULL};
    assert_true(GATHER(environment, "--max-txn-ops", "1"));
    assert_string_equal(settings_get(&settings, "name"), "env");
    assert_string_equal(settings_get(&settings, "proxies"), "2");
    assert_null(settings_get(&settings, "data-dir"));
    assert_true(GATHER(environment, "--name", "flag"));
    assert_string_equal(settings_get(&settings, "name"), "flag");
}

static void test_file_replaces(void **state) {
    (void)state;
    const char *path = temporary_file("name: file\n");
    char *environment[] = {"ETCD_SNAPSHOT_COUNT=5", NULL};
    assert_true(GATHER(environment, "--name", "flag", "--proxies", "3", "--config-file", (char *)path));
    assert_string_equal(settings_get(&settings, "name"), "file");
    assert_null(settings_get(&settings, "snapshot-count"));
    assert_string_equal(settings_get(&settings, "proxies"), "3");
}

static void test_yaml(void **state) {
    (void)state;
    const char *path = temporary_file("# comment\n"
                                      "name: 'a b'\n"
                                      "data-dir:\n"
                                      "wal-dir: ~\n"
                                      "quota-backend-bytes: 0\n"
                                      "log-outputs: [stderr, stdout]\n"
                                      "grpc-keepalive-min-time: 5000000000\n"
                                      "watch-progress-notify-interval: 5s\n"
                                      "client-transport-security:\n  cert-file: c\n"
                                      "peer-transport-security:\n  auto-tls: true\n");
    settings_free(&settings);
    assert_true(settings_from_file(&settings, path, error));
    assert_string_equal(settings_get(&settings, "name"), "a b");
    assert_null(settings_get(&settings, "data-dir"));
    assert_null(settings_get(&settings, "wal-dir"));
    assert_string_equal(settings_get(&settings, "quota-backend-bytes"), "0");
    assert_string_equal(settings_get(&settings, "log-outputs"), "stderr,stdout");
    assert_string_equal(settings_get(&settings, "grpc-keepalive-min-time"), "5000000000ns");
    assert_string_equal(settings_get(&settings, "watch-progress-notify-interval"), "5s");
    assert_string_equal(settings_get(&settings, "cert-file"), "c");
    assert_string_equal(settings_get(&settings, "peer-auto-tls"), "true");
}

static void test_bad_yaml(void **state) {
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"name: [a\n", "not YAML"},
        {"- name\n", "expected a map"},
        {"a: b\nnmae: c\n", "line 1: unknown key: a"},
        {"nmae: c\n", "did you mean name?"},
        {"name: {a: b}\n", "expected a value"},
        {"name: [[a]]\n", "expected a value"},
        {"? [a]\n: b\n", "a key must be a name"},
        {"client-transport-security: yes\n", "expected a map"},
        {"client-transport-security:\n  client-transport-security:\n    cert-file: a\n", "unknown key"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        settings_free(&settings);
        assert_false(settings_from_file(&settings, temporary_file(cases[i].text), error));
        if (strstr(error, cases[i].complaint) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", error, cases[i].complaint);
    }
    assert_true(settings_from_file(&settings, temporary_file(""), error));
    assert_false(settings_from_file(&settings, "/nowhere/file", error));
}

static int free_settings(void **state) {
    (void)state;
    settings_free(&settings);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notations),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_alias),
        cmocka_unit_test(test_every_alias_leads_somewhere),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_file_replaces),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_bad_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, free_settings);
}
