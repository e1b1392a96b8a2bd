/*
 * link: records in, records out, credit. The handshake is in handshake.c, the bytes in frame.c.
 *
 * Sending. Records are built in place in `pending`, a row of frames; a frame is closed when it grows past
 * BUS_FRAME_TARGET. Flush sends frames while there is credit: BUS_WINDOW_FRAMES frames and BUS_WINDOW_BYTES
 * bytes unconsumed by the peer (one frame may overshoot the bytes). What has no credit stays and grows.
 *
 * Receiving. A frame is checked as a whole before its first record is delivered: garbage delivers nothing. It
 * counts as consumed when its last record was delivered. What was consumed is told with the next DATA frame,
 * or, when none goes out and more than a quarter of the window is untold, with a CREDIT frame. A sender whose
 * window is used up is therefore always told, once its peer has consumed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/bus/contract.h"
#include "common/bus/link_internal.h"
#include "common/log.h"

enum { PENDING_KEEP = 4 << 20 }; /* memory a link keeps when its buffer is empty */

bool bus_trace = false;

struct bus_link *bus_link_new(const char *name, enum bus_role own_role, uint8_t own_slot,
                              enum bus_role peer_role, uint8_t peer_slot, uint64_t incarnation,
                              struct bus_transport transport, struct bus_handler handler) {
    REQUIRE(handler.record != NULL && transport.send != NULL);
    struct bus_link *link = must_zalloc(sizeof *link);
    link->pending_limit = BUS_PENDING_LIMIT;
    (void)snprintf(link->name, sizeof link->name, "%s", name);
    link->own_role = own_role;
    link->own_slot = own_slot;
    link->peer_role = peer_role;
    link->peer_slot = peer_slot;
    link->incarnation = incarnation;
    link->transport = transport;
    link->handler = handler;
    return link;
}

void bus_link_free(struct bus_link *link) {
    if (link == NULL)
        return;
    buffer_free(&link->pending);
    free(link->frames);
    free(link);
}

const char *bus_link_name(const struct bus_link *link) {
    return link->name;
}

bool bus_link_is_up(const struct bus_link *link) {
    return link->up;
}

const struct bus_hello *bus_link_peer(const struct bus_link *link) {
    return link->up ? &link->peer : NULL;
}

const struct bus_link_counts *bus_link_counts(const struct bus_link *link) {
    return &link->counts;
}

void bus_link_hold(struct bus_link *link, bool hold) {
    link->hold = hold;
}

void link_clear_streams(struct bus_link *link) {
    buffer_reset(&link->pending, PENDING_KEEP);
    link->first = link->count = 0;
    link->building = false;
    link->full = false;
    link->sent = link->credited = link->consumed = link->granted = (struct tally){0};
}

bool link_transmit(struct bus_link *link, struct bytes frame) {
    if (!link->transport.send(link->transport.context, frame)) {
        bus_link_disconnected(link);
        return false;
    }
    link->counts.frames_sent++;
    link->counts.bytes_sent += frame.length;
    return true;
}

static void trace(const struct bus_link *link, const char *direction, const struct bus_record *record,
                  size_t length) {
    LOG_INFO("bus record", F_STR("link", link->name), F_STR("direction", direction),
             F_STR("kind", bus_kind_name(record->kind)), F_HEX("id", record->id), F_U64("length", length));
}

/* --- sending --- */

/* Bytes in the pending buffer that are not sent yet. */
static size_t unsent(const struct bus_link *link) {
    return link->first == link->count ? 0 : link->pending.length - link->frames[link->first].start;
}

void bus_link_limit(struct bus_link *link, size_t bytes) {
    link->pending_limit = bytes;
}

size_t bus_link_room(const struct bus_link *link) {
    size_t used = unsent(link);
    return !link->up || used >= link->pending_limit ? 0 : link->pending_limit - used;
}

static void open_frame(struct bus_link *link) {
    if (link->count == link->capacity) {
        link->capacity = link->capacity == 0 ? 8 : 2 * link->capacity;
        link->frames = must_realloc(link->frames, link->capacity * sizeof *link->frames);
    }
    size_t start = link->pending.length;
    buffer_reserve(&link->pending, FRAME_HEADER);
    link->pending.length += FRAME_HEADER;
    link->frames[link->count++] = (struct pending_frame){.start = start, .end = link->pending.length};
}

