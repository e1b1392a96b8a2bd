/*
 * watch, at random: a proxy that does nothing but follow the event stream and read what it missed from
 * history has, in the end, every event of its ranges exactly once and in order. On the way it goes deaf,
 * loses its link, changes its ranges back and forth, and apply crashes back to its last flush and replays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/event.h"
#include "common/status.h"

#include "role_world.h"

enum { KEYS = 12, CHANGES = 1000, SEEDS = 10, GAPS = 64, LARGEST = 700000 };

/* What the log holds, and what each entry does to the store. */
struct change {
    unsigned key;
    bool delete;
    size_t length;
    int64_t revision; /* 0: it changed nothing */
};

struct gap {
    int64_t from, to;
};

/* The proxy. */
struct follower {
    int64_t position;
    unsigned got[CHANGES + 2]; /* events by revision */
    int64_t last;              /* of the stream's events */
    struct gap gaps[GAPS];
    size_t gap_count;
    uint64_t asked; /* the history read for the first gap; 0: none */
    bool deaf;
};

static struct role_world world; /* too large for a stack */
static struct change changes[CHANGES];
static size_t change_count;
static struct follower follower;
static size_t heard_at;
static unsigned times_full, holes; /* seen by steps, by the proxy */
static uint32_t state;
static uint8_t value[LARGEST];

static const char *const wide[] = {"b", "d", "d", "j", NULL};
static const char *const wider[] = {"a", "z", NULL};

static unsigned below(unsigned limit) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static const char *key_of(unsigned key) {
    static char text[2];
    text[0] = (char)('a' + key);
    return text;
}

static bool watched(unsigned key) {
    return key >= 1 && key < 9; /* b to i: what `wide` and `wider` have in common */
}

/* --- the log --- */

static void send_change(const struct change *change) {
    if (!change->delete) {
        role_world_put(&world, 1, key_of(change->key), bytes_of(value, change->length));
        return;
    }
    struct buffer body = {0};
    encode_delete(&body, &(struct delete_range_request){.key = bytes_from_text(key_of(change->key))});
    role_world_entry(&world, 1, INTERNAL_DELETE_RANGE, &body);
}

static void add_change(void) {
    static bool live[KEYS];
    static int64_t revision;
    if (change_count == 0) {
        memset(live, 0, sizeof live);
        revision = 1;
    }
    struct change *change = &changes[change_count++];
    *change = (struct change){.key = below(KEYS), .delete = below(4) == 0, .length = below(200)};
    if (follower.deaf || below(50) == 0) /* its link is to become full */
        change->length = below(2) == 0 ? LARGEST : below(LARGEST);
    if (!change->delete || live[change->key])
        change->revision = ++revision;
    live[change->key] = !change->delete;
    send_change(change);
}

/* --- the proxy --- */

static void count_event(const struct event *event) {
    assert_true(event->revision >= 2 && event->revision < CHANGES + 2);
    if (watched((unsigned)(event->key.data[0] - 'a')))
        follower.got[event->revision]++;
}

static void take_events(const struct bus_events *events) {
    struct bytes body = events->body;
    struct event event;
    if (events->from > follower.position + 1) {
        assert_true(follower.gap_count < GAPS);
        holes++;
        follower.gaps[follower.gap_count++] =
            (struct gap){.from = follower.position + 1, .to = events->from - 1};
    }
    assert_true(events->from <= events->to + 1 && events->to >= follower.position);
    while (event_next(&body, &event)) {
        assert_true(event.revision >= events->from && event.revision <= events->to);
        assert_true(event.revision > follower.position && event.revision >= follower.last);
        follower.last = event.revision;
        count_event(&event);
    }
    assert_int_equal(body.length, 0);
    follower.position = events->to;
}

static void ask_history(void) {
    if (follower.asked != 0 || follower.gap_count == 0)
        return;
    struct buffer ranges = {0};
    struct buffer request = {0};
    bus_range_put(&ranges,
                  &(struct bus_range){.key = bytes_from_text("b"), .range_end = bytes_from_text("j")});
    history_request_put(&request, &(struct history_request){.from = follower.gaps[0].from,
                                                            .to = follower.gaps[0].to,
                                                            .ranges = buffer_bytes(&ranges)});
    follower.asked = role_world_read(&world, 0, false, METHOD_WATCH_HISTORY, &request);
    buffer_free(&ranges);
}

