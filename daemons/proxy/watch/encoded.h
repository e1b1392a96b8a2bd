/*
 * encoded: events as field 11 of a WatchResponse, one behind the other, made once for all watchers that want
 * them in the same form.
 */
#ifndef QUORATE_PROXY_WATCH_ENCODED_H
#define QUORATE_PROXY_WATCH_ENCODED_H

#include "common/event.h"

struct encoded_event {
    int64_t revision;
    size_t end; /* in body */
};

struct encoded {
    struct buffer body;
    struct encoded_event *events; /* in the order of revisions */
    size_t count, capacity;
};

void encoded_add(struct encoded *encoded, const struct event *event, bool previous);
/* Where event `number` begins in the body. */
static inline size_t encoded_start(const struct encoded *encoded, size_t number) {
    return number == 0 ? 0 : encoded->events[number - 1].end;
}
/* The first event with at least this revision; count if there is none. */
size_t encoded_from(const struct encoded *encoded, int64_t revision);
/*
 * Whole revisions from event `first` on that fit into so many bytes, but one at least: the number of the
 * event behind them.
 */
size_t encoded_piece(const struct encoded *encoded, size_t first, size_t bytes);
void encoded_clear(struct encoded *encoded);
void encoded_free(struct encoded *encoded);

#endif
