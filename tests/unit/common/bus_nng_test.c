/*
 * bus_nng: the link over real nng sockets, between this process and children of it: order, kill -9 and
 * restart of either side, a held name, connect-and-close attempts (nng bug #1518), strangers on the socket.
 *
 * The parent is "raft", a child is "apply": it answers the last entry of every round with its index as
 * progress. Sockets are never closed (as in production), so every test uses a name of its own. A test waits
 * for events; the one thing that takes time for its own sake is to show that a deaf listener stays deaf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair1/pair.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bus/contract.h"
#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"

extern char **environ;

/* One end, its role, and what the test waits for. */
struct node {
    struct combiner combiner;
    struct nng_transport *transport;
    struct bus_link *link;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    unsigned ups, downs;
    uint64_t peer_incarnation;
    uint64_t progress; /* parent: last progress heard */
    bool disorder;
    /* inside the combiner */
    uint64_t last_entry, answered;
    bool answers; /* child */
};

static void on_up(void *context, struct bus_link *link, const struct bus_hello *peer) {
    (void)link;
    struct node *node = context;
    node->last_entry = node->answered = 0;
    pthread_mutex_lock(&node->lock);
    node->ups++;
    node->progress = 0;
    node->peer_incarnation = peer->incarnation;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

static void on_down(void *context, struct bus_link *link) {
    (void)link;
    struct node *node = context;
    pthread_mutex_lock(&node->lock);
    node->downs++;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

static void on_entry(struct node *node, const struct bus_record *record) {
    struct bus_entry entry;
    if (!bus_get_entry(record, &entry) || entry.index != node->last_entry + 1)
        _exit(9); /* the parent sees its child end */
    node->last_entry = entry.index;
}

static void on_progress(struct node *node, const struct bus_record *record) {
    struct bus_progress progress;
    bool valid = bus_get_progress(record, &progress);
    pthread_mutex_lock(&node->lock);
    if (!valid || progress.applied <= node->progress)
        node->disorder = true;
    node->progress = progress.applied;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

static void on_record(void *context, struct bus_link *link, const struct bus_record *record) {
    (void)link;
    struct node *node = context;
    if (record->kind == BUS_RAFT_ENTRY)
        on_entry(node, record);
    else
        on_progress(node, record);
}

static void end_round(void *context) {
    struct node *node = context;
    if (node->answers && node->last_entry > node->answered) {
        node->answered = node->last_entry;
        struct bus_progress progress = {.applied = node->last_entry};
        (void)bus_put_progress(node->link, &progress);
    }
    bus_link_flush(node->link);
}

static bool open_node(struct node *node, const char *name, bool listen, enum bus_role own,
                      enum bus_role peer) {
    memset(node, 0, sizeof *node);
    node->answers = own == BUS_ROLE_APPLY;
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->changed, NULL);
    combiner_init(&node->combiner, end_round, NULL, node);
    struct bus_handler handler = {.up = on_up, .down = on_down, .record = on_record, .context = node};
    combiner_enter(&node->combiner);
    node->transport =
        nng_transport_open(name, listen, &node->combiner, own, 0, peer, 0, clock_random(), handler);
    if (node->transport != NULL) {
        node->link = nng_transport_link(node->transport);
        combiner_leave(&node->combiner);
    }
    return node->transport != NULL;
}

static struct node *open_parent(const char *name, bool listen) {
    struct node *node = must_zalloc(sizeof *node); /* nng's threads keep it: never freed */
    assert_true(open_node(node, name, listen, BUS_ROLE_RAFT, BUS_ROLE_APPLY));
    return node;
}

/* --- waiting --- */

struct wait_for {
    unsigned ups, downs;
    uint64_t progress;
};

static bool reached(const struct node *node, const struct wait_for *wait) {
    return node->ups >= wait->ups && node->downs >= wait->downs && node->progress >= wait->progress;
}

/* Until all of it is reached or the time is over; ticks the transport meanwhile if asked. Milliseconds used.
 */
static uint64_t wait_until(struct node *node, struct wait_for wait, uint64_t limit_ms, bool tick) {
    uint64_t start = clock_monotonic_us() / 1000;
    uint64_t now = start;
    pthread_mutex_lock(&node->lock);
    while (!reached(node, &wait) && now - start < limit_ms) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&node->changed, &node->lock, &until);
        pthread_mutex_unlock(&node->lock);
        now = clock_monotonic_us() / 1000;
        if (tick)
            nng_transport_tick(node->transport, now);
        pthread_mutex_lock(&node->lock);
    }
    pthread_mutex_unlock(&node->lock);
    return now - start;
}

static struct node snapshot(struct node *node) {
    pthread_mutex_lock(&node->lock);
    struct node copy = {.ups = node->ups,
                        .downs = node->downs,
                        .progress = node->progress,
                        .disorder = node->disorder,
                        .peer_incarnation = node->peer_incarnation};
    pthread_mutex_unlock(&node->lock);
    return copy;
}

