/* job_pool: see job_pool.h. One lock, two queues: first slices, and everything that takes longer. */
#include "apply/job_pool.h"

#include <stdlib.h>

#include "common/log.h"

/* A job in the pool; also the event that brings it back. */
struct item {
    struct combiner_event event; /* first: the event is the item */
    struct item *next;
    struct apply_job *job;
    struct apply_role *role;
};

struct item_queue {
    struct item *head, **tail;
};

struct job_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct item_queue brief, lengthy;
    struct combiner *combiner;
    struct apply_role *role;
};

static struct item *take(struct item_queue *queue) {
    struct item *item = queue->head;
    if (item == NULL)
        return NULL;
    queue->head = item->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    return item;
}

static struct item *next_item(struct job_pool *pool) {
    struct item *item = NULL;
    pthread_mutex_lock(&pool->lock);
    while ((item = take(&pool->brief)) == NULL && (item = take(&pool->lengthy)) == NULL)
        pthread_cond_wait(&pool->work, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return item;
}

/* Inside the combiner. */
static void bring_back(struct combiner_event *event) {
    struct item *item = (struct item *)event;
    apply_role_job_done(item->role, item->job);
    free(item);
}

static void *run(void *context) {
    struct job_pool *pool = context;
    for (;;) {
        struct item *item = next_item(pool);
        apply_job_run(item->job);
        combiner_post(pool->combiner, &item->event);
    }
    return NULL;
}

struct job_pool *job_pool_start(unsigned threads, struct combiner *combiner, struct apply_role *role) {
    struct job_pool *pool = must_zalloc(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->brief.tail = &pool->brief.head;
    pool->lengthy.tail = &pool->lengthy.head;
    pool->combiner = combiner;
    pool->role = role;
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run, pool) != 0)
            LOG_FATAL("cannot start a thread");
        pthread_detach(thread);
    }
    return pool;
}

void job_pool_add(struct job_pool *pool, struct apply_job *job) {
    struct item *item = must_zalloc(sizeof *item);
    item->event.handle = bring_back;
    item->job = job;
    item->role = pool->role;
    pthread_mutex_lock(&pool->lock);
    struct item_queue *queue = apply_job_is_long(job) ? &pool->lengthy : &pool->brief;
    *queue->tail = item;
    queue->tail = &item->next;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}
