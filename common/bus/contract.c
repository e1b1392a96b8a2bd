/*
 * contract: where each kind keeps its fields in the fixed record header, and which edge of the talk graph it
 * belongs to. See contract.h for what they mean.
 *
 * kind                          code    position    epoch          time_left  body
 * requests (4 kinds)            method              auth revision  ms         user name, request
 * CANCEL                                                                                          (id alone)
 * CONSUMED                              bytes
 * results (3 kinds)             status  revision    term           total      message without its header
 * ENTRY                         type    index       term                      entry data
 * STATE                                                                       BusRaftState
 * PROGRESS                              applied     durable
 * checkpoints (3 kinds)         status  index       compact revision           directory or error text
 * RANGES                                revision                               bus_range_put...
 * WATCH (answer)                status  revision    compacted
 * EVENTS                                to          from                       events; id = compacted
 * proposals (2 kinds)                               term                       InternalRaftRequest
 * APPLY_STATE                   load    index                                  revision, compacted, physical
 * plans (2 kinds)               status  items                                  items
 * (common/compaction_plan.h)
 */
#include "common/bus/contract.h"

#include <stdio.h>

#include "proto/bus.pb-c.h"

enum { RESULT_MORE = 1, RESULT_HEADER = 2 };

const char *bus_role_name(enum bus_role role) {
    static const char *const names[] = {"none", "proxy", "raft", "apply", "maint"};
    return (size_t)role < sizeof names / sizeof *names ? names[role] : "unknown";
}

void bus_socket_name(char out[32], enum bus_role listener, enum bus_role dialer, uint8_t dialer_slot) {
    if (dialer == BUS_ROLE_PROXY)
        (void)snprintf(out, 32, "%s.%s-%u", bus_role_name(listener), bus_role_name(dialer), dialer_slot);
    else
        (void)snprintf(out, 32, "%s.%s", bus_role_name(listener), bus_role_name(dialer));
}

#define TO(role) (1u << BUS_ROLE_##role)

static const struct {
    const char *name;
    enum bus_role owner;
    unsigned receivers; /* TO() bits */
} kinds[BUS_KIND_COUNT] = {
    [BUS_NONE] = {"none", BUS_ROLE_NONE, 0},
    [BUS_PROXY_PROPOSE] = {"proxy-propose", BUS_ROLE_PROXY, TO(RAFT)},
    [BUS_PROXY_READ] = {"proxy-read", BUS_ROLE_PROXY, TO(RAFT) | TO(APPLY)},
    [BUS_PROXY_CANCEL] = {"proxy-cancel", BUS_ROLE_PROXY, TO(RAFT) | TO(APPLY)},
    [BUS_PROXY_CONSUMED] = {"proxy-consumed", BUS_ROLE_PROXY, TO(APPLY)},
    [BUS_PROXY_CLUSTER] = {"proxy-cluster", BUS_ROLE_PROXY, TO(RAFT)},
    [BUS_RAFT_REFUSED] = {"raft-refused", BUS_ROLE_RAFT, TO(PROXY)},
    [BUS_RAFT_RESULT] = {"raft-result", BUS_ROLE_RAFT, TO(PROXY)},
    [BUS_RAFT_STATE] = {"raft-state", BUS_ROLE_RAFT, TO(PROXY) | TO(APPLY) | TO(MAINT)},
    [BUS_RAFT_ENTRY] = {"raft-entry", BUS_ROLE_RAFT, TO(APPLY)},
    [BUS_RAFT_READ] = {"raft-read", BUS_ROLE_RAFT, TO(APPLY)},
    [BUS_APPLY_RESULT] = {"apply-result", BUS_ROLE_APPLY, TO(PROXY)},
    [BUS_APPLY_PROGRESS] = {"apply-progress", BUS_ROLE_APPLY, TO(RAFT)},
    [BUS_APPLY_CHECKPOINT] = {"apply-checkpoint", BUS_ROLE_APPLY, TO(MAINT)},
    [BUS_MAINT_CHECKPOINT] = {"maint-checkpoint", BUS_ROLE_MAINT, TO(APPLY)},
    [BUS_PROXY_RANGES] = {"proxy-ranges", BUS_ROLE_PROXY, TO(APPLY)},
    [BUS_PROXY_WATCH] = {"proxy-watch", BUS_ROLE_PROXY, TO(APPLY)},
    [BUS_APPLY_WATCH] = {"apply-watch", BUS_ROLE_APPLY, TO(PROXY)},
    [BUS_APPLY_EVENTS] = {"apply-events", BUS_ROLE_APPLY, TO(PROXY)},
    [BUS_APPLY_PROPOSE] = {"apply-propose", BUS_ROLE_APPLY, TO(RAFT)},
    [BUS_MAINT_PROPOSE] = {"maint-propose", BUS_ROLE_MAINT, TO(RAFT)},
    [BUS_APPLY_STATE] = {"apply-state", BUS_ROLE_APPLY, TO(MAINT)},
    [BUS_MAINT_COMPACT] = {"maint-compact", BUS_ROLE_MAINT, TO(APPLY)},
    [BUS_MAINT_PLAN] = {"maint-plan", BUS_ROLE_MAINT, TO(APPLY)},
    [BUS_APPLY_PLANNED] = {"apply-planned", BUS_ROLE_APPLY, TO(MAINT)},
};

