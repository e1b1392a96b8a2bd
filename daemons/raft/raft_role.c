/* raft_role: see raft_role.h. Making, ticking, the end of a round, and what the environment may look at. */
#include "raft/raft_role.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/request.h"
#include "raft/role_state.h"

struct raft_role *raft_role_new(const struct raft_role_options *options) {
    REQUIRE(options->proxies <= BUS_PROXY_SLOTS && options->heartbeat_ms > 0);
    struct raft_role *role = must_zalloc(sizeof *role);
    role->options = *options;
    if (role->options.cache_bytes == 0)
        role->options.cache_bytes = RAFT_CACHE_BYTES;
    if (role->options.release_bytes == 0)
        role->options.release_bytes = WAL_SEGMENT_BYTES;
    role->client_urls = must_strdup(options->client_urls == NULL ? "" : options->client_urls);
    role->options.client_urls = role->client_urls;
    if (options->bootstrap != NULL)
        role->bootstrap = *options->bootstrap;
    role->membership.cluster = options->cluster;
    unsigned election_ticks = options->election_ms / options->heartbeat_ms;
    role->core = raft_core_new(&(struct raft_core_options){
        .id = options->member,
        .heartbeat_ticks = 1,
        .election_ticks = election_ticks < 2 ? 2 : election_ticks,
        .pre_vote = options->pre_vote,
        .seed = options->seed,
        .cache_bytes = role->options.cache_bytes,
    });
    role->log = raft_core_log(role->core);
    read_queue_init(&role->reads, RAFT_READ_QUEUE_BYTES);
    return role;
}

void raft_role_free(struct raft_role *role) {
    role_forget_changes(role, 0);
    free(role->changes);
    read_queue_free(&role->reads);
    free(role->fetch.entries);
    buffer_free(&role->fetch.data);
    free(role->batch);
    buffer_free(&role->conf_state);
    raft_core_free(role->core);
    free(role->client_urls);
    free(role);
}

/* The first reason is the one that counts. */
void role_fail(struct raft_role *role, const char *format, ...) {
    size_t room = role->failure[0] == '\0' ? sizeof role->failure : 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(role->failure, room, format, arguments);
    va_end(arguments);
}

const char *raft_role_failure(const struct raft_role *role) {
    return role->failure[0] == '\0' ? NULL : role->failure;
}

void role_note_id(struct raft_role *role, uint64_t id) {
    unsigned slot = bus_id_slot(id);
    if (id != 0 && bus_id_member(id) == (uint16_t)role->options.member && slot < BUS_PROXY_SLOTS &&
        (role->largest_id[slot] == 0 || bus_counter_after(id, role->largest_id[slot])))
        role->largest_id[slot] = id;
}

