/* raft_core with one member: founding, leading, commit only when durable, reads, restart, order of persists.
 */
#include "raft/core/raft_core.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#define ID UINT64_C(0xabc)

static struct raft_core *make(void) {
    struct raft_core *core = raft_core_new(&(struct raft_core_options){.id = ID,
                                                                       .election_ticks = 10,
                                                                       .heartbeat_ticks = 1,
                                                                       .pre_vote = true,
                                                                       .seed = 1,
                                                                       .cache_bytes = 1 << 20});
    return core;
}

static void set_alone(struct raft_core *core) {
    raft_core_set_peers(core, &(struct raft_peer){.id = ID}, 1);
}

static struct raft_ready take(struct raft_core *core) {
    struct raft_ready ready;
    assert_true(raft_core_take(core, &ready));
    return ready;
}

static void assert_nothing_to_take(struct raft_core *core) {
    struct raft_ready ready;
    assert_false(raft_core_take(core, &ready));
}

/* A founded core that leads in term 2, its empty entry (index 2) committed. */
static struct raft_core *leading(void) {
    struct raft_core *core = make();
    struct bytes change = bytes_from_text("change");
    raft_core_bootstrap(core, &change, 1);
    set_alone(core);
    raft_core_start(core);
    while (raft_core_take(core, &(struct raft_ready){0}))
        raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 2);
    return core;
}

static void founds_and_leads_only_with_a_durable_vote(void **state) {
    (void)state;
    struct raft_core *core = make();
    struct bytes change = bytes_from_text("change");
    uint64_t index = 0;
    raft_core_bootstrap(core, &change, 1);
    set_alone(core);
    raft_core_start(core);
    assert_int_equal(raft_core_role(core), CORE_CANDIDATE);
    assert_int_equal(raft_core_leader(core), 0);

    struct raft_ready ready = take(core);
    assert_int_equal(ready.first, 1);
    assert_int_equal(ready.last, 1);
    assert_true(ready.has_state);
    assert_int_equal(ready.state.term, 2);
    assert_int_equal(ready.state.vote, ID);
    assert_int_equal(ready.state.commit, 1);
    assert_int_equal(raft_core_role(core), CORE_CANDIDATE);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_NORMAL, change), RAFT_NOT_LEADER);
    assert_nothing_to_take(core); /* one at a time */

    raft_core_persisted(core);
    assert_int_equal(raft_core_role(core), CORE_LEADER);
    assert_int_equal(raft_core_leader(core), ID);
    assert_int_equal(raft_core_durable(core), 1);
    assert_int_equal(raft_core_commit(core), 1);
    assert_false(raft_core_read_now(core, &index));

    ready = take(core); /* the empty entry of its term */
    assert_int_equal(ready.first, 2);
    assert_int_equal(ready.last, 2);
    struct raft_entry entry;
    assert_true(raft_log_get(raft_core_log(core), 2, &entry));
    assert_int_equal(entry.term, 2);
    assert_int_equal(entry.data.length, 0);
    raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 2);
    assert_true(raft_core_read_now(core, &index));
    assert_int_equal(index, 2);
    assert_nothing_to_take(core); /* a commit index alone is worth no sync */
    raft_core_free(core);
}

static void commits_only_what_is_durable(void **state) {
    (void)state;
    struct raft_core *core = leading();
    struct bytes data = bytes_from_text("x");
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_NORMAL, data), RAFT_PROPOSED);
    struct raft_ready ready = take(core);
    assert_int_equal(ready.first, 3);
    assert_int_equal(ready.last, 3);
    assert_true(ready.has_state); /* the commit index goes along */
    assert_int_equal(ready.state.commit, 2);
    /* What comes during the sync is the next batch, and not committed with this one. */
    for (unsigned i = 0; i < 5; i++)
        raft_core_propose(core, RAFT_ENTRY_NORMAL, data);
    assert_int_equal(raft_core_commit(core), 2);
    raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 3);
    assert_int_equal(raft_core_durable(core), 3);
    ready = take(core);
    assert_int_equal(ready.first, 4);
    assert_int_equal(ready.last, 8);
    assert_int_equal(raft_core_commit(core), 3);
    raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 8);
    raft_core_free(core);
}

