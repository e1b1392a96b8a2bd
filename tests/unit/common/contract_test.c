/* contract: every kind written through its typed put comes out of its typed get as it was; who may send what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/bus/contract.h"
#include "common/log.h"
#include "common/request.h"
#include "common/status.h"

/* One direction of a link whose peer is played by the test: the record put is captured and read back. */
struct wire {
    struct bus_link *sender, *receiver;
    struct buffer to_sender, to_receiver; /* frames, each preceded by its length */
    struct bus_record record;             /* the last one received; its body is a copy */
    struct buffer body;
    unsigned records;
};

static bool queue_for(struct buffer *queue, struct bytes frame) {
    buffer_append(queue, &frame.length, sizeof frame.length);
    buffer_append_bytes(queue, frame);
    return true;
}

static bool send_to_receiver(void *context, struct bytes frame) {
    return queue_for(&((struct wire *)context)->to_receiver, frame);
}

static bool send_to_sender(void *context, struct bytes frame) {
    return queue_for(&((struct wire *)context)->to_sender, frame);
}

static void keep_record(void *context, struct bus_link *link, const struct bus_record *record) {
    (void)link;
    struct wire *wire = context;
    wire->records++;
    wire->record = *record;
    wire->body.length = 0;
    buffer_append_bytes(&wire->body, record->body);
    wire->record.body = buffer_bytes(&wire->body);
}

static void deliver_all(struct buffer *queue, struct bus_link *link) {
    struct buffer frames = *queue;
    *queue = (struct buffer){0};
    for (size_t offset = 0; offset < frames.length;) {
        size_t length = 0;
        memcpy(&length, frames.data + offset, sizeof length);
        bus_link_frame(link, bytes_of(frames.data + offset + sizeof length, length));
        offset += sizeof length + length;
    }
    buffer_free(&frames);
}

static void settle(struct wire *wire) {
    while (wire->to_sender.length + wire->to_receiver.length > 0) {
        deliver_all(&wire->to_receiver, wire->receiver);
        deliver_all(&wire->to_sender, wire->sender);
    }
}

static struct wire *open_wire(enum bus_role from, enum bus_role to) {
    struct wire *wire = must_zalloc(sizeof *wire);
    struct bus_handler handler = {.record = keep_record, .context = wire};
    wire->sender = bus_link_new("sender", from, 0, to, 0, 1,
                                (struct bus_transport){.send = send_to_receiver, .context = wire}, handler);
    wire->receiver = bus_link_new("receiver", to, 0, from, 0, 2,
                                  (struct bus_transport){.send = send_to_sender, .context = wire}, handler);
    bus_link_connected(wire->sender);
    bus_link_connected(wire->receiver);
    settle(wire);
    assert_true(bus_link_is_up(wire->sender));
    return wire;
}

static void close_wire(struct wire *wire) {
    bus_link_free(wire->sender);
    bus_link_free(wire->receiver);
    buffer_free(&wire->to_sender);
    buffer_free(&wire->to_receiver);
    buffer_free(&wire->body);
    free(wire);
}

/* Sends what was put; the record is in wire->record. */
static const struct bus_record *carry(struct wire *wire, enum bus_kind kind) {
    unsigned before = wire->records;
    bus_link_flush(wire->sender);
    settle(wire);
    assert_int_equal(wire->records, before + 1);
    assert_int_equal(wire->record.kind, kind);
    return &wire->record;
}

static void assert_bytes(struct bytes actual, const char *expected) {
    assert_true(bytes_equal(actual, bytes_from_text(expected)));
}

static void check_request(enum bus_kind kind, enum bus_role from, enum bus_role to, const char *user) {
    struct wire *wire = open_wire(from, to);
    struct bus_request in = {.id = bus_request_id(0xbeef, 5, 123456789),
                             .method = METHOD_TXN,
                             .time_left = 6999,
                             .auth_revision = 0x123456789abcdef0,
                             .user = bytes_from_text(user),
                             .body = bytes_from_text("request bytes")};
    assert_true(bus_put_request(wire->sender, kind, &in));
    struct bus_request out;
    assert_true(bus_get_request(carry(wire, kind), &out));
    assert_int_equal(out.id, in.id);
    assert_int_equal(out.method, METHOD_TXN);
    assert_int_equal(out.time_left, 6999);
    assert_int_equal(out.auth_revision, in.auth_revision);
    assert_bytes(out.user, user);
    assert_bytes(out.body, "request bytes");
    close_wire(wire);
}

static void test_requests(void **state) {
    (void)state;
    check_request(BUS_PROXY_PROPOSE, BUS_ROLE_PROXY, BUS_ROLE_RAFT, "");
    check_request(BUS_PROXY_PROPOSE, BUS_ROLE_PROXY, BUS_ROLE_RAFT, "alice");
    check_request(BUS_PROXY_READ, BUS_ROLE_PROXY, BUS_ROLE_RAFT, "bob");
    check_request(BUS_PROXY_READ, BUS_ROLE_PROXY, BUS_ROLE_APPLY, "");
    check_request(BUS_PROXY_CLUSTER, BUS_ROLE_PROXY, BUS_ROLE_RAFT, "root");
    check_request(BUS_RAFT_READ, BUS_ROLE_RAFT, BUS_ROLE_APPLY, "carol");
}

