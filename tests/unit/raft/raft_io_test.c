/*
 * io: durable work by the threads that bring events, over the real disk: nothing is lost, nothing is written
 * twice, what comes in during a sync shares the next one, and a busy role does not keep the disk waiting.
 */
#include "raft/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants these above first */
#include <cmocka.h>

#include "raft/role_node.h"

enum { THREADS = 4, EACH = 200 };

struct bench {
    struct node node;
    struct combiner combiner;
    struct raft_io io;
    uint64_t counter;
    uint64_t rounds;
    sem_t reached;
    uint64_t target; /* commit index the test waits for; 0: none */
    char directory[64], wal[80];
};
/* One each test: io's threads live on. */
static struct bench *bench;

static void end_round(void *context) {
    struct bench *b = context;
    b->rounds++;
    while (node_round(&b->node)) {
    }
    raft_io_take(&b->io);
    if (b->target != 0 && raft_role_status(b->node.role).commit >= b->target) {
        b->target = 0;
        sem_post(&b->reached);
    }
}

static void after(void *context) {
    struct bench *b = context;
    raft_io_run(&b->io);
}

static void propose(struct combiner_event *event) {
    node_propose(&bench->node, 0, ++bench->counter, 100, 'x');
    free(event);
}

static void set_target(uint64_t commit) {
    combiner_enter(&bench->combiner);
    bench->target = commit;
    combiner_leave(&bench->combiner);
}

static void *post_proposals(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < EACH; i++) {
        struct combiner_event *event = must_zalloc(sizeof *event);
        event->handle = propose;
        combiner_post(&bench->combiner, event);
    }
    return NULL;
}

static int set_up(void **state) {
    (void)state;
    char error[512];
    bench = must_zalloc(sizeof *bench);
    snprintf(bench->directory, sizeof bench->directory, "/tmp/quorate-io-test-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    snprintf(bench->wal, sizeof bench->wal, "%s/wal", bench->directory);
    node_init(&bench->node, disk_linux());
    bench->node.storage_options.member_directory = bench->directory;
    bench->node.storage_options.wal_directory = bench->wal;
    bench->node.storage_options.segment_bytes = 1 << 20;
    assert_int_equal(sem_init(&bench->reached, 0, 0), 0);
    if (!node_start(&bench->node, error))
        fail_msg("%s", error);
    raft_io_settle(bench->node.role, bench->node.storage);
    assert_true(raft_io_idle(&bench->io));
    combiner_init(&bench->combiner, end_round, after, bench);
    raft_io_start(&bench->io, &bench->combiner, bench->node.role, bench->node.storage);
    combiner_enter(&bench->combiner);
    node_connect(&bench->node.apply.link);
    node_connect(&bench->node.proxies[0].link);
    combiner_leave(&bench->combiner);
    return 0;
}

static void remove_file(void *context, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    unlink(path);
}

static int tear_down(void **state) {
    (void)state;
    /* io's threads wait for ever and share `bench`; the role stays held so that nothing can run any more. */
    combiner_enter(&bench->combiner);
    while (!raft_io_idle(&bench->io) || raft_storage_wants_prepare(bench->node.storage)) {
        combiner_leave(&bench->combiner);
        usleep(1000);
        combiner_enter(&bench->combiner);
    }
    struct disk *disk = disk_linux();
    disk->operations->list(disk, bench->wal, remove_file, bench->wal);
    rmdir(bench->wal);
    rmdir(bench->directory);
    return 0;
}

static void all_threads_work_is_durable_and_in_order(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    const uint64_t last = 2 + THREADS * EACH;
    set_target(last);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_proposals, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    while (sem_wait(&bench->reached) != 0) {
    }
    combiner_enter(&bench->combiner);
    uint64_t syncs = raft_storage_counts(bench->node.storage).syncs;
    uint64_t durable = raft_role_status(bench->node.role).durable;
    combiner_leave(&bench->combiner);
    const struct fake_apply *apply = &bench->node.apply;
    assert_int_equal(durable, last);
    assert_int_equal(apply->seen_count, last);
    for (uint64_t index = 1; index <= last; index++)
        assert_int_equal(apply->seen[index - 1].index, index);
    assert_true(syncs < THREADS * EACH); /* they shared some */
}

/* A round that never ends by itself: events post the next one. The disk must get its turn all the same. */
struct endless {
    struct combiner_event event;
    bool begun;
    atomic_bool stop;
    sem_t stopped;
};

static void again(struct combiner_event *event) {
    struct endless *endless = (struct endless *)event;
    if (!endless->begun)
        node_propose(&bench->node, 0, ++bench->counter, 100, 'x');
    endless->begun = true;
    if (atomic_load(&endless->stop))
        sem_post(&endless->stopped);
    else
        combiner_post(&bench->combiner, event);
}

static void *run_endless(void *context) {
    struct endless *endless = context;
    combiner_post(&bench->combiner, &endless->event);
    return NULL;
}

static void a_busy_role_does_not_keep_the_disk_waiting(void **state) {
    (void)state;
    struct endless endless = {.event.handle = again};
    pthread_t thread;
    assert_int_equal(sem_init(&endless.stopped, 0, 0), 0);
    set_target(3);
    assert_int_equal(pthread_create(&thread, NULL, run_endless, &endless), 0);
    while (sem_wait(&bench->reached) != 0) { /* comes only if somebody else did the write */
    }
    atomic_store(&endless.stop, true);
    while (sem_wait(&endless.stopped) != 0) {
    }
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_threads_work_is_durable_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_role_does_not_keep_the_disk_waiting, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fflush(NULL);
    _exit(failed); /* threads that wait for ever own what a leak checker would miss */
}
