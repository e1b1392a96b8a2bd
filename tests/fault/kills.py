"""Killing daemons of a node one after the other, and how long its clients take to notice it no more."""

import os
import random
import signal
import statistics
import time

from harness.node import ROLES, NodeError, wait_until_dead

WHOLE = "whole node"


class Campaign:
    def __init__(self, node, client, timeout):
        self.node = node
        self.client = client
        self.timeout = timeout
        self.times = {}  # (role, class) -> seconds, one a round
        self.rounds = 0

    def round(self, target):
        """Kills, waits until all is back, and records how long each class of requests took."""
        self.rounds += 1
        time.sleep(random.uniform(0, 0.3))  # kills hit any moment of the load, not only its beginning
        name = f"{self.rounds}:{target.replace(' ', '-')}"
        began = time.monotonic_ns() // 1000
        if target == WHOLE:
            self.node.kill()
            self.client.mark(name)
            self.node.start()
        else:
            self._kill_daemon(target, name)
        for kind, at in self.client.wait_recovered(name, self.timeout).items():
            self.times.setdefault((target, kind), []).append((at - began) / 1e6)

    def _kill_daemon(self, role, name):
        before = self.node.roles()
        if not before[role]:
            raise NodeError(f"no {role} is running: {self.node.log_tail()}")
        victim = random.choice(before[role])
        os.kill(victim, signal.SIGKILL)
        wait_until_dead(victim)
        self.client.mark(name)
        self._wait_replaced(role, victim, len(before[role]))

    def _wait_replaced(self, role, victim, count):
        deadline = time.monotonic() + self.timeout
        while True:
            now = self.node.roles()[role]
            if victim not in now and len(now) >= count:
                return
            if not self.node.running():
                raise NodeError(f"the launcher ended: {self.node.log_tail()}")
            if time.monotonic() > deadline:
                raise NodeError(f"{role} was not restarted within {self.timeout} s: {self.node.log_tail()}")
            time.sleep(0.002)


def table(times, limits, judged_from=1):
    """Prints recovery times; returns the sentences about medians, of so many rounds or more, above their limit.

    times: {(target, class): [seconds, ...]}, limits: {target: {class: seconds}}.
    """
    slow = []
    print(f"\n{'killed':12} {'requests':14} {'rounds':>6} {'median':>9} {'worst':>9} {'limit':>8}")
    for target in ROLES + (WHOLE,):
        for (killed, kind), seconds in times.items():
            if killed != target:
                continue
            median, worst = statistics.median(seconds), max(seconds)
            limit = limits.get(target, {}).get(kind)
            shown = "-" if limit is None else f"< {limit:g} s"
            verdict = "" if limit is None else "ok" if worst < limit else "median ok" if median < limit else "SLOW"
            print(f"{target:12} {kind:14} {len(seconds):6} {median:8.3f}s {worst:8.3f}s {shown:>8} {verdict}")
            if limit is not None and median >= limit and len(seconds) >= judged_from:
                slow.append(f"{kind} after kill of {target}: median {median:.3f} s")
    return slow


def report(name, wrong):
    """One line of the verdict; the first findings below it. Returns 1 when it failed."""
    print(f"{'FAILED' if wrong else 'ok':7} {name}")
    for sentence in wrong[:20]:
        print(f"          {sentence}")
    return 1 if wrong else 0
