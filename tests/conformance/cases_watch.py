"""Watch, what is said of watches themselves: ids, ranges, answers to creates and cancels: etcd-api.md 1.6.

What they deliver: cases_watch_events.py. What they deliver of the past: cases_watch_past.py.
"""

from harness.api import Delete, Put
from harness.watch_messages import NODELETE, NOPUT, WatchCancelRequest, WatchRequest
from cases import case, txn
from cases_range import ALL_KEYS

DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY_RANGE = "mvcc: watcher range is empty"


def refused(c, created, reason):
    """A create request that was refused: created and canceled in one, with no id."""
    c.check(created.created and created.canceled and created.watch_id == -1, "created and canceled, without an id")
    c.check(created.cancel_reason == reason, f"the reason is {reason!r}")


def keys_of(events):
    return [event.kv.key for event in events]


# --- ids ---


@case("watch id: the server counts from 0 on each stream")
def _(c):
    for watch in (c.watch(), c.watch()):
        c.check([watch.create(b"k").watch_id for _ in range(4)] == [0, 1, 2, 3], "counted")


@case("watch id: the client's own is used, and the server's go around it")
def _(c):
    watch = c.watch()
    c.check(watch.create(b"k", watch_id=1).watch_id == 1, "its own")
    c.check(watch.create(b"k", watch_id=3).watch_id == 3, "its own")
    c.check([watch.create(b"k").watch_id for _ in range(3)] == [0, 2, 4], "1 and 3 are taken")


@case("watch id: large and negative ones")
def _(c):
    watch = c.watch()
    ids = (2 ** 63 - 1, 1 << 32, -2, -(2 ** 63))
    for watch_id in ids:
        c.check(watch.create(b"k", watch_id=watch_id).watch_id == watch_id, "as asked for")
    c.put(b"k", b"v")
    for watch_id in ids:
        watch.response(watch_id)


@case("watch id: one in use is refused, the watch that has it goes on")
def _(c):
    watch = c.watch()
    watch.create(b"k", watch_id=7)
    refused(c, watch.create(b"j", watch_id=7), DUPLICATE_ID)
    refused(c, watch.create(b"k", watch_id=7, start_revision=c.base), DUPLICATE_ID)
    c.put(b"j")
    c.put(b"k")
    c.check(watch.response(7).events[0].kv.key == b"k", "the first one's key")


@case("watch id: one the server gave is in use as well")
def _(c):
    watch = c.watch()
    watch.create(b"k")
    watch.create(b"k")
    refused(c, watch.create(b"j", watch_id=1), DUPLICATE_ID)


@case("watch id: free again after a cancel, for the client; the server gives new ones")
def _(c):
    watch = c.watch()
    watch.create(b"k", watch_id=5)
    watch.cancel(5)
    c.check(watch.create(b"j", watch_id=5).watch_id == 5, "again")
    watch.create(b"k")
    watch.cancel(0)
    c.check(watch.create(b"k").watch_id == 1, "0 does not come back")
    c.put(b"j")
    c.put(b"k")
    c.check(watch.response(5).events[0].kv.key == b"j", "of the second watch with the id")
    watch.response(1)


@case("watch id: after refusals none is lost")
def _(c):
    watch = c.watch()
    refused(c, watch.create(b"b", b"a"), EMPTY_RANGE)
    c.check(watch.create(b"k").watch_id == 0, "the first")
    refused(c, watch.create(b"k", b"k"), EMPTY_RANGE)
    c.check(watch.create(b"k").watch_id == 1, "the second")


# --- ranges ---


@case("watch range: empty or inverted is refused, whatever else is wrong")
def _(c):
    watch = c.watch()
    for key, end in ((b"k", b"k"), (b"k", b"a"), (b"k\0", b"k"), (b"\xff", b"\x01"), (b"\0\0", b"\0\0")):
        refused(c, watch.create(key, end), EMPTY_RANGE)
    refused(c, watch.create(b"k", b"a", start_revision=1), EMPTY_RANGE)
    refused(c, watch.create(b"k", b"a", start_revision=2 ** 62, watch_id=9), EMPTY_RANGE)
    watch.create(b"k", watch_id=9)
    refused(c, watch.create(b"k", b"a", watch_id=9), EMPTY_RANGE)


@case("watch range: an empty key is the key \\0")
def _(c):
    watch = c.watching()
    c.put(b"a")
    c.put(b"\0", b"first")
    c.check(watch.response(0).events[0].kv.key == b"\0", "the one key")
    watch.create(b"", b"b", watch_id=3)
    c.put(b"a")
    c.put(b"b")
    c.check(watch.response(3).events[0].kv.key == b"a", "from the first key on")


