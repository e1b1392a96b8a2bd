/* quorum: majorities of the voters in the present configuration (thesis 3.4, 3.6.2; learners do not count).
 */
#include "raft/core/core_state.h"

size_t core_voters(const struct raft_core *core) {
    size_t voters = 0;
    for (size_t i = 0; i < core->peer_count; i++)
        voters += !core->peers[i].learner;
    return voters;
}

bool core_is_voter(const struct raft_core *core) {
    return core->self != NULL && !core->self->learner;
}

uint64_t quorum_reached(const struct raft_core *core,
                        uint64_t (*value)(const struct raft_core *core, const struct progress *peer)) {
    uint64_t values[RAFT_PEER_LIMIT];
    size_t count = 0;
    for (size_t i = 0; i < core->peer_count; i++) {
        if (core->peers[i].learner)
            continue;
        uint64_t reached = value(core, &core->peers[i]);
        size_t place = count++;
        for (; place > 0 && values[place - 1] < reached; place--)
            values[place] = values[place - 1];
        values[place] = reached;
    }
    return count == 0 ? 0 : values[count / 2];
}