static bool needs_new_frame(const struct bus_link *link) {
    if (link->first == link->count)
        return true;
    const struct pending_frame *last = &link->frames[link->count - 1];
    return last->end - last->start >= BUS_FRAME_TARGET;
}

struct buffer *bus_link_begin(struct bus_link *link) {
    REQUIRE(!link->building);
    if (!link->up)
        return NULL;
    if (needs_new_frame(link))
        open_frame(link);
    link->building = true;
    link->record_start = link->pending.length;
    buffer_reserve(&link->pending, RECORD_HEADER);
    link->pending.length += RECORD_HEADER;
    return &link->pending;
}

void bus_link_commit(struct bus_link *link, const struct bus_record *record) {
    if (!link->building) { /* went down since begin */
        link->pending.length = 0;
        return;
    }
    link->building = false;
    size_t length = link->pending.length - link->record_start - RECORD_HEADER;
    REQUIRE(length <= BUS_RECORD_LIMIT && record->user_length <= length);
    REQUIRE(bus_kind_belongs(record->kind, link->own_role, link->peer_role));
    size_t padding = record_padding(length);
    memset(buffer_reserve(&link->pending, padding), 0, padding);
    link->pending.length += padding;
    record_header_encode(link->pending.data + link->record_start, record, (uint32_t)length);

    struct pending_frame *frame = &link->frames[link->count - 1];
    frame->end = link->pending.length;
    frame->records++;
    link->counts.records_sent++;
    if (unsent(link) >= link->pending_limit)
        link->full = true;
    if (bus_trace)
        trace(link, "out", record, length);
}

bool bus_link_put(struct bus_link *link, const struct bus_record *record) {
    struct buffer *body = bus_link_begin(link);
    if (body == NULL)
        return false;
    buffer_append_bytes(body, record->body);
    bus_link_commit(link, record);
    return true;
}

static bool has_credit(const struct bus_link *link) {
    return link->sent.frames - link->credited.frames < BUS_WINDOW_FRAMES &&
           link->sent.bytes - link->credited.bytes < BUS_WINDOW_BYTES;
}

static void grant(struct bus_link *link, struct frame_header *header) {
    if (!link->hold)
        link->granted = link->consumed;
    header->consumed_frames = link->granted.frames;
    header->consumed_bytes = link->granted.bytes;
}

/* False when the transport refused it, and the link is down. */
static bool send_frame(struct bus_link *link, const struct pending_frame *frame) {
    size_t length = frame->end - frame->start;
    struct frame_header header = {.kind = FRAME_DATA,
                                  .from = link->mine,
                                  .to = link->theirs,
                                  .sequence = link->sent.frames + 1,
                                  .records = frame->records,
                                  .length = (uint32_t)(length - FRAME_HEADER)};
    grant(link, &header);
    uint8_t *start = link->pending.data + frame->start;
    frame_header_encode(start, &header);
    link->sent.frames++;
    link->sent.bytes += length;
    return link_transmit(link, bytes_of(start, length));
}

/* Moves what is left to the front once that costs no more than what was sent. */
static void reclaim(struct bus_link *link) {
    if (link->first == link->count) {
        buffer_reset(&link->pending, PENDING_KEEP);
        link->first = link->count = 0;
        return;
    }
    size_t gone = link->frames[link->first].start;
    size_t left = link->pending.length - gone;
    if (gone == 0 || gone < left)
        return;
    memmove(link->pending.data, link->pending.data + gone, left);
    link->pending.length = left;
    link->count -= link->first;
    memmove(link->frames, link->frames + link->first, link->count * sizeof *link->frames);
    link->first = 0;
    for (size_t i = 0; i < link->count; i++) {
        link->frames[i].start -= gone;
        link->frames[i].end -= gone;
    }
}

/* Returns whether anything went out; the link may be down afterwards. */
static bool send_pending(struct bus_link *link) {
    bool any = false;
    while (link->up && link->first < link->count && has_credit(link)) {
        struct pending_frame frame = link->frames[link->first++];
        if (!send_frame(link, &frame))
            return any;
        any = true;
    }
    if (any)
        reclaim(link);
    return any;
}

static void send_credit_if_due(struct bus_link *link) {
    if (link->hold || (link->consumed.frames - link->granted.frames <= BUS_WINDOW_FRAMES / 4 &&
                       link->consumed.bytes - link->granted.bytes <= BUS_WINDOW_BYTES / 4))
        return;
    struct frame_header header = {.kind = FRAME_CREDIT, .from = link->mine, .to = link->theirs};
    grant(link, &header);
    uint8_t frame[FRAME_HEADER];
    frame_header_encode(frame, &header);
    (void)link_transmit(link, bytes_of(frame, sizeof frame));
}

