"""The registry of scripted cases and the small language they are written in.

A case is a function taking a Case. It asks both servers at once (`put`, `range`, `delete`, `txn`, `compact`):
any difference fails it. `check` then makes sure that the case really shows the rule it is named after, `refused`
that a request is refused the way the rule says. `subject_*` hold the server under test alone to a rule that is
newer than the reference.
"""

from dataclasses import dataclass
from typing import Callable

from harness import api
from harness.api import Grant, Leases, Revoke, TimeToLive
from compare import Mismatch
from leasing import KeepAlivePair
from watching import SubjectWatch, WatchPair

ALL = []
PATIENT = ()
IMPATIENT = ("--heartbeat-interval", "50", "--election-timeout", "250",
             "--experimental-watch-progress-notify-interval", "100ms")


@dataclass(frozen=True)
class Registered:
    name: str
    function: Callable
    initial: bool
    flags: tuple


def case(name, initial=False, flags=PATIENT):
    """Registers a case.

    initial: needs servers nothing was ever written to.
    flags: of both servers. With IMPATIENT ones leases live for a second, and watches report progress in 100 ms.
    """

    def register(function):
        ALL.append(Registered(name, function, initial, flags))
        return function

    return register


def op(request):
    """A RequestOp around a Range, Put, Delete or Txn."""
    field = {api.Range: "request_range", api.Put: "request_put", api.Delete: "request_delete_range",
             api.Txn: "request_txn"}[type(request)]
    return api.Op(**{field: request})


def txn(compare=(), success=(), failure=()):
    """A TxnRequest; plain requests are wrapped."""
    wrap = lambda operations: [one if isinstance(one, api.Op) else op(one) for one in operations]
    return api.Txn(compare=list(compare), success=wrap(success), failure=wrap(failure))


class Case:
    def __init__(self, pair):
        self.pair = pair
        self._open = []

    def run(self, function):
        """The case itself; afterwards no stream may have more to say than the case has looked at."""
        try:
            function(self)
            for stream in self._open:
                stream.quiet()
        finally:
            for stream in self._open:
                stream.close()

    @property
    def base(self):
        """The revision both servers had when the case began."""
        return self.pair.base

    def ask(self, request):
        answer = self.pair.ask(request)
        if not answer.ok:
            raise Mismatch(f"both refused: {answer}\n  request   {api.show(request)}")
        return answer.message

    def put(self, key, value=b"", **options):
        return self.ask(api.Put(key=key, value=value, **options))

    def range(self, key, end=b"", **options):
        return self.ask(api.Range(key=key, range_end=end, **options))

    def delete(self, key, end=b"", **options):
        return self.ask(api.Delete(key=key, range_end=end, **options))

    def agreed(self, request):
        """Asks something whose answer may be too deep to look into."""
        answer = self.pair.ask(request)
        if not answer.ok:
            raise Mismatch(f"both refused: {answer}")

    def txn(self, compare=(), success=(), failure=()):
        return self.ask(txn(compare, success, failure))

    def compact(self, revision, physical=False):
        return self.ask(api.Compaction(revision=revision, physical=physical))

    def either(self, request):
        """Asks without an opinion whether it succeeds; the servers must agree all the same."""
        return self.pair.ask(request)

    def refused(self, request, code, text):
        answer = self.pair.ask(request)
        if (answer.code, answer.text) != (code, text):
            raise Mismatch(f"expected {code} {text!r}, both said {answer}\n  request   {api.show(request)}")

    def refused_raw(self, method, body, code, text=None):
        """text None: the code counts, the words are the library's."""
        answer = self.pair.ask_raw(method, body, exact_text=text is not None)
        if answer.code != code or (text is not None and answer.text != text):
            raise Mismatch(f"expected {code} {text!r}, both said {answer}\n  {method} {body[:60]!r}")

    def check(self, condition, what):
        if not condition:
            raise Mismatch(f"the servers agree, but not with the rule: {what}")

    def keys(self, answer):
        return [kv.key for kv in answer.kvs]

    # --- leases ---

    def grant(self, lease, ttl=1000):
        return self.ask(Grant(ID=lease, TTL=ttl))

    def revoke(self, lease):
        return self.ask(Revoke(ID=lease))

    def time_to_live(self, lease, keys=True):
        return self.ask(TimeToLive(ID=lease, keys=keys))

    def leases(self):
        """Ids of all leases, in the order of the list."""
        return [lease.ID for lease in self.ask(Leases()).leases]

    def keep_alive(self):
        """A stream for keepalives to each server."""
        return self._opened(KeepAlivePair(self.pair))

    def each(self, function):
        """For what differs by nature: function(server) for the reference and for the subject."""
        return [function(server) for server in (self.pair.reference, self.pair.subject)]

    # --- watches ---

    def watch(self, metadata=None):
        """A Watch stream to each server."""
        return self._opened(WatchPair(self.pair, metadata))

    def watching(self, key=b"", end=b"", **options):
        """A Watch stream with one watch on it."""
        watch = self.watch()
        created = watch.create(key, end, **options)
        self.check(not created.canceled, f"the watch is created, not {created.cancel_reason!r}")
        return watch

    def forget(self, stream):
        """The case ends without a last look at this stream; it is closed all the same."""
        self._open.remove(stream)
        stream.close()

    def _opened(self, stream):
        self._open.append(stream)
        return stream

    # --- rules newer than the reference ---

    def subject_refuses(self, method, request, code, text):
        answer = self.pair.subject_only(method, request.SerializeToString())
        if answer is not None and (answer.code, answer.text) != (code, text):
            raise Mismatch(f"expected {code} {text!r}, got {answer}\n  request   {api.show(request)}")

    def subject_answers(self, method, body):
        """The subject's answer, which must be a success; None when there is no subject."""
        answer = self.pair.subject_only(method, body)
        if answer is not None and not answer.ok:
            raise Mismatch(f"{method}: {answer}")
        return answer

    def subject_streams(self, request):
        """RangeStream: the RangeResponses in order and the end; None when there is no subject."""
        if self.pair.rules == "none":
            return None
        parts, end = self.pair.subject.stream(api.RANGE_STREAM, request.SerializeToString())
        return [api.range_stream_part(part) for part in parts], end

    def subject_watch(self):
        """A Watch stream to the subject alone; None when there is no subject."""
        return None if self.pair.rules == "none" else self._opened(SubjectWatch(self.pair))
