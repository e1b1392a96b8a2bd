/* lessor: see lessor.h. All leases are in the heap, whoever leads; only a primary looks at it. */
#include "apply/lease/lessor.h"

#include <stdlib.h>

#include "common/metrics.h"
#include "common/request.h"
#include "common/wire.h"

#include "apply/lease/checkpoint_sweep.h"
#include "apply/lease/expiry_heap.h"

enum {
    SECOND_US = 1000000,
    ELECTION_US = SECOND_US,
    CHECKPOINT_US = 300 * SECOND_US,
    RETRY_US = 2 * SECOND_US,
    STEPS = 4000, /* leases looked at in a round */
    /* Revocations: their cost is their keys, and one for the lease itself. */
    COST_PER_SECOND = 50000,
    WINDOW_LEAST = 64, /* under way */
    WINDOW_MOST = 1000,
    WINDOW_LEASES = 128,
    LATENCY_FIRST_US = 2000,
    LATENCY_SHARE = 8, /* of a new measurement */
    ROUND_SHORT_US = 5000,
    ROUND_LONG_US = 10000,
    WINDOW_STEP = 32,
};
enum { REQUEST_ID = 1 };

struct lessor {
    struct lessor_options options;
    struct lease_book *book;
    struct expiry_heap heap;
    uint64_t now_us;

    bool leads; /* as told */
    uint64_t leads_term;
    bool primary;
    uint64_t term; /* of the last time as primary; 0: never */

    size_t revoking; /* leases whose revocation is under way */
    uint64_t revoking_cost;
    uint64_t latency_us;  /* of revocations, from proposal to the end of the round that executes them */
    uint64_t window_most; /* at present */
    uint64_t revoked_proposed_us; /* when the last one of the present round was proposed; 0: there is none */
    bool busy, moved;

    struct checkpoint_sweep sweep;
    struct checkpoint_list clears;
    struct buffer body, request;
    struct lessor_counts counts;
};

static uint64_t later(uint64_t now_us, int64_t seconds) {
    return now_us + (uint64_t)seconds * SECOND_US; /* TTLs are below 2^34: it cannot overflow */
}

/* --- what entries tell --- */

/* Its time begins with the end of the round in which this member leads. */
static void take_lease(struct lessor *lessor, struct lease *lease) {
    expiry_heap_add(&lessor->heap, lease, 0);
}

static void granted(void *context, struct lease *lease) {
    take_lease(context, lease);
    metric_observe_us(METRIC_ETCD_DEBUGGING_LEASE_TTL_TOTAL, (uint64_t)lease->ttl * SECOND_US);
}

static void revoked(void *context, struct lease *lease) {
    struct lessor *lessor = context;
    expiry_heap_remove(&lessor->heap, lease);
    lessor->moved |= lease->clock.awaited;
    if (lease->clock.cost == 0)
        return;
    lessor->revoking--;
    lessor->revoking_cost -= lease->clock.cost;
    lessor->revoked_proposed_us = lease->clock.proposed_us;
}

/* A cleared checkpoint means that somebody renewed the lease: perhaps at a primary that is gone. */
static void checkpointed(void *context, struct lease *lease) {
    struct lessor *lessor = context;
    lease->clock.checkpointing = false;
    if (lease->remaining != 0)
        return;
    lease->clock.cleared_us = 0;
    lessor->moved |= lease->clock.awaited;
    uint64_t expiry_us = later(lessor->now_us, lease->ttl);
    if (lease->clock.cost == 0 && lease->clock.expiry_us != 0 && lease->clock.expiry_us < expiry_us)
        lease->clock.expiry_us = expiry_us;
}

/* --- life --- */

static void each_lease(struct lessor *lessor, void (*visit)(struct lessor *, struct lease *)) {
    for (size_t i = 0; i < lessor->book->slot_count; i++) {
        if (lessor->book->slots[i] != NULL)
            visit(lessor, lessor->book->slots[i]);
    }
}

struct lessor *lessor_new(const struct lessor_options *options) {
    struct lessor *lessor = must_zalloc(sizeof *lessor);
    lessor->options = *options;
    if (lessor->options.election_us == 0)
        lessor->options.election_us = ELECTION_US;
    if (lessor->options.checkpoint_us == 0)
        lessor->options.checkpoint_us = CHECKPOINT_US;
    lessor->book = options->book;
    lessor->latency_us = LATENCY_FIRST_US;
    lessor->window_most = WINDOW_MOST;
    lessor->book->observer = (struct lease_observer){
        .context = lessor, .granted = granted, .revoked = revoked, .checkpointed = checkpointed};
    each_lease(lessor, take_lease);
    return lessor;
}