static void a_read_waits_for_the_first_commit_of_the_term(void **state) {
    (void)state;
    struct raft_core *core = make();
    struct raft_log *log = raft_core_loading_log(core);
    size_t count = 0;
    raft_log_append(log, 1, 1, bytes_from_text("change"));
    raft_log_append(log, 2, 0, (struct bytes){0});
    raft_log_append(log, 2, 0, bytes_from_text("written, its commit not recorded"));
    raft_core_load_state(core, &(struct raft_hard_state){.term = 2, .vote = ID, .commit = 1});
    set_alone(core);
    raft_core_start(core);
    assert_int_equal(raft_core_read_index(core), 0); /* no leader yet */
    take(core);
    raft_core_persisted(core);
    assert_int_equal(raft_core_role(core), CORE_LEADER);
    assert_int_equal(raft_core_term(core), 3);
    /* Entries 2 and 3 are durable on a quorum, but not of this term: counting does not commit them (5.4.2).
     */
    assert_int_equal(raft_core_commit(core), 1);
    uint64_t context = raft_core_read_index(core);
    assert_true(context != 0);
    raft_core_read_states(core, &count);
    assert_int_equal(count, 0);
    take(core);
    raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 4);
    const struct raft_read_state *read = raft_core_read_states(core, &count);
    assert_int_equal(count, 1);
    assert_int_equal(read[0].context, context);
    assert_int_equal(read[0].index, 4);
    raft_core_read_states_clear(core);
    /* From now on at once. */
    raft_core_read_index(core);
    raft_core_read_states(core, &count);
    assert_int_equal(count, 1);
    raft_core_free(core);
}

static void restarts_in_a_new_term_with_what_it_had(void **state) {
    (void)state;
    struct raft_core *core = make();
    struct raft_log *log = raft_core_loading_log(core);
    raft_log_reset(log, 10, 3); /* released up to 10 */
    raft_log_append(log, 3, 0, bytes_from_text("a"));
    raft_log_append(log, 5, 0, bytes_from_text("b"));
    raft_core_load_state(core, &(struct raft_hard_state){.term = 5, .vote = ID, .commit = 7});
    set_alone(core);
    raft_core_start(core);
    assert_int_equal(raft_core_commit(core), 10); /* what was released was committed */
    struct raft_ready ready = take(core);
    assert_true(ready.first > ready.last); /* what was loaded is durable */
    assert_int_equal(ready.state.term, 6);
    raft_core_persisted(core);
    ready = take(core);
    assert_int_equal(ready.first, 13);
    raft_core_persisted(core);
    assert_int_equal(raft_core_commit(core), 13);
    raft_core_release(core, 12);
    assert_int_equal(raft_core_log(core)->base_index, 12);
    assert_int_equal(raft_core_log(core)->base_term, 5);
    raft_core_free(core);
}

static void leads_on_without_anyone_to_ask(void **state) {
    (void)state;
    struct raft_core *core = leading();
    for (unsigned i = 0; i < 100; i++)
        raft_core_tick(core);
    assert_int_equal(raft_core_role(core), CORE_LEADER);
    assert_int_equal(raft_core_term(core), 2);
    size_t count = 0;
    raft_core_messages(core, &count);
    assert_int_equal(count, 0);
    assert_nothing_to_take(core);
    raft_core_free(core);
}

static void one_membership_change_at_a_time(void **state) {
    (void)state;
    struct raft_core *core = leading();
    struct bytes change = bytes_from_text("change");
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_CONF_CHANGE, change), RAFT_PROPOSED);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_CONF_CHANGE, change), RAFT_CHANGE_PENDING);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_NORMAL, change), RAFT_PROPOSED);
    take(core);
    raft_core_persisted(core);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_CONF_CHANGE, change), RAFT_PROPOSED);
    raft_core_free(core);
}

static void a_change_right_after_election_waits_for_a_commit_of_the_term(void **state) {
    (void)state;
    struct raft_core *core = make();
    struct bytes change = bytes_from_text("change");
    raft_core_bootstrap(core, &change, 1);
    set_alone(core);
    raft_core_start(core);
    take(core);
    raft_core_persisted(core);
    assert_int_equal(raft_core_role(core), CORE_LEADER);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_CONF_CHANGE, change), RAFT_CHANGE_PENDING);
    take(core);
    raft_core_persisted(core);
    assert_int_equal(raft_core_propose(core, RAFT_ENTRY_CONF_CHANGE, change), RAFT_PROPOSED);
    raft_core_free(core);
}

static void who_is_no_voter_never_campaigns(void **state) {
    (void)state;
    struct raft_core *core = make();
    raft_core_set_peers(core, (struct raft_peer[]){{.id = ID, .learner = true}, {.id = 5}}, 2);
    raft_core_start(core);
    for (unsigned i = 0; i < 100; i++)
        raft_core_tick(core);
    raft_core_campaign(core);
    assert_int_equal(raft_core_role(core), CORE_FOLLOWER);
    assert_int_equal(raft_core_term(core), 0);
    raft_core_free(core);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(founds_and_leads_only_with_a_durable_vote),
        cmocka_unit_test(commits_only_what_is_durable),
        cmocka_unit_test(a_read_waits_for_the_first_commit_of_the_term),
        cmocka_unit_test(restarts_in_a_new_term_with_what_it_had),
        cmocka_unit_test(leads_on_without_anyone_to_ask),
        cmocka_unit_test(one_membership_change_at_a_time),
        cmocka_unit_test(a_change_right_after_election_waits_for_a_commit_of_the_term),
        cmocka_unit_test(who_is_no_voter_never_campaigns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
