"""Watch and history: start revisions, catching up, compaction: etcd-api.md 1.5, 1.6 and 6.6."""

from harness.api import Compaction, Delete, Put
from harness.watch_messages import NODELETE, NOPUT
from cases import case, txn
from cases_range import ALL_KEYS, COMPACTED, fill
from cases_watch import DUPLICATE_ID, keys_of, refused
from cases_watch_events import DELETE, PUT, kinds_of

NEGATIVE_START = "etcdserver: mvcc: required revision has been compacted"


def history(c):
    """Ten revisions of three keys: base+1 to base+10. Returns [(revision, key, deleted)]."""
    events = []
    for index, (key, deleted) in enumerate(((b"a", 0), (b"b", 0), (b"a", 0), (b"a", 1), (b"c", 0), (b"b", 0),
                                            (b"a", 0), (b"b", 1), (b"c", 0), (b"a", 0))):
        if deleted:
            c.delete(key)
        else:
            c.put(key, b"%d" % index)
        events.append((c.base + 1 + index, key, bool(deleted)))
    return events


def ended(c, watch, watch_id, compacted):
    """The watch ends because what it should begin with is compacted."""
    end = watch.response(watch_id)
    c.check(end.canceled and end.compact_revision == compacted and not end.cancel_reason, "canceled, with a revision")
    c.check(not end.events and not end.header.revision, "no events, no revision in the header")


# --- where a watch starts ---


@case("watch start: 0 is what comes next, not what was")
def _(c):
    c.put(b"k", b"past")
    watch = c.watching(b"k")
    c.put(b"k", b"future")
    c.check(watch.response(0).events[0].kv.value == b"future", "the next")


@case("watch start: at each revision of the past, of the present and of the near future")
def _(c):
    events = history(c)
    watch = c.watch()
    starts = range(c.base + 1, c.base + 14)
    for start in starts:
        c.check(watch.create(*ALL_KEYS, start_revision=start).header.revision == c.base + 10, "created now")
    for index in range(4):
        c.put(b"late", b"%d" % index)
        events.append((c.base + 11 + index, b"late", False))
    for watch_id, start in enumerate(starts):
        expected = [one for one in events if one[0] >= start]
        got = [(event.kv.mod_revision, event.kv.key, event.type == DELETE)
               for event in watch.events(watch_id, len(expected))]
        c.check(got == expected, f"from {start} on")


@case("watch start: the past of one key, of a range, with filters")
def _(c):
    events = history(c)
    watch = c.watch()
    choices = [(key, end, start, filters) for key, end in ((b"a", b""), (b"b", b""), (b"a", b"c"), (b"b", b"\0"))
               for start in (1, 4, 8) for filters in ((), (NOPUT,), (NODELETE,))]
    for key, end, start, filters in choices:
        watch.create(key, end, start_revision=c.base + start, filters=filters)
    for watch_id, (key, end, start, filters) in enumerate(choices):
        expected = [(revision, DELETE if deleted else PUT) for revision, name, deleted in events
                    if revision >= c.base + start and (deleted and NODELETE not in filters or
                                                       not deleted and NOPUT not in filters) and
                    (name == key or end == b"\0" and name >= key or key <= name < end)]
        got = watch.events(watch_id, len(expected))
        c.check([(event.kv.mod_revision, event.type) for event in got] == expected, f"watch {watch_id}")


@case("watch start: the past holds what keys were then, with versions and creation")
def _(c):
    c.put(b"k", b"1")
    c.put(b"k", b"2")
    c.delete(b"k")
    c.put(b"k", b"3")
    watch = c.watching(b"k", start_revision=c.base + 1)
    first, second, deleted, again = watch.events(0, 4)
    c.check((first.kv.value, first.kv.version) == (b"1", 1), "first")
    c.check((second.kv.value, second.kv.version, second.kv.create_revision) == (b"2", 2, c.base + 1), "second")
    c.check(deleted.type == DELETE and deleted.kv.mod_revision == c.base + 3 and not deleted.kv.value, "deleted")
    c.check((again.kv.version, again.kv.create_revision) == (1, c.base + 4), "a new key")


@case("watch start: the past with prev_kv")
def _(c):
    history(c)
    watch = c.watching(*ALL_KEYS, start_revision=c.base + 1, prev_kv=True)
    values = [event.prev_kv.value for event in watch.events(0, 10)]
    c.check(values == [b"", b"", b"0", b"2", b"", b"1", b"", b"5", b"4", b"6"], "what each replaced")


@case("watch start: a txn of the past: all its events, in order, in one response")
def _(c):
    c.put(b"e")
    c.txn(success=[Put(key=b"z"), Delete(key=b"e"), Put(key=b"a"), txn(success=[Put(key=b"m")])])
    c.delete(b"a", b"\0")
    watch = c.watching(*ALL_KEYS, start_revision=c.base + 2)
    events = watch.events(0, 7)
    c.check(keys_of(events) == [b"z", b"e", b"a", b"m", b"a", b"m", b"z"], "in order")


