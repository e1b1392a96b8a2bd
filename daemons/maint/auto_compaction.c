/* auto_compaction: see auto_compaction.h. Names and fields of log lines are etcd's. */
#include "maint/auto_compaction.h"

#include <stdlib.h>

#include "common/bytes.h"
#include "common/log.h"

#define MINUTE UINT64_C(60000000)

enum { SAMPLES_AN_INTERVAL = 10, FIRST_CAPACITY = 16 };
static const uint64_t longest_interval_us = 60 * MINUTE;
static const uint64_t revision_interval_us = 5 * MINUTE;

static uint64_t period_us(const struct auto_compaction *compaction) {
    uint64_t limit = UINT64_MAX / 1000;
    uint64_t retention = compaction->options.retention;
    return (retention < limit ? retention : limit) * 1000;
}

static uint64_t compact_interval_us(const struct auto_compaction *compaction) {
    uint64_t period = period_us(compaction);
    return period < longest_interval_us ? period : longest_interval_us;
}

void auto_compaction_init(struct auto_compaction *compaction, const struct auto_compaction_options *options,
                          uint64_t now_us) {
    *compaction = (struct auto_compaction){.options = *options, .next_us = now_us, .success_us = now_us};
    if (options->by_revision) {
        compaction->interval_us = revision_interval_us;
        compaction->next_us = now_us + revision_interval_us;
        return;
    }
    compaction->interval_us = compact_interval_us(compaction) / SAMPLES_AN_INTERVAL;
    compaction->wait_us = period_us(compaction);
    if (options->retention > 0)
        compaction->limit = (size_t)(period_us(compaction) / compaction->interval_us) + 1;
}

void auto_compaction_free(struct auto_compaction *compaction) {
    free(compaction->samples);
    *compaction = (struct auto_compaction){0};
}

/* --- samples --- */

static void grow_samples(struct auto_compaction *compaction) {
    size_t capacity = compaction->capacity == 0 ? FIRST_CAPACITY : 2 * compaction->capacity;
    int64_t *samples = must_alloc(capacity * sizeof *samples);
    for (size_t i = 0; i < compaction->count; i++)
        samples[i] = compaction->samples[(compaction->first + i) % compaction->capacity];
    free(compaction->samples);
    compaction->samples = samples;
    compaction->capacity = capacity;
    compaction->first = 0;
}

static void add_sample(struct auto_compaction *compaction, int64_t revision) {
    if (compaction->count == compaction->limit) {
        compaction->first = (compaction->first + 1) % compaction->capacity;
        compaction->count--;
    }
    if (compaction->count == compaction->capacity)
        grow_samples(compaction);
    compaction->samples[(compaction->first + compaction->count++) % compaction->capacity] = revision;
}

/* --- what became of a proposal --- */

static void note_success(struct auto_compaction *compaction, uint64_t at_us) {
    compaction->success_us = at_us;
    compaction->wait_us = compact_interval_us(compaction);
    compaction->pending = 0;
}

static void note_completion(struct auto_compaction *compaction, uint64_t now_us) {
    bool by_revision = compaction->options.by_revision;
    LOG_INFO(by_revision ? "completed auto revision compaction" : "completed auto periodic compaction",
             F_I64("revision", compaction->pending),
             F_U64(by_revision ? "revision-compaction-retention" : "compact-period-ms",
                   compaction->options.retention),
             F_U64("took-ms", (now_us - compaction->pending_us) / 1000));
    note_success(compaction, compaction->pending_us);
}

static void note_failure(struct auto_compaction *compaction) {
    LOG_WARN(compaction->options.by_revision ? "failed auto revision compaction"
                                             : "failed auto periodic compaction",
             F_I64("revision", compaction->pending),
             F_U64("retry-interval-ms", compaction->interval_us / 1000));
    compaction->pending = 0;
}

static int64_t propose(struct auto_compaction *compaction, int64_t revision, uint64_t now_us) {
    bool by_revision = compaction->options.by_revision;
    LOG_INFO(by_revision ? "starting auto revision compaction" : "starting auto periodic compaction",
             F_I64("revision", revision),
             F_U64(by_revision ? "revision-compaction-retention" : "compact-period-ms",
                   compaction->options.retention));
    compaction->pending = revision;
    compaction->pending_us = now_us;
    return revision;
}

/* --- the two modes --- */

/* What the oldest sample says, if it is time. */
static int64_t periodic_revision(const struct auto_compaction *compaction, uint64_t now_us) {
    if (compaction->count == 0 || now_us - compaction->success_us < compaction->wait_us)
        return 0;
    return compaction->samples[compaction->first];
}

static int64_t revision_to_compact(const struct auto_compaction *compaction, uint64_t now_us,
                                   int64_t revision) {
    if (!compaction->options.by_revision)
        return periodic_revision(compaction, now_us);
    return compaction->options.retention < (uint64_t)revision
               ? revision - (int64_t)compaction->options.retention
               : 0;
}

int64_t auto_compaction_tick(struct auto_compaction *compaction, uint64_t now_us, int64_t revision,
                             int64_t compacted, bool leads) {
    int64_t proposed = 0;
    if (compaction->options.retention == 0)
        return 0;
    if (compaction->pending != 0 && compacted >= compaction->pending)
        note_completion(compaction, now_us);
    if (now_us < compaction->next_us)
        return 0;
    if (compaction->pending != 0)
        note_failure(compaction);
    compaction->next_us = now_us + compaction->interval_us;
    int64_t wanted = leads ? revision_to_compact(compaction, now_us, revision) : 0;
    if (wanted > 0 && wanted <= compacted)
        note_success(compaction, now_us); /* somebody else did it */
    else if (wanted > 0)
        proposed = propose(compaction, wanted, now_us);
    if (!compaction->options.by_revision)
        add_sample(compaction, revision);
    return proposed;
}
