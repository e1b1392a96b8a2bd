/*
 * metrics_file: the layout of a mapped metrics file, shared by the counting side (metrics.c) and the page
 * (metrics_page.c). Not for anyone else.
 *
 * The file has a fixed size; every number is a 64-bit word written with relaxed atomics and read while the
 * owner counts on, so a page may be one observation behind in one word and not in another, as with etcd's
 * own.
 */
#ifndef QUORATE_COMMON_METRICS_FILE_H
#define QUORATE_COMMON_METRICS_FILE_H

#include <stdatomic.h>

#include "common/metrics.h"
#include "common/rpc_table.h"

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_CONSTANT, KIND_IDENTITY };
enum metric_combine { COMBINE_SUM, COMBINE_MAX };

/* Bounds grow by the factor 2 from `first`, in `unit`s of so many microseconds. */
struct bucket_family {
    double first;
    unsigned count;
    double unit_us;
};
enum metric_buckets {
    BUCKETS_NONE,
    BUCKETS_DISK,
    BUCKETS_APPLY,
    BUCKETS_DEFRAG,
    BUCKETS_SNAPSHOT,
    BUCKETS_SNAPSHOT_SAVE,
    BUCKETS_HASH,
    BUCKETS_LEASE_TTL,
    BUCKETS_COMPACTION_PAUSE,
    BUCKETS_COMPACTION_TOTAL,
    BUCKETS_INDEX_PAUSE,
    BUCKETS_COUNT
};
extern const struct bucket_family bucket_families[BUCKETS_COUNT];

struct metric_row {
    const char *name, *labels;
    enum metric_kind kind;
    enum metric_combine combine;
    enum metric_buckets buckets;
    const char *help;
};
extern const struct metric_row metric_rows[METRIC_COUNT];

enum {
    METRIC_CODES = 17,       /* gRPC status codes */
    METRIC_MAX_BUCKETS = 25, /* with the last, unbounded one */
    METRIC_WORDS = 1 + METRIC_MAX_BUCKETS,
    RPC_DURATION_BUCKETS = 12, /* Prometheus' standard bounds, and the unbounded one */
};
extern const double rpc_duration_bounds[RPC_DURATION_BUCKETS - 1]; /* seconds */

typedef _Atomic uint64_t metric_word;

struct rpc_words {
    metric_word started, received, sent;
    metric_word handled[METRIC_CODES];
    metric_word duration_us;
    metric_word duration[RPC_DURATION_BUCKETS];
};

#define METRICS_MAGIC UINT64_C(0x3153434952544d51) /* "QMTRICS1" */

struct metrics_file {
    metric_word magic;            /* written last when a file is made */
    metric_word layout;           /* hash of the table; another release's file differs */
    metric_word pid, start_ticks; /* of the process that counts here: field 22 of /proc/<pid>/stat */
    metric_word start_us;         /* when it started, wall clock */
    metric_word cpu_us;           /* CPU time of this process so far (metrics_tick) */
    metric_word past_cpu_us;      /* CPU time of the processes before it */
    /* Word 0 is the value, or a histogram's sum in microseconds; then its buckets, not cumulative. */
    metric_word metrics[METRIC_COUNT][METRIC_WORDS];
    struct rpc_words rpcs[RPC_COUNT];
};

uint64_t metrics_layout(void);
/* Start time of a process in clock ticks since boot; 0 when there is no such process. */
uint64_t process_start_ticks(uint64_t pid);

#endif
