/* maint_role: see maint_role.h. */
#include "maint/maint_role.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/metrics.h"

#define SECOND UINT64_C(1000000)
static const uint64_t between_checks_us = 24 * 3600 * SECOND;
static const uint64_t after_failure_us = 3600 * SECOND;

enum phase {
    PHASE_IDLE,
    PHASE_ASKED,    /* apply is making the checkpoint */
    PHASE_TO_CHECK, /* there is work for the taker */
    PHASE_CHECKING, /* the taker has it */
};

struct maint_role {
    struct bus_link *raft, *apply, *proxies[BUS_PROXY_SLOTS];
    struct bus_raft_state raft_state;
    char work_directory[4000];
    uint64_t incarnation, counter;
    enum phase phase;
    uint64_t due_us, asked_us;
    uint64_t id; /* of the checkpoint under way */
    bool failed; /* of the checkpoint under way: apply has said so */
    struct maint_work work;
    struct maint_state state;
    uint64_t now_us; /* of the last tick, round or call */
};

struct maint_role *maint_role_new(const char *work_directory, uint64_t incarnation, uint64_t now_us) {
    struct maint_role *role = must_zalloc(sizeof *role);
    REQUIRE(strlen(work_directory) < sizeof role->work_directory);
    strcpy(role->work_directory, work_directory);
    role->incarnation = incarnation;
    role->now_us = now_us;
    role->due_us = now_us + MAINT_FIRST_CHECK_US;
    return role;
}

void maint_role_free(struct maint_role *role) {
    free(role);
}

bool maint_role_request_checkpoint(struct maint_role *role, uint64_t now_us) {
    if (role->phase != PHASE_IDLE || role->apply == NULL || bus_link_room(role->apply) == 0)
        return false;
    /* A name never used before: apply may still be busy with a checkpoint that was given up. */
    role->id = ++role->counter;
    role->work = (struct maint_work){0};
    snprintf(role->work.directory, sizeof role->work.directory, "%s/check-%" PRIx64 "-%" PRIu64,
             role->work_directory, role->incarnation, role->id);
    struct bus_checkpoint request = {.id = role->id, .directory = bytes_from_text(role->work.directory)};
    if (!bus_put_checkpoint(role->apply, BUS_MAINT_CHECKPOINT, &request))
        return false;
    role->phase = PHASE_ASKED;
    role->failed = false;
    role->asked_us = now_us;
    role->state.requested++;
    return true;
}

/* The checkpoint under way will not be answered: what there may be of it is removed, and we try again. */
static void give_up(struct maint_role *role, const char *why) {
    LOG_INFO("gave up a checkpoint", F_STR("why", why));
    role->work.index = 0;
    role->phase = PHASE_TO_CHECK;
}

static void checkpoint_answered(struct maint_role *role, const struct bus_checkpoint *answer) {
    if (role->phase != PHASE_ASKED || answer->id != role->id)
        return;
    role->phase = PHASE_TO_CHECK;
    role->work.index = answer->status == 0 ? answer->index : 0;
    role->failed = answer->status != 0;
    if (role->failed)
        LOG_ERROR("apply could not make a checkpoint", F_BYTES("error", answer->directory));
}

static void apply_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct bus_checkpoint answer;
    if (record->kind != BUS_APPLY_CHECKPOINT || !bus_get_checkpoint(record, &answer)) {
        bus_link_reset(link, "not a record for maint");
        return;
    }
    checkpoint_answered(context, &answer);
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

static void apply_down(void *context, struct bus_link *link) {
    struct maint_role *role = context;
    (void)link;
    if (role->phase == PHASE_ASKED)
        give_up(role, "apply is gone");
}

static void greet(void *context, struct bus_hello *hello) {
    const struct maint_role *role = context;
    hello->node = role->raft_state.member;
    hello->cluster = role->raft_state.cluster;
}

struct bus_handler maint_role_raft_handler(struct maint_role *role) {
    return (struct bus_handler){.greet = greet, .up = link_up, .record = raft_record, .context = role};
}

struct bus_handler maint_role_apply_handler(struct maint_role *role) {
    return (struct bus_handler){
        .greet = greet, .up = link_up, .down = apply_down, .record = apply_record, .context = role};
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

void maint_role_tick(struct maint_role *role, uint64_t now_us) {
    role->now_us = now_us;
    if (role->phase == PHASE_ASKED && now_us - role->asked_us > MAINT_ANSWER_US)
        give_up(role, "no answer");
    if (role->phase == PHASE_IDLE && now_us >= role->due_us)
        maint_role_request_checkpoint(role, now_us);
}

static void flush(struct bus_link *link) {
    if (link != NULL)
        bus_link_flush(link);
}

void maint_role_end_round(struct maint_role *role, uint64_t now_us) {
    role->now_us = now_us;
    flush(role->raft);
    flush(role->apply);
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        flush(role->proxies[slot]);
}

bool maint_role_take_work(struct maint_role *role, struct maint_work *work) {
    if (role->phase != PHASE_TO_CHECK)
        return false;
    role->phase = PHASE_CHECKING;
    *work = role->work;
    return true;
}

void maint_role_work_done(struct maint_role *role, uint64_t found, uint64_t now_us) {
    REQUIRE(role->phase == PHASE_CHECKING);
    role->phase = PHASE_IDLE;
    if (role->work.index == 0 && !role->failed) {
        role->due_us = now_us + MAINT_FIRST_CHECK_US; /* it was given up */
        return;
    }
    if (!role->failed && found == role->work.index) {
        role->state.verified++;
        metric_add(METRIC_QUORATE_CHECKPOINTS_TOTAL, 1);
        LOG_INFO("checkpoint made, read back and removed", F_U64("index", found),
                 F_U64("took-ms", (now_us - role->asked_us) / 1000));
        role->due_us = now_us + between_checks_us;
        return;
    }
    role->state.failed++;
    metric_add(METRIC_QUORATE_CHECKPOINT_FAILURES_TOTAL, 1);
    LOG_ERROR("a checkpoint failed", F_U64("expected-index", role->work.index), F_U64("found-index", found));
    role->due_us = now_us + after_failure_us;
}

struct maint_state maint_role_state(const struct maint_role *role) {
    return role->state;
}
