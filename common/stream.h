/*
 * stream: byte streams behind connections of clients (and later of peers): plain TCP and unix sockets now,
 * TLS as another `struct stream_kind` later. Non-blocking throughout.
 *
 * A listener is a socket bound to one URL of --listen-client-urls; stream_accept() takes a connection from
 * it. Who reads and writes learns from the result what to wait for: with TLS a read may need the socket
 * writable. Threading: a stream belongs to one combiner; no function here blocks.
 */
#ifndef QUORATE_COMMON_STREAM_H
#define QUORATE_COMMON_STREAM_H

#include "common/bytes.h"
#include "common/config.h"

/* Results of read and write below zero; at or above zero: bytes moved. */
enum stream_result {
    STREAM_END = -1,        /* the peer closed its side, or the connection broke: nothing more to come */
    STREAM_WANT_READ = -2,  /* try again when the descriptor is readable */
    STREAM_WANT_WRITE = -3, /* try again when it is writable */
};

struct stream;

struct stream_kind {
    ptrdiff_t (*read)(struct stream *stream, void *data, size_t length);
    ptrdiff_t (*write)(struct stream *stream, const void *data, size_t length);
    void (*close)(struct stream *stream);
};

struct stream {
    const struct stream_kind *kind;
    int fd;        /* for epoll */
    void *session; /* of the kind */
};

static inline ptrdiff_t stream_read(struct stream *stream, void *data, size_t length) {
    return stream->kind->read(stream, data, length);
}
static inline ptrdiff_t stream_write(struct stream *stream, const void *data, size_t length) {
    return stream->kind->write(stream, data, length);
}
static inline void stream_close(struct stream *stream) {
    stream->kind->close(stream);
}

/*
 * Binds and listens, for http://host:port all addresses of the host ("localhost" both families) up to `limit`
 * descriptors. reuse_port: several processes share the port. Returns the number of descriptors put into fds,
 * or 0 and a sentence in error.
 */
unsigned stream_listen(const struct url *url, bool reuse_port, int *fds, unsigned limit, char error[256]);

/* A plain stream over a connected, non-blocking socket, which it owns from now on. */
struct stream stream_plain(int fd);

enum stream_accept_result {
    STREAM_ACCEPTED,
    STREAM_ACCEPT_NONE,      /* nobody waits any longer */
    STREAM_ACCEPT_EXHAUSTED, /* out of descriptors or memory: pause */
};
/* A plain stream from a listening descriptor. */
enum stream_accept_result stream_accept(int listener, struct stream *out);

#endif
