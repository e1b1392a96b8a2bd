/* histogram: see histogram.h. Below 128 ns a bucket is one nanosecond wide, above it 1/128 of its power of
 * two. */
#include "ops/load/histogram.h"

static unsigned bucket_of(uint64_t nanoseconds) {
    if (nanoseconds < HISTOGRAM_STEPS)
        return (unsigned)nanoseconds;
    unsigned top = 63U - (unsigned)__builtin_clzll(nanoseconds);
    if (top > HISTOGRAM_TOP_BIT)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = top - HISTOGRAM_STEP_BITS;
    unsigned step = (unsigned)(nanoseconds >> shift) & (HISTOGRAM_STEPS - 1U);
    return (shift + 1) * HISTOGRAM_STEPS + step;
}

/* The largest duration that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket) {
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t nanoseconds) {
    histogram->count++;
    histogram->sum += nanoseconds;
    if (nanoseconds > histogram->maximum)
        histogram->maximum = nanoseconds;
    histogram->buckets[bucket_of(nanoseconds)]++;
}

void histogram_add(struct histogram *into, const struct histogram *from) {
    into->count += from->count;
    into->sum += from->sum;
    if (from->maximum > into->maximum)
        into->maximum = from->maximum;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        into->buckets[bucket] += from->buckets[bucket];
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)histogram->count + 0.5);
    if (wanted == 0)
        wanted = 1;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= wanted) {
            uint64_t end = bucket_end(bucket);
            return end < histogram->maximum ? end : histogram->maximum;
        }
    }
    return histogram->maximum;
}

double histogram_mean(const struct histogram *histogram) {
    return histogram->count == 0 ? 0.0 : (double)histogram->sum / (double)histogram->count;
}
