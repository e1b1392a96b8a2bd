/*
 * plan_model: a physical compaction over a memory store, step by step: what maint computes from a checkpoint,
 * written as plainly as possible, and carried out through mvcc/kept.h.
 */
#ifndef QUORATE_TESTS_UNIT_APPLY_PLAN_MODEL_H
#define QUORATE_TESTS_UNIT_APPLY_PLAN_MODEL_H

#include "apply/mvcc/kept.h"
#include "common/compaction_plan.h"

#include "memory_store.h"

enum plan_phase { PLAN_IDLE, PLAN_SPILL, PLAN_CARRY_OUT, PLAN_FLUSH };
struct plan {
    enum plan_phase phase;
    int64_t compacted;
    struct recent_mark mark;
    struct plan_item *items; /* keys are owned */
    size_t count, next;
};

static inline bool plan_is_link(const struct store_snapshot *state, struct revision at, int64_t compacted) {
    for (size_t i = 0; i < state->count; i++) {
        struct bytes key;
        struct record record;
        if (state->pairs[i].key.data[0] != PREFIX_LOG)
            continue;
        record_load_log(state->pairs[i].value, log_key_load(state->pairs[i].key), &key, &record);
        if (record.modified.main > compacted && revision_compare(record.previous, at) == 0)
            return true;
    }
    return false;
}

static inline bool plan_is_current(const struct store_snapshot *state, struct bytes key, struct revision at) {
    for (size_t i = 0; i < state->count; i++) {
        const struct pair *pair = &state->pairs[i];
        struct record record;
        if (pair->key.data[0] != PREFIX_CURRENT ||
            !bytes_equal(bytes_of(pair->key.data + 1, pair->key.length - 1), key))
            continue;
        record_load_current(pair->value, &record);
        return revision_compare(record.modified, at) == 0;
    }
    return false;
}

static inline void plan_add(struct plan *plan, enum plan_item_kind kind, struct revision at,
                            struct bytes key) {
    plan->items = must_realloc(plan->items, (plan->count + 1) * sizeof *plan->items);
    plan->items[plan->count++] = (struct plan_item){kind, at, memory_copy(key)};
}

static inline void plan_compute(struct plan *plan, const struct store_snapshot *state) {
    for (size_t i = 0; i < state->count; i++) {
        const struct pair *pair = &state->pairs[i];
        uint8_t prefix = pair->key.data[0];
        struct bytes key;
        struct record record;
        if (prefix != PREFIX_LOG && prefix != PREFIX_KEPT)
            continue;
        record_load_log(pair->value, log_key_load(pair->key), &key, &record);
        if (record.modified.main >= plan->compacted)
            continue;
        bool linked = plan_is_link(state, record.modified, plan->compacted);
        if (prefix == PREFIX_LOG && linked)
            plan_add(plan, PLAN_KEEP, record.modified, key);
        if (prefix == PREFIX_KEPT && !linked)
            plan_add(plan, PLAN_FORGET, record.modified, key);
        if (prefix == PREFIX_LOG && record.tombstone && plan_is_current(state, key, record.modified))
            plan_add(plan, PLAN_TOMBSTONE, record.modified, key);
    }
}

static inline void plan_clear(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        free((void *)plan->items[i].key.data);
    free(plan->items);
    *plan = (struct plan){0};
}

static inline void plan_carry_out(struct plan *plan, struct mvcc *mvcc, size_t most) {
    for (; plan->next < plan->count && most > 0; most--) {
        const struct plan_item *item = &plan->items[plan->next++];
        if (item->kind == PLAN_KEEP)
            REQUIRE(kept_copy(mvcc, item->at));
        else if (item->kind == PLAN_FORGET)
            kept_forget(mvcc, item->at);
        else
            kept_drop_tombstone(mvcc, item->key, item->at);
    }
}

/* Does the next bit of it. True: the log below plan->compacted was dropped with this step. */
static inline bool plan_step(struct plan *plan, struct mvcc *mvcc, size_t most) {
    struct store *store = mvcc->store;
    switch (plan->phase) {
    case PLAN_IDLE:
        if (mvcc->compacted <= mvcc->physical)
            break;
        plan->compacted = mvcc->compacted;
        kept_begin(mvcc, plan->compacted);
        plan->mark = mvcc_request_spill(mvcc);
        plan->phase = PLAN_SPILL;
        break;
    case PLAN_SPILL:
        mvcc_commit(mvcc);
        if (!mvcc_snapshot_ready(mvcc, plan->mark))
            break;
        plan_compute(plan, ((struct memory_store *)store)->now);
        plan->phase = PLAN_CARRY_OUT;
        break;
    case PLAN_CARRY_OUT:
        plan_carry_out(plan, mvcc, most);
        if (plan->next < plan->count)
            break;
        kept_finish(mvcc, plan->compacted);
        mvcc_commit(mvcc);
        plan->phase = PLAN_FLUSH;
        break;
    case PLAN_FLUSH:
        if (mvcc_durable_physical(mvcc) < plan->compacted)
            break;
        mvcc->physical = plan->compacted;
        store->operations->drop_below(store, PREFIX_LOG, (uint64_t)plan->compacted);
        plan_clear(plan);
        return true;
    }
    return false;
}

#endif
