/*
 * wal_tool: our WAL reader and writer from the command line, to be set against genuine etcd's (run).
 *
 *   wal_tool data <dir>           opens the log; data of all live entries to stdout, a summary to stderr
 *   wal_tool copy <from> <to>     writes what <from> holds into a new log, in segments of 64 KiB
 *   wal_tool extend <dir> <count> appends so many empty entries and leaves a spare segment behind
 *   wal_tool append <dir> <file>  appends one entry with the file as its data
 *
 * Opening changes a directory (it settles the tail): give it a copy. Any refusal is printed; exit status 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "raft/wal/wal.h"

enum { COPY_SEGMENT = 64 << 10, BATCH = 7 };

struct contents {
    struct wal_entry *entries; /* data owned; live ones, in order */
    size_t count, capacity;
    struct wal_hard_state state;
    struct wal_snapshot *snapshots; /* conf_state owned */
    size_t snapshot_count;
    uint64_t entries_seen, states_seen;
};

static struct bytes copy_of(struct bytes bytes) {
    if (bytes.length == 0)
        return (struct bytes){0};
    return bytes_of(memcpy(must_alloc(bytes.length), bytes.data, bytes.length), bytes.length);
}

static void take_entry(void *context, const struct wal_entry *entry) {
    struct contents *contents = context;
    contents->entries_seen++;
    while (contents->count > 0 && contents->entries[contents->count - 1].index >= entry->index)
        free((void *)contents->entries[--contents->count].data.data);
    if (contents->count == contents->capacity) {
        contents->capacity = contents->capacity == 0 ? 1024 : contents->capacity * 2;
        contents->entries = must_realloc(contents->entries, contents->capacity * sizeof *contents->entries);
    }
    contents->entries[contents->count] = *entry;
    contents->entries[contents->count++].data = copy_of(entry->data);
}

static void take_state(void *context, const struct wal_hard_state *state) {
    struct contents *contents = context;
    contents->states_seen++;
    contents->state = *state;
}

static void take_snapshot(void *context, const struct wal_snapshot *snapshot) {
    struct contents *contents = context;
    contents->snapshots =
        must_realloc(contents->snapshots, (contents->snapshot_count + 1) * sizeof *contents->snapshots);
    contents->snapshots[contents->snapshot_count] = *snapshot;
    contents->snapshots[contents->snapshot_count++].conf_state = copy_of(snapshot->conf_state);
}

static void contents_free(struct contents *contents) {
    for (size_t i = 0; i < contents->count; i++)
        free((void *)contents->entries[i].data.data);
    for (size_t i = 0; i < contents->snapshot_count; i++)
        free((void *)contents->snapshots[i].conf_state.data);
    free(contents->entries);
    free(contents->snapshots);
}

static struct wal *open_log(const char *directory, struct contents *contents, struct wal_metadata *metadata) {
    struct wal_visitor visitor = {
        .entry = take_entry, .state = take_state, .snapshot = take_snapshot, .context = contents};
    struct wal *wal = NULL;
    char error[512];
    if (wal_open(disk_linux(), directory, clock_random(), 0, &visitor, metadata, &wal, error) != WAL_OPENED) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    fprintf(stderr,
            "node %" PRIx64 " cluster %" PRIx64 " entries %" PRIu64 " last %" PRIu64 " term %" PRIu64
            " commit %" PRIu64 " states %" PRIu64 " snapshots %zu torn %" PRIu64 "\n",
            metadata->node, metadata->cluster, contents->entries_seen,
            contents->count > 0 ? contents->entries[contents->count - 1].index : 0, contents->state.term,
            contents->state.commit, contents->states_seen, contents->snapshot_count,
            wal_counts(wal).torn_bytes);
    return wal;
}

static void must(int result, const char *what) {
    if (result == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-result));
    exit(1);
}

static void print_data(const char *directory) {
    struct contents contents = {0};
    struct wal_metadata metadata;
    struct wal *wal = open_log(directory, &contents, &metadata);
    for (size_t i = 0; i < contents.count; i++) {
        if (contents.entries[i].data.length != 0)
            fwrite(contents.entries[i].data.data, 1, contents.entries[i].data.length, stdout);
        putchar('\n');
    }
    wal_close(wal);
    contents_free(&contents);
}

/* Entries in batches, each with a hard state, the snapshot records where they belong. */
static void copy(const char *from, const char *to) {
    struct contents contents = {0};
    struct wal_metadata metadata;
    wal_close(open_log(from, &contents, &metadata));
    struct wal *wal = NULL;
    must(wal_create(disk_linux(), to, &metadata, clock_random(), COPY_SEGMENT, &wal), "create");
    size_t snapshot = 0;
    for (size_t i = 0; i < contents.count;) {
        size_t count = contents.count - i < BATCH ? contents.count - i : BATCH;
        uint64_t last = contents.entries[i + count - 1].index;
        struct wal_hard_state state = contents.state;
        if (state.commit > last)
            state.commit = last;
        if (wal_wants_prepare(wal))
            must(wal_prepare(wal), "prepare");
        must(wal_append(wal, &contents.entries[i], count, &state, true), "append");
        for (; snapshot < contents.snapshot_count && contents.snapshots[snapshot].index <= last; snapshot++)
            if (contents.snapshots[snapshot].index != 0)
                must(wal_mark_snapshot(wal, &contents.snapshots[snapshot]), "snapshot");
        i += count;
    }
    wal_close(wal);
    contents_free(&contents);
}

static void extend(const char *directory, unsigned long count) {
    struct contents contents = {0};
    struct wal_metadata metadata;
    struct wal *wal = open_log(directory, &contents, &metadata);
    uint64_t last = contents.count > 0 ? contents.entries[contents.count - 1].index : 0;
    for (unsigned long i = 0; i < count; i++) {
        struct wal_entry entry = {.index = ++last, .term = contents.state.term};
        must(wal_append(wal, &entry, 1, &contents.state, true), "append");
    }
    must(wal_prepare(wal), "prepare");
    wal_close(wal);
    contents_free(&contents);
}

/* What no proxy would let pass can be put into the log this way. */
static void append_file(const char *directory, const char *path) {
    struct contents contents = {0};
    struct wal_metadata metadata;
    struct buffer data = {0};
    must(disk_read_file(disk_linux(), path, WAL_SEGMENT_BYTES, &data), "read the file");
    struct wal *wal = open_log(directory, &contents, &metadata);
    struct wal_entry entry = {.index =
                                  contents.count > 0 ? contents.entries[contents.count - 1].index + 1 : 1,
                              .term = contents.state.term,
                              .data = buffer_bytes(&data)};
    must(wal_append(wal, &entry, 1, &contents.state, true), "append");
    wal_close(wal);
    buffer_free(&data);
    contents_free(&contents);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "data") == 0)
        print_data(argv[2]);
    else if (argc == 4 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "extend") == 0)
        extend(argv[2], strtoul(argv[3], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "append") == 0)
        append_file(argv[2], argv[3]);
    else {
        fprintf(stderr, "usage: wal_tool data DIR | copy FROM TO | extend DIR COUNT | append DIR FILE\n");
        return 2;
    }
    return 0;
}
