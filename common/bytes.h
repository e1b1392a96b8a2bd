/*
 * bytes: borrowed byte ranges, growable buffers and arenas.
 *
 * Why three and no more: a request is *read* through `struct bytes` (borrowed, never freed), a frame or a
 * response is *built* in a `struct buffer` (owned, growable, reused round after round), and what a round
 * needs only until its end lives in a `struct arena` (freed all at once).
 *
 * Running out of memory aborts with a message (nothing here returns NULL): every size that can come from
 * outside is bounded before it gets here, so failure means the machine is out of memory.
 * Threading: none of these types may be shared without a lock.
 */
#ifndef QUORATE_COMMON_BYTES_H
#define QUORATE_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed range of bytes. data may be NULL only when length is 0. */
struct bytes {
    const uint8_t *data;
    size_t length;
};

static inline struct bytes bytes_of(const void *data, size_t length) {
    return (struct bytes){.data = data, .length = length};
}

static inline struct bytes bytes_from_text(const char *text) {
    return bytes_of(text, strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Lexicographic order of unsigned bytes, a prefix before its extensions: <0, 0, >0. */
static inline int bytes_compare(struct bytes a, struct bytes b) {
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

/* Owned, growable (doubling). Zero-initialised is empty and valid. */
struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

/* Makes room for `more` further bytes and returns where they start; length is unchanged. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_append_bytes(struct buffer *buffer, struct bytes bytes);
void buffer_append_byte(struct buffer *buffer, uint8_t byte);
/* printf into the buffer, without the terminating NUL. */
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Empties; keeps the memory unless it outgrew `keep` bytes (a burst must not be held for ever). */
void buffer_reset(struct buffer *buffer, size_t keep);
/*
 * A buffer filled at its end and used up from its front, of which *used bytes are not needed any longer:
 * forgets them (and *used is 0) once they are the larger part. Moves no more bytes than it forgets.
 */
void buffer_forget_used(struct buffer *buffer, size_t *used);
void buffer_free(struct buffer *buffer);

static inline struct bytes buffer_bytes(const struct buffer *buffer) {
    return bytes_of(buffer->data, buffer->length);
}

/* Bump allocator; everything goes at once. Zero-initialised is empty and valid. 16-byte aligned. */
struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used; /* bytes handed out since the last reset */
};

void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
struct bytes arena_copy(struct arena *arena, struct bytes bytes);
/* Frees all but one block of moderate size. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

/* malloc that succeeds or does not return. */
void *must_alloc(size_t size);
void *must_zalloc(size_t size);
void *must_realloc(void *memory, size_t size);
char *must_strdup(const char *text);

/* A broken invariant: prints file, line and message to standard error and aborts. */
_Noreturn void panic_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            PANIC("requirement failed: %s", #condition);                                                     \
    } while (0)

#endif
