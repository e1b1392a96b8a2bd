/* tagged: see tagged.h. One thread, one connection a client: a client is what reconnects when its server
 * dies. */
#include "ops/load/tagged.h"

#include "common/status.h"
#include "common/wire.h"
#include "ops/load/commands.h"
#include "ops/load/loop.h"
#include "ops/load/watch_message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_NS = 1000 * 1000,
    REGISTER_EVERY = 4,
    DRAIN_LIMIT_NS = 1000 * 1000 * 1000,
};

enum kind { CLASS_WRITE, CLASS_LINEARIZABLE, CLASS_SERIALIZABLE, CLASS_COUNT };
static const char *const class_names[CLASS_COUNT] = {"write", "linearizable", "serializable"};

/* What a client has seen of one register. */
struct sighting {
    int64_t mod_revision;
    uint64_t number;
};

struct client {
    struct grpc_call call; /* first: a call is its client */
    struct tagged *tagged;
    struct grpc_connection *connection;
    unsigned index; /* among the writers or among the readers */
    bool writer, idle;
    enum kind kind;       /* of the current request */
    uint64_t start_at_ns; /* not before: the pause */
    uint64_t last_success_ns;
    bool recovered;   /* since the mark */
    int64_t revision; /* largest header revision seen */
    /* writer */
    uint64_t operations, number; /* started; of the current request */
    bool is_register;
    uint64_t acknowledged_register; /* largest number acknowledged to its register */
    /* reader */
    struct client *partner; /* the other reader on this connection */
    unsigned target;        /* register being read */
    struct sighting *sightings;
    int64_t floor_revision; /* what the answer must not be below */
    uint64_t floor_number;
};

struct tagged {
    const struct tagged_options *options;
    struct loop loop;
    struct client *clients;
    size_t client_count, idle_count;
    FILE *log;
    bool stopping;
    int64_t known_revision; /* largest revision any client was told */
    uint64_t mark_ns;       /* 0: no recovery being measured */
    char mark[64];
    size_t missing[CLASS_COUNT]; /* clients that have not recovered */
    uint64_t first_ns[CLASS_COUNT];
    uint64_t acknowledged, unknown, refused, reads;
    long violations;
    struct commands commands;
};

static uint64_t to_us(uint64_t nanoseconds) {
    return nanoseconds / 1000;
}

/* --- requests --------------------------------------------------------------------------------------- */

static void make_write(struct client *client) {
    char key[64];
    char value[64];
    client->is_register = client->operations % REGISTER_EVERY == REGISTER_EVERY - 1;
    client->number = client->operations++;
    if (client->is_register) {
        snprintf(key, sizeof key, "/reg/%04u", client->index);
        snprintf(value, sizeof value, "%" PRIu64, client->number);
    } else {
        snprintf(key, sizeof key, "/tag/%04u/%010" PRIu64, client->index, client->number);
        snprintf(value, sizeof value, "%u,%" PRIu64, client->index, client->number);
    }
    client->call.path = "/etcdserverpb.KV/Put";
    wire_put_bytes(&client->call.message, 1, bytes_from_text(key));
    wire_put_bytes(&client->call.message, 2, bytes_from_text(value));
}

static void make_read(struct client *client) {
    struct tagged *tagged = client->tagged;
    char key[64];
    bool serializable = client->kind == CLASS_SERIALIZABLE;
    client->target = (unsigned)((client->operations++ + client->index) % tagged->options->writers);
    snprintf(key, sizeof key, "/reg/%04u", client->target);
    client->floor_revision = serializable ? client->partner->revision : tagged->known_revision;
    client->floor_number = serializable ? client->partner->sightings[client->target].number
                                        : tagged->clients[client->target].acknowledged_register;
    client->call.path = "/etcdserverpb.KV/Range";
    wire_put_bytes(&client->call.message, 1, bytes_from_text(key));
    wire_put_bool(&client->call.message, 7, serializable);
}

static void start(struct client *client, uint64_t now) {
    client->call.message.length = 0;
    if (client->writer)
        make_write(client);
    else
        make_read(client);
    client->idle = false;
    client->tagged->idle_count--;
    client->call.started_ns = now;
    grpc_connection_call(client->connection, &client->call);
}

/* --- answers ---------------------------------------------------------------------------------------- */

static void violation(struct client *client, const char *what, int64_t seen, int64_t before) {
    client->tagged->violations++;
    printf("violation %s %s client %u register %u: %" PRId64 " after %" PRId64 " at %" PRIu64 "\n",
           class_names[client->kind], what, client->index, client->target, seen, before,
           to_us(loop_now_ns()));
}

/* header = 1 in both responses; kvs = 2 in a RangeResponse. */
static int64_t read_response(struct bytes response, struct bytes *key_value) {
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    int64_t revision = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 1)
            revision = header_revision(field.bytes);
        else if (field.number == 2 && field.type == WIRE_BYTES)
            *key_value = field.bytes;
    }
    return revision;
}

