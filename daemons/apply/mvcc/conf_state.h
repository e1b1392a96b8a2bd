/*
 * conf_state: who votes, as of the consistent index, kept with it in the same batch; raftpb.ConfState on disk
 * (voters = 1, learners = 2), changed by raftpb.ConfChange entries.
 */
#ifndef QUORATE_APPLY_MVCC_CONF_STATE_H
#define QUORATE_APPLY_MVCC_CONF_STATE_H

#include "common/bytes.h"

enum { CONF_STATE_LIMIT = 16 };

struct conf_state {
    uint64_t voters[CONF_STATE_LIMIT], learners[CONF_STATE_LIMIT]; /* ascending */
    unsigned voter_count, learner_count;
};

/* Applies one raftpb.ConfChange. False, and no change, when malformed or beyond the limit. */
bool conf_state_apply(struct conf_state *state, struct bytes conf_change);
void conf_state_encode(const struct conf_state *state, struct buffer *out);
bool conf_state_decode(struct bytes encoded, struct conf_state *out);

#endif
