/*
 * duplicate_check: a transaction may put a key once, and may not put a key that it deletes. Branches that
 * exclude each other (then and else of one nested transaction) do not count against each other.
 *
 * etcd's rule in terms of the tree of operations. For two operations, look at the innermost list of
 * operations (one branch of one transaction) that holds both, directly or nested; none: they exclude each
 * other.
 *  - two puts of a key: collide.
 *  - a put and a delete that covers its key: collide if one of them stands directly in that list, or if the
 *    delete's part of the list stands before the put's (etcd sees deletes of nested transactions in order).
 * As in etcd, a delete with range_end "\0" (from key on) covers nothing here.
 *
 * Way: collect all puts and deletes; sort the puts by key and position. Equal keys: comparing neighbours is
 * enough, since the innermost list common to the outer two of three is that of one neighbouring pair.
 * Deletes: every put inside the interval is compared, found by bisection.
 */
#include <stdlib.h>

#include "common/wire.h"
#include "proxy/request_check.h"

enum { PAIR_LIMIT = 1 << 18 };

#define NO_LIST UINT32_MAX

/* One branch of a transaction. */
struct op_list {
    uint32_t parent;   /* list that holds the transaction; NO_LIST for the two branches at the top */
    uint32_t position; /* of the transaction in the walk */
    uint32_t depth;
};

struct op_ref {
    struct bytes key, end;
    uint32_t list;
    uint32_t position; /* in the walk: parents before children, in order */
};

struct collector {
    struct arena arena;
    struct op_ref *puts, *deletes;
    struct op_list *lists;
    size_t put_count, put_capacity, delete_count, delete_capacity, list_count, list_capacity;
    uint32_t position;
};

/* Doubles an array in the arena; the old one is garbage until the arena goes. */
static void *make_room(struct arena *arena, void *array, size_t count, size_t *capacity, size_t element) {
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    void *larger = arena_alloc(arena, *capacity * element);
    if (count > 0)
        memcpy(larger, array, count * element);
    return larger;
}

static uint32_t add_list(struct collector *all, uint32_t parent) {
    all->lists = make_room(&all->arena, all->lists, all->list_count, &all->list_capacity, sizeof *all->lists);
    uint32_t depth = parent == NO_LIST ? 0 : all->lists[parent].depth + 1;
    all->lists[all->list_count] = (struct op_list){.parent = parent, .depth = depth};
    return (uint32_t)all->list_count++;
}

static void add_put(struct collector *all, struct bytes body, uint32_t list) {
    struct put_request put;
    put_request_decode(body, &put);
    all->puts = make_room(&all->arena, all->puts, all->put_count, &all->put_capacity, sizeof *all->puts);
    all->puts[all->put_count++] = (struct op_ref){.key = put.key, .list = list, .position = all->position};
}

static void add_delete(struct collector *all, struct bytes body, uint32_t list) {
    struct delete_range_request request;
    delete_range_request_decode(body, &request);
    all->deletes =
        make_room(&all->arena, all->deletes, all->delete_count, &all->delete_capacity, sizeof *all->deletes);
    all->deletes[all->delete_count++] = (struct op_ref){
        .key = request.key, .end = request.range_end, .list = list, .position = all->position};
}

/* The message was walked before: it is well-formed and its depth is bounded. */
static void collect(struct collector *all, struct bytes txn, uint32_t parent) {
    uint32_t own_position = all->position;
    for (enum txn_part part = TXN_SUCCESS; part <= TXN_FAILURE; part++) {
        struct wire_reader reader = wire_reader_of(txn);
        struct bytes element;
        uint32_t list = NO_LIST;
        while (txn_next(&reader, part, &element)) {
            struct request_op operation;
            if (list == NO_LIST) {
                list = add_list(all, parent);
                all->lists[list].position = own_position;
            }
            request_op_decode(element, &operation);
            all->position++;
            if (operation.kind == OP_PUT)
                add_put(all, operation.body, list);
            else if (operation.kind == OP_DELETE_RANGE)
                add_delete(all, operation.body, list);
            else if (operation.kind == OP_TXN)
                collect(all, operation.body, list);
        }
    }
}

/* Where an operation stands in the innermost common list: its own position or that of the nested transaction.
 */
struct standing {
    uint32_t list, position;
    bool direct;
};

static struct standing up(const struct collector *all, struct standing at) {
    const struct op_list *list = &all->lists[at.list];
    return (struct standing){.list = list->parent, .position = list->position};
}

/* False when the two exclude each other. */
static bool meet(const struct collector *all, const struct op_ref *a, const struct op_ref *b,
                 struct standing *at_a, struct standing *at_b) {
    struct standing x = {.list = a->list, .position = a->position, .direct = true};
    struct standing y = {.list = b->list, .position = b->position, .direct = true};
    while (all->lists[x.list].depth > all->lists[y.list].depth)
        x = up(all, x);
    while (all->lists[y.list].depth > all->lists[x.list].depth)
        y = up(all, y);
    while (x.list != y.list) {
        x = up(all, x);
        y = up(all, y);
        if (x.list == NO_LIST || (x.list == y.list && x.position == y.position))
            return false;
    }
    *at_a = x;
    *at_b = y;
    return true;
}

static bool put_meets_put(const struct collector *all, const struct op_ref *a, const struct op_ref *b) {
    struct standing at_a;
    struct standing at_b;
    return meet(all, a, b, &at_a, &at_b);
}

static bool delete_meets_put(const struct collector *all, const struct op_ref *erased,
                             const struct op_ref *put) {
    struct standing at_delete;
    struct standing at_put;
    if (!meet(all, erased, put, &at_delete, &at_put))
        return false;
    return at_delete.direct || at_put.direct || at_delete.position < at_put.position;
}

static int by_key(const void *left, const void *right) {
    const struct op_ref *a = left;
    const struct op_ref *b = right;
    int order = bytes_compare(a->key, b->key);
    if (order != 0)
        return order;
    return a->position < b->position ? -1 : a->position > b->position;
}

/* The first put whose key is not below `key`. */
static size_t first_not_below(const struct collector *all, struct bytes key) {
    size_t low = 0;
    size_t high = all->put_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(all->puts[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool covers(const struct op_ref *erased, struct bytes key) {
    return erased->end.length == 0 ? bytes_equal(erased->key, key) : bytes_compare(key, erased->end) < 0;
}

static uint16_t find_collision(const struct collector *all) {
    size_t pairs = 0;
    for (size_t i = 1; i < all->put_count; i++) {
        if (bytes_equal(all->puts[i - 1].key, all->puts[i].key) &&
            put_meets_put(all, &all->puts[i - 1], &all->puts[i]))
            return STATUS_DUPLICATE_KEY;
    }
    for (size_t i = 0; i < all->delete_count; i++) {
        const struct op_ref *erased = &all->deletes[i];
        for (size_t at = first_not_below(all, erased->key);
             at < all->put_count && covers(erased, all->puts[at].key); at++) {
            if (delete_meets_put(all, erased, &all->puts[at]))
                return STATUS_DUPLICATE_KEY;
            if (++pairs > PAIR_LIMIT)
                return STATUS_TOO_MANY_OPS;
        }
    }
    return STATUS_OK;
}

uint16_t duplicate_check(struct bytes txn) {
    struct collector all = {0};
    collect(&all, txn, NO_LIST);
    if (all.put_count > 1)
        qsort(all.puts, all.put_count, sizeof *all.puts, by_key);
    uint16_t status = find_collision(&all);
    arena_free(&all.arena);
    return status;
}
