/*
 * pages: what is served over HTTP/1.1 (etcd-api.md 1.14): /health, /livez, /readyz (and single checks under
 * them), /version, /metrics.
 */
#ifndef QUORATE_PROXY_PAGES_H
#define QUORATE_PROXY_PAGES_H

#include "proxy/http1.h"
#include "proxy/proxy_role.h"

struct server;

struct page_answer {
    unsigned status; /* HTTP */
    const char *content_type;
    struct bytes body; /* borrowed for the callback */
};

enum page_check {
    CHECK_ALARM_NOSPACE,
    CHECK_ALARM_CORRUPT,
    CHECK_LEADER,
    CHECK_SERIALIZABLE_READ,
    CHECK_LINEARIZABLE_READ,
    CHECK_NON_LEARNER,
    CHECK_COUNT
};

/* A page under way. Embedded in the connection; page_done is called once, possibly from inside page_make. */
struct page {
    struct server *server;
    void (*done)(void *context, const struct page_answer *answer);
    void *context;
    bool is_health; /* the older page in JSON */
    bool verbose;
    const char *name;           /* "livez", "readyz" */
    unsigned wanted;            /* bits of enum page_check */
    unsigned excluded;          /* asked for by exclude= */
    unsigned waiting;           /* calls without a result */
    bool alarms[3];             /* by AlarmType */
    uint16_t outcome[3];        /* enum status of the calls below */
    struct proxy_call calls[3]; /* alarms, serializable read, linearizable read */
};

void page_make(struct page *page, struct server *server, const struct http1_request *request,
               void (*done)(void *context, const struct page_answer *answer), void *context);
void page_cancel(struct page *page);

#endif