void lessor_free(struct lessor *lessor) {
    lessor->book->observer = (struct lease_observer){0};
    expiry_heap_free(&lessor->heap);
    checkpoint_list_free(&lessor->clears);
    checkpoint_sweep_free(&lessor->sweep);
    buffer_free(&lessor->body);
    buffer_free(&lessor->request);
    free(lessor);
}

/* --- leading --- */

void lessor_lead(struct lessor *lessor, bool leads, uint64_t term) {
    lessor->leads = leads;
    lessor->leads_term = term;
}

static void extend(struct lessor *lessor, struct lease *lease) {
    int64_t seconds = lease->remaining > 0 ? lease->remaining : lease->ttl;
    lease->clock.expiry_us = later(lessor->now_us, seconds) + lessor->options.election_us;
    lease->clock.cost = 0;
    lease->clock.cleared_us = 0;
    lease->clock.checkpointing = false;
    expiry_heap_move(&lessor->heap, lease, lease->clock.expiry_us);
}

/* Again in the same term (the link was away): nobody else can have led, and the clocks went on. */
static void take_lead(struct lessor *lessor) {
    lessor->primary = lessor->moved = true;
    if (lessor->term == lessor->leads_term)
        return;
    lessor->term = lessor->leads_term;
    lessor->revoking = 0;
    lessor->revoking_cost = 0;
    each_lease(lessor, extend);
    checkpoint_list_clear(&lessor->clears);
    checkpoint_sweep_begin(&lessor->sweep, lessor->options.checkpoint_us, lessor->now_us);
}

/* --- proposing --- */

static bool propose(struct lessor *lessor, uint32_t number, struct bytes body) {
    struct internal_request request = {.number = number, .body = body};
    lessor->request.length = 0;
    internal_request_encode(&lessor->request, &request);
    return lessor->options.propose(lessor->options.context, lessor->term, buffer_bytes(&lessor->request));
}

static bool propose_revocation(struct lessor *lessor, const struct lease *lease) {
    lessor->body.length = 0;
    wire_put_int64(&lessor->body, REQUEST_ID, lease->id);
    wire_put_uint64(&lessor->body, LEASE_REQUEST_GRANT, lease->grant);
    return propose(lessor, INTERNAL_LEASE_REVOKE, buffer_bytes(&lessor->body));
}

static void measure(struct lessor *lessor) {
    if (lessor->revoked_proposed_us == 0)
        return;
    uint64_t latency_us = lessor->now_us - lessor->revoked_proposed_us;
    lessor->latency_us -= lessor->latency_us / LATENCY_SHARE;
    lessor->latency_us += latency_us / LATENCY_SHARE;
    lessor->revoked_proposed_us = 0;
}

/* What is under way is the rate times the latency (Little's law), within bounds. */
static bool window_admits(const struct lessor *lessor, const struct lease *lease) {
    uint64_t window = lessor->latency_us * COST_PER_SECOND / SECOND_US;
    if (window > lessor->window_most)
        window = lessor->window_most;
    if (window < WINDOW_LEAST)
        window = WINDOW_LEAST;
    return lessor->revoking == 0 ||
           (lessor->revoking < WINDOW_LEASES && lessor->revoking_cost + lease->keys + 1 <= window);
}

/* False: not now. When its execution is overdue, the heap brings the lease again. */
static bool revoke(struct lessor *lessor, struct lease *lease) {
    bool again = lease->clock.cost != 0;
    if ((!again && !window_admits(lessor, lease)) || !propose_revocation(lessor, lease))
        return false;
    expiry_heap_move(&lessor->heap, lease, lessor->now_us + RETRY_US);
    lease->clock.proposed_us = lessor->now_us;
    if (again)
        return true;
    lease->clock.cost = lease->keys + 1;
    lessor->revoking++;
    lessor->revoking_cost += lease->clock.cost;
    lessor->counts.expired++;
    return true;
}

/* The lease first in the heap is due: it is new, it was renewed, or it has expired. */
static bool look_at(struct lessor *lessor, struct lease *lease) {
    struct lease_clock *clock = &lease->clock;
    if (clock->expiry_us == 0)
        clock->expiry_us = later(lessor->now_us, lease->ttl);
    if (clock->expiry_us <= lessor->now_us)
        return revoke(lessor, lease);
    expiry_heap_move(&lessor->heap, lease, clock->expiry_us);
    return true;
}

