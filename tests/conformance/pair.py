"""The two servers side by side: ask both, compare, keep what differs.

`reference` is genuine etcd, `subject` the server under test. Both see the same requests in the same order, so
their revisions run in step; `fresh` empties both and brings them in step again should a difference have
separated them, so that one failed case doesn't fail all that follow.
"""

from harness.api import (COMPACT, DELETE, LEASES, METHOD_OF, PUT, RANGE, REVOKE, Compaction, Delete, Leases, Put, Range,
                         Revoke, show)
from compare import Mismatch, difference

EVERYTHING = {"key": b"\0", "range_end": b"\0"}


class Pair:
    def __init__(self, reference, subject, rules="subject"):
        """rules: who must obey rules newer than the reference: "subject", or "none" for etcd against etcd."""
        self.reference = reference
        self.subject = subject
        self.rules = rules
        self.seconds = 1  # by which the time that a lease has left may differ
        self.restart = None  # kills both and starts them again; set by who started them
        self.base = 0  # the revision at the last fresh()
        self.asked = 0
        self.patience = 10.0  # seconds until what a stream should bring counts as lost

    def ask_raw(self, method, body, request=None, exact_text=True):
        """Sends the same bytes to both; Mismatch unless the answers agree. Returns the reference's answer."""
        calls = [(server, server.start(method, body)) for server in (self.reference, self.subject)]
        left, right = [server.finish(method, call) for server, call in calls]
        self.asked += 1
        what = difference(request, left, right, exact_text, self.seconds)
        if what is not None:
            shown = show(request)[:4000] if request is not None else f"{method} {body[:100]!r}"
            raise Mismatch(f"{what}\n  request   {shown}\n  reference {left}\n  subject   {right}")
        return left

    def ask(self, request):
        return self.ask_raw(METHOD_OF[type(request)], request.SerializeToString(), request)

    def subject_only(self, method, body):
        """For rules the reference is too old for. None when there is no subject to hold to them."""
        if self.rules == "none":
            return None
        return self.subject.call(method, body)

    def fresh(self, least=0):
        """Empties both servers, brings them to the same revision, `least` or more, and compacts them there."""
        servers = (self.reference, self.subject)
        self.seconds = 1
        for server in servers:
            self._revoke_all(server)
        latest = [self._must(server, DELETE, Delete(**EVERYTHING)) for server in servers]
        if latest[0] != latest[1] or latest[0] < least:
            target = max(latest + [least]) + 2
            for server, revision in zip(servers, latest):
                self._advance(server, target - revision)
        self.base = self._must(self.reference, RANGE, Range(key=b"pad"))
        for server in servers:
            # Refused as already compacted when nothing has been written since the last time.
            server.call(COMPACT, Compaction(revision=self.base).SerializeToString())

    @staticmethod
    def _revoke_all(server):
        answer = server.call(LEASES, Leases().SerializeToString())
        if not answer.ok:
            raise Mismatch(f"the list of leases: {answer}")
        for lease in answer.message.leases:
            server.call(REVOKE, Revoke(ID=lease.ID).SerializeToString())

    def _advance(self, server, revisions):
        """Moves an empty server on by two revisions or more; it is empty again afterwards."""
        for _ in range(revisions - 1):
            self._must(server, PUT, Put(key=b"pad"))
        self._must(server, DELETE, Delete(key=b"pad"))

    @staticmethod
    def _must(server, method, request):
        answer = server.call(method, request.SerializeToString())
        if not answer.ok:
            raise Mismatch(f"{show(request)}: {answer}")
        return answer.message.header.revision
