/*
 * nng_connection: one stream: bytes in, whole frames out, and back.
 *
 * Order. One receive is outstanding. Its callback first fixes the place of the whole frames in the combiner's
 * queue, then re-arms, then runs the role. Re-arming first would let another thread queue the next frames
 * ahead of these; re-arming after the role ran would leave the stream unread during an fdatasync. Queueing is
 * one short lock, so this order costs nothing, and what arrives meanwhile joins the round that is under way.
 *
 * Receiving. Bytes are read into a chunk, which goes to the role as it is: nothing is copied but the
 * beginning of the frame that is not whole yet.
 *
 * Sending. The frame is offered to the kernel at once, by an operation without completion, which costs no
 * thread hop. What the kernel does not take (a full buffer, a large frame) is copied and follows with
 * completions.
 *
 * Life. The receive loop runs until the stream ends; its end is queued behind the last frame, and the
 * connection is freed when that was handled and no completion is outstanding. To close is only to make the
 * end come.
 */
#include <stdlib.h>

#include "common/bus/frame.h"
#include "common/bus/nng_internal.h"
#include "common/log.h"

enum {
    CHUNK_SIZE = 64 << 10,
    SPARES = 4,                          /* chunks kept */
    QUEUED_LIMIT = 4 * BUS_WINDOW_BYTES, /* a peer that ignores its credit is thrown out */
    UNSENT_LIMIT = 4 * BUS_WINDOW_BYTES, /* what a role that ignores it may leave here */
    UNSENT_KEEP = 2 << 20,
};

/* --- chunks --- */

static struct chunk *chunk_new(size_t capacity) {
    struct chunk *chunk = must_alloc(sizeof *chunk + capacity);
    chunk->capacity = capacity;
    chunk->length = 0;
    return chunk;
}

static struct chunk *take_chunk(struct nng_transport *transport, size_t capacity) {
    if (capacity > CHUNK_SIZE)
        return chunk_new(capacity);
    pthread_mutex_lock(&transport->lock);
    struct chunk *chunk = transport->spare;
    if (chunk != NULL) {
        transport->spare = chunk->next;
        transport->spares--;
    }
    pthread_mutex_unlock(&transport->lock);
    if (chunk == NULL)
        return chunk_new(CHUNK_SIZE);
    chunk->length = 0;
    return chunk;
}

static void give_chunk(struct nng_transport *transport, struct chunk *chunk) {
    pthread_mutex_lock(&transport->lock);
    if (chunk->capacity == CHUNK_SIZE && transport->spares < SPARES) {
        chunk->next = transport->spare;
        transport->spare = chunk;
        transport->spares++;
        chunk = NULL;
    }
    pthread_mutex_unlock(&transport->lock);
    free(chunk);
}

/* --- the end --- */

void connection_close(struct connection *connection) {
    connection->closing = true;
    nng_stream_close(connection->stream);
}

static void close_unlocked(struct connection *connection) {
    pthread_mutex_lock(&connection->transport->lock);
    connection_close(connection);
    pthread_mutex_unlock(&connection->transport->lock);
}

/* The operations free themselves when their callbacks, one of which may be running us, have returned. */
static void free_if_over(struct connection *connection) {
    if (!connection->ended || connection->resuming)
        return;
    nng_aio_reap(connection->receive);
    nng_aio_reap(connection->send);
    nng_aio_reap(connection->resume);
    nng_stream_free(connection->stream);
    buffer_free(&connection->flying);
    buffer_free(&connection->waiting);
    free(connection->chunk);
    free(connection);
}

static void handle_end(struct combiner_event *event) {
    struct connection *connection = (struct connection *)((char *)event - offsetof(struct connection, end));
    transport_ends(connection->transport, connection);
    connection->ended = true;
    free_if_over(connection);
}

/* The receive loop is over. The connection may be gone when this returns. */
static void end_of_stream(struct connection *connection) {
    struct nng_transport *transport = connection->transport;
    pthread_mutex_lock(&transport->lock);
    connection_close(connection);
    transport->present = NULL;
    combiner_queue(transport->combiner, &connection->end);
    transport_reconnects(transport);
    pthread_mutex_unlock(&transport->lock);
}

