/* io: see io.h. */
#include "raft/io.h"

#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "raft/wal/wal.h"

enum {
    SLOW_PERSIST_US = 1000 * 1000,
    PREPARER_NICE = 10,
    NO_ROOM_SECONDS = 10,
    ROOM_FOR_OTHERS = 16 << 20, /* bytes a new segment leaves free */
};

/* Set while this thread runs I/O: posting a completion may make it leave the combiner once more, inside. */
static _Thread_local bool running;

static void persisted(struct combiner_event *event) {
    struct raft_io *io = (struct raft_io *)((char *)event - offsetof(struct raft_io, persisted));
    io->persist = (struct raft_persist){0};
    raft_role_persisted(io->role);
}

static void fetched(struct combiner_event *event) {
    struct raft_io *io = (struct raft_io *)((char *)event - offsetof(struct raft_io, fetched));
    io->fetch = NULL;
    raft_role_fetched(io->role);
}

static void persist(struct raft_storage *storage, const struct raft_persist *what) {
    uint64_t begin = clock_monotonic_us();
    int status = raft_storage_persist(storage, what);
    if (status != 0)
        LOG_FATAL("cannot write the log; nothing further is acknowledged", F_ERRNO(-status));
    uint64_t took = clock_monotonic_us() - begin;
    if (took >= SLOW_PERSIST_US)
        LOG_WARN("slow fdatasync", F_U64("took-us", took), F_U64("entries", what->count),
                 F_BOOL("release", what->release));
}

static void count_sync(struct raft_io *io) {
    struct wal_counts counts = raft_storage_counts(io->storage);
    metric_set(METRIC_ETCD_DISK_WAL_WRITE_BYTES_TOTAL, (int64_t)counts.bytes_written);
    if (counts.syncs != io->syncs_seen)
        metric_observe_us(METRIC_ETCD_DISK_WAL_FSYNC_DURATION_SECONDS, counts.last_sync_us);
    io->syncs_seen = counts.syncs;
}

static void run_persist(struct raft_io *io) {
    persist(io->storage, &io->persist);
    count_sync(io);
    if (raft_storage_wants_prepare(io->storage))
        sem_post(&io->preparer);
    combiner_post(io->combiner, &io->persisted);
}

static void run_fetch(struct raft_io *io) {
    int status = raft_storage_fetch(io->storage, io->fetch);
    if (status != 0)
        LOG_FATAL("cannot read the log", F_U64("index", io->fetch->from), F_ERRNO(-status));
    combiner_post(io->combiner, &io->fetched);
}

void raft_io_run(struct raft_io *io) {
    if (running)
        return;
    running = true;
    for (;;) {
        if (atomic_exchange(&io->persist_ready, false))
            run_persist(io);
        else if (atomic_exchange(&io->fetch_ready, false))
            run_fetch(io);
        else
            break;
    }
    running = false;
}

void raft_io_take(struct raft_io *io) {
    bool stuck = atomic_load(&io->persist_ready) || atomic_load(&io->fetch_ready);
    if (stuck && !io->waited)
        sem_post(&io->helper);
    io->waited = stuck;
    if (raft_role_take_persist(io->role, &io->persist))
        atomic_store(&io->persist_ready, true);
    struct raft_fetch *fetch = raft_role_take_fetch(io->role);
    if (fetch != NULL) {
        io->fetch = fetch;
        atomic_store(&io->fetch_ready, true);
    }
}

bool raft_io_idle(const struct raft_io *io) {
    return io->persist.count == 0 && !io->persist.has_state && !io->persist.release && io->fetch == NULL;
}

void raft_io_settle(struct raft_role *role, struct raft_storage *storage) {
    struct raft_persist work;
    while (raft_role_take_persist(role, &work)) {
        persist(storage, &work);
        raft_role_persisted(role);
    }
}

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0)
        REQUIRE(errno == EINTR);
}

static void *help(void *context) {
    struct raft_io *io = context;
    for (;;) {
        wait_for(&io->helper);
        raft_io_run(io);
    }
    return NULL;
}

/*
 * Asked before a segment is made: one that fails half way has filled the disk for a moment, and the database
 * beside it does not survive that. A file system that does not say is tried.
 */
static int prepare_segment(struct raft_io *io) {
    struct statvfs disk;
    if (!raft_storage_wants_prepare(io->storage))
        return 0;
    if (statvfs(raft_storage_directory(io->storage), &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize < WAL_SEGMENT_BYTES + ROOM_FOR_OTHERS)
        return -ENOSPC;
    return raft_storage_prepare(io->storage);
}

static void *prepare(void *context) {
    struct raft_io *io = context;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), PREPARER_NICE);
    for (;;) {
        int status = prepare_segment(io);
        if (status == 0) {
            wait_for(&io->preparer);
            continue;
        }
        if (status != -ENOSPC)
            LOG_FATAL("cannot prepare the log's next segment", F_ERRNO(-status));
        /* The present segment may still take many writes. */
        LOG_ERROR("no room on the disk for the log's next segment: make room before the present one is full, "
                  "or this member stops",
                  F_STR("dir", raft_storage_directory(io->storage)), F_ERRNO(-status));
        sleep(NO_ROOM_SECONDS);
    }
    return NULL;
}

static void start_thread(void *(*run)(void *), struct raft_io *io) {
    pthread_t thread;
    int status = pthread_create(&thread, NULL, run, io);
    if (status != 0)
        LOG_FATAL("cannot start a thread", F_ERRNO(status));
    pthread_detach(thread);
}

void raft_io_start(struct raft_io *io, struct combiner *combiner, struct raft_role *role,
                   struct raft_storage *storage) {
    *io = (struct raft_io){.combiner = combiner, .role = role, .storage = storage};
    io->persisted.handle = persisted;
    io->fetched.handle = fetched;
    REQUIRE(sem_init(&io->helper, 0, 0) == 0 && sem_init(&io->preparer, 0, 0) == 0);
    start_thread(help, io);
    start_thread(prepare, io);
}
