/* checkpoint_sweep: see checkpoint_sweep.h. The book may grow meanwhile: then a lease is met twice, or not.
 */
#include "apply/lease/checkpoint_sweep.h"

#include "common/request.h"
#include "common/wire.h"

enum {
    SECOND_US = 1000000,
    STEP_US = 100000,
    STEP_SLOTS = 20000,
    NEWS_PART = 2, /* of the interval: less than that is not worth an entry */
};
enum { CHECKPOINTS = 1, CHECKPOINT_ID = 1, CHECKPOINT_REMAINING = 2 };

bool checkpoint_list_add(struct checkpoint_list *list, const struct lease *lease, int64_t remaining) {
    if (list->count == CHECKPOINT_LEASES)
        return false;
    size_t message = wire_begin_message(&list->body, CHECKPOINTS);
    wire_put_int64(&list->body, CHECKPOINT_ID, lease->id);
    wire_put_int64(&list->body, CHECKPOINT_REMAINING, remaining);
    wire_put_uint64(&list->body, LEASE_REQUEST_GRANT, lease->grant);
    wire_end_message(&list->body, message);
    list->count++;
    return true;
}

struct bytes checkpoint_list_body(const struct checkpoint_list *list) {
    return buffer_bytes(&list->body);
}

void checkpoint_list_clear(struct checkpoint_list *list) {
    list->body.length = 0;
    list->count = 0;
}

void checkpoint_list_free(struct checkpoint_list *list) {
    buffer_free(&list->body);
}

void checkpoint_sweep_begin(struct checkpoint_sweep *sweep, uint64_t interval_us, uint64_t now_us) {
    sweep->interval_us = interval_us;
    sweep->next_us = now_us + interval_us;
    sweep->slot = 0;
    checkpoint_list_clear(&sweep->list);
}

/* Not while a renewal waits for a clear: a checkpoint behind that would take back what it is told then. */
static void consider(struct checkpoint_sweep *sweep, struct lease *lease, uint64_t now_us) {
    uint64_t expiry_us = lease->clock.expiry_us;
    if (expiry_us <= now_us + sweep->interval_us || lease->clock.cleared_us != 0)
        return;
    int64_t left = (int64_t)((expiry_us - now_us + SECOND_US - 1) / SECOND_US);
    int64_t known = lease->remaining > 0 ? lease->remaining : lease->ttl;
    if (known > left && (uint64_t)(known - left) * SECOND_US >= sweep->interval_us / NEWS_PART &&
        checkpoint_list_add(&sweep->list, lease, left))
        lease->clock.checkpointing = true;
}

static void sweep_step(struct checkpoint_sweep *sweep, const struct lease_book *book, uint64_t now_us) {
    size_t end = book->slot_count - sweep->slot > STEP_SLOTS ? sweep->slot + STEP_SLOTS : book->slot_count;
    for (; sweep->slot < end && sweep->list.count < CHECKPOINT_LEASES; sweep->slot++) {
        if (book->slots[sweep->slot] != NULL)
            consider(sweep, book->slots[sweep->slot], now_us);
    }
}

bool checkpoint_sweep_run(struct checkpoint_sweep *sweep, const struct lease_book *book, uint64_t now_us) {
    if (now_us >= sweep->next_us && sweep->list.count == 0) {
        sweep_step(sweep, book, now_us);
        sweep->next_us = now_us + STEP_US;
        if (sweep->slot == book->slot_count) {
            sweep->next_us = now_us + sweep->interval_us;
            sweep->slot = 0;
        }
    }
    return sweep->list.count > 0;
}

void checkpoint_sweep_proposed(struct checkpoint_sweep *sweep) {
    checkpoint_list_clear(&sweep->list);
}

void checkpoint_sweep_free(struct checkpoint_sweep *sweep) {
    checkpoint_list_free(&sweep->list);
}
