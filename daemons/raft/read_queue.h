/*
 * read_queue: linearizable reads that wait in raft: for the index they have to see, for the stream to apply
 * to pass it, or for room on that link. First in, first out; a cancel finds its read by id.
 *
 * Bounded by bytes: read_queue_add refuses beyond the limit. Only reads that cannot go on at once come here.
 */
#ifndef QUORATE_RAFT_READ_QUEUE_H
#define QUORATE_RAFT_READ_QUEUE_H

#include "common/bus/contract.h"

enum { READ_QUEUE_BUCKETS = 4096 };

struct waiting_read {
    struct waiting_read *next, *previous; /* in arrival order */
    struct waiting_read *chain;           /* same bucket */
    struct bus_request request;           /* user and body point behind the struct */
    uint64_t deadline_us;
    uint64_t context; /* read batch it was asked with; 0: not asked yet */
    uint64_t index;   /* index it has to see; 0: not confirmed */
    unsigned slot;    /* proxy it came from */
    size_t size;
};

struct read_queue {
    struct waiting_read *first, *last;
    struct waiting_read *buckets[READ_QUEUE_BUCKETS];
    size_t count, bytes, limit;
};

void read_queue_init(struct read_queue *queue, size_t limit);
void read_queue_free(struct read_queue *queue);
/* Copies the request. NULL when the queue is full. */
struct waiting_read *read_queue_add(struct read_queue *queue, const struct bus_request *request,
                                    unsigned slot, uint64_t deadline_us);
void read_queue_remove(struct read_queue *queue, struct waiting_read *read);
void read_queue_cancel(struct read_queue *queue, uint64_t id);
/* Drops what came from a proxy that is gone, or what is past its deadline. */
void read_queue_drop_slot(struct read_queue *queue, unsigned slot);
void read_queue_drop_expired(struct read_queue *queue, uint64_t now_us);
void read_queue_drop_all(struct read_queue *queue);

#endif
