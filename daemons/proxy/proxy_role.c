/*
 * proxy_role: see proxy_role.h.
 *
 * A call is in exactly one of these states: WAITING (in a queue, no id), SENT (in the id table) or STREAMING
 * (in the id table, a part of its answer was passed on). Its deadline is in the timer wheel in all of them.
 */
#include "proxy/proxy_role.h"

#include <stdlib.h>

#include "common/log.h"
#include "proxy/pending.h"

/*
 * Where a clock that was set back leaves us behind the largest id raft knows, we go on so far beyond it.
 * Reads are not in the log, so a raft that was restarted too has forgotten the last ones, and an answer to
 * one of them may still be on its way to our predecessor.
 */
enum { ID_MARGIN = 1 << 30 };

enum call_state { CALL_WAITING = 1, CALL_SENT, CALL_STREAMING };

/* Which links a route needs: one queue of waiting calls for each. */
enum queue { QUEUE_BOTH, QUEUE_APPLY, QUEUE_RAFT, QUEUE_COUNT };

struct call_queue {
    struct proxy_call *head, *tail;
};

struct proxy_role {
    struct proxy_role_config config;
    struct bus_link *raft, *apply, *maint;
    struct id_table calls;
    struct timer_wheel timers;
    struct call_queue queues[QUEUE_COUNT];
    size_t pending;
    size_t waiting_bytes;
    uint64_t counter;          /* of the last id given */
    uint64_t raft_incarnation; /* of the last raft process we had a link to */
    uint64_t apply_losses;     /* as raft said last */
    bool raft_state_known;     /* it has said so on this connection */
    struct proxy_view view;
    struct buffer scratch; /* the InternalRaftRequest being built */
};

struct proxy_role *proxy_role_new(const struct proxy_role_config *config) {
    struct proxy_role *role = must_zalloc(sizeof *role);
    role->config = *config;
    role->counter = bus_id_counter(config->id_seed);
    return role;
}

void proxy_role_free(struct proxy_role *role) {
    id_table_free(&role->calls);
    buffer_free(&role->scratch);
    free(role);
}

void proxy_role_attach(struct proxy_role *role, struct bus_link *raft, struct bus_link *apply,
                       struct bus_link *maint) {
    role->raft = raft;
    role->apply = apply;
    role->maint = maint;
}

/* --- queues of waiting calls --- */

static struct call_queue *queue_of(struct proxy_role *role, const struct proxy_call *call) {
    switch (call->route) {
    case PROXY_SERIALIZABLE_READ:
        return &role->queues[QUEUE_APPLY];
    case PROXY_CLUSTER:
        return &role->queues[QUEUE_RAFT];
    default:
        return &role->queues[QUEUE_BOTH];
    }
}

static void enqueue(struct proxy_role *role, struct proxy_call *call) {
    struct call_queue *queue = queue_of(role, call);
    call->state = CALL_WAITING;
    call->id = 0;
    call->next = NULL;
    call->previous = queue->tail;
    if (queue->tail != NULL)
        queue->tail->next = call;
    else
        queue->head = call;
    queue->tail = call;
    role->waiting_bytes += call->body.length;
}

static void dequeue(struct proxy_role *role, struct proxy_call *call) {
    struct call_queue *queue = queue_of(role, call);
    if (call->next != NULL)
        call->next->previous = call->previous;
    else
        queue->tail = call->previous;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        queue->head = call->next;
    role->waiting_bytes -= call->body.length;
}

/* --- the end of a call --- */

static bool is_read(const struct proxy_call *call) {
    return call->route != PROXY_WRITE;
}

static void forget(struct proxy_role *role, struct proxy_call *call) {
    if (call->state == CALL_WAITING)
        dequeue(role, call);
    else
        id_table_remove(&role->calls, call->id);
    timer_remove(&role->timers, call);
    call->role = NULL;
    role->pending--;
}

static void end(struct proxy_role *role, struct proxy_call *call, uint16_t status) {
    forget(role, call);
    struct proxy_result result = {
        .status = status, .first = call->state != CALL_STREAMING, .revision = role->view.revision};
    call->result(call, &result);
}

/* Whoever may still work on an answer nobody wants stops. A write goes on whatever we say. */
static void send_cancel(struct proxy_role *role, const struct proxy_call *call) {
    if (call->state == CALL_WAITING || !is_read(call))
        return;
    if (call->route != PROXY_SERIALIZABLE_READ && bus_link_is_up(role->raft))
        bus_put_cancel(role->raft, call->id);
    if (call->route != PROXY_CLUSTER && bus_link_is_up(role->apply))
        bus_put_cancel(role->apply, call->id);
}

void proxy_role_cancel(struct proxy_role *role, struct proxy_call *call) {
    if (!proxy_call_under_way(call))
        return;
    send_cancel(role, call);
    forget(role, call);
}

