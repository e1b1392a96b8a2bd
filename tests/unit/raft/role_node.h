/*
 * role_node: a raft role over the model disk with fake ends of its links, for tests: two proxies and apply,
 * each a real bus_link over an in-memory transport. The test decides when frames move and when the disk
 * works.
 */
#ifndef QUORATE_TESTS_ROLE_NODE_H
#define QUORATE_TESTS_ROLE_NODE_H

#include "common/bus/contract.h"
#include "common/disk.h"
#include "raft/raft_role.h"
#include "raft/raft_storage.h"

enum { NODE_PROXIES = 2, NODE_FRAMES = 4096, NODE_SEEN = 1 << 16 };

struct node_frames {
    struct bytes frames[NODE_FRAMES]; /* owned copies */
    size_t head, tail;
};

/* Our end and the fake's. */
struct node_link {
    struct bus_link *own, *peer;
    struct node_frames to_peer, to_own;
    bool cut; /* nothing can be sent */
};

/* What the fake apply saw on its link, in order. */
struct seen {
    uint16_t kind; /* BUS_RAFT_ENTRY or BUS_RAFT_READ */
    uint64_t index, term, id;
    uint16_t type;
    size_t length;
    uint8_t first; /* byte of the data */
};

struct fake_apply {
    struct node_link link;
    uint64_t applied, durable; /* HELLO and progress */
    struct seen seen[NODE_SEEN];
    size_t seen_count;
    unsigned ups, states;
    struct bus_raft_state state;
};

struct fake_proxy {
    struct node_link link;
    struct bus_hello raft;
    struct bus_raft_state state;
    unsigned ups, states;
    uint16_t refused_status;
    uint64_t refused_id;
    unsigned refused, results;
    struct bus_result result;
    uint8_t result_body[4096];
};

struct node {
    struct disk *disk;
    struct raft_role *role;
    struct raft_storage *storage;
    struct raft_role_options options;
    struct raft_storage_options storage_options;
    struct membership bootstrap;
    struct raft_persist persist; /* taken, not done */
    bool persisting;
    struct raft_fetch *fetch;
    uint64_t now_us;
    struct fake_apply apply;
    struct fake_proxy proxies[NODE_PROXIES];
    unsigned appends, releases, fetches;
};

/* Options may be changed between init and start. */
void node_init(struct node *node, struct disk *disk);
/* Opens storage, starts the role, makes the links (not connected). False: error is set, nothing is left open.
 */
bool node_start(struct node *node, char error[512]);
/* Role and links are gone as after a kill; the disk is the caller's. */
void node_stop(struct node *node);

void node_connect(struct node_link *link);
void node_disconnect(struct node_link *link);

/* One round: moves every frame that is under way, ends the round. True if anything moved. */
bool node_round(struct node *node);
/* Takes what there is to persist; does it; tells the role. Each false when there is nothing. */
bool node_take(struct node *node);
bool node_do(struct node *node);
bool node_fetch(struct node *node);
/* Rounds and disk work until nothing is left. */
void node_settle(struct node *node);
/* The same without disk work. */
void node_settle_links(struct node *node);
void node_tick(struct node *node, uint64_t later_us);

/* Puts a proposal of `length` bytes of value `fill`; the entry's data is its InternalRaftRequest. */
void node_propose(struct node *node, unsigned slot, uint64_t counter, size_t length, uint8_t fill);
void node_read(struct node *node, unsigned slot, uint64_t counter, uint32_t time_left);
uint64_t node_id(const struct node *node, unsigned slot, uint64_t counter);
/* The fake apply reports progress up to where it is. */
void node_progress(struct node *node, uint64_t applied, uint64_t durable);

#endif
