/*
 * url: the addresses of config.h, "scheme://host:port" with http or https, or "unix://path". A host is a
 * name, an IPv4 address or an IPv6 address in brackets; a path behind the port may only be "/", as in etcd.
 */
#include <stdlib.h>

#include "common/bytes.h"
#include "common/config.h"

static bool parse_scheme(const char *text, size_t length, struct url *out, size_t *used) {
    static const char *const schemes[] = {"https", "http", "unixs", "unix"};
    for (unsigned i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t size = strlen(schemes[i]);
        if (length > size + 3 && memcmp(text, schemes[i], size) == 0 && memcmp(text + size, "://", 3) == 0) {
            memcpy(out->scheme, schemes[i], size + 1);
            *used = size + 3;
            return true;
        }
    }
    return false;
}

static bool parse_port(const char *text, size_t length, uint16_t *port) {
    uint32_t value = 0;
    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool copy_host(const char *text, size_t length, struct url *out) {
    if (length == 0 || length >= sizeof out->host)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] == '/' || text[i] == '@' || text[i] == 0x7f)
            return false;
    }
    memcpy(out->host, text, length);
    return true;
}

/* A unix address is its path, which may hold anything; etcd also writes unix://name:port, kept as it is. */
static bool parse_unix(const char *text, size_t length, struct url *out) {
    if (length == 0 || length >= sizeof out->host)
        return false;
    memcpy(out->host, text, length);
    return true;
}

bool url_parse(const char *text, size_t length, struct url *out) {
    size_t used = 0;
    memset(out, 0, sizeof *out);
    if (!parse_scheme(text, length, out, &used))
        return false;
    text += used;
    length -= used;
    if (strncmp(out->scheme, "unix", 4) == 0)
        return parse_unix(text, length, out);
    if (length > 0 && text[length - 1] == '/')
        length--;
    if (length > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', length);
        if (close == NULL || close + 1 >= text + length || close[1] != ':')
            return false;
        size_t host = (size_t)(close - text) - 1;
        return copy_host(text + 1, host, out) && parse_port(close + 2, length - host - 3, &out->port);
    }
    const char *colon = memchr(text, ':', length);
    if (colon == NULL)
        return false;
    size_t host = (size_t)(colon - text);
    return copy_host(text, host, out) && parse_port(colon + 1, length - host - 1, &out->port);
}

bool url_list_each(const char *list, void (*visit)(void *context, const struct url *url), void *context) {
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        struct url url;
        if (!url_parse(list, length, &url))
            return false;
        visit(context, &url);
        list += length;
        if (*list == ',' && *++list == '\0')
            return false;
    }
    return true;
}
