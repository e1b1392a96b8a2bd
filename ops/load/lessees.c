/* lessees: see lessees.h. */
#include "ops/load/lessees.h"

#include "common/status.h"
#include "ops/load/digest.h"
#include "ops/load/watch_stream.h"
#include "ops/load/workload.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

enum {
    FIRST_LEASE = 1 << 30,
    KEYS = 3,           /* of a lease */
    SHORTEST_TTL_S = 2, /* etcd raises what is shorter */
    LONGEST_TTL_S = 4,
    LONGEST_KEPT_S = 20,
    ELECTION_S = 1,
    RECOVERY_S = 2, /* from a disturbance to a leader that serves */
    SLACK_S = 5,    /* the machine is busy */
    ANSWER_S = 2,   /* to a renewal */
    RETRY_NS = 50 * 1000 * 1000,
    REOPEN_NS = 10 * 1000 * 1000,
};

struct lease {
    uint64_t ttl_ns;
    uint64_t renewed_ns, sent_ns; /* the last answered renewal, and the last one at all, were sent */
    int64_t attached, ended;      /* revisions */
    unsigned put, gone;           /* keys */
    bool doubtful;                /* whether the keys were put */
    bool revoked;                 /* somebody asked for it */
    bool lost_sight;              /* events may have been missed */
};

enum step { STEP_REST, STEP_GRANT, STEP_ATTACH, STEP_KEEP, STEP_REVOKE, STEP_WAIT };

struct holder {
    struct grpc_call call;     /* first: a call is its holder */
    struct grpc_call renewals; /* a stream */
    struct lessees *lessees;
    struct grpc_connection *connection;
    enum step step;
    size_t lease;
    uint64_t random;
    uint64_t next_ns; /* when there is something to do */
    uint64_t let_go_ns;
    uint64_t asked_ns; /* a renewal is on its way since; 0: none */
    struct buffer request;
};

struct lessees {
    struct lessees_options options;
    struct holder *holders;
    struct lease *leases;
    size_t lease_count, lease_room;
    uint64_t disturbed_ns;
    struct watch_stream stream;
    struct watcher watcher;
    uint64_t reopen_at_ns;
    uint8_t range_end[WORKLOAD_KEY_ROOM];
    struct lessees_totals totals;
};

static void violate(struct lessees *lessees, const char *what, int64_t seen, size_t lease) {
    lessees->options.violated(lessees->options.owner, what, seen, (int64_t)lease);
}

static struct lease *lease_of(const struct holder *holder) {
    return &holder->lessees->leases[holder->lease];
}

static uint64_t choose(struct holder *holder, uint64_t below) {
    return random_next(&holder->random) % below;
}

static int64_t milliseconds(uint64_t nanoseconds) {
    return (int64_t)(nanoseconds / 1000000);
}

bool lessees_key_parse(struct bytes key, size_t *lease) {
    size_t at = strlen(LESSEES_PREFIX);
    if (key.length <= at || memcmp(key.data, LESSEES_PREFIX, at) != 0)
        return false;
    for (*lease = 0; at < key.length && key.data[at] != '/'; at++)
        *lease = *lease * 10 + (size_t)(key.data[at] - '0');
    return true;
}

/* --- the watch -------------------------------------------------------------------------------------- */

static struct lessees *lessees_of(struct watch_stream *stream) {
    return (struct lessees *)stream->owner;
}

static void on_created(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    (void)stream, (void)watcher, (void)revision;
}

static void on_put(struct lessees *lessees, size_t number, const struct watch_event *event) {
    struct lease *lease = &lessees->leases[number];
    if (event->now.lease != (int64_t)(FIRST_LEASE + number))
        violate(lessees, "a key with another lease than it was put with; its lease, lease", event->now.lease,
                number);
    if (lease->attached != 0 && lease->attached != event->now.modified)
        violate(lessees, "keys of a lease put twice, or elsewhere than acknowledged; revision, lease",
                event->now.modified, number);
    lease->attached = event->now.modified;
    lease->put++;
}

/* When it must have ended. */
static uint64_t latest_end(const struct lessees *lessees, const struct lease *lease) {
    uint64_t begun = lease->sent_ns;
    if (lessees->disturbed_ns != 0 && lessees->disturbed_ns + RECOVERY_S * SECOND_NS > begun)
        begun = lessees->disturbed_ns + RECOVERY_S * SECOND_NS;
    return begun + lease->ttl_ns + (ELECTION_S + SLACK_S) * SECOND_NS;
}

