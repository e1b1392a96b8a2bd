"""Range: etcd-api.md 1.3."""

from harness.api import RANGE, Range
from cases import case

EMPTY_KEY = (3, "etcdserver: key is not provided")
COMPACTED = (11, "etcdserver: mvcc: required revision has been compacted")
FUTURE = (11, "etcdserver: mvcc: required revision is a future revision")
ALL_KEYS = (b"\0", b"\0")


def fill(c, keys=b"abcde"):
    """One key a letter, value v<letter>, in revisions base+1, base+2, ..."""
    for letter in keys:
        c.put(bytes([letter]), b"v" + bytes([letter]))


@case("range: an empty key is refused")
def _(c):
    c.refused(Range(), *EMPTY_KEY)
    c.refused(Range(range_end=b"z"), *EMPTY_KEY)
    c.refused(Range(range_end=b"\0", serializable=True), *EMPTY_KEY)


@case("range: without range_end it is one key")
def _(c):
    fill(c)
    c.put(b"a/x", b"1")
    c.check(c.keys(c.range(b"a")) == [b"a"], "only the key itself")
    c.check(c.range(b"missing").count == 0, "a missing key counts 0")


@case("range: [key, range_end) excludes range_end")
def _(c):
    fill(c)
    answer = c.range(b"b", b"d")
    c.check(c.keys(answer) == [b"b", b"c"] and answer.count == 2, "b and c")


@case("range: range_end of one zero byte means from key on")
def _(c):
    fill(c)
    c.put(b"\xff\xff", b"last")
    c.check(c.keys(c.range(b"d", b"\0")) == [b"d", b"e", b"\xff\xff"], "d and all after it")


@case("range: key and range_end of one zero byte mean the whole store")
def _(c):
    fill(c)
    c.put(b"\0", b"lowest")
    c.put(b"\0\0", b"second")
    c.check(c.keys(c.range(*ALL_KEYS))[:3] == [b"\0", b"\0\0", b"a"], "everything in order")


@case("range: the zero byte alone, as a key")
def _(c):
    c.put(b"\0", b"zero")
    c.check(c.range(b"\0").count == 1, "a single key without range_end")
    c.range(b"\0", b"\0\0")
    c.range(b"\0", b"\x01")


@case("range: range_end not above key is empty, not an error")
def _(c):
    fill(c)
    for key, end in ((b"d", b"b"), (b"c", b"c"), (b"c", b"\0\0"), (b"zz", b"a")):
        answer = c.range(key, end)
        c.check(answer.count == 0 and not answer.kvs and not answer.more, "nothing")


@case("range: prefix interval with bytes of 0xff")
def _(c):
    for key in (b"\xfe", b"\xff", b"\xff\0", b"\xff\xff", b"\xff\xff\xff"):
        c.put(key, b"x")
    c.range(b"\xff", b"\xff\xff")
    c.range(b"\xff", b"\0")
    c.range(b"\xfe", b"\xff")


@case("range: count ignores limit")
def _(c):
    fill(c)
    answer = c.range(*ALL_KEYS, limit=2)
    c.check(answer.count == 5 and len(answer.kvs) == 2 and answer.more, "2 of 5 and more")


@case("range: more is false when the limit is not exceeded")
def _(c):
    fill(c)
    for limit in (5, 6, 1000):
        c.check(not c.range(*ALL_KEYS, limit=limit).more, "all were returned")
    c.check(c.range(*ALL_KEYS, limit=4).more, "one is left")
    c.check(not c.range(b"a", limit=1).more, "a single key")


@case("range: a limit of 0 or below is none")
def _(c):
    fill(c)
    for limit in (0, -1, -(2 ** 63)):
        answer = c.range(*ALL_KEYS, limit=limit)
        c.check(len(answer.kvs) == 5 and not answer.more, "all")
    c.range(*ALL_KEYS, limit=2 ** 63 - 1)


