/* client: see client.h. */
#include "proxy/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/log.h"
#include "proxy/h2_connection.h"
#include "proxy/http1_connection.h"
#include "proxy/server.h"

enum { WRITES_PER_ROUND = 4 };

static const char preface[] = "PRI ";

void client_open(struct server *server, struct stream stream) {
    struct client *client = must_zalloc(sizeof *client);
    client->server = server;
    client->stream = stream;
    client->opened_us = server->now_us;
    client->events = EPOLLIN;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, stream.fd, &event) != 0) {
        LOG_WARN("cannot watch a connection", F_ERRNO(errno));
        stream_close(&client->stream);
        free(client);
        return;
    }
    client->next = server->connections;
    if (client->next != NULL)
        client->next->previous = client;
    server->connections = client;
    server->connection_count++;
}

void client_touch(struct client *client) {
    if (client->dirty || client->closed)
        return;
    client->dirty = true;
    client->dirty_next = client->server->dirty;
    client->server->dirty = client;
}

static void give_up(struct client *client) {
    client->broken = true;
    client_touch(client);
}

static void watch(struct client *client, uint32_t events) {
    if (events == client->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(client->server->epoll_fd, EPOLL_CTL_MOD, client->stream.fd, &event) != 0)
        give_up(client);
    client->events = events;
}

/* --- input --- */

static void feed(struct client *client, struct bytes data) {
    bool good =
        client->kind == CLIENT_HTTP2 ? h2_receive(client->h2, data) : http1_receive(client->http1, data);
    if (!good)
        client->broken = true;
}

/* The first four bytes tell: "PRI " begins HTTP/2's preface and no HTTP/1 request. */
static void sniff(struct client *client, struct bytes data) {
    size_t seen = client->sniffed_bytes;
    size_t compared = 0;
    while (seen + compared < sizeof preface - 1 && compared < data.length &&
           data.data[compared] == (uint8_t)preface[seen + compared])
        compared++;
    bool matches = seen + compared == sizeof preface - 1;
    if (!matches && compared == data.length) {
        client->sniffed_bytes = (uint8_t)(seen + compared);
        return;
    }
    if (matches) {
        client->kind = CLIENT_HTTP2;
        client->h2 = h2_new(client->server, client);
    } else {
        client->kind = CLIENT_HTTP1;
        client->http1 = http1_new(client->server, client);
    }
    if (seen > 0)
        feed(client, bytes_of(preface, seen));
    if (!client->broken)
        feed(client, data);
}

static void read_some(struct client *client) {
    struct server *server = client->server;
    ptrdiff_t got = stream_read(&client->stream, server->read_buffer, sizeof server->read_buffer);
    if (got == STREAM_END) {
        client->broken = client->kind != CLIENT_HTTP1 || !http1_end(client->http1);
    } else if (got > 0) {
        struct bytes data = bytes_of(server->read_buffer, (size_t)got);
        if (client->kind == CLIENT_SNIFFING)
            sniff(client, data);
        else
            feed(client, data);
    }
    client_touch(client);
}

void client_ready(struct client *client, uint32_t events) {
    if (client->closed || client->broken)
        return;
    if (events & (EPOLLERR | EPOLLHUP))
        give_up(client);
    else if (events & EPOLLIN)
        read_some(client);
    if (events & EPOLLOUT)
        client_touch(client);
}

/* --- output --- */

/* Writes what is left of earlier rounds. False: the socket takes no more now, or is broken. */
static bool write_left(struct client *client) {
    while (client->out_at < client->out.length) {
        ptrdiff_t sent = stream_write(&client->stream, client->out.data + client->out_at,
                                      client->out.length - client->out_at);
        if (sent < 0) {
            client->broken = client->broken || sent == STREAM_END;
            return false;
        }
        client->out_at += (size_t)sent;
    }
    client->out_at = 0;
    buffer_reset(&client->out, SERVER_READ_BYTES);
    return true;
}

