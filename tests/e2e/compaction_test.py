#!/usr/bin/python3
"""Physical compactions of a real node while apply and maint are killed: at every revision that may still be read, and
in every watch from the past, there is what was written; and the disk space comes back. Ends with "N passed, N failed"."""

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

from harness import api  # noqa: E402
from harness.node import Node, temporary_directory  # noqa: E402
from harness.watch_messages import WatchCreateRequest, WatchRequest  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
KEYS = 300
ROUNDS = 8
CHANGES = 600      # a round, and half as many while it is compacted
TOGETHER = 50      # puts under way at a time
VALUE = 4000
PATIENCE = 60.0
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
MOST_GARBAGE = 16e6  # bytes of disk beyond what lives, the Raft log not counted; without compaction it is 28e6


class Failure(Exception):
    pass


def expect(condition, *what):
    if not condition:
        raise Failure(" ".join(map(str, what)))


class History:
    """All that was ever written: (revision, key, value); value None: deleted."""

    def __init__(self, server, chance):
        self.server = server
        self.chance = chance
        self.changes = []
        self.revision = 1
        self.compacted = 0

    def _start(self, number):
        key = b"key-%03d" % self.chance.randrange(KEYS)
        if self.chance.random() < 0.15:
            return api.DELETE, key, None, self.server.start(api.DELETE, api.Delete(key=key).SerializeToString())
        value = b"%d " % number + self.chance.randbytes(VALUE)
        put = api.Put(key=key, value=value).SerializeToString()
        return api.PUT, key, value, self.server.start(api.PUT, put)

    def write(self, count):
        calls = []
        for number in range(count):
            calls.append(self._start(number))
            if len(calls) == TOGETHER or number == count - 1:
                self._take(calls)
                calls = []

    def _take(self, calls):
        for method, key, value, call in calls:
            answer = self.server.finish(method, call)
            expect(answer.ok, method, answer)
            if method == api.PUT or answer.message.deleted > 0:
                self.changes.append((answer.message.header.revision, key, value))
        self.changes.sort()
        self.revision = self.changes[-1][0]

    def at(self, revision):
        state = {}
        for changed, key, value in self.changes:
            if changed > revision:
                break
            state[key] = value
        return {key: value for key, value in state.items() if value is not None}

    def check_read(self, revision):
        answer = self.server.call(api.RANGE, api.Range(key=b"\0", range_end=b"\0", revision=revision).SerializeToString())
        expect(answer.ok, "reading at", revision, answer)
        found = {pair.key: pair.value for pair in answer.message.kvs}
        expected = self.at(revision)
        expect(found.keys() == expected.keys(), f"at revision {revision} (compacted {self.compacted}):",
               "missing", sorted(expected.keys() - found.keys()), "too many", sorted(found.keys() - expected.keys()))
        wrong = [key for key in expected if expected[key] != found[key]]
        expect(not wrong, f"at revision {revision}: other values of", wrong)

    def check_reads(self):
        for revision in {self.compacted or 1, self.revision} | {self.chance.randint(self.compacted or 1, self.revision)
                                                                for _ in range(4)}:
            self.check_read(revision)
        if self.compacted > 1:
            answer = self.server.call(api.RANGE, api.Range(key=b"k", revision=self.compacted - 1).SerializeToString())
            expect(answer.text == COMPACTED, "reading below the compacted revision:", answer)

    def check_watch(self):
        """From the compacted revision on, with previous values as far as they may be read."""
        stream = self.server.watch()
        start = self.compacted or 1
        stream.send(WatchRequest(create_request=WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start,
                                                                   prev_kv=True)))
        expected = [change for change in self.changes if change[0] >= start]
        deadline = time.monotonic() + PATIENCE
        found = []
        while len(found) < len(expected) and time.monotonic() < deadline and stream.end is None:
            stream.wait(len(stream.received) + 1, 0.5)
            found = [event for response in list(stream.received) for event in response.events]
        stream.close()
        expect(len(found) == len(expected), f"{len(found)} of {len(expected)} events from {start}, end {stream.end}")
        state = self.at(start - 1)
        for event, (revision, key, value) in zip(found, expected):
            expect((event.kv.mod_revision, event.kv.key) == (revision, key), "event of", event.kv.key, event.kv.mod_revision,
                   "instead of", key, revision)
            expect(value is None or event.kv.value == value, "other value of", key, "at", revision)
            before = state.get(key) if revision > start else None
            expect(event.prev_kv.value == (before or b""), "other previous value of", key, "at", revision)
            state[key] = value


def kill(node, role):
    for pid in node.roles()[role]:
        os.kill(pid, signal.SIGKILL)


def compact(node, history, revision, victim, delay):
    """Compacts physically while more is written and a daemon dies; asks again as long as that is not answered."""
    request = api.Compaction(revision=revision, physical=True).SerializeToString()
    call = history.server.start(api.COMPACT, request)
    time.sleep(delay)
    if victim is not None:
        kill(node, victim)
    history.write(CHANGES // 2)
    answer = history.server.finish(api.COMPACT, call)
    deadline = time.monotonic() + PATIENCE
    while not answer.ok and answer.text != COMPACTED:
        expect(time.monotonic() < deadline, "compaction is not done:", answer)
        answer = history.server.call(api.COMPACT, request)
    history.compacted = revision


def disk_usage(directory):
    found = {}
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                state = os.lstat(os.path.join(path, name))
            except FileNotFoundError:
                continue
            if os.path.basename(path) != "wal":
                found[state.st_ino] = state.st_blocks * 512
    return sum(found.values())


def wait_for_space(node, history):
    live = sum(len(value) for value in history.at(history.revision).values())
    deadline = time.monotonic() + PATIENCE
    while disk_usage(node.data_directory) > live + MOST_GARBAGE:
        expect(time.monotonic() < deadline, disk_usage(node.data_directory), "bytes on disk,", live, "live")
        time.sleep(0.2)


def run_round(node, history, chance, number):
    history.write(CHANGES)
    history.check_reads()
    victim = (None, "apply", "maint", "apply")[number % 4]
    revision = chance.randint(history.compacted + 1, history.revision)
    compact(node, history, revision, victim, chance.uniform(0, 0.4))
    history.check_reads()
    history.check_watch()
    return f"compacted at {revision} of {history.revision}" + (f", {victim} killed" if victim else "")


def main():
    directory = temporary_directory("compaction")
    node = Node("quorate", directory, ["--memtable-bytes", str(1 << 20)])
    chance = random.Random(SEED)
    passed = failed = 0
    try:
        node.start()
        history = History(api.Server(node.endpoint), chance)
        for number in range(ROUNDS):
            print(f"ok: {run_round(node, history, chance, number)}", flush=True)
            passed += 1
        compact(node, history, history.revision, None, 0)
        history.check_reads()
        wait_for_space(node, history)
        print(f"ok: all but the present compacted, {disk_usage(node.data_directory)} bytes on disk")
        passed += 1
        node.stop()
        node.start()
        history.server = api.Server(node.endpoint)  # the old channel may still wait before it connects again
        history.check_reads()
        print("ok: started again")
        passed += 1
    except (Failure, api.grpc.RpcError) as failure:
        print(f"FAILED (SEED={SEED}): {failure}\n{node.log_tail(20)}")
        failed += 1
    finally:
        node.stop()
        if failed == 0:
            node.remove()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
