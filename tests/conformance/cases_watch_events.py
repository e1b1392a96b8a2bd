"""Watch, what is delivered as it happens: events, filters, prev_kv, fragments, progress: etcd-api.md 1.6."""

from harness.api import Delete, Put, Range
from harness.watch_messages import NODELETE, NOPUT
from cases import IMPATIENT, case, txn
from cases_range import ALL_KEYS
from cases_txn import version
from cases_watch import keys_of

PUT, DELETE = 0, 1
MEGABYTE = b"x" * 1000000


def kinds_of(events):
    return [event.type for event in events]


# --- events ---


@case("watch event: a put: the whole key as it is after it")
def _(c):
    watch = c.watching(b"k")
    for count in (1, 2, 3):
        c.put(b"k", b"v%d" % count)
        response = watch.response(0)
        kv = response.events[0].kv
        c.check(response.header.revision == kv.mod_revision == c.base + count, "header and event: its revision")
        c.check((kv.key, kv.value, kv.version, kv.create_revision) == (b"k", b"v%d" % count, count, c.base + 1), "kv")
        c.check(response.events[0].type == PUT and not response.events[0].HasField("prev_kv"), "a put, without prev_kv")


@case("watch event: a delete: key and revision only")
def _(c):
    c.put(b"k", b"v")
    watch = c.watching(b"k")
    c.delete(b"k")
    event = watch.response(0).events[0]
    c.check(event.type == DELETE and event.kv.key == b"k" and event.kv.mod_revision == c.base + 2, "key, revision")
    c.check(not event.kv.create_revision and not event.kv.version and not event.kv.value, "nothing else")
    c.put(b"k", b"again")
    c.check(watch.response(0).events[0].kv.version == 1, "a new key")


@case("watch event: a put that changes nothing, and one of an empty value")
def _(c):
    watch = c.watching(b"k")
    for value in (b"", b"same", b"same", b""):
        c.put(b"k", value)
        c.check(watch.response(0).events[0].kv.value == value, "every put is an event")
    c.put(b"k", ignore_value=True)
    c.check(watch.response(0).events[0].kv.version == 5, "also one that keeps the value")


@case("watch event: none for what changes nothing")
def _(c):
    c.put(b"k")
    watch = c.watching(*ALL_KEYS)
    c.delete(b"j")
    c.delete(b"x", b"z")
    c.range(b"k")
    c.txn()
    c.txn(success=[Range(key=b"k"), Delete(key=b"j")])
    c.txn([version(b"k", 9)], [Put(key=b"k")])
    c.either(Put(key=b"k", lease=77))
    c.either(Put(key=b"j", ignore_value=True))
    c.compact(c.base + 1)


@case("watch event: a range that is deleted: in key order, in one response")
def _(c):
    for key in (b"d", b"b", b"a", b"c", b"e"):
        c.put(key)
    watch = c.watching(b"b", b"\0")
    c.delete(b"a", b"e")
    response = watch.response(0)
    c.check(keys_of(response.events) == [b"b", b"c", b"d"], "in order, and only what is watched")
    c.check({event.kv.mod_revision for event in response.events} == {c.base + 6}, "one revision")


@case("watch event: a txn: in the order of its operations, in one response")
def _(c):
    c.put(b"e")
    watch = c.watching(*ALL_KEYS, prev_kv=True)
    c.txn(success=[Put(key=b"z", value=b"1"), Delete(key=b"e"), Put(key=b"a"), Range(key=b"a"),
                   txn(success=[Put(key=b"m"), Delete(key=b"nothing")]), Put(key=b"b")])
    response = watch.response(0)
    c.check(keys_of(response.events) == [b"z", b"e", b"a", b"m", b"b"], "in order")
    c.check(kinds_of(response.events) == [PUT, DELETE, PUT, PUT, PUT], "kinds")


@case("watch event: one key put and deleted by nested txns, as it happens and from history")
def _(c):
    put, delete = txn(success=[Put(key=b"k", value=b"x")]), txn(success=[Delete(key=b"k")])
    watch = c.watching(b"k", prev_kv=True)
    c.txn(success=[put, delete])
    new = watch.response(0).events
    c.put(b"k", b"old")
    watch.response(0)
    c.txn(success=[put, delete])
    old = watch.response(0).events
    c.check(kinds_of(new) == kinds_of(old) == [PUT, DELETE], "each change is an event")
    c.check([event.HasField("prev_kv") for event in new] == [False, False], "nothing was there before the revision")
    c.check([event.prev_kv.value for event in old] == [b"old", b"old"], "what was there before the revision")
    watch.create(b"k", start_revision=c.base + 1, prev_kv=True)
    watch.events(1, 5)


