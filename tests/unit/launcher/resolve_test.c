/* resolve: what settings become, and which combinations are refused. Words are checked in tests/e2e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "launcher/duration.h"
#include "launcher/resolve.h"
#include "launcher/throttle.h"

static struct config config;
static char error[SETTINGS_ERROR];

/* Pairs of flag and value. */
static bool resolve_pairs(const char *const *pairs) {
    struct settings settings = {0};
    config_free(&config);
    for (; pairs[0] != NULL; pairs += 2)
        settings_put(&settings, flag_find(pairs[0], strlen(pairs[0])), pairs[1], SOURCE_COMMAND_LINE);
    bool good = resolve(&settings, "/start", &config, error);
    settings_free(&settings);
    return good;
}
#define RESOLVE(...) resolve_pairs((const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state) {
    (void)state;
    assert_true(resolve_pairs((const char *const[]){NULL}));
    assert_string_equal(config.data_directory, "/start/default.etcd");
    assert_string_equal(config.wal_directory, "/start/default.etcd/member/wal");
    assert_string_equal(config.runtime_directory, "/start/default.etcd/run");
    assert_string_equal(config.listen_client_urls, "http://localhost:2379");
    assert_string_equal(config.initial_cluster, "default=http://localhost:2380");
    assert_int_equal(config.quota_bytes, UINT64_C(2) << 30);
}

static void test_directories(void **state) {
    (void)state;
    assert_true(RESOLVE("data-dir", "/var/lib/etcd/", "wal-dir", "w", "runtime-dir", "/run/quorate"));
    assert_string_equal(config.data_directory, "/var/lib/etcd");
    assert_string_equal(config.wal_directory, "/start/w");
    assert_string_equal(config.runtime_directory, "/run/quorate");
    assert_false(RESOLVE("name", "../a"));
    assert_false(RESOLVE("name", "a\nlog-level: debug"));
}

static void test_addresses(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "127.0.0.1:2379",
                                      "ftp://127.0.0.1:1",
                                      "http://127.0.0.1",
                                      "http://127.0.0.1:65536",
                                      "http://127.0.0.1:1,",
                                      "http://[::1:1",
                                      "https://127.0.0.1:1",
                                      "http://host:1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(RESOLVE("listen-client-urls", bad[i], "advertise-client-urls", "http://a:1"));
    assert_true(RESOLVE("listen-client-urls", "http://[::1]:1,http://0.0.0.0:2,unix:///run/socket",
                        "advertise-client-urls", "http://a:1"));
    assert_false(RESOLVE("listen-client-urls", "http://127.0.0.1:1"));
    assert_true(RESOLVE("listen-metrics-urls", ""));
}

static void test_cluster(void **state) {
    (void)state;
    assert_true(RESOLVE("name", "a", "initial-advertise-peer-urls", "http://x:1,http://x:2"));
    assert_string_equal(config.initial_cluster, "a=http://x:1,a=http://x:2");
    assert_true(RESOLVE("name", "a", "initial-advertise-peer-urls", "http://x:1,http://x:2",
                        "initial-cluster", "a=http://x:2,a=http://x:1"));
    assert_false(RESOLVE("name", "a", "initial-advertise-peer-urls", "http://x:1,http://x:2",
                         "initial-cluster", "a=http://x:2"));
    assert_false(RESOLVE("name", "a", "initial-cluster", "a=http://x:2"));
    assert_false(RESOLVE("name", "a", "initial-cluster", "a"));
    assert_false(RESOLVE("name", "a", "initial-cluster", "a=http://localhost:2380,b=http://localhost:1"));
    assert_non_null(strstr(error, "several members"));
}

static void test_limits(void **state) {
    (void)state;
    assert_false(RESOLVE("heartbeat-interval", "0"));
    assert_false(RESOLVE("heartbeat-interval", "4294967295"));
    assert_false(RESOLVE("heartbeat-interval", "4294967296"));
    assert_false(RESOLVE("heartbeat-interval", "-1"));
    assert_true(RESOLVE("heartbeat-interval", "200", "election-timeout", "1000"));
    assert_false(RESOLVE("heartbeat-interval", "201", "election-timeout", "1000"));
    assert_false(RESOLVE("max-txn-ops", "0"));
    assert_true(RESOLVE("quota-backend-bytes", "-5"));
    assert_int_equal(config.quota_bytes, INT64_MAX);
    assert_true(RESOLVE("quota-backend-bytes", "8589934592"));
    assert_int_equal(config.quota_bytes, UINT64_C(8) << 30);
}

