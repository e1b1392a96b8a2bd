/*
 * status_service: Maintenance.Status: what raft knows (term, index, leader) and what apply knows (sizes,
 * revision), asked in parallel and merged into etcd's StatusResponse. Field numbers: etcd-api.md 1.2; of the
 * daemons' answers: proto/bus.proto.
 */
#include <stdlib.h>

#include "common/wire.h"
#include "proxy/server.h"
#include "proxy/services.h"

#define STATUS_VERSION "3.7.1"
#define STORAGE_VERSION "3.7.0"

enum { NUMBERS = 16 };

/* One daemon's answer: varint fields by number. */
struct daemon_answer {
    struct proxy_call call;
    struct status_calls *owner;
    uint64_t numbers[NUMBERS];
};

struct status_calls {
    struct rpc_stream *stream;
    struct daemon_answer raft, apply;
    unsigned waiting;
    uint16_t status; /* the first failure */
};

/* BusRaftStatus and BusApplyStatus */
enum { RAFT_ROLE = 1, RAFT_TERM = 2, RAFT_LEADER_ID = 3, RAFT_LAST = 7 };
enum { APPLY_INDEX = 1, APPLY_REVISION = 3, APPLY_SIZE = 4, APPLY_SIZE_IN_USE = 5, APPLY_QUOTA = 6 };

static void put_text(struct buffer *out, uint32_t number, const char *text) {
    wire_put_bytes(out, number, bytes_from_text(text));
}

static void put_body(const struct status_calls *calls, struct buffer *out) {
    const uint64_t *raft = calls->raft.numbers;
    const uint64_t *apply = calls->apply.numbers;
    put_text(out, 2, STATUS_VERSION);
    wire_put_uint64(out, 3, apply[APPLY_SIZE]);
    wire_put_uint64(out, 4, raft[RAFT_LEADER_ID]);
    wire_put_uint64(out, 5, raft[RAFT_LAST]);
    wire_put_uint64(out, 6, raft[RAFT_TERM]);
    wire_put_uint64(out, 7, apply[APPLY_INDEX]);
    if (raft[RAFT_LEADER_ID] == 0)
        put_text(out, 8, status_message(STATUS_NO_LEADER));
    wire_put_uint64(out, 9, apply[APPLY_SIZE_IN_USE]);
    wire_put_bool(out, 10, raft[RAFT_ROLE] == RAFT_LEARNER);
    put_text(out, 11, STORAGE_VERSION);
    wire_put_uint64(out, 12, apply[APPLY_QUOTA]);
    wire_put_bytes_always(out, 13, (struct bytes){0});
}

static void drop(struct rpc_stream *stream) {
    free(stream->status);
    stream->status = NULL;
}

static void finish(struct status_calls *calls) {
    struct rpc_stream *stream = calls->stream;
    uint16_t status = calls->status;
    if (status == STATUS_OK) {
        struct buffer head = {0};
        struct buffer body = {0};
        rpc_put_header(stream, &head, calls->apply.numbers[APPLY_REVISION]);
        put_body(calls, &body);
        rpc_reply(stream, buffer_bytes(&head), buffer_bytes(&body));
        buffer_free(&head);
        buffer_free(&body);
    }
    drop(stream);
    rpc_end(stream, status);
}

static void take_answer(struct proxy_call *call, const struct proxy_result *result) {
    struct daemon_answer *answer = (struct daemon_answer *)(void *)call; /* its first member */
    struct status_calls *calls = answer->owner;
    struct wire_reader reader = wire_reader_of(result->body);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number < NUMBERS && field.type == WIRE_VARINT)
            answer->numbers[field.number] = field.value;
    }
    if (calls->status == STATUS_OK)
        calls->status = result->status;
    if (--calls->waiting == 0)
        finish(calls);
}

static void ask(struct status_calls *calls, struct daemon_answer *answer, enum proxy_route route) {
    struct rpc_stream *stream = calls->stream;
    answer->owner = calls;
    answer->call = (struct proxy_call){
        .route = route, .method = METHOD_STATUS, .deadline_us = stream->deadline_us, .result = take_answer};
    proxy_role_call(stream->server->role, &answer->call, stream->server->now_us);
}

void maintenance_status(struct rpc_stream *stream) {
    struct status_calls *calls = must_zalloc(sizeof *calls);
    stream->status = calls;
    calls->stream = stream;
    calls->waiting = 3; /* one of them our own, until both are asked */
    ask(calls, &calls->raft, PROXY_CLUSTER);
    ask(calls, &calls->apply, PROXY_SERIALIZABLE_READ);
    if (--calls->waiting == 0)
        finish(calls);
}

void maintenance_status_abandon(struct rpc_stream *stream) {
    if (stream->status == NULL)
        return;
    proxy_role_cancel(stream->server->role, &stream->status->raft.call);
    proxy_role_cancel(stream->server->role, &stream->status->apply.call);
    drop(stream);
}
