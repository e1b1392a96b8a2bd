/* proxy_role: where calls go, what comes back, and what happens when links, time or clients fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/fake_node.h"

#define SECOND UINT64_C(1000000)

static const struct proxy_role_config standard = {.slot = 1,
                                                  .id_seed = 5000,
                                                  .timeout_us = 7 * SECOND,
                                                  .pending_limit = 8,
                                                  .waiting_bytes = 4096,
                                                  .max_request_bytes = 1024};

/* What a call has heard. */
struct asked {
    struct proxy_call call;
    unsigned parts;
    bool ended;
    struct proxy_result last;
    struct buffer body;
};

static void heard(struct proxy_call *call, const struct proxy_result *result) {
    struct asked *asked = (struct asked *)(void *)call;
    assert_false(asked->ended);
    asked->parts++;
    asked->ended = !result->more;
    asked->last = *result;
    buffer_append_bytes(&asked->body, result->body);
}

static void ask(struct fake_node *node, struct asked *asked, enum proxy_route route, uint16_t method,
                const char *body, uint64_t timeout_us) {
    *asked = (struct asked){.call = {.route = route,
                                     .method = method,
                                     .body = bytes_from_text(body),
                                     .deadline_us = timeout_us == 0 ? 0 : node->now_us + timeout_us,
                                     .result = heard}};
    proxy_role_call(node->role, &asked->call, node->now_us);
    fake_node_settle(node);
}

static void open_up(struct fake_node *node) {
    fake_node_open(node, &standard);
    fake_link_up(&node->raft, false);
    fake_link_up(&node->apply, false);
}

static struct fake_node node; /* too large for a stack */

static void write_goes_to_raft_wrapped_and_ends_with_its_result(void **state) {
    (void)state;
    struct asked put;
    open_up(&node);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "put!", 0);
    const struct fake_record *record = fake_last(&node.raft);
    assert_int_equal(record->kind, BUS_PROXY_PROPOSE);
    assert_int_equal(record->method, METHOD_PUT);
    assert_int_equal(bus_id_member(record->id), FAKE_MEMBER & 0xffff);
    assert_int_equal(bus_id_slot(record->id), 1);
    assert_true(bus_id_counter(record->id) > 5000);
    assert_int_equal(record->time_left, 7000);
    struct internal_request internal;
    assert_true(internal_request_decode(buffer_bytes(&record->body), &internal));
    assert_int_equal(internal.number, INTERNAL_PUT);
    assert_int_equal(internal.id, record->id);
    assert_true(bytes_equal(internal.body, bytes_from_text("put!")));
    assert_false(put.call.body_needed);

    fake_answer(
        &node, &(struct bus_result){
                   .id = record->id, .revision = 9, .term = 3, .header = true, .body = bytes_from_text("x")});
    assert_true(put.ended);
    assert_int_equal(put.last.status, STATUS_OK);
    assert_int_equal(put.last.revision, 9);
    struct proxy_view view = proxy_role_view(node.role);
    assert_int_equal(view.revision, 9);
    assert_int_equal(view.term, 3);
    assert_int_equal(view.pending, 0);
    buffer_free(&put.body);
    fake_node_close(&node);
}

static void reads_take_their_ways(void **state) {
    (void)state;
    struct asked read;
    struct asked list;
    open_up(&node);
    size_t apply_before = node.apply.record_count;
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    assert_int_equal(node.apply.record_count, apply_before + 1);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_READ);
    proxy_role_cancel(node.role, &read.call);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 0);
    assert_int_equal(fake_last(&node.raft)->kind, BUS_PROXY_READ);
    ask(&node, &list, PROXY_CLUSTER, METHOD_MEMBER_LIST, "", 0);
    assert_int_equal(fake_last(&node.raft)->kind, BUS_PROXY_CLUSTER);
    bus_put_result(node.raft.far, BUS_RAFT_RESULT,
                   &(struct bus_result){.id = fake_last(&node.raft)->id, .body = bytes_from_text("members")});
    fake_node_settle(&node);
    assert_true(list.ended);
    assert_int_equal(list.body.length, 7);
    assert_false(read.ended);
    buffer_free(&list.body);
    fake_node_close(&node);
}

static void refusal_ends_a_call(void **state) {
    (void)state;
    struct asked put;
    open_up(&node);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    fake_refuse(&node, fake_last(&node.raft)->id, STATUS_NO_LEADER);
    assert_true(put.ended);
    assert_int_equal(put.last.status, STATUS_NO_LEADER);
    fake_node_close(&node);
}

