/*
 * witness_cast: who watches what, see witness.h. Wide watchers are few: each of them gets every event, and
 * the machine has to carry them all.
 */
#include "ops/load/witness_parts.h"
#include "ops/load/workload.h"

enum {
    STREAMS_EACH = 2, /* on a fast connection */
    WATCHERS_EACH = 10,
    SLOW_SHARE = 10,     /* one connection in so many */
    SLOW_WINDOW = 65535, /* HTTP/2's smallest to begin with */
    SPAN = 8,            /* writers */
    RECENT = 5000,       /* revisions */
    PAST = 100000,
};

static size_t choose(struct witness *witness, size_t below) {
    return (size_t)(random_next(&witness->random) % below);
}

static enum breadth choose_breadth(struct witness *witness) {
    size_t lot = choose(witness, 1000);
    return lot < 620 ? BREADTH_KEY : lot < 920 ? BREADTH_WRITER : lot < 984 ? BREADTH_SPAN : BREADTH_ALL;
}

static struct bytes key_of(struct witness_watcher *watcher, size_t writers, size_t writer, size_t key) {
    return churn_key(writers, writer, key, watcher->key);
}

static void set_span(struct witness_watcher *watcher, size_t from, size_t to) {
    watcher->watch.create.key = churn_boundary(from, watcher->key);
    watcher->watch.create.range_end = churn_boundary(to, watcher->range_end);
}

/* Half of them by the prefix, half by etcd's "from this key on", which is everything. */
static void set_all(struct witness *witness, struct witness_watcher *watcher) {
    struct watch_create *create = &watcher->watch.create;
    memset(watcher->key, 0, sizeof watcher->key);
    create->key = create->range_end = bytes_of(watcher->key, 1);
    if (choose(witness, 2) == 0) {
        memcpy(watcher->key, "/w/", 3);
        memcpy(watcher->range_end, "/w0", 3);
        create->key = bytes_of(watcher->key, 3);
        create->range_end = bytes_of(watcher->range_end, 3);
    }
}

static void describe(struct witness *witness, struct witness_watcher *watcher) {
    size_t writers = witness->options->writers;
    struct watch_create *create = &watcher->watch.create;
    size_t writer = choose(witness, writers);
    switch (watcher->breadth) {
    case BREADTH_PULSE:
        create->key = key_of(watcher, writers, writers, 0);
        break;
    case BREADTH_KEY:
        create->key = key_of(watcher, writers, writer, choose(witness, CHURN_KEYS));
        break;
    case BREADTH_WRITER:
        set_span(watcher, writer, writer + 1);
        break;
    case BREADTH_SPAN:
        set_span(watcher, writer, writer + SPAN < writers ? writer + SPAN : writers);
        break;
    case BREADTH_ALL:
    case BREADTH_COUNT:
        set_all(witness, watcher);
        break;
    }
    size_t lot = choose(witness, 100);
    create->previous = choose(witness, 5) == 0;
    if (watcher->breadth != BREADTH_PULSE) {
        create->no_put = lot < 5;
        create->no_delete = lot >= 95;
    }
}

int64_t witness_old_revision(struct witness *witness, const struct witness_watcher *watcher) {
    int64_t now = churn_totals(witness->churn)->revision;
    bool wide = watcher->breadth == BREADTH_ALL || watcher->breadth == BREADTH_SPAN;
    size_t lot = choose(witness, 100);
    int64_t back = wide || lot < 50 ? RECENT : lot < 98 ? PAST : INT32_MAX;
    if (back >= now)
        back = now - 1;
    int64_t revision = back < 1 ? 1 : now - (int64_t)choose(witness, (size_t)back);
    return revision > witness->recorder.compacted ? revision : witness->recorder.compacted + 1;
}

static void make_stream(struct witness *witness, size_t index, struct grpc_connection *connection, bool slow,
                        size_t first, size_t count) {
    struct witness_stream *stream = &witness->streams[index];
    stream->witness = witness;
    if (slow)
        stream->pace = index % 4 == 0 ? PACE_TRICKLE : PACE_BURSTS;
    connection->window = slow ? SLOW_WINDOW : 0;
    stream->watch.connection = connection;
    stream->watch.watchers = &witness->watchers[first].watch;
    stream->watch.count = count;
    stream->watch.stride = sizeof *witness->watchers;
    stream->watch.one_by_one = index % 2 == 0;
    for (size_t i = first; i < first + count; i++) {
        struct witness_watcher *watcher = &witness->watchers[i];
        watcher->breadth = i == first ? BREADTH_PULSE : choose_breadth(witness);
        describe(witness, watcher);
    }
}

/* Streams in the order of connections; the first watcher of each is on the pulse. */
void witness_cast(struct witness *witness) {
    witness->watcher_count = witness->options->watchers;
    witness->watchers = must_zalloc(witness->watcher_count * sizeof *witness->watchers);
    size_t fast_streams = witness->fast_connections * STREAMS_EACH;
    witness->stream_count = fast_streams + witness->slow_connections;
    witness->streams = must_zalloc(witness->stream_count * sizeof *witness->streams);
    size_t given = 0;
    for (size_t i = 0; i < witness->stream_count; i++) {
        bool slow = i >= fast_streams;
        size_t connection = slow ? witness->fast_connections + (i - fast_streams) : i / STREAMS_EACH;
        size_t share = witness->watcher_count / witness->stream_count +
                       (i < witness->watcher_count % witness->stream_count ? 1 : 0);
        make_stream(witness, i, &witness->loop.connections[connection], slow, given, share);
        given += share;
    }
}

void witness_count_connections(struct witness *witness) {
    size_t connections =
        (witness->options->watchers + STREAMS_EACH * WATCHERS_EACH - 1) / (STREAMS_EACH * WATCHERS_EACH);
    witness->slow_connections = (connections + SLOW_SHARE - 1) / SLOW_SHARE;
    witness->fast_connections =
        connections - witness->slow_connections > 0 ? connections - witness->slow_connections : 1;
    witness->writer_connections = (witness->options->writers + 3) / 4;
    witness->lessee_connections = 1 + (witness->options->lessees + 9) / 10;
}
