/*
 * membership_context: the JSON that etcd puts into the context of a membership change. See membership.h.
 *
 * A reader of its own because ids use all 64 bits, which the JSON libraries at hand lose. It reads what Go's
 * encoder writes; anything else (a number with a fraction as id, an overlong text) is refused, never guessed.
 */
#include "common/membership.h"

#include <inttypes.h>

enum { JSON_DEPTH_LIMIT = 8 };

static void put_json_text(struct buffer *out, const char *text) {
    buffer_append_byte(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            buffer_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == '<' || byte == '>' || byte == '&')
            buffer_printf(out, "\\u%04x", byte);
        else
            buffer_append_byte(out, byte);
    }
    buffer_append_byte(out, '"');
}

static void put_json_texts(struct buffer *out, const char *name, const char texts[][256], unsigned count) {
    buffer_printf(out, ",\"%s\":[", name);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(out, ',');
        put_json_text(out, texts[i]);
    }
    buffer_append_byte(out, ']');
}

void member_encode_context(const struct member *member, struct buffer *out) {
    buffer_printf(out, "{\"id\":%" PRIu64, member->id);
    put_json_texts(out, "peerURLs", member->peer_urls, member->peer_url_count);
    if (member->learner)
        buffer_printf(out, ",\"isLearner\":true");
    if (member->name[0] != '\0') {
        buffer_printf(out, ",\"name\":");
        put_json_text(out, member->name);
    }
    if (member->client_url_count > 0)
        put_json_texts(out, "clientURLs", member->client_urls, member->client_url_count);
    buffer_append_byte(out, '}');
}

struct json {
    const uint8_t *cursor, *end;
};

/* The next byte that is no white space, or 0 at the end. */
static uint8_t peek(struct json *json) {
    while (json->cursor < json->end && strchr(" \t\r\n", *json->cursor) != NULL && *json->cursor != 0)
        json->cursor++;
    return json->cursor < json->end ? *json->cursor : 0;
}

static bool take(struct json *json, uint8_t byte) {
    if (byte == 0 || peek(json) != byte)
        return false;
    json->cursor++;
    return true;
}

static bool read_hex4(struct json *json, uint32_t *value) {
    if (json->end - json->cursor < 4)
        return false;
    *value = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t byte = *json->cursor++;
        if (byte >= '0' && byte <= '9')
            *value = *value << 4 | (uint32_t)(byte - '0');
        else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f')
            *value = *value << 4 | (uint32_t)((byte | 0x20) - 'a' + 10);
        else
            return false;
    }
    return true;
}

