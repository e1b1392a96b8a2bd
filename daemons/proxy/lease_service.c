/*
 * lease_service: etcdserverpb.Lease but for LeaseKeepAlive. Grant and Revoke go through the log; TimeToLive
 * and Leases are asked of apply, which knows where the clocks run.
 *
 * What every member has to decide alike is decided here, before the log: the id of a lease whose client
 * leaves it to us, and the shortest TTL.
 */
#include "common/wire.h"
#include "proxy/server.h"
#include "proxy/services.h"

#define LEASE_TTL_LIMIT INT64_C(9000000000)

/* etcd's minimum: one and a half election timeouts, in whole heartbeats, rounded up to seconds. */
static int64_t least_ttl(const struct config *config) {
    uint64_t election_ticks = config->election_timeout / config->heartbeat_interval;
    uint64_t least_ms = 3 * election_ticks / 2 * config->heartbeat_interval;
    return (int64_t)((least_ms + 999) / 1000);
}

static void complete(struct lease_request *request, struct server *server) {
    int64_t least = least_ttl(server->config);
    if (request->ttl < least)
        request->ttl = least;
    while (request->id == 0)
        request->id = proxy_role_unique_id(server->role);
}

void lease_grant(struct rpc_stream *stream) {
    struct lease_request request;
    if (!lease_grant_request_decode(buffer_bytes(&stream->request), &request)) {
        rpc_fail_undecodable(stream);
    } else if (request.ttl > LEASE_TTL_LIMIT) {
        rpc_end(stream, STATUS_LEASE_TTL_TOO_LARGE);
    } else {
        complete(&request, stream->server);
        buffer_reset(&stream->request, RPC_BUFFER_KEEP);
        wire_put_int64(&stream->request, 1, request.ttl);
        wire_put_int64(&stream->request, 2, request.id);
        unary_call(stream, PROXY_WRITE, METHOD_LEASE_GRANT, unary_result);
    }
}

void lease_revoke(struct rpc_stream *stream) {
    struct lease_request request;
    if (lease_request_decode(buffer_bytes(&stream->request), &request))
        unary_call(stream, PROXY_WRITE, METHOD_LEASE_REVOKE, unary_result);
    else
        rpc_fail_undecodable(stream);
}

/* LeaseLeasesRequest has no fields: whatever is in one is unknown and ignored. */
static bool is_message(struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
    }
    return !reader.malformed;
}

void lease_read(struct rpc_stream *stream) {
    bool leases = stream->rpc == RPC_LEASE_LEASE_LEASES;
    struct bytes message = buffer_bytes(&stream->request);
    struct lease_request request;
    if (leases ? is_message(message) : lease_request_decode(message, &request))
        unary_call(stream, PROXY_SERIALIZABLE_READ, leases ? METHOD_LEASE_LEASES : METHOD_LEASE_TIME_TO_LIVE,
                   unary_result);
    else
        rpc_fail_undecodable(stream);
}
