/* run: one seed from start to verdict. */
#ifndef QUORATE_SIM_RUN_H
#define QUORATE_SIM_RUN_H

#include "world.h"

struct run_options {
    bool print; /* the trace, to standard output */
};

struct run_result {
    bool failed;
    char failure[1024];
    uint64_t hash;
    uint64_t simulated_us;
    struct world_counts counts;
};

void run_seed(uint64_t seed, const struct run_options *options, struct run_result *result);

#endif
