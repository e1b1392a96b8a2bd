/*
 * watch_check: the judgement on what watchers were told: etcd's nine guarantees (those of its robustness
 * tests), against the events that the log comes to.
 *
 *   filter        no event outside the range or of a filtered kind
 *   ordered       revisions never go back             } together: exactly the log's events from the start
 *   unique        no event comes twice                } revision on, restricted to range and filters, one
 *   reliable      no event is left out                } after the other
 *   atomic        all events of a revision come together (checked as they come: watch_session.c)
 *   bookmarkable  progress to R means that everything up to R was delivered; an event that stood in the log
 *                 when progress was asked for is covered by the answer
 *   resumable     whoever goes on behind what he saw last, in another stream, sees what follows
 *   prevKV        prev_kv is the pair at the revision before; left out only for what was not there, or when
 * that revision is compacted isCreate      create_revision, version, value, lease and previous pair are the
 * log's, so an event is the creation of its key exactly when the key was not there
 *
 * and beside them: nothing is shown that was not durable; a watch asked for is admitted at a revision that
 * everybody had seen, or a later one; it is canceled as compacted exactly when it has to be, naming a
 * revision that was compacted; who is there at the end has everything.
 */
#ifndef QUORATE_SIM_WATCH_CHECK_H
#define QUORATE_SIM_WATCH_CHECK_H

#include "judge.h"
#include "watch_session.h"

void watch_check_wish(const struct judge *judge, const struct watch_wish *wish);
void watch_check_session(const struct judge *judge, const struct watch_session *session);

#endif