static void unknown_id_is_dropped(void **state) {
    (void)state;
    struct asked put;
    open_up(&node);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    fake_answer(&node, &(struct bus_result){.id = fake_last(&node.raft)->id + 1, .revision = 3});
    assert_false(put.ended);
    fake_node_close(&node);
}

/* A read is asked again with a new id; the answer to the old id counts for nothing. */
static void read_is_asked_again_after_a_lost_link(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 0);
    uint64_t first = fake_last(&node.raft)->id;
    fake_link_down(&node.raft);
    fake_link_up(&node.raft, true);
    uint64_t second = fake_last(&node.raft)->id;
    assert_true(second > first);
    fake_answer(&node, &(struct bus_result){.id = first, .revision = 3, .body = bytes_from_text("old")});
    assert_false(read.ended);
    fake_answer(&node, &(struct bus_result){.id = second, .revision = 3, .body = bytes_from_text("new")});
    assert_true(read.ended);
    assert_true(bytes_equal(buffer_bytes(&read.body), bytes_from_text("new")));
    buffer_free(&read.body);
    fake_node_close(&node);
}

static void linearizable_read_waits_for_apply_too(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 0);
    size_t asked_before = node.raft.record_count;
    fake_link_down(&node.apply);
    fake_node_settle(&node);
    assert_int_equal(node.raft.record_count, asked_before);
    fake_link_up(&node.apply, true);
    assert_int_equal(node.raft.record_count, asked_before + 1);
    proxy_role_cancel(node.role, &read.call);
    fake_node_close(&node);
}

static size_t proposals(void) {
    size_t count = 0;
    for (size_t i = 0; i < node.raft.record_count; i++)
        count += node.raft.records[i].kind == BUS_PROXY_PROPOSE;
    return count;
}

/* Whatever happens to the links, a write goes out once; its result may still come. */
static void write_is_never_sent_again(void **state) {
    (void)state;
    struct asked put;
    open_up(&node);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    uint64_t id = fake_last(&node.raft)->id;
    fake_link_down(&node.raft);
    fake_link_down(&node.apply);
    fake_link_up(&node.apply, true);
    fake_link_up(&node.raft, false);
    assert_int_equal(proposals(), 1);
    assert_false(put.ended);
    fake_answer(&node, &(struct bus_result){.id = id, .revision = 4});
    assert_true(put.ended);
    assert_int_equal(put.last.status, STATUS_OK);
    fake_node_close(&node);
}

static void write_unknown_to_a_new_raft_process_ends(void **state) {
    (void)state;
    struct asked lost;
    struct asked kept;
    open_up(&node);
    ask(&node, &kept, PROXY_WRITE, METHOD_PUT, "k", 0);
    node.largest_id = fake_last(&node.raft)->id;
    ask(&node, &lost, PROXY_WRITE, METHOD_PUT, "l", 0);
    fake_link_down(&node.raft);
    fake_link_up(&node.raft, true);
    assert_true(lost.ended);
    assert_int_equal(lost.last.status, STATUS_TIMEOUT_LEADER_FAILED);
    assert_false(kept.ended);
    assert_int_equal(proposals(), 2);
    fake_node_close(&node);
}

static void write_waits_for_a_link_and_is_then_sent(void **state) {
    (void)state;
    struct asked put;
    fake_node_open(&node, &standard);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    assert_int_equal(node.raft.record_count, 0);
    assert_true(put.call.body_needed);
    fake_link_up(&node.raft, false);
    assert_int_equal(proposals(), 0);
    fake_node_wait(&node, SECOND);
    fake_link_up(&node.apply, false);
    assert_int_equal(proposals(), 1);
    assert_int_equal(fake_last(&node.raft)->time_left, 6000);
    fake_node_close(&node);
}

static void ids_go_on_above_what_raft_has_seen(void **state) {
    (void)state;
    struct asked put;
    fake_node_open(&node, &standard);
    node.largest_id = bus_request_id(FAKE_MEMBER, 1, 900000);
    fake_link_up(&node.raft, false);
    fake_link_up(&node.apply, false);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    assert_true(bus_counter_after(fake_last(&node.raft)->id, 900000));
    fake_node_close(&node);
}

static void server_limit_is_a_timeout(void **state) {
    (void)state;
    struct asked put;
    open_up(&node);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    uint64_t next = proxy_role_next_us(node.role);
    assert_true(next >= node.now_us + 7 * SECOND && next <= node.now_us + 7 * SECOND + 10000);
    fake_node_wait(&node, 7 * SECOND - 1);
    assert_false(put.ended);
    fake_node_wait(&node, 1);
    assert_true(put.ended);
    assert_int_equal(put.last.status, STATUS_TIMEOUT);
    fake_node_close(&node);
}

