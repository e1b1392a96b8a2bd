/* http1_connection: see http1_connection.h. */
#include "proxy/http1_connection.h"

#include <stdlib.h>

#include "proxy/http1.h"
#include "proxy/pages.h"
#include "proxy/server.h"

/* A client may ask for any number of pages before it reads one. */
enum { OUTPUT_LIMIT = 64 << 10 };

struct http1_connection {
    struct server *server;
    struct client *owner;
    struct buffer in;
    struct buffer out, writing;
    struct page page;
    bool busy;        /* a page is being made */
    bool serving;     /* inside serve_next */
    bool stalled;     /* requests wait until what was answered so far is written */
    bool writing_out; /* inside http1_output */
    bool head;        /* the request is HEAD: no body */
    bool keep;        /* after the page under way */
    bool last;        /* nothing more is read */
    bool ended;       /* by the client */
    uint64_t idle_since_us;
};

struct http1_connection *http1_new(struct server *server, struct client *owner) {
    struct http1_connection *http1 = must_zalloc(sizeof *http1);
    http1->server = server;
    http1->owner = owner;
    http1->idle_since_us = server->now_us;
    return http1;
}

void http1_free(struct http1_connection *http1) {
    if (http1->busy)
        page_cancel(&http1->page);
    buffer_free(&http1->in);
    buffer_free(&http1->out);
    buffer_free(&http1->writing);
    free(http1);
}

static const char *reason_of(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Service Unavailable";
    }
}

static void write_page(struct http1_connection *http1, const struct page_answer *answer) {
    struct buffer *out = &http1->out;
    buffer_printf(out, "HTTP/1.1 %u %s\r\n", answer->status, reason_of(answer->status));
    if (answer->status == 405)
        buffer_printf(out, "Allow: GET\r\n");
    buffer_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", answer->content_type,
                  answer->body.length);
    if (answer->status != 200)
        buffer_printf(out, "X-Content-Type-Options: nosniff\r\n");
    buffer_printf(out, "%s\r\n", http1->keep ? "" : "Connection: close\r\n");
    if (!http1->head)
        buffer_append_bytes(out, answer->body);
    http1->last = !http1->keep;
    http1->idle_since_us = http1->server->now_us;
    if (!http1->writing_out)
        client_touch(http1->owner);
}

static void serve_next(struct http1_connection *http1);

static void page_done(void *context, const struct page_answer *answer) {
    struct http1_connection *http1 = context;
    http1->busy = false;
    write_page(http1, answer);
    serve_next(http1);
}

static void refuse(struct http1_connection *http1, unsigned status) {
    http1->keep = false;
    write_page(http1, &(struct page_answer){.status = status,
                                            .content_type = "text/plain; charset=utf-8",
                                            .body = bytes_from_text(reason_of(status))});
}

/* Takes requests from the buffer as long as pages are made at once and there is room for them. A page made
 * later calls this again. */
static void serve_next(struct http1_connection *http1) {
    if (http1->serving)
        return;
    http1->serving = true;
    http1->stalled = false;
    while (!http1->busy && !http1->last && http1->in.length > 0) {
        http1->stalled = http1->out.length >= OUTPUT_LIMIT;
        if (http1->stalled)
            break;
        struct http1_request request;
        enum http1_parse parsed = http1_parse(buffer_bytes(&http1->in), &request);
        if (parsed == HTTP1_INCOMPLETE)
            break;
        if (parsed != HTTP1_REQUEST) {
            refuse(http1, parsed == HTTP1_TOO_LARGE ? 431 : 400);
            break;
        }
        http1->keep = request.keep_alive && !request.has_body;
        http1->head = bytes_equal(request.method, bytes_from_text("HEAD"));
        http1->busy = true;
        page_make(&http1->page, http1->server, &request, page_done, http1);
        size_t left = http1->in.length - request.length;
        memmove(http1->in.data, http1->in.data + request.length, left);
        http1->in.length = left;
    }
    http1->serving = false;
}

bool http1_receive(struct http1_connection *http1, struct bytes data) {
    if (http1->last)
        return true;
    if (http1->in.length + data.length > 2 * HTTP1_HEAD_LIMIT + SERVER_READ_BYTES)
        return false;
    buffer_append_bytes(&http1->in, data);
    serve_next(http1);
    return true;
}

bool http1_end(struct http1_connection *http1) {
    http1->keep = false;
    http1->last = http1->last || !(http1->busy || http1->stalled);
    http1->ended = true;
    return !http1_finished(http1);
}

bool http1_stalled(const struct http1_connection *http1) {
    return http1->stalled;
}

bool http1_ended(const struct http1_connection *http1) {
    return http1->ended;
}

struct bytes http1_output(struct http1_connection *http1) {
    if (http1->stalled && http1->out.length == 0) {
        http1->writing_out = true;
        serve_next(http1);
        http1->writing_out = false;
        http1->last = http1->last || (http1->ended && !http1->busy && !http1->stalled);
    }
    struct buffer empty = http1->writing;
    buffer_reset(&empty, SERVER_READ_BYTES);
    http1->writing = http1->out;
    http1->out = empty;
    return buffer_bytes(&http1->writing);
}

bool http1_finished(const struct http1_connection *http1) {
    return http1->last && http1->out.length == 0;
}

uint64_t http1_idle_since_us(const struct http1_connection *http1) {
    return http1->busy ? 0 : http1->idle_since_us;
}
