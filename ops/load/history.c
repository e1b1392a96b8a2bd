/* history: see history.h. */
#include "ops/load/history.h"

#include <stdlib.h>

enum { CLASS_LIMIT = 8192 };

struct class {
    struct watch_create create;
    struct digest_sum digest;
};

struct question {
    int64_t revision;
    size_t class;
    struct history_answer *answer;
};

struct list {
    size_t *items;
    size_t count, room;
};

/* An event as the classes' digests need it. */
struct record {
    int64_t revision;
    uint64_t plain, with_previous;
    uint32_t key;
    bool deleted;
};

/* A revision as its writer knows it; compared at the end, as an event may be here before the acknowledgement.
 */
struct revision {
    int64_t revision;
    uint64_t digest;
    size_t writer;
    uint32_t lowest, highest; /* keys */
    bool only_deletions;
    size_t lease; /* not a writer's but this lease's, plus 1 */
};

/* A key as the events so far left it. */
struct state {
    bool exists;
    int64_t created, modified, version;
    uint64_t value;
};

struct history {
    struct churn *churn;
    size_t writers;
    void (*violated)(void *owner, const char *what, int64_t seen, int64_t before);
    void *owner;
    struct class *classes;
    size_t class_count;
    struct list *classes_of; /* by key: those it falls into */
    struct question *questions;
    size_t question_count, question_room;
    struct record *records;
    size_t record_count, record_room;
    struct state *states; /* by key */
    struct revision *revisions;
    size_t revision_count, revision_room;
    struct revision current; /* under way */
};

static void violate(struct history *history, const char *what, int64_t seen, int64_t before) {
    history->violated(history->owner, what, seen, before);
}

/* Writers' keys, the pulse, and one for all keys of leases. */
static size_t key_count(const struct history *history) {
    return history->writers * CHURN_KEYS + 2;
}

static size_t lease_key(const struct history *history) {
    return key_count(history) - 1;
}

static struct bytes key_text(const struct history *history, size_t key, uint8_t room[CHURN_KEY_ROOM]) {
    if (key == lease_key(history))
        return bytes_from_text(LESSEES_PREFIX "0");
    return churn_key(history->writers, key / CHURN_KEYS, key % CHURN_KEYS, room);
}

struct history *history_create(struct churn *churn, size_t writers,
                               void (*violated)(void *owner, const char *what, int64_t seen, int64_t before),
                               void *owner) {
    struct history *history = must_zalloc(sizeof *history);
    *history = (struct history){
        .churn = churn, .writers = writers, .violated = violated, .owner = owner, .current.revision = 1};
    history->classes = must_zalloc(CLASS_LIMIT * sizeof *history->classes);
    history->classes_of = must_zalloc(key_count(history) * sizeof *history->classes_of);
    history->states = must_zalloc(key_count(history) * sizeof *history->states);
    return history;
}

void history_free(struct history *history) {
    for (size_t key = 0; key < key_count(history); key++)
        free(history->classes_of[key].items);
    free(history->classes_of);
    free(history->classes);
    free(history->questions);
    free(history->records);
    free(history->revisions);
    free(history->states);
    free(history);
}

uint64_t history_events(const struct history *history) {
    return history->record_count;
}

/* --- classes and questions -------------------------------------------------------------------------- */

/* etcd's conventions: no end: one key; an end of one zero byte: everything from the key on. */
static bool covers(const struct watch_create *create, struct bytes key) {
    if (create->range_end.length == 0)
        return bytes_equal(create->key, key);
    bool open_end = create->range_end.length == 1 && create->range_end.data[0] == 0;
    return bytes_compare(create->key, key) <= 0 && (open_end || bytes_compare(key, create->range_end) < 0);
}

static void append(struct list *list, size_t item) {
    if (list->count == list->room) {
        list->room = 2 * list->room + 4;
        list->items = must_realloc(list->items, list->room * sizeof *list->items);
    }
    list->items[list->count++] = item;
}

static bool same_class(const struct watch_create *a, const struct watch_create *b) {
    return bytes_equal(a->key, b->key) && bytes_equal(a->range_end, b->range_end) &&
           a->previous == b->previous && a->no_put == b->no_put && a->no_delete == b->no_delete;
}

size_t history_class(struct history *history, const struct watch_create *create) {
    for (size_t i = 0; i < history->class_count; i++)
        if (same_class(&history->classes[i].create, create))
            return i;
    REQUIRE(history->class_count < CLASS_LIMIT);
    history->classes[history->class_count].create = *create;
    uint8_t room[CHURN_KEY_ROOM];
    for (size_t key = 0; key < key_count(history); key++)
        if (covers(create, key_text(history, key, room)))
            append(&history->classes_of[key], history->class_count);
    return history->class_count++;
}

