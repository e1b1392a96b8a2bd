/* windows: histograms of durations by when they belong: how a latency changes in the course of a run. */
#ifndef QUORATE_LOAD_WINDOWS_H
#define QUORATE_LOAD_WINDOWS_H

#include "ops/load/histogram.h"

#include <stddef.h>

/* Zero-initialised is empty. */
struct windows {
    struct histogram *list;
    size_t count;
};

/* at_ns: since the run began. width_s: of a window, the same in every call. */
void windows_record(struct windows *windows, double width_s, uint64_t at_ns, uint64_t latency_ns);
void windows_add(struct windows *into, const struct windows *from);
void windows_free(struct windows *windows);

#endif
