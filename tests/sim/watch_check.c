/* watch_check: see watch_check.h. */
#include "watch_check.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/request.h"
#include "kv.h"

/* One subscription being walked through. */
struct walk {
    const struct judge *judge;
    const struct subscription *subscription;
    const struct watch_wish *wish;
    const struct reference_event *events;
    size_t count, at;   /* events[at]: the first one not delivered */
    uint64_t delivered; /* everything up to this revision has been, whatever else has */
    bool begun;         /* `at` is known */
};

static bool concerns(const struct walk *walk, const struct reference_event *event) {
    unsigned kind = event->deleted ? WATCH_NO_DELETE : WATCH_NO_PUT;
    return (walk->wish->filters & kind) == 0 && watch_wish_covers(walk->wish, event->now.key);
}

/* Moves on to the first event that concerns the watcher; NULL: there is none. */
static const struct reference_event *next_event(struct walk *walk) {
    while (walk->at < walk->count && !concerns(walk, &walk->events[walk->at]))
        walk->at++;
    return walk->at < walk->count ? &walk->events[walk->at] : NULL;
}

static void begin_at(struct walk *walk, uint64_t revision) {
    walk->begun = true;
    walk->delivered = revision - 1;
    size_t low = 0, high = walk->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (walk->events[middle].revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    walk->at = low;
}

static void fail(const struct walk *walk, const char *what, const struct reference_event *event) {
    struct buffer text = {0};
    if (event != NULL) {
        buffer_printf(&text, "%s ", event->deleted ? "DELETE" : "PUT");
        kv_text(&text, &event->now);
    }
    buffer_append_byte(&text, '\0');
    world_fail(walk->judge->world, "%s: %s %s", subscription_text(walk->subscription), what,
               (const char *)text.data);
    buffer_free(&text);
}

static void check_durable(const struct walk *walk, const struct watch_note *note) {
    if (note->revision > judge_revision(walk->judge, note->durable))
        world_fail(walk->judge->world,
                   "%s was told of revision %" PRIu64 " when the %" PRIu64
                   " durable entries ended at %" PRIu64,
                   subscription_text(walk->subscription), note->revision, note->durable,
                   judge_revision(walk->judge, note->durable));
}

static void check_created(struct walk *walk, const struct watch_note *note) {
    const struct subscription *subscription = walk->subscription;
    check_durable(walk, note);
    if (note->revision < subscription->before.revision)
        world_fail(walk->judge->world,
                   "%s: admitted at revision %" PRIu64 ", but %" PRIu64 " had been seen before",
                   subscription_text(subscription), note->revision, subscription->before.revision);
    begin_at(walk, subscription->start > 0 ? (uint64_t)subscription->start : note->revision + 1);
}

static void check_previous(const struct walk *walk, const struct watch_note *note,
                           const struct reference_event *event) {
    uint64_t expected = walk->wish->previous && event->has_previous ? kv_fingerprint(&event->previous) : 0;
    if (note->previous == expected)
        return;
    uint64_t compacted = reference_compacted(walk->judge->reference, note->durable);
    if (note->previous != 0 || event->revision - 1 >= compacted)
        fail(walk, note->previous == 0 ? "no prev_kv with" : "another prev_kv with", event);
}

static void check_event(struct walk *walk, const struct watch_note *note) {
    const struct reference_event *event = next_event(walk);
    check_durable(walk, note);
    if (event == NULL || event->revision != note->revision || event->deleted != note->deleted ||
        kv_fingerprint(&event->now) != note->now) {
        char what[128];
        (void)snprintf(what, sizeof what, "told of a %s at revision %" PRIu64 ", but what is next is",
                       note->deleted ? "DELETE" : "PUT", note->revision);
        fail(walk, what, event);
        return;
    }
    check_previous(walk, note, event);
    walk->at++;
    if (note->whole)
        walk->delivered = note->revision;
}

static void check_progress(struct walk *walk, const struct watch_note *note) {
    const struct reference_event *event = next_event(walk);
    check_durable(walk, note);
    if (event != NULL && event->revision <= note->revision)
        fail(walk, "progress beyond what was not delivered:", event);
    if (note->revision > walk->delivered)
        walk->delivered = note->revision;
}

/* A compaction up to C may end only whoever needs something below C. */
static void check_canceled(const struct walk *walk, const struct watch_note *note) {
    uint64_t newest = reference_compacted(walk->judge->reference, note->durable);
    if (note->revision == 0)
        return;
    if (note->revision > newest || !reference_was_compacted(walk->judge->reference, note->revision))
        world_fail(walk->judge->world,
                   "%s: canceled as compacted at %" PRIu64 ", the newest compaction was %" PRIu64,
                   subscription_text(walk->subscription), note->revision, newest);
    if (walk->begun && walk->delivered + 1 >= note->revision)
        world_fail(walk->judge->world,
                   "%s: canceled as compacted at %" PRIu64 " although it had everything up to %" PRIu64,
                   subscription_text(walk->subscription), note->revision, walk->delivered);
}

/* Who asked for what had been compacted must hear so, and nothing else. */
static void check_compacted_start(const struct walk *walk) {
    const struct subscription *subscription = walk->subscription;
    uint64_t compacted = reference_compacted(walk->judge->reference, subscription->before.index);
    if (subscription->start <= 0 || (uint64_t)subscription->start >= compacted)
        return;
    for (size_t i = 0; i < subscription->count; i++) {
        enum watch_note_kind kind = subscription->notes[i].kind;
        if (kind == NOTE_EVENT || kind == NOTE_GROUP || kind == NOTE_PROGRESS)
            world_fail(walk->judge->world, "%s: served, although %" PRIu64 " had been compacted before",
                       subscription_text(subscription), compacted);
    }
}

static void check_complete(struct walk *walk) {
    const struct reference_event *event = next_event(walk);
    if (event != NULL && walk->begun)
        fail(walk, "never told of", event);
    else if (walk->subscription->count == 0)
        fail(walk, "never answered", NULL);
}

static void check_subscription(struct walk *walk) {
    const struct subscription *subscription = walk->subscription;
    const struct world *world = walk->judge->world;
    walk->begun = false;
    for (size_t i = 0; i < subscription->count && !world->failed; i++) {
        const struct watch_note *note = &subscription->notes[i];
        if (note->kind == NOTE_CREATED)
            check_created(walk, note);
        else if (note->kind == NOTE_EVENT)
            check_event(walk, note);
        else if (note->kind == NOTE_PROGRESS || note->kind == NOTE_GROUP)
            check_progress(walk, note);
        else
            check_canceled(walk, note);
    }
    check_compacted_start(walk);
    if (subscription->session->stream != NULL && subscription->state == SUBSCRIPTION_LIVE)
        check_complete(walk);
}

/* Where a client that took so much of it goes on. */
static int64_t resumption(const struct subscription *subscription) {
    int64_t next = subscription->start;
    for (size_t i = 0; i < subscription->count; i++) {
        const struct watch_note *note = &subscription->notes[i];
        int64_t behind = 0;
        if (note->commit > subscription->session->taken)
            break;
        if (note->kind == NOTE_CANCELED)
            behind = (int64_t)note->revision;
        else if ((note->kind == NOTE_EVENT && note->whole) || note->kind == NOTE_GROUP ||
                 note->kind == NOTE_PROGRESS || (note->kind == NOTE_CREATED && subscription->start == 0))
            behind = (int64_t)note->revision + 1;
        if (behind > next)
            next = behind;
    }
    return next;
}

void watch_check_wish(const struct judge *judge, const struct watch_wish *wish) {
    struct walk walk = {.judge = judge, .wish = wish};
    walk.events = reference_events(judge->reference, &walk.count);
    const struct subscription *before = NULL;
    for (const struct subscription *at = wish->first; at != NULL && !judge->world->failed; at = at->next) {
        walk.subscription = at;
        if (before != NULL && at->start != resumption(before))
            world_fail(judge->world, "%s: what it saw before leads to %" PRId64, subscription_text(at),
                       resumption(before));
        check_subscription(&walk);
        before = at;
    }
}

void watch_check_session(const struct judge *judge, const struct watch_session *session) {
    for (const struct progress_request *at = session->progress; at != NULL; at = at->next) {
        if (at->revision != 0 && at->revision < at->before.revision)
            world_fail(judge->world,
                       "stream %u: progress to %" PRIu64 ", but %" PRIu64
                       " had been seen when it was asked for",
                       session->number, at->revision, at->before.revision);
    }
}
