/* stream: see stream.h. Here: plain sockets. */
#include "common/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

static ptrdiff_t plain_read(struct stream *stream, void *data, size_t length) {
    for (;;) {
        ssize_t got = recv(stream->fd, data, length, 0);
        if (got > 0)
            return got;
        if (got < 0 && errno == EINTR)
            continue;
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? STREAM_WANT_READ : STREAM_END;
    }
}

static ptrdiff_t plain_write(struct stream *stream, const void *data, size_t length) {
    for (;;) {
        ssize_t sent = send(stream->fd, data, length, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EINTR)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? STREAM_WANT_WRITE : STREAM_END;
    }
}

static void plain_close(struct stream *stream) {
    close(stream->fd);
    stream->fd = -1;
}

static const struct stream_kind plain = {.read = plain_read, .write = plain_write, .close = plain_close};

static int listen_on(const struct sockaddr *address, socklen_t length, int family, bool reuse_port) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    bool good = true;
    if (family != AF_UNIX)
        good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (good && reuse_port && family != AF_UNIX)
        good = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (good && family == AF_INET6)
        good = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    if (good && bind(fd, address, length) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* A socket file nobody listens on is left over from a killed process and may go. */
static void remove_stale(const struct sockaddr_un *address) {
    struct stat file;
    if (stat(address->sun_path, &file) != 0 || !S_ISSOCK(file.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static unsigned listen_unix(const struct url *url, int *fds, char error[256]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(url->host);
    if (length >= sizeof address.sun_path) {
        snprintf(error, 256, "the path %.120s is too long for a socket", url->host);
        return 0;
    }
    memcpy(address.sun_path, url->host, length);
    remove_stale(&address);
    fds[0] = listen_on((const struct sockaddr *)&address, sizeof address, AF_UNIX, false);
    if (fds[0] >= 0)
        return 1;
    snprintf(error, 256, "cannot listen on %.120s: %s", url->host, strerror(errno));
    return 0;
}

static unsigned listen_tcp(const struct url *url, bool reuse_port, int *fds, unsigned limit,
                           char error[256]) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", url->port);
    int failure = getaddrinfo(url->host[0] == '\0' ? NULL : url->host, port, &hints, &addresses);
    if (failure != 0) {
        snprintf(error, 256, "cannot resolve %.120s: %s", url->host, gai_strerror(failure));
        return 0;
    }
    unsigned count = 0;
    int reason = 0;
    bool taken = false;
    for (struct addrinfo *at = addresses; at != NULL && count < limit; at = at->ai_next) {
        int fd = listen_on(at->ai_addr, at->ai_addrlen, at->ai_family, reuse_port);
        if (fd >= 0) {
            fds[count++] = fd;
            continue;
        }
        reason = errno;
        taken = taken || reason == EADDRINUSE;
    }
    freeaddrinfo(addresses);
    /* A family that the machine lacks is no failure as long as another one works; a taken port is. */
    if (count > 0 && !taken)
        return count;
    while (count > 0)
        close(fds[--count]);
    snprintf(error, 256, "cannot listen on %.120s:%s: %s", url->host, port,
             strerror(taken ? EADDRINUSE : reason));
    return 0;
}

unsigned stream_listen(const struct url *url, bool reuse_port, int *fds, unsigned limit, char error[256]) {
    if (strcmp(url->scheme, "unix") == 0)
        return listen_unix(url, fds, error);
    if (strcmp(url->scheme, "http") == 0)
        return listen_tcp(url, reuse_port, fds, limit, error);
    snprintf(error, 256, "%s:// needs TLS, which this release does not serve", url->scheme);
    return 0;
}

struct stream stream_plain(int fd) {
    return (struct stream){.kind = &plain, .fd = fd};
}

enum stream_accept_result stream_accept(int listener, struct stream *out) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            int on = 1;
            /* Fails on unix sockets, which have no Nagle algorithm to turn off. */
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            *out = stream_plain(fd);
            return STREAM_ACCEPTED;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return STREAM_ACCEPT_EXHAUSTED;
        /* A connection that broke before we took it: the next one, please. */
        if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO)
            return STREAM_ACCEPT_NONE;
    }
}
