/*
 * metrics: see metrics.h. The counting side: a mapped file, relaxed atomic additions, nothing else.
 *
 * Failure modes: without a file (before metrics_open) everything counts into a page of memory that nobody
 * reads. A file of another layout (after an upgrade) is begun anew: its counters start from zero, once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/metrics_file.h"

const struct bucket_family bucket_families[BUCKETS_COUNT] = {
    [BUCKETS_NONE] = {0, 0, 1e6},
    [BUCKETS_DISK] = {0.001, 14, 1e6},
    [BUCKETS_APPLY] = {0.0001, 20, 1e6},
    [BUCKETS_DEFRAG] = {0.1, 13, 1e6},
    [BUCKETS_SNAPSHOT] = {0.01, 17, 1e6},
    [BUCKETS_SNAPSHOT_SAVE] = {0.1, 10, 1e6},
    [BUCKETS_HASH] = {0.01, 15, 1e6},
    [BUCKETS_LEASE_TTL] = {1, 24, 1e6},
    [BUCKETS_COMPACTION_PAUSE] = {1, 13, 1e3},
    [BUCKETS_COMPACTION_TOTAL] = {100, 14, 1e3},
    [BUCKETS_INDEX_PAUSE] = {0.5, 14, 1e3},
};

const double rpc_duration_bounds[RPC_DURATION_BUCKETS - 1] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                              0.5,   1,    2.5,   5,    10};

const struct metric_row metric_rows[METRIC_COUNT] = {
#define METRIC_ROW(member, name, labels, kind, combine, buckets, help)                                       \
    {name, labels, KIND_##kind, COMBINE_##combine, BUCKETS_##buckets, help},
    METRICS_TABLE(METRIC_ROW)
#undef METRIC_ROW
};

static struct metrics_file unread;
static struct metrics_file *counts = &unread;

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

uint64_t metrics_layout(void) {
    uint64_t hash = UINT64_C(14695981039346656037) + sizeof(struct metrics_file);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        hash = hash_text(hash_text(hash, metric_rows[i].name), metric_rows[i].labels);
    return hash;
}

uint64_t process_start_ticks(uint64_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    /* Field 2 is the name in parentheses and may hold anything; field 22 is the 20th behind its end. */
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static uint64_t load(const metric_word *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(metric_word *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static void add(metric_word *word, uint64_t amount) {
    atomic_fetch_add_explicit(word, amount, memory_order_relaxed);
}

/* The file is ours now: begin anew, or go on from the counts of the process before us. */
static void take_over(struct metrics_file *file) {
    if (load(&file->magic) != METRICS_MAGIC || load(&file->layout) != metrics_layout())
        memset((void *)file, 0, sizeof *file);
    add(&file->past_cpu_us, load(&file->cpu_us));
    store(&file->cpu_us, 0);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        if (metric_rows[i].kind == KIND_GAUGE || metric_rows[i].kind == KIND_IDENTITY)
            store(&file->metrics[i][0], 0);
    }
    store(&file->layout, metrics_layout());
    store(&file->pid, (uint64_t)getpid());
    store(&file->start_ticks, process_start_ticks((uint64_t)getpid()));
    store(&file->start_us, clock_wall_us());
    atomic_store_explicit(&file->magic, METRICS_MAGIC, memory_order_release);
}

/* The file at its fixed size in memory; NULL with errno set. */
static struct metrics_file *map_file(int fd) {
    struct stat state;
    if (fstat(fd, &state) != 0)
        return NULL;
    if ((size_t)state.st_size != sizeof(struct metrics_file) &&
        (ftruncate(fd, 0) != 0 || ftruncate(fd, sizeof(struct metrics_file)) != 0))
        return NULL;
    void *mapped = mmap(NULL, sizeof(struct metrics_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

int metrics_open(const char *runtime_directory, const char *role) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/metrics.%s", runtime_directory, role) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    struct metrics_file *mapped = map_file(fd);
    int status = mapped == NULL ? -errno : 0;
    close(fd);
    if (mapped == NULL)
        return status;
    take_over(mapped);
    if (counts != &unread)
        munmap(counts, sizeof *counts);
    counts = mapped;
    return 0;
}

void metrics_tick(void) {
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
        store(&counts->cpu_us, (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000);
}

void metric_add(enum metric metric, uint64_t amount) {
    add(&counts->metrics[metric][0], amount);
}

void metric_set(enum metric metric, int64_t value) {
    store(&counts->metrics[metric][0], (uint64_t)value);
}

void metric_set_now(enum metric metric) {
    metric_set(metric, (int64_t)(clock_wall_us() / 1000000));
}

void metric_observe_us(enum metric metric, uint64_t microseconds) {
    const struct bucket_family *family = &bucket_families[metric_rows[metric].buckets];
    double bound = family->first * family->unit_us;
    unsigned bucket = 0;
    while (bucket < family->count && (double)microseconds > bound) {
        bound *= 2;
        bucket++;
    }
    add(&counts->metrics[metric][0], microseconds);
    add(&counts->metrics[metric][1 + bucket], 1);
}

void metric_rpc_started(unsigned rpc) {
    if (rpc < RPC_COUNT)
        add(&counts->rpcs[rpc].started, 1);
}

void metric_rpc_handled(unsigned rpc, unsigned code) {
    if (rpc < RPC_COUNT)
        add(&counts->rpcs[rpc].handled[code < METRIC_CODES ? code : 2], 1);
}

void metric_rpc_messages(unsigned rpc, uint64_t received, uint64_t sent) {
    if (rpc >= RPC_COUNT)
        return;
    add(&counts->rpcs[rpc].received, received);
    add(&counts->rpcs[rpc].sent, sent);
}

void metric_rpc_duration_us(unsigned rpc, uint64_t microseconds) {
    if (rpc >= RPC_COUNT)
        return;
    unsigned bucket = 0;
    while (bucket < RPC_DURATION_BUCKETS - 1 && (double)microseconds > rpc_duration_bounds[bucket] * 1e6)
        bucket++;
    add(&counts->rpcs[rpc].duration_us, microseconds);
    add(&counts->rpcs[rpc].duration[bucket], 1);
}