@case("watch range: everything, by an empty key or \\0 and the end \\0")
def _(c):
    watch = c.watch()
    watch.create(b"", b"\0")
    watch.create(b"\0", b"\0")
    for key in (b"\0", b"a", b"\xff", b"\xff\xff\xff"):
        c.put(key)
        for watch_id in (0, 1):
            c.check(keys_of(watch.response(watch_id).events) == [key], "seen by both")


@case("watch range: one key, and not its neighbours")
def _(c):
    watch = c.watching(b"k")
    for key in (b"j", b"k\0", b"kk", b"K", b"l", b"k"):
        c.put(key)
    c.check(watch.response(0).events[0].kv.key == b"k", "only that")


@case("watch range: [key, end): the end is outside")
def _(c):
    watch = c.watching(b"b", b"d")
    for key in (b"a", b"b", b"b\0", b"c", b"c\xff\xff", b"d", b"d\0", b"e"):
        c.put(key)
    c.check(keys_of(watch.events(0, 4)) == [b"b", b"b\0", b"c", b"c\xff\xff"], "b to below d")


@case("watch range: from a key on")
def _(c):
    watch = c.watching(b"m", b"\0")
    for key in (b"a", b"l\xff", b"m", b"z", b"\xff\xff"):
        c.put(key)
    c.check(keys_of(watch.events(0, 3)) == [b"m", b"z", b"\xff\xff"], "m and after")


@case("watch range: the end \\0 counts only alone")
def _(c):
    watch = c.watch()
    refused(c, watch.create(b"k", b"\0\0"), EMPTY_RANGE)
    watch.create(b"\0", b"\0\0")
    c.put(b"\0")
    c.put(b"\0\0")
    c.put(b"k")
    c.check(keys_of(watch.response(0).events) == [b"\0"], "[\\0, \\0\\0) is one key")


@case("watch range: overlapping, nested, equal and touching ranges on one stream")
def _(c):
    ranges = ((b"a", b"c"), (b"b", b"d"), (b"a", b"z"), (b"a", b"c"), (b"c", b"d"), (b"b", b""), (b"b", b"b\0"),
              (b"bb", b"bc"), (b"a", b"\0"), (b"x", b"y"))
    watch = c.watch()
    for key, end in ranges:
        watch.create(key, end)
    written = [b"a", b"b", b"bb", b"c", b"d", b"x", b"b", b"a"]
    for key in written:
        c.put(key)
    c.delete(b"\0", b"\0")
    for watch_id, (key, end) in enumerate(ranges):
        inside = [one for one in written + sorted(set(written))
                  if one == key or end == b"\0" and one >= key or key <= one < end]
        c.check(keys_of(watch.events(watch_id, len(inside))) == inside, f"the events of {key!r}, {end!r}")


@case("watch range: many watches on one key, and one on each of many")
def _(c):
    watch = c.watch()
    for index in range(100):
        watch.request_create(b"k")
        watch.request_create(b"n%02d" % index)
    for index in range(200):
        c.check(watch.created().watch_id == index, "creates are answered in order")
    c.put(b"k", b"v")
    for index in range(100):
        c.put(b"n%02d" % index)
    for index in range(200):
        c.check(len(watch.response(index).events) == 1, "its own event, once")


# --- created ---


@case("watch created: names the current revision, and nothing else")
def _(c):
    c.put(b"k")
    created = c.watch().create(b"k", prev_kv=True, fragment=True, progress_notify=True)
    c.check(created.header.revision == c.base + 1, "current")
    c.check(created.created and not created.canceled and not created.compact_revision, "created")


@case("watch created: a request that asks for nothing is ignored")
def _(c):
    watch = c.watch()
    watch.send_raw(b"")
    watch.send_raw(b"\x22\x00")
    watch.send_raw(b"\xf8\x07\x05")
    c.check(watch.create(b"k").watch_id == 0, "the next one counts")


@case("watch created: unknown fields are ignored")
def _(c):
    watch = c.watch()
    watch.send_raw(b"\x0a\x09\x0a\x01k\xf8\x07\x05\xf8\x07\x06" + b"\xfa\x07\x01x")
    watch.created()
    c.put(b"k")
    watch.response(0)


@case("watch created: of two requests in one message the last counts")
def _(c):
    watch = c.watch()
    create = WatchRequest(create_request={"key": b"a"}).SerializeToString()
    cancel = WatchRequest(cancel_request=WatchCancelRequest(watch_id=1)).SerializeToString()
    watch.send_raw(cancel + create)
    watch.created()
    watch.send_raw(create + cancel)
    c.put(b"a")
    watch.response(0)


