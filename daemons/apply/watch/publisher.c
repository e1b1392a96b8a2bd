/* publisher: see publisher.h. Slots are eight, so sets of them are the bits of a byte. */
#include "apply/watch/publisher.h"

#include <stdlib.h>

#include "common/metrics.h"

#include "apply/watch/encode.h"
#include "apply/watch/watched_keys.h"

enum {
    REVISION_BYTES = 1 << 20,
    EVENTS_KEEP = 256 << 10,
    QUESTIONS_LIMIT = 1 << 18, /* that wait; more are refused */
};

struct event_stream {
    struct bus_link *link; /* NULL: no such proxy */
    bool registered;
    struct watched_keys keys;
    /* Everything up to `position` was covered. The next record begins at `from`: position + 1, or behind
     * what was left out. */
    int64_t position, from;
    int64_t compacted;     /* as last told; -1: not yet */
    struct buffer events;  /* of the running entry */
    struct buffer waiting; /* ids of questions, 8 bytes each */
};

struct publisher {
    struct mvcc *mvcc;
    size_t revision_bytes;
    struct event_stream streams[BUS_PROXY_SLOTS];
    uint8_t interested;         /* slots with ranges */
    uint8_t touched, left_out;  /* by the running entry; what is left out is touched too */
    uint8_t matching, previous; /* of the change that is looked at: who wants it, who with prev_kv */
    struct buffer encoded;
};

static uint8_t bit(unsigned slot) {
    return (uint8_t)(1u << slot);
}

/* --- the stream --- */

/* Covers everything up to `to`. The link has room. */
static void put_record(struct publisher *publisher, struct event_stream *stream, int64_t to,
                       struct bytes events) {
    struct bus_events record = {
        .from = stream->from, .to = to, .compacted = publisher->mvcc->compacted, .body = events};
    bus_put_events(stream->link, &record);
    stream->position = to;
    stream->from = to + 1;
    stream->compacted = record.compacted;
}

static bool lags(const struct publisher *publisher, const struct event_stream *stream) {
    const struct mvcc *mvcc = publisher->mvcc;
    return stream->position <= mvcc->revision &&
           (stream->from <= mvcc->revision || stream->from != stream->position + 1 ||
            stream->compacted != mvcc->compacted);
}

/* False: it lags still, for want of room. */
static bool catch_up(struct publisher *publisher, struct event_stream *stream) {
    if (!lags(publisher, stream))
        return true;
    if (bus_link_room(stream->link) == 0)
        return false;
    put_record(publisher, stream, publisher->mvcc->revision, (struct bytes){0});
    return true;
}

void publisher_tick(struct publisher *publisher) {
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        if (publisher->streams[slot].registered)
            (void)catch_up(publisher, &publisher->streams[slot]);
    }
}

/* --- gathering what an entry changes --- */

/* The first match of an entry: there must be room for its events. */
static bool may_gather(struct publisher *publisher, unsigned slot) {
    if ((publisher->touched & bit(slot)) == 0) {
        publisher->touched |= bit(slot);
        if (bus_link_room(publisher->streams[slot].link) == 0)
            publisher->left_out |= bit(slot);
    }
    return (publisher->left_out & bit(slot)) == 0;
}

static bool wants(void *context, struct bytes key, int64_t revision, bool *previous) {
    struct publisher *publisher = context;
    publisher->matching = publisher->previous = 0;
    for (unsigned slot = 0; publisher->interested >> slot != 0; slot++) {
        const struct event_stream *stream = &publisher->streams[slot];
        bool with_previous = false;
        if ((publisher->interested & bit(slot)) == 0 || revision <= stream->position ||
            !watched_keys_match(&stream->keys, key, &with_previous) || !may_gather(publisher, slot))
            continue;
        publisher->matching |= bit(slot);
        if (with_previous)
            publisher->previous |= bit(slot);
    }
    *previous = publisher->previous != 0;
    return publisher->matching != 0;
}

static void gather(struct publisher *publisher, unsigned slot, const struct event *event) {
    struct event_stream *stream = &publisher->streams[slot];
    if (stream->events.length + event_size(event) > publisher->revision_bytes) {
        publisher->left_out |= bit(slot);
        buffer_reset(&stream->events, EVENTS_KEEP);
    } else {
        event_put(&stream->events, event);
    }
}

static void changed(void *context, struct bytes key, const struct record *record,
                    const struct record *previous) {
    struct publisher *publisher = context;
    struct event event = event_encode(&publisher->encoded, key, record, previous);
    struct event bare = event;
    bare.previous = (struct bytes){0};
    for (unsigned slot = 0; publisher->matching >> slot != 0; slot++) {
        if ((publisher->matching & bit(slot)) != 0)
            gather(publisher, slot, (publisher->previous & bit(slot)) != 0 ? &event : &bare);
    }
}

static void publish_to(struct publisher *publisher, unsigned slot) {
    struct event_stream *stream = &publisher->streams[slot];
    int64_t revision = publisher->mvcc->revision;
    if ((publisher->left_out & bit(slot)) == 0) {
        put_record(publisher, stream, revision, buffer_bytes(&stream->events));
        buffer_reset(&stream->events, EVENTS_KEEP);
        return;
    }
    metric_add(METRIC_QUORATE_WATCH_REVISIONS_LEFT_OUT_TOTAL, 1);
    stream->from = revision + 1;
    (void)catch_up(publisher, stream);
}