void history_ask(struct history *history, size_t class, int64_t revision, struct history_answer *answer) {
    if (history->question_count == history->question_room) {
        history->question_room = 2 * history->question_room + 1024;
        history->questions =
            must_realloc(history->questions, history->question_room * sizeof *history->questions);
    }
    history->questions[history->question_count++] =
        (struct question){.revision = revision, .class = class, .answer = answer};
}

static int earlier(const void *a, const void *b) {
    int64_t left = ((const struct question *)a)->revision;
    int64_t right = ((const struct question *)b)->revision;
    return left < right ? -1 : left > right;
}

/* Takes the questions, in order, that all events below `revision` have passed for. */
static size_t answer_until(struct history *history, size_t answered, int64_t revision) {
    for (; answered < history->question_count; answered++) {
        const struct question *question = &history->questions[answered];
        if (question->revision > revision)
            break;
        const struct digest_sum *digest = &history->classes[question->class].digest;
        *question->answer = (struct history_answer){.total = digest_total(digest), .count = digest->count};
    }
    return answered;
}

static void add_to_classes(struct history *history, const struct record *record) {
    const struct list *list = &history->classes_of[record->key];
    for (size_t i = 0; i < list->count; i++) {
        struct class *class = &history->classes[list->items[i]];
        if (record->deleted ? class->create.no_delete : class->create.no_put)
            continue;
        digest_add(&class->digest, record->revision,
                   class->create.previous ? record->with_previous : record->plain);
    }
}

void history_answer(struct history *history) {
    size_t answered = 0;
    if (history->question_count > 0)
        qsort(history->questions, history->question_count, sizeof *history->questions, earlier);
    for (size_t i = 0; i < history->class_count; i++)
        history->classes[i].digest = (struct digest_sum){0};
    for (size_t i = 0; i < history->record_count; i++) {
        answered = answer_until(history, answered, history->records[i].revision);
        add_to_classes(history, &history->records[i]);
    }
    answer_until(history, answered, INT64_MAX);
    history->question_count = 0;
}

/* --- events ----------------------------------------------------------------------------------------- */

static uint64_t digest_key_value(uint64_t digest, const struct watch_key_value *key_value) {
    digest = digest_bytes(digest, key_value->key);
    digest = digest_mix(digest, (uint64_t)key_value->created);
    digest = digest_mix(digest, (uint64_t)key_value->modified);
    digest = digest_mix(digest, (uint64_t)key_value->version);
    digest = digest_mix(digest, (uint64_t)key_value->lease);
    return digest_bytes(digest, key_value->value);
}

uint64_t history_digest(const struct watch_event *event, bool previous) {
    uint64_t digest = digest_key_value(event->deleted ? 1 : 2, &event->now);
    if (previous && event->has_previous)
        digest = digest_key_value(digest, &event->previous);
    return digest;
}

/* Is it what somebody was promised? */
static void check_promise(struct history *history, const struct revision *revision) {
    uint64_t promised;
    if (revision->lease > 0)
        return;
    if (churn_acknowledged(history->churn, revision->revision, &promised)) {
        if (promised != revision->digest)
            violate(history, "a revision holds something else than its writer was told; revision, writer",
                    revision->revision, (int64_t)revision->writer);
    } else if (!churn_explain(history->churn, revision->writer, revision->digest, revision->only_deletions,
                              revision->lowest, revision->highest)) {
        violate(history, "a revision that nobody wrote, or a write done twice; revision, writer",
                revision->revision, (int64_t)revision->writer);
    }
}

static void end_revision(struct history *history) {
    if (history->current.revision == 1)
        return; /* an empty store's */
    if (history->revision_count == history->revision_room) {
        history->revision_room = 2 * history->revision_room + 4096;
        history->revisions =
            must_realloc(history->revisions, history->revision_room * sizeof *history->revisions);
    }
    history->revisions[history->revision_count++] = history->current;
}

static void begin_revision(struct history *history, int64_t revision) {
    end_revision(history);
    if (revision != history->current.revision + 1)
        violate(history, "history has a gap or goes back", revision, history->current.revision);
    history->current = (struct revision){.revision = revision, .only_deletions = true, .lowest = UINT32_MAX};
}

static void check_previous(struct history *history, const struct state *state,
                           const struct watch_event *event) {
    const struct watch_key_value *previous = &event->previous;
    if (event->has_previous != state->exists) {
        violate(history, "prev_kv is there (1) or not (0), against what was; revision", event->has_previous,
                event->now.modified);
        return;
    }
    if (state->exists &&
        (previous->modified != state->modified || previous->created != state->created ||
         previous->version != state->version || digest_bytes(0, previous->value) != state->value ||
         !bytes_equal(previous->key, event->now.key)))
        violate(history, "prev_kv is not what was before; its mod_revision, revision", previous->modified,
                event->now.modified);
}