/* Ends everything on the expired list. A callback may start, end or cancel any call: the list is a safe
 * place. */
static void end_expired(struct proxy_role *role) {
    struct proxy_call *call = NULL;
    while ((call = role->timers.slots[TIMER_EXPIRED]) != NULL) {
        uint16_t status = call->end_status;
        if (status == STATUS_OK) {
            bool own = call->deadline_us != 0 && call->deadline_us <= call->expires_us;
            status = own ? STATUS_DEADLINE_EXCEEDED : STATUS_TIMEOUT;
        }
        send_cancel(role, call);
        end(role, call, status);
    }
}

/* --- sending --- */

static uint64_t next_id(struct proxy_role *role) {
    role->counter = bus_id_counter(role->counter + 1);
    return bus_request_id(role->view.member, role->config.slot, role->counter);
}

static uint32_t internal_field(uint16_t method) {
    switch (method) {
    case METHOD_PUT:
        return INTERNAL_PUT;
    case METHOD_DELETE_RANGE:
        return INTERNAL_DELETE_RANGE;
    case METHOD_TXN:
        return INTERNAL_TXN;
    case METHOD_COMPACT:
        return INTERNAL_COMPACTION;
    default:
        PANIC("method %u is no proposal", method);
    }
}

static void put_proposal(struct proxy_role *role, const struct proxy_call *call,
                         struct bus_request *request) {
    struct internal_request internal = {.id = call->id,
                                        .auth_revision = call->auth_revision,
                                        .username = call->user,
                                        .number = internal_field(call->method),
                                        .body = call->body};
    buffer_reset(&role->scratch, BUS_RECORD_LIMIT);
    internal_request_encode(&role->scratch, &internal);
    request->body = buffer_bytes(&role->scratch);
    bus_put_request(role->raft, BUS_PROXY_PROPOSE, request);
}

static uint32_t time_left_ms(const struct proxy_role *role, const struct proxy_call *call) {
    if (call->expires_us <= role->timers.now_us)
        return 1;
    uint64_t left = (call->expires_us - role->timers.now_us + 999) / 1000;
    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

/* The route's links must be up. */
static void send(struct proxy_role *role, struct proxy_call *call) {
    call->id = next_id(role);
    call->state = CALL_SENT;
    id_table_add(&role->calls, call->id, call);
    struct bus_request request = {.id = call->id,
                                  .method = call->method,
                                  .time_left = time_left_ms(role, call),
                                  .auth_revision = call->auth_revision,
                                  .user = call->user,
                                  .body = call->body};
    switch (call->route) {
    case PROXY_WRITE:
        put_proposal(role, call, &request);
        call->body_needed = false;
        break;
    case PROXY_LINEARIZABLE_READ:
        bus_put_request(role->raft, BUS_PROXY_READ, &request);
        break;
    case PROXY_SERIALIZABLE_READ:
        bus_put_request(role->apply, BUS_PROXY_READ, &request);
        break;
    case PROXY_CLUSTER:
        bus_put_request(role->raft, BUS_PROXY_CLUSTER, &request);
        break;
    }
}

/* True when a call of this queue could be put on its link now. Ids need to know whose member we are. */
static bool open(const struct proxy_role *role, enum queue queue) {
    if (role->view.member == 0)
        return false;
    switch (queue) {
    case QUEUE_APPLY:
        return bus_link_room(role->apply) > 0;
    case QUEUE_RAFT:
        return bus_link_room(role->raft) > 0;
    default:
        return bus_link_room(role->raft) > 0 && role->view.apply_up;
    }
}

static void drain(struct proxy_role *role) {
    for (enum queue index = 0; index < QUEUE_COUNT; index++) {
        struct call_queue *queue = &role->queues[index];
        while (queue->head != NULL && open(role, index)) {
            struct proxy_call *call = queue->head;
            dequeue(role, call);
            send(role, call);
        }
    }
}

static size_t varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

/* The size of the encoded InternalRaftRequest with an id of full length, as etcd limits it. */
static size_t proposal_size(const struct proxy_call *call) {
    size_t header = 11;
    if (call->user.length != 0)
        header += 1 + varint_size(call->user.length) + call->user.length;
    if (call->auth_revision != 0)
        header += 1 + varint_size(call->auth_revision);
    return 1 + varint_size(call->body.length) + call->body.length + 3 + header;
}

static uint16_t refusal(const struct proxy_role *role, const struct proxy_call *call) {
    if (call->route == PROXY_WRITE && proposal_size(call) > role->config.max_request_bytes)
        return STATUS_REQUEST_TOO_LARGE;
    if (role->pending >= role->config.pending_limit ||
        role->waiting_bytes + call->body.length > role->config.waiting_bytes)
        return STATUS_TOO_MANY_REQUESTS;
    if (call->deadline_us != 0 && call->deadline_us <= role->timers.now_us)
        return STATUS_DEADLINE_EXCEEDED;
    return STATUS_OK;
}

void proxy_role_call(struct proxy_role *role, struct proxy_call *call, uint64_t now_us) {
    timer_advance(&role->timers, now_us);
    call->role = NULL;
    uint16_t status = refusal(role, call);
    if (status != STATUS_OK) {
        call->result(call, &(struct proxy_result){.status = status, .first = true});
        return;
    }
    call->role = role;
    call->end_status = STATUS_OK;
    call->body_needed = true;
    call->expires_us = role->timers.now_us + role->config.timeout_us;
    if (call->deadline_us != 0 && call->deadline_us < call->expires_us)
        call->expires_us = call->deadline_us;
    role->pending++;
    timer_add(&role->timers, call);
    struct call_queue *queue = queue_of(role, call);
    if (queue->head == NULL && open(role, (enum queue)(queue - role->queues)))
        send(role, call);
    else
        enqueue(role, call);
}

/* --- what the links say --- */

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
        if (id == 0 || is_read(call) || known)
            continue;
        call->end_status = STATUS_TIMEOUT_LEADER_FAILED;
        timer_expire(&role->timers, call);
    }
    end_expired(role);
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
    drain(role);
}