static struct sighting read_register(struct bytes key_value) {
    struct wire_reader reader = wire_reader_of(key_value);
    struct wire_field field;
    struct sighting seen = {0};
    while (wire_next(&reader, &field)) {
        if (field.number == 3)
            seen.mod_revision = (int64_t)field.value;
        else if (field.number == 5)
            for (size_t i = 0; i < field.bytes.length; i++)
                seen.number = seen.number * 10 + (uint64_t)(field.bytes.data[i] - '0');
    }
    return seen;
}

static void check_revision(struct client *client, int64_t revision) {
    if (revision < client->revision)
        violation(client, "revision went backward", revision, client->revision);
    else
        client->revision = revision;
    if (revision < client->floor_revision)
        violation(client, "revision is stale", revision, client->floor_revision);
}

static void check_read(struct client *client, struct bytes response) {
    struct bytes key_value = {0};
    check_revision(client, read_response(response, &key_value));
    struct sighting seen = read_register(key_value); /* an absent register is 0, 0 */
    struct sighting *before = &client->sightings[client->target];
    if (seen.mod_revision < before->mod_revision)
        violation(client, "mod_revision went backward", seen.mod_revision, before->mod_revision);
    if (seen.number < before->number)
        violation(client, "value went backward", (int64_t)seen.number, (int64_t)before->number);
    if (seen.mod_revision == before->mod_revision && seen.number != before->number)
        violation(client, "value changed within a revision", (int64_t)seen.number, (int64_t)before->number);
    if (seen.number < client->floor_number)
        violation(client, "value is stale", (int64_t)seen.number, (int64_t)client->floor_number);
    *before = seen;
    client->tagged->reads++;
}

/* A code that says the write was turned away before it became a proposal. */
static bool surely_refused(unsigned outcome) {
    return outcome == GRPC_INVALID_ARGUMENT || outcome == GRPC_RESOURCE_EXHAUSTED ||
           outcome == GRPC_UNIMPLEMENTED || outcome == GRPC_FAILED_PRECONDITION;
}

static void record_write(struct client *client, unsigned outcome, struct bytes response) {
    struct tagged *tagged = client->tagged;
    char kind = client->is_register ? 'R' : 'S';
    char verdict = 'A';
    int64_t detail = outcome;
    if (outcome == GRPC_OK) {
        struct bytes unused = {0};
        detail = read_response(response, &unused);
        check_revision(client, detail);
        if (client->is_register)
            client->acknowledged_register = client->number;
        tagged->acknowledged++;
    } else if (surely_refused(outcome)) {
        verdict = 'X';
        tagged->refused++;
    } else {
        verdict = 'U';
        tagged->unknown++;
    }
    fprintf(tagged->log, "%c %c %u %" PRIu64 " %" PRId64 "\n", verdict, kind, client->index, client->number,
            detail);
}

static void note_recovery(struct client *client, uint64_t now) {
    struct tagged *tagged = client->tagged;
    enum kind kind = client->kind;
    if (tagged->mark_ns == 0 || client->recovered || client->call.started_ns < tagged->mark_ns)
        return;
    client->recovered = true;
    if (tagged->first_ns[kind] == 0)
        tagged->first_ns[kind] = now;
    if (--tagged->missing[kind] == 0)
        printf("recovered %s %s %" PRIu64 " %" PRIu64 "\n", tagged->mark, class_names[kind],
               to_us(tagged->first_ns[kind]), to_us(now));
}

static void note_success(struct client *client, uint64_t now) {
    uint64_t *last = &client->last_success_ns;
    if (*last != 0 && now - *last > client->tagged->options->gap_us * 1000)
        printf("gap %s %u %" PRIu64 " %" PRIu64 "\n", class_names[client->kind], client->index, to_us(*last),
               to_us(now));
    *last = now;
    note_recovery(client, now);
}

static void on_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    struct client *client = (struct client *)call->owner;
    struct tagged *tagged = client->tagged;
    uint64_t now = loop_now_ns();
    if (client->writer)
        record_write(client, outcome, response);
    else if (outcome == GRPC_OK)
        check_read(client, response);
    if (outcome == GRPC_OK) {
        note_success(client, now);
        if (client->revision > tagged->known_revision)
            tagged->known_revision = client->revision;
    }
    uint64_t pause = tagged->options->pause_us * 1000;
    if (outcome != GRPC_OK && outcome != GRPC_CONNECTION_LOST && pause < TICK_NS)
        pause = TICK_NS; /* a server that refuses at once is not hammered */
    client->start_at_ns = now + pause;
    client->idle = true;
    tagged->idle_count++;
    if (pause == 0 && !tagged->stopping && grpc_connection_usable(client->connection))
        start(client, now);
}

/* --- the run ---------------------------------------------------------------------------------------- */

