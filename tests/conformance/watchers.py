"""The watches of a random sequence, and what each of them must have been told.

A *chronicle*, a watch on everything from the sequence's first revision on, is the history both servers agree on.
What any other watch has to deliver follows from it: the events from its start on, inside its range, past its
filters. So at a sync point the driver knows how many events to wait for, and never sleeps.

Two things a sequence must not do, because etcd promises nothing there:
- compact while a watch of the past may not have caught up: it is ended or not, as time has it. `settle` writes
  something into such a watch's range and waits for that to arrive; a watch that has seen a revision can't be
  ended by compacting up to it.
- begin a watch at the compacted revision when that holds a delete: 3.4 may or may not have dropped it.
"""

from harness.api import Delete, Put, show
from harness.watch_messages import NODELETE, NOPUT
from cases_range import ALL_KEYS
from compare import Mismatch
from watching import WatchPair

DELETE = 1
STREAMS = 3
MOST_WATCHES = 14
CHRONICLE = 0  # its watch id, on its own stream


class Watch:
    """One watch and how far its events have been compared."""

    def __init__(self, stream, watch_id, request, now, compacted, seen):
        self.stream = stream
        self.watch_id = watch_id
        self.request = request
        self.created_at = now
        self.compacted = compacted  # when it was created: no prev_kv from below
        self.start = request["start_revision"] or now + 1
        self.position = seen if self.start > now else 0  # in the chronicle: what is before has been compared
        self.doomed = self.start < compacted             # to be ended at once
        self.ended = False
        self.proven = self.start > now or self.doomed    # nothing of its past is under way

    def wants(self, event):
        if event.kv.mod_revision < self.start:
            return False
        key, end = self.request["key"] or b"\0", self.request["end"]
        name = event.kv.key
        inside = name == key if not end else name >= key if end == b"\0" else key <= name < end
        unwanted = NODELETE if event.type == DELETE else NOPUT
        return inside and unwanted not in self.request["filters"]

    def expected(self, event):
        """A chronicle's event as this watch must deliver it."""
        if self.request["prev_kv"] and event.kv.mod_revision - 1 >= self.compacted or not event.HasField("prev_kv"):
            return event
        copy = type(event)()
        copy.CopyFrom(event)
        copy.ClearField("prev_kv")
        return copy

    def __str__(self):
        return f"watch {self.watch_id}, created at {self.created_at} (compacted {self.compacted}): {self.request}"


