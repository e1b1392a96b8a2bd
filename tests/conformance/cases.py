"""The registry of scripted cases and the small language they are written in.

A case is a function taking a Case. It asks both servers at once (`put`, `range`, `delete`, `txn`, `compact`):
any difference fails it. `check` then makes sure that the case really shows the rule it is named after, `refused`
that a request is refused the way the rule says. `subject_*` hold the server under test alone to a rule that is
newer than the reference.
"""

from harness import api
from pair import Mismatch

ALL = []


def case(name, initial=False):
    """Registers a case. initial: needs servers nothing was ever written to."""

    def register(function):
        ALL.append((name, function, initial))
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
