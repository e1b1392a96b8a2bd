/* http1: see http1.h. */
#include "proxy/http1.h"

#include <strings.h>

static bool is_token_byte(uint8_t byte) {
    return byte > ' ' && byte < 0x7f && strchr("()<>@,;:\\\"/[]?={}", byte) == NULL;
}

static bool is_token(struct bytes text) {
    for (size_t i = 0; i < text.length; i++) {
        if (!is_token_byte(text.data[i]))
            return false;
    }
    return text.length > 0;
}

/* The text before `end`, which goes from *rest together with `end`. */
static bool split(struct bytes *rest, uint8_t end, struct bytes *before) {
    const uint8_t *at = rest->length == 0 ? NULL : memchr(rest->data, end, rest->length);
    if (at == NULL)
        return false;
    size_t length = (size_t)(at - rest->data);
    *before = bytes_of(rest->data, length);
    *rest = bytes_of(at + 1, rest->length - length - 1);
    return true;
}

static struct bytes trim(struct bytes text) {
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_of(text.data + 1, text.length - 1);
    while (text.length > 0) {
        uint8_t last = text.data[text.length - 1];
        if (last != ' ' && last != '\t' && last != '\r')
            break;
        text.length--;
    }
    return text;
}

static bool same_word(struct bytes text, const char *word) {
    size_t length = strlen(word);
    return text.length == length && strncasecmp((const char *)text.data, word, length) == 0;
}

static bool has_word(struct bytes list, const char *word) {
    struct bytes one;
    while (split(&list, ',', &one)) {
        if (same_word(trim(one), word))
            return true;
    }
    return same_word(trim(list), word);
}

static bool request_line(struct bytes line, struct http1_request *out) {
    struct bytes rest = trim(line);
    struct bytes target;
    if (!split(&rest, ' ', &out->method) || !is_token(out->method) || !split(&rest, ' ', &target))
        return false;
    if (bytes_equal(rest, bytes_from_text("HTTP/1.1")))
        out->keep_alive = true;
    else if (!bytes_equal(rest, bytes_from_text("HTTP/1.0")))
        return false;
    if (target.length == 0 || target.data[0] != '/')
        return false;
    if (split(&target, '?', &out->path))
        out->query = target;
    else
        out->path = target;
    return true;
}

static bool header_line(struct bytes line, struct http1_request *out) {
    struct bytes rest = line;
    struct bytes name;
    if (!split(&rest, ':', &name) || !is_token(name))
        return false;
    struct bytes value = trim(rest);
    if (same_word(name, "connection")) {
        if (has_word(value, "close"))
            out->keep_alive = false;
        else if (has_word(value, "keep-alive"))
            out->keep_alive = true;
    } else if (same_word(name, "transfer-encoding")) {
        out->has_body = true;
    } else if (same_word(name, "content-length")) {
        out->has_body = !same_word(value, "0");
    }
    return true;
}

enum http1_parse http1_parse(struct bytes text, struct http1_request *out) {
    *out = (struct http1_request){0};
    struct bytes rest = bytes_of(text.data, text.length < HTTP1_HEAD_LIMIT ? text.length : HTTP1_HEAD_LIMIT);
    struct bytes line;
    bool first = true;
    while (split(&rest, '\n', &line)) {
        line = trim(line);
        if (line.length == 0 && !first) {
            out->length = (size_t)(rest.data - text.data);
            return HTTP1_REQUEST;
        }
        if (!(first ? request_line(line, out) : header_line(line, out)))
            return HTTP1_MALFORMED;
        first = false;
    }
    return text.length >= HTTP1_HEAD_LIMIT ? HTTP1_TOO_LARGE : HTTP1_INCOMPLETE;
}

bool http1_next_parameter(struct bytes *query, struct bytes *name, struct bytes *value) {
    while (query->length > 0) {
        struct bytes parameter = *query;
        if (!split(query, '&', &parameter))
            *query = (struct bytes){0};
        *value = parameter;
        if (!split(value, '=', name)) {
            *name = parameter;
            *value = (struct bytes){0};
        }
        if (name->length > 0)
            return true;
    }
    return false;
}
