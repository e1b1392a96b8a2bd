/*
 * raft_core: consensus as a pure state machine (D. Ongaro, "Consensus: Bridging Theory and Practice", 2014;
 * sections are cited where a rule is applied).
 *
 * In: tick, propose, step(message), persisted, read_index. Out: what to make durable (raft_core_take),
 * messages to send, the commit index, confirmed reads. No I/O, clock, thread or randomness of its own: a tick
 * is the unit of time, election timeouts come from the seed.
 *
 * Happy path. The owner proposes, takes {hard state, entries}, makes them durable, says persisted; entries
 * are replicated meanwhile (10.2.1: the leader writes its disk in parallel with its followers); what a quorum
 * of the members holds durably is committed. A message that promises something durable (a vote, an
 * acknowledgement) is held back until that is on disk.
 *
 * Failure modes. Messages may be lost, late, doubled and reordered. A term newer than ours makes us a
 * follower; an older one is answered with ours or ignored. A leader without a quorum's answers for an
 * election timeout steps down (6.2). A broken invariant (a committed entry overwritten) is a PANIC.
 */
#ifndef QUORATE_RAFT_CORE_RAFT_CORE_H
#define QUORATE_RAFT_CORE_RAFT_CORE_H

#include "raft/core/raft_log.h"

enum {
    RAFT_PEER_LIMIT = 16,
    RAFT_INFLIGHT_LIMIT = 64,     /* unanswered appends per follower */
    RAFT_READ_BATCH_LIMIT = 1024, /* unconfirmed read batches; more are lost, as messages may be */
};

/* raftpb.EntryType */
enum { RAFT_ENTRY_NORMAL, RAFT_ENTRY_CONF_CHANGE, RAFT_ENTRY_CONF_CHANGE_V2 };

enum raft_core_role { CORE_FOLLOWER, CORE_PRE_CANDIDATE, CORE_CANDIDATE, CORE_LEADER };

struct raft_peer {
    uint64_t id;
    bool learner;
};

struct raft_hard_state {
    uint64_t term, vote, commit;
};

enum raft_message_type {
    RAFT_PRE_VOTE,
    RAFT_PRE_VOTE_RESPONSE,
    RAFT_VOTE,
    RAFT_VOTE_RESPONSE,
    RAFT_APPEND,
    RAFT_APPEND_RESPONSE,
    RAFT_HEARTBEAT,
    RAFT_HEARTBEAT_RESPONSE,
    RAFT_READ_INDEX,
    RAFT_READ_INDEX_RESPONSE,
    RAFT_TIMEOUT_NOW,
};

struct raft_message {
    enum raft_message_type type;
    uint64_t from, to, term;
    /* (pre-)vote: the candidate's last entry. append: the entry before the first. append response: the last
     * entry known to match, or (reject) where the leader should try next. read index response: the index. */
    uint64_t log_index, log_term;
    uint64_t commit;  /* append, heartbeat */
    uint64_t context; /* read index, heartbeat and their responses: number of a read batch; 0: none */
    bool reject;
    bool forced; /* vote: leadership transfer, ignore the leader's lease (3.10) */
    /* append. Outgoing: entries (log_index, last] of our log, the sender looks them up. Incoming: `count`
     * entries from log_index + 1 on. append response with reject: last = the log_index that did not match. */
    uint64_t last;
    const struct raft_entry *entries;
    size_t count;
};

struct raft_core_options {
    uint64_t id;
    unsigned election_ticks, heartbeat_ticks; /* heartbeat < election */
    bool pre_vote;
    uint64_t seed;
    size_t cache_bytes;
    size_t append_bytes; /* data in one append message, beyond the first entry; 0: 1 MiB */
};

struct raft_core;

struct raft_core *raft_core_new(const struct raft_core_options *options);
void raft_core_free(struct raft_core *core);

/* --- loading, before raft_core_start --- */

/* For appending what was read from disk (raft_log_append, raft_log_truncate). All of it counts as durable. */
struct raft_log *raft_core_loading_log(struct raft_core *core);
void raft_core_load_state(struct raft_core *core, const struct raft_hard_state *state);
/* Who is a member as of the commit index. Also after a membership change has been committed. */
void raft_core_set_peers(struct raft_core *core, const struct raft_peer *peers, size_t count);
/* A new cluster: the membership changes that found it are entries 1.. of term 1, committed. Instead of
 * loading. */
void raft_core_bootstrap(struct raft_core *core, const struct bytes *changes, size_t count);
/* A sole voter campaigns at once; everybody else waits for an election timeout. */
void raft_core_start(struct raft_core *core);

/* --- events --- */

void raft_core_tick(struct raft_core *core);
void raft_core_campaign(struct raft_core *core);
enum raft_proposed { RAFT_PROPOSED, RAFT_NOT_LEADER, RAFT_CHANGE_PENDING, RAFT_TRANSFERRING };
/* Appends at the leader. A membership change is refused while another may be uncommitted (4.1, 4.4). */
enum raft_proposed raft_core_propose(struct raft_core *core, uint16_t type, struct bytes data);
void raft_core_step(struct raft_core *core, const struct raft_message *message);
/* Gives leadership to a voter once its log is complete (3.10); false if it is none or we do not lead. */
bool raft_core_transfer(struct raft_core *core, uint64_t to);

/* --- reads (6.4) --- */

/* True when the commit index may be read without asking anyone: sole voter, an entry of its term committed.
 */
bool raft_core_read_now(const struct raft_core *core, uint64_t *index);
/*
 * Asks for the index that a read starting now has to see. Returns the number under which a raft_read_state
 * will come, 0 if there is no leader. Lost when term or leader change: the owner asks again.
 */
uint64_t raft_core_read_index(struct raft_core *core);
struct raft_read_state {
    uint64_t context, index;
};

/* --- what is to be done --- */

struct raft_ready {
    uint64_t first, last; /* entries to make durable; first > last: none */
    bool has_state;
    struct raft_hard_state state; /* to be made durable with them, behind them */
};
/* True if something is to be made durable and nothing is under way. */
bool raft_core_take(struct raft_core *core, struct raft_ready *ready);
/* All that was taken last is durable. */
void raft_core_persisted(struct raft_core *core);

/* Messages that may be sent now; the owner sends what it can (loss is allowed) and clears. */
const struct raft_message *raft_core_messages(struct raft_core *core, size_t *count);
void raft_core_messages_clear(struct raft_core *core);
const struct raft_read_state *raft_core_read_states(const struct raft_core *core, size_t *count);
void raft_core_read_states_clear(struct raft_core *core);

/* --- what it knows --- */

const struct raft_log *raft_core_log(const struct raft_core *core);
/* Cuts the log behind index (durable in apply, at most commit). */
void raft_core_release(struct raft_core *core, uint64_t index);
enum raft_core_role raft_core_role(const struct raft_core *core);
uint64_t raft_core_term(const struct raft_core *core);
uint64_t raft_core_leader(const struct raft_core *core); /* 0: none */
uint64_t raft_core_commit(const struct raft_core *core);
uint64_t raft_core_durable(const struct raft_core *core); /* last entry durable here */
struct raft_hard_state raft_core_hard_state(const struct raft_core *core);
/* For a follower that needs entries before our log: it has to be sent a snapshot. */
bool raft_core_peer_needs_snapshot(const struct raft_core *core, uint64_t id);

#endif
