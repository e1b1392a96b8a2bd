/* subscribers: see subscribers.h. */
#include "subscribers.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/request.h"
#include "watch_check.h"

enum {
    SUBSCRIBERS_MOST = 6,
    WISHES_USUAL = 5,
    WISHES_CROWD = 120,
    ACT_HIGH_US = 2000000,
    TAKE_QUICK_US = 1000,
    TAKE_SLOW_US = 1000000,
    REOPEN_HIGH_US = 60000,
    QUIET_US = 200,
    BACKLOG_LARGE = 1 << 10, /* what waits seems so many times as large: one response stops a watcher, */
    BACKLOG_HUGE = 1 << 20,  /* and all of its proxy */
    FIRST_OWN_ID = 1000,
};

struct subscriber {
    struct subscribers *subscribers;
    struct watch_session *session; /* NULL: none is open */
    unsigned number, slot;
    unsigned wishes_most;
    bool taking; /* a take is on its way */
    uint64_t take_us, act_us;
    struct watch_wish *wishes, **last_wish; /* all it ever had */
    int64_t own_id;
};

struct subscribers {
    struct world *world;
    struct node *node;
    struct history *history;
    struct random random;
    struct subscriber list[SUBSCRIBERS_MOST];
    unsigned count;
    struct watch_session *sessions; /* all there ever were */
    unsigned session_count;
    bool stopped;
    uint64_t seen; /* newest revision that anybody was told */
};

bool subscribers_plant_late;

/* --- what a client comes to know --- */

static void take(void *context, uint64_t argument);

static void take_later(struct subscriber *subscriber) {
    struct subscribers *subscribers = subscriber->subscribers;
    if (subscriber->taking)
        return;
    subscriber->taking = true;
    uint64_t high = subscribers->world->quiescent ? QUIET_US : subscriber->take_us;
    world_after(subscribers->world, random_delay(&subscribers->random, 0, high), take, subscriber, 0);
}

static void committed(struct watch_session *session) {
    take_later(session->owner);
}

/* Where the watcher goes on, should its stream end now. */
static void learn(struct subscription *subscription, const struct watch_told *told) {
    struct watch_wish *wish = subscription->wish;
    int64_t next = wish->start;
    switch (told->kind) {
    case NOTE_CREATED:
        if (subscription->start == 0)
            next = (int64_t)told->header_revision + 1;
        break;
    case NOTE_EVENT:
    case NOTE_GROUP:
        if (told->whole)
            next = (int64_t)told->revision + 1 + (subscribers_plant_late ? 1 : 0);
        break;
    case NOTE_PROGRESS:
        next = (int64_t)told->header_revision + 1;
        break;
    case NOTE_CANCELED:
        if (told->revision == 0)
            wish->retired = true;
        else
            next = (int64_t)told->revision;
        break;
    case NOTE_FREED:
        break;
    }
    if (next > wish->start)
        wish->start = next;
}

/* As far as the client has read: it was created, and not canceled. */
static bool knows_it_lives(const struct subscription *subscription) {
    const struct watch_note *notes = subscription->notes;
    size_t count = subscription->count, taken = subscription->session->taken;
    if (count == 0 || notes[0].kind != NOTE_CREATED || notes[0].commit > taken)
        return false;
    return notes[count - 1].kind != NOTE_CANCELED || notes[count - 1].commit > taken;
}

static bool knows_it_ended(const struct subscription *subscription) {
    return (subscription->state == SUBSCRIPTION_ENDED || subscription->compacted) &&
           subscription->notes[subscription->count - 1].commit <= subscription->session->taken;
}

static void learn_progress(const struct watch_session *session, const struct watch_told *told) {
    for (size_t i = 0; i < session->count; i++) {
        struct subscription *subscription = session->subscriptions[i];
        if (knows_it_lives(subscription))
            learn(subscription, told);
    }
}

/* --- inside the proxy --- */

static void open_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    watch_session_open(subscriber->session);
    for (struct watch_wish *wish = subscriber->wishes; wish != NULL; wish = wish->next) {
        if (!wish->retired)
            watch_session_create(subscriber->session, wish, 0);
    }
}

static void drained_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    if (subscriber->session != NULL && subscriber->session->stream != NULL)
        watch_drained(subscriber->session->stream);
}

static void close_body(void *context, uint64_t argument) {
    (void)argument;
    struct watch_session *session = context;
    watch_session_close(session);
}

static void progress_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    if (!watch_session_awaits_progress(subscriber->session))
        watch_session_ask_progress(subscriber->session);
}

static void in_proxy(struct subscriber *subscriber, world_action body, void *context) {
    node_in_proxy(subscriber->subscribers->node, subscriber->slot, body, context);
}

