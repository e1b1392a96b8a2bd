/* compaction: see compaction.h. */
#include "apply/compaction/compaction.h"

#include <errno.h>
#include <stdlib.h>

#include "apply/mvcc/kept.h"
#include "common/compaction_plan.h"
#include "common/log.h"
#include "common/metrics.h"

enum {
    SLICE_ITEMS = 64,
    SLICE_ITEMS_BUSY = 16,
    SLICE_US = 500,
    ITEMS_LIMIT = 16 << 20, /* bytes that maint may be ahead with; it sends far less */
    WAITING_LIMIT = 1024,
};

void compaction_init(struct compaction *compaction, struct mvcc *mvcc, struct checkpoints *checkpoints,
                     uint64_t (*clock_us)(void)) {
    *compaction = (struct compaction){.mvcc = mvcc, .checkpoints = checkpoints, .clock_us = clock_us};
    compaction->waiting_tail = &compaction->waiting;
    if (mvcc->physical > 0)
        mvcc->store->operations->drop_below(mvcc->store, PREFIX_LOG, (uint64_t)mvcc->physical);
}

void compaction_free(struct compaction *compaction) {
    while (compaction->waiting != NULL) {
        struct deferred *deferred = compaction->waiting;
        compaction->waiting = deferred->next;
        free(deferred);
    }
    buffer_free(&compaction->directory);
    buffer_free(&compaction->items);
}

/* --- talking with maint --- */

static bool maint_is_there(const struct compaction *compaction) {
    return compaction->link != NULL && bus_link_is_up(compaction->link);
}

static void report(struct compaction *compaction, uint64_t id, uint16_t status, bool last) {
    struct bus_plan record = {.id = id, .items = compaction->carried_out, .status = status, .last = last};
    if (maint_is_there(compaction))
        bus_put_plan(compaction->link, BUS_APPLY_PLANNED, &record);
    compaction->reported = compaction->carried_out;
}

static void reset(struct compaction *compaction) {
    compaction->phase = COMPACTION_IDLE;
    buffer_free(&compaction->items);
    compaction->items_used = 0;
    compaction->arrived = compaction->carried_out = compaction->reported = 0;
    compaction->kept = compaction->forgotten = compaction->tombstones = 0;
    compaction->last_arrived = compaction->flush_begun = false;
}

static void make_void(struct compaction *compaction, const char *why) {
    LOG_ERROR("a compaction broke off", F_I64("compact-revision", compaction->revision), F_STR("why", why));
    report(compaction, compaction->id, EINVAL, false);
    reset(compaction);
}

static void refuse(struct compaction *compaction, uint64_t id, int error) {
    bus_put_checkpoint(compaction->link, BUS_APPLY_CHECKPOINT,
                       &(struct bus_checkpoint){.id = id,
                                                .status = (uint16_t)error,
                                                .directory = bytes_from_text(strerror(error))});
}

void compaction_request(struct compaction *compaction, const struct bus_checkpoint *request,
                        uint64_t now_us) {
    struct mvcc *mvcc = compaction->mvcc;
    if (compaction->phase == COMPACTION_COPYING || compaction->checkpoints->busy) {
        refuse(compaction, request->id, EBUSY);
        return;
    }
    reset(compaction);
    if (mvcc->compacted <= mvcc->physical) {
        refuse(compaction, request->id, EALREADY);
        return;
    }
    compaction->id = request->id;
    compaction->revision = mvcc->compacted;
    compaction->directory.length = 0;
    buffer_append_bytes(&compaction->directory, request->directory);
    compaction->began_us = now_us;
    kept_begin(mvcc, compaction->revision);
    compaction->mark = mvcc_request_spill(mvcc);
    compaction->phase = COMPACTION_SPILLING;
}