@case("watch event: a txn as large as they come")
def _(c):
    watch = c.watching(b"k", b"l")
    c.txn(success=[Put(key=b"k%03d" % index, value=b"v") for index in range(128)])
    c.check(len(watch.response(0).events) == 128, "in one response")
    c.delete(b"k", b"k100")
    c.check(len(watch.response(0).events) == 100, "in one response")
    c.txn(success=[Delete(key=b"k", range_end=b"k120"), Delete(key=b"k110", range_end=b"l"), Put(key=b"a")])
    c.check(len(watch.response(0).events) == 28, "each key once")


@case("watch event: only the branch a txn takes")
def _(c):
    c.put(b"k")
    watch = c.watching(*ALL_KEYS)
    c.txn([version(b"k", 1)], [Put(key=b"then")], [Put(key=b"else")])
    c.txn([version(b"k", 2)], [Put(key=b"then")], [txn([version(b"k", 1)], [Put(key=b"inner")])])
    c.check(keys_of(watch.response(0).events) == [b"then"], "then")
    c.check(keys_of(watch.response(0).events) == [b"inner"], "inner")


@case("watch event: large keys and values")
def _(c):
    watch = c.watching(*ALL_KEYS, prev_kv=True)
    for value in (MEGABYTE, MEGABYTE + b"y", b""):
        c.put(b"k" * 5000, value)
        c.check(watch.response(0).events[0].kv.value == value, "whole")


# --- filters ---


@case("watch filter: NOPUT, NODELETE, both, each twice")
def _(c):
    filters = ([], [NOPUT], [NODELETE], [NOPUT, NODELETE], [NOPUT, NOPUT], [NODELETE, NODELETE, NODELETE])
    watch = c.watch()
    for each in filters:
        watch.create(b"k", b"m", filters=each, prev_kv=True)
    for _ in range(2):
        c.put(b"k", b"v")
        c.put(b"l", b"v")
        c.delete(b"k")
    for watch_id, each in enumerate(filters):
        kinds = [kind for kind in (PUT, PUT, DELETE) * 2
                 if kind == PUT and NOPUT not in each or kind == DELETE and NODELETE not in each]
        c.check(kinds_of(watch.events(watch_id, len(kinds))) == kinds, f"filters {each}")


@case("watch filter: one that does not exist filters nothing")
def _(c):
    watch = c.watch()
    watch.send_raw(b"\x0a\x05\x0a\x01k\x28\x05")
    c.check(not watch.created().canceled, "accepted")
    watch.send_raw(b"\x0a\x07\x0a\x01k\x2a\x02\x09\x01")
    watch.created()
    c.put(b"k")
    c.delete(b"k")
    c.check(kinds_of(watch.events(0, 2)) == [PUT, DELETE], "both")
    c.check(kinds_of(watch.events(1, 1)) == [PUT], "no deletes: 9 says nothing, 1 does")


@case("watch filter: what a txn leaves of a revision comes in one response")
def _(c):
    c.put(b"d")
    c.put(b"e")
    watch = c.watching(*ALL_KEYS, filters=[NODELETE])
    watch.create(*ALL_KEYS, filters=[NOPUT], prev_kv=True)
    c.txn(success=[Put(key=b"a"), Delete(key=b"d", range_end=b"f"), Put(key=b"b")])
    c.check(keys_of(watch.response(0).events) == [b"a", b"b"], "puts")
    c.check(keys_of(watch.response(1).events) == [b"d", b"e"], "deletes")
    c.txn(success=[Put(key=b"a"), Put(key=b"b")])
    c.check(keys_of(watch.response(0).events) == [b"a", b"b"], "and nothing to the other")


# --- prev_kv ---


@case("watch prev_kv: what was there before; absent for a new key")
def _(c):
    watch = c.watching(b"k", prev_kv=True)
    watch.create(b"k")
    c.put(b"k", b"1")
    c.check(not watch.response(0).events[0].HasField("prev_kv"), "a new key")
    c.put(b"k", b"2")
    previous = watch.response(0).events[0].prev_kv
    c.check((previous.value, previous.version, previous.mod_revision) == (b"1", 1, c.base + 1), "the first")
    c.delete(b"k")
    event = watch.response(0).events[0]
    c.check(event.type == DELETE and event.prev_kv.value == b"2" and event.prev_kv.version == 2, "what was deleted")
    c.put(b"k", b"3")
    c.check(not watch.response(0).events[0].HasField("prev_kv"), "a new key again")
    c.check(not any(event.HasField("prev_kv") for event in watch.events(1, 4)), "only who asks gets it")


