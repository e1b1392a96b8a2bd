/* members_file: see members_file.h. */
#include "raft/members_file.h"

#include <errno.h>
#include <stdio.h>

#include "common/crc32c.h"
#include "common/wire.h"

#define FILE_NAME "members"
#define FILE_HEAD "quorate-members 1 1\n"
enum { HEAD_LENGTH = sizeof FILE_HEAD - 1, CRC_LENGTH = 4, FILE_LIMIT = 1 << 20 };

static bool decode_field(const struct wire_field *field, struct raft_members *out, unsigned *slots) {
    struct membership *membership = &out->membership;
    switch (field->number) {
    case 1:
        out->index = field->value;
        return field->type == WIRE_VARINT;
    case 2:
        membership->cluster = field->value;
        return field->type == WIRE_VARINT;
    case 3:
        return field->type == WIRE_BYTES && membership->count < MEMBERSHIP_LIMIT &&
               member_decode(field->bytes, &membership->members[membership->count++]);
    case 4:
        if (field->type != WIRE_VARINT || *slots == BUS_PROXY_SLOTS)
            return false;
        out->largest_id[(*slots)++] = field->value;
        return true;
    default:
        return true;
    }
}

static bool decode(struct bytes file, struct raft_members *out) {
    *out = (struct raft_members){0};
    if (file.length < HEAD_LENGTH + CRC_LENGTH || memcmp(file.data, FILE_HEAD, HEAD_LENGTH) != 0)
        return false;
    size_t length = file.length - CRC_LENGTH;
    uint32_t crc = 0;
    for (unsigned i = 0; i < CRC_LENGTH; i++)
        crc |= (uint32_t)file.data[length + i] << (8 * i);
    if (crc != crc32c_update(0, file.data, length))
        return false;
    struct wire_reader reader = wire_reader_of(bytes_of(file.data + HEAD_LENGTH, length - HEAD_LENGTH));
    struct wire_field field;
    unsigned slots = 0;
    while (wire_next(&reader, &field)) {
        if (!decode_field(&field, out, &slots))
            return false;
    }
    return !reader.malformed;
}

enum members_file_result members_file_read(struct disk *disk, const char *directory, struct raft_members *out,
                                           char error[512]) {
    char path[4096];
    struct buffer file = {0};
    snprintf(path, sizeof path, "%s/%s", directory, FILE_NAME);
    int status = disk_read_file(disk, path, FILE_LIMIT, &file);
    enum members_file_result result = MEMBERS_FILE_READ;
    if (status == -ENOENT) {
        result = MEMBERS_FILE_NONE;
    } else if (status != 0) {
        snprintf(error, 512, "cannot read %.300s: %s", path, strerror(-status));
        result = MEMBERS_FILE_BAD;
    } else if (!decode(buffer_bytes(&file), out)) {
        snprintf(error, 512,
                 "%.200s (%zu bytes) is damaged or of a newer release; restore this member from a backup, or "
                 "remove it from the cluster and add it again with an empty data directory",
                 path, file.length);
        result = MEMBERS_FILE_BAD;
    }
    buffer_free(&file);
    return result;
}

int members_file_write(struct disk *disk, const char *directory, const struct raft_members *members) {
    struct buffer file = {0};
    buffer_append(&file, FILE_HEAD, HEAD_LENGTH);
    wire_put_uint64(&file, 1, members->index);
    wire_put_uint64(&file, 2, members->membership.cluster);
    for (unsigned i = 0; i < members->membership.count; i++) {
        size_t mark = wire_begin_message(&file, 3);
        member_encode(&members->membership.members[i], &file);
        wire_end_message(&file, mark);
    }
    for (unsigned slot = 0; slot < BUS_PROXY_SLOTS; slot++)
        wire_put_uint64_always(&file, 4, members->largest_id[slot]);
    uint32_t crc = crc32c_update(0, file.data, file.length);
    for (unsigned i = 0; i < CRC_LENGTH; i++)
        buffer_append_byte(&file, (uint8_t)(crc >> (8 * i)));
    int status = disk_replace_file(disk, directory, FILE_NAME, buffer_bytes(&file));
    buffer_free(&file);
    return status;
}
