/*
 * compaction_scan: against the plainest possible computation, over random histories, in slices of any size
 * and with next to no room for links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "maint/compaction_scan.h"

#include "fake_checkpoint.h"

enum { SEEDS = 150, KEYS = 12, REVISIONS = 300, LIMIT = 4096 };

static uint64_t random_state;

static uint64_t draw(uint64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

/* Every change there ever was. */
struct change {
    uint8_t key;
    struct record record;
};

struct history {
    struct change changes[LIMIT];
    size_t count;
    struct record newest[KEYS];
};

static void make_history(struct history *history) {
    *history = (struct history){0};
    for (int64_t main = 2; main < REVISIONS; main++) {
        uint8_t first = (uint8_t)draw(KEYS);
        uint32_t together = (uint32_t)(draw(4) == 0 ? 1 + draw(3) : 1);
        for (uint32_t sub = 0; sub < together; sub++) {
            uint8_t key = (uint8_t)((first + sub) % KEYS);
            struct record *newest = &history->newest[key];
            struct record record = {.create = 2,
                                    .version = 1,
                                    .modified = {.main = main, .sub = sub},
                                    .previous = newest->modified,
                                    .tombstone = draw(4) == 0};
            history->changes[history->count++] = (struct change){key, record};
            *newest = record;
        }
    }
}

static bool is_link(const struct history *history, struct revision at, int64_t compacted) {
    for (size_t i = 0; i < history->count; i++) {
        const struct record *record = &history->changes[i].record;
        if (record->modified.main > compacted && revision_compare(record->previous, at) == 0)
            return true;
    }
    return false;
}

/* A store that was compacted at `physical` before: what it keeps, some of it in vain. */
static void fill(struct fake_checkpoint *fake, const struct history *history, int64_t physical) {
    for (size_t i = 0; i < history->count; i++) {
        const struct change *change = &history->changes[i];
        struct bytes key = bytes_of(&change->key, 1);
        if (change->record.modified.main >= physical)
            fake_put_log(fake, false, key, &change->record);
        else if (is_link(history, change->record.modified, physical) || draw(20) == 0)
            fake_put_log(fake, true, key, &change->record);
    }
    for (uint8_t key = 0; key < KEYS; key++) {
        const struct record *newest = &history->newest[key];
        bool dropped = newest->tombstone && newest->modified.main < physical;
        if (newest->modified.main != 0 && !dropped)
            fake_put_current(fake, bytes_of(&key, 1), newest);
    }
}

struct expected {
    struct plan_item items[2 * LIMIT];
    size_t count;
};

static void expect(struct expected *expected, enum plan_item_kind kind, const struct change *change) {
    struct bytes key = kind == PLAN_TOMBSTONE ? bytes_of(&change->key, 1) : (struct bytes){0};
    expected->items[expected->count++] =
        (struct plan_item){.kind = kind, .at = change->record.modified, .key = key};
}

static bool is_kept(struct fake_checkpoint *fake, struct revision at) {
    uint8_t key[LOG_KEY_LENGTH];
    kept_key_store(key, at);
    size_t place = fake_lower(fake, bytes_of(key, sizeof key));
    return place < fake->count && bytes_equal(fake->pairs[place].key, bytes_of(key, sizeof key));
}

static void compute(struct expected *expected, const struct history *history, struct fake_checkpoint *fake,
                    int64_t physical, int64_t compacted) {
    expected->count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct change *change = &history->changes[i];
        const struct record *record = &change->record;
        if (record->modified.main >= compacted)
            continue;
        bool linked = is_link(history, record->modified, compacted);
        bool kept = is_kept(fake, record->modified);
        if (linked && !kept)
            expect(expected, PLAN_KEEP, change);
        if (!linked && kept)
            expect(expected, PLAN_FORGET, change);
    }
    for (size_t i = 0; i < history->count; i++) {
        const struct change *change = &history->changes[i];
        const struct record *record = &change->record;
        if (record->tombstone && record->modified.main >= physical && record->modified.main < compacted &&
            revision_compare(record->modified, history->newest[change->key].modified) == 0)
            expect(expected, PLAN_TOMBSTONE, change);
    }
}

/* Both kinds of links may come in any order of their windows, each window in order: so all in order. */
static void assert_items(struct bytes rest, uint64_t count, const struct expected *expected) {
    struct plan_item item;
    assert_int_equal(count, expected->count);
    for (size_t i = 0; i < expected->count; i++) {
        assert_true(plan_item_next(&rest, &item));
        assert_int_equal(item.kind, expected->items[i].kind);
        assert_int_equal(revision_compare(item.at, expected->items[i].at), 0);
        assert_true(bytes_equal(item.key, expected->items[i].key));
    }
    assert_int_equal(rest.length, 0);
}

static void run_seed(uint64_t seed) {
    static struct history history;
    static struct expected expected;
    struct fake_checkpoint fake = {0};
    struct checkpoint_files files = fake_files(&fake);
    struct compaction_scan scan;
    struct buffer items = {0};
    uint64_t count = 0;
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    int64_t physical = draw(3) == 0 ? -1 : (int64_t)draw(REVISIONS);
    int64_t compacted = (physical < 0 ? 0 : physical) + (int64_t)draw(REVISIONS);
    make_history(&history);
    fill(&fake, &history, physical);
    compute(&expected, &history, &fake, physical < 0 ? 0 : physical, compacted);
    struct checkpoint *checkpoint = files.open(files.context, "");
    compaction_scan_begin(&scan, checkpoint, physical, compacted, 2 + draw(draw(2) == 0 ? 6 : 1000));
    for (bool complete = false; !complete;) {
        uint64_t before = count;
        unsigned most = 1 + (unsigned)draw(10);
        complete = compaction_scan_step(&scan, 1 + (unsigned)draw(50), most, &items, &count);
        assert_true(count - before <= most);
    }
    assert_items(buffer_bytes(&items), count, &expected);
    compaction_scan_free(&scan);
    checkpoint->operations->close(checkpoint);
    fake_free(&fake);
    buffer_free(&items);
}

static void test_random(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

/* Whatever entry cannot be read, the scan ends, and the checkpoint says so. */
static void test_failure(void **state) {
    static struct history history;
    (void)state;
    random_state = 99;
    make_history(&history);
    for (unsigned after = 1; after < 200; after++) {
        struct fake_checkpoint fake = {0};
        struct checkpoint_files files = fake_files(&fake);
        struct compaction_scan scan;
        struct buffer items = {0};
        uint64_t count = 0;
        fill(&fake, &history, 50);
        struct checkpoint *checkpoint = files.open(files.context, "");
        fake.fail_after = after;
        compaction_scan_begin(&scan, checkpoint, 50, 150, 10);
        while (!compaction_scan_step(&scan, 7, 5, &items, &count))
            ;
        assert_true(checkpoint->failed);
        compaction_scan_free(&scan);
        checkpoint->operations->close(checkpoint);
        fake_free(&fake);
        buffer_free(&items);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
