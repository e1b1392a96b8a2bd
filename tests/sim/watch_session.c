/* watch_session: see watch_session.h. */
#include "watch_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/request.h"
#include "common/wire.h"
#include "kv.h"

static const char duplicate_id[] = "mvcc: duplicate watch ID provided on the WatchStream";
static const char empty_range[] = "mvcc: watcher range is empty";

struct watch_response {
    uint64_t cluster, member, revision, term;
    int64_t id;
    bool created, canceled, fragment;
    uint64_t compacted;
    struct bytes reason;
    size_t events;
};

const char *subscription_text(const struct subscription *subscription) {
    static char text[256];
    const struct watch_wish *wish = subscription->wish;
    (void)snprintf(text, sizeof text, "stream %u proxy-%u watch %" PRId64 " of [%.*s,%.*s) from %" PRId64,
                   subscription->session->number, subscription->session->slot, subscription->id,
                   (int)wish->key.length, (const char *)wish->key.data, (int)wish->range_end.length,
                   (const char *)wish->range_end.data, subscription->start);
    return text;
}

bool watch_wish_covers(const struct watch_wish *wish, struct bytes key) {
    struct bytes first = wish->key.length > 0 ? buffer_bytes(&wish->key) : bytes_of("\0", 1);
    return interval_contains(first, buffer_bytes(&wish->range_end), key);
}

void watch_wish_free(struct watch_wish *wish) {
    struct subscription *subscription = wish->first;
    while (subscription != NULL) {
        struct subscription *next = subscription->next;
        free(subscription->notes);
        free(subscription);
        subscription = next;
    }
    buffer_free(&wish->key);
    buffer_free(&wish->range_end);
    free(wish);
}

static void *grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 8 : *capacity * 2;
    return must_realloc(array, *capacity * size);
}

static struct watch_note *add_note(struct subscription *subscription, enum watch_note_kind kind,
                                   uint64_t revision) {
    struct watch_session *session = subscription->session;
    subscription->notes =
        grow(subscription->notes, &subscription->capacity, subscription->count, sizeof *subscription->notes);
    struct watch_note *note = &subscription->notes[subscription->count++];
    *note = (struct watch_note){.kind = kind,
                                .revision = revision,
                                .durable = session->node->log.durable,
                                .commit = session->commits};
    return note;
}

/* --- what the proxy says --- */

static bool decode_header(struct bytes message, struct watch_response *response) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    uint64_t *const places[] = {NULL, &response->cluster, &response->member, &response->revision,
                                &response->term};
    while (wire_next(&reader, &field)) {
        if (field.number > 4)
            return false;
        *places[field.number] = field.value;
    }
    return !reader.malformed;
}

static bool decode_response(struct bytes message, struct watch_response *response) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *response = (struct watch_response){0};
    while (wire_next(&reader, &field)) {
        switch (field.number) {
        case 1:
            if (!decode_header(field.bytes, response))
                return false;
            break;
        case 2:
            response->id = (int64_t)field.value;
            break;
        case 3:
            response->created = field.value != 0;
            break;
        case 4:
            response->canceled = field.value != 0;
            break;
        case 5:
            response->compacted = field.value;
            break;
        case 6:
            response->reason = field.bytes;
            break;
        case 7:
            response->fragment = field.value != 0;
            break;
        case 11:
            response->events++;
            break;
        default:
            return false;
        }
    }
    return !reader.malformed;
}

static bool decode_event(struct bytes message, bool *deleted, struct kv *now, struct kv *previous,
                         bool *has_previous) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    bool fine = true;
    *deleted = *has_previous = false;
    *now = (struct kv){0};
    while (fine && wire_next(&reader, &field)) {
        if (field.number == 1)
            *deleted = field.value == 1;
        else if (field.number == 2)
            fine = kv_decode(field.bytes, now);
        else if (field.number == 3)
            *has_previous = fine = kv_decode(field.bytes, previous);
        else
            fine = false;
    }
    return fine && !reader.malformed;
}

