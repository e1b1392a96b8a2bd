/* proxy_role: see proxy_role.h. Here: calls. proxy_links.c: what comes over the links. */
#include "proxy/proxy_role.h"

#include <stdlib.h>

#include "common/wire.h"
#include "proxy/proxy_role_state.h"
#include "proxy/watch/hub.h"

struct proxy_role *proxy_role_new(const struct proxy_role_config *config) {
    struct proxy_role *role = must_zalloc(sizeof *role);
    role->config = *config;
    if (role->config.max_request_bytes > PROXY_REQUEST_LIMIT)
        role->config.max_request_bytes = PROXY_REQUEST_LIMIT;
    role->counter = bus_id_counter(config->id_seed);
    role->watch = hub_new(role);
    return role;
}

void proxy_role_free(struct proxy_role *role) {
    hub_free(role->watch);
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

void role_enqueue(struct proxy_role *role, struct proxy_call *call) {
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

void role_forget(struct proxy_role *role, struct proxy_call *call) {
    if (call->state == CALL_WAITING)
        dequeue(role, call);
    else if (call->state != CALL_ALARM)
        id_table_remove(&role->calls, call->id);
    timer_remove(&role->timers, call);
    call->role = NULL;
    role->pending -= call->state != CALL_ALARM;
}

static void end(struct proxy_role *role, struct proxy_call *call, uint16_t status) {
    role_forget(role, call);
    struct proxy_result result = {
        .status = status, .first = call->state != CALL_STREAMING, .revision = role->view.revision};
    call->result(call, &result);
}

/* Whoever may still work on an answer nobody wants stops. A write goes on whatever we say. */
static void send_cancel(struct proxy_role *role, const struct proxy_call *call) {
    if (call->state == CALL_WAITING || call->state == CALL_ALARM || !call_is_read(call))
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
    role_forget(role, call);
}

/* Ends everything on the expired list. A callback may start, end or cancel any call: the list is a safe
 * place. */
void role_end_expired(struct proxy_role *role) {
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

uint64_t role_next_id(struct proxy_role *role) {
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
    case METHOD_LEASE_GRANT:
        return INTERNAL_LEASE_GRANT;
    case METHOD_LEASE_REVOKE:
        return INTERNAL_LEASE_REVOKE;
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
    call->id = role_next_id(role);
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

/*
 * True when a call of this queue could be put on its link now. Ids need to know whose member we are, and no
 * answer may leave with a header that names no cluster: clients take it for another cluster's.
 */
static bool open(const struct proxy_role *role, enum queue queue) {
    if (role->view.member == 0 || role->view.cluster == 0)
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

void role_drain(struct proxy_role *role) {
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
    if (call->user.length + call->body.length > BUS_RECORD_LIMIT)
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
    call->expires_us = role->timers.now_us + (call->limit_us != 0 ? call->limit_us : role->config.timeout_us);
    if (call->deadline_us != 0 && call->deadline_us < call->expires_us)
        call->expires_us = call->deadline_us;
    role->pending++;
    timer_add(&role->timers, call);
    struct call_queue *queue = queue_of(role, call);
    if (queue->head == NULL && open(role, (enum queue)(queue - role->queues)))
        send(role, call);
    else
        role_enqueue(role, call);
}

void proxy_role_alarm(struct proxy_role *role, struct proxy_call *call) {
    call->role = role;
    call->state = CALL_ALARM;
    call->end_status = STATUS_DEADLINE_EXCEEDED;
    call->expires_us = call->deadline_us;
    timer_add(&role->timers, call);
}

int64_t proxy_role_unique_id(struct proxy_role *role) {
    return (int64_t)(role_next_id(role) & INT64_MAX);
}

void proxy_role_consumed(struct proxy_role *role, struct proxy_call *call, size_t bytes) {
    if (proxy_call_under_way(call) && call->state == CALL_STREAMING && bytes > 0)
        bus_put_consumed(role->apply, call->id, bytes);
}

void proxy_role_tick(struct proxy_role *role, uint64_t now_us) {
    timer_advance(&role->timers, now_us);
    role_end_expired(role);
    hub_tick(role->watch);
}

uint64_t proxy_role_next_us(const struct proxy_role *role) {
    uint64_t calls = timer_next_us(&role->timers);
    uint64_t watches = hub_next_us(role->watch);
    return calls < watches ? calls : watches;
}

void proxy_role_end_round(struct proxy_role *role) {
    hub_end_round(role->watch);
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

void proxy_role_put_header(const struct proxy_role *role, struct buffer *out, uint64_t revision) {
    size_t mark = wire_begin_message(out, 1);
    wire_put_uint64(out, 1, role->view.cluster);
    wire_put_uint64(out, 2, role->view.member);
    wire_put_uint64(out, 3, revision);
    wire_put_uint64(out, 4, role->view.term);
    wire_end_message(out, mark);
}