@case("watch start: from the past into the present without a gap")
def _(c):
    for index in range(50):
        c.put(b"k%d" % (index % 7), b"%d" % index)
    watch = c.watch()
    for start in (1, 10, 25, 50):
        watch.create(b"k", b"l", start_revision=c.base + start)
    for index in range(50, 100):
        c.put(b"k%d" % (index % 7), b"%d" % index)
    for watch_id, start in enumerate((1, 10, 25, 50)):
        events = watch.events(watch_id, 101 - start)
        c.check([event.kv.mod_revision for event in events] == list(range(c.base + start, c.base + 101)), "each once")


@case("watch start: 1,300 revisions of the past")
def _(c):
    for index in range(1300):
        c.put(b"k%d" % (index % 3), b"%d" % index)
    watch = c.watching(b"k", b"l", start_revision=c.base + 1)
    watch.create(b"k1", start_revision=c.base + 1, prev_kv=True)
    events = watch.events(0, 1300)
    c.check([event.kv.mod_revision for event in events] == list(range(c.base + 1, c.base + 1301)), "each once")
    watch.events(1, 433)


@case("watch start: a large past, fragmented and not")
def _(c):
    for index in range(8):
        c.put(b"k%d" % (index % 2), b"%d" % index * 500000)
    c.delete(b"k", b"l")
    watch = c.watching(b"k", b"l", start_revision=c.base + 1, fragment=True, prev_kv=True)
    watch.create(b"k", b"l", start_revision=c.base + 1, prev_kv=True)
    for watch_id in (0, 1):
        watch.events(watch_id, 10)


@case("watch start: in the future: nothing before it")
def _(c):
    watch = c.watching(b"k", start_revision=c.base + 4)
    watch.create(b"k", b"l", start_revision=c.base + 2, prev_kv=True)
    for index in range(5):
        c.put(b"k", b"%d" % index)
    c.check([event.kv.value for event in watch.events(0, 2)] == [b"3", b"4"], "from its start")
    c.check([event.kv.value for event in watch.events(1, 4)] == [b"1", b"2", b"3", b"4"], "from its start")


@case("watch start: in a future that never comes")
def _(c):
    watch = c.watch()
    for start in (2 ** 62, 2 ** 63 - 1, 2 ** 63 - 2, c.base + 1000):
        created = watch.create(b"k", start_revision=start)
        c.check(not created.canceled and created.header.revision == c.base, "accepted")
    c.put(b"k")
    watch.cancel(0)


@case("watch start: the first revisions of a new store", initial=True)
def _(c):
    watch = c.watch()
    for start in (1, 2, 3):
        watch.create(*ALL_KEYS, start_revision=start)
    c.put(b"a")
    c.put(b"b")
    for start in (1, 2, 3, 4):
        watch.create(*ALL_KEYS, start_revision=start)
    for watch_id, count in enumerate((2, 2, 1, 2, 2, 1, 0)):
        watch.events(watch_id, count)


