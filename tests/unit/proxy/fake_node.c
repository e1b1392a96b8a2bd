/* fake_node: see fake_node.h. */
#include "proxy/fake_node.h"

static bool push(struct fake_frames *queue, struct bytes frame) {
    REQUIRE(queue->tail - queue->head < FAKE_FRAMES);
    struct buffer *slot = &queue->frames[queue->tail++ % FAKE_FRAMES];
    *slot = (struct buffer){0};
    buffer_append_bytes(slot, frame);
    return true;
}

static bool send_far(void *context, struct bytes frame) {
    struct fake_link *link = context;
    return link->connected && push(&link->to_far, frame);
}

static bool send_near(void *context, struct bytes frame) {
    struct fake_link *link = context;
    return link->connected && push(&link->to_near, frame);
}

static bool deliver(struct fake_frames *queue, struct bus_link *to) {
    if (queue->head == queue->tail)
        return false;
    struct buffer frame = queue->frames[queue->head++ % FAKE_FRAMES];
    bus_link_frame(to, buffer_bytes(&frame));
    buffer_free(&frame);
    return true;
}

static void drop_frames(struct fake_frames *queue) {
    while (queue->head != queue->tail)
        buffer_free(&queue->frames[queue->head++ % FAKE_FRAMES]);
}

static void greet(void *context, struct bus_hello *hello) {
    const struct fake_link *link = context;
    hello->node = FAKE_MEMBER;
    hello->cluster = link->node->unnamed ? 0 : FAKE_CLUSTER;
    hello->term = 2;
    hello->largest_id = link->node->largest_id;
}

static void up(void *context, struct bus_link *far, const struct bus_hello *peer) {
    struct fake_link *link = context;
    link->seen = *peer;
    if (link == &link->node->apply)
        bus_put_result(far, BUS_APPLY_RESULT, &(struct bus_result){0});
}

static void record(void *context, struct bus_link *far, const struct bus_record *received) {
    (void)far;
    struct fake_link *link = context;
    REQUIRE(link->record_count < FAKE_RECORDS);
    struct fake_record *kept = &link->records[link->record_count++];
    *kept = (struct fake_record){.kind = received->kind,
                                 .method = received->code,
                                 .id = received->id,
                                 .position = received->position,
                                 .time_left = received->time_left};
    buffer_append_bytes(&kept->body, received->body);
}

static void make_far(struct fake_link *link) {
    bool raft = link == &link->node->raft;
    link->far = bus_link_new(
        raft ? "raft.proxy-1" : "apply.proxy-1", raft ? BUS_ROLE_RAFT : BUS_ROLE_APPLY, 0, BUS_ROLE_PROXY, 1,
        link->incarnation, (struct bus_transport){.send = send_near, .context = link},
        (struct bus_handler){.greet = greet, .up = up, .record = record, .context = link});
}

static void make(struct fake_node *node, struct fake_link *link, enum bus_role peer) {
    link->node = node;
    link->incarnation = 100;
    link->near = bus_link_new(peer == BUS_ROLE_RAFT ? "raft.proxy-1" : "apply.proxy-1", BUS_ROLE_PROXY, 1,
                              peer, 0, 7, (struct bus_transport){.send = send_far, .context = link},
                              proxy_role_handler(node->role, peer));
    make_far(link);
}

void fake_node_open(struct fake_node *node, const struct proxy_role_config *config) {
    memset(node, 0, sizeof *node);
    node->now_us = 1000000;
    node->role = proxy_role_new(config);
    make(node, &node->raft, BUS_ROLE_RAFT);
    make(node, &node->apply, BUS_ROLE_APPLY);
    proxy_role_attach(node->role, node->raft.near, node->apply.near, NULL);
}

void fake_forget(struct fake_link *link) {
    for (size_t i = 0; i < link->record_count; i++)
        buffer_free(&link->records[i].body);
    link->record_count = 0;
}

static void close_link(struct fake_link *link) {
    drop_frames(&link->to_far);
    drop_frames(&link->to_near);
    fake_forget(link);
    bus_link_free(link->near);
    bus_link_free(link->far);
}

void fake_node_close(struct fake_node *node) {
    close_link(&node->raft);
    close_link(&node->apply);
    proxy_role_free(node->role);
}

void fake_link_up(struct fake_link *link, bool new_process) {
    if (new_process) {
        link->incarnation++;
        bus_link_free(link->far);
        make_far(link);
    }
    link->connected = true;
    bus_link_connected(link->near);
    bus_link_connected(link->far);
    fake_node_settle(link->node);
}

void fake_link_down(struct fake_link *link) {
    link->connected = false;
    drop_frames(&link->to_far);
    drop_frames(&link->to_near);
    bus_link_disconnected(link->near);
    bus_link_disconnected(link->far);
}

static bool move(struct fake_link *link) {
    bus_link_flush(link->far);
    bool moved = deliver(&link->to_far, link->far);
    return deliver(&link->to_near, link->near) || moved;
}

void fake_node_settle(struct fake_node *node) {
    bool moved = true;
    while (moved) {
        proxy_role_end_round(node->role);
        moved = move(&node->raft);
        moved = move(&node->apply) || moved;
    }
}

void fake_node_wait(struct fake_node *node, uint64_t microseconds) {
    node->now_us += microseconds;
    proxy_role_tick(node->role, node->now_us);
    fake_node_settle(node);
}

const struct fake_record *fake_last(const struct fake_link *link) {
    REQUIRE(link->record_count > 0);
    return &link->records[link->record_count - 1];
}

void fake_answer(struct fake_node *node, const struct bus_result *result) {
    REQUIRE(bus_put_result(node->apply.far, BUS_APPLY_RESULT, result));
    fake_node_settle(node);
}

void fake_refuse(struct fake_node *node, uint64_t id, uint16_t status) {
    REQUIRE(
        bus_put_result(node->raft.far, BUS_RAFT_REFUSED, &(struct bus_result){.id = id, .status = status}));
    fake_node_settle(node);
}