static void take_history(const struct bus_result *result) {
    struct bytes part = result->body;
    struct history_head head;
    struct event event;
    assert_int_equal(result->status, STATUS_OK);
    assert_true(history_head_take(&part, &head));
    assert_int_equal(head.part, HISTORY_COMPLETE); /* an entry has one key here */
    while (event_next(&part, &event))
        count_event(&event);
    bus_put_consumed(world.peers[PEER_PROXY_0].link, follower.asked, result->body.length);
    follower.gaps[0].from = head.through + 1;
    if (result->more)
        return;
    follower.asked = 0;
    if (follower.gaps[0].from > follower.gaps[0].to)
        memmove(follower.gaps, follower.gaps + 1, --follower.gap_count * sizeof *follower.gaps);
}

static void take_heard(void) {
    for (; heard_at < world.heard_count; heard_at++) {
        const struct heard *heard = &world.heard[heard_at];
        if (heard->peer == PEER_PROXY_0 && heard->kind == BUS_APPLY_EVENTS)
            take_events(&heard->events);
        else if (follower.asked != 0 && heard->result.id == follower.asked)
            take_history(&heard->result);
    }
}

static void settle(void) {
    role_world_settle(&world);
    take_heard();
    ask_history();
}

static void set_deaf(bool deaf) {
    follower.deaf = deaf;
    bus_link_hold(world.peers[PEER_PROXY_0].link, deaf);
}

static void register_ranges(void) {
    role_world_register(&world, 0, follower.position, below(2) == 0, below(2) == 0 ? wide : wider);
}

static void connect_proxy(void) {
    world.peers[PEER_PROXY_0].greet_position = (uint64_t)follower.position;
    role_world_connect(&world, PEER_PROXY_0);
    follower.asked = 0; /* went with the link */
    set_deaf(false);
    register_ranges();
}

/* --- what happens --- */

static void crash(void) {
    struct memory_store *store = world.store;
    role_world_close(&world);
    memory_crash(store);
    role_world_open(&world, store, NULL);
    heard_at = 0;
    world.peers[PEER_RAFT].greet_durable = change_count;
    for (int peer = 0; peer < PEER_COUNT; peer++) {
        if (peer != PEER_PROXY_0)
            role_world_connect(&world, peer);
    }
    connect_proxy();
    settle();
    while (world.index < change_count) {
        send_change(&changes[world.index]);
        if (below(10) == 0)
            settle();
    }
}

static void reconnect(void) {
    take_heard();
    role_world_disconnect(&world, PEER_PROXY_0);
    for (unsigned i = below(5); i > 0 && change_count < CHANGES; i--)
        add_change();
    role_world_settle(&world);
    connect_proxy();
}

static void step(void) {
    bool full = bus_link_room(world.peers[PEER_PROXY_0].own) == 0;
    times_full += full;
    if (full && below(3) == 0)
        set_deaf(false);
    switch (below(60)) {
    case 0:
        crash();
        break;
    case 1:
        reconnect();
        break;
    case 2:
        register_ranges();
        break;
    case 3:
        set_deaf(!follower.deaf);
        break;
    case 4:
        memory_flush_wait(&world.store->head);
        break;
    case 5:
        role_world_tick(&world, 100000);
        break;
    default:
        for (unsigned i = below(12); i > 0 && change_count < CHANGES; i--)
            add_change();
    }
    settle();
}

static void catch_up(void) {
    set_deaf(false);
    register_ranges(); /* something that makes the link acknowledge */
    for (unsigned i = 0; i < 10 || follower.gap_count > 0; i++) {
        role_world_tick(&world, 100000);
        settle();
        assert_true(i < 1000);
    }
}

static unsigned run(uint32_t seed) {
    unsigned events = 0;
    state = seed;
    change_count = heard_at = 0;
    follower = (struct follower){.position = 1};
    role_world_open(&world, NULL, NULL);
    for (int peer = 0; peer < PEER_COUNT; peer++) {
        if (peer != PEER_PROXY_0)
            role_world_connect(&world, peer);
    }
    connect_proxy();
    while (change_count < CHANGES)
        step();
    catch_up();
    int64_t revision = apply_role_state(world.role).revision;
    assert_int_equal(follower.position, revision);
    for (size_t i = 0; i < change_count; i++) {
        if (changes[i].revision == 0)
            continue;
        assert_int_equal(follower.got[changes[i].revision], watched(changes[i].key));
        events += watched(changes[i].key);
    }
    role_world_close(&world);
    memory_close(&world.store->head);
    return events;
}

static void test_every_event_exactly_once(void **unused) {
    (void)unused;
    for (uint32_t seed = 1; seed <= SEEDS; seed++)
        assert_true(run(seed) > CHANGES / 4);
    assert_true(holes > SEEDS && times_full > SEEDS); /* else this tests less than it says */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_event_exactly_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
