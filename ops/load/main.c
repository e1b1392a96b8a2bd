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
#include "ops/load/expiry.h"
#include "ops/load/fanout.h"
#include "ops/load/report.h"
#include "ops/load/tagged.h"
#include "ops/load/witness.h"

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
    "  --window S          also latencies by windows of S seconds\n"
    "  --workload W        put, range, serializable, mixed, list (all keys in one answer), grant (leases),\n"
    "                      keepalive (of --keys leases, on streams), create-watch (on streams) (put)\n"
    "  --reads F           mixed: share of linearizable reads, the rest are puts (0.8)\n"
    "  --keys K            size of the key space (100000)\n"
    "  --first-key N       number of the first key (0)\n"
    "  --key-prefix P      (/load/)    --key-size B  bytes of a key (24)\n"
    "  --value-size B      bytes of a value (256)\n"
    "  --ttl S             of leases (3600; --expiry: 60)\n"
    "  --prefill           first write every key once, in order (keepalive: grant every lease)\n"
    "  --prefill-only      do only that\n"
    "  --json              result as one JSON object\n"
    "  --progress          answers per second on standard error\n"
    "\n"
    "  --fanout KIND       puts and watchers. keys: watcher i watches key i; prefix: all watch all keys;\n"
    "                      hold: as keys, without puts, until SIGTERM. --connections x --streams puts are\n"
    "                      outstanding, each until all its events have arrived\n"
    "  --watchers N        (1000)    --watch-connections K  (100)    --watch-streams S  on each (1)\n"
    "  --prev-kv           they ask for previous values\n"
    "\n"
    "  --expiry L          L leases with keys, attached, renewed once and left to expire: how late they do\n"
    "  --keys-each M       of a lease (10)    --spread S  the renewals, and so the ends, take so long (10)\n"
    "\n"
    "  --tagged LOG        fault campaign client: commands on standard input, events on standard output,\n"
    "                      what was acknowledged into LOG\n"
    "  --witness           watch campaign client: commands and events likewise; --watchers, --writers,\n"
    "                      --rate (2000)\n"
    "  --seed N            of what is written and watched (0)\n"
    "  --no-progress       it asks for no progress answers\n"
    "  --compact-every-ms T  it compacts the history that often (0: never), all but --compact-keep\n"
    "                      revisions (10000)\n"
    "  --lessees L         holders of leases (50)\n"
    "  --plant FAULT       it makes one mistake: drop, double, alter, promise or lease (ops/load/witness.h)\n"
    "  --writers W         (64)    --readers R  (8)\n"
    "  --pause-us P        of a client between two requests (0)\n"
    "  --timeout-ms T      give a request up after so long (10000)\n";

enum { MAX_ENDPOINTS = 16 };

static struct command {
    struct grpc_endpoint endpoints[MAX_ENDPOINTS];
    size_t endpoint_count;
    struct bench_options bench;
    struct tagged_options tagged;
    struct fanout_options fanout;
    const char *fanout_name;
    struct expiry_options expiry;
    bool witness, no_progress;
    const char *plant_name;
    size_t lessees;
    uint64_t seed, compact_every_us, compact_keep;
    const char *endpoint_list, *workload_name;
    double reads;
    uint64_t ttl_s; /* 0: not given */
    bool json, help;
} command = {
    .bench = {.threads = 1,
              .connections = 10,
              .streams = 10,
              .duration_s = 10,
              .workload = {.prefix = "/load/", .key_size = 24, .value_size = 256, .keys = 100000}},
    .tagged = {.writers = 64, .readers = 8, .gap_us = 50000, .timeout_us = 10000000},
    .fanout = {.watchers = 1000, .watch_connections = 100, .watch_streams = 1},
    .expiry = {.keys_each = 10, .spread_s = 10, .prefix = "/lease/"},
    .compact_keep = 10000,
    .lessees = 50,
    .workload_name = "put",
    .reads = 0.8,
};

