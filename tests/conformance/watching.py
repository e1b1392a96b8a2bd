"""Watch streams on both servers: what each says is taken apart per watch, checked, and compared.

A server may put the events of several revisions into one response or send one response each; between watches no
order is promised at all. So the answers to creates are compared in the order they come, everything else in order
for each watch: as whole responses where the test leaves a server no choice (`response`), else as a sequence of
events (`events`). Whatever the batching, a Transcript makes sure of what every watcher may rely on: created comes
first, nothing after canceled, events in order, a revision never torn apart, headers at least as new as events,
progress never ahead of events.
"""

import collections

from harness.api import Put, show
from harness.streams import Stream
from harness.watch_messages import (WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
                                    WatchResponse)
from compare import Mismatch, compared

BROADCAST = -1   # the watch id of what is said of no watch or of all
FENCE_ID = 1 << 40
FENCE_KEY = b"\xff\xfefence"


def create_request(key=b"", end=b"", **options):
    return WatchRequest(create_request=WatchCreateRequest(key=key, range_end=end, **options))


class Requests:
    """What can be asked on a Watch stream, by means of send_raw()."""

    def send(self, request):
        self.send_raw(request.SerializeToString())

    def request_create(self, key=b"", end=b"", **options):
        self.send(create_request(key, end, **options))

    def request_cancel(self, watch_id):
        self.send(WatchRequest(cancel_request=WatchCancelRequest(watch_id=watch_id)))

    def request_progress(self):
        self.send(WatchRequest(progress_request=WatchProgressRequest()))


def _of_fences_only(message):
    """A response or event that only says that a fence was put: for watches on everything."""
    events = getattr(message, "events", None) or ([message] if hasattr(message, "kv") else [])
    return bool(events) and all(event.kv.key == FENCE_KEY for event in events)


def _is_report(message):
    """A progress report, periodic or asked for."""
    return hasattr(message, "canceled") and not (message.canceled or message.created or message.events)


