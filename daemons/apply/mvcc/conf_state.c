/* conf_state: see conf_state.h. A member is in at most one of the two lists. */
#include "apply/mvcc/conf_state.h"

#include "common/wire.h"

enum change_type { ADD_NODE, REMOVE_NODE, UPDATE_NODE, ADD_LEARNER };

static void list_remove(uint64_t *list, unsigned *count, uint64_t id) {
    unsigned kept = 0;
    for (unsigned i = 0; i < *count; i++) {
        if (list[i] != id)
            list[kept++] = list[i];
    }
    *count = kept;
}

static bool list_add(uint64_t *list, unsigned *count, uint64_t id) {
    if (*count == CONF_STATE_LIMIT)
        return false;
    unsigned at = *count;
    while (at > 0 && list[at - 1] > id) {
        list[at] = list[at - 1];
        at--;
    }
    list[at] = id;
    ++*count;
    return true;
}

/* ConfChange: ID = 1, type = 2, node_id = 3, context = 4. */
static bool change_decode(struct bytes message, uint64_t *type, uint64_t *node) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *type = ADD_NODE;
    *node = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 2 && field.type == WIRE_VARINT)
            *type = field.value;
        else if (field.number == 3 && field.type == WIRE_VARINT)
            *node = field.value;
    }
    return !reader.malformed && *node != 0 && *type <= ADD_LEARNER;
}

bool conf_state_apply(struct conf_state *state, struct bytes conf_change) {
    uint64_t type = 0;
    uint64_t node = 0;
    if (!change_decode(conf_change, &type, &node))
        return false;
    if (type == UPDATE_NODE)
        return true;
    struct conf_state next = *state;
    list_remove(next.voters, &next.voter_count, node);
    list_remove(next.learners, &next.learner_count, node);
    bool fits = true;
    if (type == ADD_NODE)
        fits = list_add(next.voters, &next.voter_count, node);
    else if (type == ADD_LEARNER)
        fits = list_add(next.learners, &next.learner_count, node);
    if (fits)
        *state = next;
    return fits;
}

void conf_state_encode(const struct conf_state *state, struct buffer *out) {
    for (unsigned i = 0; i < state->voter_count; i++)
        wire_put_uint64_always(out, 1, state->voters[i]);
    for (unsigned i = 0; i < state->learner_count; i++)
        wire_put_uint64_always(out, 2, state->learners[i]);
}

bool conf_state_decode(struct bytes encoded, struct conf_state *out) {
    struct wire_reader reader = wire_reader_of(encoded);
    struct wire_field field;
    *out = (struct conf_state){0};
    while (wire_next(&reader, &field)) {
        bool fits = true;
        if (field.number == 1 && field.type == WIRE_VARINT)
            fits = list_add(out->voters, &out->voter_count, field.value);
        else if (field.number == 2 && field.type == WIRE_VARINT)
            fits = list_add(out->learners, &out->learner_count, field.value);
        if (!fits)
            return false;
    }
    return !reader.malformed;
}