/* --- receiving --- */

/* Bytes of whole frames at the start; *need: how long the next frame is, as far as known. False: garbage. */
static bool measure(const struct chunk *chunk, size_t *whole, size_t *need) {
    *whole = 0;
    for (;;) {
        struct bytes rest = bytes_of(chunk->data + *whole, chunk->length - *whole);
        *need = frame_length(rest);
        if (*need == 0)
            return false;
        if (*need > rest.length)
            return true;
        *whole += *need;
    }
}

static void handle_chunk(struct combiner_event *event) {
    struct chunk *chunk = (struct chunk *)event; /* its first member */
    struct connection *connection = chunk->connection;
    struct nng_transport *transport = connection->transport;
    for (size_t offset = 0; offset < chunk->whole;) {
        struct bytes rest = bytes_of(chunk->data + offset, chunk->whole - offset);
        size_t length = frame_length(rest);
        transport_hears(transport, connection, bytes_of(rest.data, length));
        offset += length;
    }
    atomic_fetch_sub(&transport->queued, chunk->whole);
    give_chunk(transport, chunk);
}

/* Hands the whole frames over; what is left of the next one moves to a new chunk with room for it. */
static void pass_on(struct connection *connection, size_t whole, size_t need) {
    struct chunk *full = connection->chunk;
    size_t left = full->length - whole;
    connection->chunk = take_chunk(connection->transport, need);
    memcpy(connection->chunk->data, full->data + whole, left);
    connection->chunk->length = left;
    full->event.handle = handle_chunk;
    full->connection = connection;
    full->whole = whole;
    atomic_fetch_add(&connection->transport->queued, whole);
    combiner_queue(connection->transport->combiner, &full->event);
}

static void grow_chunk(struct connection *connection, size_t need) {
    if (connection->chunk->capacity >= need)
        return;
    connection->chunk = must_realloc(connection->chunk, sizeof(struct chunk) + need);
    connection->chunk->capacity = need;
}

/* False: the stream is being closed, and nothing was started. */
static bool start_receive(struct connection *connection) {
    struct chunk *chunk = connection->chunk;
    nng_iov space = {.iov_buf = chunk->data + chunk->length, .iov_len = chunk->capacity - chunk->length};
    (void)nng_aio_set_iov(connection->receive, 1, &space);
    pthread_mutex_lock(&connection->transport->lock);
    bool open = !connection->closing;
    if (open)
        nng_stream_recv(connection->stream, connection->receive);
    pthread_mutex_unlock(&connection->transport->lock);
    return open;
}

static bool take_bytes(struct connection *connection) {
    if (nng_aio_result(connection->receive) != 0)
        return false; /* the peer is gone, or we closed */
    connection->chunk->length += nng_aio_count(connection->receive);
    size_t whole = 0;
    size_t need = 0;
    bool sound = measure(connection->chunk, &whole, &need);
    if (!sound || atomic_load(&connection->transport->queued) > QUEUED_LIMIT) {
        LOG_WARN("bus peer dropped", F_STR("socket", connection->transport->url),
                 F_STR("reason", sound ? "it sends beyond its credit" : "garbage instead of a frame"));
        return false;
    }
    if (whole > 0)
        pass_on(connection, whole, need);
    else
        grow_chunk(connection, need);
    return true;
}

static void received(void *context) {
    struct connection *connection = context;
    struct combiner *combiner = connection->transport->combiner;
    if (!take_bytes(connection) || !start_receive(connection))
        end_of_stream(connection);
    combiner_run(combiner);
}

/* --- sending: inside the combiner --- */

