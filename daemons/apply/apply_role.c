/*
 * apply_role: see apply_role.h. Entries are executed here as they arrive; reads are in reads.c, what watches
 * are told in watch/, maint's part in maintenance.c, and what an entry means is in mvcc/.
 */
#include "apply/apply_role.h"

#include <stdio.h>
#include <stdlib.h>

#include "apply/lease/leadership.h"
#include "apply/lease/lessor.h"
#include "apply/maintenance.h"
#include "apply/mvcc/mvcc.h"
#include "apply/reads.h"
#include "apply/watch/publisher.h"
#include "common/log.h"
#include "common/metrics.h"

enum {
    FLUSH_BYTES = 64 << 20,
    FLUSH_ENTRIES = 100000,
    INLINE_KEYS = 256,
    ANSWER_BYTES = 64 << 20,
    COMMIT_BYTES = 8 << 20, /* a round's batch is written early when it grows past this */
    SIZES_INTERVAL_US = 1000000,
    SLOW_ROUND_US = 100000, /* as etcd's warning-apply-duration */
};
#define FLUSH_INTERVAL_US UINT64_C(600000000)

struct proxy_context {
    struct apply_role *role;
    uint8_t slot;
};

struct apply_role {
    struct apply_options options;
    struct mvcc mvcc;
    struct leadership leadership;
    struct lessor *lessor;
    struct reads *reads;
    struct publisher *publisher;
    struct maintenance maintenance;
    uint64_t now_us;

    struct bus_link *raft, *maint, *proxies[BUS_PROXY_SLOTS];
    struct proxy_context contexts[BUS_PROXY_SLOTS];
    uint64_t member, cluster;

    /* Entries that raft knew to be committed when we first met it; until they are executed, no read runs. */
    uint64_t replay_until;
    bool raft_met;

    /* since the last flush began */
    uint64_t flush_bytes, flush_entries, flush_began_us;
    uint64_t durable;
    struct bus_progress reported;
    uint64_t sizes_at_us;
    uint64_t round_began_us; /* by options.clock_us: the first entry of the round; 0: none */
    struct mvcc_counts counted;
    struct lessor_counts lessor_counted;
};

/* --- entries --- */

static bool ours(const struct apply_role *role, uint64_t id) {
    return id != 0 && role->member != 0 && bus_id_member(id) == (uint16_t)role->member;
}

static void take_entry(struct apply_role *role, const struct bus_entry *entry) {
    struct mvcc *mvcc = &role->mvcc;
    struct outcome outcome;
    if (entry->index <= mvcc->index)
        return;
    if (entry->index != mvcc->index + 1) {
        bus_link_reset(role->raft, "gap in the log");
        return;
    }
    if (role->round_began_us == 0 && role->options.clock_us != NULL)
        role->round_began_us = role->options.clock_us();
    mvcc_execute(mvcc, entry->index, entry->term, entry->type, entry->data, &outcome);
    reads_set_term(role->reads, entry->term);
    publisher_publish(role->publisher); /* before the result: who reads it finds the events there */
    if (ours(role, outcome.id) && !maintenance_defer(&role->maintenance, &outcome))
        reads_deliver(role->reads, &outcome);
    role->flush_bytes += entry->data.length;
    role->flush_entries++;
    if (mvcc_pending_bytes(mvcc) > COMMIT_BYTES)
        mvcc_commit(mvcc);
}

static void take_read(struct apply_role *role, const struct bus_record *record) {
    struct bus_request request;
    if (bus_get_request(record, &request))
        reads_add(role->reads, &request, role->now_us);
}

/* --- raft --- */

static void greet_raft(void *context, struct bus_hello *hello) {
    struct apply_role *role = context;
    hello->node = role->member;
    hello->position = role->mvcc.index;
    hello->durable = role->durable;
}

static void raft_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct apply_role *role = context;
    (void)link;
    if (peer->node != 0)
        role->member = peer->node;
    if (peer->cluster != 0)
        role->cluster = peer->cluster;
    role->reported = (struct bus_progress){0};
    if (peer->durable > role->replay_until)
        role->replay_until = peer->durable;
    role->raft_met = true;
    leadership_up(&role->leadership, peer);
}

static void raft_down(void *context, struct bus_link *link) {
    struct apply_role *role = context;
    (void)link;
    leadership_down(&role->leadership);
}

static void take_raft_state(struct apply_role *role, const struct bus_raft_state *state) {
    if (state->member != 0)
        role->member = state->member;
    leadership_state(&role->leadership, state);
}

/* The lessor's proposals. */
static bool propose(void *context, uint64_t term, struct bytes request) {
    struct bus_link *raft = ((struct apply_role *)context)->raft;
    struct bus_proposal proposal = {.term = term, .body = request};
    return raft != NULL && bus_link_room(raft) > 0 && bus_put_proposal(raft, BUS_APPLY_PROPOSE, &proposal);
}