static void put_utf8(struct buffer *out, uint32_t code) {
    if (code < 0x80) {
        buffer_append_byte(out, (uint8_t)code);
    } else if (code < 0x800) {
        buffer_append_byte(out, (uint8_t)(0xc0 | code >> 6));
        buffer_append_byte(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        buffer_append_byte(out, (uint8_t)(0xe0 | code >> 12));
        buffer_append_byte(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        buffer_append_byte(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        buffer_append_byte(out, (uint8_t)(0xf0 | code >> 18));
        buffer_append_byte(out, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
        buffer_append_byte(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        buffer_append_byte(out, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* After "\u": one code point, which may take a second escape. */
static bool read_escaped_code(struct json *json, struct buffer *out) {
    uint32_t code = 0;
    uint32_t low = 0;
    if (!read_hex4(json, &code) || code == 0)
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (json->end - json->cursor < 2 || json->cursor[0] != '\\' || json->cursor[1] != 'u')
            return false;
        json->cursor += 2;
        if (!read_hex4(json, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(out, code);
    return true;
}

static bool read_escape(struct json *json, struct buffer *out) {
    static const char plain[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    if (json->cursor == json->end)
        return false;
    uint8_t byte = *json->cursor++;
    if (byte == 'u')
        return read_escaped_code(json, out);
    const char *found = byte == 0 ? NULL : strchr(plain, byte);
    if (found == NULL)
        return false;
    buffer_append_byte(out, (uint8_t)meant[found - plain]);
    return true;
}

/* A text into out (emptied first), without a terminating NUL. */
static bool read_text(struct json *json, struct buffer *out) {
    out->length = 0;
    if (!take(json, '"'))
        return false;
    while (json->cursor < json->end) {
        uint8_t byte = *json->cursor++;
        if (byte == '"')
            return true;
        if (byte < 0x20)
            return false;
        if (byte != '\\')
            buffer_append_byte(out, byte);
        else if (!read_escape(json, out))
            return false;
    }
    return false;
}

static bool read_unsigned(struct json *json, uint64_t *out) {
    *out = 0;
    if (peek(json) < '0' || peek(json) > '9')
        return false;
    while (json->cursor < json->end && *json->cursor >= '0' && *json->cursor <= '9') {
        uint64_t digit = (uint64_t)(*json->cursor++ - '0');
        if (*out > (UINT64_MAX - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    return true;
}

static bool read_word(struct json *json, const char *word) {
    size_t length = strlen(word);
    peek(json);
    if ((size_t)(json->end - json->cursor) < length || memcmp(json->cursor, word, length) != 0)
        return false;
    json->cursor += length;
    return true;
}

static bool read_bool(struct json *json, bool *out) {
    *out = peek(json) == 't';
    return read_word(json, *out ? "true" : "false");
}

/* Skips one value of a key we do not know: brackets are counted, texts are read. */
static bool skip_value(struct json *json, struct buffer *scratch) {
    unsigned depth = 0;
    do {
        uint8_t byte = peek(json);
        if (byte == '"') {
            if (!read_text(json, scratch))
                return false;
        } else if (byte == '{' || byte == '[') {
            if (++depth > JSON_DEPTH_LIMIT)
                return false;
            json->cursor++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0)
                return false;
            depth--;
            json->cursor++;
        } else if (byte == 0 || (depth == 0 && (byte == ',' || byte == ':'))) {
            return false;
        } else {
            json->cursor++;
            while (depth == 0 && json->cursor < json->end && strchr(",}", *json->cursor) == NULL)
                json->cursor++;
        }
    } while (depth > 0);
    return true;
}

static bool keep_text(struct buffer *text, char *out, size_t size) {
    if (text->length >= size || (text->length > 0 && memchr(text->data, 0, text->length) != NULL))
        return false;
    if (text->length > 0)
        memcpy(out, text->data, text->length);
    out[text->length] = '\0';
    return true;
}

static bool read_urls(struct json *json, struct buffer *scratch, char urls[MEMBER_URL_LIMIT][256],
                      unsigned *count) {
    *count = 0;
    if (peek(json) == 'n')
        return read_word(json, "null");
    if (!take(json, '['))
        return false;
    if (take(json, ']'))
        return true;
    do {
        if (*count == MEMBER_URL_LIMIT || !read_text(json, scratch) ||
            !keep_text(scratch, urls[(*count)++], sizeof *urls))
            return false;
    } while (take(json, ','));
    return take(json, ']');
}

static bool key_is(const struct buffer *key, const char *name) {
    return bytes_equal(buffer_bytes(key), bytes_from_text(name));
}

static bool read_value(struct json *json, struct buffer *scratch, struct member *out, bool *promote) {
    if (key_is(scratch, "id"))
        return read_unsigned(json, &out->id);
    if (key_is(scratch, "peerURLs"))
        return read_urls(json, scratch, out->peer_urls, &out->peer_url_count);
    if (key_is(scratch, "clientURLs"))
        return read_urls(json, scratch, out->client_urls, &out->client_url_count);
    if (key_is(scratch, "isLearner"))
        return read_bool(json, &out->learner);
    if (key_is(scratch, "isPromote"))
        return read_bool(json, promote);
    if (key_is(scratch, "name"))
        return read_text(json, scratch) && keep_text(scratch, out->name, sizeof out->name);
    return skip_value(json, scratch);
}

static bool read_object(struct json *json, struct buffer *scratch, struct member *out, bool *promote) {
    if (!take(json, '{'))
        return false;
    if (take(json, '}'))
        return peek(json) == 0;
    do {
        if (!read_text(json, scratch) || !take(json, ':') || !read_value(json, scratch, out, promote))
            return false;
    } while (take(json, ','));
    return take(json, '}') && peek(json) == 0;
}

bool member_decode_context(struct bytes json_text, struct member *out, bool *promote) {
    struct json json = {.cursor = json_text.data, .end = json_text.data};
    if (json_text.length > 0)
        json.end += json_text.length;
    struct buffer scratch = {0};
    *out = (struct member){0};
    *promote = false;
    bool read = read_object(&json, &scratch, out, promote);
    buffer_free(&scratch);
    return read;
}
