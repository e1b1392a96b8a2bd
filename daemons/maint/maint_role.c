/* maint_role: see maint_role.h. */
#include "maint/maint_role.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/request.h"
#include "common/wire.h"
#include "maint/compaction_task.h"

#define SECOND UINT64_C(1000000)
static const uint64_t between_checks_us = 24 * 3600 * SECOND;
static const uint64_t after_failure_us = 3600 * SECOND;

enum { COMPACTION_REVISION = 1 }; /* field of CompactionRequest */

enum phase {
    PHASE_IDLE,
    PHASE_ASKED,   /* apply is making the checkpoint */
    PHASE_READY,   /* there is a slice of work for the taker */
    PHASE_TAKEN,   /* the taker has it */
    PHASE_PAUSED,  /* a plan goes on when apply has carried out some of it */
    PHASE_PLANNED, /* the whole plan was sent */
};

struct maint_role {
    struct bus_link *raft, *apply, *proxies[BUS_PROXY_SLOTS];
    struct bus_raft_state raft_state;
    struct bus_apply_state apply_state;
    bool apply_known; /* apply_state is its present one */
    char work_directory[MAINT_PATH - 96];
    uint64_t incarnation, counter;
    enum phase phase;
    bool given_up;               /* what is under way: there is only the checkpoint to be removed */
    bool refused;                /* apply made no checkpoint */
    enum maint_work_kind wanted; /* CHECK or PLAN: what it was asked for */
    uint64_t due_us;             /* of the next check */
    uint64_t asked_us;
    uint64_t heard_us;      /* from apply, of the plan */
    uint64_t id;            /* of the checkpoint under way */
    char stale[MAINT_PATH]; /* a checkpoint given up that apply may have made since; "": none */
    struct maint_work work;
    struct compaction_task compaction;
    struct auto_compaction auto_compaction;
    struct maint_state state;
    uint64_t now_us; /* of the last tick, round or call */
};

struct maint_role *maint_role_new(const struct maint_options *options, uint64_t now_us) {
    struct maint_role *role = must_zalloc(sizeof *role);
    REQUIRE(strlen(options->work_directory) < sizeof role->work_directory);
    strcpy(role->work_directory, options->work_directory);
    role->incarnation = options->incarnation;
    auto_compaction_init(&role->auto_compaction, &options->auto_compaction, now_us);
    role->now_us = now_us;
    role->due_us = now_us + MAINT_FIRST_CHECK_US;
    return role;
}

void maint_role_free(struct maint_role *role) {
    maint_work_free(&role->work);
    auto_compaction_free(&role->auto_compaction);
    free(role);
}

/* --- asking --- */

static bool ask(struct maint_role *role, enum maint_work_kind wanted) {
    if (role->phase != PHASE_IDLE || role->apply == NULL || bus_link_room(role->apply) == 0)
        return false;
    /* A name never used before: apply may still be busy with a checkpoint that was given up. */
    role->id = ++role->counter;
    maint_work_free(&role->work);
    role->work = (struct maint_work){.kind = wanted};
    snprintf(role->work.directory, sizeof role->work.directory, "%s/%s-%" PRIx64 "-%" PRIu64,
             role->work_directory, wanted == WORK_PLAN ? "compact" : "check", role->incarnation, role->id);
    struct bus_checkpoint request = {.id = role->id, .directory = bytes_from_text(role->work.directory)};
    enum bus_kind kind = wanted == WORK_PLAN ? BUS_MAINT_COMPACT : BUS_MAINT_CHECKPOINT;
    if (!bus_put_checkpoint(role->apply, kind, &request))
        return false;
    role->wanted = wanted;
    role->phase = PHASE_ASKED;
    role->given_up = role->refused = false;
    role->asked_us = role->now_us;
    return true;
}

bool maint_role_request_checkpoint(struct maint_role *role, uint64_t now_us) {
    role->now_us = now_us;
    if (!ask(role, WORK_CHECK))
        return false;
    role->state.requested++;
    return true;
}

static void begin_what_is_due(struct maint_role *role) {
    if (role->phase != PHASE_IDLE)
        return;
    if (compaction_task_is_due(&role->compaction, role->now_us) && ask(role, WORK_PLAN))
        compaction_task_begin(&role->compaction, role->now_us);
    else if (role->now_us >= role->due_us)
        maint_role_request_checkpoint(role, role->now_us);
}

/* --- the end --- */

static void end_check(struct maint_role *role) {
    const struct maint_work *work = &role->work;
    if (role->given_up) {
        role->due_us = role->now_us + MAINT_FIRST_CHECK_US;
        return;
    }
    if (role->refused || work->failed) {
        role->state.failed++;
        metric_add(METRIC_QUORATE_CHECKPOINT_FAILURES_TOTAL, 1);
        role->due_us = role->now_us + after_failure_us;
        return;
    }
    role->state.verified++;
    metric_add(METRIC_QUORATE_CHECKPOINTS_TOTAL, 1);
    LOG_INFO("checkpoint made, read back and removed", F_U64("index", work->index),
             F_U64("took-ms", (role->now_us - role->asked_us) / 1000));
    role->due_us = role->now_us + between_checks_us;
}

