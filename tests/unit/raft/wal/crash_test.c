/*
 * crash: random workloads on a disk that loses power, processes that are killed, syncs that fail.
 *
 * After each crash the log is opened again (where the power may go once more) and must hold everything that
 * was acknowledged, and of the write in flight a beginning, in order. A run is named by its seed and, for the
 * systematic part, by the number of the operation in which the power goes.
 */
#include "raft/wal/log_model.h"

#include <errno.h>

enum { MOST = 24 /* entries in one append */ };

struct run {
    uint64_t seed, random;
    struct model_disk *model;
    struct disk *disk;
    struct wal *wal;
    uint64_t nonces;
    struct log_model *log; /* acknowledged */
    /* the write in flight */
    struct wal_entry entries[MOST];
    size_t count;
    struct wal_hard_state state;
    bool has_state;
    uint64_t snapshot_index, released;
    uint64_t crashes, torn;
};

static struct log_model *found; /* what wal_open handed back; one for all runs, it is large */

static void begin(struct run *run, uint64_t seed, struct log_model *log) {
    *run = (struct run){.seed = seed, .random = seed, .model = model_disk_new(seed ^ 0xabcdef), .log = log};
    run->disk = model_disk_interface(run->model);
    log_model_clear(log);
}

/* The log that came back holds the acknowledged one and the first `taken` entries in flight. */
static bool matches(const struct run *run, size_t taken) {
    const struct log_model *log = run->log;
    uint64_t cut = taken > 0 ? run->entries[0].index : log->last + 1;
    uint64_t last = taken > 0 ? run->entries[taken - 1].index : log->last;
    if (found->last != last && !(found->first > found->last && last == 0))
        return false;
    uint64_t from = found->first > log->first ? found->first : log->first;
    for (uint64_t index = from; index < cut && index <= found->last; index++)
        if (!same_entry(log, found, index))
            return false;
    for (size_t i = 0; i < taken; i++)
        if (found->entries[run->entries[i].index].term != run->entries[i].term ||
            found->entries[run->entries[i].index].hash != hash_entry(&run->entries[i]))
            return false;
    return true;
}

/* Compares what came back; from here on that is what was acknowledged. */
static void accept(struct run *run) {
    size_t taken = run->count;
    while (taken > 0 && !matches(run, taken))
        taken--;
    assert_true(matches(run, taken));
    bool new_state = run->has_state && same_state(&found->state, &run->state);
    assert_true(new_state || same_state(&found->state, &run->log->state));
    if (new_state && !same_state(&run->state, &run->log->state))
        assert_int_equal(taken, run->count);
    assert_true(found->snapshot_index == run->log->snapshot_index ||
                found->snapshot_index == run->snapshot_index);
    assert_true(found->first <= run->released + 1);
    for (size_t i = 0; i < taken; i++)
        log_model_entry(run->log, &run->entries[i]);
    run->log->state = found->state;
    run->log->snapshot_index = run->snapshot_index = found->snapshot_index;
    run->log->first = found->first;
    run->count = 0;
    run->has_state = false;
}

/* Opens, or creates when nothing is there yet. False when the power went meanwhile. */
static bool start(struct run *run) {
    int exists = wal_exists(run->disk, "data/wal");
    if (exists == 0) {
        assert_int_equal(run->log->last, 0);
        return run->disk->operations->make_directory(run->disk, "data") == 0 &&
               run->disk->operations->sync_directory(run->disk, ".") == 0 &&
               wal_create(run->disk, "data/wal", &test_metadata, ++run->nonces, SMALL_SEGMENT, &run->wal) ==
                   0;
    }
    if (exists < 0)
        return false;
    struct wal_visitor visitor = log_model_visitor(found);
    struct wal_metadata metadata;
    char error[512] = "";
    enum wal_open_result result =
        wal_open(run->disk, "data/wal", ++run->nonces, SMALL_SEGMENT, &visitor, &metadata, &run->wal, error);
    if (result == WAL_IO_ERROR) /* the power went, or an injected failure hit it */
        return false;
    assert_false(model_disk_is_off(run->model));
    if (result != WAL_OPENED)
        fail_msg("seed %llu: %s", (unsigned long long)run->seed, error);
    run->torn += wal_counts(run->wal).torn_bytes != 0;
    accept(run);
    return true;
}

static void recover(struct run *run) {
    run->crashes++;
    wal_close(run->wal); /* the disk is off or the files are stale: it cannot write any more */
    run->wal = NULL;
    for (bool up = false; !up;) {
        if (model_disk_is_off(run->model) || draw_number(&run->random, 2) == 0)
            model_disk_power_loss(run->model);
        if (draw_number(&run->random, 3) == 0)
            model_disk_power_off_at(run->model, 1 + draw_number(&run->random, 8));
        up = start(run);
    }
    model_disk_power_off_at(run->model, 0);
    if (run->log->last >= run->log->first)
        assert_readable(run->wal, run->log, run->log->first, run->log->last, SIZE_MAX);
}

