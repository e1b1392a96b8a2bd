/*
 * tamper: planted bugs between two daemons: records are changed on their way from the bus
 * to the role that takes them, as if the sender had a bug. Nothing of it is in the daemons themselves.
 */
#ifndef QUORATE_SIM_TAMPER_H
#define QUORATE_SIM_TAMPER_H

#include "common/bus/contract.h"
#include "random.h"

/* One end of a link whose records are tampered with; lives as long as the link. */
struct tamper {
    struct bus_handler handler; /* the role's own */
    struct random *random;
    struct buffer body;     /* of the record that is handed on instead */
    struct buffer previous; /* wrong-previous: the last one seen */
    int64_t halved;         /* half-revoke: the lease whose revocation was spoilt last */
    int64_t lease;          /* and the last one that a key was attached to */
    struct buffer key;
};

/* The handler to give to the link: the role's, or one that tampers. */
struct bus_handler tamper_handler(struct tamper *tamper, struct bus_handler handler, struct random *random);
void tamper_free(struct tamper *tamper);

extern bool tamper_plant_late_history;   /* history is read from one revision too late */
extern bool tamper_plant_hidden_gap;     /* events get lost, and their revisions count as sent */
extern bool tamper_plant_wrong_previous; /* an event has the prev_kv of another */
extern bool tamper_plant_lost_range;     /* apply does not hear of one of a proxy's ranges */
extern bool tamper_plant_early_answer;   /* apply claims to have sent one revision more than it has */
extern bool tamper_plant_half_revoke;    /* a lease ends in two steps */

#endif
