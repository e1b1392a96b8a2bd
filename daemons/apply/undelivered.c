/* undelivered: see undelivered.h. */
#include "apply/undelivered.h"

#include <stdlib.h>

static size_t size_of(const struct outcome *outcome) {
    return sizeof(struct undelivered_result) + outcome->body.length;
}

void undelivered_keep(struct undelivered *undelivered, const struct outcome *outcome) {
    struct undelivered_result *result = must_alloc(size_of(outcome));
    *result = (struct undelivered_result){.outcome = *outcome};
    if (outcome->body.length != 0)
        memcpy(result + 1, outcome->body.data, outcome->body.length);
    result->outcome.body = bytes_of(result + 1, outcome->body.length);
    if (undelivered->head == NULL)
        undelivered->head = result;
    else
        undelivered->newest->next = result;
    undelivered->newest = result;
    undelivered->bytes += size_of(outcome);
    while (undelivered->bytes > UNDELIVERED_BYTES)
        free(undelivered_take(undelivered));
}

struct undelivered_result *undelivered_take(struct undelivered *undelivered) {
    struct undelivered_result *result = undelivered->head;
    if (result == NULL)
        return NULL;
    undelivered->head = result->next;
    undelivered->bytes -= size_of(&result->outcome);
    return result;
}

void undelivered_clear(struct undelivered *undelivered) {
    while (undelivered->head != NULL)
        free(undelivered_take(undelivered));
}
