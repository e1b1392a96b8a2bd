/*
 * proxy_role_state: what proxy_role.c (calls) and proxy_links.c (what comes over the links) share.
 *
 * A call is in exactly one of these states: WAITING (in a queue, no id), SENT (in the id table) or STREAMING
 * (in the id table, a part of its answer was passed on). Its deadline is in the timer wheel in all of them.
 * An ALARM is nothing but that.
 */
#ifndef QUORATE_PROXY_PROXY_ROLE_STATE_H
#define QUORATE_PROXY_PROXY_ROLE_STATE_H

#include "proxy/pending.h"

enum call_state { CALL_WAITING = 1, CALL_SENT, CALL_STREAMING, CALL_ALARM };

/* Which links a route needs: one queue of waiting calls for each. */
enum queue { QUEUE_BOTH, QUEUE_APPLY, QUEUE_RAFT, QUEUE_COUNT };

struct call_queue {
    struct proxy_call *head, *tail;
};

struct watch_hub;

struct proxy_role {
    struct proxy_role_config config;
    struct bus_link *raft, *apply, *maint;
    struct id_table calls;
    struct timer_wheel timers;
    struct call_queue queues[QUEUE_COUNT];
    size_t pending;
    size_t waiting_bytes;
    uint64_t counter;          /* of the last id given */
    uint64_t raft_incarnation; /* of the last raft process we had a link to */
    uint64_t apply_losses;     /* as raft said last */
    bool raft_state_known;     /* it has said so on this connection */
    struct proxy_view view;
    struct buffer scratch; /* the InternalRaftRequest being built */
    struct watch_hub *watch;
};

static inline bool call_is_read(const struct proxy_call *call) {
    return call->route != PROXY_WRITE;
}

/* An id nobody has had. */
uint64_t role_next_id(struct proxy_role *role);
/* The call goes to the end of its queue; it must not be in the id table. */
void role_enqueue(struct proxy_role *role, struct proxy_call *call);
/* Sends what waits, as far as links allow. */
void role_drain(struct proxy_role *role);
/* The role does not know the call any longer. */
void role_forget(struct proxy_role *role, struct proxy_call *call);
/* Ends every call on the timers' expired list: with its end_status, or else because its time is over. */
void role_end_expired(struct proxy_role *role);

#endif
