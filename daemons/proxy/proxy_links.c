/* proxy_links: what raft, apply and maint say to the proxy's role, and what it does when they are gone. */
#include "proxy/proxy_role_state.h"
#include "proxy/watch/hub.h"

/*
 * Where a clock that was set back leaves us behind the largest id raft knows, we go on so far beyond it.
 * Reads are not in the log, so a raft that was restarted too has forgotten the last ones, and an answer to
 * one of them may still be on its way to our predecessor.
 */
enum { ID_MARGIN = 1 << 30 };

static void see_term(struct proxy_role *role, uint64_t term) {
    if (term > role->view.term)
        role->view.term = term;
}

static void see_peer(struct proxy_role *role, const struct bus_hello *peer) {
    if (peer->node != 0)
        role->view.member = peer->node;
    if (peer->cluster != 0)
        role->view.cluster = peer->cluster;
    see_term(role, peer->term);
}

static void greet(void *context, struct bus_hello *hello) {
    const struct proxy_role *role = context;
    hello->node = role->view.member;
    hello->cluster = role->view.cluster;
    hello->term = role->view.term;
}

static void greet_raft(void *context, struct bus_hello *hello) {
    const struct proxy_role *role = context;
    greet(context, hello);
    hello->position = bus_request_id(role->view.member, role->config.slot, role->counter);
}

static void greet_apply(void *context, struct bus_hello *hello) {
    const struct proxy_role *role = context;
    greet(context, hello);
    hello->position = role->view.revision;
}

/* Calls whose outcome the new raft process can't know of: their ids are not in its log. */
static void end_lost_writes(struct proxy_role *role, uint64_t largest_id) {
    for (size_t i = 0; i < role->calls.capacity; i++) {
        struct proxy_call *call = role->calls.entries[i].call;
        uint64_t id = role->calls.entries[i].id;
        bool known = largest_id != 0 && !bus_counter_after(id, largest_id);
        if (id == 0 || call_is_read(call) || known)
            continue;
        call->end_status = STATUS_TIMEOUT_LEADER_FAILED;
        timer_expire(&role->timers, call);
    }
    role_end_expired(role);
}

static void raft_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    (void)link;
    struct proxy_role *role = context;
    see_peer(role, peer);
    role->view.raft_up = true;
    role->raft_state_known = false;
    if (peer->largest_id != 0 && bus_counter_after(peer->largest_id, role->counter))
        role->counter = bus_id_counter(peer->largest_id + ID_MARGIN);
    if (peer->incarnation != role->raft_incarnation)
        end_lost_writes(role, peer->largest_id);
    role->raft_incarnation = peer->incarnation;
    role_drain(role);
}

static void apply_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    (void)link;
    struct proxy_role *role = context;
    see_peer(role, peer);
    role_drain(role);
}

/*
 * Reads that may have got lost with a link go back to the queue. An answer that was passed on in part comes
 * from apply: it goes on when raft is lost, and ends when apply is.
 */
static void ask_again(struct proxy_role *role, enum proxy_route spared, bool apply_lost) {
    struct proxy_call *again = NULL;
    for (size_t i = 0; i < role->calls.capacity; i++) {
        struct proxy_call *call = role->calls.entries[i].call;
        if (role->calls.entries[i].id == 0 || !call_is_read(call) || call->route == spared)
            continue;
        if (call->state == CALL_STREAMING) {
            if (apply_lost) {
                call->end_status = STATUS_STOPPED;
                timer_expire(&role->timers, call);
            }
        } else if (call->timer_slot != TIMER_EXPIRED) {
            call->next = again;
            again = call;
        }
    }
    while (again != NULL) {
        struct proxy_call *call = again;
        again = call->next;
        id_table_remove(&role->calls, call->id);
        role_enqueue(role, call);
    }
    role_end_expired(role);
}

static void raft_down(void *context, struct bus_link *link) {
    (void)link;
    struct proxy_role *role = context;
    role->view.raft_up = false;
    role->view.leader = 0;
    ask_again(role, PROXY_SERIALIZABLE_READ, false);
}

/* Writes with a limit of their own wait for work that apply does beside the log: nobody does it any longer.
 */
static void shorten_limits(struct proxy_role *role) {
    uint64_t latest = role->timers.now_us + role->config.timeout_us;
    for (size_t i = 0; i < role->calls.capacity; i++) {
        struct proxy_call *call = role->calls.entries[i].call;
        if (role->calls.entries[i].id == 0 || call->limit_us == 0 || call->expires_us <= latest ||
            call->timer_slot == TIMER_EXPIRED)
            continue;
        timer_remove(&role->timers, call);
        call->expires_us = latest;
        timer_add(&role->timers, call);
    }
}

