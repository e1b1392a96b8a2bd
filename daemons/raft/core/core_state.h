/* core_state: what the files of the core share. Private to daemons/raft/core. */
#ifndef QUORATE_RAFT_CORE_CORE_STATE_H
#define QUORATE_RAFT_CORE_CORE_STATE_H

#include "raft/core/raft_core.h"

/* probe: one append at a time until a match is known; replicate: pipelined; snapshot: the log lacks what it
 * needs. */
enum progress_state { PROGRESS_PROBE, PROGRESS_REPLICATE, PROGRESS_SNAPSHOT };

/* What a leader knows of a member, and a candidate of its vote. */
struct progress {
    uint64_t id;
    uint64_t match, next;
    uint64_t commit_sent;                   /* newest commit index told */
    uint64_t read_context;                  /* newest read batch it has acknowledged */
    uint64_t inflight[RAFT_INFLIGHT_LIMIT]; /* replicate: last index of each unanswered append, ascending */
    unsigned inflight_count;
    enum progress_state state;
    enum { VOTE_NONE, VOTE_GRANTED, VOTE_REFUSED } vote;
    bool learner;
    bool probe_sent; /* probe: an append is unanswered; cleared by a heartbeat response */
    bool active;     /* heard of since the last quorum check */
};

/* A read batch on its way to confirmation. from == our id: our own; else a follower's, `context` is its
 * number. */
struct pending_read {
    uint64_t number; /* ours, ascending, what heartbeats carry */
    uint64_t from, context;
    uint64_t index;
};

/* A message that promises what is durable only once `version` is. */
struct held_message {
    uint64_t version;
    struct raft_message message;
};

struct raft_core {
    struct raft_core_options options;
    enum raft_core_role role;
    uint64_t term, vote, leader, commit;
    struct raft_log log;

    struct progress peers[RAFT_PEER_LIMIT];
    size_t peer_count;
    struct progress *self; /* in peers; NULL: we are no member */

    /* durability: `version` counts changes that must reach the disk */
    uint64_t version, taken_version, durable_version;
    bool taking;
    uint64_t unsaved;             /* first entry not handed out yet */
    uint64_t taken_last;          /* last entry of what was handed out, lowered by truncation */
    uint64_t durable;             /* last entry durable */
    struct raft_hard_state saved; /* newest handed out */

    unsigned election_elapsed, heartbeat_elapsed, election_timeout;
    uint64_t random;
    uint64_t transferee;
    bool broadcast;        /* appends or a commit index are to be sent */
    uint64_t change_index; /* a membership change may be uncommitted up to here */

    struct raft_message *messages;
    size_t message_count, message_capacity;
    struct held_message *held;
    size_t held_count, held_capacity;
    struct pending_read *reads;
    size_t read_count, read_capacity;
    uint64_t read_number;
    struct raft_read_state *read_states;
    size_t read_state_count, read_state_capacity;
};

/* raft_core.c */
void core_send(struct raft_core *core, struct raft_message message);
struct progress *core_peer(struct raft_core *core, uint64_t id);
bool core_is_voter(const struct raft_core *core);
size_t core_voters(const struct raft_core *core);
void core_enter_term(struct raft_core *core, uint64_t term);
void core_become_follower(struct raft_core *core, uint64_t term, uint64_t leader);
void core_become_leader(struct raft_core *core);
void core_reset_election_timer(struct raft_core *core);
void *core_grow(void *array, size_t *capacity, size_t count, size_t size);

/* durability.c */
void core_changed(struct raft_core *core); /* something must reach the disk */
/* Sent once everything changed so far is durable; a message to ourselves is stepped then. */
void core_send_when_durable(struct raft_core *core, struct raft_message message);

/* election.c */
void election_start(struct raft_core *core, bool forced, bool pre_vote);
void election_step_request(struct raft_core *core, const struct raft_message *message);
void election_step_response(struct raft_core *core, const struct raft_message *message);

/* replication.c */
uint64_t replication_append(struct raft_core *core, uint16_t type, struct bytes data);
void replication_reset(struct raft_core *core);
void replication_broadcast(struct raft_core *core);
void replication_heartbeat(struct raft_core *core);
void replication_advance_commit(struct raft_core *core);
void replication_step_append_response(struct raft_core *core, const struct raft_message *message);
void replication_step_heartbeat_response(struct raft_core *core, const struct raft_message *message);
/* True when a quorum of voters was heard of since the last call (6.2). */
bool replication_quorum_active(struct raft_core *core);
/* The newest index at or below `index` whose term is at most `term`. */
uint64_t replication_last_of_term(const struct raft_core *core, uint64_t index, uint64_t term);

/* follower.c */
void follower_step_append(struct raft_core *core, const struct raft_message *message);
void follower_step_heartbeat(struct raft_core *core, const struct raft_message *message);

/* quorum.c: the largest value that a quorum of the voters has reached. */
uint64_t quorum_reached(const struct raft_core *core,
                        uint64_t (*value)(const struct raft_core *core, const struct progress *peer));

/* read_index.c */
void read_index_drop(struct raft_core *core);
void read_index_term_committed(struct raft_core *core);
void read_index_acknowledged(struct raft_core *core);
void read_index_step_request(struct raft_core *core, const struct raft_message *message);
void read_index_step_response(struct raft_core *core, const struct raft_message *message);
/* Number of the newest read batch that waits for acknowledgements; 0: none. */
uint64_t read_index_newest(const struct raft_core *core);

#endif
