/* judge: what the checks at the end of a run share: the log, and what executing it comes to. */
#ifndef QUORATE_SIM_JUDGE_H
#define QUORATE_SIM_JUDGE_H

#include "history.h"
#include "log_truth.h"
#include "reference.h"

struct judge {
    struct world *world;
    struct history *history;
    const struct log_truth *log; /* up to `last` it is what happened */
    uint64_t last;
    /* Filled by history_check(): */
    struct reference *reference;
    uint64_t *revisions; /* revisions[i]: of the store after entry i */
    uint64_t *ids;       /* of the log's requests, for finding one used twice */
    size_t id_count;
};

void judge_init(struct judge *judge, struct history *history, const struct log_truth *log, uint64_t last);
void judge_free(struct judge *judge);

/* The revision that the store had when so many entries were durable. */
static inline uint64_t judge_revision(const struct judge *judge, uint64_t durable) {
    return judge->revisions[durable < judge->last ? durable : judge->last];
}

#endif
