/*
 * undelivered: results of entries for a proxy whose link is down at the moment.
 *
 * After a restart of apply, raft's link may be up and replaying before a proxy's is. Results of writes that
 * were under way when apply died would then have nobody to go to, and since a write is never asked again, the
 * client would wait for its deadline. So they are kept until the proxy says HELLO; then those at or above the
 * revision it has seen are delivered, and it drops what it does not wait for. Bounded: the oldest go first.
 */
#ifndef QUORATE_APPLY_UNDELIVERED_H
#define QUORATE_APPLY_UNDELIVERED_H

#include "apply/mvcc/mvcc.h"

enum { UNDELIVERED_BYTES = 4 << 20 }; /* per proxy; about 30,000 results of puts */

struct undelivered_result {
    struct undelivered_result *next;
    struct outcome outcome; /* its body is a copy behind this struct */
};

/* Zero-initialised is empty. */
struct undelivered {
    struct undelivered_result *head, *newest;
    size_t bytes;
};

void undelivered_keep(struct undelivered *undelivered, const struct outcome *outcome);
/* Takes the oldest; NULL when empty. The caller frees it with free(). */
struct undelivered_result *undelivered_take(struct undelivered *undelivered);
void undelivered_clear(struct undelivered *undelivered);

#endif
