/* rpc: see rpc.h. The table of paths and who serves them. */
#include "proxy/rpc.h"

#include "common/metrics.h"
#include "proxy/server.h"
#include "proxy/services.h"

static const struct {
    const char *path;
    uint8_t length;
    bool unary;
} rows[RPC_COUNT] = {
#define RPC_ROW(name, service, method, type)                                                                 \
    {"/" service "/" method, sizeof("/" service "/" method) - 1, sizeof(type) == sizeof("unary")},
    RPC_TABLE(RPC_ROW)
#undef RPC_ROW
};

/* NULL: this release does not serve it. */
static void (*const services[RPC_COUNT])(struct rpc_stream *stream) = {
    [RPC_KV_RANGE] = kv_serve,
    [RPC_KV_RANGE_STREAM] = kv_serve,
    [RPC_KV_PUT] = kv_serve,
    [RPC_KV_DELETE_RANGE] = kv_serve,
    [RPC_KV_TXN] = kv_serve,
    [RPC_KV_COMPACT] = kv_serve,
    [RPC_LEASE_LEASE_GRANT] = lease_grant,
    [RPC_LEASE_LEASE_REVOKE] = lease_revoke,
    [RPC_LEASE_LEASE_TIME_TO_LIVE] = lease_read,
    [RPC_LEASE_LEASE_LEASES] = lease_read,
    [RPC_CLUSTER_MEMBER_LIST] = cluster_serve,
    [RPC_MAINTENANCE_ALARM] = maintenance_alarm,
    [RPC_MAINTENANCE_STATUS] = maintenance_status,
    [RPC_HEALTH_CHECK] = health_check,
    [RPC_HEALTH_WATCH] = health_watch,
};

static const struct rpc_stream_service *const stream_services[RPC_COUNT] = {
    [RPC_WATCH_WATCH] = &watch_service,
    [RPC_LEASE_LEASE_KEEP_ALIVE] = &lease_keepalive_service,
};

static bool is_path(unsigned rpc, struct bytes path) {
    return rows[rpc].length == path.length && memcmp(rows[rpc].path, path.data, path.length) == 0;
}

uint8_t rpc_find(struct bytes path, uint8_t likely) {
    if (likely < RPC_COUNT && is_path(likely, path))
        return likely;
    for (unsigned rpc = 0; rpc < RPC_COUNT; rpc++) {
        if (is_path(rpc, path))
            return (uint8_t)rpc;
    }
    return RPC_UNKNOWN;
}

bool rpc_is_unary(uint8_t rpc) {
    return rpc < RPC_COUNT && rows[rpc].unary;
}

bool rpc_is_served(uint8_t rpc) {
    return rpc < RPC_COUNT && (services[rpc] != NULL || stream_services[rpc] != NULL);
}

const struct rpc_stream_service *rpc_stream_service(uint8_t rpc) {
    return rpc < RPC_COUNT ? stream_services[rpc] : NULL;
}

/* True when we serve any method of the service whose path begins with these bytes ("/service/"). */
static bool is_service(struct bytes prefix) {
    for (unsigned rpc = 0; rpc < RPC_COUNT; rpc++) {
        if (rows[rpc].length > prefix.length && memcmp(rows[rpc].path, prefix.data, prefix.length) == 0)
            return true;
    }
    return false;
}

void rpc_unknown(const struct rpc_stream *stream, struct grpc_failure *failure) {
    struct bytes path = stream->rpc == RPC_UNKNOWN
                            ? buffer_bytes(&stream->path)
                            : bytes_of(rows[stream->rpc].path, rows[stream->rpc].length);
    const uint8_t *slash = path.length > 1 ? memrchr(path.data + 1, '/', path.length - 1) : NULL;
    if (slash == NULL || path.data[0] != '/') {
        grpc_fail(failure, GRPC_UNIMPLEMENTED, "malformed method name: \"%.*s\"", (int)path.length,
                  path.length == 0 ? "" : (const char *)path.data);
        return;
    }
    int service_length = (int)(slash - path.data) - 1;
    int method_length = (int)(path.data + path.length - slash) - 1;
    const char *service = (const char *)path.data + 1;
    if (is_service(bytes_of(path.data, (size_t)service_length + 2)))
        grpc_fail(failure, GRPC_UNIMPLEMENTED, "unknown method %.*s for service %.*s", method_length,
                  (const char *)slash + 1, service_length, service);
    else
        grpc_fail(failure, GRPC_UNIMPLEMENTED, "unknown service %.*s", service_length, service);
}

void rpc_dispatch(struct rpc_stream *stream) {
    server_count_messages(stream->server, stream->rpc, 1, 0);
    services[stream->rpc](stream);
}

void rpc_close_service(struct rpc_stream *stream) {
    if (!stream->open)
        return;
    stream->open = false;
    stream->service->close(stream);
}

void rpc_abandon(struct rpc_stream *stream) {
    rpc_close_service(stream);
    proxy_role_cancel(stream->server->role, &stream->call);
    maintenance_status_abandon(stream);
    if (stream->started && !stream->ended)
        metric_rpc_handled(stream->rpc, GRPC_CANCELLED);
}

void rpc_put_header(const struct rpc_stream *stream, struct buffer *out, uint64_t revision) {
    proxy_role_put_header(stream->server->role, out, revision);
}
