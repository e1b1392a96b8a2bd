/*
 * sim_bus: see sim_bus.h. Each direction is one queue of frames with a time each; times never decrease, so
 * order is kept across connections too. An end's own news (connected, disconnected) are ordered among
 * themselves and before the frames sent after them.
 */
#include "sim_bus.h"

#include <stdlib.h>

enum {
    REPEATED_ONE_IN = 500, /* frames that come twice in a row */
    REMEMBERED = 4,        /* frames delivered last, which may come a second time */
    FRAME_DELAY_LOW_US = 5,
    FRAME_DELAY_HIGH_US = 20000,
    NEWS_DELAY_HIGH_US = 5000,
    CONNECT_DELAY_HIGH_US = 50000,
    DEAF_DELAY_HIGH_US = 1500000,
};

struct frame {
    struct frame *next;
    uint64_t at_us;
    size_t length;
    uint8_t data[];
};

struct frame_queue {
    struct frame *head, **tail;
};

struct edge_end {
    struct edge *edge;
    unsigned side;
    struct process *process;
    struct bus_link *link;       /* NULL while the process is dead */
    bool connected;              /* what the process was last told */
    uint64_t news_at_us;         /* when its latest news is (or was) told */
    uint64_t last_frame_at_us;   /* latest delivery time handed out towards this end */
    struct frame_queue incoming; /* on the way to this end */
    struct frame_queue kept;     /* for the next incarnation of this end */
    struct frame *delivered[REMEMBERED];
    unsigned delivered_count;
};

struct edge {
    struct world *world;
    struct random *random;
    const char *name;
    struct edge_end ends[2];
    bool connected;      /* the connection itself */
    uint64_t connection; /* counts connections and attempts */
};

static void queue_init(struct frame_queue *queue) {
    queue->head = NULL;
    queue->tail = &queue->head;
}

static void queue_push(struct frame_queue *queue, struct frame *frame) {
    frame->next = NULL;
    *queue->tail = frame;
    queue->tail = &frame->next;
}

static struct frame *queue_pop(struct frame_queue *queue) {
    struct frame *frame = queue->head;
    queue->head = frame->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    return frame;
}

static void queue_clear(struct frame_queue *queue) {
    while (queue->head != NULL)
        free(queue_pop(queue));
}

static struct frame *frame_copy(const void *data, size_t length) {
    struct frame *frame = must_alloc(sizeof *frame + length);
    *frame = (struct frame){.length = length};
    memcpy(frame->data, data, length);
    return frame;
}

/* --- delivery --- */

static void forget_delivered(struct edge_end *end) {
    for (unsigned i = 0; i < end->delivered_count; i++)
        free(end->delivered[i]);
    end->delivered_count = 0;
}

static void remember(struct edge_end *end, struct frame *frame) {
    if (end->delivered_count == REMEMBERED) {
        free(end->delivered[0]);
        memmove(&end->delivered[0], &end->delivered[1], (REMEMBERED - 1) * sizeof end->delivered[0]);
        end->delivered_count--;
    }
    end->delivered[end->delivered_count++] = frame;
}

static void hand_over(void *context, uint64_t argument) {
    (void)argument;
    struct edge_end *end = context;
    struct frame *frame = end->delivered[end->delivered_count - 1];
    bus_link_frame(end->link, bytes_of(frame->data, frame->length));
}

/* One event a frame; whatever is first in the queue then is what arrives. */
static void frame_arrives(void *context, uint64_t argument) {
    (void)argument;
    struct edge_end *end = context;
    struct world *world = end->edge->world;
    if (end->incoming.head == NULL || end->incoming.head->at_us > world->now_us)
        return; /* it was lost meanwhile */
    struct frame *frame = queue_pop(&end->incoming);
    if (end->link == NULL) {
        free(frame);
        world->counts.frames_lost++;
        return;
    }
    world->counts.frames++;
    if (!end->connected)
        world->counts.frames_late++;
    world_trace(world, "%s -> %s: %zu bytes%s", end->edge->name, end->process->name, frame->length,
                end->connected ? "" : " late");
    remember(end, frame);
    process_run(end->process, hand_over, end, 0);
}

