/*
 * grpc_message: gRPC's framing and header texts, without HTTP/2: a message is 5 bytes (compressed flag,
 * length) and its body. Pure.
 */
#ifndef QUORATE_PROXY_GRPC_MESSAGE_H
#define QUORATE_PROXY_GRPC_MESSAGE_H

#include "common/bytes.h"
#include "common/status.h"

enum { GRPC_PREFIX = 5 };

/* How an RPC ends when it is not well: code and text for grpc-status and grpc-message. */
struct grpc_failure {
    enum grpc_code code;
    char text[240];
};
void grpc_fail(struct grpc_failure *failure, enum grpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts a message together from fragments. Zero-initialised is ready for the first message. */
struct grpc_reader {
    uint8_t prefix[GRPC_PREFIX];
    uint8_t prefix_have;
    bool complete;
};
enum grpc_read { GRPC_READ_MORE, GRPC_READ_COMPLETE, GRPC_READ_FAILED };
/*
 * Takes what belongs to the current message from the front of *data and appends its body to message. limit:
 * of the body's length, checked as soon as the prefix is there. After COMPLETE: grpc_reader_next().
 */
enum grpc_read grpc_reader_feed(struct grpc_reader *reader, struct bytes *data, struct buffer *message,
                                uint32_t limit, struct grpc_failure *failure);
/* What is wrong when the client's side ends here. */
void grpc_reader_ended(const struct grpc_reader *reader, struct grpc_failure *failure);
static inline bool grpc_reader_compressed(const struct grpc_reader *reader) {
    return reader->prefix[0] != 0;
}
static inline void grpc_reader_next(struct grpc_reader *reader) {
    *reader = (struct grpc_reader){0};
}

/* Replaces the gzip data in message by what it holds; the result may have at most limit bytes. */
bool grpc_gunzip(struct buffer *message, uint32_t limit, struct grpc_failure *failure);
/* Appends the gzip form of plain to out. */
void grpc_gzip(struct bytes plain, struct buffer *out);

void grpc_write_prefix(uint8_t out[GRPC_PREFIX], bool compressed, uint32_t length);

/* grpc-timeout: at most 8 digits and one of H M S m u n. Microseconds, rounded up. False: failure says why.
 */
bool grpc_parse_timeout(struct bytes text, uint64_t *timeout_us, struct grpc_failure *failure);
/* grpc-message: percent-encodes all but printable ASCII without '%'. */
void grpc_percent_encode(const char *text, struct buffer *out);

#endif
