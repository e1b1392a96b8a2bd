/* link_pair: see link_pair.h. */
#include "common/link_pair.h"

#include <stdlib.h>

static bool queue_frame(void *context, struct bytes frame) {
    struct pair_end *end = context;
    if (end->broken)
        return false;
    REQUIRE(end->out.tail - end->out.head < PAIR_QUEUE);
    uint8_t *copy = must_alloc(frame.length);
    memcpy(copy, frame.data, frame.length);
    end->out.frames[end->out.tail++ % PAIR_QUEUE] = bytes_of(copy, frame.length);
    return true;
}

static void on_greet(void *context, struct bus_hello *hello) {
    struct pair_end *end = context;
    hello->position = end->greet_position;
    hello->node = 77;
}

static void on_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    struct pair_end *end = context;
    REQUIRE(bus_link_is_up(link) && bus_link_peer(link) != NULL);
    end->ups++;
    end->peer = *peer;
    end->last_position = 0;
}

static void on_down(void *context, struct bus_link *link) {
    struct pair_end *end = context;
    REQUIRE(!bus_link_is_up(link) && bus_link_peer(link) == NULL && bus_link_room(link) == 0);
    end->downs++;
}

static void on_record(void *context, struct bus_link *link, const struct bus_record *record) {
    struct pair_end *end = context;
    end->records++;
    if (record->position != end->last_position + 1)
        end->disorder = true;
    end->last_position = record->position;
    end->last_length = record->body.length;
    for (size_t i = 0; i < record->body.length;
         i++) { /* every byte is readable and as pair_put_entry wrote it */
        if (record->body.data[i] != (uint8_t)record->position)
            end->disorder = true;
    }
    if (end->on_record != NULL)
        end->on_record(end, record);
    if (end->reset_at != 0 && record->position == end->reset_at) {
        end->reset_at = 0;
        bus_link_reset(link, "asked by the test");
    }
}

static void on_room(void *context, struct bus_link *link) {
    struct pair_end *end = context;
    REQUIRE(bus_link_room(link) > 0);
    end->rooms++;
    if (end->on_room != NULL)
        end->on_room(end);
}

void pair_open_end(struct pair_end *end, enum bus_role own, enum bus_role peer, uint64_t incarnation) {
    struct bus_handler handler = {.greet = on_greet,
                                  .up = on_up,
                                  .down = on_down,
                                  .record = on_record,
                                  .room = on_room,
                                  .context = end};
    struct bus_transport transport = {.send = queue_frame, .context = end};
    end->link = bus_link_new("raft.apply", own, 0, peer, 0, incarnation, transport, handler);
}

void pair_open(struct pair *pair) {
    memset(pair, 0, sizeof *pair);
    pair_open_end(&pair->ends[END_RAFT], BUS_ROLE_RAFT, BUS_ROLE_APPLY, 1000 + BUS_ROLE_RAFT);
    pair_open_end(&pair->ends[END_APPLY], BUS_ROLE_APPLY, BUS_ROLE_RAFT, 1000 + BUS_ROLE_APPLY);
}

void pair_close(struct pair *pair) {
    pair_drop(pair);
    bus_link_free(pair->ends[END_RAFT].link);
    bus_link_free(pair->ends[END_APPLY].link);
}

void pair_connect(struct pair *pair) {
    bus_link_connected(pair->ends[END_RAFT].link);
    bus_link_connected(pair->ends[END_APPLY].link);
}

static struct bytes take(struct frame_queue *queue) {
    return queue->frames[queue->head++ % PAIR_QUEUE];
}

void pair_drop(struct pair *pair) {
    for (int end = 0; end < 2; end++) {
        struct frame_queue *queue = &pair->ends[end].out;
        while (queue->head != queue->tail)
            free((void *)(uintptr_t)take(queue).data);
    }
}

bool pair_step(struct pair *pair, int from) {
    struct frame_queue *queue = &pair->ends[from].out;
    if (queue->head == queue->tail)
        return false;
    struct bytes frame = take(queue);
    bus_link_frame(pair->ends[1 - from].link, frame);
    free((void *)(uintptr_t)frame.data);
    return true;
}

void pair_settle(struct pair *pair) {
    bool moved = true;
    for (unsigned rounds = 0; moved; rounds++) {
        REQUIRE(rounds < 100000); /* a link that flaps for ever */
        moved = false;
        for (int end = 0; end < 2; end++) {
            while (pair_step(pair, 1 - end))
                moved = true;
            bus_link_flush(pair->ends[end].link);
        }
        moved = moved || pair->ends[0].out.head != pair->ends[0].out.tail ||
                pair->ends[1].out.head != pair->ends[1].out.tail;
    }
}

void pair_open_up(struct pair *pair) {
    pair_open(pair);
    pair_connect(pair);
    pair_settle(pair);
    REQUIRE(bus_link_is_up(pair->ends[END_RAFT].link) && bus_link_is_up(pair->ends[END_APPLY].link));
}

struct bytes pair_peek(struct pair *pair, int from) {
    struct frame_queue *queue = &pair->ends[from].out;
    REQUIRE(queue->head != queue->tail);
    struct bytes frame = queue->frames[queue->head % PAIR_QUEUE];
    return bytes_of(memcpy(must_alloc(frame.length), frame.data, frame.length), frame.length);
}

bool pair_put_entry(struct pair *pair, uint64_t index, size_t length) {
    struct buffer *body = bus_link_begin(pair->ends[END_RAFT].link);
    if (body == NULL)
        return false;
    memset(buffer_reserve(body, length), (uint8_t)index, length);
    body->length += length;
    bus_link_commit(pair->ends[END_RAFT].link,
                    &(struct bus_record){.kind = BUS_RAFT_ENTRY, .position = index, .epoch = 1});
    return true;
}
