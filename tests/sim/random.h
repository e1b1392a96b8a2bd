/*
 * random: the simulator's only source of chance. xoshiro256** seeded through splitmix64: the same on every
 * machine, unlike rand(). Each part of the simulator has a stream of its own, so that a change in how one
 * part draws does not shift all others.
 */
#ifndef QUORATE_SIM_RANDOM_H
#define QUORATE_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

/* Streams of one seed are independent of each other. */
struct random random_stream(uint64_t seed, uint64_t stream);
uint64_t random_next(struct random *random);
/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* Uniform in [low, high]. */
uint64_t random_between(struct random *random, uint64_t low, uint64_t high);
/* True with probability numerator/denominator. */
bool random_chance(struct random *random, uint64_t numerator, uint64_t denominator);
/*
 * A delay in [low, high] of which most are short and a few are long: chosen evenly by magnitude. What breaks
 * protocols is one slow thing among many fast ones.
 */
uint64_t random_delay(struct random *random, uint64_t low, uint64_t high);

#endif