@case("watch created: a message that is not protobuf ends the stream")
def _(c):
    watch = c.watch()
    watch.create(b"k")
    watch.send_raw(b"\x0a\x05ab")
    ends = [side.stream.wait_end(watch.pair.patience) for side in watch.sides]
    c.check(ends[0] and ends[1] and ends[0][0] == ends[1][0] == 13, f"internal error: {ends}")
    c.forget(watch)


# --- cancel ---


@case("watch cancel: is answered, with the current revision; no event afterwards")
def _(c):
    watch = c.watching(b"k")
    c.put(b"k")
    watch.response(0)
    canceled = watch.cancel(0)
    c.check(canceled.canceled and not canceled.cancel_reason and not canceled.compact_revision, "without a reason")
    c.check(canceled.header.revision == c.base + 1, "the current revision")
    c.put(b"k")


@case("watch cancel: of an unknown watch is ignored")
def _(c):
    watch = c.watch()
    for watch_id in (0, 5, -1, 2 ** 63 - 1, -(2 ** 63)):
        watch.request_cancel(watch_id)
    watch.create(b"k")
    watch.request_cancel(1)
    c.put(b"k")
    watch.response(0)


@case("watch cancel: the second time is ignored")
def _(c):
    watch = c.watching(b"k")
    watch.cancel(0)
    watch.request_cancel(0)
    watch.request_cancel(0)
    c.check(watch.create(b"k").watch_id == 1, "nothing came between")


@case("watch cancel: the others of the stream and of other streams go on")
def _(c):
    watch = c.watching(b"k")
    other = c.watching(b"k")
    watch.create(b"k")
    watch.create(b"a", b"z")
    watch.cancel(1)
    c.put(b"k")
    for one, watch_id in ((watch, 0), (watch, 2), (other, 0)):
        one.response(watch_id)
    watch.cancel(0)
    c.put(b"k")
    watch.response(2)
    other.response(0)


@case("watch cancel: right behind the create")
def _(c):
    watch = c.watch()
    for watch_id in (4, 5, 6):
        watch.request_create(b"k", watch_id=watch_id, start_revision=c.base + 5)
        watch.request_cancel(watch_id)
    for watch_id in (4, 5, 6):
        c.check(watch.created().watch_id == watch_id, "in order")
        c.check(watch.response(watch_id).canceled, "and ended")
    watch.create(b"k", watch_id=4)
    c.put(b"k")
    watch.response(4)


@case("watch cancel: its id anew, with events under way: none of them reaches the new watch (etcd keeps some)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    watch.create(b"k", b"l", watch_id=5)
    for index in range(40):
        for key in range(3):
            c.put(b"k%d" % key, b"%d" % index)
        watch.request_cancel(5)
        watch.request_create(b"k", b"l", watch_id=5)
        watch.events_until_end(5)
        created = watch.next_created()
        c.put(b"k", b"new")
        c.check(watch.next_events(5, 1)[0].kv.mod_revision == created.header.revision + 1, "the first new one")


@case("watch cancel: of one that waits for the future")
def _(c):
    watch = c.watching(b"k", start_revision=c.base + 100)
    watch.cancel(0)


@case("watch cancel: of every watch of a stream; the stream goes on")
def _(c):
    watch = c.watch()
    for index in range(20):
        watch.create(b"k", filters=[NOPUT] if index % 2 else [NODELETE])
    for index in range(20):
        watch.cancel(index)
    c.put(b"k")
    c.check(watch.create(b"k").watch_id == 20, "counted on")
    c.delete(b"k")
    watch.response(20)


# --- the stream ---


@case("watch stream: half-closed, it goes on delivering")
def _(c):
    watch = c.watching(b"k")
    for side in watch.sides:
        side.stream.half_close()
    c.put(b"k", b"v")
    watch.response(0)
    c.txn(success=[Put(key=b"k"), Delete(key=b"j")])
    watch.response(0)
    c.forget(watch)


@case("watch stream: one that asks for a leader gets its events while there is one")
def _(c):
    watch = c.watch((("hasleader", "true"),))
    watch.create(b"k")
    c.put(b"k")
    watch.response(0)


@case("watch stream: several streams of one client are separate")
def _(c):
    streams = [c.watching(b"k", prev_kv=index % 2 == 1, watch_id=index) for index in range(6)]
    c.put(b"k", b"1")
    c.put(b"k", b"2")
    for index, watch in enumerate(streams):
        watch.events(index, 2)


@case("watch stream: a closed one leaves nothing behind")
def _(c):
    for _ in range(5):
        watch = c.watching(*ALL_KEYS)
        c.put(b"k")
        watch.response(0)
        c.forget(watch)
    c.put(b"k")
    watch = c.watching(b"k")
    c.agreed(txn(success=[Put(key=b"k")]))
    watch.response(0)
