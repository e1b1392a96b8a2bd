/*
 * throttle: how long to wait before a dead daemon is started again. Pure.
 *
 * One that lived for a second or more is started at once. One that keeps dying within a second of its start
 * waits 0, 100 ms, 400 ms, 1.6 s and then 5 s each time.
 */
#ifndef QUORATE_LAUNCHER_THROTTLE_H
#define QUORATE_LAUNCHER_THROTTLE_H

#include <stdint.h>

struct throttle {
    unsigned early_deaths; /* in a row */
};

/* The daemon died after `lived_us`; returns microseconds to wait. */
uint64_t throttle_died(struct throttle *throttle, uint64_t lived_us);

#endif