static void check_end(struct lessees *lessees, size_t number, uint64_t now) {
    const struct lease *lease = &lessees->leases[number];
    uint64_t latest = latest_end(lessees, lease);
    uint64_t earliest = lease->revoked ? 0 : lease->renewed_ns + lease->ttl_ns;
    if (lessees->options.misremember && number == 0)
        earliest = now + SECOND_NS;
    if (now < earliest)
        violate(lessees, "a lease ended while it was renewed; ms too early, lease",
                milliseconds(earliest - now), number);
    if (now > latest)
        violate(lessees, "a lease was kept beyond its time; ms too late, lease", milliseconds(now - latest),
                number);
}

static void on_deletion(struct lessees *lessees, size_t number, const struct watch_event *event) {
    struct lease *lease = &lessees->leases[number];
    if (lease->gone++ == 0) {
        lease->ended = event->now.modified;
        check_end(lessees, number, loop_now_ns());
        if (lease->revoked)
            lessees->totals.revoked++;
        else
            lessees->totals.expired++;
    }
    if (lease->ended != event->now.modified)
        violate(lessees, "keys of a lease deleted in several revisions; revision, lease", event->now.modified,
                number);
}

static void on_event(struct watch_stream *stream, struct watcher *watcher, const struct watch_event *event) {
    (void)watcher;
    struct lessees *lessees = lessees_of(stream);
    size_t number;
    if (!lessees_key_parse(event->now.key, &number) || number >= lessees->lease_count)
        violate(lessees, "an event of a lease nobody granted; revision", event->now.modified, 0);
    else if (event->deleted)
        on_deletion(lessees, number, event);
    else
        on_put(lessees, number, event);
}

/* Whatever ended in between was not seen. */
static bool on_compacted(struct watch_stream *stream, struct watcher *watcher, int64_t revision) {
    struct lessees *lessees = lessees_of(stream);
    if (!lessees->options.compacting || watcher->next >= revision)
        return false;
    watcher->create.start_revision = 0;
    for (size_t i = 0; i < lessees->lease_count; i++)
        lessees->leases[i].lost_sight = lessees->leases[i].gone < KEYS;
    return true;
}

static void on_restarted(struct watch_stream *stream, struct watcher *watcher) {
    (void)stream, (void)watcher;
}

static void on_watch_ended(struct watch_stream *stream, unsigned outcome) {
    (void)outcome;
    lessees_of(stream)->reopen_at_ns = loop_now_ns() + REOPEN_NS;
}

static void on_violated(struct watch_stream *stream, struct watcher *watcher, const char *what, int64_t seen,
                        int64_t before) {
    (void)watcher, (void)before;
    violate(lessees_of(stream), what, seen, 0);
}

static void run_watch(struct lessees *lessees, uint64_t now) {
    struct watch_stream *stream = &lessees->stream;
    if (watch_stream_running(stream) || now < lessees->reopen_at_ns ||
        !grpc_connection_usable(stream->connection))
        return;
    watch_stream_open(stream);
    grpc_connection_flush(stream->connection);
}

/* --- holders: one request ---------------------------------------------------------------------------- */

static void start(struct holder *holder, const char *path, uint64_t now) {
    holder->call.path = path;
    holder->call.started_ns = now;
    grpc_connection_call(holder->connection, &holder->call);
}

static void grant(struct holder *holder, uint64_t now) {
    struct lessees *lessees = holder->lessees;
    if (lessees->lease_count == lessees->lease_room) {
        lessees->lease_room = 2 * lessees->lease_room + 1024;
        lessees->leases = must_realloc(lessees->leases, lessees->lease_room * sizeof *lessees->leases);
    }
    uint64_t ttl = SHORTEST_TTL_S + choose(holder, LONGEST_TTL_S - SHORTEST_TTL_S + 1);
    holder->lease = lessees->lease_count++;
    *lease_of(holder) = (struct lease){.ttl_ns = ttl * SECOND_NS, .renewed_ns = now, .sent_ns = now};
    holder->step = STEP_GRANT;
    holder->call.message.length = 0;
    wire_put_uint64(&holder->call.message, 1, ttl);
    wire_put_uint64(&holder->call.message, 2, FIRST_LEASE + holder->lease);
    start(holder, "/etcdserverpb.Lease/LeaseGrant", now);
}