@case("range: count ignores the revision filters")
def _(c):
    fill(c)
    answer = c.range(*ALL_KEYS, min_mod_revision=c.base + 3, limit=1)
    c.check(answer.count == 5 and len(answer.kvs) == 1 and answer.more, "count 5, one of three, more")


@case("range: more is told after filtering")
def _(c):
    fill(c)
    c.check(not c.range(*ALL_KEYS, min_mod_revision=c.base + 4, limit=2).more, "two match, two returned")
    c.check(c.range(*ALL_KEYS, min_mod_revision=c.base + 3, limit=2).more, "three match")
    c.check(not c.range(*ALL_KEYS, max_mod_revision=c.base + 1, limit=1).more, "one matches")


@case("range: min and max mod revision are inclusive, 0 is off")
def _(c):
    fill(c)
    c.put(b"a", b"again")
    b = c.base
    c.check(c.keys(c.range(*ALL_KEYS, min_mod_revision=b + 4)) == [b"a", b"d", b"e"], "a was modified last")
    c.check(c.keys(c.range(*ALL_KEYS, max_mod_revision=b + 3)) == [b"b", b"c"], "up to c")
    c.check(c.keys(c.range(*ALL_KEYS, min_mod_revision=b + 3, max_mod_revision=b + 3)) == [b"c"], "exactly c")
    c.check(not c.range(*ALL_KEYS, min_mod_revision=b + 4, max_mod_revision=b + 3).kvs, "nothing between")
    c.range(*ALL_KEYS, min_mod_revision=-1)
    c.range(*ALL_KEYS, max_mod_revision=-1)


@case("range: min and max create revision are inclusive")
def _(c):
    fill(c)
    c.put(b"a", b"again")
    c.delete(b"b")
    c.put(b"b", b"reborn")
    b = c.base
    c.check(c.keys(c.range(*ALL_KEYS, min_create_revision=b + 4)) == [b"b", b"d", b"e"], "b was created anew")
    c.check(c.keys(c.range(*ALL_KEYS, max_create_revision=b + 3)) == [b"a", b"c"], "a keeps its creation")
    c.range(*ALL_KEYS, min_create_revision=b + 2, max_create_revision=b + 4, min_mod_revision=b + 4)
    c.range(*ALL_KEYS, min_create_revision=-5, max_create_revision=-5)


@case("range: filters apply before sort and limit")
def _(c):
    fill(c)
    answer = c.range(*ALL_KEYS, max_mod_revision=c.base + 4, sort_order=Range.DESCEND, limit=2)
    c.check(c.keys(answer) == [b"d", b"c"] and answer.more, "d and c")


@case("range: filters on a single key")
def _(c):
    fill(c)
    answer = c.range(b"b", max_mod_revision=c.base + 1)
    c.check(answer.count == 1 and not answer.kvs, "counted, not returned")


@case("range: sorted by each target, both ways and none")
def _(c):
    for key, value, times in ((b"a", b"z", 3), (b"b", b"y", 1), (b"c", b"x", 2), (b"d", b"w", 4)):
        for _ in range(times):
            c.put(key, value)
    c.put(b"a", b"q")
    for target in (Range.KEY, Range.VERSION, Range.CREATE, Range.MOD, Range.VALUE):
        for order in (Range.NONE, Range.ASCEND, Range.DESCEND):
            for limit in (0, 1, 2, 4):
                c.range(*ALL_KEYS, sort_target=target, sort_order=order, limit=limit)


@case("range: a target other than KEY without an order is ascending")
def _(c):
    c.put(b"a", b"2")
    c.put(b"b", b"1")
    c.check(c.keys(c.range(*ALL_KEYS, sort_target=Range.VALUE)) == [b"b", b"a"], "by value")
    c.check(c.keys(c.range(*ALL_KEYS, sort_target=Range.MOD)) == [b"a", b"b"], "by mod revision")