static void look_at_due(struct lessor *lessor) {
    const struct expiry_entry *first = NULL;
    unsigned steps = 0;
    while ((first = expiry_heap_first(&lessor->heap)) != NULL && first->at_us <= lessor->now_us) {
        if (first->at_us != 0 && ++steps > STEPS) {
            lessor->busy = true;
            return;
        }
        if (!look_at(lessor, first->lease))
            return;
    }
}

void lessor_advance(struct lessor *lessor, uint64_t now_us) {
    lessor->now_us = now_us;
    lessor->busy = false;
    measure(lessor);
    if (lessor->leads && (!lessor->primary || lessor->term != lessor->leads_term))
        take_lead(lessor);
    lessor->primary = lessor->leads;
    if (!lessor->primary)
        return;
    look_at_due(lessor);
    if (checkpoint_sweep_run(&lessor->sweep, lessor->book, now_us) &&
        propose(lessor, INTERNAL_LEASE_CHECKPOINT, checkpoint_list_body(&lessor->sweep.list)))
        checkpoint_sweep_proposed(&lessor->sweep);
}

bool lessor_is_busy(const struct lessor *lessor) {
    return lessor->busy;
}

/* As TCP does with congestion: down by a quarter, up by a step. */
void lessor_took(struct lessor *lessor, uint64_t round_us) {
    uint64_t *most = &lessor->window_most;
    if (lessor->revoked_proposed_us == 0)
        return;
    if (round_us > ROUND_LONG_US)
        *most = *most - *most / 4 < WINDOW_LEAST ? WINDOW_LEAST : *most - *most / 4;
    else if (round_us < ROUND_SHORT_US)
        *most = *most + WINDOW_STEP > WINDOW_MOST ? WINDOW_MOST : *most + WINDOW_STEP;
}

/* --- requests --- */

static enum lease_answer wait_for(struct lease *lease) {
    lease->clock.awaited = true;
    return LEASE_WAIT;
}

/* A renewal undoes a checkpoint, executed or under way, through the log first; when that gets lost, again. */
static void clear_checkpoint(struct lessor *lessor, struct lease *lease) {
    bool under_way = lease->clock.cleared_us != 0 && lessor->now_us - lease->clock.cleared_us < RETRY_US;
    if (!under_way && checkpoint_list_add(&lessor->clears, lease, 0))
        lease->clock.cleared_us = lessor->now_us;
}

enum lease_answer lessor_renew(struct lessor *lessor, int64_t id, int64_t *ttl) {
    if (!lessor->primary)
        return LEASE_WAIT;
    struct lease *lease = lease_book_find(lessor->book, id);
    if (lease == NULL)
        return LEASE_UNKNOWN;
    if (lease->clock.expiry_us <= lessor->now_us)
        return wait_for(lease);
    if (lease->remaining != 0 || lease->clock.checkpointing) {
        clear_checkpoint(lessor, lease);
        return wait_for(lease);
    }
    lease->clock.expiry_us = later(lessor->now_us, lease->ttl);
    lessor->counts.renewed++;
    *ttl = lease->ttl;
    return LEASE_ANSWERED;
}

enum lease_answer lessor_time_to_live(struct lessor *lessor, int64_t id, struct lease_life *life) {
    if (!lessor->primary)
        return LEASE_WAIT;
    const struct lease *lease = lease_book_find(lessor->book, id);
    if (lease == NULL)
        return LEASE_UNKNOWN;
    *life =
        (struct lease_life){.ttl = ((int64_t)lease->clock.expiry_us - (int64_t)lessor->now_us) / SECOND_US,
                            .granted = lease->ttl,
                            .keys = lease->keys};
    return LEASE_ANSWERED;
}

void lessor_list(const struct lessor *lessor, struct buffer *out) {
    buffer_reserve(out, lessor->book->count * sizeof(struct lease_expiry));
    for (size_t i = 0; i < lessor->book->slot_count; i++) {
        const struct lease *lease = lessor->book->slots[i];
        if (lease == NULL)
            continue;
        struct lease_expiry expiry = {.at_us = lease->clock.expiry_us, .id = lease->id};
        buffer_append(out, &expiry, sizeof expiry);
    }
}

bool lessor_moved(struct lessor *lessor) {
    bool moved = lessor->moved;
    lessor->moved = false;
    return moved;
}

void lessor_finish(struct lessor *lessor) {
    bool behind = lessor->sweep.list.count > 0; /* what a clear undoes goes before it */
    if (lessor->primary && !behind && lessor->clears.count > 0 &&
        propose(lessor, INTERNAL_LEASE_CHECKPOINT, checkpoint_list_body(&lessor->clears)))
        checkpoint_list_clear(&lessor->clears);
}

struct lessor_counts lessor_counts(const struct lessor *lessor) {
    return lessor->counts;
}
