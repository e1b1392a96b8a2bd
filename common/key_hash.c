/* key_hash: see key_hash.h. */
#include "common/key_hash.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t mix(uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t key_hash(struct bytes key, uint64_t seed) {
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t state = seed ^ mix(seed ^ odd, key.length ^ UINT64_C(0xD6E8FEB86659FD93));
    size_t at = 0;
    for (; at + 8 <= key.length; at += 8) {
        uint64_t word;
        memcpy(&word, key.data + at, 8);
        state = mix(state ^ word, seed ^ odd);
    }
    uint64_t rest = 0;
    if (at < key.length)
        memcpy(&rest, key.data + at, key.length - at);
    return mix(state ^ rest, odd ^ (seed << 1 | 1));
}
