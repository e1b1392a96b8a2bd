/* maintenance: see maintenance.h. */
#include "apply/maintenance.h"

#include <stdlib.h>

enum { BUSY_LOAD = 100 }; /* of 1000 */

void maintenance_init(struct maintenance *maintenance, const struct maintenance_options *options,
                      uint64_t now_us) {
    *maintenance = (struct maintenance){.mvcc = options->mvcc,
                                        .reads = options->reads,
                                        .member = options->member,
                                        .checkpoints = {.member_directory = options->member_directory},
                                        .now_us = now_us,
                                        .ticked_us = now_us};
    compaction_init(&maintenance->compaction, options->mvcc, &maintenance->checkpoints, options->clock_us);
}

void maintenance_free(struct maintenance *maintenance) {
    compaction_free(&maintenance->compaction);
}

void maintenance_set_link(struct maintenance *maintenance, struct bus_link *link) {
    maintenance->link = maintenance->compaction.link = link;
}

/* --- the link --- */

static void greet(void *context, struct bus_hello *hello) {
    const struct maintenance *maintenance = context;
    hello->node = *maintenance->member;
    hello->position = maintenance->mvcc->index;
}

static void up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct maintenance *maintenance = context;
    (void)link;
    (void)peer;
    maintenance->told = (struct bus_apply_state){0};
}

static void down(void *context, struct bus_link *link) {
    struct maintenance *maintenance = context;
    (void)link;
    compaction_abandon(&maintenance->compaction);
}

static void take_checkpoint(struct maintenance *maintenance, const struct bus_checkpoint *request) {
    struct apply_job *job =
        checkpoint_begin(&maintenance->checkpoints, maintenance->link, maintenance->mvcc->store, request);
    if (job != NULL)
        reads_queue_checkpoint(maintenance->reads, job);
}

static void take_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct maintenance *maintenance = context;
    struct bus_checkpoint request;
    struct bus_plan plan;
    if (record->kind == BUS_MAINT_CHECKPOINT && bus_get_checkpoint(record, &request))
        take_checkpoint(maintenance, &request);
    else if (record->kind == BUS_MAINT_COMPACT && bus_get_checkpoint(record, &request))
        compaction_request(&maintenance->compaction, &request, maintenance->now_us);
    else if (record->kind == BUS_MAINT_PLAN && bus_get_plan(record, &plan))
        compaction_take(&maintenance->compaction, &plan);
    else
        bus_link_reset(link, "a record that does not belong here");
}

struct bus_handler maintenance_handler(struct maintenance *maintenance) {
    return (struct bus_handler){
        .greet = greet, .up = up, .down = down, .record = take_record, .context = maintenance};
}

/* --- rounds --- */

/* Then rounds come by themselves, and the plan's items ride along; otherwise they bring about their own. */
static bool is_busy(const struct maintenance *maintenance) {
    return maintenance->load >= BUSY_LOAD;
}

void maintenance_begin_write(struct maintenance *maintenance, uint64_t now_us) {
    maintenance->now_us = now_us;
    compaction_carry_out(&maintenance->compaction, is_busy(maintenance));
}

void maintenance_end_write(struct maintenance *maintenance) {
    struct apply_job *job = compaction_advance(&maintenance->compaction);
    if (job != NULL)
        reads_queue_checkpoint(maintenance->reads, job);
    else if (compaction_is_waiting_for_rounds(&maintenance->compaction) && !is_busy(maintenance))
        reads_nudge(maintenance->reads);
}

void maintenance_took(struct maintenance *maintenance, uint64_t round_us) {
    maintenance->busy_us += round_us;
}

void maintenance_job_done(struct maintenance *maintenance, struct apply_job *job) {
    compaction_copied(&maintenance->compaction, job->result == 0);
    checkpoint_end(&maintenance->checkpoints, maintenance->link, job);
}

/* --- ticks --- */

bool maintenance_wants_flush(const struct maintenance *maintenance) {
    return compaction_wants_flush(&maintenance->compaction);
}

void maintenance_flush_begun(struct maintenance *maintenance) {
    compaction_flush_begun(&maintenance->compaction);
}

static void measure_load(struct maintenance *maintenance) {
    uint64_t passed_us = maintenance->now_us - maintenance->ticked_us;
    uint64_t share = passed_us == 0 ? 0 : maintenance->busy_us * 1000 / passed_us;
    maintenance->load = (uint16_t)(share > 1000 ? 1000 : share);
    maintenance->busy_us = 0;
    maintenance->ticked_us = maintenance->now_us;
}

static void tell_state(struct maintenance *maintenance) {
    const struct mvcc *mvcc = maintenance->mvcc;
    const struct bus_apply_state *told = &maintenance->told;
    struct bus_apply_state state = {.index = mvcc->index,
                                    .revision = mvcc->revision,
                                    .compacted = mvcc->compacted,
                                    .physical = mvcc->physical,
                                    .load = maintenance->load,
                                    .awaited = compaction_is_awaited(&maintenance->compaction)};
    bool same = told->index == state.index && told->physical == state.physical && told->load == state.load &&
                told->awaited == state.awaited;
    if (same || maintenance->link == NULL || bus_link_room(maintenance->link) == 0)
        return;
    bus_put_apply_state(maintenance->link, &state);
    maintenance->told = state;
}

static void deliver_deferred(struct maintenance *maintenance) {
    struct deferred *deferred = NULL;
    while ((deferred = compaction_undefer(&maintenance->compaction)) != NULL) {
        deferred->outcome.revision = maintenance->mvcc->revision;
        reads_deliver(maintenance->reads, &deferred->outcome);
        free(deferred);
    }
}

void maintenance_tick(struct maintenance *maintenance, uint64_t now_us) {
    maintenance->now_us = now_us;
    compaction_tick(&maintenance->compaction, now_us);
    deliver_deferred(maintenance);
    measure_load(maintenance);
    tell_state(maintenance);
}

bool maintenance_defer(struct maintenance *maintenance, const struct outcome *outcome) {
    return compaction_defer(&maintenance->compaction, outcome);
}
