"""The log is etcd's: genuine etcd starts on ours and quorate on etcd's, and both find what the other had.

Random operations (keys, txns, leases, compactions) on one server, which is then stopped or killed; the other is
started on a copy of its log alone, at the same addresses (a member's id follows from them); then back again after
more operations. Compared: every revision that can be read, the events since the compaction, leases with their keys.

No txn here reads at a revision of the past: when 3.4 applies its log at a start (or as a follower) it leaves such
reads out of txns, and so executes a txn that it refused when it was asked, because the revision was compacted.
"""

import os
import shutil
import subprocess

from harness import api
from harness.api import Compaction, Leases, Range, TimeToLive
from harness.node import ROOT, Node, build_directory, temporary_directory
from cases_range import ALL_KEYS, COMPACTED
from compare import Mismatch, normalise
from sequences import Generator
from watching import Transcript

OPERATIONS = 150
PATIENCE = 10.0


def _answer(server, request):
    return server.call(api.METHOD_OF[type(request)], request.SerializeToString())


def _message(server, request):
    answer = _answer(server, request)
    if not answer.ok:
        raise Mismatch(f"{api.show(request)}: {answer}")
    normalise(answer.message)
    return answer.message


class _Store:
    """What is known of the store whose log travels: revisions, from the answers of whoever has it now."""

    def __init__(self, seed):
        self.generator = Generator(seed, old_reads_in_txns=False)
        self.generator.revision = 1

    def write(self, server):
        for _ in range(OPERATIONS):
            request = self.generator.next()
            self.generator.learn(request, _answer(server, request))

    def picture(self, server):
        """Everything a client can see, as text, part by part."""
        first, last = self.generator.compacted, self.generator.revision
        parts = [("now", _message(server, Range(key=ALL_KEYS[0], range_end=ALL_KEYS[1])))]
        for revision in range(max(first, 1), last + 1):
            parts.append((f"revision {revision}",
                          _message(server, Range(key=ALL_KEYS[0], range_end=ALL_KEYS[1], revision=revision))))
        for request in (Range(key=b"k", revision=max(first - 1, 1)), Compaction(revision=first)):
            answer = _answer(server, request)
            parts.append((api.show(request), None if first <= 1 else (answer.code, answer.text)))
            if first > 1 and (answer.code, answer.text) != COMPACTED:
                raise Mismatch(f"{api.show(request)}: {answer}")
        parts += self._leases(server)
        parts.append((f"events since {first}", self._events(server, first + 1, last)))
        return parts

    @staticmethod
    def _leases(server):
        leases = sorted(lease.ID for lease in _message(server, Leases()).leases)
        yield "leases", leases
        for lease in leases:
            answer = _message(server, TimeToLive(ID=lease, keys=True))
            yield f"lease {lease}", (answer.grantedTTL, sorted(answer.keys))

    @staticmethod
    def _events(server, first, last):
        if first > last:
            return []
        watch = Transcript(server.watch(), "the server", PATIENCE, False)
        try:
            watch.create(*ALL_KEYS, start_revision=first, prev_kv=True)
            return watch.events_through(0, last)
        finally:
            watch.close()


def _start(kind, directory, predecessor=None):
    """A node on nothing, or on a copy of another's log and at its addresses."""
    node = Node(kind, directory)
    if predecessor is not None:
        node.client_port, node.peer_port = predecessor.client_port, predecessor.peer_port
        os.makedirs(os.path.join(node.data_directory, "member"), mode=0o700)
        shutil.copytree(os.path.join(predecessor.data_directory, "member", "wal"),
                        os.path.join(node.data_directory, "member", "wal"))
    node.start()
    return node


def _short(part):
    return (api.show(part) if hasattr(part, "DESCRIPTOR") else str(part))[:3000]


def _compare(before, after, kinds):
    for (what, mine), (_, theirs) in zip(before, after):
        if mine != theirs:
            raise Mismatch(f"{what} differs\n  {kinds[0]} had    {_short(mine)}\n  {kinds[1]} reads  {_short(theirs)}")
    if len(before) != len(after):
        raise Mismatch(f"{kinds[0]} saw {len(before)} things, {kinds[1]} {len(after)}")


def travel(kinds, seed):
    """The log goes from server to server, each of another kind; each goes on writing."""
    directory = temporary_directory("interchange")
    store = _Store(seed)
    node, before = None, None
    try:
        for stop, kind in enumerate(kinds):
            node = _start(kind, os.path.join(directory, f"{stop}-{kind}"), node)
            server = api.Server(node.endpoint)
            try:
                if before is not None:
                    _compare(before, store.picture(server), kinds[stop - 1:stop + 1])
                store.write(server)
                before = store.picture(server)
            finally:
                server.close()
            node.kill() if stop % 2 else node.stop()
    finally:
        if node is not None and node.running():
            node.kill()
        shutil.rmtree(directory, ignore_errors=True)


def segments():
    """Reader and writer of segments against etcd's, without a server of ours (wal/run)."""
    tool = os.path.join(build_directory(), "tests", "wal_tool")
    if not os.access(tool, os.X_OK):
        raise Mismatch(f"{tool} is missing")
    done = subprocess.run([os.path.join(ROOT, "tests", "conformance", "wal", "run"), tool], capture_output=True,
                          text=True, timeout=200, check=False)
    if done.returncode != 0:
        raise Mismatch(f"{done.stdout}{done.stderr}")
