/* grpc_message: see grpc_message.h. The texts are grpc-go's. */
#include "proxy/grpc_message.h"

#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, INFLATE_STEP = 64 * 1024 };

void grpc_fail(struct grpc_failure *failure, enum grpc_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    failure->code = code;
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
}

static uint32_t body_length(const struct grpc_reader *reader) {
    const uint8_t *p = reader->prefix + 1;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool check_prefix(const struct grpc_reader *reader, uint32_t limit, struct grpc_failure *failure) {
    if (reader->prefix[0] > 1) {
        grpc_fail(failure, GRPC_INTERNAL, "grpc: received unexpected payload format %u", reader->prefix[0]);
        return false;
    }
    if (body_length(reader) > limit) {
        grpc_fail(failure, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%u vs. %u)",
                  body_length(reader), limit);
        return false;
    }
    return true;
}

static size_t take(struct bytes *data, void *out, size_t wanted) {
    size_t taken = wanted < data->length ? wanted : data->length;
    if (taken > 0)
        memcpy(out, data->data, taken);
    *data = bytes_of(data->data + taken, data->length - taken);
    return taken;
}

enum grpc_read grpc_reader_feed(struct grpc_reader *reader, struct bytes *data, struct buffer *message,
                                uint32_t limit, struct grpc_failure *failure) {
    if (reader->prefix_have < GRPC_PREFIX) {
        if (data->length == 0)
            return GRPC_READ_MORE;
        size_t got = take(data, reader->prefix + reader->prefix_have, GRPC_PREFIX - reader->prefix_have);
        reader->prefix_have = (uint8_t)(reader->prefix_have + got);
        if (reader->prefix_have < GRPC_PREFIX)
            return GRPC_READ_MORE;
        if (!check_prefix(reader, limit, failure))
            return GRPC_READ_FAILED;
    }
    /* The buffer grows with what arrives, not by what the prefix promises. */
    size_t missing = body_length(reader) - message->length;
    size_t now = missing < data->length ? missing : data->length;
    if (now > 0)
        message->length += take(data, buffer_reserve(message, now), now);
    reader->complete = now == missing;
    return reader->complete ? GRPC_READ_COMPLETE : GRPC_READ_MORE;
}

void grpc_reader_ended(const struct grpc_reader *reader, struct grpc_failure *failure) {
    grpc_fail(failure, GRPC_INTERNAL, "%s", reader->prefix_have == 0 ? "EOF" : "unexpected EOF");
}

static bool inflate_all(z_stream *zip, struct buffer *out, uint32_t limit, struct grpc_failure *failure) {
    int result = Z_OK;
    while (result == Z_OK) {
        zip->next_out = buffer_reserve(out, INFLATE_STEP);
        zip->avail_out = INFLATE_STEP;
        result = inflate(zip, Z_NO_FLUSH);
        out->length += INFLATE_STEP - zip->avail_out;
        if (out->length > limit) {
            grpc_fail(failure, GRPC_RESOURCE_EXHAUSTED,
                      "grpc: received message after decompression larger than max %u", limit);
            return false;
        }
    }
    if (result == Z_STREAM_END)
        return true;
    grpc_fail(failure, GRPC_INTERNAL, "grpc: failed to decompress the received message: %s",
              result == Z_BUF_ERROR ? "unexpected EOF" : "gzip: invalid header");
    return false;
}

bool grpc_gunzip(struct buffer *message, uint32_t limit, struct grpc_failure *failure) {
    z_stream zip = {.next_in = message->data, .avail_in = (uInt)message->length};
    REQUIRE(inflateInit2(&zip, GZIP_WINDOW) == Z_OK);
    struct buffer plain = {0};
    bool good = inflate_all(&zip, &plain, limit, failure);
    inflateEnd(&zip);
    buffer_free(message);
    *message = plain;
    return good;
}

void grpc_gzip(struct bytes plain, struct buffer *out) {
    z_stream zip = {0};
    REQUIRE(deflateInit2(&zip, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    uLong bound = deflateBound(&zip, plain.length);
    union {
        const uint8_t *in;
        Bytef *zlib; /* zlib's older interface lacks the const */
    } input = {.in = plain.data};
    zip.next_in = input.zlib;
    zip.avail_in = (uInt)plain.length;
    zip.next_out = buffer_reserve(out, bound);
    zip.avail_out = (uInt)bound;
    REQUIRE(deflate(&zip, Z_FINISH) == Z_STREAM_END);
    out->length += bound - zip.avail_out;
    deflateEnd(&zip);
}

void grpc_write_prefix(uint8_t out[GRPC_PREFIX], bool compressed, uint32_t length) {
    out[0] = compressed;
    out[1] = (uint8_t)(length >> 24);
    out[2] = (uint8_t)(length >> 16);
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
}

/* Nanoseconds in a unit; 0: no unit. */
static uint64_t unit_ns(uint8_t unit) {
    switch (unit) {
    case 'H':
        return UINT64_C(3600000000000);
    case 'M':
        return UINT64_C(60000000000);
    case 'S':
        return UINT64_C(1000000000);
    case 'm':
        return 1000000;
    case 'u':
        return 1000;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

static bool bad_timeout(struct grpc_failure *failure, const char *reason, struct bytes text) {
    grpc_fail(failure, GRPC_INTERNAL, "malformed grpc-timeout: %s: \"%.*s\"", reason,
              (int)(text.length < 32 ? text.length : 32), (const char *)text.data);
    return false;
}

bool grpc_parse_timeout(struct bytes text, uint64_t *timeout_us, struct grpc_failure *failure) {
    if (text.length < 2)
        return bad_timeout(failure, "transport: timeout string is too short", text);
    if (text.length > 9)
        return bad_timeout(failure, "transport: timeout string is too long", text);
    uint64_t unit = unit_ns(text.data[text.length - 1]);
    if (unit == 0)
        return bad_timeout(failure, "transport: timeout unit is not recognized", text);
    uint64_t number = 0;
    for (size_t i = 0; i + 1 < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return bad_timeout(failure, "invalid syntax", text);
        number = number * 10 + (text.data[i] - '0');
    }
    *timeout_us = unit >= 1000 ? number * (unit / 1000) : (number + 999) / 1000;
    return true;
}

void grpc_percent_encode(const char *text, struct buffer *out) {
    for (const char *at = text; *at != '\0'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (byte >= ' ' && byte <= '~' && byte != '%')
            buffer_append_byte(out, byte);
        else
            buffer_printf(out, "%%%02X", byte);
    }
}
