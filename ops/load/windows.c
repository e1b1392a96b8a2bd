/* windows: see windows.h. */
#include "ops/load/windows.h"

#include "common/bytes.h"

#include <stdlib.h>

static void reserve(struct windows *windows, size_t count) {
    if (count <= windows->count)
        return;
    windows->list = must_realloc(windows->list, count * sizeof *windows->list);
    memset(windows->list + windows->count, 0, (count - windows->count) * sizeof *windows->list);
    windows->count = count;
}

void windows_record(struct windows *windows, double width_s, uint64_t at_ns, uint64_t latency_ns) {
    size_t window = (size_t)((double)at_ns / (width_s * 1e9));
    reserve(windows, window + 1);
    histogram_record(&windows->list[window], latency_ns);
}

void windows_add(struct windows *into, const struct windows *from) {
    reserve(into, from->count);
    for (size_t i = 0; i < from->count; i++)
        histogram_add(&into->list[i], &from->list[i]);
}

void windows_free(struct windows *windows) {
    free(windows->list);
    *windows = (struct windows){0};
}