static void start_idle(struct tagged *tagged) {
    uint64_t now = loop_now_ns();
    for (size_t i = 0; i < tagged->client_count; i++) {
        struct client *client = &tagged->clients[i];
        if (client->idle && now >= client->start_at_ns && grpc_connection_usable(client->connection)) {
            start(client, now);
            grpc_connection_flush(client->connection);
        }
    }
}

static void give_up_overdue(struct tagged *tagged) {
    uint64_t now = loop_now_ns();
    for (size_t i = 0; i < tagged->client_count; i++) {
        struct client *client = &tagged->clients[i];
        if (client->call.connection == NULL ||
            now - client->call.started_ns < tagged->options->timeout_us * 1000)
            continue;
        client->call.started_ns = now; /* so that it is cancelled once */
        grpc_call_cancel(&client->call);
        grpc_connection_flush(client->connection);
    }
}

static void begin_mark(struct tagged *tagged, const char *mark) {
    snprintf(tagged->mark, sizeof tagged->mark, "%.63s", mark);
    tagged->mark_ns = loop_now_ns();
    for (unsigned kind = 0; kind < CLASS_COUNT; kind++) {
        tagged->missing[kind] = kind == CLASS_WRITE ? tagged->options->writers : tagged->options->readers;
        tagged->first_ns[kind] = 0;
    }
    for (size_t i = 0; i < tagged->client_count; i++)
        tagged->clients[i].recovered = false;
}

static void on_line(void *owner, const char *line) {
    struct tagged *tagged = (struct tagged *)owner;
    if (strncmp(line, "mark ", 5) == 0)
        begin_mark(tagged, line + 5);
    else if (strcmp(line, "stop") == 0)
        tagged->stopping = true;
    else
        fprintf(stderr, "unknown command: %s\n", line);
}

static void make_clients(struct tagged *tagged) {
    size_t writers = tagged->options->writers;
    for (size_t i = 0; i < tagged->client_count; i++) {
        struct client *client = &tagged->clients[i];
        size_t reader = i < writers ? 0 : i - writers; /* two readers share a connection */
        client->tagged = tagged;
        client->writer = i < writers;
        client->kind = client->writer    ? CLASS_WRITE
                       : reader % 2 == 0 ? CLASS_LINEARIZABLE
                                         : CLASS_SERIALIZABLE;
        client->connection = &tagged->loop.connections[client->writer ? i : writers + reader / 2];
        client->index = (unsigned)(client->writer ? i : reader / 2);
        client->idle = true;
        client->call.done = on_done;
        client->call.owner = client;
        if (client->writer)
            continue;
        client->partner = reader % 2 == 0 ? client + 1 : client - 1;
        client->sightings = must_zalloc(writers * sizeof *client->sightings);
    }
    tagged->idle_count = tagged->client_count;
}

static void free_clients(struct tagged *tagged) {
    for (size_t i = 0; i < tagged->client_count; i++) {
        grpc_call_free(&tagged->clients[i].call);
        free(tagged->clients[i].sightings);
    }
    free(tagged->clients);
}

static void run(struct tagged *tagged) {
    uint64_t stop_limit = 0;
    uint64_t next_check = 0;
    for (;;) {
        uint64_t now = loop_now_ns();
        if (tagged->stopping && stop_limit == 0)
            stop_limit = now + tagged->options->timeout_us * 1000 + DRAIN_LIMIT_NS;
        if (tagged->stopping && (tagged->idle_count == tagged->client_count || now > stop_limit))
            return;
        if (!tagged->stopping && tagged->idle_count > 0)
            start_idle(tagged);
        if (now >= next_check) {
            give_up_overdue(tagged);
            next_check = now + 100 * TICK_NS;
        }
        if (loop_run_once(&tagged->loop, TICK_NS, &tagged->commands))
            commands_read(&tagged->commands, on_line, tagged);
    }
}

long tagged_run(const struct tagged_options *options) {
    struct tagged tagged = {.options = options, .client_count = options->writers + 2 * options->readers};
    tagged.log = fopen(options->log_path, "we");
    if (tagged.log == NULL) {
        fprintf(stderr, "%s: %s\n", options->log_path, strerror(errno));
        return -1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    tagged.clients = must_zalloc(tagged.client_count * sizeof *tagged.clients);
    loop_create(&tagged.loop, options->writers + options->readers, options->endpoints,
                options->endpoint_count);
    make_clients(&tagged);
    commands_watch(&tagged.commands, tagged.loop.epoll);
    loop_open_all(&tagged.loop);
    printf("ready\n");
    run(&tagged);
    loop_destroy(&tagged.loop);
    bool logged = fclose(tagged.log) == 0;
    printf("total acknowledged %" PRIu64 " unknown %" PRIu64 " refused %" PRIu64 " reads %" PRIu64
           " violations %ld\n",
           tagged.acknowledged, tagged.unknown, tagged.refused, tagged.reads, tagged.violations);
    free_clients(&tagged);
    return logged ? tagged.violations : -1;
}