/* --- streams --- */

static void act(void *context, uint64_t argument);

static bool is_open(const struct subscriber *subscriber) {
    const struct watch_session *session = subscriber->session;
    if (session == NULL)
        return false;
    const struct process *process = &session->node->daemons[session->slot].process;
    return process->alive && process->incarnation == session->incarnation && !session->ended;
}

static void reopen(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    struct subscribers *subscribers = subscriber->subscribers;
    if (subscriber->session != NULL)
        return;
    if (random_chance(&subscribers->random, 1, 2))
        subscriber->slot = (unsigned)random_below(&subscribers->random, NODE_PROXIES);
    if (node_proxy(subscribers->node, subscriber->slot) == NULL) {
        subscriber->slot = (unsigned)random_below(&subscribers->random, NODE_PROXIES);
        world_after(subscribers->world, random_delay(&subscribers->random, 1, REOPEN_HIGH_US), reopen,
                    subscriber, 0);
        return;
    }
    struct watch_session *session =
        watch_session_new(subscribers->node, subscribers->history, subscriber->slot);
    session->number = ++subscribers->session_count;
    session->needs_leader = random_chance(&subscribers->random, 1, 4);
    session->committed = committed;
    session->owner = subscriber;
    if (!subscribers->stopped && random_chance(&subscribers->random, 1, 3))
        session->backlog_factor = random_chance(&subscribers->random, 1, 2) ? BACKLOG_LARGE : BACKLOG_HUGE;
    session->next = subscribers->sessions;
    subscribers->sessions = session;
    subscriber->session = session;
    in_proxy(subscriber, open_body, subscriber);
}

static void reopen_later(struct subscriber *subscriber) {
    struct subscribers *subscribers = subscriber->subscribers;
    subscriber->session = NULL;
    uint64_t high = subscribers->world->quiescent ? QUIET_US : REOPEN_HIGH_US;
    world_after(subscribers->world, random_delay(&subscribers->random, 1, high), reopen, subscriber, 0);
}

static void leave(struct subscriber *subscriber) {
    in_proxy(subscriber, close_body, subscriber->session);
    if (subscriber->session != NULL)
        reopen_later(subscriber);
}

/* Takes some or all of what waits. */
static void take(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    struct subscribers *subscribers = subscriber->subscribers;
    struct watch_session *session = subscriber->session;
    subscriber->taking = false;
    if (session == NULL)
        return;
    uint64_t most = UINT64_MAX;
    if (!subscribers->world->quiescent && random_chance(&subscribers->random, 1, 4))
        most = random_between(&subscribers->random, 1, 4);
    struct watch_told told;
    while (most-- > 0 && watch_session_take(session, &told)) {
        history_told(subscribers->history, told.header_revision);
        if (told.header_revision > subscribers->seen)
            subscribers->seen = told.header_revision;
        if (told.subscription == NULL)
            learn_progress(session, &told);
        else
            learn(told.subscription, &told);
    }
    if (session->taken < session->commits)
        take_later(subscriber);
    if (session->ended)
        leave(subscriber);
    else
        in_proxy(subscriber, drained_body, subscriber);
}

void subscribers_proxy_died(struct subscribers *subscribers, unsigned slot) {
    for (unsigned i = 0; i < subscribers->count; i++) {
        struct subscriber *subscriber = &subscribers->list[i];
        if (subscriber->session == NULL || subscriber->session->slot != slot)
            continue;
        watch_session_close(subscriber->session);
        reopen_later(subscriber);
    }
}

/* --- what they want --- */

static void choose_range(struct watch_wish *wish, struct random *random) {
    uint64_t dice = random_below(random, 100);
    unsigned first = (unsigned)random_below(random, 8);
    unsigned last = (unsigned)random_below(random, 9);
    if (dice < 40) {
        buffer_printf(&wish->key, "k%u", first);
    } else if (dice < 65) {
        buffer_printf(&wish->key, "k%u", first);
        buffer_printf(&wish->range_end, "k%u", last);
    } else if (dice < 75) {
        buffer_printf(&wish->key, "k%u", first);
        buffer_append(&wish->range_end, "\0", 1);
    } else if (dice < 85) {
        buffer_printf(&wish->key, "u");
        buffer_printf(&wish->range_end, "v");
    } else if (dice < 87) {
        buffer_printf(&wish->key, "nothing");
    } else {
        if (random_chance(random, 1, 2))
            buffer_append(&wish->key, "\0", 1);
        buffer_append(&wish->range_end, "\0", 1);
    }
}

