/*
 * replication: the leader's side (thesis 3.5, 3.6.2, 10.2): appends per follower, commit by quorum.
 *
 * A follower is probed with one append at a time until a match is known, then appends are pipelined up to
 * RAFT_INFLIGHT_LIMIT messages. A lost append shows as a rejection of a later one, or at the next heartbeat.
 */
#include "raft/core/core_state.h"

enum { UNCACHED_ENTRIES = 64 /* in one append when their sizes are not known (data not in memory) */ };

uint64_t replication_append(struct raft_core *core, uint16_t type, struct bytes data) {
    uint64_t index = raft_log_append(&core->log, core->term, type, data);
    core_changed(core);
    core->broadcast = true;
    return index;
}

void replication_reset(struct raft_core *core) {
    for (size_t i = 0; i < core->peer_count; i++) {
        struct progress *peer = &core->peers[i];
        *peer = (struct progress){
            .id = peer->id, .learner = peer->learner, .next = core->log.last + 1, .active = true};
    }
}

uint64_t replication_last_of_term(const struct raft_core *core, uint64_t index, uint64_t term) {
    uint64_t found = 0;
    while (index > core->log.base_index && raft_log_term(&core->log, index, &found) && found > term)
        index--;
    return index;
}

/* The last entry that one append from `next` on may carry. */
static uint64_t append_end(const struct raft_core *core, uint64_t next) {
    struct raft_entry entry;
    size_t bytes = 0;
    uint64_t last = next - 1;
    while (last < core->log.last && bytes < core->options.append_bytes) {
        if (!raft_log_get(&core->log, last + 1, &entry))
            bytes += core->options.append_bytes / UNCACHED_ENTRIES;
        else
            bytes += entry.data.length;
        last++;
    }
    return last;
}

/* One append from peer->next on, maybe empty. False if the log no longer reaches back so far. */
static bool send_one(struct raft_core *core, struct progress *peer) {
    uint64_t term = 0;
    if (!raft_log_term(&core->log, peer->next - 1, &term)) {
        peer->state = PROGRESS_SNAPSHOT;
        return false;
    }
    uint64_t last = append_end(core, peer->next);
    core_send(core, (struct raft_message){.type = RAFT_APPEND,
                                          .to = peer->id,
                                          .term = core->term,
                                          .log_index = peer->next - 1,
                                          .log_term = term,
                                          .commit = core->commit,
                                          .last = last});
    peer->commit_sent = core->commit;
    if (peer->state == PROGRESS_PROBE) {
        peer->probe_sent = true;
    } else if (last >= peer->next) {
        peer->inflight[peer->inflight_count++] = last;
        peer->next = last + 1;
    }
    return true;
}

static void send_appends(struct raft_core *core, struct progress *peer, bool even_empty) {
    if (peer->state == PROGRESS_PROBE) {
        if (!peer->probe_sent)
            send_one(core, peer);
        return;
    }
    while (peer->state == PROGRESS_REPLICATE && peer->inflight_count < RAFT_INFLIGHT_LIMIT &&
           (peer->next <= core->log.last || even_empty)) {
        even_empty = false;
        if (!send_one(core, peer))
            return;
    }
}

void replication_broadcast(struct raft_core *core) {
    core->broadcast = false;
    for (size_t i = 0; i < core->peer_count && core->role == CORE_LEADER; i++) {
        struct progress *peer = &core->peers[i];
        if (peer != core->self)
            send_appends(core, peer, peer->commit_sent < core->commit);
    }
}

void replication_heartbeat(struct raft_core *core) {
    core->heartbeat_elapsed = 0;
    for (size_t i = 0; i < core->peer_count; i++) {
        const struct progress *peer = &core->peers[i];
        if (peer == core->self)
            continue;
        core_send(core,
                  (struct raft_message){.type = RAFT_HEARTBEAT,
                                        .to = peer->id,
                                        .term = core->term,
                                        .commit = peer->match < core->commit ? peer->match : core->commit,
                                        .context = read_index_newest(core)});
    }
}

/* 10.2.1: the leader's own append counts when it is durable, not before. */
static uint64_t matched(const struct raft_core *core, const struct progress *peer) {
    return peer == core->self ? core->durable : peer->match;
}

/* 3.6.2: only an entry of the leader's own term is committed by counting; it carries those before it. */
void replication_advance_commit(struct raft_core *core) {
    uint64_t reached = quorum_reached(core, matched);
    uint64_t term = 0;
    if (reached <= core->commit || !raft_log_term(&core->log, reached, &term) || term != core->term)
        return;
    core->commit = reached;
    core->broadcast = true;
    read_index_term_committed(core);
}

static void free_inflight(struct progress *peer, uint64_t match) {
    unsigned done = 0;
    while (done < peer->inflight_count && peer->inflight[done] <= match)
        done++;
    peer->inflight_count -= done;
    memmove(peer->inflight, peer->inflight + done, peer->inflight_count * sizeof *peer->inflight);
}

static void probe_from(struct progress *peer, uint64_t next) {
    peer->state = PROGRESS_PROBE;
    peer->next = next;
    peer->probe_sent = false;
    peer->inflight_count = 0;
}

static void rejected(struct raft_core *core, struct progress *peer, const struct raft_message *message) {
    if (peer->state == PROGRESS_REPLICATE) {
        if (message->last <= peer->match)
            return; /* late: it has matched since */
        probe_from(peer, peer->match + 1);
    } else {
        if (message->last != peer->next - 1)
            return; /* answers an earlier probe */
        uint64_t try = replication_last_of_term(core, message->log_index, message->log_term);
        if (try > message->last - 1)
            try = message->last - 1;
        probe_from(peer, (try < peer->match ? peer->match : try) + 1);
    }
    send_appends(core, peer, true);
}

static void accepted(struct raft_core *core, struct progress *peer, uint64_t match) {
    if (match > core->log.last)
        return; /* garbage: nobody has more of our term than we have */
    if (match > peer->match)
        peer->match = match;
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    if (peer->state != PROGRESS_REPLICATE && peer->match >= core->log.base_index) {
        probe_from(peer, peer->match + 1);
        peer->state = PROGRESS_REPLICATE;
    }
    free_inflight(peer, peer->match);
    replication_advance_commit(core);
    send_appends(core, peer, false);
    if (core->transferee == peer->id && peer->match == core->log.last)
        core_send(core, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = peer->id, .term = core->term});
}

void replication_step_append_response(struct raft_core *core, const struct raft_message *message) {
    struct progress *peer = core_peer(core, message->from);
    if (core->role != CORE_LEADER || peer == NULL)
        return;
    peer->active = true;
    if (message->reject)
        rejected(core, peer, message);
    else
        accepted(core, peer, message->log_index);
}

void replication_step_heartbeat_response(struct raft_core *core, const struct raft_message *message) {
    struct progress *peer = core_peer(core, message->from);
    if (core->role != CORE_LEADER || peer == NULL)
        return;
    peer->active = true;
    peer->probe_sent = false;
    if (peer->inflight_count == RAFT_INFLIGHT_LIMIT)
        free_inflight(peer, peer->inflight[0]);
    if (peer->match < core->log.last)
        send_appends(core, peer, true);
    if (message->context > peer->read_context) {
        peer->read_context = message->context;
        read_index_acknowledged(core);
    }
}

static uint64_t was_active(const struct raft_core *core, const struct progress *peer) {
    return peer == core->self || peer->active;
}

bool replication_quorum_active(struct raft_core *core) {
    bool active = quorum_reached(core, was_active) != 0;
    for (size_t i = 0; i < core->peer_count; i++)
        core->peers[i].active = false;
    return active;
}
