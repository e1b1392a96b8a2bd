/*
 * leadership: whether this member leads *and* its apply has seen everything that a primary before it may have
 * put into the log: an entry of the present term, and, after a connection to raft began in this very term,
 * all that the log held then. Until then a revocation may be under way that was proposed before, and a lease
 * renewed now would be lost to it.
 */
#ifndef QUORATE_APPLY_LEASE_LEADERSHIP_H
#define QUORATE_APPLY_LEASE_LEADERSHIP_H

#include "common/bus/contract.h"

/* Zero-initialised: not connected. */
struct leadership {
    bool leads; /* as raft last said on this connection */
    uint64_t term;
    uint64_t met_term, met_last; /* raft's term and last index when the connection began */
};

static inline void leadership_up(struct leadership *leadership, const struct bus_hello *raft) {
    *leadership = (struct leadership){.met_term = raft->term, .met_last = raft->position};
}

static inline void leadership_down(struct leadership *leadership) {
    leadership->leads = false;
}

static inline void leadership_state(struct leadership *leadership, const struct bus_raft_state *state) {
    leadership->leads = state->role == RAFT_LEADER;
    leadership->term = state->term;
}

/* index, term: of the last entry executed. */
static inline bool leadership_holds(const struct leadership *leadership, uint64_t index, uint64_t term) {
    return leadership->leads && term == leadership->term &&
           (leadership->term != leadership->met_term || index >= leadership->met_last);
}

#endif
