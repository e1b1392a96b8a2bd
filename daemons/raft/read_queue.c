/* read_queue: see read_queue.h. */
#include "raft/read_queue.h"

#include <stdlib.h>

void read_queue_init(struct read_queue *queue, size_t limit) {
    *queue = (struct read_queue){.limit = limit};
}

void read_queue_free(struct read_queue *queue) {
    read_queue_drop_all(queue);
}

/* Ids of one proxy count up, so their low bits spread well. */
static struct waiting_read **bucket_of(struct read_queue *queue, uint64_t id) {
    return &queue->buckets[(id ^ id >> 42) % READ_QUEUE_BUCKETS];
}

struct waiting_read *read_queue_add(struct read_queue *queue, const struct bus_request *request,
                                    unsigned slot, uint64_t deadline_us) {
    size_t size = sizeof(struct waiting_read) + request->user.length + request->body.length;
    if (queue->bytes + size > queue->limit)
        return NULL;
    struct waiting_read *read = must_alloc(size);
    uint8_t *place = (uint8_t *)(read + 1);
    *read = (struct waiting_read){
        .previous = queue->last, .request = *request, .deadline_us = deadline_us, .slot = slot, .size = size};
    if (request->user.length > 0)
        memcpy(place, request->user.data, request->user.length);
    read->request.user.data = place;
    place += request->user.length;
    if (request->body.length > 0)
        memcpy(place, request->body.data, request->body.length);
    read->request.body.data = place;

    if (queue->last == NULL)
        queue->first = read;
    else
        queue->last->next = read;
    queue->last = read;
    struct waiting_read **bucket = bucket_of(queue, request->id);
    read->chain = *bucket;
    *bucket = read;
    queue->count++;
    queue->bytes += size;
    return read;
}

void read_queue_remove(struct read_queue *queue, struct waiting_read *read) {
    struct waiting_read **link = bucket_of(queue, read->request.id);
    while (*link != read)
        link = &(*link)->chain;
    *link = read->chain;
    if (read->previous == NULL)
        queue->first = read->next;
    else
        read->previous->next = read->next;
    if (read->next == NULL)
        queue->last = read->previous;
    else
        read->next->previous = read->previous;
    queue->count--;
    queue->bytes -= read->size;
    free(read);
}

void read_queue_cancel(struct read_queue *queue, uint64_t id) {
    for (struct waiting_read *read = *bucket_of(queue, id); read != NULL; read = read->chain) {
        if (read->request.id == id) {
            read_queue_remove(queue, read);
            return;
        }
    }
}

void read_queue_drop_slot(struct read_queue *queue, unsigned slot) {
    struct waiting_read *next = NULL;
    for (struct waiting_read *read = queue->first; read != NULL; read = next) {
        next = read->next;
        if (read->slot == slot)
            read_queue_remove(queue, read);
    }
}

void read_queue_drop_expired(struct read_queue *queue, uint64_t now_us) {
    struct waiting_read *next = NULL;
    for (struct waiting_read *read = queue->first; read != NULL; read = next) {
        next = read->next;
        if (read->deadline_us <= now_us)
            read_queue_remove(queue, read);
    }
}

void read_queue_drop_all(struct read_queue *queue) {
    while (queue->first != NULL)
        read_queue_remove(queue, queue->first);
}
