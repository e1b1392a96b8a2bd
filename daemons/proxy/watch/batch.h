/*
 * batch: events on their way to watchers: each is matched to the interests it belongs to, and what an
 * interest has got is encoded once per form (with or without prev_kv, filters) and goes to all its members.
 */
#ifndef QUORATE_PROXY_WATCH_BATCH_H
#define QUORATE_PROXY_WATCH_BATCH_H

#include "common/event.h"
#include "proxy/watch/encoded.h"
#include "proxy/watch/interest.h"

enum { FORMS = 8 };

/* An event of an interest; chained in order. */
struct match {
    uint32_t event, next;
};

struct batch {
    struct event *events; /* borrow from where they came from */
    uint32_t event_count, event_capacity;
    struct match *matches;
    uint32_t match_count, match_capacity;
    struct interest_list touched; /* NULL: has gone away */
    struct interest_list found;   /* scratch */
    struct encoded forms[FORMS];  /* of the interest that is being delivered */
    bool made[FORMS];
};

/* Puts the event to the interests that have members in the lane. */
void batch_add(struct batch *batch, const struct interest_index *index, unsigned lane,
               const struct event *event);
/* The interest is going away. */
void batch_forget(struct batch *batch, const struct interest *interest);
/* Gives all members of the lane what they have got (more: watcher_give), and empties the batch. */
void batch_deliver(struct batch *batch, unsigned lane, bool more);
void batch_free(struct batch *batch);

#endif
