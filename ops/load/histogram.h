/*
 * histogram: log-linear counts of durations, HDR style. 128 steps per power of two, so a percentile is exact
 * to 0.8 %; recording costs a few nanoseconds and no allocation. Durations are nanoseconds.
 */
#ifndef QUORATE_LOAD_HISTOGRAM_H
#define QUORATE_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_TOP_BIT = 40, /* longer than 18 minutes counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BIT - HISTOGRAM_STEP_BITS + 2) * HISTOGRAM_STEPS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t maximum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t nanoseconds);
void histogram_add(struct histogram *into, const struct histogram *from);
/* The duration that `quantile` (0..1) of the recorded ones do not exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);
double histogram_mean(const struct histogram *histogram);

#endif
