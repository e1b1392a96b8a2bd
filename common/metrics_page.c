/*
 * metrics_page: the page a proxy answers on /metrics, for the whole node.
 *
 * Happy path: every metrics.* file of the runtime directory is read; counters of all of them are summed, also
 * of processes that are gone; gauges count only while their process lives; process_* are the sums over the
 * living. Then one pass over the table writes Prometheus' text format.
 *
 * Failure modes: a file that is short, of another layout or unreadable is left out, with a warning; a process
 * whose /proc entries cannot be read counts as using nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "common/metrics_file.h"
#include "common/process_usage.h"
#include "common/status.h"

struct totals {
    uint64_t metrics[METRIC_COUNT][METRIC_WORDS];
    struct {
        uint64_t started, received, sent, handled[METRIC_CODES], duration_us, duration[RPC_DURATION_BUCKETS];
    } rpcs[RPC_COUNT];
    uint64_t cpu_us, start_us;
    struct process_usage usage;
};

static bool read_file(int directory, const char *name, struct metrics_file *out) {
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t length = fd < 0 ? -1 : pread(fd, (void *)out, sizeof *out, 0);
    if (fd >= 0)
        close(fd);
    if (length == (ssize_t)sizeof *out && out->magic == METRICS_MAGIC && out->layout == metrics_layout())
        return true;
    LOG_WARN("left a metrics file out: it is torn or of another version", F_STR("file", name));
    return false;
}

static void fold_metric(struct totals *totals, const struct metrics_file *file, unsigned metric, bool alive) {
    const struct metric_row *row = &metric_rows[metric];
    if (!alive && (row->kind == KIND_GAUGE || row->kind == KIND_IDENTITY))
        return;
    for (unsigned word = 0; word < METRIC_WORDS; word++) {
        uint64_t value = file->metrics[metric][word];
        uint64_t *total = &totals->metrics[metric][word];
        if (row->combine == COMBINE_SUM)
            *total += value;
        else if (row->kind == KIND_IDENTITY ? value > *total : (int64_t)value > (int64_t)*total)
            *total = value;
    }
}

static void fold_rpc(struct totals *totals, const struct metrics_file *file, unsigned rpc) {
    const struct rpc_words *words = &file->rpcs[rpc];
    totals->rpcs[rpc].started += words->started;
    totals->rpcs[rpc].received += words->received;
    totals->rpcs[rpc].sent += words->sent;
    totals->rpcs[rpc].duration_us += words->duration_us;
    for (unsigned i = 0; i < METRIC_CODES; i++)
        totals->rpcs[rpc].handled[i] += words->handled[i];
    for (unsigned i = 0; i < RPC_DURATION_BUCKETS; i++)
        totals->rpcs[rpc].duration[i] += words->duration[i];
}

static void fold_file(struct totals *totals, const struct metrics_file *file) {
    bool alive = file->start_ticks != 0 && process_start_ticks(file->pid) == file->start_ticks;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        fold_metric(totals, file, i, alive);
    for (unsigned i = 0; i < RPC_COUNT; i++)
        fold_rpc(totals, file, i);
    totals->cpu_us += file->past_cpu_us + file->cpu_us;
    if (!alive)
        return;
    process_usage_add(file->pid, &totals->usage);
    if (totals->start_us == 0 || file->start_us < totals->start_us)
        totals->start_us = file->start_us;
}

static void fold_directory(struct totals *totals, const char *runtime_directory) {
    DIR *directory = opendir(runtime_directory);
    if (directory == NULL) {
        LOG_WARN("cannot read the metrics files", F_STR("directory", runtime_directory), F_ERRNO(errno));
        return;
    }
    struct metrics_file *file = must_alloc(sizeof *file);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strncmp(entry->d_name, "metrics.", 8) == 0 && read_file(dirfd(directory), entry->d_name, file))
            fold_file(totals, file);
    }
    free(file);
    closedir(directory);
}

static void put_head(struct buffer *out, const char *name, const char *help, const char *type) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name, name_bucket{labels,le="…"}, …: the lines of one histogram. */
static void put_histogram(struct buffer *out, const char *name, const char *labels, const double *bounds,
                          unsigned count, const uint64_t *buckets, double sum) {
    const char *comma = *labels == '\0' ? "" : ",";
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        total += buckets[i];
        buffer_printf(out, "%s_bucket{%s%sle=\"%.10g\"} %" PRIu64 "\n", name, labels, comma, bounds[i],
                      total);
    }
    total += buckets[count];
    buffer_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, total);
    const char *open = *labels == '\0' ? "" : "{", *close = *labels == '\0' ? "" : "}";
    buffer_printf(out, "%s_sum%s%s%s %.10g\n", name, open, labels, close, sum);
    buffer_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, total);
}