static void end_compaction(struct maint_role *role) {
    bool failed = role->given_up || role->refused || role->work.failed;
    compaction_task_end(&role->compaction, failed, role->now_us);
    role->state.compactions += !failed;
    role->state.compaction_failures += failed;
}

static void end(struct maint_role *role) {
    role->phase = PHASE_IDLE;
    if (role->wanted == WORK_PLAN)
        end_compaction(role);
    else
        end_check(role);
    begin_what_is_due(role);
}

/* What there may be of the checkpoint is removed, then it is over. */
static void give_up(struct maint_role *role, const char *why) {
    if (role->phase == PHASE_IDLE || role->given_up)
        return;
    LOG_INFO("gave up a checkpoint", F_STR("directory", role->work.directory), F_STR("why", why));
    role->given_up = true;
    if (role->phase == PHASE_ASKED)
        strcpy(role->stale, role->work.directory);
    if (role->phase == PHASE_PLANNED) {
        end(role);
    } else if (role->phase != PHASE_TAKEN) {
        role->work.kind = WORK_REMOVE;
        role->phase = PHASE_READY;
    }
}

/* --- apply --- */

static void checkpoint_answered(struct maint_role *role, const struct bus_checkpoint *answer) {
    if (role->phase != PHASE_ASKED || answer->id != role->id)
        return;
    role->phase = PHASE_READY;
    role->refused = answer->status != 0;
    if (role->refused) {
        LOG_ERROR("apply could not make a checkpoint", F_BYTES("error", answer->directory));
        role->work.kind = WORK_REMOVE;
        return;
    }
    role->work.index = answer->index;
    role->work.compacted = role->compaction.revision = answer->compact_revision;
    role->work.physical = role->compaction.apply.physical;
    /* What was given up before is complete by now: apply makes one at a time. */
    strcpy(role->work.stale, role->stale);
    role->stale[0] = '\0';
}

/* Goes on when apply is not too far behind. */
static void pace_plan(struct maint_role *role) {
    bool room = compaction_task_has_room(&role->compaction) && bus_link_room(role->apply) > 0;
    role->phase = room ? PHASE_READY : PHASE_PAUSED;
}

static void plan_answered(struct maint_role *role, const struct bus_plan *answer) {
    bool under_way = role->phase != PHASE_IDLE && role->phase != PHASE_ASKED && role->wanted == WORK_PLAN;
    if (!under_way || answer->id != role->id || role->given_up)
        return;
    role->heard_us = role->now_us;
    if (!compaction_task_acked(&role->compaction, answer))
        give_up(role, "apply cannot carry out the plan");
    else if (role->compaction.done && role->phase == PHASE_PLANNED)
        end(role);
    else if (role->phase == PHASE_PAUSED)
        pace_plan(role);
}

static void take_state(struct maint_role *role, const struct bus_apply_state *state) {
    role->apply_state = *state;
    role->apply_known = true;
    compaction_task_told(&role->compaction, state);
}

static void apply_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct maint_role *role = context;
    struct bus_checkpoint checkpoint;
    struct bus_plan plan;
    struct bus_apply_state state;
    if (record->kind == BUS_APPLY_CHECKPOINT && bus_get_checkpoint(record, &checkpoint))
        checkpoint_answered(role, &checkpoint);
    else if (record->kind == BUS_APPLY_PLANNED && bus_get_plan(record, &plan))
        plan_answered(role, &plan);
    else if (record->kind == BUS_APPLY_STATE && bus_get_apply_state(record, &state))
        take_state(role, &state);
    else
        bus_link_reset(link, "not a record for maint");
}

static void apply_down(void *context, struct bus_link *link) {
    struct maint_role *role = context;
    (void)link;
    role->apply_known = role->compaction.known = false;
    give_up(role, "apply is gone");
}

static void apply_room(void *context, struct bus_link *link) {
    struct maint_role *role = context;
    (void)link;
    if (role->phase == PHASE_PAUSED)
        pace_plan(role);
}

/* --- the other links --- */

/* Whatever it was, we do not know it any more. */
static void raft_down(void *context, struct bus_link *link) {
    struct maint_role *role = context;
    (void)link;
    role->raft_state.role = RAFT_FOLLOWER;
}

static void raft_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct maint_role *role = context;
    if (record->kind != BUS_RAFT_STATE || !bus_get_raft_state(record, &role->raft_state))
        bus_link_reset(link, "not a record for maint");
}

static void proxy_record(void *context, struct bus_link *link, const struct bus_record *record) {
    (void)context;
    (void)record;
    bus_link_reset(link, "maint takes no requests in this release");
}

