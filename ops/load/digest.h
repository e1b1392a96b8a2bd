/*
 * digest: 64-bit digests of what was seen, so that sequences of millions of events can be compared without
 * keeping them. Not for adversaries: two different sequences agree by accident with probability 2^-64.
 *
 * A sequence of events is digested as the *sum* over its revisions of digest_mix(revision, d), where d chains
 * the events within the revision in their order. That the revisions themselves came in order is checked when
 * they come; the sum then allows "from revision S on" to be had as a difference.
 */
#ifndef QUORATE_LOAD_DIGEST_H
#define QUORATE_LOAD_DIGEST_H

#include "common/bytes.h"

/* Depends on the order of its arguments. */
static inline uint64_t digest_mix(uint64_t state, uint64_t value) {
    uint64_t x = (state ^ 0x9E3779B97F4A7C15U) * 0xBF58476D1CE4E5B9U + value;
    x = (x ^ x >> 30) * 0x94D049BB133111EBU;
    x = (x ^ x >> 27) * 0x2545F4914F6CDD1DU;
    return x ^ x >> 31;
}

static inline uint64_t digest_bytes(uint64_t state, struct bytes bytes) {
    state = digest_mix(state, bytes.length);
    size_t at = 0;
    for (; at + 8 <= bytes.length; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, 8);
        state = digest_mix(state, word);
    }
    uint64_t rest = 0;
    if (at < bytes.length)
        memcpy(&rest, bytes.data + at, bytes.length - at);
    return digest_mix(state, rest);
}

/* What a sequence has come to. Zero-initialised: empty. */
struct digest_sum {
    uint64_t sum, count; /* of the revisions before `revision`; events */
    int64_t revision;    /* the latest; its events are chained in `chain` */
    uint64_t chain;
};

static inline uint64_t digest_total(const struct digest_sum *digest) {
    return digest->revision == 0 ? digest->sum
                                 : digest->sum + digest_mix((uint64_t)digest->revision, digest->chain);
}

/* Revisions must not fall. */
static inline void digest_add(struct digest_sum *digest, int64_t revision, uint64_t event) {
    if (revision != digest->revision) {
        digest->sum = digest_total(digest);
        digest->revision = revision;
        digest->chain = 0;
    }
    digest->chain = digest_mix(digest->chain, event);
    digest->count++;
}

#endif
