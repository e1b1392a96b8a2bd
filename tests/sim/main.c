/*
 * quorate-sim: one member's four role loops in one process over virtual time, disk, store and bus, under
 * kills, crashes and a hostile transport; every answer is checked (history.h).
 *
 *   quorate-sim --seed N [--trace]      one run; exit status 1 if it fails
 *   quorate-sim --seeds N [--from S]    a campaign; prints failing seeds and goes on
 *   quorate-sim --minutes M [--from S]  the same, by time
 *
 * A seed and a commit reproduce a run. Campaigns run in children, so that a PANIC or a hang in one seed is
 * reported as that seed's failure and does not end the campaign.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"
#include "node.h"
#include "run.h"
#include "subscribers.h"
#include "tamper.h"

enum { SEEDS_PER_CHILD = 50, SECONDS_PER_SEED = 60, FAILURES_SHOWN = 20 };

struct plant {
    const char *name;
    bool *flag;
    const char *what;
};
static const struct plant plants[] = {
    {"no-sync", &node_plant_no_sync, "the Raft log is written but never synced"},
    {"split-batch", &sim_store_plant_split, "a flush of the store may cut a batch in two"},
    {"stale-snapshot", &sim_store_plant_stale, "a read may see the state before the last batch"},
    {"forget-flush", &sim_store_plant_forget, "a crash may take the store behind its last flush"},
    {"write-twice", &clients_plant_twice, "a write is handed to the log twice"},
    {"early-result", &node_plant_early, "a write counts as durable, and raft is killed before it is written"},
    {"late-resume", &subscribers_plant_late,
     "a watcher that goes on in another stream leaves out a revision"},
    {"late-history", &tamper_plant_late_history, "history is read from one revision too late"},
    {"hidden-gap", &tamper_plant_hidden_gap, "events get lost between apply and proxy, and nothing shows it"},
    {"lost-range", &tamper_plant_lost_range, "apply does not hear of one of a proxy's ranges"},
    {"wrong-previous", &tamper_plant_wrong_previous, "an event has the prev_kv of another"},
    {"early-answer", &tamper_plant_early_answer, "apply claims to have sent one revision more than it has"},
    {"lease-clock", &node_plant_clock, "apply's clock goes on where it is not: leases end early"},
    {"overlooked-link", &node_plant_overlook, "maint overlooks links into history that is to be dropped"},
    {"early-drop", &sim_store_plant_early_drop, "a compaction drops the log before what it keeps is flushed"},
    {"half-revoke", &tamper_plant_half_revoke, "the keys of a lease go in two revisions"},
};

struct options {
    uint64_t seed, seeds, from;
    double minutes;
    bool single, campaign, trace, hash, repeat, stop;
};

struct tally {
    uint64_t seeds, failures, simulated_us;
    struct world_counts counts;
};

static void usage(FILE *out) {
    fputs("usage: quorate-sim --seed N [--trace] [--hash]\n"
          "       quorate-sim --seeds N [--from S] [--repeat] [--stop]\n"
          "       quorate-sim --minutes M [--from S]\n"
          "  --trace    print the trace of the run\n"
          "  --hash     print the hash of the trace\n"
          "  --repeat   run every seed twice and compare the hashes\n"
          "  --stop     end the campaign with the first failure\n"
          "  --plant X  plant a bug, which the checks must find:\n",
          out);
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++)
        fprintf(out, "             %-15s %s\n", plants[i].name, plants[i].what);
}

static bool plant(const char *name) {
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        if (strcmp(plants[i].name, name) == 0)
            return *plants[i].flag = true;
    }
    fprintf(stderr, "quorate-sim: no such bug: %s\n", name);
    return false;
}

static bool parse_value(struct options *options, const char *name, const char *value) {
    char *end = NULL;
    if (strcmp(name, "--plant") == 0)
        return plant(value);
    if (strcmp(name, "--minutes") == 0) {
        options->minutes = strtod(value, &end);
        options->campaign = true;
    } else if (strcmp(name, "--seed") == 0) {
        options->seed = strtoull(value, &end, 10);
        options->single = true;
    } else if (strcmp(name, "--seeds") == 0) {
        options->seeds = strtoull(value, &end, 10);
        options->campaign = true;
    } else if (strcmp(name, "--from") == 0) {
        options->from = strtoull(value, &end, 10);
    } else {
        return false;
    }
    return end != value && *end == '\0';
}

static bool parse(struct options *options, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            options->trace = true;
        else if (strcmp(argv[i], "--hash") == 0)
            options->hash = true;
        else if (strcmp(argv[i], "--repeat") == 0)
            options->repeat = true;
        else if (strcmp(argv[i], "--stop") == 0)
            options->stop = true;
        else if (i + 1 == argc || !parse_value(options, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return options->single != options->campaign;
}

/* --- one seed --- */

static int run_single(const struct options *options) {
    struct run_options run = {.print = options->trace};
    struct run_result result;
    run_seed(options->seed, &run, &result);
    if (options->hash)
        printf("%016" PRIx64 "\n", result.hash);
    printf("seed=%" PRIu64 " simulated_seconds=%.1f operations=%" PRIu64 " acknowledged=%" PRIu64
           " kills=%" PRIu64 " crashes=%" PRIu64 " %s%s\n",
           options->seed, (double)result.simulated_us / 1e6, result.counts.operations,
           result.counts.acknowledged, result.counts.kills, result.counts.crashes,
           result.failed ? "FAILED: " : "passed", result.failure);
    return result.failed ? 1 : 0;
}

/* --- campaigns --- */