@case("range: sorting takes the whole interval before the limit")
def _(c):
    fill(c, b"edcba")
    oldest = c.range(*ALL_KEYS, sort_target=Range.MOD, sort_order=Range.ASCEND, limit=2)
    c.check(c.keys(oldest) == [b"e", b"d"], "the oldest two")
    c.check(c.keys(c.range(*ALL_KEYS, sort_order=Range.DESCEND, limit=2)) == [b"e", b"d"], "the last two")


@case("range: with a limit and no order, a target other than KEY sorts only what the limit let through")
def _(c):
    fill(c, b"edcba")
    answer = c.range(*ALL_KEYS, sort_target=Range.MOD, limit=2)
    c.check(c.keys(answer) == [b"c", b"b"] and answer.more, "a, b, c were read, sorted, and cut")
    for limit in range(1, 6):
        c.range(*ALL_KEYS, sort_target=Range.MOD, limit=limit)
        c.range(*ALL_KEYS, sort_target=Range.CREATE, limit=limit, min_mod_revision=c.base + 2)


@case("range: sorted by value with keys_only")
def _(c):
    c.put(b"a", b"2")
    c.put(b"b", b"1")
    c.put(b"c", b"3")
    answer = c.range(*ALL_KEYS, sort_target=Range.VALUE, sort_order=Range.DESCEND, keys_only=True)
    c.check(c.keys(answer) == [b"c", b"a", b"b"], "values decide, though they are not returned")
    c.check(all(not kv.value for kv in answer.kvs), "no values")


@case("range: an order or target out of range is refused (3.6)")
def _(c):
    c.put(b"a", b"1")
    for options in ({"sort_target": 9}, {"sort_order": 9}, {"sort_target": -1}, {"sort_order": 3, "sort_target": 5}):
        c.subject_refuses(RANGE, Range(key=b"a", **options), 3, "etcdserver: invalid sort option")


@case("range: keys_only keeps everything but the value")
def _(c):
    fill(c)
    c.put(b"a", b"more")
    answer = c.range(*ALL_KEYS, keys_only=True)
    c.check(answer.kvs[0].version == 2 and answer.count == 5 and not answer.kvs[0].value, "version without value")
    c.range(b"a", keys_only=True)
    c.range(*ALL_KEYS, keys_only=True, limit=2)


@case("range: count_only counts and returns nothing")
def _(c):
    fill(c)
    for options in ({}, {"limit": 2}, {"keys_only": True}, {"min_mod_revision": c.base + 3},
                    {"sort_order": Range.DESCEND}, {"revision": c.base + 2}):
        c.check(not c.range(*ALL_KEYS, count_only=True, **options).kvs, "no keys")
    c.check(c.range(*ALL_KEYS, count_only=True).count == 5, "five")
    c.check(c.range(b"a", count_only=True).count == 1, "one")
    c.range(b"nothing", count_only=True)
    c.range(b"z", b"a", count_only=True)


@case("range: at an earlier revision")
def _(c):
    c.put(b"k", b"1")
    c.put(b"k", b"2")
    c.delete(b"k")
    c.put(b"k", b"3")
    values = [[kv.value for kv in c.range(b"k", revision=c.base + i).kvs] for i in range(1, 5)]
    c.check(values == [[b"1"], [b"2"], [], [b"3"]], "each value at its revision")


@case("range: the header names the current revision, not the one asked for")
def _(c):
    fill(c)
    c.check(c.range(b"a", revision=c.base + 1).header.revision == c.base + 5, "current")


@case("range: an interval at an earlier revision")
def _(c):
    fill(c)
    c.delete(b"b", b"d")
    c.put(b"a", b"new")
    for revision in range(c.base, c.base + 8):
        c.range(*ALL_KEYS, revision=revision)
        c.range(*ALL_KEYS, revision=revision, limit=2)
        c.range(*ALL_KEYS, revision=revision, sort_order=Range.DESCEND, keys_only=True)
        c.range(*ALL_KEYS, revision=revision, count_only=True)


@case("range: a revision of 0 or below is the latest")
def _(c):
    fill(c)
    for revision in (0, -1, -(2 ** 63)):
        c.check(c.range(*ALL_KEYS, revision=revision).count == 5, "all")


