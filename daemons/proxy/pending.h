/*
 * pending: the calls that are under way, by request id and by deadline. No allocation per call.
 *
 * Ids of one proxy count upward, so open addressing with the id's low bits as hash gives almost no
 * collisions. Deadlines live in a wheel of 4 ms slots (calls embed their links); a deadline beyond the
 * wheel's horizon stays in its slot for another turn.
 */
#ifndef QUORATE_PROXY_PENDING_H
#define QUORATE_PROXY_PENDING_H

#include "proxy/proxy_role.h"

struct id_table {
    struct id_entry {
        uint64_t id; /* 0: free */
        struct proxy_call *call;
    } * entries;
    size_t capacity; /* a power of two, or 0 */
    unsigned shift;  /* 64 less the binary logarithm of capacity */
    size_t count;
};

void id_table_add(struct id_table *table, uint64_t id, struct proxy_call *call);
struct proxy_call *id_table_find(const struct id_table *table, uint64_t id);
void id_table_remove(struct id_table *table, uint64_t id);
void id_table_free(struct id_table *table);

enum {
    TIMER_SLOT_US = 4096,
    TIMER_SLOTS = 2048,
    TIMER_EXPIRED = TIMER_SLOTS,  /* the list of calls about to be ended */
    TIMER_NONE = TIMER_SLOTS + 1, /* in no list */
};

struct timer_wheel {
    struct proxy_call *slots[TIMER_SLOTS + 1];
    uint64_t occupied[TIMER_SLOTS / 64];
    uint64_t now_us;
    size_t count; /* calls in slots, without the expired list */
};

void timer_add(struct timer_wheel *wheel, struct proxy_call *call); /* by call->expires_us */
void timer_remove(struct timer_wheel *wheel, struct proxy_call *call);
/* Puts the call on the list of those about to be ended. */
void timer_expire(struct timer_wheel *wheel, struct proxy_call *call);
/* Moves all calls whose time has come to the expired list. */
void timer_advance(struct timer_wheel *wheel, uint64_t now_us);
/* When to look again; UINT64_MAX when there is nothing to wait for. */
uint64_t timer_next_us(const struct timer_wheel *wheel);

#endif
