/*
 * membership: ids against genuine etcd 3.4.23 (its start log), its ConfChange bytes, bootstrap errors,
 * changes.
 */
#include "common/membership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "common/status.h"
#include "common/wire.h"

static struct membership bootstrap(const char *cluster, const char *token, const char *own, uint64_t *id) {
    struct membership membership;
    char error[256];
    assert_true(membership_bootstrap(cluster, token, own, &membership, id, error));
    return membership;
}

static void ids_are_those_of_etcd(void **state) {
    (void)state;
    uint64_t id = 0;
    struct membership one = bootstrap("a=http://127.0.0.1:43380", "tok-1", "a", &id);
    assert_int_equal(id, 0x4d642a63b977231f);
    assert_int_equal(one.cluster, 0xfb512c1f686274bc);

    struct membership three = bootstrap("b=http://127.0.0.1:43390,c=http://127.0.0.1:43391,"
                                        "b=http://127.0.0.1:43381,d=http://127.0.0.1:43392",
                                        "etcd-cluster", "b", &id);
    assert_int_equal(id, 0x1b3115ef89e27e81);
    assert_int_equal(three.cluster, 0x6a0204c032ddae54);
    assert_int_equal(three.count, 3);
    assert_int_equal(three.members[0].id, 0x1b3115ef89e27e81);
    assert_int_equal(three.members[1].id, 0x4cbfe8da7846e2dd);
    assert_int_equal(three.members[2].id, 0x91a0bec74f5b3f56);
    assert_string_equal(three.members[0].peer_urls[0], "http://127.0.0.1:43381");
    assert_string_equal(three.members[0].peer_urls[1], "http://127.0.0.1:43390");
    assert_string_equal(three.members[2].name, "c");

    bootstrap("default=http://localhost:2380", "etcd-cluster", "default", &id);
    assert_int_equal(id, 0x8e9e05c52164694d);
}

static void malformed_clusters_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "a",
        "=http://x:1",
        "a=",
        "a=ftp://x:1",
        "a=http://",
        "a=http://x:1 ",
        "b=http://x:1",
        "a=http://x:1,b=http://x:1",
        "a=http://x:1,a=http://x:2,a=http://x:3,a=http://x:4,a=http://x:5",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct membership membership;
        uint64_t id = 0;
        char error[256] = "";
        assert_false(membership_bootstrap(bad[i], "t", "a", &membership, &id, error));
        assert_true(error[0] != '\0');
    }
    struct buffer many = {0};
    for (int i = 0; i < 20; i++)
        buffer_printf(&many, "m%d=http://x:%d,", i, i);
    buffer_append_byte(&many, 0);
    struct membership membership;
    uint64_t id = 0;
    char error[256];
    assert_false(membership_bootstrap((const char *)many.data, "t", "m0", &membership, &id, error));
    buffer_free(&many);
}

/* The ConfChange that etcd 3.4.23 wrote into its WAL for the first member above. */
static void conf_change_is_byte_for_byte_etcds(void **state) {
    (void)state;
    static const uint8_t head[] = {0x08, 0x00, 0x10, 0x00, 0x18, 0x9f, 0xc6, 0xdc,
                                   0xcb, 0xbb, 0xcc, 0x8a, 0xb2, 0x4d, 0x22, 0x4b};
    static const char json[] =
        "{\"id\":5576628846393238303,\"peerURLs\":[\"http://127.0.0.1:43380\"],\"name\":\"a\"}";
    uint64_t id = 0;
    struct membership one = bootstrap("a=http://127.0.0.1:43380", "tok-1", "a", &id);
    struct buffer context = {0};
    struct buffer encoded = {0};
    member_encode_context(&one.members[0], &context);
    assert_true(bytes_equal(buffer_bytes(&context), bytes_from_text(json)));
    conf_change_encode(&encoded, &(struct conf_change){
                                     .type = CONF_ADD_NODE, .node = id, .context = buffer_bytes(&context)});
    assert_int_equal(encoded.length, sizeof head + sizeof json - 1);
    assert_memory_equal(encoded.data, head, sizeof head);

    struct conf_change change;
    assert_true(conf_change_decode(buffer_bytes(&encoded), &change));
    struct membership empty = {.cluster = one.cluster};
    assert_int_equal(membership_apply(&empty, &change), STATUS_OK);
    assert_memory_equal(&empty.members[0], &one.members[0], sizeof *one.members);
    buffer_free(&context);
    buffer_free(&encoded);
}