static int64_t choose_start(struct subscribers *subscribers) {
    struct random *random = &subscribers->random;
    int64_t seen = (int64_t)subscribers->seen;
    uint64_t dice = random_below(random, 100);
    if (dice < 45)
        return 0;
    if (dice < 70) {
        int64_t start = seen - (int64_t)random_below(random, 30);
        return start < 1 ? 1 : start;
    }
    if (dice < 80)
        return (int64_t)random_between(random, 1, subscribers->seen + 1);
    if (dice < 85)
        return 1;
    if (dice < 98)
        return seen + (int64_t)random_between(random, 1, 15);
    return INT64_C(1) << 62;
}

static void want(struct subscriber *subscriber) {
    struct subscribers *subscribers = subscriber->subscribers;
    struct random *random = &subscribers->random;
    struct watch_wish *wish = must_zalloc(sizeof *wish);
    wish->last = &wish->first;
    choose_range(wish, random);
    wish->start = choose_start(subscribers);
    wish->filters = random_chance(random, 1, 4) ? (unsigned)random_below(random, 4) : 0;
    wish->previous = random_chance(random, 1, 2);
    wish->fragment = random_chance(random, 1, 3);
    wish->progress = random_chance(random, 1, 3);
    *subscriber->last_wish = wish;
    subscriber->last_wish = &wish->next;
}

static void want_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    struct random *random = &subscriber->subscribers->random;
    struct watch_wish *last = subscriber->wishes;
    while (last->next != NULL)
        last = last->next;
    int64_t id = 0;
    if (random_chance(random, 1, 5))
        id = FIRST_OWN_ID + subscriber->own_id++;
    else if (random_chance(random, 1, 20))
        id = FIRST_OWN_ID + (int64_t)random_below(random, (uint64_t)subscriber->own_id + 1);
    watch_session_create(subscriber->session, last, id);
    if (id != 0 && random_chance(random, 1, 10))
        watch_session_cancel(subscriber->session, id);
}

static void cancel_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    struct watch_session *session = subscriber->session;
    struct random *random = &subscriber->subscribers->random;
    if (random_chance(random, 1, 10)) {
        watch_session_cancel(session, 77777);
        return;
    }
    const struct subscription *chosen = session->subscriptions[random_below(random, session->count)];
    if (chosen->state == SUBSCRIPTION_LIVE || chosen->state == SUBSCRIPTION_HELD)
        watch_session_cancel(session, chosen->id);
}

/* A watcher whose history was compacted away goes on with what is left. */
static void renew_body(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    for (struct watch_wish *wish = subscriber->wishes; wish != NULL; wish = wish->next) {
        const struct subscription *newest = wish->first;
        while (newest != NULL && newest->next != NULL)
            newest = newest->next;
        if (!wish->retired && newest != NULL && knows_it_ended(newest))
            watch_session_create(subscriber->session, wish, 0);
    }
}

static unsigned count_watching(const struct subscriber *subscriber) {
    unsigned count = 0;
    for (const struct watch_wish *wish = subscriber->wishes; wish != NULL; wish = wish->next)
        count += !wish->retired;
    return count;
}

static void act(void *context, uint64_t argument) {
    (void)argument;
    struct subscriber *subscriber = context;
    struct subscribers *subscribers = subscriber->subscribers;
    struct random *random = &subscribers->random;
    if (subscribers->stopped)
        return;
    uint64_t dice = random_below(random, 100);
    if (is_open(subscriber)) {
        in_proxy(subscriber, renew_body, subscriber);
        if (!is_open(subscriber))
            dice = 100;
        if (dice < 50 && count_watching(subscriber) < subscriber->wishes_most) {
            want(subscriber);
            in_proxy(subscriber, want_body, subscriber);
        } else if (dice < 60 && subscriber->session->count > 0) {
            in_proxy(subscriber, cancel_body, subscriber);
        } else if (dice < 85) {
            in_proxy(subscriber, progress_body, subscriber);
        } else if (dice < 90) {
            leave(subscriber);
        }
    }
    uint64_t high = count_watching(subscriber) * 2 < subscriber->wishes_most ? ACT_HIGH_US / 20 : ACT_HIGH_US;
    world_after(subscribers->world, random_delay(random, 1, high), act, subscriber, 0);
}

/* --- life --- */

