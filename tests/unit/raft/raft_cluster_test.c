/*
 * raft_core with several members over a hostile network: messages lost, doubled, late and reordered, members
 * killed with torn writes, partitions. Checked at every step: one leader a term, committed entries never
 * change and are durable on a quorum, logs match (thesis 3.2), reads see all that was committed before they
 * were asked. At the end everything heals and all members must agree on one log. A seed repeats a run.
 */
#include "raft/core/raft_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

enum { MEMBERS = 5, LOG = 4000, NETWORK = 512, SEEDS = 40, STEPS = 3000, READS = 64 };

struct stored_entry {
    uint64_t term, value;
};

/* What a member has on disk. */
struct stored {
    struct stored_entry entries[LOG]; /* by index; 0 unused */
    uint64_t last;
    struct raft_hard_state state;
};

struct asked_read {
    uint64_t context, least; /* commit index that anybody knew of when it was asked */
};

struct member_model {
    struct raft_core *core;
    struct stored disk;
    bool writing;
    struct raft_ready ready;
    struct stored_entry batch[LOG]; /* what the write under way contains, as of when it was taken */
    unsigned partition;
    struct asked_read reads[READS];
    size_t read_count;
    uint64_t checked; /* committed entries up to here were compared */
};

struct packet {
    struct raft_message message;
    struct raft_entry *entries;
    uint64_t *values;
};

static struct world {
    unsigned count;
    uint64_t random;
    struct member_model members[MEMBERS + 1]; /* by id */
    struct packet network[NETWORK];
    size_t packets;
    bool hostile;
    uint64_t crashes, partitions, losses; /* in 1000 steps, drawn per run */
    uint64_t leader_of[100000];           /* by term */
    struct stored_entry committed[LOG];
    uint64_t committed_last;
    uint64_t value;
    uint64_t reads_confirmed;
} world;

static uint64_t dice(uint64_t sides) {
    uint64_t x = world.random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % sides;
}

static struct bytes as_bytes(const uint64_t *value) {
    return bytes_of(value, sizeof *value);
}

static uint64_t as_value(struct bytes data) {
    uint64_t value = 0;
    if (data.length == sizeof value)
        memcpy(&value, data.data, sizeof value);
    return value;
}

/* --- members -------------------------------------------------------------------------------------------- */

static void boot(unsigned id) {
    struct member_model *member = &world.members[id];
    struct raft_peer peers[MEMBERS];
    member->core = raft_core_new(&(struct raft_core_options){.id = id,
                                                             .election_ticks = 10,
                                                             .heartbeat_ticks = 1,
                                                             .pre_vote = dice(2) == 0,
                                                             .seed = dice(UINT64_MAX),
                                                             .cache_bytes = 1 << 20,
                                                             .append_bytes = 64});
    struct raft_log *log = raft_core_loading_log(member->core);
    for (uint64_t index = 1; index <= member->disk.last; index++) {
        const struct stored_entry *entry = &member->disk.entries[index];
        raft_log_append(log, entry->term, 0, entry->value == 0 ? (struct bytes){0} : as_bytes(&entry->value));
    }
    struct raft_hard_state state = member->disk.state;
    if (state.commit > member->disk.last)
        fail_msg("commit index beyond the log on disk");
    raft_core_load_state(member->core, &state);
    for (unsigned i = 0; i < world.count; i++)
        peers[i] = (struct raft_peer){.id = i + 1};
    raft_core_set_peers(member->core, peers, world.count);
    raft_core_start(member->core);
    member->writing = false;
    member->read_count = 0;
    member->checked = 0;
}

static void begin_write(struct member_model *member) {
    if (!raft_core_take(member->core, &member->ready))
        return;
    member->writing = true;
    for (uint64_t index = member->ready.first; index <= member->ready.last; index++) {
        struct raft_entry entry;
        assert_true(raft_log_get(raft_core_log(member->core), index, &entry));
        member->batch[index] = (struct stored_entry){.term = entry.term, .value = as_value(entry.data)};
    }
}

/* The first `count` records of the write reach the disk: entries, then the hard state. */
static void store(struct member_model *member, uint64_t count) {
    uint64_t index = member->ready.first;
    for (; index <= member->ready.last && count > 0; index++, count--) {
        member->disk.entries[index] = member->batch[index];
        member->disk.last = index;
    }
    if (member->ready.has_state && index > member->ready.last && count > 0)
        member->disk.state = member->ready.state;
}

static void end_write(struct member_model *member) {
    store(member, UINT64_MAX);
    member->writing = false;
    raft_core_persisted(member->core);
}