static void call_may_have_a_limit_of_its_own(void **state) {
    (void)state;
    struct asked compaction = {.call = {.method = METHOD_COMPACT, .limit_us = 600 * SECOND, .result = heard}};
    open_up(&node);
    proxy_role_call(node.role, &compaction.call, node.now_us);
    fake_node_settle(&node);
    fake_node_wait(&node, 500 * SECOND);
    assert_false(compaction.ended);
    /* Whoever worked on it is gone. */
    fake_link_down(&node.apply);
    fake_node_wait(&node, 6 * SECOND);
    assert_false(compaction.ended);
    fake_node_wait(&node, 2 * SECOND);
    assert_int_equal(compaction.last.status, STATUS_TIMEOUT);
    fake_node_close(&node);
}

static void alarm_is_nothing_but_a_deadline(void **state) {
    (void)state;
    struct asked first = {0};
    struct asked second = {0};
    open_up(&node);
    first.call = (struct proxy_call){.deadline_us = node.now_us + 30 * SECOND, .result = heard};
    second.call = first.call;
    proxy_role_alarm(node.role, &first.call);
    proxy_role_alarm(node.role, &second.call);
    assert_int_equal(proxy_role_view(node.role).pending, 0);
    fake_link_down(&node.apply);
    fake_link_down(&node.raft);
    fake_node_wait(&node, 29 * SECOND);
    proxy_role_cancel(node.role, &second.call);
    assert_false(first.ended);
    fake_node_wait(&node, 2 * SECOND);
    assert_int_equal(first.last.status, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(second.parts, 0);
    assert_int_equal(proxy_role_view(node.role).pending, 0);
    fake_node_close(&node);
}

static void client_deadline_cancels_a_read(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 50000);
    uint64_t id = fake_last(&node.raft)->id;
    assert_int_equal(fake_last(&node.raft)->time_left, 50);
    fake_node_wait(&node, 50000);
    assert_int_equal(read.last.status, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(fake_last(&node.raft)->kind, BUS_PROXY_CANCEL);
    assert_int_equal(fake_last(&node.raft)->id, id);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_CANCEL);
    fake_node_close(&node);
}

static void passed_deadline_is_not_sent(void **state) {
    (void)state;
    struct asked read = {0};
    open_up(&node);
    read.call = (struct proxy_call){
        .route = PROXY_LINEARIZABLE_READ, .method = METHOD_RANGE, .deadline_us = 5, .result = heard};
    proxy_role_call(node.role, &read.call, node.now_us);
    assert_int_equal(read.last.status, STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(node.raft.record_count, 0);
    fake_node_close(&node);
}

static void deadlines_beyond_the_wheel_hold(void **state) {
    (void)state;
    struct proxy_role_config patient = standard;
    patient.timeout_us = 100 * SECOND;
    struct asked read;
    fake_node_open(&node, &patient);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 30 * SECOND);
    for (unsigned i = 0; i < 299; i++)
        fake_node_wait(&node, SECOND / 10);
    assert_false(read.ended);
    fake_node_wait(&node, SECOND / 10);
    assert_true(read.ended);
    fake_node_close(&node);
}

static void cancel_forgets_and_tells(void **state) {
    (void)state;
    struct asked read;
    struct asked put;
    open_up(&node);
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    uint64_t id = fake_last(&node.apply)->id;
    proxy_role_cancel(node.role, &read.call);
    proxy_role_cancel(node.role, &read.call);
    fake_node_settle(&node);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_CANCEL);
    fake_answer(&node, &(struct bus_result){.id = id, .revision = 4});
    assert_int_equal(read.parts, 0);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, "p", 0);
    size_t before = node.raft.record_count;
    proxy_role_cancel(node.role, &put.call);
    fake_node_settle(&node);
    assert_int_equal(node.raft.record_count, before);
    assert_int_equal(proxy_role_view(node.role).pending, 0);
    fake_node_close(&node);
}

/* The call was asked again under another id, say; apply would hold the answer for ever. */
static void parts_for_nobody_are_cancelled(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    uint64_t stranger = fake_last(&node.apply)->id - 1;
    fake_answer(&node, &(struct bus_result){.id = stranger, .revision = 4, .more = true, .total = 100});
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_CANCEL);
    assert_true(fake_last(&node.apply)->id == stranger);
    assert_int_equal(read.parts, 0);
    fake_node_close(&node);
}