static void check_header(struct watch_session *session, const struct watch_response *response) {
    if (response->cluster != session->node->membership.cluster || response->member != session->node->member)
        world_fail(session->world, "stream %u: the header names cluster %" PRIx64 " and member %" PRIx64,
                   session->number, response->cluster, response->member);
    if (response->term < session->term)
        world_fail(session->world, "stream %u: the term goes back from %" PRIu64 " to %" PRIu64,
                   session->number, session->term, response->term);
    session->term = response->term;
}

/* The one that this id names, or NULL. */
static struct subscription *find(const struct watch_session *session, int64_t id) {
    for (size_t i = 0; i < session->answered; i++) {
        struct subscription *subscription = session->subscriptions[i];
        if (subscription->id == id && subscription->refusal == NULL &&
            subscription->state != SUBSCRIPTION_ENDED)
            return subscription;
    }
    return NULL;
}

static void take_refusal(struct subscription *subscription, const struct watch_response *response) {
    struct world *world = subscription->session->world;
    subscription->state = SUBSCRIPTION_ENDED;
    if (response->id != -1 || !response->canceled ||
        !bytes_equal(response->reason, bytes_from_text(subscription->refusal)))
        world_fail(world, "%s: expected the refusal \"%s\", got id %" PRId64 " \"%.*s\"",
                   subscription_text(subscription), subscription->refusal, response->id,
                   (int)response->reason.length, (const char *)response->reason.data);
    add_note(subscription, NOTE_CANCELED, 0);
}

static struct subscription *take_created(struct watch_session *session,
                                         const struct watch_response *response) {
    if (session->answered == session->count) {
        world_fail(session->world, "stream %u: watch %" PRId64 " is created, which nobody asked for",
                   session->number, response->id);
        return NULL;
    }
    struct subscription *subscription = session->subscriptions[session->answered++];
    if (subscription->refusal != NULL) {
        take_refusal(subscription, response);
        return subscription;
    }
    if (response->id != subscription->id || response->canceled || response->events > 0 ||
        response->revision == 0)
        world_fail(session->world,
                   "%s: created as %" PRId64 ", canceled %d (%.*s), %zu events, header revision %" PRIu64,
                   subscription_text(subscription), response->id, response->canceled,
                   (int)response->reason.length, (const char *)response->reason.data, response->events,
                   response->revision);
    if (subscription->state == SUBSCRIPTION_ASKED)
        subscription->state = SUBSCRIPTION_LIVE;
    add_note(subscription, NOTE_CREATED, response->revision);
    return subscription;
}

static void take_canceled(struct subscription *subscription, const struct watch_response *response) {
    bool asked_for = subscription->state == SUBSCRIPTION_LEAVING;
    if (response->events > 0 || (response->compacted == 0 && !asked_for))
        world_fail(subscription->session->world, "%s: canceled without a reason, with %zu events",
                   subscription_text(subscription), response->events);
    if (response->compacted != 0 && response->revision != 0)
        world_fail(subscription->session->world, "%s: canceled as compacted, with a revision in the header",
                   subscription_text(subscription));
    if (subscription->compacted && response->compacted != 0)
        world_fail(subscription->session->world, "%s: canceled as compacted twice",
                   subscription_text(subscription));
    if (response->compacted == 0)
        subscription->state = SUBSCRIPTION_ENDED;
    else if (!asked_for)
        subscription->state = SUBSCRIPTION_HELD;
    if (!subscription->compacted)
        add_note(subscription, NOTE_CANCELED, response->compacted);
    subscription->compacted = response->compacted != 0;
    subscription->session->world->counts.watch_compacted += response->compacted != 0;
}

static void take_event(struct subscription *subscription, struct bytes message, bool first) {
    struct world *world = subscription->session->world;
    bool deleted = false, has_previous = false;
    struct kv now, previous;
    if (!decode_event(message, &deleted, &now, &previous, &has_previous)) {
        world_fail(world, "%s: an event that does not decode", subscription_text(subscription));
        return;
    }
    if (now.mod < subscription->revision ||
        (first && !subscription->group_open && now.mod == subscription->revision))
        world_fail(world, "%s: an event of revision %" PRIu64 " behind those of %" PRIu64,
                   subscription_text(subscription), now.mod, subscription->revision);
    subscription->revision = now.mod;
    world->counts.watch_events++;
    struct watch_note *note = add_note(subscription, NOTE_EVENT, now.mod);
    note->deleted = deleted;
    note->now = kv_fingerprint(&now);
    note->previous = has_previous ? kv_fingerprint(&previous) : 0;
    if (world->print) {
        struct buffer text = {0};
        kv_text(&text, &now);
        world_trace(world, "  %s %.*s%s", deleted ? "DELETE" : "PUT", (int)text.length,
                    (const char *)text.data, has_previous ? " with prev_kv" : "");
        buffer_free(&text);
    }
}