const char *bus_kind_name(uint16_t kind) {
    return kind < BUS_KIND_COUNT ? kinds[kind].name : "unknown";
}

bool bus_kind_belongs(uint16_t kind, enum bus_role sender, enum bus_role receiver) {
    return kind < BUS_KIND_COUNT && sender != BUS_ROLE_NONE && kinds[kind].owner == sender &&
           (kinds[kind].receivers & 1u << receiver) != 0;
}

bool bus_put_request(struct bus_link *link, enum bus_kind kind, const struct bus_request *request) {
    REQUIRE(request->user.length <= UINT16_MAX);
    struct buffer *body = bus_link_begin(link);
    if (body == NULL)
        return false;
    buffer_append_bytes(body, request->user);
    buffer_append_bytes(body, request->body);
    bus_link_commit(link, &(struct bus_record){.kind = (uint16_t)kind,
                                               .code = request->method,
                                               .user_length = (uint16_t)request->user.length,
                                               .id = request->id,
                                               .epoch = request->auth_revision,
                                               .time_left = request->time_left});
    return true;
}

bool bus_get_request(const struct bus_record *record, struct bus_request *out) {
    if (record->user_length > record->body.length)
        return false;
    *out = (struct bus_request){
        .id = record->id,
        .method = record->code,
        .time_left = record->time_left,
        .auth_revision = record->epoch,
        .user = bytes_of(record->body.data, record->user_length),
        .body = bytes_of(record->body.data + record->user_length, record->body.length - record->user_length),
    };
    return true;
}

bool bus_put_cancel(struct bus_link *link, uint64_t id) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_PROXY_CANCEL, .id = id});
}

bool bus_put_consumed(struct bus_link *link, uint64_t id, uint64_t bytes) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_PROXY_CONSUMED, .id = id, .position = bytes});
}

bool bus_put_raft_state(struct bus_link *link, const struct bus_raft_state *state) {
    Quorate__BusRaftState message = QUORATE__BUS_RAFT_STATE__INIT;
    message.role = state->role;
    message.term = state->term;
    message.leader = state->leader;
    message.commit = state->commit;
    message.member = state->member;
    message.cluster = state->cluster;
    message.apply_losses = state->apply_losses;
    uint8_t packed[128];
    size_t length = quorate__bus_raft_state__get_packed_size(&message);
    REQUIRE(length <= sizeof packed);
    quorate__bus_raft_state__pack(&message, packed);
    return bus_link_put(link, &(struct bus_record){.kind = BUS_RAFT_STATE, .body = bytes_of(packed, length)});
}

bool bus_get_raft_state(const struct bus_record *record, struct bus_raft_state *out) {
    Quorate__BusRaftState *message =
        quorate__bus_raft_state__unpack(NULL, record->body.length, record->body.data);
    if (message == NULL)
        return false;
    bool known = message->role <= RAFT_LEARNER;
    *out = (struct bus_raft_state){
        .role = (uint16_t)message->role,
        .term = message->term,
        .leader = message->leader,
        .commit = message->commit,
        .member = message->member,
        .cluster = message->cluster,
        .apply_losses = message->apply_losses,
    };
    quorate__bus_raft_state__free_unpacked(message, NULL);
    return known;
}

bool bus_put_entry(struct bus_link *link, const struct bus_entry *entry) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_RAFT_ENTRY,
                                                   .code = entry->type,
                                                   .position = entry->index,
                                                   .epoch = entry->term,
                                                   .body = entry->data});
}