static void apply_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    (void)link;
    struct proxy_role *role = context;
    see_peer(role, peer);
    drain(role);
}

/*
 * Reads that may have got lost with a link go back to the queue. An answer that was passed on in part comes
 * from apply: it goes on when raft is lost, and ends when apply is.
 */
static void ask_again(struct proxy_role *role, enum proxy_route spared, bool apply_lost) {
    struct proxy_call *again = NULL;
    for (size_t i = 0; i < role->calls.capacity; i++) {
        struct proxy_call *call = role->calls.entries[i].call;
        if (role->calls.entries[i].id == 0 || !is_read(call) || call->route == spared)
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
        enqueue(role, call);
    }
    end_expired(role);
}

static void raft_down(void *context, struct bus_link *link) {
    (void)link;
    struct proxy_role *role = context;
    role->view.raft_up = false;
    role->view.leader = 0;
    ask_again(role, PROXY_SERIALIZABLE_READ, false);
}

static void apply_down(void *context, struct bus_link *link) {
    (void)link;
    struct proxy_role *role = context;
    role->view.apply_up = false;
    ask_again(role, PROXY_CLUSTER, true);
}

static void room(void *context, struct bus_link *link) {
    (void)link;
    drain(context);
}

static void take_result(struct proxy_role *role, const struct bus_record *record) {
    struct bus_result part;
    if (!bus_get_result(record, &part))
        return;
    see_term(role, part.term);
    if (part.revision > role->view.revision)
        role->view.revision = part.revision;
    struct proxy_call *call = id_table_find(&role->calls, part.id);
    if (call == NULL)
        return;
    struct proxy_result result = {.status = part.status,
                                  .first = call->state != CALL_STREAMING,
                                  .more = part.more && part.status == STATUS_OK,
                                  .header = part.header,
                                  .revision = part.revision,
                                  .total = part.total,
                                  .body = part.body};
    if (!result.more) {
        forget(role, call);
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
        drain(role);
        break;
    default:
        bus_link_reset(link, "a record that does not belong here");
    }
}

static void apply_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct proxy_role *role = context;
    if (record->kind != BUS_APPLY_RESULT) {
        bus_link_reset(link, "a record that does not belong here");
        return;
    }
    take_result(role, record);
    /* Its first word: now apply knows us, and answers to what goes through raft will reach us. */
    if (!role->view.apply_up && bus_link_is_up(link)) {
        role->view.apply_up = true;
        drain(role);
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

void proxy_role_consumed(struct proxy_role *role, struct proxy_call *call, size_t bytes) {
    if (proxy_call_under_way(call) && call->state == CALL_STREAMING && bytes > 0)
        bus_put_consumed(role->apply, call->id, bytes);
}

void proxy_role_tick(struct proxy_role *role, uint64_t now_us) {
    timer_advance(&role->timers, now_us);
    end_expired(role);
}

uint64_t proxy_role_next_us(const struct proxy_role *role) {
    return timer_next_us(&role->timers);
}

void proxy_role_end_round(struct proxy_role *role) {
    bus_link_flush(role->raft);
    bus_link_flush(role->apply);
    if (role->maint != NULL)
        bus_link_flush(role->maint);
}

struct proxy_view proxy_role_view(const struct proxy_role *role) {
    struct proxy_view view = role->view;
    view.pending = role->pending;
    return view;
}
