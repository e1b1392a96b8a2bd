/* connection: see connection.h. */
#include "proxy/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/log.h"
#include "proxy/h2_connection.h"
#include "proxy/http1_connection.h"
#include "proxy/server.h"

enum { WRITES_PER_ROUND = 4 };

static const char preface[] = "PRI ";

void connection_open(struct server *server, struct stream stream) {
    struct connection *connection = must_zalloc(sizeof *connection);
    connection->server = server;
    connection->stream = stream;
    connection->opened_us = server->now_us;
    connection->events = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, stream.fd, &event) != 0) {
        LOG_WARN("cannot watch a connection", F_ERRNO(errno));
        stream_close(&connection->stream);
        free(connection);
        return;
    }
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    server->connections = connection;
    server->connection_count++;
}

void connection_touch(struct connection *connection) {
    if (connection->dirty || connection->closed)
        return;
    connection->dirty = true;
    connection->dirty_next = connection->server->dirty;
    connection->server->dirty = connection;
}

static void give_up(struct connection *connection) {
    connection->broken = true;
    connection_touch(connection);
}

static void watch(struct connection *connection, uint32_t events) {
    if (events == connection->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(connection->server->epoll_fd, EPOLL_CTL_MOD, connection->stream.fd, &event) != 0)
        give_up(connection);
    connection->events = events;
}

/* --- input --- */

static void feed(struct connection *connection, struct bytes data) {
    bool good = connection->kind == CONNECTION_HTTP2 ? h2_receive(connection->h2, data)
                                                     : http1_receive(connection->http1, data);
    if (!good)
        connection->broken = true;
}

/* The first four bytes tell: "PRI " begins HTTP/2's preface and no HTTP/1 request. */
static void sniff(struct connection *connection, struct bytes data) {
    size_t seen = connection->sniffed_bytes;
    size_t compared = 0;
    while (seen + compared < sizeof preface - 1 && compared < data.length &&
           data.data[compared] == (uint8_t)preface[seen + compared])
        compared++;
    bool matches = seen + compared == sizeof preface - 1;
    if (!matches && compared == data.length) {
        connection->sniffed_bytes = (uint8_t)(seen + compared);
        return;
    }
    if (matches) {
        connection->kind = CONNECTION_HTTP2;
        connection->h2 = h2_new(connection->server, connection);
    } else {
        connection->kind = CONNECTION_HTTP1;
        connection->http1 = http1_new(connection->server, connection);
    }
    if (seen > 0)
        feed(connection, bytes_of(preface, seen));
    if (!connection->broken)
        feed(connection, data);
}

static void read_some(struct connection *connection) {
    struct server *server = connection->server;
    ptrdiff_t got = stream_read(&connection->stream, server->read_buffer, sizeof server->read_buffer);
    if (got == STREAM_END) {
        connection->broken = true;
    } else if (got > 0) {
        struct bytes data = bytes_of(server->read_buffer, (size_t)got);
        if (connection->kind == CONNECTION_SNIFFING)
            sniff(connection, data);
        else
            feed(connection, data);
    }
    connection_touch(connection);
}

void connection_ready(struct connection *connection, uint32_t events) {
    if (connection->closed || connection->broken)
        return;
    if (events & (EPOLLERR | EPOLLHUP))
        give_up(connection);
    else if (events & EPOLLIN)
        read_some(connection);
    if (events & EPOLLOUT)
        connection_touch(connection);
}

/* --- output --- */

/* Writes what is left of earlier rounds. False: the socket takes no more now, or is broken. */
static bool write_left(struct connection *connection) {
    while (connection->out_at < connection->out.length) {
        ptrdiff_t sent = stream_write(&connection->stream, connection->out.data + connection->out_at,
                                      connection->out.length - connection->out_at);
        if (sent < 0) {
            connection->broken = connection->broken || sent == STREAM_END;
            return false;
        }
        connection->out_at += (size_t)sent;
    }
    connection->out_at = 0;
    buffer_reset(&connection->out, SERVER_READ_BYTES);
    return true;
}