static void limits_refuse_at_once(void **state) {
    (void)state;
    static char large[1100];
    memset(large, 'x', sizeof large - 1);
    struct asked many[9];
    struct asked big;
    struct asked waiting[4];
    open_up(&node);
    ask(&node, &big, PROXY_WRITE, METHOD_PUT, large, 0);
    assert_int_equal(big.last.status, STATUS_REQUEST_TOO_LARGE);
    for (unsigned i = 0; i < 9; i++)
        ask(&node, &many[i], PROXY_WRITE, METHOD_PUT, "p", 0);
    assert_false(many[7].ended);
    assert_int_equal(many[8].last.status, STATUS_TOO_MANY_REQUESTS);
    fake_node_close(&node);

    fake_node_open(&node, &standard);
    for (unsigned i = 0; i < 4; i++)
        ask(&node, &waiting[i], PROXY_SERIALIZABLE_READ, METHOD_RANGE, large, 0);
    assert_false(waiting[2].ended);
    assert_int_equal(waiting[3].last.status, STATUS_TOO_MANY_REQUESTS);
    fake_node_close(&node);
}

/* max-request-bytes is about the encoded InternalRaftRequest, to the byte. */
static void request_size_is_that_of_the_log_entry(void **state) {
    (void)state;
    static char body[1024];
    struct asked put;
    open_up(&node);
    size_t longest = 0;
    for (size_t length = 980; length < 1024; length++) {
        memset(body, 'x', sizeof body);
        body[length] = '\0';
        ask(&node, &put, PROXY_WRITE, METHOD_PUT, body, 0);
        if (put.ended)
            break;
        longest = fake_last(&node.raft)->body.length;
        proxy_role_cancel(node.role, &put.call);
    }
    assert_int_equal(put.last.status, STATUS_REQUEST_TOO_LARGE);
    assert_in_range(longest, 1022, 1024);
    fake_node_close(&node);
}

/* Whatever was configured: what the bus can't carry is refused, not put on it. */
static void what_the_bus_cannot_carry_is_refused(void **state) {
    (void)state;
    struct proxy_role_config generous = standard;
    generous.max_request_bytes = generous.waiting_bytes = 64 << 20;
    struct asked put;
    struct asked read;
    char *body = must_zalloc(BUS_RECORD_LIMIT + 2);
    memset(body, 'x', BUS_RECORD_LIMIT + 1);
    fake_node_open(&node, &generous);
    fake_link_up(&node.raft, false);
    fake_link_up(&node.apply, false);
    ask(&node, &put, PROXY_WRITE, METHOD_PUT, body, 0);
    assert_int_equal(put.last.status, STATUS_REQUEST_TOO_LARGE);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, body, 0);
    assert_int_equal(read.last.status, STATUS_REQUEST_TOO_LARGE);
    fake_node_close(&node);
    free(body);
}

static void parts_and_their_flow(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    uint64_t id = fake_last(&node.apply)->id;
    struct bus_result part = {
        .id = id, .more = true, .total = 6, .revision = 4, .body = bytes_from_text("abc")};
    fake_answer(&node, &part);
    assert_true(read.last.first && read.last.more);
    assert_int_equal(read.last.total, 6);
    proxy_role_consumed(node.role, &read.call, 3);
    fake_node_settle(&node);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_CONSUMED);
    assert_int_equal(fake_last(&node.apply)->position, 3);
    /* How long the client takes is not the server's to limit. */
    fake_node_wait(&node, 60 * SECOND);
    assert_false(read.ended);
    part.more = false;
    fake_answer(&node, &part);
    assert_true(read.ended);
    assert_false(read.last.first);
    assert_int_equal(read.body.length, 6);
    buffer_free(&read.body);
    fake_node_close(&node);
}

static void half_passed_answer_ends_with_apply_but_not_with_raft(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    ask(&node, &read, PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 0);
    fake_answer(&node, &(struct bus_result){
                           .id = fake_last(&node.raft)->id, .more = true, .body = bytes_from_text("abc")});
    fake_link_down(&node.raft);
    assert_false(read.ended);
    fake_link_down(&node.apply);
    assert_true(read.ended);
    assert_int_equal(status_code(read.last.status), GRPC_UNAVAILABLE);
    buffer_free(&read.body);
    fake_node_close(&node);
}

static void hello_to_apply_names_the_last_revision(void **state) {
    (void)state;
    struct asked read;
    open_up(&node);
    assert_int_equal(node.apply.seen.position, 0);
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    fake_answer(&node, &(struct bus_result){.id = fake_last(&node.apply)->id, .revision = 77});
    fake_link_down(&node.apply);
    fake_link_up(&node.apply, true);
    assert_int_equal(node.apply.seen.position, 77);
    fake_node_close(&node);
}