static void raft_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct apply_role *role = context;
    struct bus_entry entry;
    struct bus_raft_state state;
    switch (record->kind) {
    case BUS_RAFT_ENTRY:
        if (bus_get_entry(record, &entry))
            take_entry(role, &entry);
        break;
    case BUS_RAFT_READ:
        if (ours(role, record->id))
            take_read(role, record);
        break;
    case BUS_RAFT_STATE:
        if (bus_get_raft_state(record, &state))
            take_raft_state(role, &state);
        break;
    default:
        bus_link_reset(link, "a record that does not belong here");
    }
}

struct bus_handler apply_role_raft_handler(struct apply_role *role) {
    return (struct bus_handler){
        .greet = greet_raft, .up = raft_up, .down = raft_down, .record = raft_record, .context = role};
}

/* --- proxies --- */

static void greet_proxy(void *context, struct bus_hello *hello) {
    struct apply_role *role = ((struct proxy_context *)context)->role;
    hello->node = role->member;
    hello->cluster = role->cluster; /* raft may be away when a proxy comes anew */
    hello->term = role->mvcc.term;
    hello->position = (uint64_t)role->mvcc.revision;
}

/*
 * The proxy may have thought itself connected before we did; our first word says that from now on results
 * find their way. What was kept for it follows at the end of the round: no result leaves before its batch is
 * written.
 */
static void proxy_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct proxy_context *proxy = context;
    const struct mvcc *mvcc = &proxy->role->mvcc;
    (void)peer;
    bus_put_result(link, BUS_APPLY_RESULT,
                   &(struct bus_result){.revision = (uint64_t)mvcc->revision, .term = mvcc->term});
    reads_meet_proxy(proxy->role->reads, proxy->slot);
}

static void proxy_down(void *context, struct bus_link *link) {
    struct proxy_context *proxy = context;
    (void)link;
    reads_forget_proxy(proxy->role->reads, proxy->slot);
    publisher_forget(proxy->role->publisher, proxy->slot);
}

static void take_ranges(struct proxy_context *proxy, const struct bus_record *record) {
    struct bus_ranges ranges;
    if (bus_get_ranges(record, &ranges))
        publisher_register(proxy->role->publisher, proxy->slot, &ranges);
    else
        bus_link_reset(proxy->role->proxies[proxy->slot], "ranges of no revision");
}

static void proxy_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct proxy_context *proxy = context;
    struct reads *reads = proxy->role->reads;
    if (record->kind == BUS_PROXY_RANGES) {
        take_ranges(proxy, record);
        return;
    }
    if (bus_id_slot(record->id) != proxy->slot) {
        bus_link_reset(link, "an id of another proxy");
        return;
    }
    switch (record->kind) {
    case BUS_PROXY_READ:
        take_read(proxy->role, record);
        break;
    case BUS_PROXY_WATCH:
        publisher_ask(proxy->role->publisher, proxy->slot, record->id);
        break;
    case BUS_PROXY_CANCEL:
        reads_cancel(reads, record->id);
        break;
    case BUS_PROXY_CONSUMED:
        reads_consumed(reads, record->id, record->position);
        break;
    default:
        bus_link_reset(link, "a record that does not belong here");
    }
}

/* May come in the middle of a round: the reads that waited for this claim the revision of what was executed.
 */
static void proxy_room(void *context, struct bus_link *link) {
    struct proxy_context *proxy = context;
    (void)link;
    mvcc_commit(&proxy->role->mvcc);
    reads_room(proxy->role->reads, proxy->slot);
}

struct bus_handler apply_role_proxy_handler(struct apply_role *role, uint8_t slot) {
    return (struct bus_handler){.greet = greet_proxy,
                                .up = proxy_up,
                                .down = proxy_down,
                                .record = proxy_record,
                                .room = proxy_room,
                                .context = &role->contexts[slot]};
}

/* --- maint --- */

struct bus_handler apply_role_maint_handler(struct apply_role *role) {
    return maintenance_handler(&role->maintenance);
}

/* --- life --- */

static void set_default(uint64_t *option, uint64_t value) {
    if (*option == 0)
        *option = value;
}