/* Sends what credit allows and, when that made room after there was none, tells the role. True: data went
 * out. */
static bool send_and_tell(struct bus_link *link) {
    if (link->flushing) /* inside the role's `room` */
        return false;
    link->flushing = true;
    bool sent = send_pending(link);
    /* The role hears of new room late, when a quarter is free, so that it does not come back for every
     * record. */
    while (link->up && link->full && unsent(link) <= link->pending_limit / 4 * 3) {
        link->full = false;
        if (link->handler.room == NULL)
            break;
        link->handler.room(link->handler.context, link);
        sent = send_pending(link) || sent;
    }
    link->flushing = false;
    return sent;
}

void bus_link_flush(struct bus_link *link) {
    REQUIRE(!link->building || !link->up);
    if (link->up && !link->flushing && !send_and_tell(link) && link->up)
        send_credit_if_due(link);
}

/* --- receiving --- */

/* Takes over what the peer consumed. False: it claims more than was sent, or less than before. */
static bool take_credit(struct bus_link *link, const struct frame_header *header) {
    if (header->consumed_frames > link->sent.frames || header->consumed_bytes > link->sent.bytes ||
        header->consumed_frames < link->credited.frames || header->consumed_bytes < link->credited.bytes)
        return false;
    link->credited = (struct tally){header->consumed_frames, header->consumed_bytes};
    return true;
}

/* Walks all records without delivering any. */
static bool records_are_valid(const struct bus_link *link, struct bytes body, uint32_t records) {
    struct bus_record record;
    for (uint32_t i = 0; i < records; i++) {
        if (!record_decode(&body, &record))
            return false;
        if (!bus_kind_belongs(record.kind, link->peer_role, link->own_role)) {
            LOG_ERROR("bus record does not belong here", F_STR("link", link->name),
                      F_STR("kind", bus_kind_name(record.kind)), F_U64("number", record.kind));
            return false;
        }
    }
    return body.length == 0;
}

static void deliver(struct bus_link *link, const struct frame_header *header, struct bytes body) {
    uint64_t connection = link->mine;
    for (uint32_t i = 0; i < header->records; i++) {
        struct bus_record record;
        (void)record_decode(&body, &record); /* was checked */
        link->counts.records_received++;
        if (bus_trace)
            trace(link, "in", &record, record.body.length);
        link->handler.record(link->handler.context, link, &record);
        if (link->mine != connection)
            return; /* the role reset the link: the rest belongs to a connection that is gone */
    }
    link->consumed.frames++;
    link->consumed.bytes += FRAME_HEADER + header->length;
}

static void receive_stream_frame(struct bus_link *link, const struct frame_header *header,
                                 struct bytes body) {
    if (!link_admit(link, header))
        return;
    if (!take_credit(link, header)) {
        bus_link_reset(link, "impossible acknowledgement");
        return;
    }
    if (header->kind == FRAME_CREDIT)
        ; /* that was all it had to say */
    else if (header->sequence != link->consumed.frames + 1)
        bus_link_reset(link, "gap or repeat in the sequence");
    else if (!records_are_valid(link, body, header->records))
        bus_link_reset(link, "malformed record");
    else
        deliver(link, header, body);
    /* Here and not in flush, so that what the role does about it reaches its other links in this round. */
    if (link->up && link->full)
        (void)send_and_tell(link);
}

void bus_link_frame(struct bus_link *link, struct bytes frame) {
    if (!link->connected) {
        link->counts.stale_frames++;
        return;
    }
    link->counts.frames_received++;
    link->counts.bytes_received += frame.length;
    struct frame_header header;
    switch (frame_header_decode(frame, &header)) {
    case FRAME_GARBAGE:
        bus_link_reset(link, "garbage frame");
        return;
    case FRAME_OTHER_CONTRACT:
        LOG_ERROR("bus peer refused: another contract version", F_STR("link", link->name));
        return;
    case FRAME_VALID:
        break;
    }
    struct bytes body = bytes_of(frame.data + FRAME_HEADER, header.length);
    if (header.kind == FRAME_HELLO)
        link_receive_hello(link, &header, body);
    else
        receive_stream_frame(link, &header, body);
}
