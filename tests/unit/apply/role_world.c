/* role_world: see role_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "role_world.h"

static const enum bus_role peer_roles[PEER_COUNT] = {BUS_ROLE_RAFT, BUS_ROLE_PROXY, BUS_ROLE_PROXY,
                                                     BUS_ROLE_MAINT};

static uint8_t slot_of(int peer) {
    return peer == PEER_PROXY_1 ? 1 : 0;
}

static bool send_frame(void *context, struct bytes frame) {
    struct wire_queue *queue = context;
    assert_true(queue->tail - queue->head < 4096);
    queue->frames[queue->tail++ % 4096] = memory_copy(frame);
    return true;
}

static void drop_frames(struct wire_queue *queue) {
    while (queue->head < queue->tail)
        free((void *)queue->frames[queue->head++ % 4096].data);
}

static bool move_frame(struct wire_queue *queue, struct bus_link *to) {
    if (queue->head == queue->tail)
        return false;
    struct bytes frame = queue->frames[queue->head++ % 4096];
    bus_link_frame(to, frame);
    free((void *)frame.data);
    return true;
}

struct peer_context {
    struct role_world *world;
    int peer;
};
static struct peer_context contexts[PEER_COUNT];

static void peer_greet(void *context, struct bus_hello *hello) {
    const struct peer_context *self = context;
    struct peer *peer = &self->world->peers[self->peer];
    hello->position = peer->greet_position;
    hello->durable = peer->greet_durable;
    hello->term = peer->greet_term;
    hello->node = self->peer == PEER_RAFT ? WORLD_MEMBER : 0;
    hello->cluster = self->peer == PEER_RAFT ? WORLD_CLUSTER : 0;
}

static void peer_up(void *context, struct bus_link *link, const struct bus_hello *hello) {
    const struct peer_context *self = context;
    (void)link;
    self->world->peers[self->peer].hello = *hello;
    self->world->peers[self->peer].ups++;
}

static void peer_down(void *context, struct bus_link *link) {
    const struct peer_context *self = context;
    (void)link;
    self->world->peers[self->peer].downs++;
}

static struct heard *hear(struct role_world *world, int peer, const struct bus_record *record) {
    assert_true(world->heard_count < HEARD_LIMIT);
    struct heard *heard = &world->heard[world->heard_count++];
    *heard = (struct heard){.kind = record->kind, .peer = peer};
    return heard;
}

static void hear_stream(struct role_world *world, int peer, const struct bus_record *record) {
    struct heard *heard = hear(world, peer, record);
    if (record->kind == BUS_APPLY_WATCH) {
        assert_true(bus_get_watch_answer(record, &heard->answer));
        return;
    }
    assert_true(bus_get_events(record, &heard->events));
    heard->events.body = memory_copy(heard->events.body);
}

static void peer_record(void *context, struct bus_link *link, const struct bus_record *record) {
    const struct peer_context *self = context;
    struct role_world *world = self->world;
    (void)link;
    if (record->kind == BUS_APPLY_PROPOSE) {
        struct bus_proposal proposal;
        assert_true(bus_get_proposal(record, &proposal));
        assert_true(world->proposal_count < PROPOSALS_LIMIT);
        world->proposals[world->proposal_count++] = memory_copy(proposal.body);
    } else if (record->kind == BUS_APPLY_EVENTS || record->kind == BUS_APPLY_WATCH) {
        hear_stream(world, self->peer, record);
    } else if (record->kind == BUS_APPLY_PROGRESS) {
        assert_true(bus_get_progress(record, &world->peers[self->peer].progress));
    } else if (record->kind == BUS_APPLY_CHECKPOINT) {
        assert_true(bus_get_checkpoint(record, &world->peers[self->peer].checkpoint));
    } else if (record->kind == BUS_APPLY_STATE) {
        assert_true(bus_get_apply_state(record, &world->peers[self->peer].state));
    } else if (record->kind == BUS_APPLY_PLANNED) {
        assert_true(bus_get_plan(record, &world->peers[self->peer].planned));
    } else if (record->kind != BUS_APPLY_RESULT || record->id != 0) { /* 0: apply's first word, no result */
        struct heard *heard = hear(world, self->peer, record);
        assert_true(bus_get_result(record, &heard->result));
        heard->result.body = memory_copy(heard->result.body);
    }
}