void compaction_take(struct compaction *compaction, const struct bus_plan *plan) {
    if (compaction->phase != COMPACTION_PLANNED || plan->id != compaction->id || compaction->last_arrived) {
        report(compaction, plan->id, EINVAL, false);
        return;
    }
    if (compaction->items.length - compaction->items_used + plan->body.length > ITEMS_LIMIT) {
        make_void(compaction, "too much of the plan at once");
        return;
    }
    buffer_append_bytes(&compaction->items, plan->body);
    compaction->arrived = plan->items;
    compaction->last_arrived = plan->last;
}

/* A checkpoint that is being made is left to its end; nobody is told of it. */
void compaction_abandon(struct compaction *compaction) {
    reset(compaction);
}

/* --- carrying out --- */

static bool carry_out_item(struct compaction *compaction, const struct plan_item *item) {
    if (item->at.main >= compaction->revision)
        return false;
    switch (item->kind) {
    case PLAN_KEEP:
        compaction->kept++;
        return kept_copy(compaction->mvcc, item->at);
    case PLAN_FORGET:
        compaction->forgotten++;
        kept_forget(compaction->mvcc, item->at);
        return true;
    default:
        compaction->tombstones++;
        kept_drop_tombstone(compaction->mvcc, item->key, item->at);
        return true;
    }
}

static struct bytes items_left(const struct compaction *compaction) {
    size_t used = compaction->items_used;
    return used == compaction->items.length
               ? (struct bytes){0}
               : bytes_of(compaction->items.data + used, compaction->items.length - used);
}

/* False: the plan is no good. */
static bool carry_out_some(struct compaction *compaction, unsigned most, uint64_t until_us) {
    struct bytes rest = items_left(compaction);
    struct plan_item item;
    bool good = true;
    while (good && most-- > 0 && plan_item_next(&rest, &item)) {
        good = carry_out_item(compaction, &item);
        compaction->carried_out++;
        if (compaction->clock_us != NULL && compaction->clock_us() >= until_us)
            break;
    }
    compaction->items_used = compaction->items.length - rest.length;
    buffer_forget_used(&compaction->items, &compaction->items_used);
    return good;
}

static void carry_out(struct compaction *compaction, bool busy) {
    uint64_t before = compaction->carried_out;
    uint64_t begin_us = compaction->clock_us == NULL ? 0 : compaction->clock_us();
    bool good = carry_out_some(compaction, busy ? SLICE_ITEMS_BUSY : SLICE_ITEMS, begin_us + SLICE_US);
    if (compaction->clock_us != NULL)
        metric_observe_us(METRIC_ETCD_DEBUGGING_MVCC_DB_COMPACTION_PAUSE_DURATION_MILLISECONDS,
                          compaction->clock_us() - begin_us);
    if (!good)
        make_void(compaction, "it names a record that is not there");
    else if (compaction->carried_out == before)
        make_void(compaction, "the plan is malformed");
}

void compaction_carry_out(struct compaction *compaction, bool busy) {
    if (compaction->phase != COMPACTION_PLANNED)
        return;
    if (items_left(compaction).length > 0)
        carry_out(compaction, busy);
    if (compaction->phase != COMPACTION_PLANNED || !compaction->last_arrived ||
        items_left(compaction).length > 0)
        return;
    kept_finish(compaction->mvcc, compaction->revision);
    compaction->phase = COMPACTION_FLUSHING;
}

static struct apply_job *begin_copy(struct compaction *compaction) {
    struct bus_checkpoint request = {.id = compaction->id,
                                     .compact_revision = compaction->revision,
                                     .directory = buffer_bytes(&compaction->directory)};
    struct apply_job *job =
        checkpoint_begin(compaction->checkpoints, compaction->link, compaction->mvcc->store, &request);
    compaction->phase = job == NULL ? COMPACTION_IDLE : COMPACTION_COPYING;
    return job;
}

