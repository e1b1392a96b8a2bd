/* clock: monotonic time for deadlines and durations, wall time for log lines only. Microseconds. */
#ifndef QUORATE_COMMON_CLOCK_H
#define QUORATE_COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_us(void);
uint64_t clock_wall_us(void);
/* Cryptographic randomness from the kernel; aborts if there is none. */
uint64_t clock_random(void);

#endif
