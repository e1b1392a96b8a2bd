/* metrics: counting over several processes' files, restarts, and the page's text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/metrics_file.h"

static char directory[64];
static struct buffer page;

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/quorate-unit-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state) {
    (void)state;
    static const char *const names[] = {"raft", "apply", "proxy-0", "torn"};
    char path[96];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/metrics.%s", directory, names[i]);
        unlink(path);
    }
    buffer_free(&page);
    return rmdir(directory);
}

/* Another process of the node: counts, and lives until `finish_process`. */
struct process {
    pid_t pid;
    int hold;
};

static struct process start_process(const char *role, void (*count)(void)) {
    int ready[2], hold[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte = 0;
        close(hold[1]);
        if (metrics_open(directory, role) != 0)
            _exit(1);
        count();
        metrics_tick();
        bool told = write(ready[1], "r", 1) == 1;
        _exit(told && read(hold[0], &byte, 1) == 1 ? 0 : 1);
    }
    char byte = 0;
    close(ready[1]);
    close(hold[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return (struct process){.pid = pid, .hold = hold[1]};
}

static void finish_process(struct process process) {
    int status = 0;
    assert_int_equal(write(process.hold, "e", 1), 1);
    close(process.hold);
    assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
    assert_int_equal(status, 0);
}

static void read_page(void) {
    buffer_reset(&page, SIZE_MAX);
    metrics_page(directory, &page);
    buffer_append_byte(&page, '\0');
}

/* The page holds this very line. */
static void assert_line(const char *line) {
    char wanted[512];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (strstr((const char *)page.data, wanted) == NULL)
        fail_msg("no line \"%s\"", line);
}

static void count_raft(void) {
    metric_add(METRIC_ETCD_SERVER_PROPOSALS_FAILED_TOTAL, 2);
    metric_set(METRIC_ETCD_SERVER_HAS_LEADER, 1);
    metric_set(METRIC_ETCD_SERVER_ID, (int64_t)0x8e9e05c52164694dU);
    metric_observe_us(METRIC_ETCD_DISK_WAL_FSYNC_DURATION_SECONDS, 1000);
    metric_observe_us(METRIC_ETCD_DISK_WAL_FSYNC_DURATION_SECONDS, 1001);
    metric_observe_us(METRIC_ETCD_DISK_WAL_FSYNC_DURATION_SECONDS, 99000000);
}

static void count_proxy(void) {
    metric_add(METRIC_ETCD_SERVER_PROPOSALS_FAILED_TOTAL, 3);
    metric_set(METRIC_ETCD_SERVER_HAS_LEADER, 1);
    metric_rpc_started(RPC_KV_RANGE);
    metric_rpc_handled(RPC_KV_RANGE, 0);
    metric_rpc_handled(RPC_KV_PUT, 14);
    metric_rpc_handled(RPC_KV_PUT, 99);
    metric_rpc_handled(RPC_COUNT, 0);
    metric_rpc_messages(RPC_KV_RANGE, 1, 7);
    metric_rpc_duration_us(RPC_KV_RANGE, 5000);
}

static void test_sums(void **state) {
    (void)state;
    struct process raft = start_process("raft", count_raft), proxy = start_process("proxy-0", count_proxy);
    read_page();
    assert_line("etcd_server_proposals_failed_total 5");
    assert_line("etcd_server_has_leader 1");
    assert_line("etcd_server_id{server_id=\"8e9e05c52164694d\"} 1");
    assert_line("etcd_server_version{server_version=\"3.7.1\"} 1");
    assert_line("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 1");
    assert_line("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} 2");
    assert_line("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} 2");
    assert_line("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 3");
    assert_line("etcd_disk_wal_fsync_duration_seconds_count 3");
    assert_line("etcd_disk_wal_fsync_duration_seconds_sum 99.002001");
    assert_line("grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\","
                "grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1");
    assert_line("grpc_server_handled_total{grpc_code=\"Unknown\",grpc_method=\"Put\","
                "grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1");
    assert_line("grpc_server_msg_sent_total{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\","
                "grpc_type=\"unary\"} 7");
    assert_line("grpc_server_handling_seconds_bucket{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\","
                "grpc_type=\"unary\",le=\"0.005\"} 1");
    assert_line("grpc_server_started_total{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\","
                "grpc_type=\"bidi_stream\"} 0");
    finish_process(raft);
    finish_process(proxy);
}

static void test_dead_process(void **state) {
    (void)state;
    read_page();
    assert_line("etcd_server_proposals_failed_total 5");
    assert_line("etcd_server_has_leader 0");
    assert_null(strstr((const char *)page.data, "etcd_server_id{"));
}

static void test_restart_goes_on(void **state) {
    (void)state;
    struct process raft = start_process("raft", count_raft);
    read_page();
    assert_line("etcd_server_proposals_failed_total 7");
    assert_line("etcd_disk_wal_fsync_duration_seconds_count 6");
    finish_process(raft);
}

static void test_torn_files(void **state) {
    (void)state;
    char path[96];
    snprintf(path, sizeof path, "%s/metrics.torn", directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("QMTRICS1 and then nothing", file) >= 0);
    assert_int_equal(fclose(file), 0);
    read_page();
    assert_line("etcd_server_proposals_failed_total 7");
    assert_int_equal(metrics_open(directory, "torn"), 0);
    metric_add(METRIC_ETCD_SERVER_PROPOSALS_FAILED_TOTAL, 1);
    read_page();
    assert_line("etcd_server_proposals_failed_total 8");
    assert_int_equal(metrics_open("/nowhere", "raft"), -ENOENT);
}

static double value_of(const char *name) {
    const char *at = strstr((const char *)page.data, name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

static void test_process_usage(void **state) {
    (void)state;
    read_page();
    assert_true(value_of("\nprocess_resident_memory_bytes ") > 100000);
    assert_true(value_of("\nprocess_open_fds ") >= 3);
    assert_true(value_of("\nprocess_start_time_seconds ") > 1.6e9);
    double used = value_of("\nprocess_cpu_seconds_total ");
    assert_true(used > 0);
    for (volatile unsigned i = 0; i < 10000000; i++) {
    }
    read_page();
    assert_true(value_of("\nprocess_cpu_seconds_total ") > used);
}

/* Every line is a comment or `name{labels} number`, each name has one head, before its first sample. */
static void test_format(void **state) {
    (void)state;
    read_page();
    char seen[256][96];
    unsigned count = 0;
    for (char *rest = (char *)page.data, *line; (line = strsep(&rest, "\n")) != NULL;) {
        char name[96], kind[32];
        if (sscanf(line, "# TYPE %95s %31s", name, kind) != 2)
            continue;
        for (unsigned i = 0; i < count; i++)
            assert_string_not_equal(seen[i], name);
        assert_true(count < 256);
        strcpy(seen[count++], name);
    }
    assert_true(count > 90);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_dead_process),
        cmocka_unit_test(test_restart_goes_on),
        cmocka_unit_test(test_torn_files),
        cmocka_unit_test(test_process_usage),
        cmocka_unit_test(test_format),
    };
    log_init("test", "error");
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