void role_note_entry(struct raft_role *role, uint64_t index, uint16_t type, struct bytes data) {
    struct internal_request request;
    if (type != RAFT_ENTRY_NORMAL)
        role_remember_change(role, index, data);
    else if (data.length > 0 && internal_request_decode(data, &request))
        role_note_id(role, request.id);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static void sample_lag(struct raft_role *role) {
    const struct lag_sample *newest = &role->lag[(role->lag_next + LAG_SAMPLES - 1) % LAG_SAMPLES];
    if (newest->time_us != 0 && role->now_us - newest->time_us < LAG_SPACING_US)
        return;
    role->lag[role->lag_next] =
        (struct lag_sample){.time_us = role->now_us, .commit = raft_core_commit(role->core)};
    role->lag_next = (role->lag_next + 1) % LAG_SAMPLES;
}

void raft_role_tick(struct raft_role *role, uint64_t now_us) {
    role->now_us = now_us;
    if (now_us >= role->next_core_tick_us) {
        /* One tick at most: after a pause of ours nobody else's time has run out. */
        role->next_core_tick_us = now_us + (uint64_t)role->options.heartbeat_ms * 1000;
        raft_core_tick(role->core);
    }
    sample_lag(role);
    if (role->reads.count > 0)
        read_queue_drop_expired(&role->reads, now_us);
}

/* --- the end of a round --------------------------------------------------------------------------------- */

struct bus_raft_state role_raft_state(const struct raft_role *role) {
    static const uint16_t roles[] = {
        [CORE_FOLLOWER] = RAFT_FOLLOWER,
        [CORE_PRE_CANDIDATE] = RAFT_CANDIDATE,
        [CORE_CANDIDATE] = RAFT_CANDIDATE,
        [CORE_LEADER] = RAFT_LEADER,
    };
    const struct member *own = membership_find(&role->membership, role->options.member);
    return (struct bus_raft_state){
        .role = own != NULL && own->learner ? RAFT_LEARNER : roles[raft_core_role(role->core)],
        .term = raft_core_term(role->core),
        .leader = raft_core_leader(role->core),
        .commit = raft_core_commit(role->core),
        .member = role->options.member,
        .cluster = role->options.cluster,
        .apply_losses = role->apply_losses,
    };
}

/* Tells everybody when role, term or leader have changed, or reads were lost with the link to apply. */
static void announce(struct raft_role *role) {
    struct bus_raft_state state = role_raft_state(role);
    struct bus_raft_state *known = &role->announced;
    if (state.role == known->role && state.term == known->term && state.leader == known->leader &&
        state.apply_losses == known->apply_losses)
        return;
    if (state.leader != known->leader && state.leader != 0)
        role->leader_changes++;
    *known = state;
    for (unsigned slot = 0; slot < role->options.proxies; slot++) {
        if (role->proxies[slot].link != NULL)
            bus_put_raft_state(role->proxies[slot].link, &state);
    }
    if (role->apply_up)
        bus_put_raft_state(role->apply, &state);
    if (role->maint != NULL)
        bus_put_raft_state(role->maint, &state);
    role_ask_again(role);
}

/* Pressure of the disk or of apply travels back to the proxies. */
static void hold_proxies(struct raft_role *role) {
    bool apply_full = role->apply_up && bus_link_room(role->apply) == 0;
    bool hold = apply_full || role_unpersisted_bytes(role) > RAFT_UNPERSISTED_LIMIT;
    for (unsigned slot = 0; slot < role->options.proxies; slot++) {
        struct proxy_end *end = &role->proxies[slot];
        if (end->link != NULL && end->held != hold) {
            end->held = hold;
            bus_link_hold(end->link, hold);
        }
    }
}

static void flush_links(struct raft_role *role) {
    if (role->apply != NULL)
        bus_link_flush(role->apply);
    for (unsigned slot = 0; slot < role->options.proxies; slot++) {
        if (role->proxies[slot].link != NULL)
            bus_link_flush(role->proxies[slot].link);
    }
    if (role->maint != NULL)
        bus_link_flush(role->maint);
}

void raft_role_end_round(struct raft_role *role) {
    role_apply_changes(role);
    announce(role);
    role_stream(role);
    role_advance_reads(role);
    hold_proxies(role);
    flush_links(role);
}

/* --- what the environment looks at ---------------------------------------------------------------------- */

struct raft_role_status raft_role_status(const struct raft_role *role) {
    struct bus_raft_state state = role_raft_state(role);
    return (struct raft_role_status){
        .role = state.role,
        .term = state.term,
        .leader = state.leader,
        .commit = state.commit,
        .last = role->log->last,
        .durable = raft_core_durable(role->core),
        .base = role->log->base_index,
        .applied = role->applied,
        .apply_durable = role->apply_durable,
        .leader_changes = role->leader_changes,
        .proposals = role->proposals,
        .proposals_refused = role->proposals_refused,
        .proposals_dropped = role->proposals_dropped,
        .reads_waiting = role->reads.count,
        .apply_up = role->apply_up,
    };
}

const struct membership *raft_role_membership(const struct raft_role *role) {
    return &role->membership;
}
