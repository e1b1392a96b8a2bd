/* role_node: see role_node.h. */
#include "raft/role_node.h"

#include <stdlib.h>

#include "common/request.h"

/* --- links ---------------------------------------------------------------------------------------------- */

static void push(struct node_frames *frames, struct bytes frame) {
    REQUIRE(frames->tail - frames->head < NODE_FRAMES);
    uint8_t *copy = must_alloc(frame.length);
    memcpy(copy, frame.data, frame.length);
    frames->frames[frames->tail++ % NODE_FRAMES] = bytes_of(copy, frame.length);
}

static struct bytes pop(struct node_frames *frames) {
    return frames->frames[frames->head++ % NODE_FRAMES];
}

static void drop(struct node_frames *frames) {
    while (frames->head != frames->tail)
        free((void *)(uintptr_t)pop(frames).data);
}

static bool send_to_peer(void *context, struct bytes frame) {
    struct node_link *link = context;
    if (!link->cut)
        push(&link->to_peer, frame);
    return !link->cut;
}

static bool send_to_own(void *context, struct bytes frame) {
    struct node_link *link = context;
    if (!link->cut)
        push(&link->to_own, frame);
    return !link->cut;
}

static bool move(struct node_frames *frames, struct bus_link *to) {
    bool moved = frames->head != frames->tail;
    while (frames->head != frames->tail) {
        struct bytes frame = pop(frames);
        bus_link_frame(to, frame);
        free((void *)(uintptr_t)frame.data);
    }
    return moved;
}

static void open_link(struct node_link *link, enum bus_role peer, uint8_t slot, struct bus_handler own,
                      struct bus_handler fake) {
    static uint64_t incarnation;
    link->own = bus_link_new("own", BUS_ROLE_RAFT, 0, peer, slot, ++incarnation,
                             (struct bus_transport){.send = send_to_peer, .context = link}, own);
    link->peer = bus_link_new("fake", peer, slot, BUS_ROLE_RAFT, 0, ++incarnation,
                              (struct bus_transport){.send = send_to_own, .context = link}, fake);
    link->cut = true;
}

static void close_link(struct node_link *link) {
    drop(&link->to_own);
    drop(&link->to_peer);
    bus_link_free(link->own);
    bus_link_free(link->peer);
    *link = (struct node_link){0};
}

void node_connect(struct node_link *link) {
    link->cut = false;
    bus_link_connected(link->own);
    bus_link_connected(link->peer);
}

void node_disconnect(struct node_link *link) {
    drop(&link->to_own);
    drop(&link->to_peer);
    link->cut = true;
    bus_link_disconnected(link->own);
    bus_link_disconnected(link->peer);
}

/* --- the fake apply ------------------------------------------------------------------------------------- */

static void apply_greet(void *context, struct bus_hello *hello) {
    const struct fake_apply *apply = context;
    hello->position = apply->applied;
    hello->durable = apply->durable;
}

static void apply_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct fake_apply *apply = context;
    (void)link;
    (void)peer;
    apply->ups++;
}

static void apply_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct fake_apply *apply = context;
    struct bus_entry entry;
    struct bus_request request;
    (void)link;
    if (record->kind == BUS_RAFT_STATE) {
        REQUIRE(bus_get_raft_state(record, &apply->state));
        apply->states++;
        return;
    }
    REQUIRE(apply->seen_count < NODE_SEEN);
    struct seen *seen = &apply->seen[apply->seen_count++];
    *seen = (struct seen){.kind = record->kind};
    if (record->kind == BUS_RAFT_ENTRY) {
        REQUIRE(bus_get_entry(record, &entry));
        seen->index = entry.index;
        seen->term = entry.term;
        seen->type = entry.type;
        seen->length = entry.data.length;
        seen->first = entry.data.length > 0 ? entry.data.data[0] : 0;
    } else {
        REQUIRE(record->kind == BUS_RAFT_READ && bus_get_request(record, &request));
        seen->id = request.id;
    }
}

/* --- the fake proxies ----------------------------------------------------------------------------------- */

static void proxy_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct fake_proxy *proxy = context;
    (void)link;
    proxy->raft = *peer;
    proxy->ups++;
}

static void proxy_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct fake_proxy *proxy = context;
    (void)link;
    if (record->kind == BUS_RAFT_STATE) {
        REQUIRE(bus_get_raft_state(record, &proxy->state));
        proxy->states++;
        return;
    }
    struct bus_result result;
    REQUIRE(bus_get_result(record, &result));
    if (record->kind == BUS_RAFT_REFUSED) {
        proxy->refused++;
        proxy->refused_status = result.status;
        proxy->refused_id = result.id;
    } else {
        REQUIRE(record->kind == BUS_RAFT_RESULT && result.body.length <= sizeof proxy->result_body);
        proxy->results++;
        proxy->result = result;
        if (result.body.length > 0)
            memcpy(proxy->result_body, result.body.data, result.body.length);
        proxy->result.body.data = proxy->result_body;
    }
}

/* --- the node ------------------------------------------------------------------------------------------- */

void node_init(struct node *node, struct disk *disk) {
    uint64_t id = 0;
    char error[256];
    memset(node, 0, sizeof *node);
    node->disk = disk;
    node->now_us = 1000 * 1000;
    REQUIRE(membership_bootstrap("a=http://127.0.0.1:43380", "tok-1", "a", &node->bootstrap, &id, error));
    node->options = (struct raft_role_options){
        .member = id,
        .cluster = node->bootstrap.cluster,
        .proxies = NODE_PROXIES,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .pre_vote = true,
        .seed = 1,
        .bootstrap = &node->bootstrap,
        .client_urls = "http://127.0.0.1:2379",
    };
    node->storage_options = (struct raft_storage_options){
        .disk = disk,
        .member_directory = "member",
        .wal_directory = "member/wal",
        .member = id,
        .cluster = node->bootstrap.cluster,
        .nonce = 7,
        .segment_bytes = 8 << 20,
        .sync = true,
    };
}

