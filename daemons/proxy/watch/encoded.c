/* encoded: see encoded.h. */
#include "proxy/watch/encoded.h"

#include <stdlib.h>

#include "common/wire.h"

enum { EVENTS_FIELD = 11, KEEP_BYTES = 1 << 20, KEEP_EVENTS = 16384 };

void encoded_add(struct encoded *encoded, const struct event *event, bool previous) {
    if (encoded->count == encoded->capacity) {
        encoded->capacity = encoded->capacity == 0 ? 16 : 2 * encoded->capacity;
        encoded->events = must_realloc(encoded->events, encoded->capacity * sizeof *encoded->events);
    }
    size_t length = event->message.length + (previous ? event->previous.length : 0);
    wire_put_message_head(&encoded->body, EVENTS_FIELD, length);
    buffer_append_bytes(&encoded->body, event->message);
    if (previous)
        buffer_append_bytes(&encoded->body, event->previous);
    encoded->events[encoded->count++] =
        (struct encoded_event){.revision = event->revision, .end = encoded->body.length};
}

size_t encoded_from(const struct encoded *encoded, int64_t revision) {
    if (encoded->count == 0 || encoded->events[0].revision >= revision)
        return 0;
    size_t low = 0;
    size_t high = encoded->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (encoded->events[middle].revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t end_of_revision(const struct encoded *encoded, size_t number) {
    int64_t revision = encoded->events[number].revision;
    while (number < encoded->count && encoded->events[number].revision == revision)
        number++;
    return number;
}

size_t encoded_piece(const struct encoded *encoded, size_t first, size_t bytes) {
    size_t limit = encoded_start(encoded, first) + bytes;
    if (encoded->body.length <= limit)
        return encoded->count;
    size_t low = first; /* the first event that ends behind the limit */
    size_t high = encoded->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (encoded->events[middle].end <= limit)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t revision = encoded->events[low].revision;
    while (low > first && encoded->events[low - 1].revision == revision)
        low--;
    return low > first ? low : end_of_revision(encoded, first);
}

void encoded_clear(struct encoded *encoded) {
    buffer_reset(&encoded->body, KEEP_BYTES);
    encoded->count = 0;
    if (encoded->capacity > KEEP_EVENTS) {
        free(encoded->events);
        encoded->events = NULL;
        encoded->capacity = 0;
    }
}

void encoded_free(struct encoded *encoded) {
    buffer_free(&encoded->body);
    free(encoded->events);
    *encoded = (struct encoded){0};
}
