/*
 * bus_hostile: what dying, restarting, lying and garbled peers do to a link: it comes down, shakes hands anew
 * and delivers nothing that does not belong to its connection. Random parts have fixed seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/bus/frame.h"
#include "common/link_pair.h"
#include "common/log.h"

static struct pair pair;

static struct bus_link *raft(void) {
    return pair.ends[END_RAFT].link;
}

static struct bus_link *apply(void) {
    return pair.ends[END_APPLY].link;
}

static void release(struct bytes frame) {
    free((void *)(uintptr_t)frame.data);
}

/* Both ends are up after everything has arrived, and a fresh stream passes. */
static void assert_converged(void) {
    pair_settle(&pair);
    assert_true(bus_link_is_up(raft()));
    assert_true(bus_link_is_up(apply()));
    uint64_t before = pair.ends[END_APPLY].records;
    pair.ends[END_APPLY].disorder = false;
    uint64_t next = pair.ends[END_APPLY].last_position + 1;
    assert_true(pair_put_entry(&pair, next, 100));
    assert_true(pair_put_entry(&pair, next + 1, 3));
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_APPLY].records, before + 2);
    assert_false(pair.ends[END_APPLY].disorder);
    assert_true(bus_link_is_up(raft()));
    assert_true(bus_link_is_up(apply()));
}

static void test_reset_by_one_end(void **state) {
    (void)state;
    for (int end = 0; end < 2; end++) {
        pair_open_up(&pair);
        assert_true(pair_put_entry(&pair, 1, 10));
        bus_link_flush(raft());
        assert_true(pair_put_entry(&pair, 2, 10)); /* pending */
        bus_link_reset(pair.ends[end].link, "asked by the test");
        assert_int_equal(pair.ends[end].downs, 1);
        pair_settle(&pair);
        assert_int_equal(pair.ends[0].ups, 2);
        assert_int_equal(pair.ends[1].ups, 2);
        assert_true(pair.ends[END_APPLY].records <= 1); /* what was in flight may have arrived, no more */
        assert_converged();
        pair_close(&pair);
    }
}

static void test_reset_by_both_ends_at_once(void **state) {
    (void)state;
    pair_open_up(&pair);
    for (unsigned round = 0; round < 5; round++) {
        bus_link_reset(raft(), "asked by the test");
        bus_link_reset(apply(), "asked by the test");
    }
    pair_settle(&pair);
    assert_int_equal(pair.ends[END_RAFT].downs, 1);
    assert_int_equal(pair.ends[END_APPLY].downs, 1);
    assert_converged();
    pair_close(&pair);
}

/* Resets at every step of a handshake under way. */
static void test_reset_during_a_handshake(void **state) {
    (void)state;
    for (unsigned choices = 0; choices < 4096; choices++) {
        pair_open(&pair);
        pair_connect(&pair);
        for (unsigned step = 0; step < 6; step++) {
            switch (choices >> (2 * step) & 3) {
            case 0:
                (void)pair_step(&pair, END_RAFT);
                break;
            case 1:
                (void)pair_step(&pair, END_APPLY);
                break;
            case 2:
                bus_link_reset(raft(), "asked by the test");
                break;
            default:
                bus_link_reset(apply(), "asked by the test");
                break;
            }
        }
        assert_converged();
        pair_close(&pair);
    }
}

static void test_reset_inside_a_record_callback(void **state) {
    (void)state;
    pair_open_up(&pair);
    pair.ends[END_APPLY].reset_at = 3;
    for (uint64_t i = 1; i <= 10; i++)
        assert_true(pair_put_entry(&pair, i, 50));
    bus_link_flush(raft());
    assert_true(pair_step(&pair, END_RAFT));
    assert_int_equal(pair.ends[END_APPLY].records, 3); /* the rest of the frame is not delivered */
    assert_false(bus_link_is_up(apply()));
    assert_converged();
    pair_close(&pair);
}