struct apply_role *apply_role_new(const struct apply_options *options, uint64_t now_us, char error[256]) {
    struct apply_role *role = must_zalloc(sizeof *role);
    role->options = *options;
    set_default(&role->options.flush_bytes, FLUSH_BYTES);
    set_default(&role->options.flush_entries, FLUSH_ENTRIES);
    set_default(&role->options.flush_interval_us, FLUSH_INTERVAL_US);
    set_default(&role->options.answer_bytes, ANSWER_BYTES);
    if (role->options.inline_keys == 0)
        role->options.inline_keys = INLINE_KEYS;
    if (!mvcc_open(&role->mvcc, options->store, options->hash_seed, error)) {
        free(role);
        return NULL;
    }
    role->now_us = role->flush_began_us = now_us;
    role->durable = mvcc_durable_index(&role->mvcc);
    if (options->large_delete_keys != 0)
        role->mvcc.large_delete_keys = options->large_delete_keys;
    role->lessor = lessor_new(&(struct lessor_options){.book = &role->mvcc.leases,
                                                       .election_us = options->election_us,
                                                       .checkpoint_us = options->lease_checkpoint_us,
                                                       .propose = propose,
                                                       .context = role});
    role->reads =
        reads_new(&role->mvcc, &(struct reads_options){.inline_keys = role->options.inline_keys,
                                                       .answer_bytes = role->options.answer_bytes,
                                                       .quota_bytes = options->quota_bytes,
                                                       .history_part_bytes = options->history_part_bytes,
                                                       .lessor = role->lessor});
    reads_set_term(role->reads, role->mvcc.term);
    role->publisher = publisher_new(&role->mvcc, options->publish_bytes);
    maintenance_init(&role->maintenance,
                     &(struct maintenance_options){.mvcc = &role->mvcc,
                                                   .reads = role->reads,
                                                   .member_directory = options->member_directory,
                                                   .member = &role->member,
                                                   .clock_us = options->clock_us},
                     now_us);
    for (uint8_t slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        role->contexts[slot] = (struct proxy_context){.role = role, .slot = slot};
    return role;
}

void apply_role_free(struct apply_role *role) {
    publisher_free(role->publisher);
    reads_free(role->reads);
    lessor_free(role->lessor);
    maintenance_free(&role->maintenance);
    mvcc_close(&role->mvcc);
    free(role);
}

void apply_role_set_raft_link(struct apply_role *role, struct bus_link *link) {
    role->raft = link;
}

void apply_role_set_maint_link(struct apply_role *role, struct bus_link *link) {
    role->maint = link;
    maintenance_set_link(&role->maintenance, link);
}

void apply_role_set_proxy_link(struct apply_role *role, uint8_t slot, struct bus_link *link) {
    role->proxies[slot] = link;
    reads_set_link(role->reads, slot, link);
    publisher_set_link(role->publisher, slot, link);
}

/* --- rounds and ticks --- */

static void count(struct apply_role *role) {
    const struct mvcc_counts *now = &role->mvcc.counts;
    const struct mvcc_counts *before = &role->counted;
    metric_add(METRIC_ETCD_MVCC_PUT_TOTAL, now->puts - before->puts);
    metric_add(METRIC_ETCD_MVCC_DELETE_TOTAL, now->deletes - before->deletes);
    metric_add(METRIC_ETCD_MVCC_TXN_TOTAL, now->txns - before->txns);
    metric_add(METRIC_ETCD_MVCC_RANGE_TOTAL, now->ranges - before->ranges);
    metric_add(METRIC_ETCD_DEBUGGING_MVCC_RANGE_TOTAL, now->ranges - before->ranges);
    metric_add(METRIC_ETCD_DEBUGGING_LEASE_GRANTED_TOTAL, now->leases_granted - before->leases_granted);
    metric_add(METRIC_ETCD_DEBUGGING_LEASE_REVOKED_TOTAL, now->leases_revoked - before->leases_revoked);
    role->counted = *now;
    struct lessor_counts leases = lessor_counts(role->lessor);
    metric_add(METRIC_ETCD_DEBUGGING_LEASE_RENEWED_TOTAL, leases.renewed - role->lessor_counted.renewed);
    metric_add(METRIC_ETCD_DEBUGGING_SERVER_LEASE_EXPIRED_TOTAL,
               leases.expired - role->lessor_counted.expired);
    role->lessor_counted = leases;
    metric_set(METRIC_ETCD_SERVER_PROPOSALS_APPLIED_TOTAL, (int64_t)role->mvcc.index);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_CURRENT_REVISION, role->mvcc.revision);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_COMPACT_REVISION, role->mvcc.compacted);
    metric_set(METRIC_ETCD_DEBUGGING_MVCC_TOTAL_PUT_SIZE_IN_BYTES, (int64_t)now->put_bytes);
}

