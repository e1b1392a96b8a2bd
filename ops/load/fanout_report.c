/* fanout_report: see fanout_parts.h. */
#include "ops/load/fanout_parts.h"
#include "ops/load/report.h"

#include <inttypes.h>
#include <stdio.h>

size_t fanout_compare(const struct fanout *fanout) {
    size_t wrong = 0;
    if (fanout->options->kind == FANOUT_HOLD)
        return 0;
    for (size_t i = 0; i < fanout->options->watchers; i++) {
        const struct fan_watcher *fan = &fanout->watchers[i];
        const struct tally *tally =
            &fanout->tallies[fanout_everybody(fanout) ? 0 : i % fanout->options->workload.keys];
        if (fan->sum == tally->sum && fan->count == tally->count)
            continue;
        if (++wrong <= FANOUT_SHOWN)
            fprintf(stderr, "quorate-load: watcher %zu got %" PRIu64 " events, %" PRIu64 " were put%s\n", i,
                    fan->count, tally->count, fan->count == tally->count ? ", but others" : "");
    }
    return wrong;
}

void fanout_report(const struct fanout *fanout, size_t wrong) {
    const struct fanout_options *options = fanout->options;
    double rate = fanout->elapsed_s > 0 ? (double)fanout->span_events / fanout->elapsed_s : 0;
    double creates = fanout->create_s > 0 ? (double)options->watchers / fanout->create_s : 0;
    if (options->json) {
        printf("{\"elapsed_s\": %.4f, \"watchers\": %zu, \"created_per_s\": %.1f, \"events\": %" PRIu64
               ", \"events_per_s\": %.1f, \"acknowledged\": %" PRIu64 ", \"failed\": %" PRIu64
               ", \"wrong\": %zu, \"violations\": %ld, \"dropped\": %" PRIu64 ", \"streams_ended\": %" PRIu64
               ", \"event_latency_us\": ",
               fanout->elapsed_s, options->watchers, creates, fanout->events, rate, fanout->acknowledged,
               fanout->failed, wrong, fanout->violations, fanout->loop.dropped, fanout->ended_streams);
        report_json_latency(stdout, &fanout->event_latency, fanout->elapsed_s);
        printf(", \"put_latency_us\": ");
        report_json_latency(stdout, &fanout->put_latency, fanout->elapsed_s);
        printf("}\n");
        return;
    }
    printf("created       %zu watches, %.0f/s\n", options->watchers, creates);
    printf("received      %" PRIu64 " events in all, %.0f/s in %.2f s\n", fanout->events, rate,
           fanout->elapsed_s);
    if (options->kind != FANOUT_HOLD) {
        report_text_latency(stdout, "put to event", &fanout->event_latency, fanout->elapsed_s);
        report_text_latency(stdout, "put", &fanout->put_latency, fanout->elapsed_s);
    }
    printf("failed puts   %" PRIu64 "; watchers with lost or foreign events %zu; other violations %ld; "
           "connections lost or refused %" PRIu64 "\n",
           fanout->failed, wrong, fanout->violations, fanout->loop.dropped);
}