/* --- children --- */

static pid_t start_child(const char *name, bool listen) {
    char *arguments[] = {"bus_nng_test", (char *)(uintptr_t)name, listen ? "listen" : "dial", NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    return pid;
}

static void kill_child(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not ended by itself */
}

static int child_main(const char *name, bool listen) {
    static struct node node;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
    if (!open_node(&node, name, listen, BUS_ROLE_APPLY, BUS_ROLE_RAFT))
        return 8;
    (void)wait_until(&node, (struct wait_for){.ups = UINT32_MAX}, UINT64_MAX, true);
    return 0;
}

static void send_entries(struct node *node, uint64_t from, uint64_t to, size_t length) {
    uint8_t *data = must_zalloc(length);
    for (uint64_t i = from; i <= to; i++) {
        struct bus_entry entry = {.index = i, .term = 1, .data = bytes_of(data, length)};
        combiner_enter(&node->combiner);
        (void)bus_put_entry(node->link, &entry);
        combiner_leave(&node->combiner);
    }
    free(data);
}

static void exchange(struct node *node, uint64_t count, size_t length) {
    send_entries(node, 1, count, length);
    (void)wait_until(node, (struct wait_for){.progress = count}, 20000, true);
    struct node seen = snapshot(node);
    assert_int_equal(seen.progress, count);
    assert_false(seen.disorder);
}

/* --- tests --- */

static void test_a_stream_in_order(void **state) {
    (void)state;
    struct node *node = open_parent("stream", true);
    pid_t child = start_child("stream", false);
    (void)wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    exchange(node, 20000, 100);
    assert_int_equal(snapshot(node).downs, 0);
    kill_child(child);
    (void)wait_until(node, (struct wait_for){.downs = 1}, 10000, true);
    assert_int_equal(snapshot(node).downs, 1);
}

static void test_large_records(void **state) {
    (void)state;
    struct node *node = open_parent("large", false);
    pid_t child = start_child("large", true);
    (void)wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    exchange(node, 30, BUS_RECORD_LIMIT);
    assert_int_equal(snapshot(node).downs, 0);
    kill_child(child);
}

/* The peer dies with entries under way, again and again: each incarnation starts a clean stream. */
static void kill_and_restart(const char *name, bool listen) {
    struct node *node = open_parent(name, listen);
    uint64_t incarnation = 0;
    for (unsigned round = 1; round <= 10; round++) {
        pid_t child = start_child(name, !listen);
        (void)wait_until(node, (struct wait_for){.ups = round}, 10000, true);
        struct node seen = snapshot(node);
        assert_int_equal(seen.ups, round);
        assert_int_not_equal(seen.peer_incarnation, incarnation);
        incarnation = seen.peer_incarnation;
        exchange(node, 300, 1000);
        send_entries(node, 301, 400, 50000);
        kill_child(child);
        (void)wait_until(node, (struct wait_for){.downs = round}, 10000, true);
        assert_int_equal(snapshot(node).downs, round);
    }
}

static void test_the_dialing_peer_is_killed(void **state) {
    (void)state;
    kill_and_restart("dialer-killed", true);
}

static void test_the_listening_peer_is_killed(void **state) {
    (void)state;
    kill_and_restart("listener-killed", false);
}

static void test_a_held_name_is_refused_and_the_holder_lives(void **state) {
    (void)state;
    struct node *node = open_parent("held", true);
    struct node *second = must_zalloc(sizeof *second);
    assert_false(open_node(second, "held", true, BUS_ROLE_RAFT, BUS_ROLE_APPLY));
    struct stat status;
    assert_int_equal(stat("held", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    pid_t child = start_child("held", false);
    (void)wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    exchange(node, 10, 10);
    kill_child(child);
}

/* --- strangers on the socket --- */

static int connect_to(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

static void connect_and_close(const char *name, unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        int descriptor = connect_to(name);
        if (descriptor >= 0)
            close(descriptor);
        else
            assert_int_equal(errno, EAGAIN); /* backlog full: the listener has stopped accepting */
    }
}

static int connect_patiently(const char *name) {
    int descriptor = -1;
    while ((descriptor = connect_to(name)) < 0)
        ;
    return descriptor;
}

static void test_a_peer_is_served_through_connect_and_close(void **state) {
    (void)state;
    struct node *node = open_parent("guarded", true);
    pid_t child = start_child("guarded", false);
    (void)wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    connect_and_close("guarded", 1000);
    exchange(node, 1000, 100);
    assert_int_equal(snapshot(node).downs, 0);
    kill_child(child);
    child = start_child("guarded", false);
    uint64_t took = wait_until(node, (struct wait_for){.ups = 2}, 10000, true);
    assert_int_equal(snapshot(node).ups, 2);
    assert_true(took < 2000);
    exchange(node, 100, 100);
    kill_child(child);
}

static void count_pipe(nng_pipe pipe, nng_pipe_ev event, void *context) {
    (void)pipe;
    (void)event;
    struct node *node = context;
    pthread_mutex_lock(&node->lock);
    node->ups++;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

/* What the transport is there to guard against: the same attack on nng's own pair1 socket makes it deaf. */
static void test_without_the_guard_a_listener_is_deafened(void **state) {
    (void)state;
    struct node *node = must_zalloc(sizeof *node);
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->changed, NULL);
    nng_socket listener;
    nng_socket dialer;
    assert_int_equal(nng_pair1_open(&listener), 0);
    assert_int_equal(nng_pipe_notify(listener, NNG_PIPE_EV_ADD_POST, count_pipe, node), 0);
    assert_int_equal(nng_listen(listener, "ipc://unguarded", NULL, 0), 0);
    connect_and_close("unguarded", 20000); /* any one of them does it, if it closes at the right moment */
    assert_int_equal(nng_pair1_open(&dialer), 0);
    assert_int_equal(nng_dial(dialer, "ipc://unguarded", NULL, NNG_FLAG_NONBLOCK), 0);
    (void)wait_until(node, (struct wait_for){.ups = 1}, 1500, false);
    assert_int_equal(snapshot(node).ups, 0);
}

static unsigned open_descriptors(void) {
    unsigned count = 0;
    DIR *listing = opendir("/proc/self/fd");
    assert_non_null(listing);
    while (readdir(listing) != NULL)
        count++;
    closedir(listing);
    return count;
}

/* Connections of the past give their descriptors back; nng's reaper does it when it gets to it. */
static void assert_descriptors_return_to(unsigned count) {
    uint64_t start = clock_monotonic_us();
    while (open_descriptors() > count && clock_monotonic_us() - start < 10000000)
        sched_yield();
    assert_true(open_descriptors() <= count);
}

static void test_a_new_peer_is_served_after_connect_and_close(void **state) {
    (void)state;
    struct node *node = open_parent("attacked", true);
    unsigned descriptors = open_descriptors();
    connect_and_close("attacked", 1000);
    assert_descriptors_return_to(descriptors);
    pid_t child = start_child("attacked", false);
    uint64_t took = wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    assert_int_equal(snapshot(node).ups, 1);
    assert_true(took < 2000);
    exchange(node, 100, 100);
    kill_child(child);
}

/* A stranger that occupies the only place and says nothing, or garbage, is thrown out; the peer gets in. */
static void test_a_stranger_in_the_peers_place(void **state) {
    (void)state;
    struct node *node = open_parent("stranger", true);
    int silent = connect_patiently("stranger");
    pid_t child = start_child("stranger", false);
    uint64_t took = wait_until(node, (struct wait_for){.ups = 1}, 10000, true);
    assert_int_equal(snapshot(node).ups, 1);
    assert_true(took < 3000);
    close(silent);
    exchange(node, 100, 100);
    kill_child(child);
    (void)wait_until(node, (struct wait_for){.downs = 1}, 10000, true);

    int loud = connect_patiently("stranger");
    uint8_t garbage[200];
    memset(garbage, 0x55, sizeof garbage);
    while (send(loud, garbage, sizeof garbage, MSG_NOSIGNAL) > 0)
        ; /* until we are thrown out */
    child = start_child("stranger", false);
    (void)wait_until(node, (struct wait_for){.ups = 2}, 10000, true);
    assert_int_equal(snapshot(node).ups, 2);
    close(loud);
    exchange(node, 100, 100);
    kill_child(child);
}

int main(int argc, char **argv) {
    log_init("test", getenv("BUS_TEST_LOG") != NULL ? getenv("BUS_TEST_LOG") : "warn");
    if (argc == 3)
        return child_main(argv[1], strcmp(argv[2], "listen") == 0);
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
    char directory[] = "/tmp/quorate-bus-XXXXXX";
    if (mkdtemp(directory) == NULL || chdir(directory) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_in_order),
        cmocka_unit_test(test_large_records),
        cmocka_unit_test(test_the_dialing_peer_is_killed),
        cmocka_unit_test(test_the_listening_peer_is_killed),
        cmocka_unit_test(test_a_held_name_is_refused_and_the_holder_lives),
        cmocka_unit_test(test_a_peer_is_served_through_connect_and_close),
        cmocka_unit_test(test_without_the_guard_a_listener_is_deafened),
        cmocka_unit_test(test_a_new_peer_is_served_after_connect_and_close),
        cmocka_unit_test(test_a_stranger_in_the_peers_place),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command) != 0)
        failed++;
    fflush(NULL);
    _exit(failed != 0); /* nng's threads live: nothing is torn down */
}
