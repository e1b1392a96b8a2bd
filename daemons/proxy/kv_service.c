/*
 * kv_service: etcdserverpb.KV, and Cluster.MemberList, which takes the same way: check, hand to the role, put
 * the ResponseHeader in front of what comes back.
 */
#include "common/wire.h"
#include "proxy/request_check.h"
#include "proxy/server.h"
#include "proxy/services.h"

#define PHYSICAL_COMPACTION_US UINT64_C(600000000)

/*
 * One RangeStreamResponse: the part that carries the header gets it as field 1 of the RangeResponse inside
 * (field 1 of the message).
 */
static void take_stream_part(struct proxy_call *call, const struct proxy_result *result) {
    struct rpc_stream *stream = rpc_of_call(call);
    if (result->status != STATUS_OK) {
        rpc_end(stream, result->status);
        return;
    }
    stream->parts = true;
    if (!result->header) {
        rpc_reply(stream, (struct bytes){0}, result->body);
    } else {
        struct wire_reader reader = wire_reader_of(result->body);
        struct wire_field field = {0};
        struct bytes inner = {0};
        if (wire_next(&reader, &field) && field.number == 1)
            inner = field.bytes;
        struct buffer header = {0};
        rpc_put_header(stream, &header, result->revision);
        struct buffer *head = unary_scratch(stream);
        wire_put_message_head(head, 1, header.length + inner.length);
        buffer_append_bytes(head, buffer_bytes(&header));
        rpc_reply(stream, buffer_bytes(head), inner);
        buffer_free(&header);
    }
    if (!result->more)
        rpc_end(stream, STATUS_OK);
}

static uint16_t method_of(uint8_t rpc) {
    switch (rpc) {
    case RPC_KV_RANGE:
        return METHOD_RANGE;
    case RPC_KV_RANGE_STREAM:
        return METHOD_RANGE_STREAM;
    case RPC_KV_PUT:
        return METHOD_PUT;
    case RPC_KV_DELETE_RANGE:
        return METHOD_DELETE_RANGE;
    case RPC_KV_TXN:
        return METHOD_TXN;
    default:
        return METHOD_COMPACT;
    }
}

/* The work of a physical compaction has no limit in etcd; this one only keeps a lost call from staying. */
static uint64_t limit_of(uint16_t method, struct bytes request) {
    struct compaction_request compaction;
    bool physical =
        method == METHOD_COMPACT && compaction_request_decode(request, &compaction) && compaction.physical;
    return physical ? PHYSICAL_COMPACTION_US : 0;
}

void kv_serve(struct rpc_stream *stream) {
    uint16_t method = method_of(stream->rpc);
    enum proxy_route route = PROXY_WRITE;
    uint16_t status = request_check(method, buffer_bytes(&stream->request),
                                    stream->server->config->max_txn_operations, &route);
    if (status == STATUS_UNDECODABLE) {
        rpc_fail_undecodable(stream);
    } else if (status != STATUS_OK) {
        rpc_end(stream, status);
    } else {
        stream->call.limit_us = limit_of(method, buffer_bytes(&stream->request));
        unary_call(stream, route, method, method == METHOD_RANGE_STREAM ? take_stream_part : unary_result);
    }
}

/* Cluster headers carry no revision. */
void cluster_serve(struct rpc_stream *stream) {
    unary_call(stream, PROXY_CLUSTER, METHOD_MEMBER_LIST, unary_result_without_revision);
}

/* Alarms are read from replicated state like a key; changing them is not served yet. */
void maintenance_alarm(struct rpc_stream *stream) {
    struct alarm_request request;
    if (!alarm_request_decode(buffer_bytes(&stream->request), &request)) {
        rpc_fail_undecodable(stream);
    } else if (request.action != 0) {
        rpc_end(stream, STATUS_UNIMPLEMENTED);
    } else {
        unary_call(stream, PROXY_LINEARIZABLE_READ, METHOD_ALARM, unary_result);
    }
}