static bool write_now(struct client *client, struct bytes data) {
    if (data.length == 0)
        return true;
    ptrdiff_t sent = stream_write(&client->stream, data.data, data.length);
    if (sent == STREAM_END) {
        client->broken = true;
        return false;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    buffer_append(&client->out, data.data + done, data.length - done);
    return done == data.length;
}

/* Collects HTTP/2 output up to a buffer full. True: there may be more. */
static bool collect_h2(struct client *client, struct bytes *out) {
    uint8_t *buffer = client->server->write_buffer;
    size_t length = 0;
    struct bytes piece = {0};
    /* A frame is at most 16 KB and its head. */
    while (length + (17 << 10) < SERVER_WRITE_BYTES) {
        if (!h2_output(client->h2, &piece)) {
            client->broken = true;
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

static void write_h2(struct client *client) {
    bool more = true;
    for (unsigned i = 0; more && i < WRITES_PER_ROUND && !client->broken; i++) {
        struct bytes out;
        more = collect_h2(client, &out);
        if (!write_now(client, out))
            return;
        h2_output_taken(client->h2);
    }
    if (!more && (h2_finished(client->h2) || client->stop_at_end))
        client->broken = true;
    /* Fairness: a connection with very much to say goes on in the next round. */
    watch(client, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void write_http1(struct client *client) {
    struct bytes out = http1_output(client->http1);
    if (!write_now(client, out))
        return;
    if (http1_finished(client->http1))
        client->broken = true;
    if (http1_stalled(client->http1))
        watch(client, EPOLLOUT); /* goes on in the next round */
    else
        watch(client, http1_ended(client->http1) ? 0 : EPOLLIN);
}

void client_flush(struct client *client) {
    if (!client->broken && write_left(client)) {
        if (client->kind == CLIENT_HTTP2)
            write_h2(client);
        else if (client->kind == CLIENT_HTTP1)
            write_http1(client);
    }
    if (client->broken)
        client_close(client);
    else if (client->out.length > 0)
        watch(client, EPOLLOUT); /* who does not listen is not listened to */
}

/* --- time and end --- */

void client_check(struct client *client, uint64_t now_us, bool leaderless) {
    bool settled = client->kind == CLIENT_HTTP2 && client->h2->settled;
    if (settled && leaderless)
        h2_without_leader(client->h2);
    if (settled) {
        if (!h2_keepalive(client->h2, now_us))
            give_up(client);
        else
            client_touch(client);
        return;
    }
    uint64_t since = client->kind == CLIENT_HTTP1 ? http1_idle_since_us(client->http1) : client->opened_us;
    if (since != 0 && now_us > since + CLIENT_HANDSHAKE_US)
        give_up(client);
}

void client_stop(struct client *client, bool first, bool late) {
    bool idle = true;
    if (client->kind == CLIENT_HTTP2) {
        idle = client->h2->streams == 0 && !first;
        if (first || idle || late)
            h2_shutdown(client->h2, !first);
        client->stop_at_end = idle || late;
        client_touch(client);
    } else if (client->kind == CLIENT_HTTP1) {
        idle = http1_idle_since_us(client->http1) != 0;
    }
    if (client->kind != CLIENT_HTTP2 && (idle || late))
        give_up(client);
}

void client_close(struct client *client) {
    struct server *server = client->server;
    client->closed = true;
    if (client->h2 != NULL)
        h2_free(client->h2);
    if (client->http1 != NULL)
        http1_free(client->http1);
    client->h2 = NULL;
    client->http1 = NULL;
    stream_close(&client->stream);
    buffer_free(&client->out);
    if (client->next != NULL)
        client->next->previous = client->previous;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        server->connections = client->next;
    server->connection_count--;
    client->next = server->graveyard;
    server->graveyard = client;
}

void client_free(struct client *client) {
    free(client);
}