static void take_events(struct subscription *subscription, struct bytes message,
                        const struct watch_response *response) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    bool first = true;
    if (response->fragment && !subscription->wish->fragment &&
        subscription->session->node->watch_limits.held_bytes == 0)
        world_fail(subscription->session->world, "%s: a fragment, which was not asked for",
                   subscription_text(subscription));
    while (wire_next(&reader, &field)) {
        if (field.number == 11)
            take_event(subscription, field.bytes, first);
        first = first && field.number != 11;
    }
    subscription->session->world->counts.watch_fragments += response->fragment;
    subscription->group_open = response->fragment;
    subscription->notes[subscription->count - 1].whole = !response->fragment;
    if (response->revision < subscription->revision)
        world_fail(subscription->session->world, "%s: events up to %" PRIu64 " with header revision %" PRIu64,
                   subscription_text(subscription), subscription->revision, response->revision);
}

/* Everything up to its revision has been said: to this one, or to all there are. */
static void take_progress(struct watch_session *session, struct subscription *subscription,
                          const struct watch_response *response) {
    if (response->revision == 0)
        world_fail(session->world, "stream %u: progress to no revision", session->number);
    if (subscription != NULL) {
        if (!subscription->wish->progress)
            world_fail(session->world, "%s: progress, which was not asked for",
                       subscription_text(subscription));
        add_note(subscription, NOTE_PROGRESS, response->revision);
        return;
    }
    if (!watch_session_awaits_progress(session)) {
        world_fail(session->world, "stream %u: progress, which nobody asked for", session->number);
        return;
    }
    session->progress->revision = response->revision;
    session->world->counts.watch_progress++;
    for (size_t i = 0; i < session->answered; i++) {
        subscription = session->subscriptions[i];
        if (!subscription->compacted &&
            (subscription->state == SUBSCRIPTION_LIVE || subscription->state == SUBSCRIPTION_LEAVING))
            add_note(subscription, NOTE_PROGRESS, response->revision);
    }
}

/* The last fragment may be empty: when the first ones went out, nobody knew that they were all. */
static void end_group(struct subscription *subscription) {
    subscription->group_open = false;
    add_note(subscription, NOTE_GROUP, subscription->revision);
}

static void take_response(struct watch_session *session, struct bytes message) {
    struct watch_response response;
    if (!decode_response(message, &response)) {
        world_fail(session->world, "stream %u: a response that does not decode", session->number);
        return;
    }
    world_trace(session->world,
                "stream %u: watch %" PRId64 "%s%s%s, %zu events, revision %" PRIu64 " (%" PRIu64 ")",
                session->number, response.id, response.created ? " created" : "",
                response.canceled ? " canceled" : "", response.fragment ? " fragment" : "", response.events,
                response.revision, response.compacted);
    check_header(session, &response);
    session->commits++;
    session->backlog += message.length;
    struct watch_told told = {.header_revision = response.revision, .length = message.length, .whole = true};
    if (response.created) {
        told.kind = response.canceled ? NOTE_CANCELED : NOTE_CREATED;
        told.subscription = take_created(session, &response);
    } else if (response.id == -1) {
        told.kind = NOTE_PROGRESS;
        if (response.canceled || response.events > 0)
            world_fail(session->world, "stream %u: more than progress with id -1", session->number);
        take_progress(session, NULL, &response);
    } else if ((told.subscription = find(session, response.id)) == NULL) {
        world_fail(session->world, "stream %u: a response for watch %" PRId64 ", which is not there",
                   session->number, response.id);
    } else if (told.subscription->compacted && !response.canceled) {
        world_fail(session->world, "%s: goes on after it was canceled as compacted",
                   subscription_text(told.subscription));
    } else if (response.canceled) {
        told.kind = told.subscription->compacted ? NOTE_FREED : NOTE_CANCELED;
        told.revision = response.compacted;
        take_canceled(told.subscription, &response);
    } else if (response.events > 0) {
        told.kind = NOTE_EVENT;
        told.whole = !response.fragment;
        take_events(told.subscription, message, &response);
        told.revision = told.subscription->revision;
    } else if (told.subscription->group_open) {
        told.kind = NOTE_GROUP;
        told.revision = told.subscription->revision;
        end_group(told.subscription);
    } else {
        told.kind = NOTE_PROGRESS;
        take_progress(session, told.subscription, &response);
    }
    session->queue =
        grow(session->queue, &session->queue_capacity, session->commits - 1, sizeof *session->queue);
    session->queue[session->commits - 1] = told;
}

