/*
 * history_read: the events of the past inside some ranges, read from the revision log in slices of bounded
 * work.
 *
 * Happy path. One pass over the log from `from` to `to`; what lies in the ranges becomes events, put together
 * to parts (common/event.h) of whole revisions, 64 KB or a little more each. A revision of more than 256 KB
 * is split over several parts, of which only the last says that it is complete. A long way without a match is
 * told by an empty part now and then, so that who asked can go on from there if the answer breaks off.
 *
 * No snapshot: a record of the log never changes, and everything up to `to` was written before the read
 * began. Physical compaction alone takes records away, below the compacted revision and possibly under the
 * pass. So a slice counts only if at its end, seen by the owner, nothing from where it began was compacted:
 * history_read_check. What has left the log for `survivors` is found by view_at.
 *
 * prev_kv: what the key was at the event's revision - 1, if the range asks for it, the event is not the key's
 * creation, and that revision is not below the compacted one, however much of it is still there.
 *
 * Threading: history_read_step on any thread, one at a time; nothing is held between steps but memory.
 */
#ifndef QUORATE_APPLY_WATCH_HISTORY_READ_H
#define QUORATE_APPLY_WATCH_HISTORY_READ_H

#include "common/event.h"

#include "apply/mvcc/range_read.h"
#include "apply/watch/watched_keys.h"

struct history_read {
    struct view view; /* the store as it is; compacted: as of the begin */
    struct watched_keys keys;
    size_t part_target; /* a part ends with the revision that reaches this, */
    size_t part_limit;  /* and is split before it exceeds this, unless a single event does */
    int64_t to;
    struct revision next; /* where the pass goes on */
    int64_t slice_from;   /* the revision where the last slice began */

    int64_t current;     /* revision of the last record looked at */
    struct buffer part;  /* events that are not in `out` yet */
    size_t whole;        /* so many bytes of them are of revisions before `current` */
    uint64_t since_part; /* records looked at since the last part */
    struct buffer encoded;

    /* Output of the slice: the owner sends and empties it. */
    struct buffer out;
    struct buffer parts; /* uint32_t lengths of the parts in out */
};

/* view is copied; its snapshot and `recent` are not used. False: the ranges are malformed or too many. */
bool history_read_begin(struct history_read *read, const struct view *view,
                        const struct history_request *request);
/* True: complete. slice.keys: records, larger ones and previous ones count more; slice.bytes: of output. */
bool history_read_step(struct history_read *read, struct range_slice slice);
/*
 * After a step, with the revision compacted by now. False: what the step found may lack something; the output
 * is one HISTORY_COMPACTED part instead, and the read is over.
 */
bool history_read_check(struct history_read *read, int64_t compacted);
/* The output was sent. */
void history_read_sent(struct history_read *read);
void history_read_free(struct history_read *read);

#endif
