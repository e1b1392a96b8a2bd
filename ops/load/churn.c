/* churn: see churn.h. */
#include "ops/load/churn.h"

#include "common/status.h"
#include "ops/load/digest.h"
#include "ops/load/workload.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PARTS = 4, /* of a transaction, at most */
    PULSE_INTERVAL_NS = 10 * 1000 * 1000,
    RETRY_NS = 5 * 1000 * 1000,
    VALUE_ROOM = 160,
    FILLER = 100,
    RANGE_KEYS = 5,
};

/* One operation of a write: a put of key `first`, or a deletion of first .. last. */
struct part {
    bool deletes;
    size_t first, last;
    char value[VALUE_ROOM];
    size_t value_length;
    uint64_t met; /* a deletion: how many keys there were */
};

struct unknown {
    uint64_t digest, other; /* with and without the deletion it holds */
    size_t first, last;     /* of nothing but a deletion */
    bool deletion, used;
};

struct writer {
    struct grpc_call call; /* first: a call is its writer */
    struct churn *churn;
    struct grpc_connection *connection;
    size_t index;
    uint64_t random, number; /* number of the write */
    uint64_t start_at_ns;
    bool idle, transaction;
    struct part parts[PARTS];
    size_t part_count;
    struct unknown *unknown;
    size_t unknown_count, unknown_room;
};

struct churn {
    struct churn_options options;
    struct writer *writers; /* and the pulse */
    size_t count, outstanding;
    uint64_t interval_ns;
    uint64_t *digests; /* by revision */
    bool *known;
    size_t revisions;
    struct churn_totals totals;
};

/* --- keys and digests ------------------------------------------------------------------------------- */

struct bytes churn_key(size_t writers, size_t writer, size_t key, uint8_t room[CHURN_KEY_ROOM]) {
    int length = writer == writers ? snprintf((char *)room, CHURN_KEY_ROOM, "/w/pulse")
                                   : snprintf((char *)room, CHURN_KEY_ROOM, "/w/%04zu/%03zu", writer, key);
    return bytes_of(room, (size_t)length);
}

struct bytes churn_boundary(size_t writer, uint8_t room[CHURN_KEY_ROOM]) {
    return bytes_of(room, (size_t)snprintf((char *)room, CHURN_KEY_ROOM, "/w/%04zu/", writer));
}

bool churn_key_parse(size_t writers, struct bytes key, size_t *writer, size_t *number) {
    char text[CHURN_KEY_ROOM] = {0};
    uint8_t room[CHURN_KEY_ROOM];
    if (key.length >= sizeof text)
        return false;
    memcpy(text, key.data, key.length);
    *number = 0;
    *writer = writers;
    if (strcmp(text, "/w/pulse") == 0)
        return true;
    return sscanf(text, "/w/%zu/%zu", writer, number) == 2 && *writer < writers && *number < CHURN_KEYS &&
           bytes_equal(key, churn_key(writers, *writer, *number, room));
}

uint64_t churn_digest(uint64_t state, bool deleted, struct bytes key, struct bytes value) {
    return digest_bytes(digest_bytes(digest_mix(state, deleted ? 1 : 2), key), value);
}

/* --- requests --------------------------------------------------------------------------------------- */

static size_t choose(struct writer *writer, size_t below) {
    return (size_t)(random_next(&writer->random) % below);
}

static void make_value(struct writer *writer, struct part *part) {
    part->value_length = (size_t)snprintf(part->value, sizeof part->value, "%zu,%llu,%zu,", writer->index,
                                          (unsigned long long)writer->number, part->first);
    size_t filler = choose(writer, FILLER);
    for (size_t i = 0; i < filler; i++)
        part->value[part->value_length++] = (char)('a' + (char)choose(writer, 26));
}

static void add_put(struct writer *writer, size_t key) {
    struct part *part = &writer->parts[writer->part_count++];
    *part = (struct part){.first = key, .last = key};
    make_value(writer, part);
}

