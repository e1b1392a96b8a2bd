/*
 * hub: what the proxy's role tells its watches (watch.h), and when.
 *
 * The role owns the link to apply; the hub puts its records there (ranges, creates) and asks history like
 * any other read. Everything that comes for watchers goes out at the end of the round.
 */
#ifndef QUORATE_PROXY_WATCH_HUB_H
#define QUORATE_PROXY_WATCH_HUB_H

#include "common/bus/contract.h"

struct proxy_role;
struct watch_hub;

struct watch_hub *hub_new(struct proxy_role *role);
/* Streams that are still open go too, without a word. */
void hub_free(struct watch_hub *hub);

/* Apply has said its first word on this connection; the connection is gone. */
void hub_apply_up(struct watch_hub *hub);
void hub_apply_down(struct watch_hub *hub);
/* What apply sends: BUS_APPLY_EVENTS, BUS_APPLY_WATCH. */
void hub_events(struct watch_hub *hub, const struct bus_events *events);
void hub_answer(struct watch_hub *hub, const struct bus_watch_answer *answer);

void hub_tick(struct watch_hub *hub);
/* Before the links are flushed. */
void hub_end_round(struct watch_hub *hub);
/* When hub_tick or hub_end_round has something to do; UINT64_MAX: nothing known. */
uint64_t hub_next_us(const struct watch_hub *hub);

#endif
