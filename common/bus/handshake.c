/*
 * handshake: from `connected` to `up`, and back down.
 *
 * Each end takes a connection number and says HELLO{mine, answers 0}. On a HELLO whose number is new, an end
 * remembers it and answers once: HELLO{mine, answers theirs}. An end that holds a HELLO answering its own
 * number is up; so is one that gets a frame addressed to its number, as only an answered peer can send it.
 *
 * Why it converges. A number is never reused, and an end changes its number only when the transport connects,
 * on reset, or when it leaves `up`. Every change is announced by a HELLO, and every new number heard is
 * answered, on a transport that keeps order; so after the last change both ends hold each other's last number
 * and the answer to their own. What comes late or twice can at worst bring an end down once: a HELLO of an
 * older number of the same incarnation is recognised and dropped, and one that answers a number that is not
 * ours any more shows that the peer lost us, which costs one new handshake.
 */
#include "common/bus/link_internal.h"
#include "common/log.h"
#include "proto/bus.pb-c.h"

/* Spread over 64 bits, so that numbers of different incarnations do not meet (splitmix64's finish). */
static uint64_t scatter(uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* Numbers of one incarnation count upward, so that an older one can be told from a newer one. */
static void take_new_number(struct bus_link *link) {
    link->mine = link->mine == 0 ? scatter(link->incarnation) : link->mine + 1;
    if (link->mine == 0)
        link->mine = 1;
    link->theirs = 0;
    link->told_mine = link->told_theirs = 0;
}

static void go_down(struct bus_link *link, const char *reason) {
    link->up = false;
    take_new_number(link);
    link_clear_streams(link);
    link->counts.resets++;
    LOG_INFO("bus link is down", F_STR("link", link->name), F_STR("reason", reason));
    if (link->handler.down != NULL)
        link->handler.down(link->handler.context, link);
}

static void go_up(struct bus_link *link) {
    link_clear_streams(link);
    link->up = true;
    LOG_INFO("bus link is up", F_STR("link", link->name), F_HEX("incarnation", link->peer.incarnation),
             F_U64("position", link->peer.position));
    if (link->handler.up != NULL)
        link->handler.up(link->handler.context, link, &link->peer);
}

static bool send_hello(struct bus_link *link, uint64_t answers) {
    struct bus_hello own = {0};
    if (link->handler.greet != NULL)
        link->handler.greet(link->handler.context, &own);
    Quorate__BusHello message = QUORATE__BUS_HELLO__INIT;
    message.role = link->own_role;
    message.slot = link->own_slot;
    message.node = own.node;
    message.incarnation = link->incarnation;
    message.connection = link->mine;
    message.answers = answers;
    message.contract = BUS_CONTRACT_VERSION;
    message.position = own.position;
    message.durable = own.durable;
    message.cluster = own.cluster;
    message.term = own.term;
    message.largest_id = own.largest_id;

    uint8_t frame[FRAME_HEADER + 256];
    size_t length = quorate__bus_hello__get_packed_size(&message);
    REQUIRE(length <= sizeof frame - FRAME_HEADER);
    quorate__bus_hello__pack(&message, frame + FRAME_HEADER);
    struct frame_header header = {
        .kind = FRAME_HELLO, .from = link->mine, .to = answers, .length = (uint32_t)length};
    frame_header_encode(frame, &header);
    return link_transmit(link, bytes_of(frame, FRAME_HEADER + length));
}

void bus_link_connected(struct bus_link *link) {
    if (link->connected)
        bus_link_disconnected(link);
    link->connected = true;
    take_new_number(link);
    (void)send_hello(link, 0);
}

void bus_link_disconnected(struct bus_link *link) {
    link->connected = false;
    if (link->up)
        go_down(link, "disconnected");
}

void bus_link_reset(struct bus_link *link, const char *reason) {
    if (link->up)
        go_down(link, reason);
    else
        take_new_number(link);
    if (link->connected)
        (void)send_hello(link, 0);
}

static bool read_hello(struct bytes body, struct bus_hello *out, uint64_t *answers) {
    Quorate__BusHello *message = quorate__bus_hello__unpack(NULL, body.length, body.data);
    if (message == NULL)
        return false;
    *out = (struct bus_hello){
        .role = (enum bus_role)message->role,
        .slot = (uint8_t)message->slot,
        .node = message->node,
        .incarnation = message->incarnation,
        .connection = message->connection,
        .contract = message->contract,
        .position = message->position,
        .durable = message->durable,
        .cluster = message->cluster,
        .term = message->term,
        .largest_id = message->largest_id,
    };
    *answers = message->answers;
    bool sane = message->slot < BUS_PROXY_SLOTS && message->role <= BUS_ROLE_MAINT;
    quorate__bus_hello__free_unpacked(message, NULL);
    return sane;
}

/* A number that the same incarnation has replaced since. */
static bool is_outdated(const struct bus_link *link, const struct bus_hello *hello) {
    return hello->incarnation == link->newest_incarnation &&
           (int64_t)(hello->connection - link->newest_connection) < 0;
}

static void receive_valid_hello(struct bus_link *link, const struct bus_hello *hello, uint64_t answers) {
    if (is_outdated(link, hello)) {
        link->counts.stale_frames++;
        return;
    }
    if (link->up) {
        bool known = hello->connection == link->theirs;
        if (known && (answers == link->mine || answers == 0))
            return; /* repeated */
        go_down(link, known ? "peer lost our connection" : "peer began a new connection");
        if (!link->connected)
            return; /* the role's doing, in `down` */
    }
    link->theirs = hello->connection;
    link->peer = *hello;
    link->newest_incarnation = hello->incarnation;
    link->newest_connection = hello->connection;
    if (link->told_mine != link->mine || link->told_theirs != link->theirs) {
        link->told_mine = link->mine;
        link->told_theirs = link->theirs;
        if (!send_hello(link, link->theirs))
            return;
    }
    if (answers == link->mine)
        go_up(link);
}

void link_receive_hello(struct bus_link *link, const struct frame_header *header, struct bytes body) {
    struct bus_hello hello;
    uint64_t answers = 0;
    if (!read_hello(body, &hello, &answers) || hello.connection != header->from || answers != header->to) {
        bus_link_reset(link, "malformed HELLO");
        return;
    }
    if (hello.role != link->peer_role || hello.slot != link->peer_slot ||
        hello.contract != BUS_CONTRACT_VERSION) {
        LOG_ERROR("bus peer refused", F_STR("link", link->name), F_STR("role", bus_role_name(hello.role)),
                  F_U64("slot", hello.slot), F_U64("contract", hello.contract));
        return;
    }
    receive_valid_hello(link, &hello, answers);
}

bool link_admit(struct bus_link *link, const struct frame_header *header) {
    if (link->theirs == 0 || header->from != link->theirs || header->to != link->mine) {
        link->counts.stale_frames++;
        return false;
    }
    if (!link->up)
        go_up(link);
    return link->up && header->from == link->theirs && header->to == link->mine;
}