static void test_cancel_and_consumed(void **state) {
    (void)state;
    struct wire *wire = open_wire(BUS_ROLE_PROXY, BUS_ROLE_APPLY);
    assert_true(bus_put_cancel(wire->sender, 77));
    assert_int_equal(carry(wire, BUS_PROXY_CANCEL)->id, 77);
    assert_true(bus_put_consumed(wire->sender, 78, UINT64_C(1) << 40));
    const struct bus_record *record = carry(wire, BUS_PROXY_CONSUMED);
    assert_int_equal(record->id, 78);
    assert_int_equal(record->position, UINT64_C(1) << 40);
    close_wire(wire);
}

static void test_raft_state(void **state) {
    (void)state;
    static const enum bus_role receivers[] = {BUS_ROLE_PROXY, BUS_ROLE_APPLY, BUS_ROLE_MAINT};
    for (size_t i = 0; i < 3; i++) {
        struct wire *wire = open_wire(BUS_ROLE_RAFT, receivers[i]);
        struct bus_raft_state in = {.role = RAFT_LEADER,
                                    .term = UINT64_MAX,
                                    .leader = 0x8000000000000001,
                                    .commit = 12345,
                                    .member = UINT64_MAX - 1,
                                    .cluster = 42};
        assert_true(bus_put_raft_state(wire->sender, &in));
        struct bus_raft_state out;
        assert_true(bus_get_raft_state(carry(wire, BUS_RAFT_STATE), &out));
        assert_int_equal(out.role, in.role);
        assert_true(out.term == in.term && out.leader == in.leader && out.commit == in.commit);
        assert_true(out.member == in.member && out.cluster == in.cluster);
        close_wire(wire);
    }
    struct bus_raft_state out;
    struct bus_record garbage = {.kind = BUS_RAFT_STATE, .body = bytes_of("\x08\x09", 2)};
    assert_false(bus_get_raft_state(&garbage, &out)); /* a role that does not exist */
    garbage.body = bytes_of("\x0a\xff", 2);
    assert_false(bus_get_raft_state(&garbage, &out));
}

static void test_entry(void **state) {
    (void)state;
    struct wire *wire = open_wire(BUS_ROLE_RAFT, BUS_ROLE_APPLY);
    struct bus_entry in = {.index = UINT64_MAX - 5, .term = 9, .type = 1, .data = bytes_from_text("data")};
    struct bus_entry out;
    assert_true(bus_put_entry(wire->sender, &in));
    assert_true(bus_get_entry(carry(wire, BUS_RAFT_ENTRY), &out));
    assert_true(out.index == in.index && out.term == 9 && out.type == 1);
    assert_bytes(out.data, "data");
    in.data = (struct bytes){0};
    assert_true(bus_put_entry(wire->sender, &in));
    assert_true(bus_get_entry(carry(wire, BUS_RAFT_ENTRY), &out));
    assert_int_equal(out.data.length, 0);
    assert_false(bus_get_entry(&(struct bus_record){.kind = BUS_RAFT_ENTRY}, &out)); /* index 0 */
    close_wire(wire);
}

static void check_result(struct wire *wire, enum bus_kind kind, const struct bus_result *in, bool in_place) {
    if (in_place) {
        struct buffer *body = bus_begin_result(wire->sender);
        assert_non_null(body);
        buffer_append_bytes(body, in->body);
        bus_commit_result(wire->sender, kind, in);
    } else {
        assert_true(bus_put_result(wire->sender, kind, in));
    }
    struct bus_result out;
    assert_true(bus_get_result(carry(wire, kind), &out));
    assert_true(out.id == in->id && out.status == in->status && out.more == in->more);
    assert_true(out.header == in->header && out.revision == in->revision && out.total == in->total);
    assert_true(out.term == in->term && bytes_equal(out.body, in->body));
}

static void test_results(void **state) {
    (void)state;
    for (unsigned flags = 0; flags < 8; flags++) {
        struct bus_result in = {.id = 99 + flags,
                                .status = STATUS_COMPACTED,
                                .more = (flags & 1) != 0,
                                .header = (flags & 2) != 0,
                                .revision = UINT64_C(1) << 62,
                                .total = UINT32_MAX,
                                .term = 3,
                                .body = bytes_from_text("response")};
        struct wire *wire = open_wire(BUS_ROLE_APPLY, BUS_ROLE_PROXY);
        check_result(wire, BUS_APPLY_RESULT, &in, (flags & 4) != 0);
        close_wire(wire);
        wire = open_wire(BUS_ROLE_RAFT, BUS_ROLE_PROXY);
        check_result(wire, BUS_RAFT_RESULT, &in, (flags & 4) != 0);
        check_result(wire, BUS_RAFT_REFUSED, &in, false);
        close_wire(wire);
    }
}