static void count_sizes(struct apply_role *role) {
    if (role->now_us < role->sizes_at_us)
        return;
    role->sizes_at_us = role->now_us + SIZES_INTERVAL_US;
    struct store_sizes sizes = role->options.store->operations->sizes(role->options.store);
    metric_set(METRIC_ETCD_MVCC_DB_TOTAL_SIZE_IN_BYTES, (int64_t)sizes.total);
    metric_set(METRIC_ETCD_MVCC_DB_TOTAL_SIZE_IN_USE_IN_BYTES, (int64_t)sizes.in_use);
    metric_set(METRIC_ETCD_SERVER_QUOTA_BACKEND_BYTES, (int64_t)role->options.quota_bytes);
}

static void flush_link(struct bus_link *link) {
    if (link != NULL)
        bus_link_flush(link);
}

static void report_progress(struct apply_role *role) {
    struct bus_progress progress = {.applied = role->mvcc.index, .durable = role->durable};
    if (role->raft == NULL || !bus_link_is_up(role->raft) ||
        (progress.applied == role->reported.applied && progress.durable == role->reported.durable))
        return;
    bus_put_progress(role->raft, &progress);
    role->reported = progress;
}

/* Writes the batch, and says how long that took, and the round's entries as a whole. */
static void commit_round(struct apply_role *role) {
    if (role->round_began_us == 0) {
        mvcc_commit(&role->mvcc);
        return;
    }
    uint64_t executed_us = role->options.clock_us();
    mvcc_commit(&role->mvcc);
    uint64_t written_us = role->options.clock_us();
    uint64_t took_us = written_us - role->round_began_us;
    lessor_took(role->lessor, took_us);
    maintenance_took(&role->maintenance, took_us);
    metric_observe_us(METRIC_ETCD_DISK_BACKEND_COMMIT_DURATION_SECONDS, written_us - executed_us);
    metric_observe_us(METRIC_ETCD_SERVER_APPLY_DURATION_SECONDS, took_us);
    role->round_began_us = 0;
    if (took_us < SLOW_ROUND_US)
        return;
    metric_add(METRIC_ETCD_SERVER_SLOW_APPLY_TOTAL, 1);
    LOG_WARN("apply request took too long", F_U64("took-ms", took_us / 1000),
             F_U64("write-ms", (written_us - executed_us) / 1000), F_U64("applied-index", role->mvcc.index));
}

void apply_role_end_round(struct apply_role *role, uint64_t now_us) {
    role->now_us = now_us;
    maintenance_begin_write(&role->maintenance, now_us);
    commit_round(role);
    maintenance_end_write(&role->maintenance);
    if (role->raft_met && role->mvcc.index >= role->replay_until) {
        reads_serve(role->reads);
        publisher_answer(role->publisher);
    }
    lessor_lead(role->lessor, leadership_holds(&role->leadership, role->mvcc.index, role->mvcc.term),
                role->leadership.term);
    lessor_advance(role->lessor, now_us);
    reads_run(role->reads);
    lessor_finish(role->lessor);
    if (lessor_is_busy(role->lessor))
        reads_nudge(role->reads);
    report_progress(role);
    for (int slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        flush_link(role->proxies[slot]);
    flush_link(role->raft);
    flush_link(role->maint);
}

static bool flush_due(const struct apply_role *role) {
    return role->flush_entries > 0 &&
           (role->flush_bytes >= role->options.flush_bytes ||
            role->flush_entries >= role->options.flush_entries ||
            role->now_us - role->flush_began_us >= role->options.flush_interval_us);
}

static void flush_store(struct apply_role *role) {
    mvcc_commit(&role->mvcc);
    if (!role->options.store->operations->flush(role->options.store))
        return;
    role->flush_bytes = role->flush_entries = 0;
    role->flush_began_us = role->now_us;
    maintenance_flush_begun(&role->maintenance);
}

void apply_role_tick(struct apply_role *role, uint64_t now_us) {
    role->now_us = now_us;
    reads_expire(role->reads, now_us);
    publisher_tick(role->publisher);
    if (flush_due(role) || maintenance_wants_flush(&role->maintenance))
        flush_store(role);
    if (role->durable < role->mvcc.index)
        role->durable = mvcc_durable_index(&role->mvcc);
    maintenance_tick(&role->maintenance, now_us);
    count(role);
    count_sizes(role);
}

/* --- jobs --- */

struct apply_job *apply_role_take_job(struct apply_role *role) {
    return reads_take_job(role->reads);
}

void apply_role_job_done(struct apply_role *role, struct apply_job *job) {
    if (job->kind == JOB_CHECKPOINT)
        maintenance_job_done(&role->maintenance, job);
    else
        reads_job_done(role->reads, job);
}

struct apply_state apply_role_state(const struct apply_role *role) {
    return (struct apply_state){.index = role->mvcc.index,
                                .term = role->mvcc.term,
                                .durable = role->durable,
                                .revision = role->mvcc.revision,
                                .compacted = role->mvcc.compacted,
                                .member = role->member,
                                .jobs = reads_job_count(role->reads)};
}
