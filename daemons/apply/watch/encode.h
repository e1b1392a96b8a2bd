/* encode: a change of a key as an event (common/event.h) with its mvccpb.Event, as clients get it. */
#ifndef QUORATE_APPLY_WATCH_ENCODE_H
#define QUORATE_APPLY_WATCH_ENCODE_H

#include "common/event.h"

#include "common/store_record.h"

/*
 * record: a tombstone for a delete. previous: the record before, live; NULL: none. The event borrows from
 * `place`, which is emptied first.
 */
struct event event_encode(struct buffer *place, struct bytes key, const struct record *record,
                          const struct record *previous);

#endif