@case("watch prev_kv: asked for by some, on the same keys, with filters")
def _(c):
    watch = c.watch()
    for index in range(8):
        watch.create(b"k", b"m", prev_kv=index % 2 == 0, filters=([], [NOPUT], [NODELETE], [])[index // 2])
    for value in (b"1", b"2"):
        c.put(b"k", value)
    c.txn(success=[Put(key=b"k", value=b"3"), Put(key=b"l", value=b"1")])
    c.delete(b"k", b"m")
    for index in range(8):
        count = {0: 6, 1: 2, 2: 4, 3: 6}[index // 2]
        events = watch.events(index, count)
        c.check(any(event.HasField("prev_kv") for event in events) == (index % 2 == 0), "as asked for")


@case("watch prev_kv: is what was before the revision, not before the operation")
def _(c):
    c.put(b"a", b"old")
    watch = c.watching(*ALL_KEYS, prev_kv=True)
    c.txn(success=[Put(key=b"a", value=b"new", prev_kv=True), Put(key=b"b", value=b"b")])
    c.check(watch.response(0).events[0].prev_kv.value == b"old", "old")
    c.txn(success=[Put(key=b"c"), Delete(key=b"a", range_end=b"c", prev_kv=True)])
    c.check([event.prev_kv.value for event in watch.response(0).events] == [b"", b"new", b"b"], "as they were")


@case("watch prev_kv: is there although everything before was compacted")
def _(c):
    c.put(b"k", b"1")
    c.put(b"other")
    c.compact(c.base + 2)
    watch = c.watching(b"k", prev_kv=True)
    c.put(b"k", b"2")
    c.check(watch.response(0).events[0].prev_kv.value == b"1", "the survivor")
    c.compact(c.base + 3)
    c.delete(b"k")
    c.check(watch.response(0).events[0].prev_kv.value == b"2", "the survivor")


# --- fragments ---


def _delete_megabytes(c, fragment, sizes):
    """Deletes so many keys of those sizes at once, watched with prev_kv, so that a response is large."""
    for index, size in enumerate(sizes):
        c.put(b"k%02d" % index, b"x" * size)
    watch = c.watching(b"k", b"l", prev_kv=True, fragment=fragment)
    c.delete(b"k", b"l")
    responses = [watch.response(0)]
    while responses[-1].fragment:
        responses.append(watch.response(0))
    watch.cancel(0)
    return responses


@case("watch fragment: a revision too large for one response comes in several, if asked for")
def _(c):
    sizes = [1000000] * 5
    responses = _delete_megabytes(c, True, sizes)
    c.check([len(one.events) for one in responses] == [2, 2, 1], "as much as fits")
    c.check({one.header.revision for one in responses} == {c.base + 6}, "of one revision")


@case("watch fragment: not asked for, it comes in one response of any size")
def _(c):
    responses = _delete_megabytes(c, False, [1000000] * 5)
    c.check([len(one.events) for one in responses] == [5], "whole")


@case("watch fragment: what fits is not torn")
def _(c):
    responses = _delete_megabytes(c, True, [600000] * 3)
    c.check([len(one.events) for one in responses] == [3], "below the limit")


@case("watch fragment: just below and just above the limit")
def _(c):
    overhead = 2 ** 21 - 2 * 1000000
    for spare in (400, 250, 50, 0):  # the sizes of ids move the limit by some bytes
        _delete_megabytes(c, True, [1000000, 1000000 + overhead - spare])


@case("watch fragment: a single event is never torn; small ones around large ones")
def _(c):
    c.put(b"k", b"x" * 1400000)
    watch = c.watching(b"k", b"l", prev_kv=True, fragment=True)
    c.put(b"k", b"y" * 1400000)
    response = watch.response(0)
    c.check(len(response.events) == 1 and not response.fragment, "one event of 2.8 MB")
    watch.cancel(0)
    _delete_megabytes(c, True, [10, 1400000, 10, 1400000, 1400000, 10, 10])


# --- progress ---


@case("watch progress: on request, of a stream whose watches are up to date")
def _(c):
    watch = c.watching(b"k")
    watch.create(b"a", b"c")
    for _ in range(3):
        watch.request_progress()
        answer = watch.response(-1)
        c.check(answer.watch_id == -1 and not answer.events and not answer.created, "of no watch")
        c.check(answer.header.revision == c.range(b"k").header.revision, "the current revision")
        c.put(b"other")


@case("watch progress: on request, comes behind the events (3.5.13)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    watch.create(b"k", b"l")
    for count in range(20):
        for index in range(5):
            c.put(b"k%d" % index, b"v")
        watch.request_progress()
        answer = watch.next_response(-1)
        c.check(answer.header.revision == c.base + 5 * (count + 1), "up to now")
        watch.next_events(0, 5)  # that none follows the progress is what a Transcript looks at


@case("watch progress: on request, behind the history a watch asked for (3.5.13)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    for index in range(150):
        c.put(b"k%d" % index, b"v" * 1000)
    for watch_id in range(5):
        watch.request_create(b"k", b"l", start_revision=c.base + 1)
        watch.request_progress()
    c.put(b"kz")
    for watch_id in range(5):
        watch.next_created()
        watch.next_events(watch_id, 151)
    watch.request_progress()
    c.check(watch.wait_progress(c.base + 151), "once all are up to date")
    watch.forget_progress()  # the first five were dropped, or answered by now


@case("watch progress: on request, none from a stream without watches (3.5.8)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    watch.request_progress()
    c.check(watch.create(b"k").watch_id == 0, "nothing came before")
    watch.request_cancel(0)
    watch.next_response(0)
    watch.expect_nothing(but_reports=True)
    before = len(watch.stream.received)
    watch.request_progress()
    watch.request_cancel(0)
    watch.create(b"k")
    c.check(watch.stream.received[before].created, "nothing came before")
    watch.forget_progress()  # a server may drop the requests, or answer them when there is a watch


@case("watch progress: on request, none while a watch waits for the future (3.5.8)")
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    watch.create(b"k")
    watch.create(b"k", start_revision=c.base + 3)
    watch.request_progress()
    c.put(b"k")
    watch.next_events(0, 1)
    watch.expect_nothing()
    c.put(b"k")
    c.put(b"k")
    watch.next_events(0, 2)
    watch.next_events(1, 1)
    watch.request_progress()
    c.check(watch.wait_progress(c.base + 3), "the future has come")
    watch.forget_progress()  # a server may drop the first request, or answer it now


@case("watch progress: reported by itself to who asks for it, with its id", flags=IMPATIENT)
def _(c):
    watch = c.watch()
    for watch_id, wants in enumerate((True, False, True, False)):
        watch.create(b"k", progress_notify=wants)
    for revision in (c.base, c.base + 1):
        for watch_id in (0, 2):
            for side in watch.sides:
                c.check(side.notified(watch_id, revision), f"{side.name}: watch {watch_id} at {revision}")
        if revision == c.base:
            c.put(b"other")
    for side in watch.sides:
        c.check(not side.responses[1] and not side.responses[3], f"{side.name}: nobody else")
        side.forget_progress()


@case("watch progress: is reported for the past as well once it is delivered", flags=IMPATIENT)
def _(c):
    for index in range(20):
        c.put(b"k%d" % index)
    watch = c.watching(b"k", b"l", progress_notify=True, start_revision=c.base + 1)
    watch.events(0, 20)
    for side in watch.sides:
        c.check(side.notified(0, c.base + 20), side.name)
        side.forget_progress()


@case("watch progress: not reported to a watch that waits for the future (3.5.8)", flags=IMPATIENT)
def _(c):
    watch = c.subject_watch()
    if watch is None:
        return
    watch.create(b"k", progress_notify=True)
    watch.create(b"k", progress_notify=True, start_revision=c.base + 50)
    for _ in range(3):
        c.check(watch.notified(0, c.base), "the first")
    c.check(not watch.responses[1], "not the second")
    watch.forget_progress()


@case("watch progress: no more reports after a cancel", flags=IMPATIENT)
def _(c):
    watch = c.watching(b"k", progress_notify=True)
    watch.create(b"k", progress_notify=True)
    for side in watch.sides:
        side.request_cancel(0)
        side.wait(lambda: any(one.canceled for one in side.responses[0]), "the end of the watch")
        side.responses[0].clear()
        for _ in range(3):
            c.check(side.notified(1, c.base), "the other")
        side.forget_progress()
