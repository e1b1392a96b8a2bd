/*
 * fake_node: raft and apply as the proxy's role sees them, in memory: every record that arrives is kept for
 * the test to look at, and the test answers when it likes. Links can be taken down and up, with the same
 * process behind them or a new one.
 */
#ifndef QUORATE_TESTS_FAKE_NODE_H
#define QUORATE_TESTS_FAKE_NODE_H

#include "proxy/proxy_role.h"

enum { FAKE_RECORDS = 4096, FAKE_FRAMES = 1024 };

#define FAKE_MEMBER UINT64_C(0x8e9e05c52164694d)
#define FAKE_CLUSTER UINT64_C(0xcdf818194e3a8c32)

struct fake_record {
    uint16_t kind, method;
    uint64_t id, position;
    uint32_t time_left;
    struct buffer body;
};

struct fake_frames {
    struct buffer frames[FAKE_FRAMES];
    size_t head, tail;
};

/* One link: the proxy's end and the fake's. */
struct fake_link {
    struct bus_link *near, *far;
    struct fake_frames to_far, to_near;
    bool connected;
    uint64_t incarnation;
    struct fake_record records[FAKE_RECORDS];
    size_t record_count;
    struct fake_node *node;
    struct bus_hello seen; /* the proxy's last HELLO */
};

struct fake_node {
    struct proxy_role *role;
    struct fake_link raft, apply;
    uint64_t largest_id; /* raft's HELLO */
    bool unnamed;        /* no HELLO names the cluster */
    uint64_t now_us;
};

void fake_node_open(struct fake_node *node, const struct proxy_role_config *config);
void fake_node_close(struct fake_node *node);
void fake_link_up(struct fake_link *link, bool new_process);
void fake_link_down(struct fake_link *link);
/* Ends the proxy's round and moves frames until nothing moves. */
void fake_node_settle(struct fake_node *node);
/* Time passes. */
void fake_node_wait(struct fake_node *node, uint64_t microseconds);
/* Records that arrived so far are not needed any longer. */
void fake_forget(struct fake_link *link);
const struct fake_record *fake_last(const struct fake_link *link);
/* Answers from apply, and settles. */
void fake_answer(struct fake_node *node, const struct bus_result *result);
void fake_refuse(struct fake_node *node, uint64_t id, uint16_t status);

#endif
