/*
 * metrics: each process counts into a mapped file of its own in the runtime directory; whichever proxy is
 * scraped sums all of them. A process that restarts maps the same file again and goes on from its
 * counts (gauges are set anew), so a counter never falls.
 *
 * The list of metrics is data (metrics_table.h, one row a metric: name, type, help, labels, and how files
 * combine: sum or max); names and buckets are etcd's (etcd-api.md section 4).
 * Threading: increments are relaxed atomics, callable from anywhere, and cost nothing else.
 */
#ifndef QUORATE_COMMON_METRICS_H
#define QUORATE_COMMON_METRICS_H

#include "common/bytes.h"

/* enum metric: one member a series or histogram, generated from the table. */
#include "common/metrics_table.h"

/* Maps <runtime directory>/metrics.<role>; before this, counting is harmless and lost. 0 or -errno. */
int metrics_open(const char *runtime_directory, const char *role);
void metric_add(enum metric metric, uint64_t amount);
void metric_set(enum metric metric, int64_t value);
/* To the present Unix time, in seconds. */
void metric_set_now(enum metric metric);
/* One observation of a histogram, in microseconds. */
void metric_observe_us(enum metric metric, uint64_t microseconds);
/* Notes the CPU time used so far; service_run calls it with every tick. */
void metrics_tick(void);
/* gRPC server series: started, handled by code, messages in and out. rpc: enum rpc (rpc_table.h). */
void metric_rpc_started(unsigned rpc);
void metric_rpc_handled(unsigned rpc, unsigned code);
void metric_rpc_messages(unsigned rpc, uint64_t received, uint64_t sent);
/* How long an RPC took; only with --metrics=extensive (config.metrics_extensive). */
void metric_rpc_duration_us(unsigned rpc, uint64_t microseconds);

/* The whole page in Prometheus text format, summed over all files of the directory. */
void metrics_page(const char *runtime_directory, struct buffer *out);

#endif