/* TxnRequest.success 2, RequestOp.request_put 2; PutRequest: key 1, value 2, lease 3. */
static void attach(struct holder *holder, uint64_t now) {
    struct buffer *message = &holder->call.message;
    message->length = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[64];
        snprintf(key, sizeof key, LESSEES_PREFIX "%08zu/%u", holder->lease, i);
        size_t operation = wire_begin_message(message, 2);
        size_t put = wire_begin_message(message, 2);
        wire_put_bytes(message, 1, bytes_from_text(key));
        wire_put_bytes(message, 2, bytes_from_text("held"));
        wire_put_uint64(message, 3, FIRST_LEASE + holder->lease);
        wire_end_message(message, put);
        wire_end_message(message, operation);
    }
    holder->step = STEP_ATTACH;
    start(holder, "/etcdserverpb.KV/Txn", now);
}

static void revoke(struct holder *holder, uint64_t now) {
    holder->step = STEP_REVOKE;
    lease_of(holder)->revoked = true;
    holder->call.message.length = 0;
    wire_put_uint64(&holder->call.message, 1, FIRST_LEASE + holder->lease);
    start(holder, "/etcdserverpb.Lease/LeaseRevoke", now);
}

/* A lease that was granted or renewed must be there for its TTL. */
static void check_there(struct holder *holder, uint64_t now, const char *what) {
    const struct lease *lease = lease_of(holder);
    if (!lease->revoked && now < lease->renewed_ns + lease->ttl_ns)
        violate(holder->lessees, what, milliseconds(lease->renewed_ns + lease->ttl_ns - now), holder->lease);
}

static void note_attached(struct holder *holder, unsigned outcome, struct bytes response) {
    struct lease *lease = lease_of(holder);
    lease->doubtful = outcome != GRPC_OK;
    struct wire_reader reader = wire_reader_of(response);
    struct wire_field field;
    if (lease->doubtful || !wire_next(&reader, &field) || field.number != 1)
        return;
    int64_t revision = header_revision(field.bytes);
    if (lease->attached != 0 && lease->attached != revision)
        violate(holder->lessees, "keys of a lease put elsewhere than acknowledged; revision, lease", revision,
                holder->lease);
    lease->attached = revision;
}

static void on_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    struct holder *holder = (struct holder *)call->owner;
    uint64_t now = loop_now_ns();
    holder->next_ns = outcome == GRPC_OK ? now : now + RETRY_NS;
    if (outcome == GRPC_NOT_FOUND)
        check_there(holder, now, "a lease is not found while it is renewed; ms too early, lease");
    if (holder->step == STEP_GRANT) {
        holder->step = outcome == GRPC_OK ? STEP_ATTACH : STEP_REST; /* what may be granted has no keys */
        holder->lessees->totals.granted += outcome == GRPC_OK ? 1 : 0;
    } else if (holder->step == STEP_ATTACH) {
        note_attached(holder, outcome, response);
        holder->step = outcome == GRPC_NOT_FOUND ? STEP_REST : STEP_KEEP;
        holder->let_go_ns = now + choose(holder, LONGEST_KEPT_S * 1000) * 1000000;
    } else {
        holder->step = STEP_WAIT;
    }
}

/* --- holders: renewals ------------------------------------------------------------------------------- */

/* LeaseKeepAliveResponse: ID 2, TTL 3. */
static void on_renewal(struct grpc_call *call, struct bytes message) {
    struct holder *holder = (struct holder *)call->owner;
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    uint64_t id = 0;
    uint64_t ttl = 0;
    while (wire_next(&reader, &field)) {
        if (field.number == 2)
            id = field.value;
        else if (field.number == 3)
            ttl = field.value;
    }
    if (id != FIRST_LEASE + holder->lease || holder->asked_ns == 0)
        return; /* of a lease given up meanwhile */
    if (ttl == 0) {
        check_there(holder, loop_now_ns(), "a lease is gone while it is renewed; ms too early, lease");
        holder->let_go_ns = 0;
    } else {
        lease_of(holder)->renewed_ns = holder->asked_ns;
        holder->lessees->totals.renewed++;
    }
    holder->asked_ns = 0;
}

static void on_renewals_done(struct grpc_call *call, unsigned outcome, struct bytes response) {
    (void)outcome, (void)response;
    struct holder *holder = (struct holder *)call->owner;
    holder->asked_ns = 0; /* whether it was renewed nobody knows */
}

static void renew(struct holder *holder, uint64_t now) {
    struct lease *lease = lease_of(holder);
    if (holder->renewals.connection == NULL) {
        holder->renewals.message.length = 0;
        grpc_connection_call(holder->connection, &holder->renewals);
    }
    holder->request.length = 0;
    wire_put_uint64(&holder->request, 1, FIRST_LEASE + holder->lease);
    grpc_call_send(&holder->renewals, buffer_bytes(&holder->request));
    holder->asked_ns = lease->sent_ns = now;
    holder->next_ns = now + lease->ttl_ns / 3;
}