class Transcript(Requests):
    """One server's side of a Watch stream."""

    def __init__(self, stream: Stream, name, patience, progress_is_ordered):
        """progress_is_ordered: a reply to a progress request may not overtake events (3.4 lets it)."""
        self.stream = stream
        self.name = name
        self.patience = patience
        self.progress_is_ordered = progress_is_ordered
        self.created = collections.deque()
        self.responses = collections.defaultdict(collections.deque)  # of each watch id, but for created
        self._seen = 0
        self._announced = set()
        self._over = set()
        self._torn = {}         # watch id: revision whose next fragment has to follow
        self._last = {}         # watch id: revision of its last event
        self._promised = {}     # watch id: no event at or below this revision may follow
        self._split = {}        # watch id: responses taken apart already, as events
        self._reports_are_fine = False

    def send_raw(self, body):
        self.stream.send_raw(body)

    def create(self, key=b"", end=b"", **options):
        """A create request and its answer."""
        self.request_create(key, end, **options)
        return self.next_created()

    def close(self):
        self.stream.close()

    def distribute(self):
        """Takes in what has come since the last time."""
        while self._seen < len(self.stream.received):
            response = self.stream.received[self._seen]
            self._seen += 1
            self._check(response)
            (self.created if response.created else self.responses[response.watch_id]).append(response)

    def wait(self, ready, what):
        """Waits until ready() and returns what it returned; Mismatch names what did not come."""
        while True:
            self.distribute()
            result = ready()
            if result:
                return result
            if not self.stream.wait(self._seen + 1, self.patience):
                self.distribute()
                raise Mismatch(f"{self.name}: {what} did not come; the stream "
                               f"{f'ended with {self.stream.end}' if self.stream.end else 'is silent'}")

    def next_created(self):
        self.wait(lambda: self.created, "the answer to a create request")
        return self.created.popleft()

    def next_response(self, watch_id):
        if self._split.get(watch_id):
            raise Mismatch(f"{self.name}: watch {watch_id} got more events than expected: "
                           f"{show(self._split[watch_id][0])}")
        queue = self.responses[watch_id]
        self.wait(lambda: queue, f"a response for watch {watch_id}")
        return queue.popleft()

    def next_events(self, watch_id, count):
        """The next events of a watch, however they were batched."""
        events = self._split.setdefault(watch_id, collections.deque())
        while len(events) < count:
            events.extend(self._more_events(watch_id, f"event {len(events) + 1} of {count}"))
        return [events.popleft() for _ in range(count)]

    def events_through(self, watch_id, revision):
        """All events of a watch that sees everything, up to a revision."""
        events = list(self._split.pop(watch_id, ()))
        while not events or events[-1].kv.mod_revision < revision:
            events += self._more_events(watch_id, f"revision {revision}")
        return events

    def _more_events(self, watch_id, what):
        """The events of the watch's next response, whole revisions or fragments of one."""
        queue = self.responses[watch_id]
        while True:
            self.wait(lambda: queue, f"{what} for watch {watch_id}")
            response = queue.popleft()
            if response.events:
                return response.events
            if not _is_report(response):
                raise Mismatch(f"{self.name}: watch {watch_id} waits for events and gets {show(response)}")

    def events_until_end(self, watch_id):
        """All further events of a watch that was canceled."""
        events = list(self._split.pop(watch_id, ()))
        while True:
            response = self.next_response(watch_id)
            events += response.events
            if response.canceled:
                return events

    def notified(self, watch_id, revision):
        """Waits for a periodic progress report of that revision; reports of earlier ones may come first."""
        while True:
            report = self.next_response(watch_id)
            if report.events or report.canceled or report.header.revision > revision:
                raise Mismatch(f"{self.name}: not a report of revision {revision}: {show(report)}")
            if report.header.revision == revision:
                return True

    def wait_progress(self, revision):
        """Waits for an answer to a progress request that says so; earlier ones may come first."""
        return self.notified(BROADCAST, revision)

    def forget_progress(self):
        """More reports may come, for as long as they like."""
        self._reports_are_fine = True

    def expect_nothing(self, but_reports=False):
        """Nothing has come that nobody has looked at, or reports of progress only."""
        self.distribute()
        rest = list(self.created)
        for watch_id in sorted(set(self.responses) | set(self._split)):
            rest += self._split.get(watch_id, ())
            rest += self.responses[watch_id]
        rest = [message for message in rest if not _of_fences_only(message) and
                not ((but_reports or self._reports_are_fine) and _is_report(message))]
        if rest:
            raise Mismatch(f"{self.name}: {len(rest)} messages too many, the first: {show(rest[0])[:2000]}")

    def _wrong(self, what, response):
        raise Mismatch(f"{self.name}: {what}\n  {show(response)[:2000]}")

    def _check(self, response: WatchResponse):
        watch_id = response.watch_id
        if response.created:
            self._check_created(response)
            return
        if watch_id not in self._announced:
            if watch_id != BROADCAST:
                self._wrong("a response for a watch that was not created", response)
            if response.events or response.canceled:
                self._wrong("events or an end for no watch", response)
            if self.progress_is_ordered:
                for each in self._announced:
                    self._promised[each] = response.header.revision
            return
        if response.events:
            self._check_events(response)
        elif watch_id in self._torn:
            self._wrong("fragments were announced and did not follow", response)
        elif not response.canceled:
            self._promised[watch_id] = response.header.revision
        if response.canceled:
            self._over.add(watch_id)

    def _check_created(self, response):
        if response.events:
            self._wrong("events in an answer to a create request", response)
        if response.canceled:
            if response.watch_id != BROADCAST:
                self._wrong("refused, and yet with an id", response)
            return
        watch_id = response.watch_id
        self._announced.add(watch_id)
        self._over.discard(watch_id)
        for about in (self._last, self._promised, self._torn):
            about.pop(watch_id, None)

    def _check_events(self, response):
        watch_id = response.watch_id
        if watch_id in self._over:
            self._wrong("events after the end of a watch", response)
        revisions = [event.kv.mod_revision for event in response.events]
        if revisions != sorted(revisions):
            self._wrong("events out of order", response)
        if response.header.revision < revisions[-1]:
            self._wrong("a header older than its events", response)
        if revisions[0] <= self._promised.get(watch_id, 0):
            self._wrong("an event that progress had promised was over", response)
        last = self._last.get(watch_id, 0)
        if watch_id not in self._torn and revisions[0] <= last:
            self._wrong("a revision torn apart, or events repeated", response)
        if revisions[0] < last:
            self._wrong("events out of order", response)
        self._last[watch_id] = revisions[-1]
        if response.fragment:
            self._torn[watch_id] = True
        else:
            self._torn.pop(watch_id, None)


