/*
 * scan: history read for watchers that are behind, many at once, in the order of revisions.
 *
 * A scan reads what lies between the earliest `next` of its members and the stream's position, in ranges
 * that hold all of theirs; each member is given what is its own. At the end it goes to the ring and from
 * there to the stream, or, when the ring has moved on meanwhile, to another and shorter scan. Of the SCANS
 * slots two take only short lags, so that who missed a moment does not wait for who begins at revision 1.
 *
 * A revision comes in several parts when it is large; its events are held until it is complete, because
 * they belong into one response. Beyond held_bytes they go out as fragments instead. Then a member
 * can't stop half-way, so apply is not told that we took anything while one of them does not keep up.
 *
 * Failure modes. The read fails (apply is gone, or busy): members go on from where they are, after a moment.
 * History is compacted away under it: members that need it end. Either cuts a member's fragments short: its
 * RPC ends with Unavailable, and the client resumes. So does a member that holds a scan up for STALL_US.
 */
#include "proxy/watch/hub_state.h"

enum {
    LONG_SLOTS = 2,
    LOOK_AT = 4 * SCAN_MEMBERS, /* waiting watchers looked at for one scan */
    HELD_KEEP = 1 << 20,
    SLOW_BACKLOG = 1 << 20, /* of a member that is given fragments */
    RETRY_US = 50000,
    STALL_US = 30000000,
};

void scan_left(struct watcher *watcher) {
    struct scan *scan = &watcher->stream->hub->scans[watcher->lane - LANE_SCAN];
    scan->members[watcher->scan_place] = NULL;
    scan->staying--;
}

/* The next member at or behind place *at; NULL: there is none. */
static struct watcher *next_member(const struct scan *scan, uint32_t *at) {
    while (*at < scan->member_count) {
        struct watcher *watcher = scan->members[(*at)++];
        if (watcher != NULL)
            return watcher;
    }
    return NULL;
}

/* --- the end --- */

/* All members go where `next` puts them; compacted: -1 or the revision below which nothing can be had. */
static void dismiss(struct scan *scan, int64_t compacted) {
    struct watcher *watcher = NULL;
    for (uint32_t at = 0; (watcher = next_member(scan, &at)) != NULL;) {
        if (!watcher->within && watcher->next <= scan->through)
            watcher->next = scan->through + 1;
        if (watcher->within)
            stream_end(watcher->stream, STATUS_STOPPED);
        else if (watcher->next < compacted)
            watcher_compacted(watcher, compacted);
        else
            catch_up(watcher);
    }
    REQUIRE(scan->staying == 0);
    scan->member_count = 0;
    scan->owed = 0;
    scan->open_revision = 0;
    buffer_reset(&scan->held, HELD_KEEP);
}

static void fail(struct scan *scan) {
    struct watch_hub *hub = scan->hub;
    proxy_role_cancel(hub->role, &scan->call);
    hub->retry_us = hub_now_us(hub) + RETRY_US;
    dismiss(scan, -1);
}

/* --- parts --- */

static void add_all(struct scan *scan, struct bytes events) {
    struct watch_hub *hub = scan->hub;
    struct event event;
    while (event_next(&events, &event))
        batch_add(&hub->batch, &hub->index, scan->lane, &event);
}

/* The open revision is complete, and with it what was held. */
static void complete(struct scan *scan, struct bytes events, int64_t through) {
    add_all(scan, buffer_bytes(&scan->held));
    add_all(scan, events);
    batch_deliver(&scan->hub->batch, scan->lane, false);
    buffer_reset(&scan->held, HELD_KEEP);
    struct watcher *watcher = NULL;
    for (uint32_t at = 0; scan->fragmented && (watcher = next_member(scan, &at)) != NULL;) {
        if (watcher->within)
            watcher_finish_fragments(watcher);
    }
    scan->fragmented = false;
    scan->open_revision = 0;
    scan->through = through;
}

static void hold(struct scan *scan, struct bytes events, int64_t revision) {
    scan->open_revision = revision;
    buffer_append_bytes(&scan->held, events);
    if (scan->held.length <= scan->hub->limits.held_bytes)
        return;
    add_all(scan, buffer_bytes(&scan->held));
    batch_deliver(&scan->hub->batch, scan->lane, true);
    buffer_reset(&scan->held, HELD_KEEP);
    scan->fragmented = true;
}

/* The events before the revision; *rest: those of it. */
static struct bytes events_before(struct bytes events, int64_t revision, struct bytes *rest) {
    struct event event;
    *rest = events;
    for (struct bytes after = events; event_next(&after, &event) && event.revision < revision;)
        *rest = after;
    return bytes_of(events.data, events.length - rest->length);
}

static void take_events(struct scan *scan, const struct history_head *head, struct bytes events) {
    if (head->part == HISTORY_COMPLETE) {
        complete(scan, events, head->through);
        return;
    }
    struct bytes rest;
    struct bytes before = events_before(events, head->through, &rest);
    if (scan->open_revision != head->through)
        complete(scan, before, head->through - 1);
    hold(scan, rest, head->through);
}

static void take_part(struct proxy_call *call, const struct proxy_result *result) {
    struct scan *scan = (struct scan *)(void *)call;
    struct bytes events = result->body;
    struct history_head head;
    size_t count = 0;
    hub_deliver(scan->hub); /* of the stream; the batch is used for both */
    if (result->status != STATUS_OK || !history_head_take(&events, &head) || !event_count(events, &count)) {
        fail(scan);
        return;
    }
    if (head.part != HISTORY_COMPACTED)
        take_events(scan, &head, events);
    if (result->more)
        scan->owed += result->body.length;
    else
        dismiss(scan, head.part == HISTORY_COMPACTED ? head.through : -1);
}

