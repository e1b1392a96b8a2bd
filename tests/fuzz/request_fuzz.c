/*
 * request_fuzz: whatever bytes a client sends, the checks of requests, gRPC's framing and the HTTP/1.1 parser
 * answer and touch nothing else. The first byte picks what the rest is fed to.
 */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    enum proxy_route route;
    uint64_t timeout;
    struct grpc_failure failure;
    switch (data[0] % 10) {
    case 7:
        frame(input);
        break;
    case 8:
        page(input);
        break;
    case 9:
        (void)grpc_parse_timeout(input, &timeout, &failure);
        break;
    case 0:
        break;
    default:
        (void)request_check(data[0] % 10, input, data[0] >= 128 ? 100000 : 128, &route);
    }
    return 0;
}