class SubjectWatch(Transcript):
    """A Watch stream to the subject alone, for rules the reference is too old for."""

    def __init__(self, pair):
        super().__init__(pair.subject.watch(), "subject", pair.patience, True)
        self.pair = pair

    def fence(self):
        """Whatever the subject had to say for the writes and requests so far has come when this returns."""
        self.create(FENCE_KEY, watch_id=FENCE_ID)
        self.pair.ask(Put(key=FENCE_KEY))
        self.next_events(FENCE_ID, 1)
        self.request_cancel(FENCE_ID)
        self.next_response(FENCE_ID)

    def quiet(self):
        self.fence()
        self.expect_nothing()


class WatchPair(Requests):
    """The same requests on a Watch stream to both servers."""

    def __init__(self, pair, metadata=None):
        self.pair = pair
        self.sides = [Transcript(pair.reference.watch(metadata), "reference", pair.patience, False),
                      Transcript(pair.subject.watch(metadata), "subject", pair.patience, pair.rules == "subject")]
        self._fenced = False

    def send_raw(self, body):
        self.pair.asked += 1
        for side in self.sides:
            side.send_raw(body)

    def create(self, key=b"", end=b"", **options):
        """A create request and its answer."""
        self.request_create(key, end, **options)
        return self.created()

    def created(self):
        """The next answer to a create request, which both must give alike."""
        return compared(*[side.next_created() for side in self.sides], "answers to a create request")

    def cancel(self, watch_id):
        """A cancel request and the watch's end."""
        self.request_cancel(watch_id)
        return self.response(watch_id)

    def response(self, watch_id):
        """The watch's next response, which both must give alike to the last field."""
        return compared(*[side.next_response(watch_id) for side in self.sides], f"responses for watch {watch_id}")

    def events(self, watch_id, count):
        """The watch's next events, however a server batches them."""
        return self._same_events(watch_id, [side.next_events(watch_id, count) for side in self.sides])

    def events_through(self, watch_id, revision):
        """All events up to a revision, of a watch that sees everything."""
        return self._same_events(watch_id, [side.events_through(watch_id, revision) for side in self.sides])

    @staticmethod
    def _same_events(watch_id, both):
        left, right = both
        for index, (mine, theirs) in enumerate(zip(left, right)):
            if mine != theirs:
                raise Mismatch(f"watch {watch_id}, different event {index + 1} of {len(left)}\n"
                               f"  reference {show(mine)[:4000]}\n  subject   {show(theirs)[:4000]}")
        if len(left) != len(right):
            raise Mismatch(f"watch {watch_id}: {len(left)} events of the reference, {len(right)} of the subject")
        return left

    def fence(self):
        """Whatever the servers had to say for the writes so far has come when this returns."""
        if not self._fenced:
            self.create(FENCE_KEY, watch_id=FENCE_ID)
            self._fenced = True
        self.pair.ask(Put(key=FENCE_KEY))
        self.events(FENCE_ID, 1)

    def quiet(self):
        """Nothing but what was asked for has come."""
        self.fence()
        for side in self.sides:
            side.expect_nothing()

    def close(self):
        for side in self.sides:
            side.close()
