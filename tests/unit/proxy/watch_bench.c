/* watch_bench: see watch_bench.h. */
#include "proxy/watch_bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/wire.h"

const struct proxy_role_config watch_bench_config = {.slot = 1,
                                                     .id_seed = 5000,
                                                     .timeout_us = 7000000,
                                                     .pending_limit = 64,
                                                     .waiting_bytes = 1 << 20,
                                                     .max_request_bytes = 1572864,
                                                     .election_us = 1000000,
                                                     .watch_progress_us = 10000000,
                                                     .seed = 42};

void watch_bench_open(struct fake_node *node) {
    fake_node_open(node, &watch_bench_config);
    fake_link_up(&node->raft, false);
    fake_link_up(&node->apply, false);
}

/* --- what a client sees --- */

static void copy_text(char *out, size_t size, struct bytes text) {
    snprintf(out, size, "%.*s", (int)text.length, (const char *)text.data);
}

static void decode_key_value(struct bytes message, struct seen_event *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            copy_text(out->key, sizeof out->key, field.bytes);
        else if (field.number == 3)
            out->revision = (int64_t)field.value;
        else if (field.number == 5)
            out->value_length = field.bytes.length;
    }
    REQUIRE(!reader.malformed);
}

static void decode_event(struct watching *watching, struct bytes message) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    if (watching->event_count == watching->event_capacity) {
        watching->event_capacity = 2 * watching->event_capacity + 16;
        watching->events =
            must_realloc(watching->events, watching->event_capacity * sizeof *watching->events);
    }
    struct seen_event *out = &watching->events[watching->event_count++];
    *out = (struct seen_event){0};
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            out->deleted = field.value == 1;
        else if (field.number == 2)
            decode_key_value(field.bytes, out);
        else if (field.number == 3)
            out->previous = true;
    }
    REQUIRE(!reader.malformed);
}

static void decode_header(struct bytes message, struct seen_response *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            out->cluster = field.value;
        else if (field.number == 2)
            out->member = field.value;
        else if (field.number == 3)
            out->revision = (int64_t)field.value;
        else if (field.number == 4)
            out->term = field.value;
    }
    REQUIRE(!reader.malformed);
}

static void decode_field(struct watching *watching, const struct wire_field *field,
                         struct seen_response *out) {
    switch (field->number) {
    case 1:
        decode_header(field->bytes, out);
        break;
    case 2:
        out->watch_id = (int64_t)field->value;
        break;
    case 3:
        out->created = field->value != 0;
        break;
    case 4:
        out->canceled = field->value != 0;
        break;
    case 5:
        out->compact_revision = (int64_t)field->value;
        break;
    case 6:
        copy_text(out->reason, sizeof out->reason, field->bytes);
        break;
    case 7:
        out->fragment = field->value != 0;
        break;
    case 11:
        decode_event(watching, field->bytes);
        out->events++;
        break;
    default:
        PANIC("field %u", field->number);
    }
}

static struct buffer *begin(void *context) {
    struct watching *watching = context;
    REQUIRE(watching->building.length == 0 && watching->ended == 0);
    return &watching->building;
}

static void commit(void *context) {
    struct watching *watching = context;
    struct wire_reader reader = wire_reader_of(buffer_bytes(&watching->building));
    struct wire_field field;
    struct seen_response seen = {.first_event = watching->event_count, .length = watching->building.length};
    while (wire_next(&reader, &field))
        decode_field(watching, &field, &seen);
    REQUIRE(!reader.malformed);
    if (watching->count == watching->capacity) {
        watching->capacity = 2 * watching->capacity + 16;
        watching->responses =
            must_realloc(watching->responses, watching->capacity * sizeof *watching->responses);
    }
    watching->responses[watching->count++] = seen;
    if (watching->deaf)
        watching->backlog += watching->building.length;
    buffer_reset(&watching->building, 1 << 20);
}

static size_t backlog(void *context) {
    return ((struct watching *)context)->backlog;
}

static void end(void *context, uint16_t status) {
    struct watching *watching = context;
    REQUIRE(watching->ended == 0);
    watching->ended = status;
}

static void cut(void *context, uint16_t status) {
    end(context, status);
    ((struct watching *)context)->backlog = 0;
}

void watching_open(struct fake_node *node, struct watching *watching, bool needs_leader) {
    *watching = (struct watching){.client = {.begin = begin,
                                             .commit = commit,
                                             .backlog = backlog,
                                             .end = end,
                                             .cut = cut,
                                             .context = watching}};
    watching->stream =
        watch_open(node->role, &watching->client, &(struct watch_options){.needs_leader = needs_leader});
}

void watching_close(struct watching *watching) {
    watch_close(watching->stream);
    buffer_free(&watching->building);
    free(watching->responses);
    free(watching->events);
}

void watching_read(struct watching *watching) {
    watching->backlog = 0;
    watch_drained(watching->stream);
}

/* --- requests --- */

static void send(struct watching *watching, uint32_t number, struct buffer *body) {
    struct buffer message = {0};
    wire_put_bytes_always(&message, number, buffer_bytes(body));
    REQUIRE(watch_receive(watching->stream, buffer_bytes(&message)));
    buffer_free(&message);
    buffer_free(body);
}