static void run_checked(uint64_t seed, bool repeat, struct run_result *result) {
    struct run_options run = {0};
    alarm(SECONDS_PER_SEED);
    run_seed(seed, &run, result);
    if (!repeat || result->failed)
        return;
    struct run_result second;
    run_seed(seed, &run, &second);
    if (second.hash != result->hash) {
        result->failed = true;
        (void)snprintf(result->failure, sizeof result->failure,
                       "a second run of the seed took another course");
    }
}

/* The child: one result a seed down the pipe. */
static _Noreturn void run_chunk(uint64_t from, uint64_t count, bool repeat, int pipe) {
    for (uint64_t seed = from; seed < from + count; seed++) {
        struct run_result result;
        run_checked(seed, repeat, &result);
        if (write(pipe, &result, sizeof result) != sizeof result)
            _exit(2);
    }
    _exit(0);
}

static void add(uint64_t *into, const uint64_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        into[i] += from[i];
}

static void count(struct tally *tally, uint64_t seed, const struct run_result *result) {
    tally->seeds++;
    tally->simulated_us += result->simulated_us;
    add((uint64_t *)&tally->counts, (const uint64_t *)&result->counts,
        sizeof tally->counts / sizeof(uint64_t));
    if (!result->failed)
        return;
    if (++tally->failures <= FAILURES_SHOWN)
        printf("FAILED seed=%" PRIu64 ": %s\n", seed, result->failure);
    fflush(stdout);
}

static bool read_result(int pipe, struct run_result *result) {
    size_t have = 0;
    while (have < sizeof *result) {
        ssize_t length = read(pipe, (uint8_t *)result + have, sizeof *result - have);
        if (length <= 0)
            return false;
        have += (size_t)length;
    }
    return true;
}

/* Runs seeds from..from+wanted-1 in a child; returns how many of them are decided. */
static uint64_t run_child(struct tally *tally, uint64_t from, uint64_t wanted, bool repeat) {
    int ends[2];
    if (pipe(ends) != 0) {
        perror("quorate-sim: pipe");
        exit(2);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        perror("quorate-sim: fork");
        exit(2);
    }
    if (child == 0) {
        close(ends[0]);
        run_chunk(from, wanted, repeat, ends[1]);
    }
    close(ends[1]);
    uint64_t done = 0;
    struct run_result result;
    while (done < wanted && read_result(ends[0], &result))
        count(tally, from + done++, &result);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (done == wanted)
        return done;
    result = (struct run_result){.failed = true};
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    (void)snprintf(result.failure, sizeof result.failure, "the run ended with %s %d (its message is above)",
                   signal != 0 ? "signal" : "status", signal != 0 ? signal : WEXITSTATUS(status));
    count(tally, from + done, &result);
    return done + 1;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_summary(const struct tally *tally, uint64_t next) {
    const struct world_counts *counts = &tally->counts;
    printf("seeds=%" PRIu64 " next=%" PRIu64 " failures=%" PRIu64 " simulated_seconds=%.0f", tally->seeds,
           next, tally->failures, (double)tally->simulated_us / 1e6);
    const struct {
        const char *name;
        uint64_t value;
    } columns[] = {
        {"operations", counts->operations},
        {"acknowledged", counts->acknowledged},
        {"kills", counts->kills},
        {"crashes", counts->crashes},
        {"frames", counts->frames},
        {"late", counts->frames_late},
        {"twice", counts->frames_twice},
        {"lost", counts->frames_lost},
        {"parts", counts->parts},
        {"jobs", counts->jobs},
        {"fetches", counts->fetches},
        {"releases", counts->releases},
        {"checkpoints", counts->checkpoints},
        {"compactions", counts->compactions},
        {"disk_faults", counts->disk_faults},
        {"watches", counts->watches},
        {"watch_responses", counts->watch_responses},
        {"watch_events", counts->watch_events},
        {"watch_compacted", counts->watch_compacted},
        {"watch_fragments", counts->watch_fragments},
        {"watch_progress", counts->watch_progress},
        {"leases", counts->leases},
        {"renewals", counts->renewals},
        {"expiries", counts->expiries},
        {"lease_checkpoints", counts->lease_checkpoints},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        printf(" %s=%" PRIu64, columns[i].name, columns[i].value);
    putchar('\n');
}

static int run_campaign(const struct options *options) {
    struct tally tally = {0};
    double started = seconds_now();
    double shown = started;
    double until = options->minutes > 0 ? started + options->minutes * 60 : 0;
    uint64_t next = options->from;
    while (until > 0 ? seconds_now() < until : tally.seeds < options->seeds) {
        uint64_t wanted = SEEDS_PER_CHILD;
        if (until == 0 && options->seeds - tally.seeds < wanted)
            wanted = options->seeds - tally.seeds;
        if (options->stop && tally.failures > 0)
            break;
        next += run_child(&tally, next, wanted, options->repeat);
        if (seconds_now() - shown >= 5) {
            shown = seconds_now();
            printf("%.0f s: %" PRIu64 " seeds, %" PRIu64 " failures\n", shown - started, tally.seeds,
                   tally.failures);
            fflush(stdout);
        }
    }
    print_summary(&tally, next);
    return tally.failures > 0 ? 1 : 0;
}

int main(int argc, char **argv) {
    struct options options = {.from = 1};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--list-plants") == 0) {
        for (size_t i = 0; i < sizeof plants / sizeof *plants; i++)
            puts(plants[i].name);
        return 0;
    }
    if (!parse(&options, argc, argv)) {
        usage(stderr);
        return 2;
    }
    return options.single ? run_single(&options) : run_campaign(&options);
}