/* --- struct watch_client --- */

static struct buffer *begin(void *context) {
    struct watch_session *session = context;
    buffer_reset(&session->response, 1 << 20);
    return &session->response;
}

static void commit(void *context) {
    struct watch_session *session = context;
    /* What a dying proxy says is not heard. */
    if (process_current == NULL || !process_boundary(process_current))
        return;
    if (session->ended)
        world_fail(session->world, "stream %u: a response behind its end", session->number);
    session->world->counts.watch_responses++;
    take_response(session, buffer_bytes(&session->response));
    session->committed(session);
}

static size_t backlog(void *context) {
    const struct watch_session *session = context;
    return session->backlog * session->backlog_factor;
}

/* Then the rest may have become unobtainable, and the stream ends as etcd's never does. */
static bool is_within_fragments(const struct watch_session *session) {
    bool within = false;
    for (size_t i = 0; i < session->answered; i++)
        within = within || session->subscriptions[i]->group_open;
    return within;
}

static void end(void *context, uint16_t status) {
    struct watch_session *session = context;
    if (process_current == NULL || !process_boundary(process_current))
        return;
    session->ended = true;
    session->end_status = status;
    world_trace(session->world, "stream %u ends with status %u", session->number, status);
    if ((!session->needs_leader || status != STATUS_NO_LEADER) &&
        (status != STATUS_STOPPED || !is_within_fragments(session)))
        world_fail(session->world, "stream %u was ended with status %u", session->number, status);
    session->committed(session);
}

/* Slow ones seem to hold so much that the proxy may cut them off. */
static void cut(void *context, uint16_t status) {
    struct watch_session *session = context;
    if (process_current == NULL || !process_boundary(process_current))
        return;
    session->ended = true;
    session->end_status = status;
    world_trace(session->world, "stream %u is cut off", session->number);
    if (session->backlog_factor == 1)
        world_fail(session->world, "stream %u was cut off", session->number);
    session->committed(session);
}

/* --- what the client says --- */

struct watch_session *watch_session_new(struct node *node, struct history *history, unsigned slot) {
    struct watch_session *session = must_zalloc(sizeof *session);
    *session = (struct watch_session){
        .world = node->world,
        .history = history,
        .node = node,
        .slot = slot,
        .incarnation = node->daemons[slot].process.incarnation,
        .backlog_factor = 1,
    };
    return session;
}

void watch_session_free(struct watch_session *session) {
    struct progress_request *request = session->progress;
    while (request != NULL) {
        struct progress_request *next = request->next;
        free(request);
        request = next;
    }
    buffer_free(&session->response);
    free(session->subscriptions);
    free(session->queue);
    free(session);
}

void watch_session_open(struct watch_session *session) {
    struct watch_client client = {
        .begin = begin, .commit = commit, .backlog = backlog, .end = end, .cut = cut, .context = session};
    struct watch_options options = {.needs_leader = session->needs_leader};
    session->stream = watch_open(node_proxy(session->node, session->slot), &client, &options);
}

static void send(struct watch_session *session, struct buffer *message) {
    if (!watch_receive(session->stream, buffer_bytes(message)))
        world_fail(session->world, "stream %u: a sound request is taken as malformed", session->number);
    buffer_free(message);
}