static void check_state(struct history *history, struct state *state, const struct watch_event *event) {
    const struct watch_key_value *now = &event->now;
    check_previous(history, state, event);
    if (event->deleted) {
        if (!state->exists)
            violate(history, "a deletion of what was not there; revision", now->modified, 0);
        *state = (struct state){0};
        return;
    }
    int64_t created = state->exists ? state->created : now->modified;
    int64_t version = state->exists ? state->version + 1 : 1;
    if (now->created != created || now->version != version)
        violate(history, "create_revision or version do not follow; version, revision", now->version,
                now->modified);
    *state = (struct state){.exists = true,
                            .created = created,
                            .modified = now->modified,
                            .version = version,
                            .value = digest_bytes(0, now->value)};
}

static void keep(struct history *history, size_t key, const struct watch_event *event) {
    if (history->record_count == history->record_room) {
        history->record_room = 2 * history->record_room + 4096;
        history->records = must_realloc(history->records, history->record_room * sizeof *history->records);
    }
    history->records[history->record_count++] = (struct record){.revision = event->now.modified,
                                                                .plain = history_digest(event, false),
                                                                .with_previous = history_digest(event, true),
                                                                .key = (uint32_t)key,
                                                                .deleted = event->deleted};
}

/* Put once, all keys of one lease in one revision; deleted likewise. */
static void lease_event(struct history *history, size_t lease, const struct watch_event *event) {
    struct revision *revision = &history->current;
    bool mixed = revision->lease > 0
                     ? revision->lease != lease + 1 || revision->only_deletions != event->deleted
                     : revision->digest != 0;
    if (mixed)
        violate(history, "a revision mixes a lease's keys with others; revision, lease", revision->revision,
                (int64_t)lease);
    revision->lease = lease + 1;
    revision->only_deletions = event->deleted;
    if (!event->deleted && (event->now.created != event->now.modified || event->now.version != 1))
        violate(history, "a lease's key is not new; revision, lease", revision->revision, (int64_t)lease);
    if (event->has_previous != event->deleted)
        violate(history, "prev_kv of a lease's key; revision, lease", revision->revision, (int64_t)lease);
    keep(history, lease_key(history), event);
}

void history_event(struct history *history, const struct watch_event *event) {
    size_t writer, number;
    struct revision *revision = &history->current;
    if (event->now.modified != revision->revision)
        begin_revision(history, event->now.modified);
    if (lessees_key_parse(event->now.key, &number)) {
        lease_event(history, number, event);
        return;
    }
    if (revision->lease > 0 || !churn_key_parse(history->writers, event->now.key, &writer, &number)) {
        violate(history, "an event of a key nobody has; revision", event->now.modified, 0);
        return;
    }
    size_t key = writer * CHURN_KEYS + number;
    revision->writer = writer;
    revision->digest = churn_digest(revision->digest, event->deleted, event->now.key,
                                    event->deleted ? (struct bytes){0} : event->now.value);
    revision->only_deletions = revision->only_deletions && event->deleted;
    revision->lowest = number < revision->lowest ? (uint32_t)number : revision->lowest;
    revision->highest = number > revision->highest ? (uint32_t)number : revision->highest;
    check_state(history, &history->states[key], event);
    keep(history, key, event);
}

void history_end(struct history *history, int64_t last) {
    end_revision(history);
    for (size_t i = 0; i < history->revision_count; i++)
        check_promise(history, &history->revisions[i]);
    if (history->current.revision != last)
        violate(history, "history ends before the store's revision", history->current.revision, last);
    if (churn_totals(history->churn)->revision > last)
        violate(history, "LOST: a write was acknowledged beyond the store's revision",
                churn_totals(history->churn)->revision, last);
}

/* RangeResponse: kvs 2. */
void history_compare_state(struct history *history, struct bytes response) {
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    struct watch_key_value found;
    size_t writer, number;
    while (wire_next(&reader, &field)) {
        if (field.number != 2 || !key_value_parse(field.bytes, &found))
            continue;
        if (!churn_key_parse(history->writers, found.key, &writer, &number)) {
            violate(history, "the store holds a key nobody wrote; mod_revision", found.modified, 0);
            continue;
        }
        struct state *state = &history->states[writer * CHURN_KEYS + number];
        if (!state->exists || state->modified != found.modified || state->created != found.created ||
            state->version != found.version || state->value != digest_bytes(0, found.value))
            violate(history, "a key does not stand where its last event left it; mod_revision, of the event",
                    found.modified, state->modified);
        state->exists = false;
    }
    for (size_t key = 0; key < key_count(history); key++)
        if (history->states[key].exists)
            violate(history, "LOST: a key is gone, though its last event was a put; mod_revision, writer",
                    history->states[key].modified, (int64_t)(key / CHURN_KEYS));
}
