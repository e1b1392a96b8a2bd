/*
 * asking: puts operations to the proxies' role loops, as the HTTP side does: asks, takes answers in parts,
 * cancels. Who asks is told when an operation has ended, whichever way.
 */
#ifndef QUORATE_SIM_ASKING_H
#define QUORATE_SIM_ASKING_H

#include "history.h"
#include "node.h"

struct asker {
    struct world *world;
    struct node *node;
    struct history *history;
    struct random random;
    struct arena shadows; /* second copies of requests planted twice */
};

void asker_init(struct asker *asker, struct world *world, struct node *node, struct history *history,
                struct random random);
void asker_free(struct asker *asker);

/* To be filled in and asked. client: for the trace. ended: may be NULL. */
struct operation *asker_operation(struct asker *asker, unsigned client, unsigned slot,
                                  void (*ended)(struct operation *operation), void *context);
/* False when it has ended already. The proxy must live. */
bool asker_ask(struct asker *asker, struct operation *operation);
/* Cancels it then, if it is still under way. */
void asker_cancel_later(struct asker *asker, struct operation *operation, uint64_t delay_us);
/* Planted bug: the same bytes once more; the answer is thrown away. */
void asker_ask_twice(struct asker *asker, const struct operation *operation);
/* What waited there has ended. */
void asker_proxy_died(struct asker *asker, unsigned slot);

#endif
