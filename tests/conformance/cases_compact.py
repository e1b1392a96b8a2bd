"""Compact: etcd-api.md 1.5. What it means to watches: cases_watch_past.py."""

from harness.api import COMPACT, Compaction, Delete, Put, Range
from cases import case
from cases_range import ALL_KEYS, COMPACTED, FUTURE, fill


@case("compact: at 0 on a new store, and again", initial=True)
def _(c):
    c.either(Compaction(revision=-1))
    c.either(Compaction(revision=0))
    c.either(Compaction(revision=0))
    c.either(Compaction(revision=1))
    c.either(Compaction(revision=1))
    c.either(Range(key=b"a", revision=1))


@case("compact: answers the current revision")
def _(c):
    fill(c)
    c.check(c.compact(c.base + 3).header.revision == c.base + 5, "current")


@case("compact: at or below the compacted revision is refused")
def _(c):
    fill(c)
    c.compact(c.base + 3)
    for revision in (c.base + 3, c.base + 2, 1, 0, -1):
        c.refused(Compaction(revision=revision), *COMPACTED)
        c.refused(Compaction(revision=revision, physical=True), *COMPACTED)


@case("compact: above the current revision is refused")
def _(c):
    fill(c)
    c.refused(Compaction(revision=c.base + 6), *FUTURE)
    c.refused(Compaction(revision=2 ** 63 - 1, physical=True), *FUTURE)


@case("compact: at the current revision")
def _(c):
    fill(c)
    c.delete(b"a")
    c.compact(c.base + 6)
    c.check(c.range(*ALL_KEYS).count == 4, "what lives stays")
    c.range(*ALL_KEYS, revision=c.base + 6)
    c.put(b"a", b"again")
    c.range(*ALL_KEYS, revision=c.base + 6)
    c.refused(Range(key=b"a", revision=c.base + 5), *COMPACTED)


@case("compact: physical answers when it is done")
def _(c):
    fill(c)
    c.put(b"a", b"2")
    c.compact(c.base + 6, physical=True)
    c.range(*ALL_KEYS, revision=c.base + 6)
    c.check(c.range(b"a").kvs[0].version == 2, "versions survive")


@case("compact: keys keep version and creation across it")
def _(c):
    for _ in range(4):
        c.put(b"k", b"x")
    c.compact(c.base + 4)
    c.put(b"k", b"y")
    kv = c.range(b"k").kvs[0]
    c.check((kv.version, kv.create_revision) == (5, c.base + 1), "as if nothing had happened")
    c.check(c.range(b"k", revision=c.base + 4).kvs[0].version == 4, "also at the compaction")


@case("compact: a key deleted before it")
def _(c):
    c.put(b"k", b"1")
    c.delete(b"k")
    c.put(b"other", b"1")
    c.compact(c.base + 2)
    c.check(c.range(b"k", revision=c.base + 2).count == 0, "gone at the compaction")
    c.compact(c.base + 3)
    c.put(b"k", b"2")
    c.check(c.range(b"k").kvs[0].version == 1, "a new key")


@case("compact: several, with reads between")
def _(c):
    for index in range(12):
        c.put(b"k%d" % (index % 3), b"%d" % index)
        if index % 4 == 3:
            c.delete(b"k1")
    for revision in (c.base + 2, c.base + 5, c.base + 9, c.base + 15):
        c.compact(revision)
        for at in range(revision, c.base + 16):
            c.range(*ALL_KEYS, revision=at)
        c.refused(Range(key=b"k0", revision=revision - 1), *COMPACTED)


@case("compact: a txn is one revision, compacted whole or not at all")
def _(c):
    c.put(b"a", b"1")
    c.txn(success=[Put(key=b"a", value=b"2"), Put(key=b"b", value=b"1"), Delete(key=b"c", range_end=b"d")])
    c.txn(success=[Delete(key=b"a"), Put(key=b"b", value=b"2")])
    for revision in (c.base + 1, c.base + 2, c.base + 3):
        c.compact(revision, physical=True)
        for at in range(revision, c.base + 4):
            c.range(*ALL_KEYS, revision=at)
    c.put(b"a", b"again")
    c.check(c.range(b"a").kvs[0].version == 1, "a new key")


@case("compact: two of the same revision at once: one of them")
def _(c):
    for index in range(20):
        c.put(b"k", b"%d" % index)
    for revision in (c.base + 5, c.base + 15):
        body = Compaction(revision=revision).SerializeToString()
        for server in (c.pair.reference, c.pair.subject):
            calls = [server.start(COMPACT, body) for _ in range(4)]
            answers = sorted((server.finish(COMPACT, call) for call in calls), key=lambda answer: answer.code)
            c.check([answer.code for answer in answers] == [0, 11, 11, 11], "done once")
            c.check({answer.text for answer in answers[1:]} == {COMPACTED[1]}, "refused the other times")
    c.range(*ALL_KEYS, revision=c.base + 15)


@case("compact: thousands of revisions, physically, with what survives read at every step")
def _(c):
    for index in range(600):
        c.put(b"k%02d" % (index % 40), b"%d" % index)
        if index % 50 == 49:
            c.delete(b"k1", b"k2")
    for share in range(1, 7):
        revision = c.base + 100 * share
        c.compact(revision, physical=True)
        c.range(*ALL_KEYS, revision=revision)
        c.range(*ALL_KEYS, revision=revision + 5)
        c.range(*ALL_KEYS)
        c.refused(Range(key=b"k00", revision=revision - 1), *COMPACTED)


@case("compact: keys that live and die around it")
def _(c):
    for round_ in range(5):
        for key in (b"a", b"b", b"c"):
            c.put(key, b"%d" % round_)
        c.delete(b"b")
        c.delete(b"c" if round_ % 2 else b"a")
    for revision in range(c.base + 1, c.base + 26):
        c.compact(revision, physical=revision % 3 == 0)
        c.range(*ALL_KEYS, revision=revision)
        c.range(*ALL_KEYS)
