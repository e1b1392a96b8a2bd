/*
 * role_members: the cluster as of the commit index. A change is remembered when its entry is appended and
 * takes effect when commit passes it (DESIGN.md section 9).
 */
#include <stdlib.h>

#include "common/log.h"
#include "common/status.h"
#include "raft/role_state.h"

void role_remember_change(struct raft_role *role, uint64_t index, struct bytes data) {
    role_forget_changes(role, index);
    if (role->members_loaded && index <= role->members_index)
        return; /* the members file has seen it */
    if (role->change_count == role->change_capacity) {
        role->change_capacity = role->change_capacity == 0 ? 4 : role->change_capacity * 2;
        role->changes = must_realloc(role->changes, role->change_capacity * sizeof *role->changes);
    }
    struct pending_change *change = &role->changes[role->change_count++];
    *change = (struct pending_change){.index = index, .data = must_alloc(data.length), .length = data.length};
    if (data.length > 0)
        memcpy(change->data, data.data, data.length);
}

void role_forget_changes(struct raft_role *role, uint64_t from) {
    while (role->change_count > 0 && role->changes[role->change_count - 1].index >= from)
        free(role->changes[--role->change_count].data);
}

void role_set_peers(struct raft_role *role) {
    struct raft_peer peers[MEMBERSHIP_LIMIT];
    for (unsigned i = 0; i < role->membership.count; i++) {
        peers[i].id = role->membership.members[i].id;
        peers[i].learner = role->membership.members[i].learner;
    }
    membership_set_client_urls(&role->membership, role->options.member, role->client_urls);
    raft_core_set_peers(role->core, peers, role->membership.count);
}

static void apply_change(struct raft_role *role, const struct pending_change *pending) {
    struct conf_change change;
    uint16_t status = STATUS_UNDECODABLE;
    if (conf_change_decode(bytes_of(pending->data, pending->length), &change))
        status = membership_apply(&role->membership, &change);
    role->last_change = pending->index;
    if (status != STATUS_OK)
        LOG_WARN("membership change without effect", F_U64("index", pending->index),
                 F_STR("error", status_message(status)));
    else
        LOG_INFO("membership changed", F_U64("index", pending->index), F_HEX("member", change.node),
                 F_U64("type", change.type), F_U64("members", role->membership.count));
}

void role_apply_changes(struct raft_role *role) {
    size_t done = 0;
    uint64_t commit = raft_core_commit(role->core);
    while (done < role->change_count && role->changes[done].index <= commit) {
        apply_change(role, &role->changes[done]);
        free(role->changes[done].data);
        done++;
    }
    if (done == 0)
        return;
    role->change_count -= done;
    memmove(role->changes, role->changes + done, role->change_count * sizeof *role->changes);
    role_set_peers(role);
}
