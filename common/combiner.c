/* combiner: see combiner.h. The lock guards only the queue and the busy flag; no work is done under it. */
#include "common/combiner.h"

#include "common/bytes.h"

void combiner_init(struct combiner *combiner, void (*end_round)(void *), void (*after)(void *),
                   void *context) {
    *combiner = (struct combiner){.end_round = end_round, .after = after, .context = context};
    combiner->tail = &combiner->head;
    REQUIRE(pthread_mutex_init(&combiner->lock, NULL) == 0);
    REQUIRE(pthread_cond_init(&combiner->idle, NULL) == 0);
}

enum {
    ROUNDS_BEFORE_HANDOVER = 4
}; /* a thread inside combiner_enter waits no longer while events keep coming */

/* Takes the whole queue, or gives the role up: when the queue is empty, or to a thread that waits to enter.
 */
static struct combiner_event *take_or_release(struct combiner *combiner) {
    struct combiner_event *batch = NULL;
    pthread_mutex_lock(&combiner->lock);
    combiner->rounds = combiner->waiting > 0 ? combiner->rounds + 1 : 0;
    if (combiner->waiting > 0 && combiner->rounds > ROUNDS_BEFORE_HANDOVER) {
        combiner->handed = true; /* what is queued runs when that thread leaves */
        pthread_cond_signal(&combiner->idle);
    } else if (combiner->head != NULL) {
        batch = combiner->head;
        combiner->head = NULL;
        combiner->tail = &combiner->head;
    } else {
        combiner->busy = false;
        if (combiner->waiting > 0)
            pthread_cond_signal(&combiner->idle);
    }
    pthread_mutex_unlock(&combiner->lock);
    return batch;
}

static void run_rounds(struct combiner *combiner) {
    struct combiner_event *batch = NULL;
    while ((batch = take_or_release(combiner)) != NULL) {
        while (batch != NULL) {
            struct combiner_event *event = batch;
            batch = event->next;
            event->handle(event);
        }
        combiner->end_round(combiner->context);
    }
    if (combiner->after != NULL)
        combiner->after(combiner->context);
}

void combiner_post(struct combiner *combiner, struct combiner_event *event) {
    event->next = NULL;
    pthread_mutex_lock(&combiner->lock);
    *combiner->tail = event;
    combiner->tail = &event->next;
    bool run = !combiner->busy;
    combiner->busy = true;
    pthread_mutex_unlock(&combiner->lock);
    if (run)
        run_rounds(combiner);
}

void combiner_queue(struct combiner *combiner, struct combiner_event *event) {
    event->next = NULL;
    pthread_mutex_lock(&combiner->lock);
    *combiner->tail = event;
    combiner->tail = &event->next;
    pthread_mutex_unlock(&combiner->lock);
}

void combiner_run(struct combiner *combiner) {
    pthread_mutex_lock(&combiner->lock);
    bool run = !combiner->busy && combiner->head != NULL;
    if (run)
        combiner->busy = true;
    pthread_mutex_unlock(&combiner->lock);
    if (run)
        run_rounds(combiner);
}

void combiner_enter(struct combiner *combiner) {
    pthread_mutex_lock(&combiner->lock);
    combiner->waiting++;
    while (combiner->busy && !combiner->handed)
        pthread_cond_wait(&combiner->idle, &combiner->lock);
    combiner->waiting--;
    combiner->rounds = 0;
    combiner->handed = false;
    combiner->busy = true;
    pthread_mutex_unlock(&combiner->lock);
}

void combiner_leave(struct combiner *combiner) {
    combiner->end_round(combiner->context);
    run_rounds(combiner);
}