static void schedule_frame(struct edge_end *end, struct frame *frame, uint64_t at_us) {
    struct world *world = end->edge->world;
    if (at_us < world->now_us)
        at_us = world->now_us;
    if (at_us < end->last_frame_at_us)
        at_us = end->last_frame_at_us;
    end->last_frame_at_us = at_us;
    frame->at_us = at_us;
    queue_push(&end->incoming, frame);
    world_after(world, at_us - world->now_us, frame_arrives, end, 0);
}

static uint64_t frame_delay(struct edge *edge) {
    uint64_t high = edge->world->quiescent ? 200 : FRAME_DELAY_HIGH_US;
    return random_delay(edge->random, FRAME_DELAY_LOW_US, high);
}

static bool transport_send(void *context, struct bytes frame) {
    struct edge_end *end = context;
    struct edge *edge = end->edge;
    if (!process_boundary(end->process))
        return true; /* dead: nobody sees it, and nobody hears the answer */
    if (!end->connected)
        return false;
    if (!edge->connected)
        return true; /* broken already, but this end has not heard of it: lost on the way */
    struct edge_end *peer = &edge->ends[1 - end->side];
    schedule_frame(peer, frame_copy(frame.data, frame.length), edge->world->now_us + frame_delay(edge));
    if (!edge->world->quiescent && random_chance(edge->random, 1, REPEATED_ONE_IN)) {
        edge->world->counts.frames_twice++;
        schedule_frame(peer, frame_copy(frame.data, frame.length), edge->world->now_us);
    }
    return true;
}

struct bus_transport edge_transport(struct edge_end *end) {
    return (struct bus_transport){.send = transport_send, .context = end};
}

/* --- connections --- */

static void hear_news(void *context, uint64_t connected) {
    struct edge_end *end = context;
    if (connected != 0)
        bus_link_connected(end->link);
    else
        bus_link_disconnected(end->link);
}

/* argument: the incarnation told, and in its lowest bit what. */
static void news_arrive(void *context, uint64_t argument) {
    struct edge_end *end = context;
    bool connected = (argument & 1) != 0;
    if (end->link == NULL || end->process->incarnation != argument >> 1 || end->connected == connected)
        return;
    end->connected = connected;
    world_trace(end->edge->world, "%s: %s %s", end->edge->name, end->process->name,
                connected ? "connected" : "disconnected");
    process_run(end->process, hear_news, end, connected);
}

static void tell(struct edge_end *end, bool connected) {
    struct edge *edge = end->edge;
    if (end->link == NULL)
        return;
    uint64_t high = edge->world->quiescent ? 500 : NEWS_DELAY_HIGH_US;
    uint64_t at_us = edge->world->now_us + random_delay(edge->random, 1, high);
    if (at_us < end->news_at_us)
        at_us = end->news_at_us;
    end->news_at_us = at_us;
    world_after(edge->world, at_us - edge->world->now_us, news_arrive, end,
                end->process->incarnation << 1 | (connected ? 1 : 0));
}

/* What was kept for the next incarnation goes first. */
static void deliver_kept(struct edge_end *end) {
    while (end->kept.head != NULL) {
        end->edge->world->counts.frames_late++;
        schedule_frame(end, queue_pop(&end->kept), end->news_at_us);
    }
}

static void connect_now(void *context, uint64_t attempt) {
    struct edge *edge = context;
    if (edge->connected || edge->connection != attempt || edge->ends[0].link == NULL ||
        edge->ends[1].link == NULL)
        return;
    edge->connected = true;
    for (unsigned side = 0; side < 2; side++) {
        struct edge_end *end = &edge->ends[side];
        tell(end, true);
        deliver_kept(end);
        /* Frames of this connection come after the news of it. */
        if (end->last_frame_at_us < end->news_at_us)
            end->last_frame_at_us = end->news_at_us;
    }
}

