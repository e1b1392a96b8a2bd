/*
 * watch_bench: a proxy's role on a fake node, Watch clients in memory, and an apply that publishes what the
 * test changes: for tests of daemons/proxy/watch.
 */
#ifndef QUORATE_TESTS_WATCH_BENCH_H
#define QUORATE_TESTS_WATCH_BENCH_H

#include "common/event.h"
#include "proxy/fake_node.h"
#include "proxy/watch/watch.h"

/* An event as a client got it. */
struct seen_event {
    int64_t revision;
    bool deleted, previous;
    char key[64];
    size_t value_length;
};

struct seen_response {
    uint64_t cluster, member, term;
    int64_t revision, watch_id, compact_revision;
    bool created, canceled, fragment;
    char reason[128];
    size_t first_event, events; /* in the client's list */
    size_t length;
};

struct watching {
    struct watch_stream *stream;
    struct watch_client client;
    struct buffer building;
    struct seen_response *responses;
    size_t count, capacity;
    struct seen_event *events;
    size_t event_count, event_capacity;
    size_t backlog; /* bytes; grows only while `deaf` */
    bool deaf;
    uint16_t ended; /* status; 0: not ended */
};

/* Opens the node with both links up. */
void watch_bench_open(struct fake_node *node);
extern const struct proxy_role_config watch_bench_config;

void watching_open(struct fake_node *node, struct watching *watching, bool needs_leader);
void watching_close(struct watching *watching);
/* The client reads all it has been sent. */
void watching_read(struct watching *watching);

struct create {
    const char *key, *range_end; /* NULL: left out; "\0" as "*" */
    int64_t start_revision, watch_id;
    bool no_put, no_delete, previous, notify, fragment;
};
/* Sends the request; nothing is settled. */
void watching_create(struct watching *watching, const struct create *create);
void watching_cancel(struct watching *watching, int64_t watch_id);
void watching_ask_progress(struct watching *watching);
const struct seen_response *watching_last(const struct watching *watching);

/* --- apply --- */
/* Answers all BUS_PROXY_WATCH that have come since the last time, in order, with this present revision. */
void answer_asks(struct fake_node *node, int64_t revision, int64_t compacted);
/* A record of the stream being built. */
struct stream_record {
    struct buffer body;
    struct buffer message;
};
void put_event(struct stream_record *record, int64_t revision, const char *key, const char *value,
               bool previous);
void put_delete(struct stream_record *record, int64_t revision, const char *key, bool previous);
/* Sends and empties it; settles. */
void publish(struct fake_node *node, struct stream_record *record, int64_t from, int64_t to);
/* The last read of history; NULL: none since answer_history. */
const struct fake_record *asked_history(const struct fake_node *node, struct history_request *out);
/* A part of its answer; empties the record and settles. Without more, the read is over. */
void answer_history(struct fake_node *node, struct stream_record *record, enum history_part part,
                    int64_t through, bool more);
/* One put at this revision, the one behind the stream's last. */
void publish_put(struct fake_node *node, int64_t revision, const char *key);

#endif