static void keep(struct holder *holder, uint64_t now, bool go) {
    if (go && now < holder->let_go_ns) {
        if (holder->asked_ns == 0)
            renew(holder, now);
        else if (now - holder->asked_ns > ANSWER_S * SECOND_NS)
            grpc_call_cancel(&holder->renewals); /* asked again on a new stream */
        return;
    }
    holder->asked_ns = 0;
    if (choose(holder, 4) == 0)
        revoke(holder, now);
    else
        holder->step = STEP_WAIT;
}

/* --- the run ---------------------------------------------------------------------------------------- */

static bool over(const struct lessees *lessees, const struct lease *lease, uint64_t now) {
    bool never_was = lease->doubtful && lease->put == 0 && now > latest_end(lessees, lease);
    return lease->gone == KEYS || lease->lost_sight || never_was;
}

static void run_holder(struct holder *holder, uint64_t now, bool go) {
    if (holder->call.connection != NULL) {
        if (now - holder->call.started_ns > holder->lessees->options.timeout_us * 1000 &&
            holder->call.outcome != GRPC_CANCELLED) {
            grpc_call_cancel(&holder->call);
            grpc_connection_flush(holder->connection);
        }
        return;
    }
    if (now < holder->next_ns || !grpc_connection_usable(holder->connection))
        return;
    if (holder->step == STEP_REST && go)
        grant(holder, now);
    else if (holder->step == STEP_ATTACH)
        attach(holder, now);
    else if (holder->step == STEP_KEEP)
        keep(holder, now, go);
    else if (holder->step == STEP_WAIT && over(holder->lessees, lease_of(holder), now))
        holder->step = STEP_REST;
    else
        return;
    grpc_connection_flush(holder->connection);
}

void lessees_run(struct lessees *lessees, uint64_t now, bool go) {
    run_watch(lessees, now);
    for (size_t i = 0; i < lessees->options.holders; i++)
        run_holder(&lessees->holders[i], now, go);
}

void lessees_disturbed(struct lessees *lessees, uint64_t now) {
    lessees->disturbed_ns = now;
}

size_t lessees_alive(const struct lessees *lessees) {
    size_t alive = 0;
    for (size_t i = 0; i < lessees->options.holders; i++)
        alive += lessees->holders[i].step == STEP_REST ? 0 : 1;
    return alive;
}

const struct lessees_totals *lessees_totals(const struct lessees *lessees) {
    return &lessees->totals;
}

struct lessees *lessees_create(const struct lessees_options *options, struct grpc_connection *connections,
                               size_t connection_count) {
    struct lessees *lessees = must_zalloc(sizeof *lessees);
    lessees->options = *options;
    lessees->holders = must_zalloc(options->holders * sizeof *lessees->holders);
    for (size_t i = 0; i < options->holders; i++) {
        struct holder *holder = &lessees->holders[i];
        holder->lessees = lessees;
        holder->connection = &connections[1 + i % (connection_count - 1)];
        holder->random = digest_mix(options->seed, UINT64_C(0x1EA5E) + i) | 1;
        holder->call.done = on_done;
        holder->renewals.path = "/etcdserverpb.Lease/LeaseKeepAlive";
        holder->renewals.received = on_renewal;
        holder->renewals.done = on_renewals_done;
        holder->call.owner = holder->renewals.owner = holder;
    }
    struct bytes prefix = bytes_from_text(LESSEES_PREFIX);
    lessees->watcher.create = (struct watch_create){
        .key = prefix, .range_end = workload_prefix_end(prefix, lessees->range_end), .start_revision = 1};
    lessees->stream = (struct watch_stream){.connection = &connections[0],
                                            .watchers = &lessees->watcher,
                                            .count = 1,
                                            .stride = sizeof lessees->watcher,
                                            .created = on_created,
                                            .event = on_event,
                                            .restarted = on_restarted,
                                            .compacted = on_compacted,
                                            .ended = on_watch_ended,
                                            .violated = on_violated,
                                            .owner = lessees};
    return lessees;
}

void lessees_free(struct lessees *lessees) {
    for (size_t i = 0; i < lessees->options.holders; i++) {
        grpc_call_free(&lessees->holders[i].call);
        grpc_call_free(&lessees->holders[i].renewals);
        buffer_free(&lessees->holders[i].request);
    }
    watch_stream_free(&lessees->stream);
    free(lessees->holders);
    free(lessees->leases);
    free(lessees);
}
