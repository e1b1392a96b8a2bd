/*
 * watch_message: the messages of etcd's Watch service as a client needs them, written and read in place.
 *
 * Read: watch_response_parse gives a response without its events; watch_event_next takes these one by one.
 * Everything is borrowed from the message.
 */
#ifndef QUORATE_LOAD_WATCH_MESSAGE_H
#define QUORATE_LOAD_WATCH_MESSAGE_H

#include "common/wire.h"

#define WATCH_PATH "/etcdserverpb.Watch/Watch"

struct watch_create {
    struct bytes key, range_end;
    int64_t start_revision; /* 0: from now on */
    bool previous, no_put, no_delete;
};

/* Each writes one WatchRequest. */
void watch_put_create(struct buffer *out, const struct watch_create *create);
void watch_put_cancel(struct buffer *out, int64_t id);
void watch_put_progress(struct buffer *out);

struct watch_response {
    int64_t revision; /* of the header */
    int64_t id, compact_revision;
    bool created, canceled, fragment;
    struct bytes cancel_reason;
    size_t events;
    struct wire_reader rest; /* where watch_event_next goes on */
};
bool watch_response_parse(struct bytes message, struct watch_response *out);

struct watch_key_value {
    struct bytes key, value;
    int64_t created, modified, version, lease;
};
struct watch_event {
    bool deleted, has_previous;
    struct watch_key_value now, previous;
};
/* False when there are no more. */
bool watch_event_next(struct watch_response *response, struct watch_event *out);

/* The revision of a ResponseHeader. */
int64_t header_revision(struct bytes header);
/* A KeyValue. */
bool key_value_parse(struct bytes message, struct watch_key_value *out);

#endif
