/* batch: see batch.h. */
#include "proxy/watch/batch.h"

#include <stdlib.h>

#include "proxy/watch/hub_state.h"

enum { KEEP = 65536 };

static uint32_t add_event(struct batch *batch, const struct event *event) {
    if (batch->event_count == batch->event_capacity) {
        batch->event_capacity = batch->event_capacity == 0 ? 64 : 2 * batch->event_capacity;
        batch->events = must_realloc(batch->events, batch->event_capacity * sizeof *batch->events);
    }
    batch->events[batch->event_count] = *event;
    return batch->event_count++;
}

static void add_match(struct batch *batch, struct interest *interest, uint32_t event) {
    if (batch->match_count == batch->match_capacity) {
        batch->match_capacity = batch->match_capacity == 0 ? 64 : 2 * batch->match_capacity;
        batch->matches = must_realloc(batch->matches, batch->match_capacity * sizeof *batch->matches);
    }
    uint32_t number = batch->match_count++;
    batch->matches[number] = (struct match){.event = event, .next = NO_MATCH};
    if (interest->first_match == NO_MATCH) {
        interest->first_match = number;
        interest->touched = batch->touched.count;
        interest_list_add(&batch->touched, interest);
    } else {
        batch->matches[interest->last_match].next = number;
    }
    interest->last_match = number;
}

void batch_add(struct batch *batch, const struct interest_index *index, unsigned lane,
               const struct event *event) {
    interest_index_match(index, event->key, &batch->found);
    uint32_t number = NO_MATCH;
    for (size_t i = 0; i < batch->found.count; i++) {
        struct interest *interest = batch->found.list[i];
        if (interest->lanes[lane].count == 0)
            continue;
        if (number == NO_MATCH)
            number = add_event(batch, event);
        add_match(batch, interest, number);
    }
}

void batch_forget(struct batch *batch, const struct interest *interest) {
    if (interest->first_match != NO_MATCH)
        batch->touched.list[interest->touched] = NULL;
}

static const struct encoded *form_of(struct batch *batch, const struct interest *interest,
                                     const struct watcher *watcher) {
    unsigned form = (unsigned)watcher->filters << 1 | (watcher->previous ? 1U : 0U);
    struct encoded *encoded = &batch->forms[form];
    if (batch->made[form])
        return encoded;
    batch->made[form] = true;
    for (uint32_t at = interest->first_match; at != NO_MATCH; at = batch->matches[at].next) {
        const struct event *event = &batch->events[batch->matches[at].event];
        if (watcher_wants(watcher, event))
            encoded_add(encoded, event, watcher->previous);
    }
    return encoded;
}

/* From the last to the first: a member that can't take more leaves, and the last takes its place. */
static void deliver_interest(struct batch *batch, struct interest *interest, unsigned lane, bool more) {
    const struct members *members = &interest->lanes[lane];
    for (uint32_t i = members->count; i-- > 0;) {
        struct watcher *watcher = members->list[i];
        watcher_give(watcher, form_of(batch, interest, watcher), more);
    }
    for (unsigned form = 0; form < FORMS; form++) {
        if (batch->made[form])
            encoded_clear(&batch->forms[form]);
        batch->made[form] = false;
    }
    interest->first_match = NO_MATCH;
}

void batch_deliver(struct batch *batch, unsigned lane, bool more) {
    for (size_t i = 0; i < batch->touched.count; i++) {
        if (batch->touched.list[i] != NULL)
            deliver_interest(batch, batch->touched.list[i], lane, more);
    }
    batch->touched.count = 0;
    batch->event_count = batch->match_count = 0;
    if (batch->event_capacity > KEEP || batch->match_capacity > KEEP) {
        free(batch->events);
        free(batch->matches);
        batch->events = NULL;
        batch->matches = NULL;
        batch->event_capacity = batch->match_capacity = 0;
    }
}

void batch_free(struct batch *batch) {
    free(batch->events);
    free(batch->matches);
    interest_list_free(&batch->touched);
    interest_list_free(&batch->found);
    for (unsigned form = 0; form < FORMS; form++)
        encoded_free(&batch->forms[form]);
    *batch = (struct batch){0};
}
