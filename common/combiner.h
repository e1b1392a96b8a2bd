/*
 * combiner: one role, many threads, one at a time, and no hand-off.
 *
 * Why: waking a worker thread costs more than most rounds of work (building-blocks.md 10). So the thread that
 * brings an event (an nng callback, the epoll loop, the tick) does the work itself if the role is idle; if it
 * is busy, the event is queued and the thread that is inside takes it in the same or the next round. What
 * queues while a round runs *is* the batch.
 *
 * A round: every queued event is handled, then `end_round` runs once (flush links, write sockets, start I/O).
 * After the combiner is left, `after` runs on the same thread with the role free: the place for blocking I/O
 * (fdatasync) whose completion is posted back as an event.
 *
 * Threading: all functions may be called from any thread; handle and end_round never run concurrently.
 */
#ifndef QUORATE_COMMON_COMBINER_H
#define QUORATE_COMMON_COMBINER_H

#include <pthread.h>
#include <stdbool.h>

/* Embedded in the poster's own event; handle() is called once and then owns the event. */
struct combiner_event {
    struct combiner_event *next;
    void (*handle)(struct combiner_event *event);
};

struct combiner {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct combiner_event *head, **tail;
    bool busy;
    bool handed;      /* busy for a thread inside combiner_enter that has not taken over yet */
    unsigned waiting; /* threads inside combiner_enter */
    unsigned rounds;  /* run while a thread waited there */
    void (*end_round)(void *context);
    void (*after)(void *context); /* may be NULL */
    void *context;
};

void combiner_init(struct combiner *combiner, void (*end_round)(void *), void (*after)(void *),
                   void *context);
/* Queues the event; runs rounds until the queue is empty if the role is idle. */
void combiner_post(struct combiner *combiner, struct combiner_event *event);
/*
 * combiner_post in two steps, for a poster that must let the next event come in between: queue fixes the
 * event's place in the order without running anything; run then does what post would have done. After a queue
 * there must be a run, by any thread, or the event waits for the next one.
 */
void combiner_queue(struct combiner *combiner, struct combiner_event *event);
void combiner_run(struct combiner *combiner);
/*
 * For a thread that has work of its own which is no event (the epoll loop with its ready sockets): enter
 * waits until the role is free (a few rounds at most: then the role is handed over even if events are
 * queued), leave runs end_round and all rounds that queued meanwhile, then `after`.
 */
void combiner_enter(struct combiner *combiner);
void combiner_leave(struct combiner *combiner);

#endif