/* What an option sets; all but FLAG take a value. */
enum setting_kind { FLAG, TEXT, NUMBER, SIZE, COUNT, MILLISECONDS };
static const struct setting {
    const char *name;
    enum setting_kind kind;
    void *target;
} settings[] = {
    {"endpoint", TEXT, &command.endpoint_list},
    {"connections", SIZE, &command.bench.connections},
    {"streams", SIZE, &command.bench.streams},
    {"threads", SIZE, &command.bench.threads},
    {"rate", NUMBER, &command.bench.rate},
    {"duration", NUMBER, &command.bench.duration_s},
    {"warmup", NUMBER, &command.bench.warmup_s},
    {"window", NUMBER, &command.bench.window_s},
    {"requests", COUNT, &command.bench.requests},
    {"workload", TEXT, &command.workload_name},
    {"reads", NUMBER, &command.reads},
    {"keys", COUNT, &command.bench.workload.keys},
    {"first-key", COUNT, &command.bench.workload.first_key},
    {"key-prefix", TEXT, &command.bench.workload.prefix},
    {"key-size", SIZE, &command.bench.workload.key_size},
    {"value-size", SIZE, &command.bench.workload.value_size},
    {"ttl", COUNT, &command.ttl_s},
    {"prefill", FLAG, &command.bench.prefill},
    {"prefill-only", FLAG, &command.bench.prefill_only},
    {"json", FLAG, &command.json},
    {"progress", FLAG, &command.bench.progress},
    {"fanout", TEXT, &command.fanout_name},
    {"watchers", SIZE, &command.fanout.watchers},
    {"watch-connections", SIZE, &command.fanout.watch_connections},
    {"watch-streams", SIZE, &command.fanout.watch_streams},
    {"prev-kv", FLAG, &command.fanout.previous},
    {"expiry", SIZE, &command.expiry.leases},
    {"keys-each", SIZE, &command.expiry.keys_each},
    {"spread", NUMBER, &command.expiry.spread_s},
    {"witness", FLAG, &command.witness},
    {"seed", COUNT, &command.seed},
    {"no-progress", FLAG, &command.no_progress},
    {"compact-every-ms", MILLISECONDS, &command.compact_every_us},
    {"compact-keep", COUNT, &command.compact_keep},
    {"lessees", SIZE, &command.lessees},
    {"plant", TEXT, &command.plant_name},
    {"tagged", TEXT, &command.tagged.log_path},
    {"writers", SIZE, &command.tagged.writers},
    {"readers", SIZE, &command.tagged.readers},
    {"pause-us", COUNT, &command.tagged.pause_us},
    {"timeout-ms", MILLISECONDS, &command.tagged.timeout_us},
    {"help", FLAG, &command.help},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

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

static void apply_setting(const struct setting *setting, const char *value) {
    switch (setting->kind) {
    case FLAG:
        *(bool *)setting->target = true;
        break;
    case TEXT:
        *(const char **)setting->target = value;
        break;
    case NUMBER:
        *(double *)setting->target = number_of(value);
        break;
    case SIZE:
        *(size_t *)setting->target = (size_t)number_of(value);
        break;
    case COUNT:
        *(uint64_t *)setting->target = (uint64_t)number_of(value);
        break;
    case MILLISECONDS:
        *(uint64_t *)setting->target = (uint64_t)(number_of(value) * 1000); /* kept in microseconds */
        break;
    }
}

static void read_options(int argc, char **argv) {
    struct option table[SETTINGS + 1] = {0};
    for (int i = 0; i < SETTINGS; i++)
        table[i] = (struct option){settings[i].name,
                                   settings[i].kind == FLAG ? no_argument : required_argument, NULL, i};
    int index;
    while ((index = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (index == '?')
            exit(2); /* getopt has said what is wrong */
        apply_setting(&settings[index], optarg);
    }
    if (optind < argc)
        refuse("unexpected argument", argv[optind]);
}

static void read_endpoints(void) {
    if (command.endpoint_list == NULL)
        refuse("missing option", "--endpoint (see --help)");
    char *copy = must_strdup(command.endpoint_list);
    char *rest = copy;
    char *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        if (command.endpoint_count == MAX_ENDPOINTS ||
            !grpc_endpoint_parse(one, &command.endpoints[command.endpoint_count++]))
            refuse("not an endpoint (host:port)", one);
    }
    free(copy);
    command.bench.endpoints = command.tagged.endpoints = command.endpoints;
    command.bench.endpoint_count = command.tagged.endpoint_count = command.endpoint_count;
}

static void resolve_workload(void) {
    double *share = command.bench.workload.share;
    const char *name = command.workload_name;
    if (strcmp(name, "mixed") == 0) {
        if (command.reads > 1)
            refuse("--reads is a share", "0 to 1");
        share[OPERATION_RANGE] = command.reads;
        share[OPERATION_PUT] = 1 - command.reads;
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

static int measure(void) {
    struct bench_options *bench = &command.bench;
    bench->prefill = bench->prefill || bench->prefill_only;
    bench->workload.ttl_s = command.ttl_s > 0 ? command.ttl_s : 3600;
    resolve_workload();
    if (!workload_valid(&bench->workload))
        refuse("keys do not fit", "raise --key-size or lower --keys");
    if (bench->threads == 0 || bench->streams == 0 || bench->connections < bench->threads)
        refuse("--threads, --connections, --streams", "each thread needs a connection and a stream");
    struct bench_result *result = must_zalloc(sizeof *result);
    bool failed = !bench_run(bench, result);
    if (!failed && command.json)
        report_json(stdout, bench, result);
    else if (!failed)
        report_text(stdout, bench, result);
    for (unsigned code = 1; code < GRPC_OUTCOMES; code++)
        failed = failed || result->outcomes[code] > 0;
    bench_result_free(result);
    return failed ? 1 : 0;
}

static int fan_out(void) {
    static const char *const kinds[] = {"keys", "prefix", "hold"};
    struct fanout_options *fanout = &command.fanout;
    const struct bench_options *bench = &command.bench;
    unsigned kind = 0;
    while (kind < 3 && strcmp(command.fanout_name, kinds[kind]) != 0)
        kind++;
    if (kind == 3)
        refuse("unknown kind of --fanout", command.fanout_name);
    fanout->kind = (enum fanout_kind)kind;
    fanout->endpoints = command.endpoints;
    fanout->endpoint_count = command.endpoint_count;
    fanout->connections = bench->connections;
    fanout->streams = bench->streams;
    fanout->rate = bench->rate;
    fanout->warmup_s = bench->warmup_s;
    fanout->duration_s = bench->duration_s;
    fanout->workload = bench->workload;
    fanout->json = command.json;
    if (!workload_valid(&fanout->workload) || fanout->workload.value_size < 16)
        refuse("keys or values do not fit", "see --key-size, --value-size (at least 16), --keys");
    if (fanout->watchers == 0 || fanout->watch_connections * fanout->watch_streams == 0 ||
        fanout->connections * fanout->streams == 0)
        refuse("--fanout", "needs watchers, connections and streams");
    return fanout_run(fanout) ? 0 : 1;
}

static int expire(void) {
    struct expiry_options *expiry = &command.expiry;
    expiry->endpoints = command.endpoints;
    expiry->endpoint_count = command.endpoint_count;
    expiry->ttl_s = command.ttl_s > 0 ? command.ttl_s : 60;
    expiry->connections = command.bench.connections;
    expiry->streams = command.bench.streams;
    expiry->json = command.json;
    if (expiry->keys_each == 0 || expiry->keys_each > EXPIRY_KEYS_LIMIT ||
        expiry->connections * expiry->streams == 0)
        refuse("--expiry", "needs 1 to 128 keys each, connections and streams");
    return expiry_run(expiry) ? 0 : 1;
}

static enum witness_plant plant_of(const char *name) {
    static const char *const names[] = {"nothing", "drop", "double", "alter", "promise", "lease"};
    if (name == NULL)
        return PLANT_NOTHING;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum witness_plant)i;
    refuse("unknown fault to --plant", name);
}

static int witness(void) {
    struct witness_options options = {
        .endpoints = command.endpoints,
        .endpoint_count = command.endpoint_count,
        .watchers = command.fanout.watchers,
        .writers = command.tagged.writers,
        .rate = command.bench.rate > 0 ? command.bench.rate : 2000,
        .seed = command.seed,
        .no_progress = command.no_progress,
        .timeout_us = command.tagged.timeout_us,
        .compact_every_us = command.compact_every_us,
        .compact_keep = command.compact_keep,
        .lessees = command.lessees,
    };
    options.plant = plant_of(command.plant_name);
    if (options.watchers < 20 || options.writers == 0 || options.lessees == 0)
        refuse("--witness", "needs 20 watchers, a writer and a lessee");
    return witness_run(&options) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    if (command.help) {
        fputs(usage, stdout);
        return 0;
    }
    read_endpoints();
    if (command.fanout_name != NULL)
        return fan_out();
    if (command.expiry.leases > 0)
        return expire();
    if (command.witness)
        return witness();
    if (command.tagged.log_path == NULL)
        return measure();
    if (command.tagged.writers == 0)
        refuse("--writers", "needs at least one");
    return tagged_run(&command.tagged) == 0 ? 0 : 1;
}
