/* health_service: grpc.health.v1.Health. HealthCheckRequest{service=1}, HealthCheckResponse{status=1}. */
#include "common/wire.h"
#include "proxy/server.h"
#include "proxy/services.h"

enum { HEALTH_SERVING = 1, HEALTH_SERVICE_UNKNOWN = 3 };

static bool service_name(const struct rpc_stream *stream, struct bytes *name) {
    struct wire_reader reader = wire_reader_of(buffer_bytes(&stream->request));
    struct wire_field field;
    *name = (struct bytes){0};
    while (wire_next(&reader, &field)) {
        if (field.number == 1 && field.type != WIRE_BYTES)
            return false;
        if (field.number == 1)
            *name = field.bytes;
    }
    return !reader.malformed;
}

static void reply(struct rpc_stream *stream, uint8_t status) {
    const uint8_t body[] = {1 << 3, status};
    rpc_reply(stream, (struct bytes){0}, bytes_of(body, sizeof body));
}

void health_check(struct rpc_stream *stream) {
    struct bytes name;
    if (!service_name(stream, &name)) {
        rpc_fail_undecodable(stream);
    } else if (name.length != 0) {
        struct grpc_failure failure;
        grpc_fail(&failure, GRPC_NOT_FOUND, "unknown service");
        rpc_fail(stream, &failure);
    } else {
        reply(stream, HEALTH_SERVING);
        rpc_end(stream, STATUS_OK);
    }
}

/* Serving never changes while we can say so: the stream stays open until the client or we leave. */
void health_watch(struct rpc_stream *stream) {
    struct bytes name;
    if (!service_name(stream, &name))
        rpc_fail_undecodable(stream);
    else
        reply(stream, name.length == 0 ? HEALTH_SERVING : HEALTH_SERVICE_UNKNOWN);
}
