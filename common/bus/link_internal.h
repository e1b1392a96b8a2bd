/*
 * link_internal: the state of one link, shared by link.c (records, credit, flush) and handshake.c (HELLO, up,
 * down). Nobody else includes this.
 *
 * A connection is the pair (mine, theirs) of connection numbers. We take a new number whenever the transport
 * connects, whenever we leave `up`, and on reset; so a pair carries at most one sequence of frames, and a
 * frame that names another pair is stale.
 */
#ifndef QUORATE_COMMON_BUS_LINK_INTERNAL_H
#define QUORATE_COMMON_BUS_LINK_INTERNAL_H

#include "common/bus/bus.h"
#include "common/bus/frame.h"

enum { LINK_NAME_SIZE = 48 };

/* One frame inside the pending buffer: header space, then records. */
struct pending_frame {
    size_t start, end; /* offsets in the pending buffer */
    uint32_t records;
};

/* Frames and bytes of DATA since the connection came up. */
struct tally {
    uint64_t frames, bytes;
};

struct bus_link {
    char name[LINK_NAME_SIZE];
    enum bus_role own_role, peer_role;
    uint8_t own_slot, peer_slot;
    uint64_t incarnation;
    struct bus_transport transport;
    struct bus_handler handler;

    /* handshake.c */
    bool connected; /* as the transport says */
    bool up;
    uint64_t mine, theirs;                          /* connection numbers; theirs 0: no HELLO yet */
    uint64_t told_mine, told_theirs;                /* the pair our last answering HELLO named */
    struct bus_hello peer;                          /* their last HELLO */
    uint64_t newest_incarnation, newest_connection; /* of the HELLOs seen: older ones are stale */

    /* what we send */
    struct buffer pending; /* frames built in place; the first one not sent yet is frames[first] */
    struct pending_frame *frames;
    size_t first, count, capacity;
    size_t record_start; /* between begin and commit */
    size_t pending_limit;
    bool building;
    bool full;                   /* room was 0; the role is told when there is some again */
    bool flushing;               /* inside bus_link_flush */
    struct tally sent, credited; /* credited: what the peer says it consumed */

    /* what we receive */
    struct tally consumed, granted; /* granted: what we last told the peer */
    bool hold;

    struct bus_link_counts counts;
};

/* link.c: forgets everything of the connection that was. */
void link_clear_streams(struct bus_link *link);
/* link.c: sends and counts; a refusal by the transport is a disconnect. */
bool link_transmit(struct bus_link *link, struct bytes frame);

/* handshake.c */
void link_receive_hello(struct bus_link *link, const struct frame_header *header, struct bytes body);
/* True when the frame belongs to our connection; brings the link up if it is the first proof of that. */
bool link_admit(struct bus_link *link, const struct frame_header *header);

#endif