static void test_switches(void **state) {
    (void)state;
    assert_true(RESOLVE("metrics", "extensive", "log-level", "panic"));
    assert_true(config.metrics_extensive);
    assert_string_equal(config.log_level, "error");
    assert_false(RESOLVE("metrics", "all"));
    assert_false(RESOLVE("log-level", "loud"));
    assert_true(RESOLVE("feature-gates", "LeaseCheckpoint=true,PriorityRequest=false"));
    assert_false(RESOLVE("feature-gates", "LeaseCheckpoint"));
    assert_false(RESOLVE("feature-gates", "LeaseCheckpoint=perhaps"));
    assert_false(RESOLVE("feature-gates", "Lease=true"));
    assert_false(RESOLVE("force-new-cluster", "true"));
    assert_true(RESOLVE("force-new-cluster", "F"));
    assert_false(RESOLVE("discovery", "http://x"));
    assert_false(RESOLVE("max-wals", "x"));
}

static void test_durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t milliseconds;
    } good[] = {{"0", 0},         {"5s", 5000}, {"1h30m", 5400000}, {"1.5s", 1500}, {"2h45m30s", 9930000},
                {"1000000ns", 1}, {"999us", 0}, {"0s", 0}};
    static const char *const bad[] = {"", "5", "s", "5 s", "-5s", "5x", "1.2.3s", "5sm", "99999999999h", "."};
    uint64_t milliseconds = 0;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(duration_parse(good[i].text, &milliseconds));
        assert_int_equal(milliseconds, good[i].milliseconds);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (duration_parse(bad[i], &milliseconds))
            fail_msg("accepted \"%s\"", bad[i]);
    }
}

static void test_compaction(void **state) {
    (void)state;
    static const struct {
        const char *mode, *retention;
        uint64_t amount;
    } good[] = {{"periodic", "0", 0},
                {"periodic", "", 0},
                {"periodic", "5", 18000000},
                {"periodic", "+5", 18000000},
                {"periodic", "30m", 1800000},
                {"periodic", "1h0.5s", 3600500},
                {"revision", "1000000", 1000000},
                {"revision", "0", 0}};
    static const struct {
        const char *mode, *retention, *error;
    } bad[] = {
        {"", "1", "undefined auto-compaction-mode"},
        {"never", "1", "unknown auto-compaction-mode \"never\""},
        {"periodic", "abc", "error parsing CompactionRetention: time: invalid duration \"abc\""},
        {"periodic", "-1", "error parsing CompactionRetention: time: missing unit in duration \"-1\""},
        {"periodic", "1.5", "error parsing CompactionRetention: time: missing unit in duration \"1.5\""},
        {"periodic", "1h5", "error parsing CompactionRetention: time: missing unit in duration \"1h5\""},
        {"periodic", "1d", "error parsing CompactionRetention: time: unknown unit \"d\" in duration \"1d\""},
        {"periodic", "-", "error parsing CompactionRetention: time: invalid duration \"-\""},
        {"periodic", "-5h", "error parsing CompactionRetention: duration \"-5h\" is negative"},
        {"revision", "-7", "error parsing CompactionRetention: time: missing unit in duration \"-7\""},
        {"revision", "1h", "--auto-compaction-retention=1h: a number of revisions is needed"},
        {"periodic", "9223372036854775807",
         "--auto-compaction-retention: 9223372036854775807 hours are too many"},
    };
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(
            RESOLVE("auto-compaction-mode", good[i].mode, "auto-compaction-retention", good[i].retention));
        assert_string_equal(config.auto_compaction_mode, good[i].mode);
        assert_int_equal(config.auto_compaction_retention, good[i].amount);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(
            RESOLVE("auto-compaction-mode", bad[i].mode, "auto-compaction-retention", bad[i].retention));
        assert_string_equal(error, bad[i].error);
    }
}

static void test_watch_progress_interval(void **state) {
    (void)state;
    assert_true(RESOLVE("watch-progress-notify-interval", "0"));
    assert_int_equal(config.watch_progress_interval, 600000);
    assert_true(RESOLVE("watch-progress-notify-interval", "5ms"));
    assert_int_equal(config.watch_progress_interval, 100);
    assert_true(RESOLVE("watch-progress-notify-interval", "5s"));
    assert_int_equal(config.watch_progress_interval, 5000);
}

static void test_throttle(void **state) {
    (void)state;
    static const uint64_t waits[] = {0, 100000, 400000, 1600000, 5000000, 5000000};
    struct throttle throttle = {0};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(throttle_died(&throttle, 5000, false), waits[i]);
    assert_int_equal(throttle_died(&throttle, 1000000, false), 0);
    assert_int_equal(throttle_died(&throttle, 999999, false), 0);
    assert_int_equal(throttle_died(&throttle, 999999, false), 100000);
    assert_int_equal(throttle_died(&throttle, 249999, true), 400000);
    assert_int_equal(throttle_died(&throttle, 250000, true), 0);
    assert_int_equal(throttle_died(&throttle, 250000, true), 0);
}

static int free_config(void **state) {
    (void)state;
    config_free(&config);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_compaction),
        cmocka_unit_test(test_watch_progress_interval),
        cmocka_unit_test(test_throttle),
    };
    return cmocka_run_group_tests(tests, NULL, free_config);
}