bool bus_get_entry(const struct bus_record *record, struct bus_entry *out) {
    *out = (struct bus_entry){
        .index = record->position, .term = record->epoch, .type = record->code, .data = record->body};
    return record->position != 0;
}

/* gRPC's prefix holds 32 bits of length, so a whole body fits time_left, which a result has no use for. */
static struct bus_record result_record(enum bus_kind kind, const struct bus_result *result) {
    REQUIRE(result->total <= UINT32_MAX);
    return (struct bus_record){
        .kind = (uint16_t)kind,
        .flags = (uint16_t)((result->more ? RESULT_MORE : 0) | (result->header ? RESULT_HEADER : 0)),
        .code = result->status,
        .id = result->id,
        .position = result->revision,
        .epoch = result->term,
        .time_left = (uint32_t)result->total,
        .body = result->body,
    };
}

bool bus_put_result(struct bus_link *link, enum bus_kind kind, const struct bus_result *result) {
    struct bus_record record = result_record(kind, result);
    return bus_link_put(link, &record);
}

struct buffer *bus_begin_result(struct bus_link *link) {
    return bus_link_begin(link);
}

void bus_commit_result(struct bus_link *link, enum bus_kind kind, const struct bus_result *result) {
    struct bus_record record = result_record(kind, result);
    bus_link_commit(link, &record);
}

bool bus_get_result(const struct bus_record *record, struct bus_result *out) {
    *out = (struct bus_result){
        .id = record->id,
        .status = record->code,
        .more = (record->flags & RESULT_MORE) != 0,
        .header = (record->flags & RESULT_HEADER) != 0,
        .revision = record->position,
        .total = record->time_left,
        .term = record->epoch,
        .body = record->body,
    };
    return true;
}

bool bus_put_progress(struct bus_link *link, const struct bus_progress *progress) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_APPLY_PROGRESS,
                                                   .position = progress->applied,
                                                   .epoch = progress->durable});
}

bool bus_get_progress(const struct bus_record *record, struct bus_progress *out) {
    *out = (struct bus_progress){.applied = record->position, .durable = record->epoch};
    return out->durable <= out->applied;
}

bool bus_put_checkpoint(struct bus_link *link, enum bus_kind kind, const struct bus_checkpoint *checkpoint) {
    return bus_link_put(link, &(struct bus_record){.kind = (uint16_t)kind,
                                                   .code = checkpoint->status,
                                                   .id = checkpoint->id,
                                                   .position = checkpoint->index,
                                                   .epoch = (uint64_t)checkpoint->compact_revision,
                                                   .body = checkpoint->directory});
}

bool bus_get_checkpoint(const struct bus_record *record, struct bus_checkpoint *out) {
    *out = (struct bus_checkpoint){.id = record->id,
                                   .index = record->position,
                                   .compact_revision = (int64_t)record->epoch,
                                   .status = record->code,
                                   .directory = record->body};
    return true;
}

/* --- watch --- */

bool bus_put_ranges(struct bus_link *link, const struct bus_ranges *ranges) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_PROXY_RANGES,
                                                   .position = (uint64_t)ranges->revision,
                                                   .body = ranges->body});
}

bool bus_get_ranges(const struct bus_record *record, struct bus_ranges *out) {
    *out = (struct bus_ranges){.revision = (int64_t)record->position, .body = record->body};
    return out->revision >= 0;
}

/* Two lengths, a flag, then the bytes. */
enum { RANGE_HEAD = 9 };

static void store_u32(uint8_t *place, size_t value) {
    for (int i = 0; i < 4; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static size_t load_u32(const uint8_t *place) {
    return (size_t)place[0] | (size_t)place[1] << 8 | (size_t)place[2] << 16 | (size_t)place[3] << 24;
}

void bus_range_put(struct buffer *out, const struct bus_range *range) {
    uint8_t head[RANGE_HEAD];
    store_u32(head, range->key.length);
    store_u32(head + 4, range->range_end.length);
    head[8] = range->previous;
    buffer_append(out, head, sizeof head);
    buffer_append_bytes(out, range->key);
    buffer_append_bytes(out, range->range_end);
}

bool bus_range_next(struct bytes *body, struct bus_range *out) {
    if (body->length < RANGE_HEAD)
        return false;
    size_t key = load_u32(body->data);
    size_t end = load_u32(body->data + 4);
    if (key > body->length - RANGE_HEAD || end > body->length - RANGE_HEAD - key)
        return false;
    *out = (struct bus_range){.key = bytes_of(body->data + RANGE_HEAD, key),
                              .range_end = bytes_of(body->data + RANGE_HEAD + key, end),
                              .previous = body->data[8] != 0};
    *body = bytes_of(body->data + RANGE_HEAD + key + end, body->length - RANGE_HEAD - key - end);
    return true;
}

bool bus_put_watch_answer(struct bus_link *link, const struct bus_watch_answer *answer) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_APPLY_WATCH,
                                                   .code = answer->status,
                                                   .id = answer->id,
                                                   .position = (uint64_t)answer->revision,
                                                   .epoch = (uint64_t)answer->compacted});
}