static void context_reader_takes_what_go_writes_and_nothing_else(void **state) {
    (void)state;
    struct member member;
    bool promote = false;
    const char *good = " {\"id\":18446744073709551615, \"peerURLs\":[\"http:\\/\\/x:1\",\"unix:\\u002f/y\"],"
                       "\"isLearner\":true,\"name\":\"\\u00e9\\ud83d\\ude00\",\"clientURLs\":null,"
                       "\"later\":{\"a\":[1,\"}\"]},\"more\":-1.5e3,\"isPromote\":true}";
    assert_true(member_decode_context(bytes_from_text(good), &member, &promote));
    assert_int_equal(member.id, UINT64_MAX);
    assert_int_equal(member.peer_url_count, 2);
    assert_string_equal(member.peer_urls[0], "http://x:1");
    assert_string_equal(member.peer_urls[1], "unix://y");
    assert_string_equal(member.name, "\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(member.learner && promote);
    assert_true(member_decode_context(bytes_from_text("{}"), &member, &promote));

    static const char *const bad[] = {
        "",
        "{",
        "{}x",
        "[]",
        "{\"id\":18446744073709551616}",
        "{\"id\":-1}",
        "{\"id\":1.5}",
        "{\"id\":\"1\"}",
        "{\"name\":\"\\ud83d\"}",
        "{\"name\":\"\\u0000\"}",
        "{\"name\":\"a",
        "{\"name\":\"\\x\"}",
        "{\"a\":[[[[[[[[[[1]]]]]]]]]]}",
        "{\"a\":}",
        "{\"peerURLs\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
        "{\"peerURLs\":[\"a\"",
        "{\"id\":1,}",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(member_decode_context(bytes_from_text(bad[i]), &member, &promote));
    /* Every truncation of a good one. */
    for (size_t length = 0; length < strlen(good); length++)
        assert_false(member_decode_context(bytes_of(good, length), &member, &promote));
}

static uint16_t change(struct membership *membership, uint64_t type, uint64_t node, const char *context) {
    return membership_apply(
        membership, &(struct conf_change){.type = type, .node = node, .context = bytes_from_text(context)});
}

static void changes_are_validated_as_etcd_does(void **state) {
    (void)state;
    struct membership m = {0};
    assert_int_equal(change(&m, CONF_ADD_NODE, 5, "{\"id\":5,\"peerURLs\":[\"http://x:5\"]}"), STATUS_OK);
    assert_int_equal(change(&m, CONF_ADD_NODE, 5, "{\"id\":5,\"peerURLs\":[\"http://x:6\"]}"),
                     STATUS_MEMBER_EXISTS);
    assert_int_equal(change(&m, CONF_ADD_NODE, 6, "{\"id\":6,\"peerURLs\":[\"http://x:5\"]}"),
                     STATUS_PEER_URL_EXISTS);
    assert_int_equal(change(&m, CONF_ADD_NODE, 6, "{\"id\":7,\"peerURLs\":[\"http://x:6\"]}"),
                     STATUS_UNDECODABLE);
    assert_int_equal(change(&m, CONF_ADD_LEARNER, 3, "{\"id\":3,\"peerURLs\":[\"http://x:3\"]}"), STATUS_OK);
    assert_int_equal(m.members[0].id, 3);
    assert_int_equal(change(&m, CONF_ADD_LEARNER, 4, "{\"id\":4,\"peerURLs\":[\"http://x:4\"]}"),
                     STATUS_TOO_MANY_LEARNERS);
    assert_int_equal(
        change(&m, CONF_ADD_NODE, 9, "{\"id\":9,\"peerURLs\":[\"http://x:9\"],\"isPromote\":true}"),
        STATUS_MEMBER_NOT_FOUND);
    assert_int_equal(
        change(&m, CONF_ADD_NODE, 5, "{\"id\":5,\"peerURLs\":[\"http://x:5\"],\"isPromote\":true}"),
        STATUS_MEMBER_NOT_LEARNER);
    struct buffer conf_state = {0};
    membership_encode_conf_state(&m, &conf_state);
    assert_true(bytes_equal(buffer_bytes(&conf_state), bytes_of("\x08\x05\x10\x03", 4)));
    buffer_free(&conf_state);
    assert_int_equal(
        change(&m, CONF_ADD_NODE, 3, "{\"id\":3,\"peerURLs\":[\"http://x:3\"],\"isPromote\":true}"),
        STATUS_OK);
    assert_false(m.members[0].learner);
    assert_int_equal(change(&m, CONF_UPDATE_NODE, 3, "{\"id\":3,\"peerURLs\":[\"http://x:5\"]}"),
                     STATUS_PEER_URL_EXISTS);
    assert_int_equal(change(&m, CONF_UPDATE_NODE, 3, "{\"id\":3,\"peerURLs\":[\"http://x:8\"]}"), STATUS_OK);
    assert_string_equal(membership_find(&m, 3)->peer_urls[0], "http://x:8");
    assert_int_equal(change(&m, CONF_REMOVE_NODE, 4, ""), STATUS_MEMBER_NOT_FOUND);
    assert_int_equal(change(&m, CONF_REMOVE_NODE, 3, ""), STATUS_OK);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.members[0].id, 5);
    assert_int_equal(change(&m, 77, 5, "{}"), STATUS_UNDECODABLE);
}

static void members_survive_encoding(void **state) {
    (void)state;
    uint64_t id = 0;
    struct membership one = bootstrap("a=http://127.0.0.1:43380", "tok-1", "a", &id);
    membership_set_client_urls(&one, id, "http://127.0.0.1:1,,http://127.0.0.1:2");
    assert_int_equal(one.members[0].client_url_count, 2);
    struct buffer list = {0};
    membership_encode_list(&one, &list);
    struct wire_reader reader = wire_reader_of(buffer_bytes(&list));
    struct wire_field field;
    struct member back;
    assert_true(wire_next(&reader, &field));
    assert_int_equal(field.number, 2);
    assert_true(member_decode(field.bytes, &back));
    assert_memory_equal(&back, &one.members[0], sizeof back);
    assert_false(wire_next(&reader, &field));
    for (size_t length = 1; length < list.length - 2; length++) {
        if (member_decode(bytes_of(list.data + 2, length), &back))
            assert_true(back.client_url_count < 2);
    }
    buffer_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_etcd),
        cmocka_unit_test(malformed_clusters_are_refused),
        cmocka_unit_test(conf_change_is_byte_for_byte_etcds),
        cmocka_unit_test(context_reader_takes_what_go_writes_and_nothing_else),
        cmocka_unit_test(changes_are_validated_as_etcd_does),
        cmocka_unit_test(members_survive_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
