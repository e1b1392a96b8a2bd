/* report: a bench result as text for a person or as one JSON object for a script. */
#ifndef QUORATE_LOAD_REPORT_H
#define QUORATE_LOAD_REPORT_H

#include "ops/load/bench.h"

#include <stdio.h>

void report_text(FILE *out, const struct bench_options *options, const struct bench_result *result);
void report_json(FILE *out, const struct bench_options *options, const struct bench_result *result);

/* One distribution, in microseconds, and how many a second that was. */
void report_text_latency(FILE *out, const char *name, const struct histogram *latency, double elapsed_s);
void report_json_latency(FILE *out, const struct histogram *latency, double elapsed_s);

#endif
