/* report: see report.h. Latencies are shown in microseconds. */
#include "ops/load/report.h"

#include "common/status.h"

#include <stdlib.h>

static const struct {
    const char *name;
    double quantile;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}};

enum { QUANTILES = sizeof quantiles / sizeof quantiles[0] };

static const char *const outcome_names[GRPC_OUTCOMES] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated", "ConnectionLost",
};

static double microseconds(double nanoseconds) {
    return nanoseconds / 1000.0;
}

static double rate_of(double elapsed_s, uint64_t count) {
    return elapsed_s > 0 ? (double)count / elapsed_s : 0.0;
}

static struct histogram *all_latencies(const struct bench_result *result) {
    struct histogram *all = must_zalloc(sizeof *all);
    for (unsigned operation = 0; operation < OPERATION_COUNT; operation++)
        histogram_add(all, &result->latency[operation]);
    return all;
}

void report_text_latency(FILE *out, const char *name, const struct histogram *latency, double elapsed_s) {
    fprintf(out, "%-13s %9.0f req/s  mean %8.1f us", name, rate_of(elapsed_s, latency->count),
            microseconds(histogram_mean(latency)));
    for (unsigned i = 0; i < QUANTILES; i++)
        fprintf(out, "  %s %.1f", quantiles[i].name,
                microseconds((double)histogram_quantile(latency, quantiles[i].quantile)));
    fprintf(out, "\n");
}

void report_text(FILE *out, const struct bench_options *options, const struct bench_result *result) {
    if (options->prefill)
        fprintf(out, "prefilled     %llu keys in %.1f s, %.0f/s\n", (unsigned long long)result->prefilled,
                result->prefill_s, (double)result->prefilled / result->prefill_s);
    if (!options->prefill_only) {
        struct histogram *all = all_latencies(result);
        fprintf(out, "measured      %llu requests in %.2f s, %llu answered in all\n",
                (unsigned long long)all->count, result->elapsed_s, (unsigned long long)result->completed);
        report_text_latency(out, "all", all, result->elapsed_s);
        for (unsigned operation = 0; operation < OPERATION_COUNT; operation++)
            if (result->latency[operation].count > 0 && result->latency[operation].count < all->count)
                report_text_latency(out, operation_names[operation], &result->latency[operation],
                                    result->elapsed_s);
        free(all);
    }
    for (size_t i = 0; i < result->windows.count; i++)
        fprintf(out, "window %-6zu %9.0f req/s  p99 %.1f  max %.1f\n", i,
                rate_of(options->window_s, result->windows.list[i].count),
                microseconds((double)histogram_quantile(&result->windows.list[i], 0.99)),
                microseconds((double)result->windows.list[i].maximum));
    for (unsigned code = 1; code < GRPC_OUTCOMES; code++)
        if (result->outcomes[code] > 0)
            fprintf(out, "errors        %s: %llu\n", outcome_names[code],
                    (unsigned long long)result->outcomes[code]);
    if (result->dropped > 0)
        fprintf(out, "connections   lost or refused %llu times\n", (unsigned long long)result->dropped);
}

void report_json_latency(FILE *out, const struct histogram *latency, double elapsed_s) {
    fprintf(out, "{\"count\": %llu, \"rate\": %.2f, \"mean\": %.3f", (unsigned long long)latency->count,
            rate_of(elapsed_s, latency->count), microseconds(histogram_mean(latency)));
    for (unsigned i = 0; i < QUANTILES; i++)
        fprintf(out, ", \"%s\": %.3f", quantiles[i].name,
                microseconds((double)histogram_quantile(latency, quantiles[i].quantile)));
    fprintf(out, "}");
}

static void json_windows(FILE *out, const struct bench_options *options, const struct bench_result *result) {
    fprintf(out, ", \"began_s\": %.3f, \"window_s\": %g, \"windows\": [", result->began_s, options->window_s);
    for (size_t i = 0; i < result->windows.count; i++) {
        fprintf(out, "%s", i == 0 ? "" : ", ");
        report_json_latency(out, &result->windows.list[i], options->window_s);
    }
    fprintf(out, "]");
}

void report_json(FILE *out, const struct bench_options *options, const struct bench_result *result) {
    struct histogram *all = all_latencies(result);
    fprintf(out, "{\"elapsed_s\": %.4f, \"completed\": %llu, \"prefilled\": %llu, \"prefill_s\": %.3f, ",
            result->elapsed_s, (unsigned long long)result->completed, (unsigned long long)result->prefilled,
            result->prefill_s);
    fprintf(out, "\"connections\": %zu, \"streams\": %zu, \"dropped\": %llu, \"latency_us\": {\"all\": ",
            options->connections, options->streams, (unsigned long long)result->dropped);
    report_json_latency(out, all, result->elapsed_s);
    for (unsigned operation = 0; operation < OPERATION_COUNT; operation++) {
        if (result->latency[operation].count == 0)
            continue;
        fprintf(out, ", \"%s\": ", operation_names[operation]);
        report_json_latency(out, &result->latency[operation], result->elapsed_s);
    }
    fprintf(out, "}, \"errors\": {");
    const char *separator = "";
    for (unsigned code = 1; code < GRPC_OUTCOMES; code++) {
        if (result->outcomes[code] == 0)
            continue;
        fprintf(out, "%s\"%s\": %llu", separator, outcome_names[code],
                (unsigned long long)result->outcomes[code]);
        separator = ", ";
    }
    fprintf(out, "}");
    if (options->window_s > 0)
        json_windows(out, options, result);
    fprintf(out, "}\n");
    free(all);
}