static struct bytes text_or_zero(const char *text) {
    if (text == NULL)
        return (struct bytes){0};
    return strcmp(text, "*") == 0 ? bytes_of("", 1) : bytes_from_text(text);
}

void watching_create(struct watching *watching, const struct create *create) {
    struct buffer body = {0};
    wire_put_bytes(&body, 1, text_or_zero(create->key));
    wire_put_bytes(&body, 2, text_or_zero(create->range_end));
    wire_put_int64(&body, 3, create->start_revision);
    wire_put_bool(&body, 4, create->notify);
    if (create->no_put)
        wire_put_uint64_always(&body, 5, 0);
    if (create->no_delete)
        wire_put_uint64_always(&body, 5, 1);
    wire_put_bool(&body, 6, create->previous);
    wire_put_int64(&body, 7, create->watch_id);
    wire_put_bool(&body, 8, create->fragment);
    send(watching, 1, &body);
}

void watching_cancel(struct watching *watching, int64_t watch_id) {
    struct buffer body = {0};
    wire_put_int64(&body, 1, watch_id);
    send(watching, 2, &body);
}

void watching_ask_progress(struct watching *watching) {
    struct buffer body = {0};
    send(watching, 3, &body);
}

const struct seen_response *watching_last(const struct watching *watching) {
    REQUIRE(watching->count > 0);
    return &watching->responses[watching->count - 1];
}

/* --- apply --- */

void answer_asks(struct fake_node *node, int64_t revision, int64_t compacted) {
    fake_node_settle(node);
    for (size_t i = 0; i < node->apply.record_count; i++) {
        struct fake_record *record = &node->apply.records[i];
        if (record->kind != BUS_PROXY_WATCH)
            continue;
        record->kind = BUS_NONE; /* answered */
        bus_put_watch_answer(
            node->apply.far,
            &(struct bus_watch_answer){.id = record->id, .revision = revision, .compacted = compacted});
    }
    fake_node_settle(node);
}

static void put(struct stream_record *record, int64_t revision, const char *key, const char *value,
                bool deleted, bool previous) {
    static const uint8_t previous_field[] = {0x1a, 3, 0x0a, 1, 'p'};
    record->message.length = 0;
    wire_put_bool(&record->message, 1, deleted);
    size_t mark = wire_begin_message(&record->message, 2);
    wire_put_bytes(&record->message, 1, bytes_from_text(key));
    wire_put_int64(&record->message, 3, revision);
    if (!deleted)
        wire_put_bytes(&record->message, 5, bytes_from_text(value));
    wire_end_message(&record->message, mark);
    struct bytes message = buffer_bytes(&record->message);
    const uint8_t *place = memmem(message.data, message.length, key, strlen(key));
    event_put(&record->body,
              &(struct event){.revision = revision,
                              .deleted = deleted,
                              .message = message,
                              .previous = bytes_of(previous_field, previous ? sizeof previous_field : 0),
                              .key = bytes_of(place, strlen(key))});
}

void put_event(struct stream_record *record, int64_t revision, const char *key, const char *value,
               bool previous) {
    put(record, revision, key, value, false, previous);
}

void put_delete(struct stream_record *record, int64_t revision, const char *key, bool previous) {
    put(record, revision, key, "", true, previous);
}

void publish(struct fake_node *node, struct stream_record *record, int64_t from, int64_t to) {
    bus_put_events(
        node->apply.far,
        &(struct bus_events){.from = from, .to = to, .compacted = -1, .body = buffer_bytes(&record->body)});
    buffer_free(&record->body);
    buffer_free(&record->message);
    fake_node_settle(node);
}

void publish_put(struct fake_node *node, int64_t revision, const char *key) {
    struct stream_record record = {0};
    put_event(&record, revision, key, "value", false);
    publish(node, &record, revision, revision);
}

static struct fake_record *find_history(const struct fake_node *node) {
    for (size_t i = node->apply.record_count; i-- > 0;) {
        const struct fake_record *record = &node->apply.records[i];
        if (record->kind == BUS_PROXY_READ && record->method == METHOD_WATCH_HISTORY)
            return (struct fake_record *)(uintptr_t)record;
    }
    return NULL;
}

const struct fake_record *asked_history(const struct fake_node *node, struct history_request *out) {
    const struct fake_record *record = find_history(node);
    if (record != NULL)
        REQUIRE(history_request_get(buffer_bytes(&record->body), out));
    return record;
}

void answer_history(struct fake_node *node, struct stream_record *record, enum history_part part,
                    int64_t through, bool more) {
    struct fake_record *asked = find_history(node);
    struct buffer body = {0};
    REQUIRE(asked != NULL);
    history_head_put(&body, &(struct history_head){.part = part, .through = through});
    buffer_append_bytes(&body, buffer_bytes(&record->body));
    uint64_t id = asked->id;
    if (!more)
        asked->kind = BUS_NONE;
    fake_answer(node, &(struct bus_result){.id = id, .more = more, .body = buffer_bytes(&body)});
    buffer_free(&body);
    buffer_free(&record->body);
    buffer_free(&record->message);
}