@case("range: a future revision is refused")
def _(c):
    fill(c)
    c.refused(Range(key=b"a", revision=c.base + 6), *FUTURE)
    c.refused(Range(key=b"a", range_end=b"\0", revision=2 ** 63 - 1, serializable=True), *FUTURE)
    c.refused(Range(key=b"a", revision=c.base + 6, count_only=True), *FUTURE)
    c.check(c.range(b"a", revision=c.base + 5).count == 1, "the current one is not in the future")


@case("range: a compacted revision is refused, the compaction's own is readable")
def _(c):
    fill(c)
    c.put(b"a", b"second")
    c.compact(c.base + 3)
    c.refused(Range(key=b"a", revision=c.base + 2), *COMPACTED)
    c.refused(Range(key=b"a", revision=1), *COMPACTED)
    c.refused(Range(key=b"nothing", revision=c.base + 2, count_only=True, serializable=True), *COMPACTED)
    c.check(c.range(b"a", revision=c.base + 3).kvs[0].value == b"va", "as it was at the compaction")
    c.check(c.range(*ALL_KEYS, revision=c.base + 3).count == 3, "a, b, c")


@case("range: an empty key is refused before the revision is looked at")
def _(c):
    c.refused(Range(revision=c.base + 100), *EMPTY_KEY)


@case("range: serializable gives the same answer on one node")
def _(c):
    fill(c)
    c.range(*ALL_KEYS, serializable=True)
    c.range(b"a", serializable=True, revision=c.base + 1)
    c.range(*ALL_KEYS, serializable=True, limit=1, sort_order=Range.DESCEND)


@case("range: all options at once")
def _(c):
    fill(c)
    c.put(b"c", b"other")
    c.range(b"a", b"e", revision=c.base + 5, limit=2, sort_order=Range.DESCEND, sort_target=Range.CREATE,
            serializable=True, keys_only=True, min_mod_revision=c.base + 2, max_mod_revision=c.base + 4,
            min_create_revision=c.base + 1, max_create_revision=c.base + 3)


@case("range: long, binary and nearly equal keys")
def _(c):
    keys = [b"k", b"k\0", b"k\0\0", b"k\x01", b"k" * 300, b"\x80", b"\xc3\x28", b"k\xff"]
    for key in keys:
        c.put(key, key)
    for key in keys:
        c.check(c.range(key).kvs[0].value == key, "itself")
    c.range(b"k", b"k\0")
    c.range(b"k", b"k\x01")
    c.range(*ALL_KEYS)


@case("range: a big answer in one message")
def _(c):
    for index in range(40):
        c.put(b"big/%02d" % index, b"%02d" % index * 50000)
    c.check(len(c.range(b"big/", b"big0").kvs) == 40, "4 MB in one answer")
    c.range(b"big/", b"big0", limit=15, sort_order=Range.DESCEND)


@case("range: many keys, pages by the last key")
def _(c):
    for index in range(300):
        c.put(b"p/%03d" % index, b"x")
    key, seen = b"p/", 0
    while True:
        answer = c.range(key, b"p0", limit=70)
        seen += len(answer.kvs)
        if not answer.more:
            break
        key = answer.kvs[-1].key + b"\0"
    c.check(seen == 300, "every key once")


@case("range: versions, creations and values of a key with a past")
def _(c):
    for _ in range(3):
        c.put(b"k", b"x")
        c.put(b"k", b"y")
        c.delete(b"k")
    c.put(b"k", b"z")
    for revision in range(c.base + 1, c.base + 11):
        c.range(b"k", revision=revision)
    c.check(c.range(b"k").kvs[0].version == 1, "reborn")


@case("range: the whole store when it is empty")
def _(c):
    c.check(c.range(*ALL_KEYS).header.revision == c.base, "empty, at the current revision")
    c.range(*ALL_KEYS, count_only=True)
    c.either(Range(key=b"a", revision=c.base))