static void crash(unsigned id) {
    struct member_model *member = &world.members[id];
    if (member->writing)
        store(member, dice(member->ready.last + 3));
    raft_core_free(member->core);
    boot(id);
}

/* --- network -------------------------------------------------------------------------------------------- */

static void lose(size_t place) {
    free(world.network[place].entries);
    free(world.network[place].values);
    world.network[place] = world.network[--world.packets];
}

static void post(struct member_model *from, const struct raft_message *message) {
    if (world.packets == NETWORK)
        lose(dice(NETWORK));
    struct packet *packet = &world.network[world.packets++];
    *packet = (struct packet){.message = *message};
    if (message->type != RAFT_APPEND)
        return;
    size_t count = (size_t)(message->last - message->log_index);
    packet->entries = must_zalloc(count * sizeof *packet->entries);
    packet->values = must_zalloc(count * sizeof *packet->values);
    for (size_t i = 0; i < count; i++) {
        struct raft_entry entry;
        /* The sender looks entries up right away: later its log may have changed. */
        assert_true(raft_log_get(raft_core_log(from->core), message->log_index + 1 + i, &entry));
        packet->values[i] = as_value(entry.data);
        entry.data = entry.data.length == 0 ? (struct bytes){0} : as_bytes(&packet->values[i]);
        packet->entries[i] = entry;
    }
    packet->message.entries = packet->entries;
    packet->message.count = count;
}

static void send_all(struct member_model *member) {
    size_t count = 0;
    const struct raft_message *messages = raft_core_messages(member->core, &count);
    for (size_t i = 0; i < count; i++)
        post(member, &messages[i]);
    raft_core_messages_clear(member->core);
}

static void deliver(size_t place) {
    struct packet *packet = &world.network[place];
    const struct member_model *from = &world.members[packet->message.from];
    struct member_model *to = &world.members[packet->message.to];
    bool again = world.hostile && dice(20) == 0;
    if (from->partition == to->partition)
        raft_core_step(to->core, &packet->message);
    if (!again)
        lose(place);
}

/* --- checks --------------------------------------------------------------------------------------------- */

static void check_leader(unsigned id) {
    const struct member_model *member = &world.members[id];
    if (raft_core_role(member->core) != CORE_LEADER)
        return;
    uint64_t term = raft_core_term(member->core);
    assert_true(term < sizeof world.leader_of / sizeof *world.leader_of);
    if (world.leader_of[term] != 0 && world.leader_of[term] != id)
        fail_msg("two leaders in term %llu", (unsigned long long)term);
    world.leader_of[term] = id;
}

static void check_quorum(uint64_t index) {
    unsigned holders = 0;
    for (unsigned id = 1; id <= world.count; id++) {
        const struct stored *disk = &world.members[id].disk;
        holders += disk->last >= index && disk->entries[index].term == world.committed[index].term;
    }
    if (holders <= world.count / 2)
        fail_msg("entry %llu is committed but durable on %u only", (unsigned long long)index, holders);
}

static void check_commit(unsigned id) {
    struct member_model *member = &world.members[id];
    uint64_t commit = raft_core_commit(member->core);
    if (commit < member->checked)
        fail_msg("member %u: commit index went back", id);
    if (dice(50) == 0)
        member->checked = 0; /* now and then all of them once more */
    for (uint64_t index = member->checked + 1; index <= commit; index++) {
        struct raft_entry entry;
        assert_true(raft_log_get(raft_core_log(member->core), index, &entry));
        struct stored_entry *known = &world.committed[index];
        if (index > world.committed_last) {
            *known = (struct stored_entry){.term = entry.term, .value = as_value(entry.data)};
            world.committed_last = index;
            check_quorum(index);
        } else if (known->term != entry.term || known->value != as_value(entry.data)) {
            fail_msg("committed entry %llu differs", (unsigned long long)index);
        }
    }
    member->checked = commit;
}

static void check_reads(struct member_model *member) {
    size_t count = 0;
    const struct raft_read_state *states = raft_core_read_states(member->core, &count);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < member->read_count; j++) {
            if (member->reads[j].context != states[i].context)
                continue;
            world.reads_confirmed++;
            if (states[i].index < member->reads[j].least)
                fail_msg("a read at %llu, though %llu were committed when it was asked",
                         (unsigned long long)states[i].index, (unsigned long long)member->reads[j].least);
        }
    }
    raft_core_read_states_clear(member->core);
}

static void check_all(void) {
    for (unsigned id = 1; id <= world.count; id++) {
        check_leader(id);
        check_commit(id);
        check_reads(&world.members[id]);
    }
}

/* --- runs ----------------------------------------------------------------------------------------------- */

