/*
 * event: see event.h. Head of an event: revision (8), lengths of message and previous (4 each), length of the
 * key (4), its offset in the message (2), flags (2); all little-endian.
 */
#include "common/event.h"

enum { FLAG_DELETED = 1 };

static void store(uint8_t *place, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load(const uint8_t *place, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)place[i] << (8 * i);
    return value;
}

void event_put(struct buffer *out, const struct event *event) {
    size_t offset = event->key.length == 0 ? 0 : (size_t)(event->key.data - event->message.data);
    REQUIRE(offset <= UINT16_MAX && offset + event->key.length <= event->message.length);
    uint8_t *place = buffer_reserve(out, EVENT_HEAD + event->message.length + event->previous.length);
    store(place, (uint64_t)event->revision, 8);
    store(place + 8, event->message.length, 4);
    store(place + 12, event->previous.length, 4);
    store(place + 16, event->key.length, 4);
    store(place + 20, offset, 2);
    store(place + 22, event->deleted ? FLAG_DELETED : 0, 2);
    out->length += EVENT_HEAD;
    buffer_append_bytes(out, event->message);
    buffer_append_bytes(out, event->previous);
}

bool event_next(struct bytes *events, struct event *out) {
    if (events->length < EVENT_HEAD)
        return false;
    const uint8_t *head = events->data;
    size_t message = (size_t)load(head + 8, 4);
    size_t previous = (size_t)load(head + 12, 4);
    size_t key = (size_t)load(head + 16, 4);
    size_t offset = (size_t)load(head + 20, 2);
    size_t left = events->length - EVENT_HEAD;
    if (message > left || previous > left - message || offset > message || key > message - offset)
        return false;
    *out = (struct event){
        .revision = (int64_t)load(head, 8),
        .deleted = (load(head + 22, 2) & FLAG_DELETED) != 0,
        .message = bytes_of(head + EVENT_HEAD, message),
        .previous = bytes_of(head + EVENT_HEAD + message, previous),
        .key = bytes_of(head + EVENT_HEAD + offset, key),
    };
    *events = bytes_of(head + EVENT_HEAD + message + previous, left - message - previous);
    return true;
}

bool event_count(struct bytes events, size_t *count) {
    struct event event;
    *count = 0;
    while (event_next(&events, &event))
        ++*count;
    return events.length == 0;
}

void history_head_put(struct buffer *out, const struct history_head *head) {
    uint8_t *place = buffer_reserve(out, HISTORY_HEAD);
    store(place, (uint64_t)head->part, 8);
    store(place + 8, (uint64_t)head->through, 8);
    out->length += HISTORY_HEAD;
}

bool history_head_take(struct bytes *part, struct history_head *out) {
    if (part->length < HISTORY_HEAD || load(part->data, 8) > HISTORY_COMPACTED)
        return false;
    *out = (struct history_head){.part = (enum history_part)load(part->data, 8),
                                 .through = (int64_t)load(part->data + 8, 8)};
    *part = bytes_of(part->data + HISTORY_HEAD, part->length - HISTORY_HEAD);
    return true;
}

void history_request_put(struct buffer *out, const struct history_request *request) {
    uint8_t *place = buffer_reserve(out, HISTORY_HEAD);
    store(place, (uint64_t)request->from, 8);
    store(place + 8, (uint64_t)request->to, 8);
    out->length += HISTORY_HEAD;
    buffer_append_bytes(out, request->ranges);
}

bool history_request_get(struct bytes body, struct history_request *out) {
    if (body.length < HISTORY_HEAD)
        return false;
    *out = (struct history_request){.from = (int64_t)load(body.data, 8),
                                    .to = (int64_t)load(body.data + 8, 8),
                                    .ranges = bytes_of(body.data + HISTORY_HEAD, body.length - HISTORY_HEAD)};
    return out->from > 0;
}