static void open_peer(struct role_world *world, int index) {
    struct peer *peer = &world->peers[index];
    struct bus_handler handlers[] = {
        apply_role_raft_handler(world->role), apply_role_proxy_handler(world->role, 0),
        apply_role_proxy_handler(world->role, 1), apply_role_maint_handler(world->role)};
    contexts[index] = (struct peer_context){.world = world, .peer = index};
    peer->own =
        bus_link_new("role", BUS_ROLE_APPLY, 0, peer_roles[index], slot_of(index), 1 + world->connections,
                     (struct bus_transport){.send = send_frame, .context = &peer->to_peer}, handlers[index]);
    peer->link =
        bus_link_new("peer", peer_roles[index], slot_of(index), BUS_ROLE_APPLY, 0, 1000 + world->connections,
                     (struct bus_transport){.send = send_frame, .context = &peer->to_role},
                     (struct bus_handler){.greet = peer_greet,
                                          .up = peer_up,
                                          .down = peer_down,
                                          .record = peer_record,
                                          .context = &contexts[index]});
    if (index == PEER_RAFT)
        apply_role_set_raft_link(world->role, peer->own);
    else if (index == PEER_MAINT)
        apply_role_set_maint_link(world->role, peer->own);
    else
        apply_role_set_proxy_link(world->role, slot_of(index), peer->own);
}

void role_world_open(struct role_world *world, struct memory_store *store,
                     const struct apply_options *options) {
    char error[256];
    uint64_t now_us = world->now_us + 1000000;
    uint64_t connections = world->connections + 1;
    *world = (struct role_world){.now_us = now_us, .connections = connections};
    world->store = store != NULL ? store : memory_store_new();
    if (options != NULL)
        world->options = *options;
    world->options.store = &world->store->head;
    world->role = apply_role_new(&world->options, world->now_us, error);
    assert_non_null(world->role);
    world->index = apply_role_state(world->role).index;
    for (int peer = 0; peer < PEER_COUNT; peer++)
        open_peer(world, peer);
}

void role_world_close(struct role_world *world) {
    for (int peer = 0; peer < PEER_COUNT; peer++)
        role_world_disconnect(world, peer);
    apply_role_free(world->role);
    for (int peer = 0; peer < PEER_COUNT; peer++) {
        bus_link_free(world->peers[peer].own);
        bus_link_free(world->peers[peer].link);
    }
    for (size_t i = 0; i < world->heard_count; i++) {
        free((void *)world->heard[i].result.body.data);
        free((void *)world->heard[i].events.body.data);
    }
    world->heard_count = 0;
    while (world->proposal_count > 0)
        free((void *)world->proposals[--world->proposal_count].data);
}

void role_world_connect(struct role_world *world, int peer) {
    bus_link_connected(world->peers[peer].own);
    bus_link_connected(world->peers[peer].link);
    role_world_settle(world);
}

void role_world_disconnect(struct role_world *world, int peer) {
    drop_frames(&world->peers[peer].to_peer);
    drop_frames(&world->peers[peer].to_role);
    bus_link_disconnected(world->peers[peer].own);
    bus_link_disconnected(world->peers[peer].link);
}

bool role_world_run_job(struct role_world *world) {
    struct apply_job *job = apply_role_take_job(world->role);
    if (job == NULL)
        return false;
    apply_job_run(job);
    apply_role_job_done(world->role, job);
    return true;
}

void role_world_settle(struct role_world *world) {
    bool moved = true;
    while (moved) {
        moved = false;
        for (int i = 0; i < PEER_COUNT; i++) {
            struct peer *peer = &world->peers[i];
            bus_link_flush(peer->link);
            while (move_frame(&peer->to_role, peer->own))
                moved = true;
        }
        if (!world->hold_jobs)
            moved |= role_world_run_job(world);
        apply_role_end_round(world->role, world->now_us);
        for (int i = 0; i < PEER_COUNT; i++) {
            while (move_frame(&world->peers[i].to_peer, world->peers[i].link))
                moved = true;
        }
    }
}

void role_world_tick(struct role_world *world, uint64_t pass_us) {
    world->now_us += pass_us;
    apply_role_tick(world->role, world->now_us);
    role_world_settle(world);
}

