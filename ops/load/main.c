/*
 * quorate-load: load generator for servers that speak etcd's KV service over gRPC (quorate, etcd).
 *
 *   quorate-load --endpoint 127.0.0.1:2379 --connections 50 --streams 20 --workload put --duration 10
 *   quorate-load --endpoint 127.0.0.1:2379 --tagged LOG --writers 64 --readers 8
 *
 * The first form measures (bench.h), the second is the client side of a fault campaign (tagged.h).
 * Exit status: 0; 1 when a request failed or a violation was seen; 2 for a bad command line.
 */
#include "common/bytes.h"
#include "ops/load/bench.h"
#include "ops/load/report.h"
#include "ops/load/tagged.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: quorate-load --endpoint HOST:PORT[,HOST:PORT...] [options]\n"
    "\n"
    "  --connections N     TCP connections (10)\n"
    "  --streams M         requests outstanding on each (10)\n"
    "  --threads T         threads sharing the connections (1)\n"
    "  --rate R            open loop: R requests a second in all, latency from when each was due\n"
    "  --duration S        seconds to measure (10)\n"
    "  --warmup S          seconds before that which are not measured (0)\n"
    "  --requests N        stop after N requests instead of after a time\n"
    "  --workload W        put, range, serializable, or mixed (put)\n"
    "  --reads F           mixed: share of linearizable reads, the rest are puts (0.8)\n"
    "  --keys K            size of the key space (100000)\n"
    "  --first-key N       number of the first key (0)\n"
    "  --key-prefix P      (/load/)    --key-size B  bytes of a key (24)\n"
    "  --value-size B      bytes of a value (256)\n"
    "  --prefill           first write every key once, in order\n"
    "  --prefill-only      do only that\n"
    "  --json              result as one JSON object\n"
    "  --progress          answers per second on standard error\n"
    "\n"
    "  --tagged LOG        fault campaign client: commands on standard input, events on standard output,\n"
    "                      what was acknowledged into LOG\n"
    "  --writers W         (64)    --readers R  (8)\n"
    "  --pause-us P        of a client between two requests (0)\n"
    "  --timeout-ms T      give a request up after so long (10000)\n";

enum {
    MAX_ENDPOINTS = 16,
    OPTION_FIRST = 256,
};

enum option_code {
    OPTION_ENDPOINT = OPTION_FIRST,
    OPTION_CONNECTIONS,
    OPTION_STREAMS,
    OPTION_THREADS,
    OPTION_RATE,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_REQUESTS,
    OPTION_WORKLOAD,
    OPTION_READS,
    OPTION_KEYS,
    OPTION_FIRST_KEY,
    OPTION_KEY_PREFIX,
    OPTION_KEY_SIZE,
    OPTION_VALUE_SIZE,
    OPTION_PREFILL,
    OPTION_PREFILL_ONLY,
    OPTION_JSON,
    OPTION_PROGRESS,
    OPTION_TAGGED,
    OPTION_WRITERS,
    OPTION_READERS,
    OPTION_PAUSE,
    OPTION_TIMEOUT,
    OPTION_HELP,
};

static const struct option option_table[] = {
    {"endpoint", required_argument, NULL, OPTION_ENDPOINT},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"streams", required_argument, NULL, OPTION_STREAMS},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"requests", required_argument, NULL, OPTION_REQUESTS},
    {"workload", required_argument, NULL, OPTION_WORKLOAD},
    {"reads", required_argument, NULL, OPTION_READS},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"first-key", required_argument, NULL, OPTION_FIRST_KEY},
    {"key-prefix", required_argument, NULL, OPTION_KEY_PREFIX},
    {"key-size", required_argument, NULL, OPTION_KEY_SIZE},
    {"value-size", required_argument, NULL, OPTION_VALUE_SIZE},
    {"prefill", no_argument, NULL, OPTION_PREFILL},
    {"prefill-only", no_argument, NULL, OPTION_PREFILL_ONLY},
    {"json", no_argument, NULL, OPTION_JSON},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"tagged", required_argument, NULL, OPTION_TAGGED},
    {"writers", required_argument, NULL, OPTION_WRITERS},
    {"readers", required_argument, NULL, OPTION_READERS},
    {"pause-us", required_argument, NULL, OPTION_PAUSE},
    {"timeout-ms", required_argument, NULL, OPTION_TIMEOUT},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct command {
    struct grpc_endpoint endpoints[MAX_ENDPOINTS];
    struct bench_options bench;
    struct tagged_options tagged;
    const char *workload_name;
    double reads;
    bool json;
};

_Noreturn static void refuse(const char *what, const char *value) {
    fprintf(stderr, "quorate-load: %s: %s\n", what, value);
    exit(2);
}

static double number_of(const char *text) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0) || number > 1e15)
        refuse("not a number in range", text);
    return number;
}

static uint64_t count_of(const char *text) {
    return (uint64_t)number_of(text);
}