static bool append_some(struct run *run) {
    const struct log_model *log = run->log;
    uint64_t back = draw_number(&run->random, 4) == 0 ? draw_number(&run->random, 10) : 0;
    uint64_t from =
        log->last + 1 > log->state.commit + 1 + back ? log->last + 1 - back : log->state.commit + 1;
    size_t longest = draw_number(&run->random, 6) == 0 ? 3000 : 200;
    run->count = 1 + (size_t)draw_number(&run->random, MOST);
    for (size_t i = 0; i < run->count; i++)
        run->entries[i] = make_entry(&run->random, from + i, log->state.term + back, longest);
    run->has_state = draw_number(&run->random, 2) == 0;
    uint64_t last = from + run->count - 1;
    run->state = (struct wal_hard_state){.term = log->state.term + 1,
                                         .vote = 3,
                                         .commit = log->state.commit +
                                                   draw_number(&run->random, last - log->state.commit + 1)};
    int result = wal_append(run->wal, run->entries, run->count, run->has_state ? &run->state : NULL, true);
    if (result != 0)
        return false;
    for (size_t i = 0; i < run->count; i++)
        log_model_entry(run->log, &run->entries[i]);
    if (run->has_state)
        run->log->state = run->state;
    run->count = 0;
    run->has_state = false;
    return true;
}

static bool mark_and_release(struct run *run) {
    const struct log_model *log = run->log;
    if (log->state.commit <= log->snapshot_index)
        return true;
    run->snapshot_index =
        log->snapshot_index + 1 + draw_number(&run->random, log->state.commit - log->snapshot_index);
    struct wal_snapshot snapshot = {.index = run->snapshot_index, .term = 1};
    if (wal_mark_snapshot(run->wal, &snapshot) != 0)
        return false;
    run->log->snapshot_index = run->snapshot_index;
    uint64_t index = run->snapshot_index - draw_number(&run->random, 5) % run->snapshot_index;
    if (index > run->released)
        run->released = index;
    return wal_release(run->wal, index) == 0;
}

/* One random operation. False when it failed. */
static bool step(struct run *run) {
    switch (draw_number(&run->random, 12)) {
    case 0:
        return wal_prepare(run->wal) == 0;
    case 1:
        return mark_and_release(run);
    default:
        return append_some(run);
    }
}

static void end(struct run *run) {
    wal_close(run->wal);
    model_disk_free(run->model);
}

/* `at`: the operation in which the power goes first; later crashes are random. Returns operations used. */
static uint64_t run_once(uint64_t seed, uint64_t at, unsigned steps, struct run *run, struct log_model *log) {
    begin(run, seed, log);
    model_disk_power_off_at(run->model, at);
    if (!start(run))
        recover(run);
    for (unsigned i = 0; i < steps; i++)
        if (!step(run))
            recover(run);
    return model_disk_operations(run->model);
}

static void power_goes_in_every_operation(void **state) {
    (void)state;
    struct log_model *log = calloc(1, sizeof *log);
    struct run run;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        uint64_t operations = run_once(seed, 0, 30, &run, log);
        end(&run);
        for (uint64_t at = 1; at <= operations; at++) {
            run_once(seed, at, 30, &run, log);
            assert_int_equal(run.crashes >= 1, 1);
            end(&run);
        }
    }
    free(log);
}

static void random_crashes(void **state) {
    (void)state;
    struct log_model *log = calloc(1, sizeof *log);
    uint64_t crashes = 0;
    uint64_t torn = 0;
    for (uint64_t seed = 1000; seed < 1100; seed++) {
        struct run run;
        begin(&run, seed, log);
        assert_true(start(&run));
        for (unsigned i = 0; i < 120 && log->last + MOST < LOG_MODEL_LIMIT; i++) {
            uint64_t chance = draw_number(&run.random, 10);
            if (chance == 0)
                model_disk_power_off_at(run.model, 1 + draw_number(&run.random, 5));
            if (chance == 1)
                model_disk_fail_at(run.model, 1 + draw_number(&run.random, 5), EIO);
            if (chance == 2) {
                model_disk_kill(run.model);
                recover(&run);
            }
            if (!step(&run)) {
                model_disk_fail_at(run.model, 0, 0);
                model_disk_kill(run.model);
                recover(&run);
            }
        }
        crashes += run.crashes;
        torn += run.torn;
        end(&run);
    }
    print_message("%llu crashes, %llu torn tails\n", (unsigned long long)crashes, (unsigned long long)torn);
    assert_true(crashes > 500 && torn > 50);
    free(log);
}

/* --unsafe-no-fsync: nothing is promised but that what comes back is a beginning of what was written. */
static void unsynced_writes_end_somewhere(void **state) {
    (void)state;
    struct log_model *log = calloc(1, sizeof *log);
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct run run;
        begin(&run, seed, log);
        assert_true(start(&run));
        for (uint64_t index = 1; index <= 60; index++) {
            struct wal_entry entry = make_entry(&run.random, index, 2, 900);
            log_model_entry(log, &entry);
            assert_int_equal(wal_append(run.wal, &entry, 1, NULL, seed % 2 == 0 && index % 20 == 0), 0);
        }
        model_disk_power_loss(run.model);
        wal_close(run.wal);
        struct wal_visitor visitor = log_model_visitor(found);
        struct wal_metadata metadata;
        char error[512] = "";
        if (wal_open(run.disk, "data/wal", 7, SMALL_SEGMENT, &visitor, &metadata, &run.wal, error) !=
            WAL_OPENED)
            fail_msg("seed %llu: %s", (unsigned long long)seed, error);
        assert_true(found->last <= 60 && (seed % 2 != 0 || found->last == 60));
        for (uint64_t index = 1; index <= found->last; index++)
            assert_true(same_entry(log, found, index));
        lost += 60 - found->last;
        end(&run);
    }
    assert_true(lost > 0);
    free(log);
}

int main(void) {
    fill_payload();
    found = calloc(1, sizeof *found);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_goes_in_every_operation),
        cmocka_unit_test(random_crashes),
        cmocka_unit_test(unsynced_writes_end_somewhere),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(found);
    return result;
}
