/*
 * reference: see reference.h. A key's versions are an array; the state at a revision is, for each key, its
 * last version at or below it.
 */
#include "reference_state.h"

#include <stdlib.h>

struct reference *reference_new(void) {
    struct reference *reference = must_zalloc(sizeof *reference);
    reference->revision = 1;
    return reference;
}

void reference_free(struct reference *reference) {
    for (size_t i = 0; i < reference->count; i++) {
        for (size_t j = 0; j < reference->keys[i].count; j++)
            free((void *)reference->keys[i].versions[j].value.data);
        free(reference->keys[i].versions);
        free((void *)reference->keys[i].name.data);
    }
    free(reference->keys);
    free(reference->events);
    free(reference->leases);
    free(reference->compactions);
    free(reference);
}

uint64_t reference_revision(const struct reference *reference) {
    return reference->revision;
}

uint64_t reference_compacted(const struct reference *reference, uint64_t index) {
    for (size_t i = reference->compaction_count; i > 0; i--) {
        if (reference->compactions[i - 1].index <= index)
            return reference->compactions[i - 1].revision;
    }
    return 0;
}

bool reference_was_compacted(const struct reference *reference, uint64_t revision) {
    for (size_t i = 0; i < reference->compaction_count; i++) {
        if (reference->compactions[i].revision == revision)
            return true;
    }
    return false;
}

const struct reference_event *reference_events(const struct reference *reference, size_t *count) {
    *count = reference->event_count;
    return reference->events;
}

/* --- keys and their versions --- */

void *reference_grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    return must_realloc(array, *capacity * size);
}

struct bytes reference_copy(struct bytes bytes) {
    uint8_t *data = must_alloc(bytes.length + 1);
    if (bytes.length > 0)
        memcpy(data, bytes.data, bytes.length);
    return bytes_of(data, bytes.length);
}

struct key *reference_find_or_add(struct reference *reference, struct bytes name) {
    size_t at = 0;
    while (at < reference->count && bytes_compare(reference->keys[at].name, name) < 0)
        at++;
    if (at < reference->count && bytes_equal(reference->keys[at].name, name))
        return &reference->keys[at];
    reference->keys =
        reference_grow(reference->keys, &reference->capacity, reference->count, sizeof *reference->keys);
    memmove(&reference->keys[at + 1], &reference->keys[at],
            (reference->count - at) * sizeof *reference->keys);
    reference->count++;
    reference->keys[at] = (struct key){.name = reference_copy(name)};
    return &reference->keys[at];
}

const struct version *reference_live(const struct key *key, uint64_t revision) {
    for (size_t i = key->count; i > 0; i--) {
        if (key->versions[i - 1].mod <= revision)
            return key->versions[i - 1].version > 0 ? &key->versions[i - 1] : NULL;
    }
    return NULL;
}

struct kv reference_kv(const struct key *key, const struct version *version) {
    return (struct kv){
        .key = key->name,
        .value = version->value,
        .create = version->create,
        .mod = version->mod,
        .version = version->version,
        .lease = version->lease,
    };
}

void reference_change(struct view *view, struct key *key, struct version version) {
    struct reference *reference = view->writable;
    version.mod = view->revision + 1;
    const struct version *previous = reference_live(key, view->revision);
    reference->events = reference_grow(reference->events, &reference->event_capacity, reference->event_count,
                                       sizeof *reference->events);
    struct reference_event *event = &reference->events[reference->event_count++];
    *event = (struct reference_event){.revision = version.mod,
                                      .deleted = version.version == 0,
                                      .has_previous = previous != NULL,
                                      .now = reference_kv(key, &version)};
    if (previous != NULL)
        event->previous = reference_kv(key, previous);
    key->versions = reference_grow(key->versions, &key->capacity, key->count, sizeof *key->versions);
    key->versions[key->count++] = version;
    view->changed = true;
}

/* --- requests --- */

void reference_execute(struct reference *reference, uint64_t index, uint16_t method, struct bytes body,
                       struct outcome *out) {
    struct view view = {.store = reference,
                        .writable = reference,
                        .revision = reference->revision,
                        .index = index,
                        .compacted = reference_compacted(reference, index)};
    *out = (struct outcome){0};
    if (method == METHOD_LEASE_GRANT)
        out->status = reference_grant(&view, body, &out->text);
    else if (method == METHOD_LEASE_REVOKE)
        out->status = reference_revoke(&view, body, &out->text);
    else
        out->status = reference_run_kv(&view, method, body, &out->text);
    if (out->status != STATUS_OK)
        buffer_reset(&out->text, 0);
    REQUIRE(out->status == STATUS_OK || !view.changed);
    reference->revision = view_revision(&view);
    out->revision = reference->revision;
}

void reference_read(const struct reference *reference, uint16_t method, struct bytes body, uint64_t revision,
                    struct outcome *out) {
    struct view view = {.store = reference, .revision = revision};
    *out = (struct outcome){.revision = revision};
    out->status = reference_run_kv(&view, method, body, &out->text);
    if (out->status != STATUS_OK)
        buffer_reset(&out->text, 0);
}
