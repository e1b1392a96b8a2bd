/* maint_work: see maint_work.h. */
#include "maint/maint_work.h"

#include "common/log.h"

enum {
    SLICE_RECORDS = 4096,
    PIECE_ITEMS = 256,
};

static void close_checkpoint(struct maint_work *work) {
    if (work->checkpoint == NULL)
        return;
    compaction_scan_free(&work->scan);
    work->checkpoint->operations->close(work->checkpoint);
    work->checkpoint = NULL;
}

void maint_work_free(struct maint_work *work) {
    close_checkpoint(work);
    buffer_free(&work->items);
}

/* The checkpoint pins disk space: it goes as soon as it is not needed any more. */
static void finish(struct maint_work *work, const struct checkpoint_files *files) {
    close_checkpoint(work);
    files->remove(files->context, work->directory);
    if (work->stale[0] != '\0')
        files->remove(files->context, work->stale);
    work->stale[0] = '\0';
    work->finished = true;
}

/* False: it is not what apply says. */
static bool open_checkpoint(struct maint_work *work, const struct checkpoint_files *files) {
    work->checkpoint = files->open(files->context, work->directory);
    uint64_t found = work->checkpoint == NULL ? 0 : checkpoint_index(work->checkpoint);
    if (found != 0 && found == work->index)
        return true;
    LOG_ERROR("a checkpoint failed", F_U64("expected-index", work->index), F_U64("found-index", found));
    return false;
}

static void run_plan(struct maint_work *work, const struct checkpoint_files *files) {
    bool complete = false;
    work->items.length = 0;
    work->count = 0;
    if (work->checkpoint == NULL) {
        work->failed = !open_checkpoint(work, files);
        if (!work->failed)
            compaction_scan_begin(&work->scan, work->checkpoint, work->physical, work->compacted,
                                  COMPACTION_LINKS_LIMIT);
    }
    if (!work->failed) {
        complete = compaction_scan_step(&work->scan, SLICE_RECORDS, PIECE_ITEMS, &work->items, &work->count);
        work->failed = work->checkpoint->failed;
    }
    if (complete || work->failed)
        finish(work, files);
}

void maint_work_run(struct maint_work *work, const struct checkpoint_files *files) {
    switch (work->kind) {
    case WORK_CHECK:
        work->failed = !open_checkpoint(work, files);
        finish(work, files);
        break;
    case WORK_PLAN:
        run_plan(work, files);
        break;
    case WORK_REMOVE:
        finish(work, files);
        break;
    }
}
