/*
 * fanout_puts: the puts of fanout.h.
 *
 * A put's value begins with its number in hexadecimal; number modulo slots is the slot it was sent from, so
 * an event finds its put without a search.
 */
#include "common/status.h"
#include "common/wire.h"
#include "ops/load/digest.h"
#include "ops/load/fanout_parts.h"

enum { NUMBER_SIZE = 16 /* hexadecimal digits */ };

void fanout_release(struct put *put) {
    struct fanout *fanout = put->fanout;
    if (put->waiting || put->missing > 0)
        return;
    fanout->outstanding--;
    put->next_free = fanout->free_puts;
    fanout->free_puts = put;
}

static void start_put(struct put *put, uint64_t due) {
    static const char digits[] = "0123456789abcdef";
    struct fanout *fanout = put->fanout;
    const struct workload *workload = &fanout->options->workload;
    struct buffer *message = &put->call.message;
    uint8_t room[WORKLOAD_KEY_ROOM];
    put->number += fanout->put_count;
    put->key = random_next(&fanout->random) % workload->keys;
    put->missing = fanout_everybody(fanout) ? fanout->options->watchers : fanout->watchers_of[put->key];
    put->due_ns = due;
    put->waiting = true;
    fanout->outstanding++;
    message->length = 0;
    wire_put_bytes(message, 1, workload_key(workload, workload->first_key + put->key, room));
    wire_put_message_head(message, 2, workload->value_size);
    uint8_t *value = buffer_reserve(message, workload->value_size);
    memcpy(value, workload_value(workload->value_size, &fanout->random).data, workload->value_size);
    for (size_t i = 0; i < NUMBER_SIZE; i++)
        value[i] = (uint8_t)digits[put->number >> 4 * (NUMBER_SIZE - 1 - i) & 15];
    message->length += workload->value_size;
    put->call.path = "/etcdserverpb.KV/Put";
    grpc_connection_call(put->connection, &put->call);
}

static int64_t put_revision(struct bytes response) {
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    while (wire_next(&reader, &field))
        if (field.number == 1)
            return header_revision(field.bytes);
    return 0;
}

static void on_put_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    struct put *put = (struct put *)call->owner;
    struct fanout *fanout = put->fanout;
    uint64_t now = loop_now_ns();
    put->waiting = false;
    if (outcome != GRPC_OK) {
        fanout->failed++;
        put->missing = 0;
    } else {
        struct tally *tally = &fanout->tallies[fanout_everybody(fanout) ? 0 : put->key];
        tally->sum += digest_mix((uint64_t)put_revision(response), put->number);
        tally->count++;
        fanout->acknowledged++;
        if (put->due_ns >= fanout->measure_ns && put->due_ns <= fanout->end_ns)
            histogram_record(&fanout->put_latency, now - put->due_ns);
    }
    fanout_release(put);
}

void fanout_start_puts(struct fanout *fanout) {
    uint64_t now = loop_now_ns();
    struct put *put = fanout->free_puts;
    fanout->free_puts = NULL;
    while (put != NULL) {
        struct put *next = put->next_free;
        uint64_t due = now;
        if (fanout->interval_ns > 0)
            due = fanout->start_ns + (uint64_t)((double)fanout->issued * fanout->interval_ns);
        if (due <= now && grpc_connection_usable(put->connection)) {
            fanout->issued++;
            start_put(put, due);
        } else {
            put->next_free = fanout->free_puts;
            fanout->free_puts = put;
        }
        put = next;
    }
    for (size_t i = fanout->options->watch_connections; i < fanout->loop.count; i++)
        grpc_connection_flush(&fanout->loop.connections[i]);
}

uint64_t fanout_wait_time(const struct fanout *fanout, uint64_t now) {
    if (fanout->stopping || fanout->free_puts == NULL || fanout->interval_ns == 0)
        return FANOUT_IDLE_NS;
    uint64_t due = fanout->start_ns + (uint64_t)((double)fanout->issued * fanout->interval_ns);
    return due <= now ? 0 : due - now < FANOUT_IDLE_NS ? due - now : FANOUT_IDLE_NS;
}

void fanout_make_puts(struct fanout *fanout) {
    const struct fanout_options *options = fanout->options;
    if (options->kind == FANOUT_HOLD)
        return;
    fanout->put_count = options->connections * options->streams;
    fanout->puts = must_zalloc(fanout->put_count * sizeof *fanout->puts);
    for (size_t i = fanout->put_count; i-- > 0;) {
        struct put *put = &fanout->puts[i];
        put->fanout = fanout;
        put->number = i;
        put->connection = &fanout->loop.connections[options->watch_connections + i % options->connections];
        put->call.done = on_put_done;
        put->call.owner = put;
        put->next_free = fanout->free_puts;
        fanout->free_puts = put;
    }
}

bool fanout_read_number(struct bytes value, uint64_t *number) {
    if (value.length < NUMBER_SIZE)
        return false;
    *number = 0;
    for (size_t i = 0; i < NUMBER_SIZE; i++) {
        uint8_t digit = value.data[i];
        *number = *number << 4 | (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return true;
}