static void add_deletion(struct writer *writer, size_t first, size_t last) {
    writer->parts[writer->part_count++] = (struct part){.deletes = true, .first = first, .last = last};
}

/* Neighbouring keys, so that no key occurs twice; the last one is deleted in half of them. */
static void plan_transaction(struct writer *writer) {
    size_t count = 2 + choose(writer, PARTS - 1);
    size_t first = choose(writer, CHURN_KEYS - count);
    bool deletion = choose(writer, 2) == 0;
    writer->transaction = true;
    for (size_t i = 0; i < count; i++) {
        if (deletion && i + 1 == count)
            add_deletion(writer, first + i, first + i);
        else
            add_put(writer, first + i);
    }
}

static void plan_deletion(struct writer *writer, size_t keys) {
    size_t first = choose(writer, CHURN_KEYS - keys);
    add_deletion(writer, first, first + keys - 1);
}

static void plan_write(struct writer *writer) {
    writer->number++;
    writer->part_count = 0;
    writer->transaction = false;
    size_t lot = choose(writer, 100);
    if (writer->index == writer->churn->options.writers)
        add_put(writer, 0);
    else if (lot < 65)
        add_put(writer, choose(writer, CHURN_KEYS));
    else if (lot < 85)
        plan_transaction(writer);
    else
        plan_deletion(writer, lot < 95 ? 1 : RANGE_KEYS);
}

static struct bytes part_key(const struct writer *writer, size_t key, uint8_t room[CHURN_KEY_ROOM]) {
    return churn_key(writer->churn->options.writers, writer->index, key, room);
}

/* PutRequest: key 1, value 2. DeleteRangeRequest: key 1, range_end 2, prev_kv 3. */
static void put_part(const struct writer *writer, const struct part *part, struct buffer *out) {
    uint8_t room[CHURN_KEY_ROOM];
    wire_put_bytes(out, 1, part_key(writer, part->first, room));
    if (!part->deletes) {
        wire_put_bytes(out, 2, bytes_of(part->value, part->value_length));
        return;
    }
    if (part->last > part->first)
        wire_put_bytes(out, 2, part_key(writer, part->last + 1, room));
    wire_put_bool(out, 3, true);
}

/* TxnRequest.success 2; RequestOp: request_put 2, request_delete_range 3. */
static void put_write(struct writer *writer) {
    struct buffer *out = &writer->call.message;
    out->length = 0;
    if (!writer->transaction) {
        writer->call.path =
            writer->parts[0].deletes ? "/etcdserverpb.KV/DeleteRange" : "/etcdserverpb.KV/Put";
        put_part(writer, &writer->parts[0], out);
        return;
    }
    writer->call.path = "/etcdserverpb.KV/Txn";
    for (size_t i = 0; i < writer->part_count; i++) {
        size_t operation = wire_begin_message(out, 2);
        size_t part = wire_begin_message(out, writer->parts[i].deletes ? 3 : 2);
        put_part(writer, &writer->parts[i], out);
        wire_end_message(out, part);
        wire_end_message(out, operation);
    }
}

/* --- answers ---------------------------------------------------------------------------------------- */

static void violate(const struct writer *writer, const char *what, int64_t seen) {
    const struct churn_options *options = &writer->churn->options;
    options->violated(options->owner, what, seen, (int64_t)writer->index);
}

static uint64_t digest_put(const struct writer *writer, const struct part *part, uint64_t digest) {
    uint8_t room[CHURN_KEY_ROOM];
    return churn_digest(digest, false, part_key(writer, part->first, room),
                        bytes_of(part->value, part->value_length));
}