/* --- flow --- */

static bool is_slow(const struct watcher *watcher) {
    const struct watch_client *client = &watcher->stream->client;
    return watcher->within && client->backlog(client->context) > SLOW_BACKLOG;
}

static bool has_slow_member(const struct scan *scan) {
    const struct watcher *watcher = NULL;
    for (uint32_t at = 0; scan->fragmented && (watcher = next_member(scan, &at)) != NULL;) {
        if (is_slow(watcher))
            return true;
    }
    return false;
}

static void end_slow_members(struct scan *scan) {
    struct watcher *watcher = NULL;
    for (uint32_t at = 0; (watcher = next_member(scan, &at)) != NULL;) {
        if (is_slow(watcher))
            stream_end(watcher->stream, STATUS_STOPPED);
    }
}

static void check(struct scan *scan) {
    struct watch_hub *hub = scan->hub;
    if (scan->staying == 0) {
        proxy_role_cancel(hub->role, &scan->call);
        dismiss(scan, -1);
    } else if (scan->owed > 0 && !has_slow_member(scan)) {
        proxy_role_consumed(hub->role, &scan->call, scan->owed);
        scan->owed = 0;
        scan->stalled_us = 0;
    } else if (scan->owed > 0 && scan->stalled_us == 0) {
        scan->stalled_us = hub_now_us(hub);
    } else if (scan->owed > 0 && hub_now_us(hub) - scan->stalled_us >= STALL_US) {
        end_slow_members(scan);
    }
}

void scan_check(struct watch_hub *hub) {
    for (unsigned slot = 0; slot < SCANS; slot++) {
        if (proxy_call_under_way(&hub->scans[slot].call))
            check(&hub->scans[slot]);
    }
}

bool scan_owes(const struct watch_hub *hub) {
    bool owes = false;
    for (unsigned slot = 0; slot < SCANS; slot++)
        owes = owes || hub->scans[slot].owed > 0;
    return owes;
}

/* --- the beginning --- */

static int64_t lag(const struct watch_hub *hub, const struct watcher *watcher) {
    return hub->position - watcher->next + 1;
}

/* About as far behind as the first: neither waits long for the other. */
static bool fits(int64_t first, int64_t other) {
    return other / 2 <= first && first / 2 <= other;
}

static void enlist(struct scan *scan, struct watcher *watcher) {
    watcher_join(watcher, scan->lane, WATCHER_SCANNING);
    watcher->scan_place = scan->member_count;
    scan->members[scan->member_count++] = watcher;
    scan->staying++;
}

/* From the queue, in its order. Returns the first revision to read. */
static int64_t gather(struct scan *scan, struct watcher *first) {
    struct watch_hub *hub = scan->hub;
    int64_t standard = lag(hub, first);
    int64_t from = first->next;
    struct watcher *next = NULL;
    unsigned looked = 0;
    for (struct watcher *at = first; at != NULL; at = next) {
        next = at->queue_next;
        if (scan->member_count == SCAN_MEMBERS || looked++ == LOOK_AT)
            break;
        if (!fits(standard, lag(hub, at)))
            continue;
        if (at->next < from)
            from = at->next;
        enlist(scan, at);
    }
    return from;
}

static void put_ranges(const struct scan *scan, struct buffer *out) {
    struct interest_list interests = {0};
    struct ranges ranges = {0};
    struct watcher *watcher = NULL;
    for (uint32_t at = 0; (watcher = next_member(scan, &at)) != NULL;)
        interest_list_add(&interests, watcher->interest);
    ranges_rebuild(&ranges, &interests);
    ranges_put(&ranges, out);
    ranges_free(&ranges);
    interest_list_free(&interests);
}

static void begin(struct scan *scan, struct watcher *first) {
    struct watch_hub *hub = scan->hub;
    struct history_request request = {.from = gather(scan, first), .to = hub->position};
    struct buffer ranges = {0};
    put_ranges(scan, &ranges);
    request.ranges = buffer_bytes(&ranges);
    scan->body.length = 0;
    history_request_put(&scan->body, &request);
    buffer_free(&ranges);
    scan->through = request.from - 1;
    scan->call = (struct proxy_call){.route = PROXY_SERIALIZABLE_READ,
                                     .method = METHOD_WATCH_HISTORY,
                                     .body = buffer_bytes(&scan->body),
                                     .result = take_part};
    proxy_role_call(hub->role, &scan->call, hub_now_us(hub));
}

/* Who is next for this slot; NULL: nobody. */
static struct watcher *next_for(const struct watch_hub *hub, unsigned slot) {
    struct watcher *far = hub->queues[WAIT_LONG].head;
    return slot < LONG_SLOTS && far != NULL ? far : hub->queues[WAIT_SHORT].head;
}

void scan_begin_all(struct watch_hub *hub) {
    for (unsigned slot = 0; slot < SCANS; slot++) {
        if (!hub->role->view.apply_up || hub_now_us(hub) < hub->retry_us)
            return;
        struct scan *scan = &hub->scans[slot];
        struct watcher *first = next_for(hub, slot);
        if (first == NULL || proxy_call_under_way(&scan->call))
            continue;
        scan->hub = hub;
        scan->lane = (uint8_t)(LANE_SCAN + slot);
        begin(scan, first);
    }
}

void scan_free_all(struct watch_hub *hub) {
    for (unsigned slot = 0; slot < SCANS; slot++) {
        buffer_free(&hub->scans[slot].body);
        buffer_free(&hub->scans[slot].held);
    }
}
