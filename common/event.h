/*
 * event: a sequence of events as apply hands them to the proxies, in the event stream and from history.
 *
 * An event's mvccpb.Event is encoded once, by apply, and goes to clients as it is. Beside it stand what a
 * proxy needs to find its watchers without parsing: revision, kind, and where the key lies.
 */
#ifndef QUORATE_COMMON_EVENT_H
#define QUORATE_COMMON_EVENT_H

#include "common/bytes.h"

struct event {
    int64_t revision;
    bool deleted;
    struct bytes message;  /* mvccpb.Event without prev_kv */
    struct bytes previous; /* its field prev_kv, tag and length included; empty: none, or nobody wants it */
    struct bytes key;      /* lies within message */
};

enum { EVENT_HEAD = 24 };
/* Copies; appends event_size bytes. */
void event_put(struct buffer *out, const struct event *event);
static inline size_t event_size(const struct event *event) {
    return EVENT_HEAD + event->message.length + event->previous.length;
}
/* Takes the first of *events; borrows. False at the end, and when it is malformed: then *events is not empty.
 */
bool event_next(struct bytes *events, struct event *out);
/* How many there are. False: they are malformed. */
bool event_count(struct bytes events, size_t *count);

/*
 * A part of an answer to METHOD_WATCH_HISTORY begins with this; events follow. The request's body: from and
 * to (8 bytes each, little-endian), then the ranges (bus_range_put), at most HISTORY_RANGES_LIMIT. `to` may
 * lie in the future: the last part says how far it went (and that may be below `from`).
 */
enum history_part {
    HISTORY_COMPLETE,  /* everything up to and with revision `through` has been sent */
    HISTORY_PARTIAL,   /* everything before `through`, and a part of that revision's events */
    HISTORY_COMPACTED, /* the last part: what should follow is compacted, up to revision `through` */
};
enum { HISTORY_HEAD = 16, HISTORY_RANGES_LIMIT = 512 };
struct history_head {
    enum history_part part;
    int64_t through;
};
void history_head_put(struct buffer *out, const struct history_head *head);
bool history_head_take(struct bytes *part, struct history_head *out);

struct history_request {
    int64_t from, to;    /* inclusive */
    struct bytes ranges; /* bus_range_next */
};
void history_request_put(struct buffer *out, const struct history_request *request);
bool history_request_get(struct bytes body, struct history_request *out);

#endif
