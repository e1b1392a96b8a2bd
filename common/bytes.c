/* bytes: see bytes.h for why there are three types and what failure means. */
#include "common/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUFFER_FIRST = 256,
    ARENA_BLOCK = 64 * 1024,
    ARENA_ALIGN = 16,
};

void panic_at(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "panic: %s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void *must_alloc(size_t size) {
    void *memory = malloc(size == 0 ? 1 : size);
    if (memory == NULL)
        PANIC("out of memory: %zu bytes", size);
    return memory;
}

void *must_zalloc(size_t size) {
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL)
        PANIC("out of memory: %zu bytes", size);
    return memory;
}

void *must_realloc(void *memory, size_t size) {
    void *grown = realloc(memory, size == 0 ? 1 : size);
    if (grown == NULL)
        PANIC("out of memory: %zu bytes", size);
    return grown;
}

char *must_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(must_alloc(size), text, size);
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t more) {
    size_t needed = buffer->length + more;
    REQUIRE(needed >= more);
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity == 0 ? BUFFER_FIRST : buffer->capacity;
        while (capacity < needed)
            capacity *= 2;
        buffer->data = must_realloc(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length) {
    if (length == 0)
        return;
    memcpy(buffer_reserve(buffer, length), data, length);
    buffer->length += length;
}

void buffer_append_bytes(struct buffer *buffer, struct bytes bytes) {
    buffer_append(buffer, bytes.data, bytes.length);
}

void buffer_append_byte(struct buffer *buffer, uint8_t byte) {
    *buffer_reserve(buffer, 1) = byte;
    buffer->length += 1;
}

void buffer_printf(struct buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_list again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    REQUIRE(length >= 0);
    uint8_t *place = buffer_reserve(buffer, (size_t)length + 1);
    vsnprintf((char *)place, (size_t)length + 1, format, again);
    buffer->length += (size_t)length;
    va_end(again);
    va_end(arguments);
}

void buffer_reset(struct buffer *buffer, size_t keep) {
    buffer->length = 0;
    if (buffer->capacity > keep)
        buffer_free(buffer);
}

void buffer_forget_used(struct buffer *buffer, size_t *used) {
    size_t left = buffer->length - *used;
    if (*used == 0 || *used < left)
        return;
    memmove(buffer->data, buffer->data + *used, left);
    buffer->length = left;
    *used = 0;
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t capacity;
    size_t unused; /* keeps the payload 16-byte aligned */
};

static void arena_grow(struct arena *arena, size_t size) {
    size_t capacity = size > ARENA_BLOCK ? size : ARENA_BLOCK;
    struct arena_block *block = must_alloc(sizeof *block + capacity);
    *block = (struct arena_block){.next = arena->head, .capacity = capacity};
    arena->head = block;
}

void *arena_alloc(struct arena *arena, size_t size) {
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (arena->head == NULL || arena->head->capacity - arena->head->used < size)
        arena_grow(arena, size);
    struct arena_block *block = arena->head;
    void *memory = (uint8_t *)(block + 1) + block->used;
    block->used += size;
    arena->used += size;
    return memory;
}

void *arena_zalloc(struct arena *arena, size_t size) {
    return memset(arena_alloc(arena, size), 0, size);
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes) {
    if (bytes.length == 0)
        return (struct bytes){0};
    return bytes_of(memcpy(arena_alloc(arena, bytes.length), bytes.data, bytes.length), bytes.length);
}

void arena_reset(struct arena *arena) {
    struct arena_block *keep = NULL;
    while (arena->head != NULL) {
        struct arena_block *block = arena->head;
        arena->head = block->next;
        if (keep == NULL && block->capacity == ARENA_BLOCK)
            keep = block;
        else
            free(block);
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->head = keep;
    arena->used = 0;
}

void arena_free(struct arena *arena) {
    while (arena->head != NULL) {
        struct arena_block *block = arena->head;
        arena->head = block->next;
        free(block);
    }
    arena->used = 0;
}