static void raft_state_is_seen(void **state) {
    (void)state;
    open_up(&node);
    bus_put_raft_state(node.raft.far, &(struct bus_raft_state){.role = RAFT_LEADER,
                                                               .term = 5,
                                                               .leader = FAKE_MEMBER,
                                                               .member = FAKE_MEMBER,
                                                               .cluster = FAKE_CLUSTER});
    fake_node_settle(&node);
    struct proxy_view view = proxy_role_view(node.role);
    assert_int_equal(view.leader, FAKE_MEMBER);
    assert_int_equal(view.cluster, FAKE_CLUSTER);
    assert_int_equal(view.term, 5);
    fake_link_down(&node.raft);
    assert_int_equal(proxy_role_view(node.role).leader, 0);
    assert_int_equal(proxy_role_view(node.role).term, 5);
    fake_node_close(&node);
}

/* Its header would name cluster 0, which clients take for another cluster. */
static void nothing_is_asked_before_the_cluster_is_known(void **state) {
    (void)state;
    struct asked read;
    fake_node_open(&node, &standard);
    node.unnamed = true;
    fake_link_up(&node.apply, false);
    size_t before = node.apply.record_count;
    ask(&node, &read, PROXY_SERIALIZABLE_READ, METHOD_RANGE, "r", 0);
    assert_int_equal(node.apply.record_count, before);
    node.unnamed = false;
    fake_link_up(&node.raft, false);
    assert_int_equal(node.apply.record_count, before + 1);
    assert_int_equal(fake_last(&node.apply)->kind, BUS_PROXY_READ);
    proxy_role_cancel(node.role, &read.call);
    fake_node_close(&node);
}

static struct asked crowd[3000];

/* Many calls, answered in an order of their own: the table neither loses nor confuses any. */
static void many_calls_answered_out_of_order(void **state) {
    (void)state;
    struct proxy_role_config wide = standard;
    wide.pending_limit = 100000;
    wide.waiting_bytes = 1 << 20;
    fake_node_open(&node, &wide);
    fake_link_up(&node.raft, false);
    fake_link_up(&node.apply, false);
    for (unsigned i = 0; i < 3000; i++)
        ask(&node, &crowd[i], PROXY_LINEARIZABLE_READ, METHOD_RANGE, "r", 0);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned pick = i * 7 % 3000;
        char body[16];
        snprintf(body, sizeof body, "%u", pick);
        fake_answer(&node, &(struct bus_result){.id = crowd[pick].call.id, .body = bytes_from_text(body)});
        assert_true(crowd[pick].ended);
        assert_true(bytes_equal(buffer_bytes(&crowd[pick].body), bytes_from_text(body)));
        buffer_free(&crowd[pick].body);
    }
    assert_int_equal(proxy_role_view(node.role).pending, 0);
    fake_node_close(&node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_goes_to_raft_wrapped_and_ends_with_its_result),
        cmocka_unit_test(reads_take_their_ways),
        cmocka_unit_test(refusal_ends_a_call),
        cmocka_unit_test(unknown_id_is_dropped),
        cmocka_unit_test(read_is_asked_again_after_a_lost_link),
        cmocka_unit_test(linearizable_read_waits_for_apply_too),
        cmocka_unit_test(write_is_never_sent_again),
        cmocka_unit_test(write_unknown_to_a_new_raft_process_ends),
        cmocka_unit_test(write_waits_for_a_link_and_is_then_sent),
        cmocka_unit_test(ids_go_on_above_what_raft_has_seen),
        cmocka_unit_test(server_limit_is_a_timeout),
        cmocka_unit_test(call_may_have_a_limit_of_its_own),
        cmocka_unit_test(alarm_is_nothing_but_a_deadline),
        cmocka_unit_test(client_deadline_cancels_a_read),
        cmocka_unit_test(passed_deadline_is_not_sent),
        cmocka_unit_test(deadlines_beyond_the_wheel_hold),
        cmocka_unit_test(cancel_forgets_and_tells),
        cmocka_unit_test(parts_for_nobody_are_cancelled),
        cmocka_unit_test(limits_refuse_at_once),
        cmocka_unit_test(request_size_is_that_of_the_log_entry),
        cmocka_unit_test(what_the_bus_cannot_carry_is_refused),
        cmocka_unit_test(parts_and_their_flow),
        cmocka_unit_test(half_passed_answer_ends_with_apply_but_not_with_raft),
        cmocka_unit_test(hello_to_apply_names_the_last_revision),
        cmocka_unit_test(raft_state_is_seen),
        cmocka_unit_test(nothing_is_asked_before_the_cluster_is_known),
        cmocka_unit_test(many_calls_answered_out_of_order),
    };
    log_init("proxy", "error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
