/* membership_codec: members, ConfState and ConfChange in etcd's protobuf encodings. See membership.h. */
#include "common/membership.h"
#include "common/wire.h"

void member_encode(const struct member *member, struct buffer *out) {
    wire_put_uint64(out, 1, member->id);
    wire_put_bytes(out, 2, bytes_from_text(member->name));
    for (unsigned i = 0; i < member->peer_url_count; i++)
        wire_put_bytes_always(out, 3, bytes_from_text(member->peer_urls[i]));
    for (unsigned i = 0; i < member->client_url_count; i++)
        wire_put_bytes_always(out, 4, bytes_from_text(member->client_urls[i]));
    wire_put_bool(out, 5, member->learner);
}

static bool take_text(const struct wire_field *field, char *out, size_t size) {
    if (field->type != WIRE_BYTES || field->bytes.length >= size)
        return false;
    memcpy(out, field->bytes.data, field->bytes.length);
    out[field->bytes.length] = '\0';
    return true;
}

static bool take_url(const struct wire_field *field, char urls[MEMBER_URL_LIMIT][256], unsigned *count) {
    return *count < MEMBER_URL_LIMIT && take_text(field, urls[(*count)++], sizeof *urls);
}

static bool member_field(const struct wire_field *field, struct member *out) {
    switch (field->number) {
    case 1:
        out->id = field->value;
        return field->type == WIRE_VARINT;
    case 2:
        return take_text(field, out->name, sizeof out->name);
    case 3:
        return take_url(field, out->peer_urls, &out->peer_url_count);
    case 4:
        return take_url(field, out->client_urls, &out->client_url_count);
    case 5:
        out->learner = field->value != 0;
        return field->type == WIRE_VARINT;
    default:
        return true;
    }
}

bool member_decode(struct bytes message, struct member *out) {
    struct wire_reader reader = wire_reader_of(message);
    struct wire_field field;
    *out = (struct member){0};
    while (wire_next(&reader, &field)) {
        if (!member_field(&field, out))
            return false;
    }
    return !reader.malformed;
}

void membership_encode_list(const struct membership *membership, struct buffer *out) {
    for (unsigned i = 0; i < membership->count; i++) {
        size_t mark = wire_begin_message(out, 2);
        member_encode(&membership->members[i], out);
        wire_end_message(out, mark);
    }
}

void membership_encode_conf_state(const struct membership *membership, struct buffer *out) {
    for (unsigned i = 0; i < membership->count; i++) {
        if (!membership->members[i].learner)
            wire_put_uint64_always(out, 1, membership->members[i].id);
    }
    for (unsigned i = 0; i < membership->count; i++) {
        if (membership->members[i].learner)
            wire_put_uint64_always(out, 2, membership->members[i].id);
    }
}

/* raftpb.ConfChange: ID=1 Type=2 NodeID=3 Context=4; etcd writes the first three even when zero. */
void conf_change_encode(struct buffer *out, const struct conf_change *change) {
    wire_put_uint64_always(out, 1, change->id);
    wire_put_uint64_always(out, 2, change->type);
    wire_put_uint64_always(out, 3, change->node);
    wire_put_bytes(out, 4, change->context);
}

bool conf_change_decode(struct bytes data, struct conf_change *out) {
    struct wire_reader reader = wire_reader_of(data);
    struct wire_field field;
    *out = (struct conf_change){0};
    while (wire_next(&reader, &field)) {
        if (field.number < 1 || field.number > 4)
            continue;
        if (field.type != (field.number == 4 ? WIRE_BYTES : WIRE_VARINT))
            return false;
        if (field.number == 1)
            out->id = field.value;
        else if (field.number == 2)
            out->type = field.value;
        else if (field.number == 3)
            out->node = field.value;
        else
            out->context = field.bytes;
    }
    return !reader.malformed;
}