/* What has to be the answer: an id, or why there is none. */
static void expect(struct watch_session *session, struct subscription *subscription, int64_t id) {
    const struct watch_wish *wish = subscription->wish;
    subscription->wanted = id;
    struct bytes key = wish->key.length > 0 ? buffer_bytes(&wish->key) : bytes_of("\0", 1);
    struct bytes range_end = buffer_bytes(&wish->range_end);
    bool from_key = range_end.length == 1 && range_end.data[0] == 0;
    subscription->id = -1;
    if (range_end.length > 0 && !from_key && bytes_compare(key, range_end) >= 0) {
        subscription->refusal = empty_range;
        return;
    }
    for (size_t i = 0; id != 0 && i < session->count; i++) {
        const struct subscription *other = session->subscriptions[i];
        bool holds_it = other->state == SUBSCRIPTION_ASKED || other->state == SUBSCRIPTION_LIVE ||
                        other->state == SUBSCRIPTION_HELD;
        if (other->id == id && holds_it)
            subscription->refusal = duplicate_id;
    }
    if (subscription->refusal == NULL)
        subscription->id = id != 0 ? id : session->next_id++;
}

void watch_session_create(struct watch_session *session, struct watch_wish *wish, int64_t id) {
    struct subscription *subscription = must_zalloc(sizeof *subscription);
    *subscription = (struct subscription){.wish = wish, .session = session, .start = wish->start};
    expect(session, subscription, id);
    *wish->last = subscription;
    wish->last = &subscription->next;
    session->subscriptions =
        grow(session->subscriptions, &session->capacity, session->count, sizeof *session->subscriptions);
    session->subscriptions[session->count++] = subscription;
    history_mark_now(session->history, &subscription->before);
    session->world->counts.watches++;
    world_trace(session->world, "ask %s", subscription_text(subscription));

    struct buffer message = {0};
    size_t mark = wire_begin_message(&message, WATCH_CREATE);
    wire_put_bytes(&message, 1, buffer_bytes(&wish->key));
    wire_put_bytes(&message, 2, buffer_bytes(&wish->range_end));
    wire_put_int64(&message, 3, wish->start);
    wire_put_bool(&message, 4, wish->progress);
    for (unsigned filter = 0; filter < 2; filter++) {
        if ((wish->filters & 1U << filter) != 0)
            wire_put_uint64_always(&message, 5, filter);
    }
    wire_put_bool(&message, 6, wish->previous);
    wire_put_int64(&message, 7, id);
    wire_put_bool(&message, 8, wish->fragment);
    wire_end_message(&message, mark);
    send(session, &message);
}

void watch_session_cancel(struct watch_session *session, int64_t id) {
    struct buffer message = {0};
    size_t mark = wire_begin_message(&message, WATCH_CANCEL);
    wire_put_int64(&message, 1, id);
    wire_end_message(&message, mark);
    for (size_t i = 0; i < session->count; i++) {
        struct subscription *subscription = session->subscriptions[i];
        bool meant = subscription->id == id && subscription->refusal == NULL;
        bool may_be_meant = subscription->wanted == id && subscription->refusal == duplicate_id;
        if ((meant || may_be_meant) && subscription->state != SUBSCRIPTION_ENDED)
            subscription->state = SUBSCRIPTION_LEAVING;
    }
    world_trace(session->world, "stream %u: cancel %" PRId64, session->number, id);
    send(session, &message);
}

void watch_session_ask_progress(struct watch_session *session) {
    struct buffer message = {0};
    struct progress_request *request = must_zalloc(sizeof *request);
    request->next = session->progress;
    session->progress = request;
    history_mark_now(session->history, &request->before);
    wire_put_bytes_always(&message, WATCH_PROGRESS, bytes_of("", 0));
    send(session, &message);
}

void watch_session_close(struct watch_session *session) {
    if (session->stream != NULL)
        watch_close(session->stream);
    session->stream = NULL;
}

bool watch_session_take(struct watch_session *session, struct watch_told *told) {
    if (session->taken == session->commits)
        return false;
    *told = session->queue[session->taken++];
    session->backlog -= told->length;
    return true;
}