/* DeleteRangeResponse: deleted 2, prev_kvs 3. */
static uint64_t digest_deletion(struct part *part, struct bytes answer, uint64_t digest) {
    struct wire_reader reader = wire_reader_of(answer);
    struct wire_field field;
    struct watch_key_value met;
    part->met = 0;
    while (wire_next(&reader, &field)) {
        if (field.number != 3 || !key_value_parse(field.bytes, &met))
            continue;
        part->met++;
        digest = churn_digest(digest, true, met.key, (struct bytes){0});
    }
    return digest;
}

/* The `index`th ResponseOp (TxnResponse.responses 3), opened: response_put 2 or response_delete_range 3. */
static struct bytes nth_answer(struct bytes response, size_t index) {
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number != 3 || index-- > 0)
            continue;
        struct wire_reader operation = wire_reader_of(field.bytes);
        if (wire_next(&operation, &field))
            return field.bytes;
    }
    return (struct bytes){0};
}

static uint64_t digest_answer(struct writer *writer, struct bytes response, bool *effect) {
    uint64_t digest = 0;
    *effect = false;
    for (size_t i = 0; i < writer->part_count; i++) {
        struct part *part = &writer->parts[i];
        if (!part->deletes)
            digest = digest_put(writer, part, digest);
        else
            digest = digest_deletion(part, writer->transaction ? nth_answer(response, i) : response, digest);
        *effect = *effect || !part->deletes || part->met > 0;
    }
    return digest;
}

static void reserve_revision(struct churn *churn, int64_t revision) {
    if ((size_t)revision < churn->revisions)
        return;
    size_t room = 2 * (size_t)revision + 1024;
    churn->digests = must_realloc(churn->digests, room * sizeof *churn->digests);
    churn->known = must_realloc(churn->known, room * sizeof *churn->known);
    memset(churn->known + churn->revisions, 0, (room - churn->revisions) * sizeof *churn->known);
    churn->revisions = room;
}

static void acknowledge(struct writer *writer, struct bytes response) {
    struct churn *churn = writer->churn;
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    bool effect;
    uint64_t digest = digest_answer(writer, response, &effect);
    if (!wire_next(&reader, &field) || field.number != 1) {
        violate(writer, "an answer without a header to writer", 0);
        return;
    }
    int64_t revision = header_revision(field.bytes);
    churn->totals.acknowledged++;
    if (!effect) {
        churn->totals.without_effect++;
        return;
    }
    if (revision <= 1 || revision > INT32_MAX) {
        violate(writer, "a write acknowledged at an impossible revision to writer", revision);
        return;
    }
    reserve_revision(churn, revision);
    if (churn->known[revision])
        violate(writer, "two writes acknowledged at one revision, one to writer", revision);
    churn->known[revision] = true;
    bool forget = churn->totals.acknowledged - churn->totals.without_effect == churn->options.forget_at;
    churn->digests[revision] = forget ? ~digest : digest;
    if (revision > churn->totals.revision)
        churn->totals.revision = revision;
    if (writer->index == churn->options.writers)
        churn->options.pulsed(churn->options.owner, writer->call.started_ns, revision);
}

static void remember_unknown(struct writer *writer) {
    if (writer->unknown_count == writer->unknown_room) {
        writer->unknown_room = 2 * writer->unknown_room + 16;
        writer->unknown = must_realloc(writer->unknown, writer->unknown_room * sizeof *writer->unknown);
    }
    struct unknown *unknown = &writer->unknown[writer->unknown_count++];
    *unknown = (struct unknown){.first = writer->parts[0].first,
                                .last = writer->parts[0].last,
                                .deletion = writer->part_count == 1 && writer->parts[0].deletes};
    uint8_t room[CHURN_KEY_ROOM];
    for (size_t i = 0; i < writer->part_count; i++) {
        const struct part *part = &writer->parts[i];
        if (part->deletes) {
            unknown->digest =
                churn_digest(unknown->digest, true, part_key(writer, part->first, room), (struct bytes){0});
            continue;
        }
        unknown->digest = digest_put(writer, part, unknown->digest);
        unknown->other = digest_put(writer, part, unknown->other);
    }
    writer->churn->totals.unknown++;
}