/* Every frame of a connection that was is dropped, however late and often it comes. */
static void test_frames_of_an_earlier_connection(void **state) {
    (void)state;
    pair_open_up(&pair);
    struct bytes old[8];
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(pair_put_entry(&pair, i + 1, 10));
        bus_link_flush(raft());
        old[i] = pair_peek(&pair, END_RAFT);
        assert_true(pair_step(&pair, END_RAFT));
        assert_true(bus_put_progress(apply(), &(struct bus_progress){.applied = i + 1}));
        bus_link_flush(apply());
        old[4 + i] = pair_peek(&pair, END_APPLY);
        assert_true(pair_step(&pair, END_APPLY));
    }
    pair_connect(&pair);
    for (unsigned i = 0; i < 8; i++) { /* before the handshake, and again after it */
        bus_link_frame(apply(), old[i % 4]);
        bus_link_frame(raft(), old[4 + i % 4]);
    }
    pair_settle(&pair);
    uint64_t records = pair.ends[END_APPLY].records;
    uint64_t answers = pair.ends[END_RAFT].records;
    uint64_t stale = bus_link_counts(apply())->stale_frames;
    for (unsigned i = 0; i < 8; i++) {
        bus_link_frame(apply(), old[i % 4]);
        bus_link_frame(raft(), old[4 + i % 4]);
    }
    assert_int_equal(pair.ends[END_APPLY].records, records);
    assert_int_equal(pair.ends[END_RAFT].records, answers);
    assert_int_equal(bus_link_counts(apply())->stale_frames, stale + 8);
    assert_int_equal(pair.ends[END_APPLY].downs, 1); /* the reconnect alone */
    assert_converged();
    for (unsigned i = 0; i < 8; i++)
        release(old[i]);
    pair_close(&pair);
}

/* An old HELLO of the living incarnation is recognised: it brings nothing down. */
static void test_an_old_hello_is_ignored(void **state) {
    (void)state;
    pair_open(&pair);
    pair_connect(&pair);
    struct bytes old = pair_peek(&pair, END_RAFT);
    pair_settle(&pair);
    pair_connect(&pair);
    pair_settle(&pair);
    unsigned downs = pair.ends[END_APPLY].downs;
    bus_link_frame(apply(), old);
    bus_link_frame(apply(), old);
    assert_true(bus_link_is_up(apply()));
    assert_int_equal(pair.ends[END_APPLY].downs, downs);
    assert_converged();
    release(old);
    pair_close(&pair);
}

/* A HELLO of a dead incarnation, delivered late: one new handshake, no more. */
static void test_a_hello_of_a_dead_peer(void **state) {
    (void)state;
    pair_open(&pair);
    pair_connect(&pair);
    struct bytes dead = pair_peek(&pair, END_RAFT);
    pair_settle(&pair);
    struct pair_end *end = &pair.ends[END_RAFT];
    bus_link_free(end->link); /* killed; its next incarnation: */
    bus_link_disconnected(apply());
    pair_open_end(end, BUS_ROLE_RAFT, BUS_ROLE_APPLY, 4711);
    pair_connect(&pair);
    pair_settle(&pair);
    unsigned downs = pair.ends[END_APPLY].downs;
    bus_link_frame(apply(), dead);
    assert_int_equal(pair.ends[END_APPLY].downs, downs + 1);
    assert_converged();
    assert_int_equal(pair.ends[END_APPLY].peer.incarnation, 4711);
    assert_int_equal(pair.ends[END_APPLY].downs, downs + 1);
    release(dead);
    pair_close(&pair);
}

static void test_gap_and_repeat(void **state) {
    (void)state;
    for (unsigned repeat = 0; repeat < 2; repeat++) {
        pair_open_up(&pair);
        assert_true(pair_put_entry(&pair, 1, 10));
        bus_link_flush(raft());
        struct bytes frame = pair_peek(&pair, END_RAFT);
        if (repeat == 1)
            assert_true(pair_step(&pair, END_RAFT));
        else
            pair_drop(&pair);
        assert_true(pair_put_entry(&pair, 2, 10));
        bus_link_flush(raft());
        if (repeat == 1)
            bus_link_frame(apply(), frame);
        else
            assert_true(pair_step(&pair, END_RAFT));
        assert_int_equal(pair.ends[END_APPLY].records, repeat);
        assert_int_equal(pair.ends[END_APPLY].downs, 1);
        assert_converged();
        release(frame);
        pair_close(&pair);
    }
}

