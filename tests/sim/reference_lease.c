/*
 * reference_lease: leases in the reference. Rules: etcd-api.md 1.7. What is attached to a lease is what the
 * keys themselves say: there is no second list that could differ.
 */
#include <inttypes.h>

#include "reference_state.h"

#define MAXIMUM_TTL INT64_C(9000000000)

const struct reference_lease *reference_leases(const struct reference *reference, size_t *count) {
    *count = reference->lease_count;
    return reference->leases;
}

const struct reference_lease *reference_lease_at(const struct reference *reference, int64_t id,
                                                 uint64_t index) {
    for (size_t i = 0; i < reference->lease_count; i++) {
        const struct reference_lease *lease = &reference->leases[i];
        if (lease->id == id && lease->from <= index && (lease->to == 0 || index < lease->to))
            return lease;
    }
    return NULL;
}

void reference_attached(const struct reference *reference, int64_t id, uint64_t revision,
                        struct buffer *out) {
    for (size_t i = 0; i < reference->count; i++) {
        const struct key *key = &reference->keys[i];
        const struct version *version = reference_live(key, revision);
        if (version != NULL && version->lease == id)
            buffer_printf(out, "%.*s ", (int)key->name.length, (const char *)key->name.data);
    }
}

uint16_t reference_grant(struct view *view, struct bytes body, struct buffer *out) {
    struct reference *reference = view->writable;
    struct lease_request request;
    REQUIRE(lease_grant_request_decode(body, &request));
    if (request.id == 0)
        return STATUS_LEASE_NOT_FOUND;
    if (request.ttl > MAXIMUM_TTL)
        return STATUS_LEASE_TTL_TOO_LARGE;
    if (reference_lease_at(reference, request.id, view->index) != NULL)
        return STATUS_LEASE_EXISTS;
    reference->leases = reference_grow(reference->leases, &reference->lease_capacity, reference->lease_count,
                                       sizeof *reference->leases);
    struct reference_lease *lease = &reference->leases[reference->lease_count++];
    *lease = (struct reference_lease){
        .id = request.id,
        .ttl = request.ttl < 1 ? 1 : request.ttl, /* the minimum is the proxy's business, before the log */
        .from = view->index,
    };
    buffer_printf(out, "grant %" PRId64 " ttl %" PRId64, lease->id, lease->ttl);
    return STATUS_OK;
}

uint16_t reference_revoke(struct view *view, struct bytes body, struct buffer *out) {
    struct reference *reference = view->writable;
    struct lease_request request;
    REQUIRE(lease_request_decode(body, &request));
    const struct reference_lease *lease = reference_lease_at(reference, request.id, view->index);
    if (lease == NULL)
        return STATUS_LEASE_NOT_FOUND;
    reference->leases[lease - reference->leases].to = view->index;
    for (size_t i = 0; i < reference->count; i++) {
        const struct version *version = reference_live(&reference->keys[i], view->revision);
        if (version != NULL && version->lease == request.id)
            reference_change(view, &reference->keys[i], (struct version){0});
    }
    buffer_printf(out, "revoke");
    return STATUS_OK;
}
