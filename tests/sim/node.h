/*
 * node: one member, its daemons as processes that can be killed, their links, disk and store.
 *
 * Each daemon runs the production role loop; what main.c does around it (opening files, ticks, taking and
 * executing actions) is done here over virtual time and models, in node_<daemon>.c, as a `struct
 * daemon_kind`. A dead daemon is started again after a while, as the launcher does.
 */
#ifndef QUORATE_SIM_NODE_H
#define QUORATE_SIM_NODE_H

#include "common/membership.h"
#include "log_truth.h"
#include "maint/maint_role.h"
#include "model_disk.h"
#include "process.h"
#include "proxy/proxy_role.h"
#include "sim_bus.h"
#include "sim_store.h"
#include "tamper.h"

enum { NODE_PROXIES = 2, NODE_RAFT = NODE_PROXIES, NODE_APPLY, NODE_MAINT, NODE_DAEMONS };
enum { NODE_EDGES = 3 * NODE_PROXIES + 3, DAEMON_LINKS = 8 };

#define NODE_MEMBER_DIRECTORY "member"

struct daemon;
struct node;

/* What differs between the four. Everything but stop runs inside the process. */
struct daemon_kind {
    enum bus_role role;
    uint64_t tick_us;
    /* Makes the role, up to where links can be attached. False and a sentence in error: it refuses. */
    bool (*start)(struct daemon *daemon, char error[512]);
    struct bus_handler (*handler)(struct daemon *daemon, enum bus_role peer, uint8_t slot);
    void (*attach)(struct daemon *daemon, enum bus_role peer, uint8_t slot, struct bus_link *link);
    void (*tick)(struct daemon *daemon);
    /* The role's own end of round, then its actions. */
    void (*end_round)(struct daemon *daemon);
    /* Frees the role, if start got as far as making it. */
    void (*stop)(struct daemon *daemon);
};

struct daemon_link {
    struct edge_end *end;
    struct bus_link *link; /* NULL while the daemon is dead */
    const char *name;
    enum bus_role peer;
    uint8_t peer_slot;
    struct tamper tamper; /* of planted bugs */
};

struct daemon {
    struct process process;
    struct node *node;
    const struct daemon_kind *kind;
    uint8_t slot;
    char name[16];
    struct daemon_link links[DAEMON_LINKS];
    unsigned link_count;
    struct raft_daemon *raft;   /* node_raft.c */
    struct apply_daemon *apply; /* node_apply.c */
    struct proxy_role *proxy;   /* node_proxy.c */
    struct maint_role *maint;   /* node_maint.c */
};

struct node {
    struct world *world;
    struct random random; /* delays of processes and actions */
    struct random bus_random, store_random, tamper_random;
    struct daemon daemons[NODE_DAEMONS];
    struct edge *edges[NODE_EDGES];
    char edge_names[NODE_EDGES][32];
    struct model_disk *disk;
    struct sim_store *store;
    bool disk_failing;      /* a disk operation is about to fail */
    uint64_t disk_fails_at; /* that operation's number */
    struct log_truth log;
    struct maint_work *maint_work; /* that maint's worker has */
    uint64_t compactions;          /* by the present maint */
    struct membership membership;
    uint64_t member;
    uint64_t clock_base_us; /* the wall clock at virtual time 0 */
    int64_t clock_skew_us;  /* of the wall clock against virtual time; changes at restarts */
    /* Sizes that differ from run to run, so that limits are met: set by node_new from the seed. */
    uint64_t segment_bytes, release_bytes, flush_entries;
    size_t cache_bytes;
    uint32_t inline_keys;
    uint64_t lease_checkpoint_us, large_delete_keys;
    size_t history_part_bytes, publish_bytes, pending_bytes; /* 0: what is usual */
    struct watch_limits watch_limits;
    /* A proxy is about to be torn down: its calls will never be answered. */
    void (*proxy_died)(void *context, unsigned slot);
    void *context;
};

struct node *node_new(struct world *world);
void node_free(struct node *node);
/* Starts every daemon, in any order. */
void node_start(struct node *node);
/* NULL while it is dead. */
struct proxy_role *node_proxy(struct node *node, unsigned slot);
/* Runs something inside a proxy, as its HTTP side would. Nothing happens when it is dead. */
void node_in_proxy(struct node *node, unsigned slot, world_action body, void *context);
/* Kills one daemon (index below NODE_DAEMONS) or the machine. */
void node_kill(struct node *node, unsigned daemon);
void node_crash(struct node *node);
/* The daemon (or with crash the machine) dies at one of the next boundaries it passes. */
void node_kill_soon(struct node *node, unsigned daemon, uint64_t boundaries, bool crash);
/* A disk operation of raft, so many from now, fails with this errno. 0 operations: none does. */
void node_fail_disk(struct node *node, uint64_t operations, int error);
/* True once after it did: the process that met it has to end, which is no failure of the run. */
bool node_disk_failed(struct node *node);
void node_break_link(struct node *node, unsigned edge);
bool node_all_alive(const struct node *node);
/* The last index of raft's log; 0 while raft is dead. */
uint64_t node_last_index(const struct node *node);

/* The disk that daemons see: boundaries of the process that uses it, then the model. */
struct disk *guarded_disk(struct model_disk *model);

extern const struct daemon_kind raft_kind, apply_kind, proxy_kind, maint_kind;

/* Planted bugs. */
extern bool node_plant_no_sync;  /* the log is written but not synced */
extern bool node_plant_early;    /* a write counts as durable before it is written */
extern bool node_plant_overlook; /* maint does not see everything in a checkpoint */
extern bool node_plant_clock;    /* apply's clock does not begin anew with its process */

#endif
