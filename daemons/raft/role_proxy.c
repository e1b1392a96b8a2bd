/* role_proxy: the links to the proxies (and to maint): proposals, reads, cluster requests.
 */
#include "common/log.h"
#include "common/request.h"
#include "common/status.h"
#include "common/wire.h"
#include "raft/role_state.h"

static void refuse_proposal(struct raft_role *role, struct bus_link *link, uint64_t id, uint16_t status) {
    struct bus_result refused = {.id = id, .status = status};
    role->proposals_refused++;
    bus_put_result(link, BUS_RAFT_REFUSED, &refused);
}

/* True when apply is more than `gap` entries behind and the oldest of them waits for over a second. */
static bool apply_lags(const struct raft_role *role, uint64_t gap) {
    if (raft_core_commit(role->core) - role->applied <= gap || raft_core_commit(role->core) < role->applied)
        return false;
    for (size_t i = 0; i < LAG_SAMPLES; i++) {
        const struct lag_sample *sample = &role->lag[i];
        if (sample->time_us != 0 && role->now_us - sample->time_us >= LAG_AGE_US &&
            sample->commit > role->applied)
            return true;
    }
    return false;
}

static uint16_t propose(struct raft_role *role, const struct bus_request *request) {
    if (request->body.length == 0)
        return STATUS_UNDECODABLE;
    if (request->body.length > RAFT_ENTRY_LIMIT)
        return STATUS_REQUEST_TOO_LARGE;
    if (apply_lags(role, RAFT_APPLY_GAP))
        return STATUS_TOO_MANY_REQUESTS;
    switch (raft_core_propose(role->core, RAFT_ENTRY_NORMAL, request->body)) {
    case RAFT_PROPOSED:
        role_note_id(role, request->id);
        role->proposals++;
        return STATUS_OK;
    case RAFT_NOT_LEADER:
        return raft_core_leader(role->core) == 0 ? STATUS_NO_LEADER : STATUS_NOT_LEADER;
    default:
        return STATUS_LEADER_CHANGED;
    }
}

static bool accepts_own(const struct raft_role *role, const struct bus_proposal *proposal, uint64_t gap) {
    return proposal->body.length > 0 && proposal->body.length <= RAFT_ENTRY_LIMIT &&
           raft_core_role(role->core) == CORE_LEADER && raft_core_term(role->core) == proposal->term &&
           !apply_lags(role, gap);
}

bool role_propose_own(struct raft_role *role, const struct bus_record *received, uint64_t gap) {
    struct bus_proposal proposal;
    if (!bus_get_proposal(received, &proposal))
        return false;
    if (accepts_own(role, &proposal, gap) &&
        raft_core_propose(role->core, RAFT_ENTRY_NORMAL, proposal.body) == RAFT_PROPOSED)
        role->proposals++;
    else
        role->proposals_dropped++;
    return true;
}

/* BusRaftStatus, proto/bus.proto. */
static void answer_status(const struct raft_role *role, struct buffer *out) {
    struct raft_role_status status = raft_role_status(role);
    wire_put_uint64(out, 1, status.role);
    wire_put_uint64(out, 2, status.term);
    wire_put_uint64(out, 3, status.leader);
    wire_put_uint64(out, 4, status.commit);
    wire_put_uint64(out, 5, role->options.member);
    wire_put_uint64(out, 6, role->options.cluster);
    wire_put_uint64(out, 7, status.last);
    wire_put_uint64(out, 8, status.applied);
}

static void answer_cluster(struct raft_role *role, struct bus_link *link, const struct bus_request *request) {
    struct bus_result result = {.id = request->id, .header = true, .term = raft_core_term(role->core)};
    struct buffer *out = bus_begin_result(link);
    if (out == NULL)
        return;
    if (request->method == METHOD_MEMBER_LIST)
        membership_encode_list(&role->membership, out);
    else if (request->method == METHOD_STATUS)
        answer_status(role, out);
    else
        result.status = STATUS_UNIMPLEMENTED;
    bus_commit_result(link, BUS_RAFT_RESULT, &result);
}

static void record(void *context, struct bus_link *link, const struct bus_record *received) {
    struct proxy_end *end = context;
    struct raft_role *role = end->role;
    struct bus_request request;
    if (received->kind == BUS_PROXY_CANCEL) {
        read_queue_cancel(&role->reads, received->id);
        return;
    }
    if ((received->kind != BUS_PROXY_PROPOSE && received->kind != BUS_PROXY_READ &&
         received->kind != BUS_PROXY_CLUSTER) ||
        !bus_get_request(received, &request)) {
        bus_link_reset(link, "the proxy sent what it may not send to raft");
        return;
    }
    if (received->kind == BUS_PROXY_READ) {
        role_note_id(role, request.id);
        role_read(role, end->slot, &request);
    } else if (received->kind == BUS_PROXY_CLUSTER) {
        answer_cluster(role, link, &request);
    } else {
        uint16_t status = propose(role, &request);
        if (status != STATUS_OK)
            refuse_proposal(role, link, request.id, status);
    }
}

static void greet_proxy(void *context, struct bus_hello *hello) {
    const struct proxy_end *end = context;
    const struct raft_role *role = end->role;
    hello->node = role->options.member;
    hello->cluster = role->options.cluster;
    hello->term = raft_core_term(role->core);
    hello->position = role->log->last;
    hello->durable = raft_core_commit(role->core);
    hello->largest_id = role->largest_id[end->slot];
}

static void proxy_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    const struct proxy_end *end = context;
    struct bus_raft_state state = role_raft_state(end->role);
    (void)peer;
    bus_put_raft_state(link, &state);
}

/* Reads of a proxy that is gone are nobody's; its proposals are in the log and stay there. */
static void proxy_down(void *context, struct bus_link *link) {
    struct proxy_end *end = context;
    (void)link;
    read_queue_drop_slot(&end->role->reads, end->slot);
}

struct bus_handler raft_role_proxy_handler(struct raft_role *role, unsigned slot) {
    REQUIRE(slot < role->options.proxies);
    struct proxy_end *end = &role->proxies[slot];
    end->role = role;
    end->slot = slot;
    return (struct bus_handler){
        .greet = greet_proxy, .up = proxy_up, .down = proxy_down, .record = record, .context = end};
}

void raft_role_attach_proxy(struct raft_role *role, unsigned slot, struct bus_link *link) {
    role->proxies[slot].link = link;
}

/* --- maint ---------------------------------------------------------------------------------------------- */

static void greet_maint(void *context, struct bus_hello *hello) {
    const struct raft_role *role = context;
    hello->node = role->options.member;
    hello->cluster = role->options.cluster;
    hello->term = raft_core_term(role->core);
    hello->position = role->log->last;
    hello->durable = raft_core_commit(role->core);
}

static void maint_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct bus_raft_state state = role_raft_state(context);
    (void)peer;
    bus_put_raft_state(link, &state);
}

static void maint_record(void *context, struct bus_link *link, const struct bus_record *received) {
    if (received->kind != BUS_MAINT_PROPOSE || !role_propose_own(context, received, RAFT_APPLY_GAP))
        bus_link_reset(link, "maint sent what it may not send to raft");
}

struct bus_handler raft_role_maint_handler(struct raft_role *role) {
    return (struct bus_handler){
        .greet = greet_maint, .up = maint_up, .record = maint_record, .context = role};
}

void raft_role_attach_maint(struct raft_role *role, struct bus_link *link) {
    role->maint = link;
}