void publisher_publish(struct publisher *publisher) {
    if (publisher->touched == 0)
        return;
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        if ((publisher->touched & bit(slot)) != 0)
            publish_to(publisher, slot);
    }
    publisher->touched = publisher->left_out = 0;
}

/* --- registration --- */

static void set_interested(struct publisher *publisher, uint8_t slot, bool interested) {
    if (interested)
        publisher->interested |= bit(slot);
    else
        publisher->interested &= (uint8_t)~bit(slot);
    publisher->mvcc->observer =
        publisher->interested == 0
            ? (struct mvcc_observer){0}
            : (struct mvcc_observer){.context = publisher, .wants = wants, .changed = changed};
}

/* The stream begins: behind what the proxy has seen, or, when that is older, behind the present. */
static void begin_stream(struct publisher *publisher, struct event_stream *stream, int64_t seen) {
    int64_t revision = publisher->mvcc->revision;
    stream->registered = true;
    stream->compacted = -1;
    stream->position = seen;
    stream->from = (seen > revision ? seen : revision) + 1;
    (void)catch_up(publisher, stream);
}

/* What follows is in the new ranges: what is before is told, or left out, by the old ones. */
static void continue_stream(struct publisher *publisher, struct event_stream *stream, int64_t seen) {
    int64_t revision = publisher->mvcc->revision;
    if (!catch_up(publisher, stream))
        stream->from = revision + 1;
    if (seen > stream->position && seen > revision) {
        stream->position = seen;
        stream->from = seen + 1;
    }
}

void publisher_register(struct publisher *publisher, uint8_t slot, const struct bus_ranges *ranges) {
    struct event_stream *stream = &publisher->streams[slot];
    struct watched_keys keys;
    if (!watched_keys_parse(&keys, ranges->body, BUS_RANGES_LIMIT)) {
        bus_link_reset(stream->link, "malformed or too many ranges");
        return;
    }
    if (stream->registered)
        continue_stream(publisher, stream, ranges->revision);
    else
        begin_stream(publisher, stream, ranges->revision);
    watched_keys_free(&stream->keys);
    stream->keys = keys;
    set_interested(publisher, slot, keys.count > 0);
}

/* --- questions --- */

static void put_answer(struct publisher *publisher, struct event_stream *stream, uint64_t id,
                       uint16_t status) {
    bus_put_watch_answer(stream->link, &(struct bus_watch_answer){.id = id,
                                                                  .status = status,
                                                                  .revision = publisher->mvcc->revision,
                                                                  .compacted = publisher->mvcc->compacted});
}

void publisher_ask(struct publisher *publisher, uint8_t slot, uint64_t id) {
    struct event_stream *stream = &publisher->streams[slot];
    if (stream->waiting.length < QUESTIONS_LIMIT * sizeof id)
        buffer_append(&stream->waiting, &id, sizeof id);
    else if (bus_link_room(stream->link) > 0)
        put_answer(publisher, stream, id, STATUS_TOO_MANY_REQUESTS);
    else
        bus_link_reset(stream->link, "too many questions");
}

static bool may_answer(const struct publisher *publisher, const struct event_stream *stream) {
    int64_t revision = publisher->mvcc->revision;
    const struct bus_hello *peer = bus_link_peer(stream->link);
    return peer != NULL && peer->position <= (uint64_t)revision &&
           (!stream->registered || stream->position <= revision);
}

static void answer_stream(struct publisher *publisher, struct event_stream *stream) {
    size_t at = 0;
    if (!may_answer(publisher, stream) || (stream->registered && !catch_up(publisher, stream)))
        return;
    while (at < stream->waiting.length && bus_link_room(stream->link) > 0) {
        uint64_t id = 0;
        memcpy(&id, stream->waiting.data + at, sizeof id);
        at += sizeof id;
        put_answer(publisher, stream, id, STATUS_OK);
    }
    size_t left = stream->waiting.length - at;
    memmove(stream->waiting.data, stream->waiting.data + at, left);
    stream->waiting.length = left;
    if (left == 0)
        buffer_reset(&stream->waiting, EVENTS_KEEP);
}

void publisher_answer(struct publisher *publisher) {
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++) {
        if (publisher->streams[slot].waiting.length > 0)
            answer_stream(publisher, &publisher->streams[slot]);
    }
}

/* --- life --- */

struct publisher *publisher_new(struct mvcc *mvcc, size_t revision_bytes) {
    struct publisher *publisher = must_zalloc(sizeof *publisher);
    publisher->mvcc = mvcc;
    publisher->revision_bytes = revision_bytes == 0 ? REVISION_BYTES : revision_bytes;
    return publisher;
}

void publisher_set_link(struct publisher *publisher, uint8_t slot, struct bus_link *link) {
    publisher->streams[slot].link = link;
}

void publisher_forget(struct publisher *publisher, uint8_t slot) {
    struct event_stream *stream = &publisher->streams[slot];
    watched_keys_free(&stream->keys);
    buffer_free(&stream->events);
    buffer_free(&stream->waiting);
    *stream = (struct event_stream){.link = stream->link};
    set_interested(publisher, slot, false);
}

void publisher_free(struct publisher *publisher) {
    for (uint8_t slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        publisher_forget(publisher, slot);
    buffer_free(&publisher->encoded);
    free(publisher);
}