bool bus_get_watch_answer(const struct bus_record *record, struct bus_watch_answer *out) {
    *out = (struct bus_watch_answer){.id = record->id,
                                     .status = record->code,
                                     .revision = (int64_t)record->position,
                                     .compacted = (int64_t)record->epoch};
    return out->revision > 0;
}

bool bus_put_events(struct bus_link *link, const struct bus_events *events) {
    return bus_link_put(link, &(struct bus_record){.kind = BUS_APPLY_EVENTS,
                                                   .id = (uint64_t)events->compacted,
                                                   .position = (uint64_t)events->to,
                                                   .epoch = (uint64_t)events->from,
                                                   .body = events->body});
}

bool bus_get_events(const struct bus_record *record, struct bus_events *out) {
    *out = (struct bus_events){.from = (int64_t)record->epoch,
                               .to = (int64_t)record->position,
                               .compacted = (int64_t)record->id,
                               .body = record->body};
    return out->from > 0 && out->from - 1 <= out->to;
}

/* --- proposals of apply and maint --- */

bool bus_put_proposal(struct bus_link *link, enum bus_kind kind, const struct bus_proposal *proposal) {
    return bus_link_put(
        link, &(struct bus_record){.kind = (uint16_t)kind, .epoch = proposal->term, .body = proposal->body});
}

bool bus_get_proposal(const struct bus_record *record, struct bus_proposal *out) {
    *out = (struct bus_proposal){.term = record->epoch, .body = record->body};
    return out->term != 0 && out->body.length != 0;
}

/* --- compaction --- */

enum { STATE_BYTES = 24, STATE_AWAITED = 1 };

static void store_i64(uint8_t *place, int64_t value) {
    for (int i = 0; i < 8; i++)
        place[i] = (uint8_t)((uint64_t)value >> (8 * i));
}

static int64_t load_i64(const uint8_t *place) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)place[i] << (8 * i);
    return (int64_t)value;
}

bool bus_put_apply_state(struct bus_link *link, const struct bus_apply_state *state) {
    uint8_t body[STATE_BYTES];
    store_i64(body, state->revision);
    store_i64(body + 8, state->compacted);
    store_i64(body + 16, state->physical);
    return bus_link_put(link, &(struct bus_record){.kind = BUS_APPLY_STATE,
                                                   .flags = state->awaited ? STATE_AWAITED : 0,
                                                   .code = state->load,
                                                   .position = state->index,
                                                   .body = bytes_of(body, sizeof body)});
}

bool bus_get_apply_state(const struct bus_record *record, struct bus_apply_state *out) {
    if (record->body.length != STATE_BYTES)
        return false;
    *out = (struct bus_apply_state){.index = record->position,
                                    .load = record->code,
                                    .awaited = (record->flags & STATE_AWAITED) != 0,
                                    .revision = load_i64(record->body.data),
                                    .compacted = load_i64(record->body.data + 8),
                                    .physical = load_i64(record->body.data + 16)};
    return true;
}

enum { PLAN_LAST = 1 };

bool bus_put_plan(struct bus_link *link, enum bus_kind kind, const struct bus_plan *plan) {
    return bus_link_put(link, &(struct bus_record){.kind = (uint16_t)kind,
                                                   .flags = plan->last ? PLAN_LAST : 0,
                                                   .code = plan->status,
                                                   .id = plan->id,
                                                   .position = plan->items,
                                                   .body = plan->body});
}

bool bus_get_plan(const struct bus_record *record, struct bus_plan *out) {
    *out = (struct bus_plan){.id = record->id,
                             .items = record->position,
                             .status = record->code,
                             .last = (record->flags & PLAN_LAST) != 0,
                             .body = record->body};
    return true;
}