static void on_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    struct writer *writer = (struct writer *)call->owner;
    struct churn *churn = writer->churn;
    uint64_t now = loop_now_ns();
    if (outcome == GRPC_OK)
        acknowledge(writer, response);
    else
        remember_unknown(writer);
    bool pulse = writer->index == churn->options.writers;
    uint64_t next = call->started_ns + (pulse ? (uint64_t)PULSE_INTERVAL_NS : churn->interval_ns);
    if (outcome != GRPC_OK && next < now + RETRY_NS)
        next = now + RETRY_NS; /* a server that refuses at once is not hammered */
    writer->start_at_ns = next;
    writer->idle = true;
    churn->outstanding--;
}

/* --- the run ---------------------------------------------------------------------------------------- */

struct churn *churn_create(const struct churn_options *options, struct grpc_connection *connections,
                           size_t connection_count) {
    struct churn *churn = must_zalloc(sizeof *churn);
    churn->options = *options;
    churn->count = options->writers + 1;
    churn->interval_ns = (uint64_t)(1e9 * (double)options->writers / options->rate);
    churn->writers = must_zalloc(churn->count * sizeof *churn->writers);
    for (size_t i = 0; i < churn->count; i++) {
        struct writer *writer = &churn->writers[i];
        writer->churn = churn;
        writer->connection = &connections[i % connection_count];
        writer->index = i;
        writer->random = digest_mix(options->seed, i) | 1;
        writer->idle = true;
        writer->start_at_ns = loop_now_ns() + churn->interval_ns * i / churn->count;
        writer->call.done = on_done;
        writer->call.owner = writer;
    }
    return churn;
}

static void run_writer(struct writer *writer, uint64_t now, bool go) {
    struct churn *churn = writer->churn;
    struct grpc_call *call = &writer->call;
    if (!writer->idle) {
        if (now - call->started_ns < churn->options.timeout_us * 1000 || call->outcome == GRPC_CANCELLED)
            return;
        grpc_call_cancel(call);
    } else {
        if (!go || now < writer->start_at_ns || !grpc_connection_usable(writer->connection))
            return;
        plan_write(writer);
        put_write(writer);
        writer->idle = false;
        churn->outstanding++;
        call->started_ns = now;
        grpc_connection_call(writer->connection, call);
    }
    grpc_connection_flush(writer->connection);
}

void churn_run(struct churn *churn, uint64_t now, bool go) {
    for (size_t i = 0; i < churn->count; i++)
        run_writer(&churn->writers[i], now, go);
}

bool churn_idle(const struct churn *churn) {
    return churn->outstanding == 0;
}

const struct churn_totals *churn_totals(const struct churn *churn) {
    return &churn->totals;
}

bool churn_acknowledged(const struct churn *churn, int64_t revision, uint64_t *digest) {
    if (revision < 0 || (size_t)revision >= churn->revisions || !churn->known[revision])
        return false;
    *digest = churn->digests[revision];
    return true;
}

bool churn_explain(struct churn *churn, size_t writer, uint64_t digest, bool only_deletions, size_t lowest,
                   size_t highest) {
    struct writer *author = &churn->writers[writer];
    for (size_t i = 0; i < author->unknown_count; i++) {
        struct unknown *unknown = &author->unknown[i];
        bool same = unknown->digest == digest || unknown->other == digest;
        if (unknown->deletion)
            same = only_deletions && unknown->first <= lowest && highest <= unknown->last;
        if (unknown->used || !same)
            continue;
        unknown->used = true;
        churn->totals.explained++;
        return true;
    }
    return false;
}

void churn_free(struct churn *churn) {
    for (size_t i = 0; i < churn->count; i++) {
        grpc_call_free(&churn->writers[i].call);
        free(churn->writers[i].unknown);
    }
    free(churn->writers);
    free(churn->digests);
    free(churn->known);
    free(churn);
}