static void test_progress(void **state) {
    (void)state;
    struct wire *wire = open_wire(BUS_ROLE_APPLY, BUS_ROLE_RAFT);
    assert_true(bus_put_progress(wire->sender, &(struct bus_progress){.applied = 10, .durable = 7}));
    struct bus_progress out;
    assert_true(bus_get_progress(carry(wire, BUS_APPLY_PROGRESS), &out));
    assert_true(out.applied == 10 && out.durable == 7);
    assert_false(bus_get_progress(&(struct bus_record){.position = 6, .epoch = 7}, &out));
    close_wire(wire);
}

static void test_checkpoint(void **state) {
    (void)state;
    struct bus_checkpoint in = {.id = 5, .directory = bytes_from_text("/data/member/checkpoint-5")};
    struct bus_checkpoint out;
    struct wire *wire = open_wire(BUS_ROLE_MAINT, BUS_ROLE_APPLY);
    assert_true(bus_put_checkpoint(wire->sender, BUS_MAINT_CHECKPOINT, &in));
    assert_true(bus_get_checkpoint(carry(wire, BUS_MAINT_CHECKPOINT), &out));
    assert_true(out.id == 5 && out.index == 0 && out.status == 0);
    assert_bytes(out.directory, "/data/member/checkpoint-5");
    close_wire(wire);
    wire = open_wire(BUS_ROLE_APPLY, BUS_ROLE_MAINT);
    in =
        (struct bus_checkpoint){.id = 5, .index = 88, .status = 28, .directory = bytes_from_text("no space")};
    assert_true(bus_put_checkpoint(wire->sender, BUS_APPLY_CHECKPOINT, &in));
    assert_true(bus_get_checkpoint(carry(wire, BUS_APPLY_CHECKPOINT), &out));
    assert_true(out.id == 5 && out.index == 88 && out.status == 28);
    assert_bytes(out.directory, "no space");
    close_wire(wire);
}

/* Every kind has a name and belongs to exactly one sender; none may travel to its own role. */
static void test_the_talk_graph(void **state) {
    (void)state;
    for (uint16_t kind = 1; kind < BUS_KIND_COUNT; kind++) {
        unsigned senders = 0;
        assert_non_null(bus_kind_name(kind));
        for (enum bus_role from = BUS_ROLE_NONE; from <= BUS_ROLE_MAINT; from++) {
            bool sends = false;
            for (enum bus_role to = BUS_ROLE_NONE; to <= BUS_ROLE_MAINT; to++) {
                bool belongs = bus_kind_belongs(kind, from, to);
                assert_false(belongs && (from == to || to == BUS_ROLE_NONE));
                sends = sends || belongs;
            }
            senders += sends;
        }
        assert_int_equal(senders, 1);
    }
    assert_false(bus_kind_belongs(BUS_NONE, BUS_ROLE_NONE, BUS_ROLE_RAFT));
    assert_false(bus_kind_belongs(BUS_KIND_COUNT, BUS_ROLE_RAFT, BUS_ROLE_APPLY));
    assert_string_equal(bus_kind_name(BUS_KIND_COUNT), "unknown");
    assert_string_equal(bus_role_name((enum bus_role)99), "unknown");
}

static void test_request_ids(void **state) {
    (void)state;
    uint64_t id = bus_request_id(0xffffffffffffabcd, 7, UINT64_MAX);
    assert_int_equal(bus_id_member(id), 0xabcd);
    assert_int_equal(bus_id_slot(id), 7);
    assert_int_equal(bus_id_counter(id), (UINT64_C(1) << 42) - 1);
}

static void test_socket_names(void **state) {
    (void)state;
    char name[32];
    bus_socket_name(name, BUS_ROLE_RAFT, BUS_ROLE_PROXY, 0);
    assert_string_equal(name, "raft.proxy-0");
    bus_socket_name(name, BUS_ROLE_MAINT, BUS_ROLE_PROXY, 7);
    assert_string_equal(name, "maint.proxy-7");
    bus_socket_name(name, BUS_ROLE_APPLY, BUS_ROLE_MAINT, 0);
    assert_string_equal(name, "apply.maint");
    bus_socket_name(name, BUS_ROLE_RAFT, BUS_ROLE_APPLY, 0);
    assert_string_equal(name, "raft.apply");
}

int main(void) {
    log_init("test", "warn");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),    cmocka_unit_test(test_cancel_and_consumed),
        cmocka_unit_test(test_raft_state),  cmocka_unit_test(test_entry),
        cmocka_unit_test(test_results),     cmocka_unit_test(test_progress),
        cmocka_unit_test(test_checkpoint),  cmocka_unit_test(test_the_talk_graph),
        cmocka_unit_test(test_request_ids), cmocka_unit_test(test_socket_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
