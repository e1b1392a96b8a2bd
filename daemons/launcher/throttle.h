/*
 * throttle: how long to wait before a dead daemon is started again. Pure.
 *
 * One that lived is started at once: a second, or a quarter of one if it had become ready (its start is not
 * what fails). One that keeps dying sooner waits 0, 100 ms, 400 ms, 1.6 s and then 5 s each time.
 */
#ifndef QUORATE_LAUNCHER_THROTTLE_H
#define QUORATE_LAUNCHER_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct throttle {
    unsigned early_deaths; /* in a row */
};

/* The daemon died `lived_us` after its start; returns microseconds to wait. */
uint64_t throttle_died(struct throttle *throttle, uint64_t lived_us, bool was_ready);

#endif
