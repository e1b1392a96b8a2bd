#!/usr/bin/python3
"""python3-etcd3 (Debian) against a node: watch callbacks, leases and the lock recipe; then the same while the
node's daemons are killed in turn. Ends with "N passed, N failed"."""

import os
import queue
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import python_cases  # noqa: E402
from harness.node import ROLES, wait_until_dead  # noqa: E402

import etcd3  # noqa: E402
import grpc  # noqa: E402

# How the library shows a lost connection: its watch_once takes the failure for a response.
LOST = (etcd3.exceptions.Etcd3Exception, grpc.RpcError, AttributeError)
ROUNDS = 8
PATIENCE = 20.0  # seconds


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)


def insist(operation):
    """Repeats what a killed daemon may fail."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return operation()
        except LOST:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Inbox:
    """A callback that keeps events."""

    def __init__(self):
        self.events = queue.Queue()

    def __call__(self, response):
        if not isinstance(response, Exception):  # the case is over
            for event in response.events:
                self.events.put(event)

    def next(self):
        return self.events.get(timeout=PATIENCE)


# --- the quiet node ---

def watch_callback(client, _node):
    inbox = Inbox()
    watch = client.add_watch_callback("w/key", inbox)
    client.put("w/key", "1")
    client.put("w/other", "x")
    client.delete("w/key")
    put, delete = inbox.next(), inbox.next()
    assert isinstance(put, etcd3.events.PutEvent) and put.value == b"1", put
    assert isinstance(delete, etcd3.events.DeleteEvent) and delete.key == b"w/key", delete
    client.cancel_watch(watch)
    client.put("w/key", "2")
    assert inbox.events.empty()


def watch_prefix_callback_in_order(client, _node):
    inbox = Inbox()
    client.add_watch_prefix_callback("p/", inbox, prev_kv=True)
    for number in range(100):
        client.put(f"p/{number % 3}", str(number))
    events = [inbox.next() for _ in range(100)]
    assert [event.value for event in events] == [str(number).encode() for number in range(100)]
    assert [event.prev_value for event in events] == \
        [str(number - 3).encode() if number > 2 else b"" for number in range(100)]


def watch_iterator_from_the_past(client, _node):
    first = client.put("i/a", "1").header.revision
    client.put("i/a", "2")
    events, cancel = client.watch("i/a", start_revision=first)
    assert next(events).value == b"1" and next(events).value == b"2"
    client.put("i/a", "3")
    assert next(events).value == b"3"
    cancel()


def watch_once(client, node):
    writer = threading.Timer(0.05, lambda: python_cases.connect(node).put("once", "1"))
    writer.start()
    assert client.watch_once("once", timeout=PATIENCE).value == b"1"
    try:
        client.watch_once("once", timeout=0.05)
        raise AssertionError("an event that nobody made")
    except etcd3.exceptions.WatchTimedOut:
        pass


def watch_of_a_compacted_revision(client, _node):
    revision = client.put("c", "1").header.revision
    client.put("c", "2")
    client.compact(revision + 1)
    events, _ = client.watch("c", start_revision=revision)
    try:
        next(events)
        raise AssertionError("an event that was compacted")
    except etcd3.exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == revision + 1, error.compacted_revision


def many_watches(client, _node):
    inboxes = [Inbox() for _ in range(200)]
    for number, inbox in enumerate(inboxes):
        client.add_watch_callback(f"m/{number}", inbox)
    for number in range(200):
        client.put(f"m/{number}", str(number))
    assert [inbox.next().value for inbox in inboxes] == [str(number).encode() for number in range(200)]


def lease(client, _node):
    one = client.lease(30)
    assert one.ttl == 30 and one.granted_ttl == 30 and 28 <= one.remaining_ttl <= 30, one.remaining_ttl
    client.put("l/a", "1", lease=one)
    client.put("l/b", "1", lease=one.id)
    assert list(one.keys) == [b"l/a", b"l/b"], one.keys
    assert one.refresh()[0].TTL == 30
    one.revoke()
    assert client.get("l/a") == (None, None) and one.remaining_ttl == -1
    assert client.lease(5, lease_id=777).id == 777
    client.revoke_lease(777)
    assert list(client.refresh_lease(777))[0].TTL == 0


def lease_expires(client, _node):
    inbox = Inbox()
    client.add_watch_prefix_callback("e/", inbox)
    client.put("e/kept", "1")
    short = client.lease(1)
    assert short.ttl == 2, short.ttl
    client.put("e/short", "1", lease=short)
    assert [type(inbox.next()).__name__ for _ in range(3)] == ["PutEvent", "PutEvent", "DeleteEvent"]


def lock(client, node):
    other = python_cases.connect(node)
    with client.lock("quiet", ttl=20) as held:
        assert held.is_acquired()
        assert not other.lock("quiet").acquire(timeout=0.2)
        assert held.refresh()[0].TTL == 20
    waiting = other.lock("quiet", ttl=20)
    assert waiting.acquire() and waiting.is_acquired()
    assert waiting.release()
    other.close()


# --- the storm ---

class Follower:
    """A watch that is made again, from where it was, when its connection is lost."""

    def __init__(self, client, key, prefix, revision):
        self.client, self.key, self.prefix = client, key, prefix
        self.next_revision = revision
        self.seen = []
        self.failures = 0
        self.error = threading.Event()
        self.watch()

    def __call__(self, response):
        if isinstance(response, Exception):
            self.failures += 1
            self.error.set()
            return
        for event in response.events:
            kind = "put" if isinstance(event, etcd3.events.PutEvent) else "delete"
            self.seen.append((event._event.kv.mod_revision, kind, event.key, event.value))
            self.next_revision = event._event.kv.mod_revision + 1

    def watch(self):
        add = self.client.add_watch_prefix_callback if self.prefix else self.client.add_watch_callback
        insist(lambda: add(self.key, self, start_revision=self.next_revision))

    def tend(self):
        if self.error.is_set():
            self.error.clear()
            self.watch()

    def has_end(self):
        return bool(self.seen) and self.seen[-1][3] == b"end"


class Storm:
    def __init__(self, node):
        self.node = node
        self.rages = True
        self.writes = self.locks = self.inside = 0
        self.failure = None
        self.threads = []

    def begin(self, activity):
        def guarded():
            try:
                activity(python_cases.connect(self.node))
            except Exception as error:  # shown by end()
                self.failure = error

        thread = threading.Thread(target=guarded)
        thread.start()
        self.threads.append(thread)

    def end(self):
        self.rages = False
        for thread in self.threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def write(self, client):
        number = 0
        while self.rages:
            number += 1
            key = f"storm/k{number % 5}"
            if number % 7 == 0:
                insist(lambda: client.delete(key))
            else:
                insist(lambda: client.put(key, str(number)))
            self.writes += 1

    def lock(self, client):
        while self.rages:
            one = client.lock("storm", ttl=10)
            if not insist(lambda: one.acquire(timeout=0.5)):
                continue
            self.inside += 1
            assert self.inside == 1, "two hold the lock"
            time.sleep(0.002)
            self.inside -= 1
            self.locks += 1
            insist(one.release)


def kill_in_turn(node, client, followers):
    for number in range(ROUNDS):
        role = ROLES[number % len(ROLES)]
        pid = node.roles()[role][0]
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)
        until(f"{role} is back", lambda: node.roles()[role])
        insist(lambda: client.put("storm/served", role))
        quiet = time.monotonic() + 0.3
        while time.monotonic() < quiet:
            for follower in followers:
                follower.tend()
            time.sleep(0.01)


def survives_kills(client, node):
    storm = Storm(node)
    begin = client.put("storm/begin", "x").header.revision + 1
    followers = [Follower(python_cases.connect(node), key, prefix, begin)
                 for key, prefix in (("storm/", True), ("storm/", True), ("storm/k1", False))]
    held = client.lease(6)
    client.put("held", "x", lease=held)
    storm.begin(storm.write)
    storm.begin(storm.lock)
    storm.begin(storm.lock)
    kill_in_turn(node, client, followers)
    storm.end()
    assert insist(held.refresh)[0].TTL == 6 and client.get("held")[0] == b"x", "the lease is lost"
    insist(lambda: client.put("storm/k1", "end"))
    truth = Follower(python_cases.connect(node), "storm/", True, begin)
    for follower in followers + [truth]:
        def at_the_end(follower=follower):
            follower.tend()
            return follower.has_end()
        until("the last event", at_the_end)
    assert followers[0].seen == truth.seen and followers[1].seen == truth.seen
    assert followers[2].seen == [event for event in truth.seen if event[2] == b"storm/k1"]
    # Only a proxy takes its clients' connections along.
    proxies_killed = ROUNDS // len(ROLES)
    assert all(follower.failures == proxies_killed for follower in followers), [f.failures for f in followers]
    assert storm.writes > 100 and storm.locks > 20, (storm.writes, storm.locks)
    print(f"# {ROUNDS} kills, {storm.writes} writes, {storm.locks} locks, {len(truth.seen)} events")


CASES = [watch_callback, watch_prefix_callback_in_order, watch_iterator_from_the_past, watch_once,
         watch_of_a_compacted_revision, many_watches, lease, lease_expires, lock, survives_kills]

if __name__ == "__main__":
    sys.exit(python_cases.run("python-watch", CASES))