static void put_table_histogram(struct buffer *out, const struct metric_row *row, const uint64_t *words) {
    const struct bucket_family *family = &bucket_families[row->buckets];
    double bounds[METRIC_MAX_BUCKETS], bound = family->first;
    for (unsigned i = 0; i < family->count; i++, bound *= 2)
        bounds[i] = bound;
    put_histogram(out, row->name, row->labels, bounds, family->count, words + 1,
                  (double)words[0] / family->unit_us);
}

static void put_metric(struct buffer *out, const struct totals *totals, unsigned metric) {
    const struct metric_row *row = &metric_rows[metric];
    const uint64_t *words = totals->metrics[metric];
    static const char *const types[] = {[KIND_COUNTER] = "counter",
                                        [KIND_GAUGE] = "gauge",
                                        [KIND_HISTOGRAM] = "histogram",
                                        [KIND_CONSTANT] = "gauge",
                                        [KIND_IDENTITY] = "gauge"};
    if (metric == 0 || strcmp(metric_rows[metric - 1].name, row->name) != 0)
        put_head(out, row->name, row->help, types[row->kind]);
    const char *open = *row->labels == '\0' ? "" : "{", *close = *row->labels == '\0' ? "" : "}";
    switch (row->kind) {
    case KIND_COUNTER:
        buffer_printf(out, "%s%s%s%s %" PRIu64 "\n", row->name, open, row->labels, close, words[0]);
        break;
    case KIND_GAUGE:
        buffer_printf(out, "%s%s%s%s %" PRId64 "\n", row->name, open, row->labels, close, (int64_t)words[0]);
        break;
    case KIND_HISTOGRAM:
        put_table_histogram(out, row, words);
        break;
    case KIND_CONSTANT:
        buffer_printf(out, "%s%s%s%s 1\n", row->name, open, row->labels, close);
        break;
    case KIND_IDENTITY:
        if (words[0] != 0)
            buffer_printf(out, "%s{%s=\"%" PRIx64 "\"} 1\n", row->name, row->labels, words[0]);
        break;
    }
}

static const struct {
    const char *service, *method, *type;
} rpc_rows[RPC_COUNT] = {
#define RPC_ROW(name, service, method, type) {service, method, type},
    RPC_TABLE(RPC_ROW)
#undef RPC_ROW
};

static void rpc_labels(char out[256], unsigned rpc, const char *code) {
    snprintf(out, 256, "%s%s%sgrpc_method=\"%s\",grpc_service=\"%s\",grpc_type=\"%s\"",
             code == NULL ? "" : "grpc_code=\"", code == NULL ? "" : code, code == NULL ? "" : "\",",
             rpc_rows[rpc].method, rpc_rows[rpc].service, rpc_rows[rpc].type);
}

static void put_rpc_handled(struct buffer *out, const struct totals *totals) {
    char labels[256];
    put_head(out, "grpc_server_handled_total", "RPCs finished, whatever their outcome, by code.", "counter");
    for (unsigned rpc = 0; rpc < RPC_COUNT; rpc++) {
        for (unsigned code = 0; code < METRIC_CODES; code++) {
            rpc_labels(labels, rpc, status_code_name((enum grpc_code)code));
            buffer_printf(out, "grpc_server_handled_total{%s} %" PRIu64 "\n", labels,
                          totals->rpcs[rpc].handled[code]);
        }
    }
}

