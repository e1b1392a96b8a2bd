/*
 * subscribers: clients that watch. Each has one Watch stream at a time and some watchers on it; it asks for
 * more, leaves some, asks for progress, is quick or slow in taking what it is sent, and when its stream ends
 * (its proxy died, or it goes elsewhere) opens another and goes on from what it has seen, as etcd's clientv3
 * does.
 */
#ifndef QUORATE_SIM_SUBSCRIBERS_H
#define QUORATE_SIM_SUBSCRIBERS_H

#include "judge.h"
#include "node.h"
#include "watch_session.h"

enum { WATCHES_SERVED = 1 }; /* from the past, too, by this release */

struct subscribers;

struct subscribers *subscribers_new(struct world *world, struct node *node, struct history *history);
void subscribers_free(struct subscribers *subscribers);
void subscribers_start(struct subscribers *subscribers);
void subscribers_proxy_died(struct subscribers *subscribers, unsigned slot);
/* Nothing new is asked for from now on; streams that end are still opened anew, and all are quick. */
void subscribers_stop(struct subscribers *subscribers);
/* Whether progress up to the revision has been told to every stream; those that it was not ask for it. */
bool subscribers_have_everything(struct subscribers *subscribers, uint64_t revision);

/* Compares all that watchers were told with the log (watch_check.h). The history must have been checked. */
void subscribers_check(const struct subscribers *subscribers, const struct judge *judge);

/* Planted bug: a watcher whose stream ended goes on one revision too late. */
extern bool subscribers_plant_late;

#endif