static void try_to_connect(struct edge *edge) {
    if (edge->connected || edge->ends[0].link == NULL || edge->ends[1].link == NULL)
        return;
    uint64_t high = CONNECT_DELAY_HIGH_US;
    if (!edge->world->quiescent && random_chance(edge->random, 1, 20))
        high = DEAF_DELAY_HIGH_US;
    edge->connection++;
    world_after(edge->world, random_delay(edge->random, 50, high), connect_now, edge, edge->connection);
}

/* Loses the queue from a random frame on; often all or nothing. */
static void lose_some(struct edge_end *end) {
    struct edge *edge = end->edge;
    if (random_chance(edge->random, 1, 3))
        return;
    bool all = random_chance(edge->random, 1, 2);
    struct frame **at = &end->incoming.head;
    while (!all && *at != NULL && random_chance(edge->random, 2, 3))
        at = &(*at)->next;
    struct frame *lost = *at;
    *at = NULL;
    end->incoming.tail = at;
    while (lost != NULL) {
        struct frame *next = lost->next;
        free(lost);
        edge->world->counts.frames_lost++;
        lost = next;
    }
}

/* The receiver died: what was on its way may still reach its next incarnation, the last ones a second time.
 */
static void keep_some(struct edge_end *end) {
    struct edge *edge = end->edge;
    lose_some(end);
    queue_clear(&end->kept);
    bool keep = random_chance(edge->random, 1, 2);
    if (keep && random_chance(edge->random, 1, 2)) {
        for (unsigned i = 0; i < end->delivered_count; i++) {
            queue_push(&end->kept, frame_copy(end->delivered[i]->data, end->delivered[i]->length));
            edge->world->counts.frames_twice++;
        }
    }
    while (end->incoming.head != NULL) {
        struct frame *frame = queue_pop(&end->incoming);
        if (keep)
            queue_push(&end->kept, frame);
        else
            free(frame);
    }
}

static void disconnect(struct edge *edge) {
    if (!edge->connected)
        return;
    edge->connected = false;
    edge->connection++;
    tell(&edge->ends[0], false);
    tell(&edge->ends[1], false);
}

void edge_open(struct edge_end *end, struct bus_link *link) {
    end->link = link;
    end->connected = false;
    end->news_at_us = end->edge->world->now_us;
    try_to_connect(end->edge);
}

void edge_close(struct edge_end *end) {
    struct edge_end *peer = &end->edge->ends[1 - end->side];
    end->link = NULL;
    end->connected = false;
    keep_some(end);
    forget_delivered(end);
    lose_some(peer);
    disconnect(end->edge);
}

static void reconnect(void *context, uint64_t argument) {
    (void)argument;
    try_to_connect(context);
}

void edge_break(struct edge *edge) {
    if (!edge->connected)
        return;
    world_trace(edge->world, "%s: connection breaks", edge->name);
    disconnect(edge);
    lose_some(&edge->ends[0]);
    lose_some(&edge->ends[1]);
    world_after(edge->world, 1, reconnect, edge, 0);
}

/* --- */

struct edge *edge_new(struct world *world, struct random *random, const char *name, struct process *listener,
                      struct process *dialer) {
    struct edge *edge = must_zalloc(sizeof *edge);
    *edge = (struct edge){.world = world, .random = random, .name = name};
    for (unsigned side = 0; side < 2; side++) {
        struct edge_end *end = &edge->ends[side];
        end->edge = edge;
        end->side = side;
        end->process = side == 0 ? listener : dialer;
        queue_init(&end->incoming);
        queue_init(&end->kept);
    }
    return edge;
}

void edge_free(struct edge *edge) {
    for (unsigned side = 0; side < 2; side++) {
        queue_clear(&edge->ends[side].incoming);
        queue_clear(&edge->ends[side].kept);
        forget_delivered(&edge->ends[side]);
    }
    free(edge);
}

struct edge_end *edge_side(struct edge *edge, unsigned side) {
    return &edge->ends[side];
}
