"""Runs conformance tests on several pairs of servers at once.

Most of a test is waiting: for a disk, for etcd's next look at watches of the past (every 100 ms), for a lease to
expire. So each worker is a process with servers of its own and takes the next test when it is done with one.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback

from harness import api
from harness.node import Node, end_with_parent, temporary_directory
from compare import Mismatch
from pair import Pair


class Servers:
    """Reference and subject, running, with a Pair to ask both."""

    def __init__(self, subject, rules, flags=()):
        self.directory = temporary_directory("conformance")
        self.nodes = [Node("etcd", os.path.join(self.directory, "reference"), flags),
                      Node(subject, os.path.join(self.directory, "subject"), flags)]
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_healthy()
        self.pair = Pair(*[api.Server(node.endpoint) for node in self.nodes], rules=rules)
        self.pair.restart = self.restart

    def restart(self):
        """kill -9 on both; what they acknowledged must still be there.

        The last thing asked was a write that took effect. The reference commits it first (Hash does that): 3.4 keeps
        leases in its database that are newer than the log position there, and so executes a put at its start that it
        refused when the lease did not exist yet.
        """
        self.pair.reference.call(api.HASH, b"")
        for server in (self.pair.reference, self.pair.subject):
            server.close()
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_healthy()
        self.pair.reference, self.pair.subject = [api.Server(node.endpoint) for node in self.nodes]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for server in (self.pair.reference, self.pair.subject):
            server.close()
        for node in self.nodes:
            if kind is not None or not node.running():
                print(f"{node.kind}'s log ends with:\n{node.log_tail()}", file=sys.stderr)
            node.stop()
        for node in self.nodes:
            node.remove()
        os.rmdir(self.directory)


class Test:
    """One test: function(pair), on servers with those flags, or on new ones; alone: function() starts its own."""

    def __init__(self, name, function, flags=(), new_servers=False, alone=False):
        self.name = name
        self.function = function
        self.flags = flags
        self.new_servers = new_servers
        self.alone = alone


class Result:
    """What became of a test. failure: why it failed, or None."""

    def __init__(self, name, failure, asked):
        self.name = name
        self.failure = failure
        self.asked = asked


def outcome(test, pair):
    """Runs a test, on a pair of servers if it wants one."""
    asked = pair.asked if pair else 0
    try:
        test.function(pair) if pair else test.function()
        failure = None
    except Mismatch as mismatch:
        failure = str(mismatch)[:6000]
    except Exception:  # a test tripped over an answer it did not expect: it fails, the rest go on
        failure = traceback.format_exc()
    return Result(test.name, failure, pair.asked - asked if pair else 0)


class _Worker:
    def __init__(self, tests, subject, rules):
        self.tests = tests
        self.start = lambda flags: Servers(subject, rules, flags)
        self.servers = {}

    def run(self, index):
        test = self.tests[index]
        if test.alone:
            return outcome(test, None)
        if test.new_servers:
            with self.start(test.flags) as servers:
                return outcome(test, servers.pair)
        if test.flags not in self.servers:
            self.servers[test.flags] = self.start(test.flags)
        return outcome(test, self.servers[test.flags].pair)

    def close(self):
        for servers in self.servers.values():
            servers.__exit__(None)


def _work(tests, subject, rules, todo, done):
    end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    worker = _Worker(tests, subject, rules)
    try:
        for index in iter(todo.get, None):
            try:
                done.put(worker.run(index))
            except Exception:  # servers that did not start
                done.put(Result(tests[index].name, traceback.format_exc(), 0))
    finally:
        worker.close()


def run_all(tests, subject, rules, jobs):
    """Runs tests by that many workers; yields a Result for each as it is done."""
    context = multiprocessing.get_context("fork")
    todo, done = context.SimpleQueue(), context.SimpleQueue()
    for index in list(range(len(tests))) + [None] * jobs:
        todo.put(index)
    workers = [context.Process(target=_work, args=(tests, subject, rules, todo, done)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        for _ in tests:
            while done.empty():
                if not any(worker.is_alive() for worker in workers):
                    raise RuntimeError("all workers ended before the tests did")
                time.sleep(0.02)
            yield done.get()
    finally:
        for worker in workers:
            worker.join(30)
            if worker.is_alive():
                worker.terminate()
