/*
 * role_reads: linearizable reads. The common case costs nothing: leadership needs no confirmation (a sole
 * voter), the stream stands at the commit index, and the read goes straight behind it. All others wait in the
 * queue until they have an index and the stream has passed it.
 */
#include "common/status.h"
#include "raft/role_state.h"

static void refuse(struct raft_role *role, unsigned slot, uint64_t id, uint16_t status) {
    struct bus_result refused = {.id = id, .status = status};
    bus_put_result(role->proxies[slot].link, BUS_RAFT_REFUSED, &refused);
}

void role_read(struct raft_role *role, unsigned slot, const struct bus_request *request) {
    uint64_t index = 0;
    if (role->reads.count == 0 && raft_core_read_now(role->core, &index) &&
        role_put_read(role, request, index))
        return;
    uint64_t wait_ms = request->time_left == 0 ? READ_WAIT_DEFAULT_MS : request->time_left;
    if (read_queue_add(&role->reads, request, slot, role->now_us + wait_ms * 1000) == NULL)
        refuse(role, slot, request->id, STATUS_TOO_MANY_REQUESTS);
}

/* Everything that came since the last question is asked with one number. */
static void ask(struct raft_role *role) {
    uint64_t now_index = 0;
    bool now = raft_core_read_now(role->core, &now_index);
    uint64_t context = 0;
    for (struct waiting_read *read = role->reads.last; read != NULL && read->context == 0 && read->index == 0;
         read = read->previous) {
        if (now)
            read->index = now_index;
        else if (context == 0 && (context = raft_core_read_index(role->core)) == 0)
            return;
        read->context = context;
    }
}

/* A confirmed number confirms all that was asked before it. */
static void take_confirmations(struct raft_role *role) {
    size_t count = 0;
    const struct raft_read_state *states = raft_core_read_states(role->core, &count);
    for (size_t i = 0; i < count; i++) {
        for (struct waiting_read *read = role->reads.first; read != NULL; read = read->next) {
            if (read->index == 0 && read->context != 0 && read->context <= states[i].context)
                read->index = states[i].index;
        }
    }
    raft_core_read_states_clear(role->core);
}

void role_advance_reads(struct raft_role *role) {
    if (role->reads.count > 0)
        ask(role);
    take_confirmations(role);
    while (role->reads.first != NULL && role->reads.first->index != 0 &&
           role_put_read(role, &role->reads.first->request, role->reads.first->index))
        read_queue_remove(&role->reads, role->reads.first);
}

void role_ask_again(struct raft_role *role) {
    for (struct waiting_read *read = role->reads.first; read != NULL; read = read->next) {
        if (read->index == 0)
            read->context = 0;
    }
}