class Watchers:
    def __init__(self, pair, random):
        self.pair = pair
        self.random = random
        self.base = self.now = self.compacted = pair.base
        self.history = []  # the chronicle's events
        self.watches = []
        self.used_ids = set()  # (stream, id) that can't be used again: etcd might deliver what was under way
        self.streams = []
        self.open()

    def open(self):
        """A stream for the chronicle, which goes on from now, and some for watches."""
        self.chronicle = WatchPair(self.pair)
        try:
            self.chronicle.create(*ALL_KEYS, prev_kv=True, start_revision=self.now + 1)
            for _ in range(STREAMS):
                self.streams.append(WatchPair(self.pair))
        except Exception:
            self.close()
            raise

    def close(self):
        """Ends all watches."""
        for stream in [self.chronicle] + self.streams:
            stream.close()
        self.streams.clear()
        self.watches.clear()

    def learn(self, revision):
        """The servers' current revision, from an answer."""
        self.now = max(self.now, revision)

    # --- operations ---

    def step(self, choose_key, choose_end):
        """One operation on watches."""
        kind = self.random.choices((self.create, self.cancel, self.progress, self.reopen),
                                   weights=(60, 30, 7, 3))[0]
        kind(choose_key, choose_end)

    def create(self, choose_key, choose_end):
        if len(self.watches) >= MOST_WATCHES:
            self.cancel(choose_key, choose_end)
        stream = self.random.choice(self.streams)
        request = {"key": choose_key(), "end": choose_end(), "start_revision": self._start(),
                   "filters": self.random.choice(((), (), (), (NOPUT,), (NODELETE,))),
                   "prev_kv": self.random.random() < 0.5, "fragment": self.random.random() < 0.3,
                   "watch_id": self._id(stream)}
        created = stream.create(**request)
        if created.canceled:
            return
        self._read_chronicle()
        self.watches.append(Watch(stream, created.watch_id, request, self.now, self.compacted, len(self.history)))

    def _id(self, stream):
        """Mostly the server's choice; sometimes one in use, which is refused."""
        if self.random.random() < 0.7:
            return 0
        watch_id = self.random.choice((1, 2, 3, 5, 8, 100, 1 << 33, -4))
        return 0 if (stream, watch_id) in self.used_ids else watch_id

    def _start(self):
        kind = self.random.random()
        past = self.now - self.compacted
        if kind < 0.35:
            return 0
        if kind < 0.75 and past > 0:
            return self.compacted + self.random.randint(1, past)
        if kind < 0.80 and self.compacted > self.base and not self._deleted_at(self.compacted):
            return self.compacted
        if kind < 0.86 and self.compacted > 1:
            return max(1, self.compacted - self.random.randint(1, 60))
        if kind < 0.99:
            return self.now + self.random.randint(1, 40)
        return 2 ** 62

    def _deleted_at(self, revision):
        self._read_chronicle()
        return any(event.type == DELETE for event in self.history if event.kv.mod_revision == revision)

    def cancel(self, *_):
        if not self.watches:
            return
        watch = self.random.choice(self.watches)
        given_by_client = 0 < watch.request["watch_id"] < 10  # the server might give it out itself later
        if watch.doomed or given_by_client or self.random.random() < 0.7:
            self._deliver(watch)
            watch.stream.cancel(watch.watch_id)
        else:
            self._cancel_in_flight(watch)
        self.watches.remove(watch)

    def _cancel_in_flight(self, watch):
        """Nobody can say how much is delivered before the end; but it is a beginning of what should be."""
        self._read_chronicle()
        expected = self._due(watch)
        watch.stream.request_cancel(watch.watch_id)
        for side in watch.stream.sides:
            got = side.events_until_end(watch.watch_id)
            self._compare(watch, side, expected[:len(got)], got)
        self.used_ids.add((watch.stream, watch.watch_id))

    def progress(self, *_):
        """Only where the reference's answer is that of later releases: everything up to date, nothing in the future."""
        stream = self.random.choice(self.streams)
        mine = [watch for watch in self.watches if watch.stream is stream]
        if not mine or any(watch.doomed or watch.request["start_revision"] > self.now for watch in mine):
            return
        self.settle(mine, self.now)
        stream.request_progress()
        answer = stream.response(-1)
        if answer.header.revision != self.now:
            raise Mismatch(f"progress of {answer.header.revision} at {self.now}")

    def reopen(self, *_):
        """A stream is closed with whatever is under way, and another opened."""
        index = self.random.randrange(STREAMS)
        self.streams[index].close()
        self.watches = [watch for watch in self.watches if watch.stream is not self.streams[index]]
        self.streams[index] = WatchPair(self.pair)

    # --- comparing ---

    def sync(self):
        """Waits until every watch has delivered all it has to, and compares."""
        self._read_chronicle()
        for watch in list(self.watches):
            self._deliver(watch)

    def settle(self, watches, revision):
        """Afterwards no watch can be ended by compacting up to that revision, and all are up to date."""
        for watch in watches:
            if not watch.proven and watch.start <= revision:
                self._mark(watch)
        self.sync()

    def before_compaction(self, revision):
        self.settle(self.watches, revision)

    def compacted_to(self, revision):
        self.compacted = revision

    def _mark(self, watch):
        """An event this watch will see."""
        key = watch.request["key"] or b"\0"
        self.learn(self.pair.ask(Put(key=key, value=b"mark")).message.header.revision)
        if NOPUT in watch.request["filters"]:
            self.learn(self.pair.ask(Delete(key=key)).message.header.revision)

    def _read_chronicle(self):
        if (self.history[-1].kv.mod_revision if self.history else self.base) < self.now:
            self.history += self.chronicle.events_through(CHRONICLE, self.now)

    def _due(self, watch):
        """What the chronicle knows and the watch has not delivered yet."""
        return [watch.expected(event) for event in self.history[watch.position:] if watch.wants(event)]

    def _deliver(self, watch):
        self._read_chronicle()
        if watch.doomed:
            self._end_of(watch)
            return
        expected = self._due(watch)
        for side in watch.stream.sides:
            self._compare(watch, side, expected, side.next_events(watch.watch_id, len(expected)))
        watch.position = len(self.history)
        if expected and expected[-1].kv.mod_revision > watch.created_at:
            watch.proven = True

    def _end_of(self, watch):
        if watch.ended:
            return
        end = watch.stream.response(watch.watch_id)
        if not end.canceled or end.compact_revision != watch.compacted:
            raise Mismatch(f"{watch}\n  should be ended as compacted at {watch.compacted}: {show(end)}")
        watch.ended = True

    def _compare(self, watch, side, expected, got):
        for index, (mine, theirs) in enumerate(zip(expected, got)):
            if mine != theirs:
                raise Mismatch(f"{watch}\n  {side.name}, event {index + 1} of {len(expected)} since the last look\n"
                               f"  expected  {show(mine)}\n  delivered {show(theirs)}")
        if len(expected) != len(got):
            raise Mismatch(f"{watch}\n  {side.name}: {len(got)} events, {len(expected)} expected")

    def quiet(self):
        """Nothing has come that was not expected."""
        self.sync()
        for stream in self.streams:
            for side in stream.sides:
                try:
                    side.expect_nothing()
                except Mismatch as mismatch:
                    mine = "\n".join(str(watch) for watch in self.watches if watch.stream is stream)
                    raise Mismatch(f"{mismatch}\n{mine}") from None
