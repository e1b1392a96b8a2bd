/*
 * combiner: events of many threads run one at a time, in each poster's order, none lost; a round ends with
 * end_round; `after` runs with the role free; a thread that wants to enter gets in. Run under TSan as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "common/bytes.h"
#include "common/combiner.h"

enum { POSTERS = 4, EVENTS = 20000 };

struct role {
    struct combiner combiner;
    atomic_int inside;
    /* inside the combiner: plain, so that TSan sees a second thread */
    uint64_t handled, rounds, since_round, entered;
    unsigned last[POSTERS];
    bool disorder;
    atomic_uint after;
};

struct posted {
    struct combiner_event event;
    struct role *role;
    unsigned poster, number;
};

static void handle(struct combiner_event *event) {
    struct posted *posted = (struct posted *)event;
    struct role *role = posted->role;
    REQUIRE(atomic_fetch_add(&role->inside, 1) == 0);
    if (posted->number != role->last[posted->poster] + 1)
        role->disorder = true;
    role->last[posted->poster] = posted->number;
    role->handled++;
    role->since_round++;
    REQUIRE(atomic_fetch_sub(&role->inside, 1) == 1);
    free(posted);
}

static void end_round(void *context) {
    struct role *role = context;
    REQUIRE(atomic_fetch_add(&role->inside, 1) == 0);
    role->rounds++;
    role->since_round = 0;
    REQUIRE(atomic_fetch_sub(&role->inside, 1) == 1);
}

static void after(void *context) {
    struct role *role = context;
    atomic_fetch_add(&role->after, 1);
}

struct poster {
    struct role *role;
    unsigned number;
    bool two_steps;
};

static void *post_all(void *context) {
    struct poster *poster = context;
    for (unsigned i = 1; i <= EVENTS; i++) {
        struct posted *posted = must_alloc(sizeof *posted);
        *posted = (struct posted){
            .event.handle = handle, .role = poster->role, .poster = poster->number, .number = i};
        if (poster->two_steps) {
            combiner_queue(&poster->role->combiner, &posted->event);
            combiner_run(&poster->role->combiner);
        } else {
            combiner_post(&poster->role->combiner, &posted->event);
        }
    }
    return NULL;
}

static void *enter_often(void *context) {
    struct role *role = context;
    for (unsigned i = 0; i < 2000; i++) {
        combiner_enter(&role->combiner);
        REQUIRE(atomic_fetch_add(&role->inside, 1) == 0);
        role->entered++;
        REQUIRE(atomic_fetch_sub(&role->inside, 1) == 1);
        combiner_leave(&role->combiner);
    }
    return NULL;
}

static void test_many_posters_and_entering_threads(void **state) {
    (void)state;
    static struct role role;
    combiner_init(&role.combiner, end_round, after, &role);
    pthread_t threads[POSTERS + 2];
    struct poster posters[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.role = &role, .number = i, .two_steps = i % 2 == 1};
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[POSTERS + i], NULL, enter_often, &role), 0);
    for (unsigned i = 0; i < POSTERS + 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    combiner_enter(&role.combiner);
    assert_int_equal(role.handled, POSTERS * EVENTS);
    assert_int_equal(role.entered, 4000);
    assert_false(role.disorder);
    assert_int_equal(role.since_round, 0);
    combiner_leave(&role.combiner);
    assert_true(atomic_load(&role.after) > 0);
}

/* An event that posts itself anew for ever keeps the queue from running empty. */
struct endless {
    struct combiner_event event;
    struct combiner *combiner;
    atomic_bool stop;
    uint64_t runs;
};

static void run_again(struct combiner_event *event) {
    struct endless *endless = (struct endless *)event;
    endless->runs++;
    if (!atomic_load(&endless->stop))
        combiner_post(endless->combiner, event);
}

static void do_nothing(void *context) {
    (void)context;
}

static void *start_endless(void *context) {
    struct endless *endless = context;
    combiner_post(endless->combiner, &endless->event);
    return NULL;
}

static void test_entering_is_possible_while_events_keep_coming(void **state) {
    (void)state;
    static struct combiner combiner;
    static struct endless endless;
    combiner_init(&combiner, do_nothing, NULL, NULL);
    endless.event.handle = run_again;
    endless.combiner = &combiner;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start_endless, &endless), 0);
    /* Leaving runs what is queued, and so never ends either: stop it from inside. */
    combiner_enter(&combiner);
    atomic_store(&endless.stop, true);
    combiner_leave(&combiner);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static uint64_t order[8];
static unsigned ordered;

struct noted {
    struct combiner_event event;
    uint64_t note;
    struct combiner *combiner;
    struct noted *next; /* posted by the handler */
};

static void note(struct combiner_event *event) {
    struct noted *noted = (struct noted *)event;
    order[ordered++] = noted->note;
    if (noted->next != NULL)
        combiner_post(noted->combiner, &noted->next->event);
}

static void note_round(void *context) {
    (void)context;
    order[ordered++] = 100;
}

static void note_after(void *context) {
    (void)context;
    order[ordered++] = 200;
}

/* What a handler posts runs in the next round of the same call; a queued event waits for the run. */
static void test_rounds(void **state) {
    (void)state;
    static struct combiner combiner;
    combiner_init(&combiner, note_round, note_after, NULL);
    struct noted second = {.event.handle = note, .note = 2, .combiner = &combiner};
    struct noted first = {.event.handle = note, .note = 1, .combiner = &combiner, .next = &second};
    struct noted third = {.event.handle = note, .note = 3, .combiner = &combiner};
    combiner_queue(&combiner, &first.event);
    combiner_queue(&combiner, &third.event);
    assert_int_equal(ordered, 0);
    combiner_run(&combiner);
    static const uint64_t expected[] = {1, 3, 100, 2, 100, 200};
    assert_int_equal(ordered, 6);
    assert_memory_equal(order, expected, sizeof expected);
    combiner_run(&combiner); /* nothing queued: nothing runs */
    assert_int_equal(ordered, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_posters_and_entering_threads),
        cmocka_unit_test(test_entering_is_possible_while_events_keep_coming),
        cmocka_unit_test(test_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
