/* pending: see pending.h. */
#include "proxy/pending.h"

#include <stdlib.h>

enum { TABLE_FIRST = 1024 };

static size_t place_of(const struct id_table *table, uint64_t id) {
    return (size_t)(id * UINT64_C(0x9E3779B97F4A7C15) >> table->shift);
}

static void insert(struct id_table *table, uint64_t id, struct proxy_call *call) {
    size_t place = place_of(table, id);
    while (table->entries[place].id != 0)
        place = (place + 1) & (table->capacity - 1);
    table->entries[place] = (struct id_entry){.id = id, .call = call};
}

static void grow(struct id_table *table) {
    struct id_table larger = {.capacity = table->capacity == 0 ? TABLE_FIRST : table->capacity * 2,
                              .count = table->count};
    larger.shift = 64 - (unsigned)__builtin_ctzll(larger.capacity);
    larger.entries = must_zalloc(larger.capacity * sizeof *larger.entries);
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].id != 0)
            insert(&larger, table->entries[i].id, table->entries[i].call);
    }
    free(table->entries);
    *table = larger;
}

void id_table_add(struct id_table *table, uint64_t id, struct proxy_call *call) {
    if (table->count * 2 >= table->capacity)
        grow(table);
    insert(table, id, call);
    table->count++;
}

/* The place of the id, or capacity when it is not there. */
static size_t find_place(const struct id_table *table, uint64_t id) {
    if (table->capacity == 0 || id == 0)
        return table->capacity;
    size_t place = place_of(table, id);
    while (table->entries[place].id != 0) {
        if (table->entries[place].id == id)
            return place;
        place = (place + 1) & (table->capacity - 1);
    }
    return table->capacity;
}

struct proxy_call *id_table_find(const struct id_table *table, uint64_t id) {
    size_t place = find_place(table, id);
    return place == table->capacity ? NULL : table->entries[place].call;
}

/* Entries behind the freed place move up where their own place allows it, so that no search ends early. */
void id_table_remove(struct id_table *table, uint64_t id) {
    size_t mask = table->capacity - 1;
    size_t hole = find_place(table, id);
    if (hole == table->capacity)
        return;
    for (size_t place = (hole + 1) & mask; table->entries[place].id != 0; place = (place + 1) & mask) {
        size_t wanted = place_of(table, table->entries[place].id);
        if (((place - wanted) & mask) >= ((place - hole) & mask)) {
            table->entries[hole] = table->entries[place];
            hole = place;
        }
    }
    table->entries[hole] = (struct id_entry){0};
    table->count--;
}

void id_table_free(struct id_table *table) {
    free(table->entries);
    *table = (struct id_table){0};
}

static void link_into(struct timer_wheel *wheel, struct proxy_call *call, uint16_t slot) {
    call->timer_slot = slot;
    call->timer_previous = NULL;
    call->timer_next = wheel->slots[slot];
    if (call->timer_next != NULL)
        call->timer_next->timer_previous = call;
    wheel->slots[slot] = call;
}

void timer_add(struct timer_wheel *wheel, struct proxy_call *call) {
    /* A deadline that has passed already belongs into the slot that is looked at next. */
    uint64_t expires = call->expires_us > wheel->now_us ? call->expires_us : wheel->now_us;
    uint16_t slot = (uint16_t)(expires / TIMER_SLOT_US % TIMER_SLOTS);
    link_into(wheel, call, slot);
    wheel->occupied[slot / 64] |= UINT64_C(1) << slot % 64;
    wheel->count++;
}

void timer_remove(struct timer_wheel *wheel, struct proxy_call *call) {
    uint16_t slot = call->timer_slot;
    if (slot == TIMER_NONE)
        return;
    if (call->timer_next != NULL)
        call->timer_next->timer_previous = call->timer_previous;
    if (call->timer_previous != NULL)
        call->timer_previous->timer_next = call->timer_next;
    else
        wheel->slots[slot] = call->timer_next;
    call->timer_slot = TIMER_NONE;
    if (slot == TIMER_EXPIRED)
        return;
    wheel->count--;
    if (wheel->slots[slot] == NULL)
        wheel->occupied[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void timer_expire(struct timer_wheel *wheel, struct proxy_call *call) {
    timer_remove(wheel, call);
    link_into(wheel, call, TIMER_EXPIRED);
}

static void expire_slot(struct timer_wheel *wheel, uint64_t slot) {
    struct proxy_call *next = NULL;
    for (struct proxy_call *call = wheel->slots[slot]; call != NULL; call = next) {
        next = call->timer_next;
        if (call->expires_us <= wheel->now_us)
            timer_expire(wheel, call);
    }
}

void timer_advance(struct timer_wheel *wheel, uint64_t now_us) {
    if (now_us < wheel->now_us)
        return;
    uint64_t first = wheel->now_us / TIMER_SLOT_US;
    uint64_t last = now_us / TIMER_SLOT_US;
    if (last - first >= TIMER_SLOTS)
        first = last - TIMER_SLOTS + 1;
    wheel->now_us = now_us;
    for (uint64_t slot = first; wheel->count > 0 && slot <= last; slot++)
        expire_slot(wheel, slot % TIMER_SLOTS);
}

uint64_t timer_next_us(const struct timer_wheel *wheel) {
    if (wheel->slots[TIMER_EXPIRED] != NULL)
        return wheel->now_us;
    if (wheel->count == 0)
        return UINT64_MAX;
    uint64_t start = wheel->now_us / TIMER_SLOT_US;
    for (uint64_t step = 0; step < TIMER_SLOTS;) {
        uint64_t slot = (start + step) % TIMER_SLOTS;
        uint64_t word = wheel->occupied[slot / 64] >> slot % 64;
        if (word != 0)
            return (start + step + (uint64_t)__builtin_ctzll(word) + 1) * TIMER_SLOT_US;
        step += 64 - slot % 64;
    }
    return UINT64_MAX;
}
