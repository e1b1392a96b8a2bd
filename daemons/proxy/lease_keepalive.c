/*
 * lease_keepalive: etcdserverpb.Lease/LeaseKeepAlive: each message is a question to apply; the answers go out
 * in the order of the messages.
 *
 * Many leases share a stream, so many questions are under way at once, at most KEEPALIVES of a stream; then
 * the stream is held, as it is while its client does not take the answers. Questions are pooled by the
 * server: a renewal allocates nothing.
 *
 * A lease that does not exist is an ordinary answer (TTL 0). A question that fails ends the stream with its
 * status, behind the answers to those before it; those after it are not answered, as in etcd, which takes one
 * after the other.
 */
#include "proxy/lease_keepalive.h"

#include <stdlib.h>

#include "common/wire.h"
#include "proxy/server.h"
#include "proxy/services.h"

enum {
    KEEPALIVES = 128,
    REQUEST_BYTES = 11, /* ID */
    ANSWER_BYTES = 32,  /* ID and TTL, with room */
    POOL = 4096,
};

struct keepalive {
    struct proxy_call call;
    struct keepalive *next; /* behind it in its stream, or in the pool */
    struct rpc_stream *stream;
    bool answered;
    uint16_t status;
    uint64_t revision;
    uint8_t request[REQUEST_BYTES];
    uint8_t answer_length;
    uint8_t answer[ANSWER_BYTES];
};

/* Of one stream: its questions, first in first out. */
struct keepalives {
    struct keepalive *head, **tail;
    unsigned count;
};

/* --- the pool --- */

static struct keepalive *take(struct keepalive_pool *pool) {
    struct keepalive *keepalive = pool->free;
    if (keepalive == NULL)
        return must_alloc(sizeof *keepalive);
    pool->free = keepalive->next;
    pool->count--;
    return keepalive;
}

static void give(struct keepalive_pool *pool, struct keepalive *keepalive) {
    if (pool->count >= POOL) {
        free(keepalive);
        return;
    }
    keepalive->next = pool->free;
    pool->free = keepalive;
    pool->count++;
}

void keepalive_pool_free(struct keepalive_pool *pool) {
    while (pool->free != NULL) {
        struct keepalive *keepalive = pool->free;
        pool->free = keepalive->next;
        free(keepalive);
    }
    pool->count = 0;
}

/* --- answers --- */

static void drop_first(struct rpc_stream *stream, struct keepalives *all) {
    struct keepalive *first = all->head;
    all->head = first->next;
    if (all->head == NULL)
        all->tail = &all->head;
    all->count--;
    give(&stream->server->keepalives, first);
}

static void drop_all(struct rpc_stream *stream, struct keepalives *all) {
    while (all->head != NULL) {
        proxy_role_cancel(stream->server->role, &all->head->call);
        drop_first(stream, all);
    }
}

static void reply(struct rpc_stream *stream, uint64_t revision, struct bytes answer) {
    struct buffer *out = rpc_begin(stream);
    rpc_put_header(stream, out, revision);
    buffer_append_bytes(out, answer);
    rpc_commit(stream);
}

static bool may_go_on(const struct rpc_stream *stream, const struct keepalives *all) {
    return all->count <= KEEPALIVES / 2 && rpc_backlog(stream) < RPC_BACKLOG_LOW;
}

/* Sends what is answered and has nothing unanswered before it. */
static void send_answered(struct rpc_stream *stream) {
    struct keepalives *all = stream->state;
    while (all->head != NULL && all->head->answered) {
        const struct keepalive *first = all->head;
        uint16_t status = first->status;
        if (status != STATUS_OK) {
            drop_all(stream, all);
            rpc_end(stream, status);
            return;
        }
        reply(stream, first->revision, bytes_of(first->answer, first->answer_length));
        drop_first(stream, all);
    }
    if (stream->half_closed && all->head == NULL)
        rpc_end(stream, STATUS_OK);
    else if (stream->held && may_go_on(stream, all))
        rpc_resume(stream);
}

static void take_result(struct proxy_call *call, const struct proxy_result *result) {
    struct keepalive *keepalive = (struct keepalive *)(void *)call; /* its first member */
    REQUIRE(result->body.length <= ANSWER_BYTES);
    keepalive->answered = true;
    keepalive->status = result->status;
    keepalive->revision = result->revision;
    keepalive->answer_length = (uint8_t)result->body.length;
    if (result->body.length > 0)
        memcpy(keepalive->answer, result->body.data, result->body.length);
    const struct keepalives *all = keepalive->stream->state;
    if (all->head == keepalive)
        send_answered(keepalive->stream);
}

/* --- the stream --- */

static void open_keepalives(struct rpc_stream *stream) {
    struct keepalives *all = must_zalloc(sizeof *all);
    all->tail = &all->head;
    stream->state = all;
}

static void close_keepalives(struct rpc_stream *stream) {
    drop_all(stream, stream->state);
    free(stream->state);
    stream->state = NULL;
}

static size_t encode_request(int64_t id, uint8_t out[REQUEST_BYTES]) {
    size_t length = 0;
    uint64_t value = (uint64_t)id;
    out[length++] = 1 << 3;
    for (; value >= 0x80; value >>= 7)
        out[length++] = (uint8_t)(value | 0x80);
    out[length++] = (uint8_t)value;
    return length;
}

static void ask(struct rpc_stream *stream, int64_t id) {
    struct keepalives *all = stream->state;
    struct keepalive *keepalive = take(&stream->server->keepalives);
    keepalive->call = (struct proxy_call){
        .route = PROXY_SERIALIZABLE_READ, .method = METHOD_LEASE_KEEP_ALIVE, .result = take_result};
    keepalive->call.body = bytes_of(keepalive->request, encode_request(id, keepalive->request));
    keepalive->next = NULL;
    keepalive->stream = stream;
    keepalive->answered = false;
    *all->tail = keepalive;
    all->tail = &keepalive->next;
    if (++all->count >= KEEPALIVES || rpc_backlog(stream) >= RPC_BACKLOG_LOW)
        rpc_hold(stream);
    /* Last: it may end the stream at once. */
    proxy_role_call(stream->server->role, &keepalive->call, stream->server->now_us);
}

static void take_message(struct rpc_stream *stream, struct bytes message) {
    struct lease_request request;
    if (lease_request_decode(message, &request))
        ask(stream, request.id);
    else
        rpc_break_off_undecodable(stream);
}

static void take_half_close(struct rpc_stream *stream) {
    const struct keepalives *all = stream->state;
    if (all->head == NULL)
        rpc_end(stream, STATUS_OK);
}

static void take_drained(struct rpc_stream *stream) {
    if (stream->held && may_go_on(stream, stream->state))
        rpc_resume(stream);
}

const struct rpc_stream_service lease_keepalive_service = {
    .open = open_keepalives,
    .message = take_message,
    .half_closed = take_half_close,
    .drained = take_drained,
    .close = close_keepalives,
    .ends_without_leader = true,
};
