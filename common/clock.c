/* clock: see clock.h. */
#include "common/clock.h"

#include <sys/random.h>
#include <time.h>

#include "common/bytes.h"

static uint64_t read_clock(clockid_t id) {
    struct timespec now;
    REQUIRE(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_us(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(void) {
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_random(void) {
    uint64_t value = 0;
    REQUIRE(getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value);
    return value;
}
