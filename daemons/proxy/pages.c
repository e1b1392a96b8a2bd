/*
 * pages: see pages.h.
 *
 * The health pages ask the node with real requests: alarms and a Range of one key at apply, linearizable or
 * serializable. What was asked is answered when all of it has come back (or timed out).
 */
#include "proxy/pages.h"

#include "common/metrics.h"
#include "common/wire.h"
#include "proxy/server.h"

#define VERSION_PAGE "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}"

enum { CALL_ALARMS, CALL_SERIALIZABLE, CALL_LINEARIZABLE, CALL_COUNT };

static const char plain_text[] = "text/plain; charset=utf-8";

#define BIT(check) (1U << (check))

static const struct {
    const char *name;
    unsigned readyz, livez;
} checks[CHECK_COUNT] = {
    [CHECK_ALARM_CORRUPT] = {"data_corruption", 1, 0},
    [CHECK_SERIALIZABLE_READ] = {"serializable_read", 1, 1},
    [CHECK_LINEARIZABLE_READ] = {"linearizable_read", 1, 0},
    [CHECK_NON_LEARNER] = {"non_learner", 1, 0},
};

static void answer(struct page *page, unsigned status, const char *type, struct bytes body) {
    page->done(page->context, &(struct page_answer){.status = status, .content_type = type, .body = body});
}

static void not_found(struct page *page) {
    answer(page, 404, plain_text, bytes_from_text("404 page not found\n"));
}

/* --- what a check says --- */

/* The reason why a check fails; NULL: it passes. */
static const char *failure_of(const struct page *page, enum page_check check) {
    struct proxy_view view = proxy_role_view(page->server->role);
    switch (check) {
    case CHECK_ALARM_NOSPACE:
        return page->alarms[1] ? "ALARM NOSPACE" : NULL;
    case CHECK_ALARM_CORRUPT:
        return page->alarms[2] ? "ALARM CORRUPT" : NULL;
    case CHECK_LEADER:
        return view.leader == 0 ? "RAFT NO LEADER" : NULL;
    case CHECK_NON_LEARNER:
        return view.raft_role == RAFT_LEARNER ? "local member is a learner" : NULL;
    case CHECK_SERIALIZABLE_READ:
        return page->outcome[CALL_SERIALIZABLE] == STATUS_OK
                   ? NULL
                   : status_message(page->outcome[CALL_SERIALIZABLE]);
    default:
        return page->outcome[CALL_LINEARIZABLE] == STATUS_OK
                   ? NULL
                   : status_message(page->outcome[CALL_LINEARIZABLE]);
    }
}

/* etcd's older page: the first reason, as JSON. */
static void answer_health(struct page *page) {
    struct buffer body = {0};
    const char *reason = "";
    const char *prefix = "";
    for (enum page_check check = 0; check < CHECK_COUNT && *reason == '\0'; check++) {
        if ((page->wanted & BIT(check)) == 0)
            continue;
        const char *failure = failure_of(page, check);
        if (failure != NULL) {
            reason = failure;
            prefix = check >= CHECK_SERIALIZABLE_READ ? "RANGE ERROR:" : "";
        }
    }
    bool healthy = *reason == '\0';
    metric_add(healthy ? METRIC_ETCD_SERVER_HEALTH_SUCCESS : METRIC_ETCD_SERVER_HEALTH_FAILURES, 1);
    buffer_printf(&body, "{\"health\":\"%s\",\"reason\":\"%s%s\"}", healthy ? "true" : "false", prefix,
                  reason);
    answer(page, healthy ? 200 : 503, plain_text, buffer_bytes(&body));
    buffer_free(&body);
}