static void open_links(struct node *node) {
    open_link(&node->apply.link, BUS_ROLE_APPLY, 0, raft_role_apply_handler(node->role),
              (struct bus_handler){
                  .greet = apply_greet, .up = apply_up, .record = apply_record, .context = &node->apply});
    raft_role_attach_apply(node->role, node->apply.link.own);
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++) {
        struct fake_proxy *proxy = &node->proxies[slot];
        open_link(&proxy->link, BUS_ROLE_PROXY, (uint8_t)slot, raft_role_proxy_handler(node->role, slot),
                  (struct bus_handler){.up = proxy_up, .record = proxy_record, .context = proxy});
        raft_role_attach_proxy(node->role, slot, proxy->link.own);
    }
}

bool node_start(struct node *node, char error[512]) {
    node->role = raft_role_new(&node->options);
    node->storage_options.nonce++;
    node->storage = raft_storage_open(&node->storage_options, node->role, error);
    if (node->storage != NULL && raft_role_start(node->role, node->now_us, error)) {
        open_links(node);
        return true;
    }
    if (node->storage != NULL)
        raft_storage_close(node->storage);
    raft_role_free(node->role);
    node->role = NULL;
    node->storage = NULL;
    return false;
}

void node_stop(struct node *node) {
    close_link(&node->apply.link);
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        close_link(&node->proxies[slot].link);
    raft_storage_close(node->storage);
    raft_role_free(node->role);
    node->role = NULL;
    node->storage = NULL;
    node->persisting = false;
    node->fetch = NULL;
}

static bool move_link(struct node_link *link) {
    bus_link_flush(link->peer);
    bool moved = move(&link->to_own, link->own);
    return move(&link->to_peer, link->peer) || moved;
}

bool node_round(struct node *node) {
    bool moved = move_link(&node->apply.link);
    for (unsigned slot = 0; slot < NODE_PROXIES; slot++)
        moved = move_link(&node->proxies[slot].link) || moved;
    raft_role_end_round(node->role);
    return moved;
}

bool node_take(struct node *node) {
    if (!raft_role_take_persist(node->role, &node->persist))
        return false;
    REQUIRE(!node->persisting);
    node->persisting = true;
    if (node->persist.release)
        node->releases++;
    else
        node->appends++;
    return true;
}

bool node_do(struct node *node) {
    if (!node->persisting)
        return false;
    REQUIRE(raft_storage_persist(node->storage, &node->persist) == 0);
    if (raft_storage_wants_prepare(node->storage))
        REQUIRE(raft_storage_prepare(node->storage) == 0);
    node->persisting = false;
    raft_role_persisted(node->role);
    raft_role_end_round(node->role);
    return true;
}

bool node_fetch(struct node *node) {
    struct raft_fetch *fetch = raft_role_take_fetch(node->role);
    if (fetch == NULL)
        return false;
    node->fetches++;
    REQUIRE(raft_storage_fetch(node->storage, fetch) == 0);
    raft_role_fetched(node->role);
    raft_role_end_round(node->role);
    return true;
}

void node_settle(struct node *node) {
    bool moved = true;
    for (unsigned rounds = 0; moved; rounds++) {
        REQUIRE(rounds < 100000);
        moved = node_round(node);
        moved = node_take(node) || moved;
        moved = node_do(node) || moved;
        moved = node_fetch(node) || moved;
    }
}

void node_settle_links(struct node *node) {
    for (unsigned rounds = 0; node_round(node); rounds++)
        REQUIRE(rounds < 100000);
}

void node_tick(struct node *node, uint64_t later_us) {
    node->now_us += later_us;
    raft_role_tick(node->role, node->now_us);
    raft_role_end_round(node->role);
}

uint64_t node_id(const struct node *node, unsigned slot, uint64_t counter) {
    return bus_request_id(node->options.member, (uint8_t)slot, counter);
}

void node_propose(struct node *node, unsigned slot, uint64_t counter, size_t length, uint8_t fill) {
    struct buffer body = {0};
    struct buffer encoded = {0};
    memset(buffer_reserve(&body, length), fill, length);
    body.length = length;
    struct internal_request request = {
        .id = node_id(node, slot, counter), .number = INTERNAL_PUT, .body = buffer_bytes(&body)};
    internal_request_encode(&encoded, &request);
    struct bus_request put = {.id = request.id, .method = METHOD_PUT, .body = buffer_bytes(&encoded)};
    REQUIRE(bus_put_request(node->proxies[slot].link.peer, BUS_PROXY_PROPOSE, &put));
    buffer_free(&body);
    buffer_free(&encoded);
}

void node_read(struct node *node, unsigned slot, uint64_t counter, uint32_t time_left) {
    struct bus_request read = {.id = node_id(node, slot, counter),
                               .method = METHOD_RANGE,
                               .time_left = time_left,
                               .user = bytes_from_text("root"),
                               .body = bytes_from_text("range")};
    REQUIRE(bus_put_request(node->proxies[slot].link.peer, BUS_PROXY_READ, &read));
}

void node_progress(struct node *node, uint64_t applied, uint64_t durable) {
    node->apply.applied = applied;
    node->apply.durable = durable;
    REQUIRE(bus_put_progress(node->apply.link.peer,
                             &(struct bus_progress){.applied = applied, .durable = durable}));
}