static void send_forged(const struct frame_header *header, struct bytes body) {
    struct buffer frame = {0};
    buffer_reserve(&frame, FRAME_HEADER);
    frame.length = FRAME_HEADER;
    frame_header_encode(frame.data, header);
    buffer_append_bytes(&frame, body);
    bus_link_frame(apply(), buffer_bytes(&frame));
    buffer_free(&frame);
}

/* A peer that claims to have consumed what was never sent, or less than before. */
static void test_impossible_acknowledgements(void **state) {
    (void)state;
    static const struct frame_header lies[] = {
        {.kind = FRAME_CREDIT, .consumed_frames = 1},
        {.kind = FRAME_CREDIT, .consumed_bytes = 1},
        {.kind = FRAME_CREDIT, .consumed_frames = UINT64_MAX, .consumed_bytes = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        pair_open_up(&pair);
        struct frame_header header = lies[i];
        header.from = bus_link_peer(apply())->connection;
        header.to = bus_link_peer(raft())->connection;
        send_forged(&header, (struct bytes){0});
        assert_int_equal(pair.ends[END_APPLY].downs, 1);
        assert_converged();
        pair_close(&pair);
    }
}

/* A kind that does not belong on this link, and a record count that does not fit, deliver nothing. */
static void test_forged_records(void **state) {
    (void)state;
    for (unsigned variant = 0; variant < 5; variant++) {
        pair_open_up(&pair);
        uint8_t records[2 * RECORD_HEADER] = {0};
        struct bus_record record = {.kind = BUS_RAFT_ENTRY, .position = 1};
        record_header_encode(records, &record, 0);
        record.kind = variant == 0 ? BUS_APPLY_RESULT : variant == 1 ? BUS_KIND_COUNT : BUS_RAFT_ENTRY;
        record.user_length = variant == 2 ? 1 : 0;
        record_header_encode(records + RECORD_HEADER, &record, variant == 3 ? 8 : 0);
        struct frame_header header = {.kind = FRAME_DATA,
                                      .from = bus_link_peer(apply())->connection,
                                      .to = bus_link_peer(raft())->connection,
                                      .sequence = 1,
                                      .records = variant == 4 ? 1 : 2,
                                      .length = sizeof records};
        send_forged(&header, bytes_of(records, sizeof records));
        assert_int_equal(pair.ends[END_APPLY].records, 0);
        assert_int_equal(pair.ends[END_APPLY].downs, 1);
        assert_converged();
        pair_close(&pair);
    }
}

static void test_a_peer_of_another_role_is_refused(void **state) {
    (void)state;
    pair_open(&pair);
    bus_link_free(raft());
    pair_open_end(&pair.ends[END_RAFT], BUS_ROLE_MAINT, BUS_ROLE_APPLY, 5);
    pair_connect(&pair);
    pair_settle(&pair);
    assert_int_equal(pair.ends[0].ups, 0);
    assert_int_equal(pair.ends[1].ups, 0);
    pair_close(&pair);
}

static void test_another_contract_version_is_refused(void **state) {
    (void)state;
    pair_open(&pair);
    pair_connect(&pair);
    struct bytes hello = pair_peek(&pair, END_RAFT);
    pair_drop(&pair);
    ((uint8_t *)(uintptr_t)hello.data)[4] = BUS_CONTRACT_VERSION + 1;
    bus_link_frame(apply(), hello);
    assert_false(pair_step(&pair, END_APPLY)); /* not answered */
    release(hello);
    pair_close(&pair);
}

/* xorshift: the same run on every machine */
static uint64_t random_state;
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void mutate(uint8_t *frame, size_t *length) {
    unsigned changes = 1 + (unsigned)(next_random() % 4);
    for (unsigned i = 0; i<changes && * length> 0; i++) {
        uint64_t draw = next_random();
        switch (draw % 4) {
        case 0: /* shorter */
            *length -= (draw >> 8) % (*length < 16 ? *length : 16);
            break;
        case 1: /* a whole byte */
            frame[(draw >> 8) % *length] = (uint8_t)(draw >> 48);
            break;
        case 2: /* a header field to an extreme */
            frame[(draw >> 8) % (*length < 104 ? *length : 104)] = (draw >> 40 & 1) != 0 ? 0xff : 0;
            break;
        default:
            frame[(draw >> 8) % *length] ^= (uint8_t)(1 << (draw >> 48) % 8);
            break;
        }
    }
}

/* A frame in flight is garbled; nothing is read out of bounds (ASan), the link recovers. */
static void test_garbled_frames(void **state) {
    (void)state;
    random_state = 20240521;
    pair_open_up(&pair);
    for (unsigned round = 0; round < 20000; round++) {
        uint64_t next = pair.ends[END_APPLY].last_position + 1;
        for (uint64_t i = 0; i < 1 + round % 3; i++)
            (void)pair_put_entry(&pair, next + i, next_random() % 40);
        if (round % 7 == 0)
            bus_link_reset(raft(), "asked by the test"); /* garbles HELLOs too */
        bus_link_flush(raft());
        struct bytes frame = pair_peek(&pair, END_RAFT);
        uint8_t *exact = must_alloc(frame.length);
        size_t length = frame.length;
        memcpy(exact, frame.data, length);
        mutate(exact, &length);
        exact = must_realloc(exact, length); /* a byte too far is seen */
        bus_link_frame(apply(), bytes_of(exact, length));
        free(exact);
        release(frame);
        pair_drop(&pair);
        pair_connect(&pair);
        pair_settle(&pair);
        assert_true(bus_link_is_up(raft()));
        assert_true(bus_link_is_up(apply()));
    }
    assert_converged();
    pair_close(&pair);
}

/* Everything at once: connects seen by one end first, resets, old frames again, lost connections. */
static void hostile_step(struct bytes *kept, unsigned *count) {
    uint64_t draw = next_random();
    int end = (int)(draw >> 8 & 1);
    switch (draw % 12) {
    case 0:
        bus_link_connected(pair.ends[end].link);
        break;
    case 1:
        bus_link_reset(pair.ends[end].link, "asked by the test");
        break;
    case 2:
    case 3:
        if (*count > 0)
            bus_link_frame(pair.ends[draw >> 9 & 1].link, kept[(draw >> 16) % *count]);
        break;
    case 4:
        if (*count < 64 && pair.ends[end].out.head != pair.ends[end].out.tail)
            kept[(*count)++] = pair_peek(&pair, end);
        break;
    case 5:
        bus_link_hold(pair.ends[end].link, (draw >> 16 & 1) != 0);
        break;
    case 6:
    case 7:
        (void)pair_put_entry(&pair, draw >> 20 & 0xff, draw >> 32 & 0x3ff);
        break;
    default:
        (void)pair_step(&pair, end);
        bus_link_flush(pair.ends[end].link);
        break;
    }
}

static void test_everything_at_once(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15;
        pair_open(&pair);
        pair_connect(&pair);
        struct bytes kept[64];
        unsigned count = 0;
        for (unsigned step = 0; step < 300; step++)
            hostile_step(kept, &count);
        bus_link_hold(raft(), false);
        bus_link_hold(apply(), false);
        pair_settle(&pair);
        /* The transport ends, for both: what it promises when a frame was lost or came out of turn. */
        pair_drop(&pair);
        pair_connect(&pair);
        pair.ends[END_APPLY].last_position = 0;
        assert_converged();
        for (unsigned i = 0; i < count; i++)
            release(kept[i]);
        pair_close(&pair);
    }
}

int main(void) {
    log_init("test", "fatal");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_by_one_end),
        cmocka_unit_test(test_reset_by_both_ends_at_once),
        cmocka_unit_test(test_reset_during_a_handshake),
        cmocka_unit_test(test_reset_inside_a_record_callback),
        cmocka_unit_test(test_frames_of_an_earlier_connection),
        cmocka_unit_test(test_an_old_hello_is_ignored),
        cmocka_unit_test(test_a_hello_of_a_dead_peer),
        cmocka_unit_test(test_gap_and_repeat),
        cmocka_unit_test(test_impossible_acknowledgements),
        cmocka_unit_test(test_forged_records),
        cmocka_unit_test(test_a_peer_of_another_role_is_refused),
        cmocka_unit_test(test_another_contract_version_is_refused),
        cmocka_unit_test(test_garbled_frames),
        cmocka_unit_test(test_everything_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
