/* random: see random.h. */
#include "random.h"

static uint64_t splitmix(uint64_t *state) {
    uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

struct random random_stream(uint64_t seed, uint64_t stream) {
    uint64_t state = seed;
    state = splitmix(&state) ^ stream * UINT64_C(0xd1342543de82ef95);
    struct random random;
    for (unsigned i = 0; i < 4; i++)
        random.state[i] = splitmix(&state);
    return random;
}

static uint64_t rotate(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

uint64_t random_next(struct random *random) {
    uint64_t *state = random->state;
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t bound) {
    /* The bias of the modulus is below 2^-40 for the bounds used here. */
    return bound == 0 ? 0 : random_next(random) % bound;
}

uint64_t random_between(struct random *random, uint64_t low, uint64_t high) {
    return low + random_below(random, high - low + 1);
}

bool random_chance(struct random *random, uint64_t numerator, uint64_t denominator) {
    return random_below(random, denominator) < numerator;
}

uint64_t random_delay(struct random *random, uint64_t low, uint64_t high) {
    unsigned magnitudes = 1;
    while (magnitudes < 40 && (high - low) >> magnitudes != 0)
        magnitudes++;
    uint64_t bound = UINT64_C(1) << random_below(random, magnitudes + 1);
    uint64_t delay = low + random_below(random, bound);
    return delay > high ? high : delay;
}