struct apply_job *compaction_advance(struct compaction *compaction) {
    if (compaction->phase == COMPACTION_SPILLING && mvcc_snapshot_ready(compaction->mvcc, compaction->mark))
        return begin_copy(compaction);
    if (compaction->carried_out != compaction->reported)
        report(compaction, compaction->id, 0, false);
    return NULL;
}

void compaction_copied(struct compaction *compaction, bool made) {
    if (compaction->phase == COMPACTION_COPYING)
        compaction->phase = made ? COMPACTION_PLANNED : COMPACTION_IDLE;
}

bool compaction_is_waiting_for_rounds(const struct compaction *compaction) {
    return compaction->phase == COMPACTION_SPILLING ||
           (compaction->phase == COMPACTION_PLANNED && items_left(compaction).length > 0);
}

/* --- the end --- */

bool compaction_wants_flush(const struct compaction *compaction) {
    return compaction->phase == COMPACTION_FLUSHING && !compaction->flush_begun;
}

void compaction_flush_begun(struct compaction *compaction) {
    compaction->flush_begun = compaction->phase == COMPACTION_FLUSHING;
}

static void finish(struct compaction *compaction, uint64_t now_us) {
    struct mvcc *mvcc = compaction->mvcc;
    int64_t from = mvcc->physical < 0 ? 0 : mvcc->physical;
    uint64_t removed =
        (uint64_t)(compaction->revision - from) + compaction->forgotten + compaction->tombstones;
    mvcc->physical = compaction->revision;
    mvcc->store->operations->drop_below(mvcc->store, PREFIX_LOG, (uint64_t)mvcc->physical);
    uint64_t took_us = now_us - compaction->began_us;
    metric_observe_us(METRIC_ETCD_DEBUGGING_MVCC_DB_COMPACTION_TOTAL_DURATION_MILLISECONDS, took_us);
    metric_add(METRIC_ETCD_DEBUGGING_MVCC_DB_COMPACTION_KEYS_TOTAL, removed);
    metric_set_now(METRIC_ETCD_DEBUGGING_MVCC_DB_COMPACTION_LAST);
    LOG_INFO("finished scheduled compaction", F_I64("compact-revision", compaction->revision),
             F_U64("took-ms", took_us / 1000), F_U64("kept", compaction->kept),
             F_U64("forgotten", compaction->forgotten), F_U64("tombstones", compaction->tombstones));
    report(compaction, compaction->id, 0, true);
    reset(compaction);
}

void compaction_tick(struct compaction *compaction, uint64_t now_us) {
    if (compaction->phase == COMPACTION_FLUSHING &&
        mvcc_durable_physical(compaction->mvcc) >= compaction->revision)
        finish(compaction, now_us);
}

/* --- results that wait --- */

bool compaction_defer(struct compaction *compaction, const struct outcome *outcome) {
    if (outcome->awaits <= compaction->mvcc->physical || compaction->waiting_count == WAITING_LIMIT)
        return false;
    struct deferred *deferred = must_alloc(sizeof *deferred + outcome->body.length);
    *deferred = (struct deferred){.outcome = *outcome};
    if (outcome->body.length != 0)
        memcpy(deferred + 1, outcome->body.data, outcome->body.length);
    deferred->outcome.body = bytes_of(deferred + 1, outcome->body.length);
    *compaction->waiting_tail = deferred;
    compaction->waiting_tail = &deferred->next;
    compaction->waiting_count++;
    return true;
}

/* In the order of the log: what they await ascends. */
struct deferred *compaction_undefer(struct compaction *compaction) {
    struct deferred *deferred = compaction->waiting;
    if (deferred == NULL || deferred->outcome.awaits > compaction->mvcc->physical)
        return NULL;
    compaction->waiting = deferred->next;
    if (compaction->waiting == NULL)
        compaction->waiting_tail = &compaction->waiting;
    compaction->waiting_count--;
    return deferred;
}

bool compaction_is_awaited(const struct compaction *compaction) {
    return compaction->waiting != NULL;
}