static void read_endpoints(struct command *command, const char *list) {
    char *copy = must_strdup(list);
    char *rest = copy;
    char *one;
    size_t count = 0;
    while ((one = strsep(&rest, ",")) != NULL) {
        if (count == MAX_ENDPOINTS || !grpc_endpoint_parse(one, &command->endpoints[count++]))
            refuse("not an endpoint (host:port)", one);
    }
    free(copy);
    command->bench.endpoints = command->tagged.endpoints = command->endpoints;
    command->bench.endpoint_count = command->tagged.endpoint_count = count;
}

static void set_option(struct command *command, enum option_code code, const char *value) {
    struct bench_options *bench = &command->bench;
    struct tagged_options *tagged = &command->tagged;
    switch (code) {
    case OPTION_ENDPOINT:
        read_endpoints(command, value);
        break;
    case OPTION_CONNECTIONS:
        bench->connections = count_of(value);
        break;
    case OPTION_STREAMS:
        bench->streams = count_of(value);
        break;
    case OPTION_THREADS:
        bench->threads = count_of(value);
        break;
    case OPTION_RATE:
        bench->rate = number_of(value);
        break;
    case OPTION_DURATION:
        bench->duration_s = number_of(value);
        break;
    case OPTION_WARMUP:
        bench->warmup_s = number_of(value);
        break;
    case OPTION_REQUESTS:
        bench->requests = count_of(value);
        break;
    case OPTION_WORKLOAD:
        command->workload_name = value;
        break;
    case OPTION_READS:
        command->reads = number_of(value);
        break;
    case OPTION_KEYS:
        bench->workload.keys = count_of(value);
        break;
    case OPTION_FIRST_KEY:
        bench->workload.first_key = count_of(value);
        break;
    case OPTION_KEY_PREFIX:
        bench->workload.prefix = value;
        break;
    case OPTION_KEY_SIZE:
        bench->workload.key_size = count_of(value);
        break;
    case OPTION_VALUE_SIZE:
        bench->workload.value_size = count_of(value);
        break;
    case OPTION_PREFILL_ONLY:
        bench->prefill_only = true;
        bench->prefill = true;
        break;
    case OPTION_PREFILL:
        bench->prefill = true;
        break;
    case OPTION_JSON:
        command->json = true;
        break;
    case OPTION_PROGRESS:
        bench->progress = true;
        break;
    case OPTION_TAGGED:
        tagged->log_path = value;
        break;
    case OPTION_WRITERS:
        tagged->writers = count_of(value);
        break;
    case OPTION_READERS:
        tagged->readers = count_of(value);
        break;
    case OPTION_PAUSE:
        tagged->pause_us = count_of(value);
        break;
    case OPTION_TIMEOUT:
        tagged->timeout_us = count_of(value) * 1000;
        break;
    case OPTION_HELP:
        fputs(usage, stdout);
        exit(0);
    }
}

static void resolve_workload(struct command *command) {
    double *share = command->bench.workload.share;
    const char *name = command->workload_name;
    if (strcmp(name, "mixed") == 0) {
        if (command->reads > 1)
            refuse("--reads is a share", "0 to 1");
        share[OPERATION_RANGE] = command->reads;
        share[OPERATION_PUT] = 1 - command->reads;
        return;
    }
    for (unsigned operation = 0; operation < OPERATION_COUNT; operation++) {
        if (strcmp(name, operation_names[operation]) == 0) {
            share[operation] = 1;
            return;
        }
    }
    refuse("unknown workload", name);
}

static int measure(struct command *command) {
    struct bench_options *bench = &command->bench;
    resolve_workload(command);
    if (!workload_valid(&bench->workload))
        refuse("keys do not fit", "raise --key-size or lower --keys");
    if (bench->threads == 0 || bench->streams == 0 || bench->connections < bench->threads)
        refuse("--threads, --connections, --streams", "each thread needs a connection and a stream");
    struct bench_result *result = must_zalloc(sizeof *result);
    bench_run(bench, result);
    if (command->json)
        report_json(stdout, bench, result);
    else
        report_text(stdout, bench, result);
    bool failed = false;
    for (unsigned code = 1; code < GRPC_OUTCOMES; code++)
        failed = failed || result->outcomes[code] > 0;
    free(result);
    return failed ? 1 : 0;
}

int main(int argc, char **argv) {
    static struct command command = {
        .bench = {.threads = 1,
                  .connections = 10,
                  .streams = 10,
                  .duration_s = 10,
                  .workload = {.prefix = "/load/", .key_size = 24, .value_size = 256, .keys = 100000}},
        .tagged = {.writers = 64, .readers = 8, .gap_us = 50000, .timeout_us = 10000000},
        .workload_name = "put",
        .reads = 0.8,
    };
    int code;
    while ((code = getopt_long(argc, argv, "", option_table, NULL)) != -1) {
        if (code < OPTION_FIRST)
            exit(2); /* getopt has said what is wrong */
        set_option(&command, (enum option_code)code, optarg);
    }
    if (optind < argc)
        refuse("unexpected argument", argv[optind]);
    if (command.bench.endpoint_count == 0)
        refuse("missing option", "--endpoint (see --help)");
    if (command.tagged.log_path == NULL)
        return measure(&command);
    if (command.tagged.writers == 0)
        refuse("--writers", "needs at least one");
    return tagged_run(&command.tagged) == 0 ? 0 : 1;
}