/* The newer pages: a line a check when asked for or when one fails. */
static void answer_checks(struct page *page) {
    struct buffer lines = {0};
    bool healthy = true;
    for (enum page_check check = 0; check < CHECK_COUNT; check++) {
        if ((page->wanted & BIT(check)) == 0)
            continue;
        const char *failure = failure_of(page, check);
        healthy = healthy && failure == NULL;
        if (failure == NULL)
            buffer_printf(&lines, "[+]%s ok\n", checks[check].name);
        else
            buffer_printf(&lines, "[-]%s failed: %s\n", checks[check].name, failure);
    }
    if (!healthy)
        buffer_printf(&lines, "%s check failed\n", page->name);
    else if (page->verbose)
        buffer_printf(&lines, "ok\n");
    struct bytes body = healthy && !page->verbose ? bytes_from_text("ok\n") : buffer_bytes(&lines);
    answer(page, healthy ? 200 : 503, plain_text, body);
    buffer_free(&lines);
}

static void answer_page(struct page *page) {
    if (page->is_health)
        answer_health(page);
    else
        answer_checks(page);
}

/* --- asking --- */

/* AlarmResponse{alarms=2 {memberID=1 alarm=2}} */
static void take_alarms(struct page *page, struct bytes body) {
    struct wire_reader reader = wire_reader_of(body);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number != 2 || field.type != WIRE_BYTES)
            continue;
        struct wire_reader inner = wire_reader_of(field.bytes);
        struct wire_field value;
        while (wire_next(&inner, &value)) {
            if (value.number == 2 && value.type == WIRE_VARINT && value.value < 3)
                page->alarms[value.value] = true;
        }
    }
}

static void settle(struct page *page, unsigned call, const struct proxy_result *result) {
    if (result->status == STATUS_OK && call == CALL_ALARMS)
        take_alarms(page, result->body);
    if (result->more)
        return;
    page->outcome[call] = result->status;
    if (--page->waiting == 0)
        answer_page(page);
}

static struct page *page_of(struct proxy_call *call, unsigned index) {
    return (struct page *)(void *)((char *)(call - index) - offsetof(struct page, calls));
}

static void alarms_result(struct proxy_call *call, const struct proxy_result *result) {
    settle(page_of(call, CALL_ALARMS), CALL_ALARMS, result);
}

static void serializable_result(struct proxy_call *call, const struct proxy_result *result) {
    settle(page_of(call, CALL_SERIALIZABLE), CALL_SERIALIZABLE, result);
}

static void linearizable_result(struct proxy_call *call, const struct proxy_result *result) {
    settle(page_of(call, CALL_LINEARIZABLE), CALL_LINEARIZABLE, result);
}

static void ask(struct page *page, unsigned index, enum proxy_route route, uint16_t method,
                void (*result)(struct proxy_call *, const struct proxy_result *)) {
    struct proxy_call *call = &page->calls[index];
    *call = (struct proxy_call){.route = route, .method = method, .result = result};
    page->waiting++;
    proxy_role_call(page->server->role, call, page->server->now_us);
}

static void ask_what_is_needed(struct page *page) {
    unsigned wanted = page->wanted;
    page->waiting = 1; /* our own hold, until all is asked */
    if (wanted & (BIT(CHECK_ALARM_NOSPACE) | BIT(CHECK_ALARM_CORRUPT)))
        ask(page, CALL_ALARMS, PROXY_SERIALIZABLE_READ, METHOD_ALARM, alarms_result);
    if (wanted & BIT(CHECK_SERIALIZABLE_READ))
        ask(page, CALL_SERIALIZABLE, PROXY_SERIALIZABLE_READ, METHOD_HEALTH, serializable_result);
    if (wanted & BIT(CHECK_LINEARIZABLE_READ))
        ask(page, CALL_LINEARIZABLE, PROXY_LINEARIZABLE_READ, METHOD_HEALTH, linearizable_result);
    if (--page->waiting == 0)
        answer_page(page);
}

void page_cancel(struct page *page) {
    for (unsigned i = 0; i < CALL_COUNT; i++)
        proxy_role_cancel(page->server->role, &page->calls[i]);
}

/* --- which page --- */

static bool is(struct bytes text, const char *word) {
    return bytes_equal(text, bytes_from_text(word));
}

