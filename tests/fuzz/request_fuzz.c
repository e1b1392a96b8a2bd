/*
 * request_fuzz: whatever bytes a client sends, the checks and decoders of requests, gRPC's framing and the
 * HTTP/1.1 parser answer and touch nothing else. The first byte picks what the rest is fed to.
 */
#include "common/wire.h"
#include "proxy/grpc_message.h"
#include "proxy/http1.h"
#include "proxy/request_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(struct bytes input) {
    struct grpc_reader reader = {0};
    struct buffer message = {0};
    struct grpc_failure failure;
    enum grpc_read read = GRPC_READ_MORE;
    while (read == GRPC_READ_MORE && input.length > 0)
        read = grpc_reader_feed(&reader, &input, &message, 1 << 16, &failure);
    if (read == GRPC_READ_COMPLETE && grpc_reader_compressed(&reader))
        (void)grpc_gunzip(&message, 1 << 16, &failure);
    buffer_free(&message);
}

static void page(struct bytes input) {
    struct http1_request request;
    if (http1_parse(input, &request) != HTTP1_REQUEST)
        return;
    REQUIRE(request.length <= input.length);
    struct bytes name;
    struct bytes value;
    while (http1_next_parameter(&request.query, &name, &value))
        REQUIRE(name.length > 0);
}

static void watch(struct bytes input) {
    struct watch_request request;
    struct watch_create_request create;
    int64_t watch_id;
    if (!watch_request_decode(input, &request))
        return;
    (void)watch_create_request_decode(request.body, &create);
    (void)watch_cancel_request_decode(request.body, &watch_id);
}

static void lease(struct bytes input) {
    struct lease_request request;
    struct lease_checkpoint checkpoint;
    struct wire_reader reader = wire_reader_of(input);
    (void)lease_grant_request_decode(input, &request);
    (void)lease_request_decode(input, &request);
    while (lease_checkpoint_next(&reader, &checkpoint)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    enum proxy_route route;
    uint64_t timeout;
    struct grpc_failure failure;
    switch (data[0] % 12) {
    case 7:
        frame(input);
        break;
    case 8:
        page(input);
        break;
    case 9:
        (void)grpc_parse_timeout(input, &timeout, &failure);
        break;
    case 10:
        watch(input);
        break;
    case 11:
        lease(input);
        break;
    case 0:
        break;
    default:
        (void)request_check(data[0] % 12, input, data[0] >= 128 ? 100000 : 128, &route);
    }
    return 0;
}
