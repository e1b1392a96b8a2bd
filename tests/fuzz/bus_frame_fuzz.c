/*
 * bus_frame: arbitrary bytes as frames to a link that is up. The first byte of each piece chooses between a
 * raw frame and one whose header is made valid for the connection, so that the records behind it are reached.
 */
#include <stdlib.h>

#include "common/bus/contract.h"
#include "common/bus/frame.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
    struct bus_link *link, *other;
    uint64_t seen;
};

static bool pass_on(void *context, struct bytes frame) {
    struct peer *peer = context;
    if (peer->other != NULL)
        bus_link_frame(peer->other, frame);
    return true;
}

static void read_record(void *context, struct bus_link *link, const struct bus_record *record) {
    (void)link;
    struct peer *peer = context;
    for (size_t i = 0; i < record->body.length; i++)
        peer->seen += record->body.data[i];
    struct bus_entry entry;
    struct bus_request request;
    struct bus_raft_state state;
    peer->seen += bus_get_entry(record, &entry);
    peer->seen += bus_get_request(record, &request);
    peer->seen += bus_get_raft_state(record, &state);
}

static void offer(struct bus_link *apply, struct bus_link *raft, struct bytes piece) {
    if (piece.length == 0)
        return;
    bool valid_header = (piece.data[0] & 1) != 0;
    struct bytes rest = bytes_of(piece.data + 1, piece.length - 1);
    size_t length = (valid_header ? FRAME_HEADER : 0) + rest.length;
    uint8_t *frame = must_alloc(length);
    if (valid_header && bus_link_is_up(apply) && bus_link_is_up(raft)) {
        struct frame_header header = {.kind = FRAME_DATA,
                                      .from = bus_link_peer(apply)->connection,
                                      .to = bus_link_peer(raft)->connection,
                                      .sequence = 1,
                                      .records = piece.data[0] >> 1,
                                      .length = (uint32_t)rest.length};
        frame_header_encode(frame, &header);
    } else if (valid_header) {
        memset(frame, 0, FRAME_HEADER);
    }
    if (rest.length > 0)
        memcpy(frame + length - rest.length, rest.data, rest.length);
    bus_link_frame(apply, bytes_of(frame, length));
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_init("fuzz", "fatal");
    struct peer raft = {0};
    struct peer apply = {0};
    struct bus_handler handler = {.record = read_record};
    handler.context = &raft;
    raft.link = bus_link_new("fuzz", BUS_ROLE_RAFT, 0, BUS_ROLE_APPLY, 0, 1,
                             (struct bus_transport){pass_on, &raft}, handler);
    handler.context = &apply;
    apply.link = bus_link_new("fuzz", BUS_ROLE_APPLY, 0, BUS_ROLE_RAFT, 0, 2,
                              (struct bus_transport){pass_on, &apply}, handler);
    raft.other = apply.link;
    apply.other = raft.link;
    bus_link_connected(raft.link);
    bus_link_connected(apply.link);
    /* Pieces are separated by their length in two bytes. */
    while (size > 2) {
        size_t length = (size_t)(data[0] | data[1] << 8);
        data += 2;
        size -= 2;
        length = length < size ? length : size;
        offer(apply.link, raft.link, bytes_of(data, length));
        data += length;
        size -= length;
    }
    bus_link_free(raft.link);
    bus_link_free(apply.link);
    return 0;
}