static void apply_down(void *context, struct bus_link *link) {
    (void)link;
    struct proxy_role *role = context;
    role->view.apply_up = false;
    shorten_limits(role);
    hub_apply_down(role->watch);
    ask_again(role, PROXY_CLUSTER, true);
}

static void room(void *context, struct bus_link *link) {
    (void)link;
    role_drain(context);
}

static void take_result(struct proxy_role *role, const struct bus_record *record) {
    struct bus_result part;
    if (!bus_get_result(record, &part))
        return;
    see_term(role, part.term);
    if (part.revision > role->view.revision)
        role->view.revision = part.revision;
    struct proxy_call *call = id_table_find(&role->calls, part.id);
    if (call == NULL) {
        /* Nobody will ever say that it was taken, and apply would hold the rest for ever. */
        if (part.more)
            bus_put_cancel(role->apply, part.id);
        return;
    }
    struct proxy_result result = {.status = part.status,
                                  .first = call->state != CALL_STREAMING,
                                  .more = part.more && part.status == STATUS_OK,
                                  .header = part.header,
                                  .revision = part.revision,
                                  .total = part.total,
                                  .body = part.body};
    if (!result.more) {
        role_forget(role, call);
    } else if (result.first) {
        /* The server's limit is for getting an answer; how fast the client takes it is its own affair. */
        call->state = CALL_STREAMING;
        timer_remove(&role->timers, call);
        if (call->deadline_us != 0) {
            call->expires_us = call->deadline_us;
            timer_add(&role->timers, call);
        }
    }
    call->result(call, &result);
}

static void raft_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct proxy_role *role = context;
    struct bus_raft_state state;
    switch (record->kind) {
    case BUS_RAFT_RESULT:
    case BUS_RAFT_REFUSED:
        take_result(role, record);
        break;
    case BUS_RAFT_STATE:
        if (!bus_get_raft_state(record, &state))
            break;
        see_term(role, state.term);
        role->view.leader = state.leader;
        role->view.raft_role = state.role;
        if (state.member != 0)
            role->view.member = state.member;
        if (state.cluster != 0)
            role->view.cluster = state.cluster;
        /* Raft has lost apply, and with it reads of ours, though we may have lost neither. */
        if (role->raft_state_known && state.apply_losses != role->apply_losses)
            ask_again(role, PROXY_SERIALIZABLE_READ, false);
        role->apply_losses = state.apply_losses;
        role->raft_state_known = true;
        role_drain(role);
        break;
    default:
        bus_link_reset(link, "a record that does not belong here");
    }
}

static void apply_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct proxy_role *role = context;
    struct bus_events events;
    struct bus_watch_answer answer;
    switch (record->kind) {
    case BUS_APPLY_EVENTS:
        if (bus_get_events(record, &events))
            hub_events(role->watch, &events);
        else
            bus_link_reset(link, "malformed events");
        break;
    case BUS_APPLY_WATCH:
        if (bus_get_watch_answer(record, &answer))
            hub_answer(role->watch, &answer);
        else
            bus_link_reset(link, "malformed watch answer");
        break;
    case BUS_APPLY_RESULT:
        take_result(role, record);
        break;
    default:
        bus_link_reset(link, "a record that does not belong here");
    }
    /* Its first word: now apply knows us, and answers to what goes through raft will reach us. */
    if (!role->view.apply_up && bus_link_is_up(link)) {
        role->view.apply_up = true;
        hub_apply_up(role->watch);
        role_drain(role);
    }
}

static void maint_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    (void)link;
    struct proxy_role *role = context;
    see_peer(role, peer);
    role->view.maint_up = true;
}

static void maint_down(void *context, struct bus_link *link) {
    (void)link;
    ((struct proxy_role *)context)->view.maint_up = false;
}

static void maint_record(void *context, struct bus_link *link, const struct bus_record *record) {
    (void)context;
    (void)record;
    bus_link_reset(link, "a record that does not belong here");
}

struct bus_handler proxy_role_handler(struct proxy_role *role, enum bus_role peer) {
    switch (peer) {
    case BUS_ROLE_RAFT:
        return (struct bus_handler){.greet = greet_raft,
                                    .up = raft_up,
                                    .down = raft_down,
                                    .record = raft_record,
                                    .room = room,
                                    .context = role};
    case BUS_ROLE_APPLY:
        return (struct bus_handler){.greet = greet_apply,
                                    .up = apply_up,
                                    .down = apply_down,
                                    .record = apply_record,
                                    .room = room,
                                    .context = role};
    default:
        return (struct bus_handler){
            .greet = greet, .up = maint_up, .down = maint_down, .record = maint_record, .context = role};
    }
}
