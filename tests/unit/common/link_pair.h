/*
 * link_pair: two ends of one link ("raft" and "apply") over an in-memory transport, for tests.
 *
 * Frames wait in a queue per direction until pair_deliver moves them, so a test decides what arrives when,
 * keeps copies, and delivers them late, twice or mutilated. Ends are indexes: END_RAFT sends entries,
 * END_APPLY progress; a recorded record is remembered by its position.
 */
#ifndef QUORATE_TESTS_LINK_PAIR_H
#define QUORATE_TESTS_LINK_PAIR_H

#include "common/bus/contract.h"

enum { END_RAFT, END_APPLY, PAIR_QUEUE = 4096 };

struct frame_queue {
    struct bytes frames[PAIR_QUEUE]; /* owned copies */
    size_t head, tail;
};

struct pair_end {
    struct bus_link *link;
    struct frame_queue out; /* what this end sent and the other has not received */
    bool broken;            /* the transport refuses to send */
    unsigned ups, downs, rooms;
    uint64_t records, last_position, last_length;
    bool disorder;           /* positions were not consecutive within a connection */
    uint64_t reset_at;       /* position at which the role resets the link from inside the callback */
    uint64_t greet_position; /* for HELLO */
    struct bus_hello peer;   /* as told by `up` */
    void (*on_room)(struct pair_end *end);
    void (*on_record)(struct pair_end *end, const struct bus_record *record);
};

struct pair {
    struct pair_end ends[2];
};

void pair_open(struct pair *pair);
/* A new incarnation of one end; the old link is the caller's to free. */
void pair_open_end(struct pair_end *end, enum bus_role own, enum bus_role peer, uint64_t incarnation);
void pair_close(struct pair *pair);
/* Both transports connect; nothing is delivered yet. What was queued stays (as nng's send buffer does). */
void pair_connect(struct pair *pair);
/* Drops what is queued both ways. */
void pair_drop(struct pair *pair);
/* Moves one frame sent by `from` to the other end. False: none was queued. */
bool pair_step(struct pair *pair, int from);
/* Moves frames both ways, flushing both ends, until nothing moves. */
void pair_settle(struct pair *pair);
/* pair_open, pair_connect and pair_settle; both ends are up. */
void pair_open_up(struct pair *pair);

/* A copy of the oldest frame queued by `from`; the caller frees the data. */
struct bytes pair_peek(struct pair *pair, int from);

bool pair_put_entry(struct pair *pair, uint64_t index, size_t length);

#endif