static void read_query(struct page *page, struct bytes query, bool *serializable) {
    struct bytes name;
    struct bytes value;
    while (http1_next_parameter(&query, &name, &value)) {
        if (is(name, "verbose"))
            page->verbose = true;
        else if (is(name, "serializable"))
            *serializable = is(value, "true");
        else if (is(name, "exclude") && is(value, "NOSPACE"))
            page->excluded |= BIT(CHECK_ALARM_NOSPACE);
        else if (is(name, "exclude") && is(value, "CORRUPT"))
            page->excluded |= BIT(CHECK_ALARM_CORRUPT);
        else if (is(name, "exclude")) {
            for (enum page_check check = CHECK_ALARM_CORRUPT; check < CHECK_COUNT; check++) {
                if (checks[check].name != NULL && is(value, checks[check].name))
                    page->excluded |= BIT(check);
            }
        }
    }
}

static void health(struct page *page, const struct http1_request *request) {
    bool serializable = false;
    read_query(page, request->query, &serializable);
    page->is_health = true;
    page->wanted = BIT(CHECK_ALARM_NOSPACE) | BIT(CHECK_ALARM_CORRUPT);
    page->wanted |=
        serializable ? BIT(CHECK_SERIALIZABLE_READ) : BIT(CHECK_LEADER) | BIT(CHECK_LINEARIZABLE_READ);
    page->wanted &= ~page->excluded;
    /* Without a leader the read would only wait; that there is none is reason enough. */
    if (failure_of(page, CHECK_LEADER) != NULL)
        page->wanted &= ~BIT(CHECK_LINEARIZABLE_READ);
    ask_what_is_needed(page);
}

/* /livez, /readyz: all checks of the page; /livez/<check>: that one. */
static void probe(struct page *page, const struct http1_request *request, const char *name,
                  struct bytes single) {
    bool ready = is(bytes_from_text(name), "readyz");
    bool unused = false;
    read_query(page, request->query, &unused);
    page->name = name;
    for (enum page_check check = 0; check < CHECK_COUNT; check++) {
        if (checks[check].name == NULL || (ready ? checks[check].readyz : checks[check].livez) == 0)
            continue;
        if (single.length == 0 || is(single, checks[check].name))
            page->wanted |= BIT(check);
    }
    if (page->wanted == 0) {
        not_found(page);
        return;
    }
    page->wanted &= ~page->excluded;
    ask_what_is_needed(page);
}

static void metrics(struct page *page) {
    struct buffer body = {0};
    metrics_page(page->server->config->runtime_directory, &body);
    answer(page, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_bytes(&body));
    buffer_free(&body);
}

/* True when the path is `page` or stands below it; *below is then the rest. */
static bool under(struct bytes path, const char *page, struct bytes *below) {
    size_t length = strlen(page);
    *below = (struct bytes){0};
    if (path.length < length || memcmp(path.data, page, length) != 0)
        return false;
    if (path.length == length)
        return true;
    *below = bytes_of(path.data + length + 1, path.length - length - 1);
    return path.data[length] == '/' && below->length > 0;
}

void page_make(struct page *page, struct server *server, const struct http1_request *request,
               void (*done)(void *context, const struct page_answer *answer), void *context) {
    struct bytes below;
    *page = (struct page){.server = server, .done = done, .context = context};
    bool get = is(request->method, "GET");
    bool live = under(request->path, "/livez", &below);
    bool ready = !live && under(request->path, "/readyz", &below);
    if (is(request->path, "/health") || live || ready) {
        if (!get)
            answer(page, 405, plain_text, bytes_from_text("Method Not Allowed\n"));
        else if (!live && !ready)
            health(page, request);
        else
            probe(page, request, live ? "livez" : "readyz", below);
    } else if (is(request->path, "/version")) {
        if (get)
            answer(page, 200, "application/json", bytes_from_text(VERSION_PAGE));
        else
            answer(page, 405, plain_text, bytes_from_text("Method Not Allowed\n"));
    } else if (is(request->path, "/metrics")) {
        metrics(page);
    } else {
        not_found(page);
    }
}
