/* world: see world.h. The queue is a binary heap; equal times are told apart by the order of scheduling. */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world *world_current;

void world_init(struct world *world, uint64_t seed, bool print) {
    /* Time starts away from zero: a role that takes 0 for "never" must not be helped by it. */
    *world =
        (struct world){.seed = seed, .now_us = 1000000, .hash = UINT64_C(0xcbf29ce484222325), .print = print};
    world_current = world;
}

void world_free(struct world *world) {
    free(world->heap);
    if (world_current == world)
        world_current = NULL;
}

static bool before(const struct world_event *a, const struct world_event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct world_event *a, struct world_event *b) {
    struct world_event kept = *a;
    *a = *b;
    *b = kept;
}

void world_after(struct world *world, uint64_t delay_us, world_action action, void *context,
                 uint64_t argument) {
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity == 0 ? 256 : world->heap_capacity * 2;
        world->heap = must_realloc(world->heap, world->heap_capacity * sizeof *world->heap);
    }
    size_t at = world->heap_count++;
    world->heap[at] = (struct world_event){
        .at_us = world->now_us + delay_us,
        .order = world->order++,
        .action = action,
        .context = context,
        .argument = argument,
    };
    for (; at > 0 && before(&world->heap[at], &world->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&world->heap[at], &world->heap[(at - 1) / 2]);
}

static struct world_event take_first(struct world *world) {
    struct world_event first = world->heap[0];
    world->heap[0] = world->heap[--world->heap_count];
    size_t at = 0;
    for (;;) {
        size_t smallest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < world->heap_count; child++) {
            if (before(&world->heap[child], &world->heap[smallest]))
                smallest = child;
        }
        if (smallest == at)
            return first;
        swap(&world->heap[at], &world->heap[smallest]);
        at = smallest;
    }
}

bool world_step(struct world *world, uint64_t until_us) {
    if (world->failed || world->heap_count == 0 || world->heap[0].at_us > until_us)
        return false;
    struct world_event event = take_first(world);
    world->now_us = event.at_us;
    world->counts.events++;
    event.action(event.context, event.argument);
    return true;
}

static void hash(struct world *world, const void *data, size_t length) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++)
        world->hash = (world->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

void world_trace(struct world *world, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    hash(world, &world->now_us, sizeof world->now_us);
    hash(world, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    if (world->print)
        printf("%10.6f %s\n", (double)world->now_us / 1e6, line);
}

void world_fail(struct world *world, const char *format, ...) {
    if (world->failed)
        return;
    world->failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
    world_trace(world, "FAILURE %s", world->failure);
}