void role_world_lead(struct role_world *world, bool leads, uint64_t term) {
    struct bus_raft_state state = {
        .role = leads ? RAFT_LEADER : RAFT_FOLLOWER, .term = term, .member = WORLD_MEMBER};
    bus_put_raft_state(world->peers[PEER_RAFT].link, &state);
    role_world_settle(world);
}

size_t role_world_execute_proposals(struct role_world *world) {
    size_t count = world->proposal_count;
    for (size_t i = 0; i < count; i++) {
        bus_put_entry(world->peers[PEER_RAFT].link,
                      &(struct bus_entry){.index = ++world->index, .term = 2, .data = world->proposals[i]});
        free((void *)world->proposals[i].data);
    }
    world->proposal_count = 0;
    role_world_settle(world);
    return count;
}

uint64_t role_world_entry(struct role_world *world, uint8_t slot, uint32_t number, struct buffer *body) {
    uint64_t index = ++world->index;
    uint64_t id = bus_request_id(WORLD_MEMBER, slot, index);
    struct internal_request request = {.id = id, .number = number, .body = buffer_bytes(body)};
    struct buffer entry = {0};
    internal_request_encode(&entry, &request);
    bus_put_entry(world->peers[PEER_RAFT].link,
                  &(struct bus_entry){.index = index, .term = 2, .data = buffer_bytes(&entry)});
    buffer_free(&entry);
    buffer_free(body);
    return id;
}

uint64_t role_world_put(struct role_world *world, uint8_t slot, const char *key, struct bytes value) {
    struct put_request request = {.key = bytes_from_text(key), .value = value};
    struct buffer body = {0};
    encode_put(&body, &request);
    return role_world_entry(world, slot, INTERNAL_PUT, &body);
}

uint64_t role_world_read(struct role_world *world, uint8_t slot, bool through_raft, uint16_t method,
                         struct buffer *body) {
    static uint64_t counter = 1000000;
    uint64_t id = bus_request_id(WORLD_MEMBER, slot, counter++);
    struct bus_request request = {.id = id, .method = method, .body = buffer_bytes(body), .time_left = 5000};
    struct bus_link *proxy = world->peers[slot == 0 ? PEER_PROXY_0 : PEER_PROXY_1].link;
    if (through_raft)
        bus_put_request(world->peers[PEER_RAFT].link, BUS_RAFT_READ, &request);
    else
        bus_put_request(proxy, BUS_PROXY_READ, &request);
    buffer_free(body);
    return id;
}

uint64_t role_world_range(struct role_world *world, uint8_t slot, const char *key, const char *end) {
    struct range_request request = {.key = bytes_from_text(key)};
    struct buffer body = {0};
    if (end != NULL)
        request.range_end = bytes_from_text(end);
    encode_range(&body, &request);
    return role_world_read(world, slot, false, METHOD_RANGE, &body);
}

void role_world_register(struct role_world *world, uint8_t slot, int64_t revision, bool previous,
                         const char *const *ranges) {
    struct buffer body = {0};
    for (; *ranges != NULL; ranges += 2) {
        struct bus_range range = {
            .key = bytes_from_text(ranges[0]), .range_end = bytes_from_text(ranges[1]), .previous = previous};
        bus_range_put(&body, &range);
    }
    bus_put_ranges(world->peers[slot == 0 ? PEER_PROXY_0 : PEER_PROXY_1].link,
                   &(struct bus_ranges){.revision = revision, .body = buffer_bytes(&body)});
    buffer_free(&body);
}

uint64_t role_world_ask(struct role_world *world, uint8_t slot, uint16_t method) {
    static uint64_t counter = 5000000;
    uint64_t id = bus_request_id(WORLD_MEMBER, slot, counter++);
    bus_put_request(world->peers[slot == 0 ? PEER_PROXY_0 : PEER_PROXY_1].link, BUS_PROXY_WATCH,
                    &(struct bus_request){.id = id, .method = method});
    return id;
}

const struct bus_result *role_world_result(struct role_world *world, uint64_t id, struct buffer *body,
                                           unsigned *parts) {
    const struct bus_result *last = NULL;
    unsigned count = 0;
    body->length = 0;
    for (size_t i = 0; i < world->heard_count; i++) {
        if (world->heard[i].result.id != id)
            continue;
        if (last != NULL)
            assert_true(last->more);
        last = &world->heard[i].result;
        buffer_append_bytes(body, last->body);
        count++;
    }
    if (parts != NULL)
        *parts = count;
    return last;
}