@case("watch start: below 0 is refused as compacted (3.6.6)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    for start in (-1, -2, -(2 ** 63)):
        created = watch.create(b"k", start_revision=start, watch_id=5)
        refused(c, created, NEGATIVE_START)
        c.check(created.header.revision == c.base, "the current revision")
    c.check(watch.create(b"k", b"a", start_revision=-1).cancel_reason == NEGATIVE_START, "before the empty range")
    watch.create(b"k")
    c.put(b"k")
    c.check(keys_of(watch.next_events(0, 1)) == [b"k"], "the stream goes on")


# --- compaction ---


@case("watch compacted: created, then canceled with the compacted revision")
def _(c):
    fill(c)
    c.compact(c.base + 4)
    watch = c.watch()
    created = watch.create(*ALL_KEYS, start_revision=c.base + 3)
    c.check(created.created and not created.canceled and created.header.revision == c.base + 5, "created first")
    ended(c, watch, 0, c.base + 4)
    c.put(b"k")


@case("watch compacted: from each revision around the compacted one")
def _(c):
    for index in range(6):
        c.put(b"k%d" % index)
    c.compact(c.base + 4)
    watch = c.watch()
    for watch_id, start in enumerate((1, c.base + 2, c.base + 3, c.base + 4, c.base + 5, c.base + 6, c.base + 7)):
        watch.create(*ALL_KEYS, start_revision=start)
        if start < c.base + 4:
            ended(c, watch, watch_id, c.base + 4)
        else:
            watch.events(watch_id, c.base + 7 - start)
    c.put(b"k")
    for watch_id in range(3, 7):
        watch.response(watch_id)


@case("watch compacted: key, filters, prev_kv and its own id make no difference")
def _(c):
    fill(c)
    c.compact(c.base + 5)
    watch = c.watch()
    for watch_id, options in ((3, {"key": b"nothing"}), (4, {"key": b"a", "filters": [NOPUT, NODELETE]}),
                              (5, {"key": b"z", "end": b"\0", "prev_kv": True}), (6, {"fragment": True})):
        watch.create(watch_id=watch_id, start_revision=c.base + 4, **options)
        ended(c, watch, watch_id, c.base + 5)


@case("watch compacted: its id stays taken until it is canceled by the client")
def _(c):
    fill(c)
    c.compact(c.base + 5)
    watch = c.watch()
    watch.create(b"k", start_revision=1, watch_id=8)
    ended(c, watch, 8, c.base + 5)
    refused(c, watch.create(b"k", watch_id=8), DUPLICATE_ID)
    c.check(watch.cancel(8).canceled, "answered")
    watch.request_cancel(8)
    c.check(watch.create(b"k", watch_id=8).watch_id == 8, "free again")
    c.put(b"k")
    watch.response(8)


@case("watch compacted: the others of the stream go on")
def _(c):
    fill(c)
    watch = c.watching(*ALL_KEYS)
    c.compact(c.base + 5)
    watch.create(*ALL_KEYS, start_revision=c.base + 2)
    ended(c, watch, 1, c.base + 5)
    watch.create(*ALL_KEYS, start_revision=c.base + 5)
    watch.events(2, 1)
    c.put(b"k")
    watch.response(0)
    watch.response(2)


@case("watch compacted: a watch of the present lives through compactions")
def _(c):
    watch = c.watching(b"k", prev_kv=True)
    watch.create(b"other", prev_kv=True)
    watch.create(b"k", start_revision=c.base + 7)
    for index in range(8):
        c.put(b"k", b"%d" % index)
        watch.response(0)
        c.compact(c.base + 1 + index, physical=index % 2 == 0)
    watch.events(2, 2)
    c.put(b"other")
    watch.response(1)


@case("watch compacted: at the compacted revision: the event, without what was before it")
def _(c):
    c.put(b"k", b"1")
    c.put(b"k", b"2")
    c.put(b"k", b"3")
    c.compact(c.base + 2, physical=True)
    watch = c.watching(b"k", start_revision=c.base + 2, prev_kv=True)
    second, third = watch.events(0, 2)
    c.check(second.kv.value == b"2" and not second.HasField("prev_kv"), "its predecessor is compacted")
    c.check(third.prev_kv.value == b"2", "the compacted revision itself can be read")


@case("watch compacted: what was before a delete right above the compacted revision")
def _(c):
    c.put(b"k", b"1")
    c.put(b"j", b"1")
    c.delete(b"k")
    c.put(b"k", b"2")
    c.compact(c.base + 2, physical=True)
    watch = c.watching(b"k", start_revision=c.base + 2, prev_kv=True)
    deleted, again = watch.events(0, 2)
    c.check(deleted.type == DELETE and deleted.prev_kv.value == b"1", "an old value that survived")
    c.check(not again.HasField("prev_kv"), "a new key")


@case("watch compacted: a delete at the compacted revision is still delivered (3.5.16)")
def _(c):
    c.put(b"k", b"1")
    c.put(b"j", b"1")
    c.delete(b"k")
    c.compact(c.base + 3, physical=True)
    watch = c.subject_watch()
    if watch is None:
        return
    watch.create(*ALL_KEYS, start_revision=c.base + 3, prev_kv=True)
    c.put(b"k", b"2")
    deleted, again = watch.next_events(0, 2)
    c.check(deleted.type == DELETE and deleted.kv.mod_revision == c.base + 3, "the delete")
    c.check(not deleted.HasField("prev_kv") and again.kv.version == 1, "what it deleted is gone")


@case("watch compacted: everything, and from there on")
def _(c):
    history(c)
    watch = c.watching(*ALL_KEYS, start_revision=c.base + 1)
    watch.events(0, 10)
    c.compact(c.base + 10, physical=True)
    watch.create(*ALL_KEYS, start_revision=c.base + 10, prev_kv=True)
    c.check(kinds_of(watch.events(1, 1)) == [PUT], "the last")
    watch.create(*ALL_KEYS, start_revision=c.base + 9)
    ended(c, watch, 2, c.base + 10)
    c.put(b"a", b"new")
    c.check(watch.events(1, 1)[0].prev_kv.value == b"9", "survived")
    watch.response(0)


@case("watch compacted: again and again")
def _(c):
    watch = c.watch()
    for index in range(6):
        c.put(b"k", b"%d" % index)
        c.put(b"k", b"%d again" % index)
        c.compact(c.base + 2 * index + 2)
        watch.create(b"k", start_revision=c.base + 2 * index + 1)
        ended(c, watch, index, c.base + 2 * index + 2)
    c.refused(Compaction(revision=c.base + 12), *COMPACTED)