static void ask_read(struct member_model *member) {
    uint64_t least = world.committed_last;
    uint64_t now = 0;
    if (raft_core_read_now(member->core, &now) && now < least)
        fail_msg("a read at once at %llu of %llu", (unsigned long long)now, (unsigned long long)least);
    uint64_t context = raft_core_read_index(member->core);
    if (context == 0)
        return;
    member->reads[member->read_count++ % READS] = (struct asked_read){.context = context, .least = least};
    if (member->read_count > READS)
        member->read_count = READS;
}

static void member_step(struct member_model *member) {
    uint64_t what = dice(100);
    if (what < 35)
        raft_core_tick(member->core);
    else if (what < 55 && !member->writing)
        begin_write(member);
    else if (what < 75 && member->writing)
        end_write(member);
    else if (what < 90 && world.value < LOG / 8) {
        uint64_t value = world.value + 1;
        if (raft_core_propose(member->core, RAFT_ENTRY_NORMAL, as_bytes(&value)) == RAFT_PROPOSED)
            world.value = value;
    } else if (what < 97)
        ask_read(member);
    else if (what < 98)
        raft_core_transfer(member->core, 1 + dice(world.count));
}

static void hostile_step(void) {
    unsigned id = 1 + (unsigned)dice(world.count);
    if (dice(1000) < world.crashes)
        crash(id);
    else if (dice(1000) < world.partitions)
        world.members[id].partition = (unsigned)dice(2);
    else if (dice(1000) < world.partitions)
        for (unsigned i = 1; i <= world.count; i++)
            world.members[i].partition = 0;
    else if (dice(1000) < world.losses && world.packets > 0)
        lose(dice(world.packets));
    else if (dice(1000) < 600 && world.packets > 0)
        deliver(dice(world.packets));
    else
        member_step(&world.members[id]);
}

/* Everything works from here on: in order, nothing lost. */
static void heal(void) {
    world.hostile = false;
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned id = 1; id <= world.count; id++) {
            struct member_model *member = &world.members[id];
            member->partition = 0;
            raft_core_tick(member->core);
            if (member->writing)
                end_write(member);
            begin_write(member);
            send_all(member);
        }
        for (unsigned hop = 0; hop < 50 && world.packets > 0; hop++) {
            while (world.packets > 0)
                deliver(0);
            for (unsigned id = 1; id <= world.count; id++) {
                struct member_model *member = &world.members[id];
                if (member->writing)
                    end_write(member);
                begin_write(member);
                send_all(member);
            }
        }
        check_all();
    }
}

static void run(unsigned count, uint64_t seed) {
    memset(&world, 0, sizeof world);
    world.count = count;
    world.random = seed;
    world.hostile = true;
    world.crashes = dice(40);
    world.partitions = dice(10);
    world.losses = dice(100);
    for (unsigned id = 1; id <= count; id++)
        boot(id);
    for (unsigned step = 0; step < STEPS; step++) {
        hostile_step();
        for (unsigned id = 1; id <= count; id++)
            send_all(&world.members[id]);
        check_all();
    }
    heal();
    unsigned leaders = 0;
    for (unsigned id = 1; id <= count; id++) {
        const struct member_model *member = &world.members[id];
        leaders += raft_core_role(member->core) == CORE_LEADER;
        if (raft_core_commit(member->core) != world.committed_last ||
            raft_core_log(member->core)->last != world.committed_last)
            fail_msg("seed %llu: member %u stands at %llu of %llu after healing", (unsigned long long)seed,
                     id, (unsigned long long)raft_core_commit(member->core),
                     (unsigned long long)world.committed_last);
    }
    if (leaders != 1)
        fail_msg("seed %llu: %u leaders after healing", (unsigned long long)seed, leaders);
    while (world.packets > 0)
        lose(0);
    for (unsigned id = 1; id <= count; id++)
        raft_core_free(world.members[id].core);
}

static void run_many(unsigned count) {
    uint64_t committed = 0;
    uint64_t reads = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(count, seed * 1000 + count);
        committed += world.committed_last;
        reads += world.reads_confirmed;
    }
    printf("%u members, %d seeds: %llu entries committed, %llu reads confirmed\n", count, SEEDS,
           (unsigned long long)committed, (unsigned long long)reads);
    assert_true(committed > SEEDS * 20 && reads > SEEDS);
}

static void one_member(void **state) {
    (void)state;
    run_many(1);
}

static void two_members(void **state) {
    (void)state;
    run_many(2);
}

static void three_members(void **state) {
    (void)state;
    run_many(3);
}

static void five_members(void **state) {
    (void)state;
    run_many(5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_member),
        cmocka_unit_test(two_members),
        cmocka_unit_test(three_members),
        cmocka_unit_test(five_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
