/* requests: makes the requests that clients send. Every one carries its tag; values name it too. */
#ifndef QUORATE_SIM_REQUESTS_H
#define QUORATE_SIM_REQUESTS_H

#include "history.h"
#include "random.h"

struct request_hints {
    uint64_t revision;    /* the newest the client saw: to ask for something that may be true */
    size_t value_padding; /* most bytes that a value is padded with */
    unsigned padded_percent, leased_percent; /* of puts */
};

/* Completes a request whose method and body are written: the tag, and the call. */
void request_tag(struct operation *operation);
/* Fills route, method and body of the operation. */
void request_choose(struct operation *operation, struct random *random, const struct request_hints *hints);
void request_put(struct operation *operation, const char *key);
/* Answered when it is done physically too. */
void request_compact(struct operation *operation, uint64_t revision);
/* revision 0: the present one. */
void request_read_all(struct operation *operation, uint64_t revision);

#endif