/* Only with --metrics=extensive does anyone observe durations; series without observations stay away. */
static void put_rpc_durations(struct buffer *out, const struct totals *totals) {
    bool head = false;
    for (unsigned rpc = 0; rpc < RPC_COUNT; rpc++) {
        uint64_t count = 0;
        for (unsigned i = 0; i < RPC_DURATION_BUCKETS; i++)
            count += totals->rpcs[rpc].duration[i];
        if (count == 0)
            continue;
        if (!head)
            put_head(out, "grpc_server_handling_seconds", "Time from the start of an RPC to its end.",
                     "histogram");
        head = true;
        char labels[256];
        rpc_labels(labels, rpc, NULL);
        put_histogram(out, "grpc_server_handling_seconds", labels, rpc_duration_bounds,
                      RPC_DURATION_BUCKETS - 1, totals->rpcs[rpc].duration,
                      (double)totals->rpcs[rpc].duration_us / 1e6);
    }
}

static void put_rpcs(struct buffer *out, const struct totals *totals) {
    static const struct {
        const char *name, *help;
    } series[3] = {{"grpc_server_msg_received_total", "Messages received in RPCs."},
                   {"grpc_server_msg_sent_total", "Messages sent in RPCs."},
                   {"grpc_server_started_total", "RPCs begun."}};
    char labels[256];
    put_rpc_handled(out, totals);
    put_rpc_durations(out, totals);
    for (unsigned i = 0; i < 3; i++) {
        put_head(out, series[i].name, series[i].help, "counter");
        for (unsigned rpc = 0; rpc < RPC_COUNT; rpc++) {
            uint64_t values[3] = {totals->rpcs[rpc].received, totals->rpcs[rpc].sent,
                                  totals->rpcs[rpc].started};
            rpc_labels(labels, rpc, NULL);
            buffer_printf(out, "%s{%s} %" PRIu64 "\n", series[i].name, labels, values[i]);
        }
    }
}

static void put_number(struct buffer *out, const char *name, const char *type, const char *help,
                       double value) {
    put_head(out, name, help, type);
    buffer_printf(out, "%s %.15g\n", name, value);
}

static void put_process(struct buffer *out, const struct totals *totals) {
    const struct process_usage *usage = &totals->usage;
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    double most = (double)files.rlim_max * usage->processes;
    put_number(out, "os_fd_limit", "gauge", "Descriptors the node's processes may open.", most);
    put_number(out, "os_fd_used", "gauge", "Descriptors the node's processes have open.",
               (double)usage->files);
    put_number(out, "process_cpu_seconds_total", "counter", "CPU time of the node's processes.",
               (double)totals->cpu_us / 1e6);
    put_number(out, "process_max_fds", "gauge", "Descriptors the node's processes may open.", most);
    put_number(out, "process_open_fds", "gauge", "Descriptors the node's processes have open.",
               (double)usage->files);
    put_number(out, "process_network_receive_bytes_total", "counter", "Bytes the machine received over IP.",
               (double)usage->network_received);
    put_number(out, "process_network_transmit_bytes_total", "counter", "Bytes the machine sent over IP.",
               (double)usage->network_sent);
    put_number(out, "process_resident_memory_bytes", "gauge", "Resident memory of the node's processes.",
               (double)usage->resident);
    put_number(out, "process_start_time_seconds", "gauge", "When the oldest process of the node started.",
               (double)totals->start_us / 1e6);
    put_number(out, "process_virtual_memory_bytes", "gauge", "Virtual memory of the node's processes.",
               (double)usage->virtual_memory);
    put_number(out, "process_virtual_memory_max_bytes", "gauge", "Limit of virtual memory.",
               18446744073709551615.0);
}

void metrics_page(const char *runtime_directory, struct buffer *out) {
    struct totals *totals = must_zalloc(sizeof *totals);
    metrics_tick();
    fold_directory(totals, runtime_directory);
    process_usage_network(&totals->usage);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        put_metric(out, totals, i);
    put_rpcs(out, totals);
    put_process(out, totals);
    free(totals);
}