static bool write_now(struct connection *connection, struct bytes data) {
    if (data.length == 0)
        return true;
    ptrdiff_t sent = stream_write(&connection->stream, data.data, data.length);
    if (sent == STREAM_END) {
        connection->broken = true;
        return false;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    buffer_append(&connection->out, data.data + done, data.length - done);
    return done == data.length;
}

/* Collects HTTP/2 output up to a buffer full. True: there may be more. */
static bool collect_h2(struct connection *connection, struct bytes *out) {
    uint8_t *buffer = connection->server->write_buffer;
    size_t length = 0;
    struct bytes piece = {0};
    /* A frame is at most 16 KB and its head. */
    while (length + (17 << 10) < SERVER_WRITE_BYTES) {
        if (!h2_output(connection->h2, &piece)) {
            connection->broken = true;
            break;
        }
        if (piece.length == 0)
            break;
        REQUIRE(length + piece.length <= SERVER_WRITE_BYTES);
        memcpy(buffer + length, piece.data, piece.length);
        length += piece.length;
    }
    *out = bytes_of(buffer, length);
    return piece.length != 0;
}

static void write_h2(struct connection *connection) {
    bool more = true;
    for (unsigned i = 0; more && i < WRITES_PER_ROUND && !connection->broken; i++) {
        struct bytes out;
        more = collect_h2(connection, &out);
        if (!write_now(connection, out))
            return;
        h2_start_waiting(connection->h2);
    }
    if (!more && (h2_finished(connection->h2) || connection->stop_at_end))
        connection->broken = true;
    /* Fairness: a connection with very much to say goes on in the next round. */
    watch(connection, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void write_http1(struct connection *connection) {
    struct bytes out = http1_output(connection->http1);
    if (!write_now(connection, out))
        return;
    if (http1_finished(connection->http1))
        connection->broken = true;
    watch(connection, EPOLLIN);
}

void connection_flush(struct connection *connection) {
    if (!connection->broken && write_left(connection)) {
        if (connection->kind == CONNECTION_HTTP2)
            write_h2(connection);
        else if (connection->kind == CONNECTION_HTTP1)
            write_http1(connection);
    }
    if (connection->broken)
        connection_close(connection);
    else if (connection->out.length > 0)
        watch(connection, EPOLLOUT); /* who does not listen is not listened to */
}

/* --- time and end --- */

void connection_check(struct connection *connection, uint64_t now_us) {
    bool settled = connection->kind == CONNECTION_HTTP2 && connection->h2->settled;
    if (settled) {
        if (!h2_keepalive(connection->h2, now_us))
            give_up(connection);
        else
            connection_touch(connection);
        return;
    }
    uint64_t since =
        connection->kind == CONNECTION_HTTP1 ? http1_idle_since_us(connection->http1) : connection->opened_us;
    if (since != 0 && now_us > since + CONNECTION_HANDSHAKE_US)
        give_up(connection);
}

void connection_stop(struct connection *connection, bool first, bool late) {
    bool idle = true;
    if (connection->kind == CONNECTION_HTTP2) {
        idle = connection->h2->streams == 0 && !first;
        if (first || idle || late)
            h2_shutdown(connection->h2, !first);
        connection->stop_at_end = idle || late;
        connection_touch(connection);
    } else if (connection->kind == CONNECTION_HTTP1) {
        idle = http1_idle_since_us(connection->http1) != 0;
    }
    if (connection->kind != CONNECTION_HTTP2 && (idle || late))
        give_up(connection);
}

void connection_close(struct connection *connection) {
    struct server *server = connection->server;
    connection->closed = true;
    if (connection->h2 != NULL)
        h2_free(connection->h2);
    if (connection->http1 != NULL)
        http1_free(connection->http1);
    connection->h2 = NULL;
    connection->http1 = NULL;
    stream_close(&connection->stream);
    buffer_free(&connection->out);
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    server->connection_count--;
    connection->next = server->graveyard;
    server->graveyard = connection;
}

void connection_free(struct connection *connection) {
    free(connection);
}
