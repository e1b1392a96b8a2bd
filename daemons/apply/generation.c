/* generation: see generation.h. The pointer is two lines of text: "generation N" and "checksum XXXXXXXX". */
#include "apply/generation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crc32c.h"

enum { POINTER_LIMIT = 256, PATH_LIMIT = 4096 };

static const char pointer_name[] = "generation";

static void format(struct buffer *out, uint64_t generation) {
    buffer_printf(out, "generation %" PRIu64 "\n", generation);
    buffer_printf(out, "checksum %08" PRIx32 "\n", crc32c_update(0, out->data, out->length));
}

/* Accepts exactly what format writes. */
static bool parse(struct bytes content, uint64_t *generation) {
    char text[POINTER_LIMIT + 1];
    struct buffer expected = {0};
    if (content.length == 0 || content.length > POINTER_LIMIT)
        return false;
    memcpy(text, content.data, content.length);
    text[content.length] = '\0';
    if (sscanf(text, "generation %" SCNu64, generation) != 1)
        return false;
    format(&expected, *generation);
    bool same = bytes_equal(buffer_bytes(&expected), content);
    buffer_free(&expected);
    return same;
}

int generation_switch(struct disk *disk, const char *member_directory, uint64_t generation) {
    struct buffer content = {0};
    format(&content, generation);
    int result = disk_replace_file(disk, member_directory, pointer_name, buffer_bytes(&content));
    buffer_free(&content);
    return result;
}

struct stale {
    uint64_t current;
    void (*visit)(void *context, uint64_t generation);
    void *context;
};

static void visit_name(void *context, const char *name) {
    const struct stale *stale = context;
    char *end = NULL;
    if (strncmp(name, "gen-", 4) != 0 || name[4] < '0' || name[4] > '9')
        return;
    uint64_t generation = strtoull(name + 4, &end, 10);
    if (*end == '\0' && generation != stale->current)
        stale->visit(stale->context, generation);
}

int generation_each_stale(struct disk *disk, const char *member_directory, uint64_t current,
                          void (*visit)(void *context, uint64_t generation), void *context) {
    struct stale stale = {.current = current, .visit = visit, .context = context};
    return disk->operations->list(disk, member_directory, visit_name, &stale);
}

static void count_one(void *context, uint64_t generation) {
    (void)generation;
    ++*(unsigned *)context;
}

/* The pointer comes before the directory it names, so a directory without a pointer is nothing of ours. */
static bool begin_first(struct disk *disk, const char *member_directory, uint64_t *generation,
                        char error[512]) {
    unsigned found = 0;
    int result = generation_each_stale(disk, member_directory, 0, count_one, &found);
    if (result == 0 && found > 0) {
        snprintf(error, 512,
                 "%.300s/%s is missing, but there are databases beside it: restore the file or the backup",
                 member_directory, pointer_name);
        return false;
    }
    *generation = 1;
    if (result == 0)
        result = generation_switch(disk, member_directory, 1);
    if (result != 0)
        snprintf(error, 512, "%.300s/%s cannot be written: %s", member_directory, pointer_name,
                 strerror(-result));
    return result == 0;
}

bool generation_current(struct disk *disk, const char *member_directory, uint64_t *generation,
                        char error[512]) {
    char path[PATH_LIMIT];
    struct buffer content = {0};
    if (snprintf(path, sizeof path, "%s/%s", member_directory, pointer_name) >= (int)sizeof path) {
        snprintf(error, 512, "the path of the data directory is too long");
        return false;
    }
    int result = disk->operations->make_directory(disk, member_directory);
    if (result == 0)
        result = disk_read_file(disk, path, POINTER_LIMIT, &content);
    if (result == -ENOENT)
        return begin_first(disk, member_directory, generation, error);
    bool valid = result == 0 && parse(buffer_bytes(&content), generation);
    if (!valid)
        snprintf(error, 512,
                 "%.300s is damaged (%s): restore it, or remove the member's data and let it rejoin", path,
                 result != 0 ? strerror(-result) : "checksum");
    buffer_free(&content);
    return valid;
}
