/*
 * role_world: an apply role over a memory store, with raft, two proxies and maint at the other ends of
 * in-memory links. What the peers receive is remembered.
 */
#ifndef QUORATE_TESTS_UNIT_APPLY_ROLE_WORLD_H
#define QUORATE_TESTS_UNIT_APPLY_ROLE_WORLD_H

#include "apply/apply_role.h"

#include "memory_store.h"
#include "requests.h"

enum {
    PEER_RAFT,
    PEER_PROXY_0,
    PEER_PROXY_1,
    PEER_MAINT,
    PEER_COUNT,
    HEARD_LIMIT = 20000,
    PROPOSALS_LIMIT = 1000,
    WORLD_MEMBER = 0xbeef,
    WORLD_CLUSTER = 0xc0ffee
};

struct heard {
    uint16_t kind;
    int peer;
    struct bus_result result;       /* body owned */
    struct bus_events events;       /* BUS_APPLY_EVENTS; body owned */
    struct bus_watch_answer answer; /* BUS_APPLY_WATCH */
};

struct wire_queue {
    struct bytes frames[4096];
    size_t head, tail;
};

struct peer {
    struct bus_link *link; /* the peer's end */
    struct bus_link *own;  /* the role's end */
    struct wire_queue to_role, to_peer;
    uint64_t greet_position, greet_durable, greet_term;
    struct bus_hello hello; /* of the role */
    struct bus_progress progress;
    struct bus_checkpoint checkpoint;
    struct bus_apply_state state;
    struct bus_plan planned;
    unsigned ups, downs;
};

struct role_world {
    struct memory_store *store;
    struct apply_role *role;
    struct apply_options options;
    struct peer peers[PEER_COUNT];
    uint64_t now_us, index, connections;
    struct heard heard[HEARD_LIMIT];
    size_t heard_count;
    struct bytes proposals[PROPOSALS_LIMIT]; /* of apply itself, not executed; owned */
    size_t proposal_count;
    bool hold_jobs; /* settle does not run jobs */
};

/* NULL store: a new one. Links exist but are not connected. */
void role_world_open(struct role_world *world, struct memory_store *store,
                     const struct apply_options *options);
/* Frees role and links, keeps the store. */
void role_world_close(struct role_world *world);
void role_world_connect(struct role_world *world, int peer);
void role_world_disconnect(struct role_world *world, int peer);
/* Moves frames, ends rounds and (unless held) runs jobs until nothing moves. */
void role_world_settle(struct role_world *world);
/* Runs one job; false: there is none. */
bool role_world_run_job(struct role_world *world);
void role_world_tick(struct role_world *world, uint64_t pass_us);

/* raft says that this member leads, or follows, in the term; entries are of term 2. */
void role_world_lead(struct role_world *world, bool leads, uint64_t term);
/* What apply has proposed becomes entries. Returns how many. */
size_t role_world_execute_proposals(struct role_world *world);

/* Next entry; returns its request id. */
uint64_t role_world_entry(struct role_world *world, uint8_t slot, uint32_t number, struct buffer *body);
uint64_t role_world_put(struct role_world *world, uint8_t slot, const char *key, struct bytes value);
/* A read from the proxy itself (serializable) or through raft. */
uint64_t role_world_read(struct role_world *world, uint8_t slot, bool through_raft, uint16_t method,
                         struct buffer *body);
uint64_t role_world_range(struct role_world *world, uint8_t slot, const char *key, const char *end);
/* Registers the ranges (key, end; NULL ends; an end of "" is a single key) of a proxy that has seen
 * `revision`. */
void role_world_register(struct role_world *world, uint8_t slot, int64_t revision, bool previous,
                         const char *const *ranges);
/* Asks for a watch, or for progress; returns the id. */
uint64_t role_world_ask(struct role_world *world, uint8_t slot, uint16_t method);
/* All results of an id, put together; NULL: none yet. `parts` may be NULL. */
const struct bus_result *role_world_result(struct role_world *world, uint64_t id, struct buffer *body,
                                           unsigned *parts);

#endif