/* How many bytes the kernel took at once; -1: the stream is broken. */
static int64_t send_now(struct connection *connection, struct bytes frame) {
    nng_aio *aio = connection->send;
    nng_iov iov = {.iov_buf = (void *)(uintptr_t)frame.data, .iov_len = frame.length};
    (void)nng_aio_set_iov(aio, 1, &iov);
    nng_stream_send(connection->stream, aio);
    if (nng_aio_count(aio) < frame.length)
        nng_aio_cancel(
            aio); /* no effect on what is done: only a write that waits for the kernel is withdrawn */
    nng_aio_wait(aio);
    int error = nng_aio_result(aio);
    if (error == NNG_ECANCELED)
        return 0;
    return error == 0 ? (int64_t)nng_aio_count(aio) : -1;
}

/* False: the stream is being closed. */
static bool start_resume(struct connection *connection) {
    if (connection->flown == connection->flying.length) {
        struct buffer empty = connection->flying;
        buffer_reset(&empty, UNSENT_KEEP);
        connection->flying = connection->waiting;
        connection->waiting = empty;
        connection->flown = 0;
    }
    nng_iov iov = {.iov_buf = connection->flying.data + connection->flown,
                   .iov_len = connection->flying.length - connection->flown};
    (void)nng_aio_set_iov(connection->resume, 1, &iov);
    pthread_mutex_lock(&connection->transport->lock);
    connection->resuming = !connection->closing;
    if (connection->resuming)
        nng_stream_send(connection->stream, connection->resume);
    pthread_mutex_unlock(&connection->transport->lock);
    return connection->resuming;
}

static bool has_unsent(const struct connection *connection) {
    return connection->flown < connection->flying.length || connection->waiting.length > 0;
}

static void handle_resumed(struct combiner_event *event) {
    struct connection *connection =
        (struct connection *)((char *)event - offsetof(struct connection, resumed));
    connection->resuming = false;
    if (nng_aio_result(connection->resume) != 0) {
        close_unlocked(connection);
    } else {
        connection->flown += nng_aio_count(connection->resume);
        if (has_unsent(connection))
            (void)start_resume(connection);
    }
    free_if_over(connection);
}

static void resumed(void *context) {
    struct connection *connection = context;
    struct combiner *combiner = connection->transport->combiner;
    combiner_queue(combiner, &connection->resumed);
    combiner_run(combiner);
}

bool connection_send(struct connection *connection, struct bytes frame) {
    if (has_unsent(connection)) {
        buffer_append_bytes(&connection->waiting, frame);
        if (connection->waiting.length <= UNSENT_LIMIT)
            return true;
        close_unlocked(connection);
        return false;
    }
    int64_t sent = send_now(connection, frame);
    if (sent == (int64_t)frame.length)
        return true;
    if (sent >= 0) {
        size_t done = (size_t)sent;
        buffer_append(&connection->waiting, frame.data + done, frame.length - done);
        if (start_resume(connection))
            return true;
    }
    close_unlocked(connection);
    return false;
}

/* --- the beginning --- */

static void handle_begin(struct combiner_event *event) {
    struct connection *connection = (struct connection *)((char *)event - offsetof(struct connection, begin));
    transport_begins(connection->transport, connection);
}

struct connection *connection_new(struct nng_transport *transport, nng_stream *stream) {
    struct connection *connection = must_zalloc(sizeof *connection);
    connection->transport = transport;
    connection->stream = stream;
    connection->begin.handle = handle_begin;
    connection->end.handle = handle_end;
    connection->resumed.handle = handle_resumed;
    connection->chunk = chunk_new(CHUNK_SIZE);
    if (nng_aio_alloc(&connection->receive, received, connection) != 0 ||
        nng_aio_alloc(&connection->send, NULL, NULL) != 0 ||
        nng_aio_alloc(&connection->resume, resumed, connection) != 0)
        PANIC("out of memory");
    combiner_queue(transport->combiner, &connection->begin);
    nng_iov space = {.iov_buf = connection->chunk->data, .iov_len = connection->chunk->capacity};
    (void)nng_aio_set_iov(connection->receive, 1, &space);
    nng_stream_recv(stream, connection->receive);
    return connection;
}