struct subscribers *subscribers_new(struct world *world, struct node *node, struct history *history) {
    struct subscribers *subscribers = must_zalloc(sizeof *subscribers);
    *subscribers = (struct subscribers){.world = world, .node = node, .history = history, .seen = 1};
    struct random *random = &subscribers->random;
    *random = random_stream(world->seed, 6);
    subscribers->count = (unsigned)random_below(random, WATCHES_SERVED * SUBSCRIBERS_MOST + 1);
    bool crowd = random_chance(random, 1, 40);
    for (unsigned i = 0; i < subscribers->count; i++) {
        struct subscriber *subscriber = &subscribers->list[i];
        *subscriber = (struct subscriber){
            .subscribers = subscribers,
            .number = i,
            .slot = (unsigned)random_below(random, NODE_PROXIES),
            .wishes_most = (unsigned)random_between(random, 1, crowd && i == 0 ? WISHES_CROWD : WISHES_USUAL),
            .take_us = random_chance(random, 2, 3) ? TAKE_QUICK_US : TAKE_SLOW_US,
        };
        subscriber->last_wish = &subscriber->wishes;
    }
    return subscribers;
}

void subscribers_free(struct subscribers *subscribers) {
    for (unsigned i = 0; i < subscribers->count; i++) {
        while (subscribers->list[i].wishes != NULL) {
            struct watch_wish *wish = subscribers->list[i].wishes;
            subscribers->list[i].wishes = wish->next;
            watch_wish_free(wish);
        }
    }
    while (subscribers->sessions != NULL) {
        struct watch_session *session = subscribers->sessions;
        subscribers->sessions = session->next;
        watch_session_free(session);
    }
    free(subscribers);
}

void subscribers_start(struct subscribers *subscribers) {
    for (unsigned i = 0; i < subscribers->count; i++) {
        reopen_later(&subscribers->list[i]);
        world_after(subscribers->world, random_delay(&subscribers->random, 1, ACT_HIGH_US), act,
                    &subscribers->list[i], 0);
    }
}

void subscribers_stop(struct subscribers *subscribers) {
    subscribers->stopped = true;
    for (unsigned i = 0; i < subscribers->count; i++) {
        struct subscriber *subscriber = &subscribers->list[i];
        if (subscriber->session == NULL)
            continue;
        subscriber->session->backlog_factor = 1;
        take_later(subscriber);
    }
}

static bool has_watches(const struct watch_session *session) {
    for (size_t i = 0; i < session->count; i++) {
        enum subscription_state state = session->subscriptions[i]->state;
        if (state == SUBSCRIPTION_ASKED || state == SUBSCRIPTION_LIVE || state == SUBSCRIPTION_HELD)
            return true;
    }
    return false;
}

static bool is_in_the_future(const struct subscription *subscription, uint64_t revision) {
    return subscription->state == SUBSCRIPTION_LIVE && subscription->start > (int64_t)revision + 1;
}

/* Progress waits for watches that start in the future: they are left. */
static void finish_body(void *context, uint64_t revision) {
    struct subscriber *subscriber = context;
    struct watch_session *session = subscriber->session;
    for (size_t i = 0; i < session->count; i++) {
        if (is_in_the_future(session->subscriptions[i], revision))
            watch_session_cancel(session, session->subscriptions[i]->id);
    }
    if (has_watches(session) && !watch_session_awaits_progress(session))
        watch_session_ask_progress(session);
}

static bool was_told_of(const struct watch_session *session, uint64_t revision) {
    return session->progress != NULL && session->progress->revision >= revision;
}

static bool has_something_to_ask(const struct watch_session *session, uint64_t revision) {
    for (size_t i = 0; i < session->count; i++) {
        if (is_in_the_future(session->subscriptions[i], revision))
            return true;
    }
    return !watch_session_awaits_progress(session) && !was_told_of(session, revision);
}

static bool has_everything(const struct subscriber *subscriber, uint64_t revision) {
    const struct watch_session *session = subscriber->session;
    if (!is_open(subscriber) || session->answered < session->count || session->taken < session->commits)
        return false;
    return !has_watches(session) || was_told_of(session, revision);
}

bool subscribers_have_everything(struct subscribers *subscribers, uint64_t revision) {
    bool all = true;
    for (unsigned i = 0; i < subscribers->count; i++) {
        struct subscriber *subscriber = &subscribers->list[i];
        if (has_everything(subscriber, revision))
            continue;
        all = false;
        if (is_open(subscriber) && has_something_to_ask(subscriber->session, revision))
            process_run(&subscribers->node->daemons[subscriber->slot].process, finish_body, subscriber,
                        revision);
    }
    return all;
}

void subscribers_check(const struct subscribers *subscribers, const struct judge *judge) {
    for (unsigned i = 0; i < subscribers->count; i++) {
        const struct subscriber *subscriber = &subscribers->list[i];
        for (const struct watch_wish *wish = subscriber->wishes; wish != NULL; wish = wish->next)
            watch_check_wish(judge, wish);
    }
    for (const struct watch_session *session = subscribers->sessions; session != NULL;
         session = session->next)
        watch_check_session(judge, session);
}
