/* addresses: see addresses.h. */
#include "launcher/addresses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/config.h"

struct checking {
    bool listen, good;
    char *error;
};

static bool is_ip(const char *host) {
    struct in_addr four;
    struct in6_addr six;
    return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;
}

static void check_one(void *context, const struct url *url) {
    struct checking *checking = context;
    if (!checking->good)
        return;
    if (strcmp(url->scheme, "https") == 0 || strcmp(url->scheme, "unixs") == 0) {
        snprintf(checking->error, ADDRESSES_ERROR,
                 "%s://%.100s: TLS comes with a later release; refusing to serve without it", url->scheme,
                 url->host);
        checking->good = false;
    } else if (checking->listen && strcmp(url->scheme, "http") == 0 && strcmp(url->host, "localhost") != 0 &&
               !is_ip(url->host)) {
        snprintf(checking->error, ADDRESSES_ERROR, "expected IP in URL for binding (http://%.100s:%u)",
                 url->host, url->port);
        checking->good = false;
    }
}

bool addresses_check(const char *list, bool listen, char error[ADDRESSES_ERROR]) {
    struct checking checking = {.listen = listen, .good = true, .error = error};
    if (url_list_each(list, check_one, &checking))
        return checking.good;
    if (checking.good)
        snprintf(error, ADDRESSES_ERROR,
                 "URL scheme must be http, https, unix, or unixs, with host and port: "
                 "\"%.120s\"",
                 list);
    return false;
}

void addresses_cluster_of_one(const char *name, const char *peer_urls, struct buffer *out) {
    while (*peer_urls != '\0') {
        size_t length = strcspn(peer_urls, ",");
        buffer_printf(out, "%s%s=%.*s", out->length == 0 ? "" : ",", name, (int)length, peer_urls);
        peer_urls += length;
        peer_urls += *peer_urls == ',';
    }
    buffer_append_byte(out, '\0');
}

static bool list_has(const char *list, const char *url, size_t url_length) {
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        if (length == url_length && memcmp(list, url, length) == 0)
            return true;
        list += length;
        list += *list == ',';
    }
    return false;
}

static unsigned list_count(const char *list) {
    unsigned count = *list != '\0';
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

bool addresses_check_cluster(const char *cluster, const char *name, const char *peer_urls,
                             char error[ADDRESSES_ERROR]) {
    unsigned own = 0;
    bool others = false;
    for (const char *at = cluster; *at != '\0';) {
        size_t length = strcspn(at, ","), name_length = strcspn(at, "=,");
        struct url url;
        if (name_length == length || !url_parse(at + name_length + 1, length - name_length - 1, &url)) {
            snprintf(error, ADDRESSES_ERROR, "\"%.*s\" is not name=URL", (int)(length < 120 ? length : 120),
                     at);
            return false;
        }
        if (strlen(name) != name_length || memcmp(at, name, name_length) != 0) {
            others = true;
        } else if (!list_has(peer_urls, at + name_length + 1, length - name_length - 1)) {
            snprintf(error, ADDRESSES_ERROR, "has %.*s but missing from --initial-advertise-peer-urls=%.100s",
                     (int)(length < 100 ? length : 100), at, peer_urls);
            return false;
        } else {
            own++;
        }
        at += length;
        at += *at == ',';
    }
    if (own == 0)
        snprintf(error, ADDRESSES_ERROR,
                 "couldn't find local name \"%.100s\" in the initial cluster configuration", name);
    else if (own != list_count(peer_urls))
        snprintf(error, ADDRESSES_ERROR,
                 "--initial-advertise-peer-urls has URLs that are missing here: %.120s", peer_urls);
    else if (others)
        snprintf(
            error, ADDRESSES_ERROR,
            "several members: clusters come with a later release; this one runs a cluster of one member");
    return own != 0 && own == list_count(peer_urls) && !others;
}

static int bind_four(const char *host, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int status = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return status;
}

static int bind_six(const char *host, uint16_t port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int on = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, host, &address.sin6_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    int status = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return status;
}

/* Without SO_REUSEPORT: a proxy of another node that has it would else let us in beside it. */
static void try_one(void *context, const struct url *url) {
    struct checking *checking = context;
    if (!checking->good || strcmp(url->scheme, "http") != 0 || url->port == 0)
        return;
    int status =
        strchr(url->host, ':') != NULL ? bind_six(url->host, url->port) : bind_four(url->host, url->port);
    if (status == 0)
        return;
    snprintf(checking->error, ADDRESSES_ERROR, "listen tcp %.200s:%u: bind: %s", url->host, url->port,
             status == EADDRINUSE ? "address already in use" : strerror(status));
    checking->good = false;
}

bool addresses_are_free(const char *list, char error[ADDRESSES_ERROR]) {
    struct checking checking = {.good = true, .error = error};
    return url_list_each(list, try_one, &checking) && checking.good;
}
