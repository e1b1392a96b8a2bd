/* reference_state: what reference.c (state), reference_kv.c and reference_lease.c (requests) share. */
#ifndef QUORATE_SIM_REFERENCE_STATE_H
#define QUORATE_SIM_REFERENCE_STATE_H

#include "common/request.h"
#include "common/status.h"
#include "reference.h"

struct version {
    uint64_t mod, create, version; /* version 0: deleted */
    int64_t lease;
    struct bytes value; /* owned */
};

struct key {
    struct bytes name; /* owned */
    struct version *versions;
    size_t count, capacity;
};

struct compaction {
    uint64_t index, revision;
};

struct reference {
    struct key *keys; /* in order of name */
    size_t count, capacity;
    uint64_t revision;
    struct reference_event *events; /* borrow from keys */
    size_t event_count, event_capacity;
    struct reference_lease *leases; /* in order of `from` */
    size_t lease_count, lease_capacity;
    struct compaction *compactions;
    size_t compaction_count, compaction_capacity;
};

/* Where a request is executed: reads see `revision`; in a write, the changes made so far are at revision + 1.
 */
struct view {
    const struct reference *store;
    struct reference *writable; /* NULL: read only */
    uint64_t revision;          /* before the request */
    uint64_t index;             /* the entry executed */
    uint64_t compacted;
    bool changed;
};

static inline uint64_t view_revision(const struct view *view) {
    return view->revision + (view->changed ? 1 : 0);
}

/* `array` with room for one more behind `count`. */
void *reference_grow(void *array, size_t *capacity, size_t count, size_t size);
struct key *reference_find_or_add(struct reference *reference, struct bytes name);
/* The key's live version at a revision, or NULL. */
const struct version *reference_live(const struct key *key, uint64_t revision);
struct kv reference_kv(const struct key *key, const struct version *version);
/* The next version of the key, at the view's next revision; mod is set here. Its value is owned from now on.
 */
void reference_change(struct view *view, struct key *key, struct version version);
struct bytes reference_copy(struct bytes bytes);

/* Each returns a status and, if it is OK, appends its text. */
uint16_t reference_run_kv(struct view *view, uint16_t method, struct bytes body, struct buffer *out);
uint16_t reference_grant(struct view *view, struct bytes body, struct buffer *out);
uint16_t reference_revoke(struct view *view, struct bytes body, struct buffer *out);

#endif