static void link_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct maint_role *role = context;
    (void)link;
    (void)peer;
    bool both = role->raft != NULL && role->apply != NULL && bus_link_is_up(role->raft) &&
                bus_link_is_up(role->apply);
    role->state.ready = role->state.ready || both;
}

static void greet(void *context, struct bus_hello *hello) {
    const struct maint_role *role = context;
    hello->node = role->raft_state.member;
    hello->cluster = role->raft_state.cluster;
}

struct bus_handler maint_role_raft_handler(struct maint_role *role) {
    return (struct bus_handler){
        .greet = greet, .up = link_up, .down = raft_down, .record = raft_record, .context = role};
}

struct bus_handler maint_role_apply_handler(struct maint_role *role) {
    return (struct bus_handler){.greet = greet,
                                .up = link_up,
                                .down = apply_down,
                                .record = apply_record,
                                .room = apply_room,
                                .context = role};
}

struct bus_handler maint_role_proxy_handler(struct maint_role *role, unsigned slot) {
    (void)slot;
    return (struct bus_handler){.greet = greet, .record = proxy_record, .context = role};
}

void maint_role_attach_raft(struct maint_role *role, struct bus_link *link) {
    role->raft = link;
}

void maint_role_attach_apply(struct maint_role *role, struct bus_link *link) {
    role->apply = link;
}

void maint_role_attach_proxy(struct maint_role *role, unsigned slot, struct bus_link *link) {
    REQUIRE(slot < BUS_PROXY_SLOTS);
    role->proxies[slot] = link;
}

/* --- rounds and ticks --- */

static bool waits_too_long(const struct maint_role *role) {
    if (role->phase == PHASE_ASKED)
        return role->now_us - role->asked_us > MAINT_ANSWER_US;
    return (role->phase == PHASE_PAUSED || role->phase == PHASE_PLANNED) &&
           role->now_us - role->heard_us > MAINT_ANSWER_US;
}

static void propose_compaction(struct maint_role *role, int64_t revision) {
    struct buffer compaction = {0};
    struct buffer request = {0};
    wire_put_int64(&compaction, COMPACTION_REVISION, revision);
    internal_request_encode(&request, &(struct internal_request){.number = INTERNAL_COMPACTION,
                                                                 .body = buffer_bytes(&compaction)});
    struct bus_proposal proposal = {.term = role->raft_state.term, .body = buffer_bytes(&request)};
    bus_put_proposal(role->raft, BUS_MAINT_PROPOSE, &proposal);
    buffer_free(&compaction);
    buffer_free(&request);
}

static void tick_auto_compaction(struct maint_role *role) {
    const struct bus_apply_state *apply = &role->apply_state;
    if (!role->apply_known)
        return;
    bool leads = role->raft_state.role == RAFT_LEADER && bus_link_room(role->raft) > 0;
    int64_t revision =
        auto_compaction_tick(&role->auto_compaction, role->now_us, apply->revision, apply->compacted, leads);
    if (revision > 0)
        propose_compaction(role, revision);
}

void maint_role_tick(struct maint_role *role, uint64_t now_us) {
    role->now_us = now_us;
    tick_auto_compaction(role);
    if (waits_too_long(role))
        give_up(role, "no answer");
    begin_what_is_due(role);
}

static void flush(struct bus_link *link) {
    if (link != NULL)
        bus_link_flush(link);
}

void maint_role_end_round(struct maint_role *role, uint64_t now_us) {
    role->now_us = now_us;
    begin_what_is_due(role);
    flush(role->raft);
    flush(role->apply);
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        flush(role->proxies[slot]);
}

/* --- work --- */

struct maint_work *maint_role_take_work(struct maint_role *role) {
    if (role->phase != PHASE_READY)
        return NULL;
    role->phase = PHASE_TAKEN;
    return &role->work;
}

static void send_piece(struct maint_role *role) {
    struct maint_work *work = &role->work;
    compaction_task_sent(&role->compaction, work->count, work->finished);
    struct bus_plan plan = {.id = role->id,
                            .items = role->compaction.sent,
                            .last = work->finished,
                            .body = buffer_bytes(&work->items)};
    if (work->count > 0 || work->finished)
        bus_put_plan(role->apply, BUS_MAINT_PLAN, &plan);
    role->heard_us = role->now_us;
}

void maint_role_work_done(struct maint_role *role, uint64_t now_us) {
    struct maint_work *work = &role->work;
    REQUIRE(role->phase == PHASE_TAKEN);
    role->now_us = now_us;
    role->phase = PHASE_READY;
    if (work->kind == WORK_PLAN && !work->failed && !role->given_up) {
        send_piece(role);
        if (work->finished)
            role->phase = PHASE_PLANNED;
        else
            pace_plan(role);
    } else if (work->finished) {
        end(role);
    } else {
        work->kind = WORK_REMOVE; /* given up meanwhile */
    }
}

struct maint_state maint_role_state(const struct maint_role *role) {
    struct maint_state state = role->state;
    state.load = role->apply_state.load;
    return state;
}
