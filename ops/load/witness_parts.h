/* witness_parts: what the parts of witness.h share: the run (witness.c), who watches what (witness_cast.c),
 * and the comparison at the end (witness_verdict.c). */
#ifndef QUORATE_LOAD_WITNESS_PARTS_H
#define QUORATE_LOAD_WITNESS_PARTS_H

#include "ops/load/churn.h"
#include "ops/load/commands.h"
#include "ops/load/digest.h"
#include "ops/load/history.h"
#include "ops/load/lessees.h"
#include "ops/load/watch_stream.h"
#include "ops/load/witness.h"

enum breadth { BREADTH_PULSE, BREADTH_KEY, BREADTH_WRITER, BREADTH_SPAN, BREADTH_ALL, BREADTH_COUNT };

/* What one watch saw. */
struct episode {
    size_t watcher;
    int64_t first, last; /* revisions, inclusive */
    uint64_t total, count;
    struct history_answer before, after; /* what the history says */
};

struct witness_watcher {
    struct watcher watch; /* first */
    enum breadth breadth;
    uint8_t key[CHURN_KEY_ROOM], range_end[CHURN_KEY_ROOM];
    bool created;
    int64_t first; /* of the present episode */
    struct digest_sum digest;
    struct history_answer before, after;
};

enum pace { PACE_FULL, PACE_BURSTS, PACE_TRICKLE };

struct witness_stream {
    struct watch_stream watch; /* first */
    struct witness *witness;
    enum pace pace;
    uint64_t turn_at_ns;   /* a slow one: reads on or stops */
    uint64_t reopen_at_ns; /* after its end */
    bool recovered;        /* since the mark */
    int64_t pulse;         /* revision of the latest one */
};

struct recorder {
    struct grpc_connection *connection;
    struct watch_stream stream;
    struct watcher watcher;
    uint64_t reopen_at_ns;
    struct grpc_call compact;
    uint64_t compact_at_ns, compactions;
    int64_t compacted; /* largest revision asked to compact at */
};

struct witness {
    const struct witness_options *options;
    struct loop loop; /* the watchers' connections, the writers', the lessees', and the recorder's */
    size_t fast_connections, slow_connections, writer_connections, lessee_connections;
    struct commands commands;
    struct churn *churn;
    struct lessees *lessees;
    struct history *history;
    struct recorder recorder;
    struct witness_stream *streams;
    size_t stream_count;
    struct witness_watcher *watchers;
    size_t watcher_count;
    struct episode *episodes;
    size_t episode_count, episode_room;
    uint64_t random;
    bool stopping, catching_up;
    uint64_t next_restart_ns, next_progress_ns;
    char mark[64];
    uint64_t mark_ns, first_recovered_ns; /* 0: none under way */
    int64_t mark_revision;                /* of the first pulse after the mark; 0: not yet */
    size_t unrecovered;
    uint64_t events, resumed, restarts, compacted, progress_answers;
    long violations;
};

/* What is not said for a watcher says "-1". */
void witness_violation(struct witness *witness, ptrdiff_t watcher, const char *what, int64_t seen,
                       int64_t before);

/* witness_cast.c: how many connections are needed; then streams and watchers. Callbacks are the run's to set.
 */
void witness_count_connections(struct witness *witness);
void witness_cast(struct witness *witness);
/* The revision to begin a new episode at. */
int64_t witness_old_revision(struct witness *witness, const struct witness_watcher *watcher);

/* witness_recorder.c: history is made with it; a turn, which opens the watch and compacts when it is time. */
void witness_recorder_create(struct witness *witness);
void witness_recorder_turn(struct witness *witness, uint64_t now);
void witness_recorder_free(struct witness *witness);

/* Do watchers' digests include prev_kv? Compaction takes previous values away before their events. */
static inline bool witness_previous(const struct witness *witness, const struct witness_watcher *watcher) {
    return watcher->watch.create.previous && witness->options->compact_every_us == 0;
}

/* witness_verdict.c: after the last write: reads the history, lets watchers catch up, compares. */
void witness_verdict(struct witness *witness);

/* witness.c: one turn of the loop. */
void witness_turn(struct witness *witness);

#endif
