"""Watchers: how many events a second reach them, how soon, and at what price in memory."""

import resource
import threading
import time

from measure import loads, table

KEYS_AHEAD = (50, 20)   # connections x streams of puts that may wait for their events
PREFIX_AHEAD = (4, 4)   # each of them makes as many events as there are watchers
KEYS_RATE = 2000        # puts a second where latency is measured
PREFIX_EVENTS = 100000  # events a second where latency is measured
CREATES = (50, 4)
SAMPLE_S = 0.25

COLUMNS = (
    ("rate", "per second", "{:.0f}"),
    ("p50", "p50 us", "{:.0f}"),
    ("p99", "p99 us", "{:.0f}"),
    ("put_p99", "put p99 us", "{:.0f}"),
    ("cpu_us", "CPU us each", "{:.2f}"),
    ("memory", "PSS MB", "{:.0f}"),
    ("grown", "of it new", "{:.0f}"),
    ("client", "client CPU", "{:.0%}"),
)
MORE_RATE = 3.0
LESS_MEMORY = 0.5
CONNECTIONS = 100  # of the watchers; each has one stream with an equal share of them


class Cost(threading.Thread):
    """What a server and its client spend while something runs: a context around it."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.idle = self.peak = node.memory_bytes()
        self._cpu = node.usage()["cpu_s"]
        self._client = self._client_cpu()
        self._began = time.monotonic()
        self._over = threading.Event()

    @staticmethod
    def _client_cpu():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that have ended: the generators
        return used.ru_utime + used.ru_stime

    def run(self):
        while not self._over.wait(SAMPLE_S):
            self.peak = max(self.peak, self.node.memory_bytes())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self.join()

    def figures(self, count):
        """After the end: {memory and how much of it is new, bytes; cpu_us for each of count; client, in CPUs}."""
        return {"memory": self.peak, "grown": self.peak - self.idle,
                "cpu_us": (self.node.usage()["cpu_s"] - self._cpu) * 1e6 / max(1, count),
                "client": (self._client_cpu() - self._client) / (time.monotonic() - self._began)}


class Fanout(table.Row):
    """Puts and watchers: kind "keys" or "prefix" (ops/load/fanout.h); rate 0: as fast as events arrive."""

    def __init__(self, kind, watchers, rate=0):
        super().__init__(f"{watchers} on {'distinct keys' if kind == 'keys' else 'one prefix'}"
                         + (f", {rate}/s" if rate else ""))
        self.kind = kind
        self.watchers = watchers
        self.rate = rate

    def measure(self, node, seconds, warmup):
        connections, streams = KEYS_AHEAD if self.kind == "keys" else PREFIX_AHEAD
        with Cost(node) as cost, loads.Running(
                node, "--fanout", self.kind, *loads.key_options(self.watchers), "--watchers", self.watchers,
                "--watch-connections", min(CONNECTIONS, self.watchers), "--connections", connections,
                "--streams", streams, "--rate", self.rate, "--duration", seconds, "--warmup", warmup) as load:
            result = load.result()
        latency = result["event_latency_us"]
        return {"rate": result["events_per_s"], "p50": latency["p50"], "p99": latency["p99"],
                "put_p99": result["put_latency_us"]["p99"], **cost.figures(result["events"])}


class Creation(table.Row):
    """Watches created, each stream waiting for the answer before it asks for the next."""

    hidden = ("put_p99",)

    def __init__(self, requests):
        super().__init__(f"create {requests} watches")
        self.requests = requests

    def measure(self, node, _seconds, _warmup):
        connections, streams = CREATES
        with Cost(node) as cost:
            result = loads.quorate_load(node, "--workload", "create-watch", "--requests", self.requests,
                                        "--connections", connections, "--streams", streams)
        latency = result["latency_us"]["all"]
        return {"rate": latency["rate"], "p50": latency["p50"], "p99": latency["p99"],
                **cost.figures(result["completed"])}


class Puts(table.Row):
    """Puts over 100,000 keys, and what watchers of some of the keys cost them."""

    hidden = ("put_p99", "memory")

    def __init__(self, watchers):
        super().__init__(f"50x20 put, {watchers or 'no'} watchers")
        self.watchers = watchers

    def measure(self, node, seconds, warmup):
        load = loads.Load("put", 50, 20)
        with held(node, self.watchers):
            return loads.measure(node, load, seconds, warmup, "quorate-load")


class _Nobody:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


class _Held(loads.Running):
    """Watchers of the first keys that stay while something else is measured; none may miss or repeat an event."""

    def __init__(self, node, watchers):
        super().__init__(node, *loads.key_options(), "--fanout", "hold", "--watchers", watchers,
                         "--watch-connections", min(CONNECTIONS, watchers))
        self.wait_ready()

    def __exit__(self, *exception):
        try:
            if exception[0] is None:
                self.stop()
        finally:
            super().__exit__(*exception)


def held(node, watchers):
    """A context in which so many watchers are there; 0: none."""
    return _Held(node, watchers) if watchers else _Nobody()


def rows(watchers, creates):
    return [Fanout("keys", watchers), Fanout("prefix", watchers), Fanout("keys", watchers, KEYS_RATE),
            Fanout("prefix", watchers, max(1, PREFIX_EVENTS // watchers)), Creation(creates), Puts(0), Puts(watchers)]


def compare(nodes, chosen, rounds, seconds):
    """nodes: quorate first, etcd last. Returns the table.Results."""
    results = table.Results()
    for index, row in enumerate(chosen):
        for turn, name, node in loads.turns(nodes, rounds):
            figures = row.measure(node, seconds, min(1.0, seconds / 4))
            results.add(row, name, figures)
            print(f"[{index + 1}/{len(chosen)} round {turn + 1}/{rounds}] {row.name:30}{name:10}"
                  f"{figures['rate']:9.0f}/s  p99 {figures['p99']:8.0f} us", flush=True)
    table.print_table(results, COLUMNS, tuple(nodes))
    return results


def print_floors(results, servers):
    """servers: quorate, perhaps quorate with more proxies, and etcd. Returns how many floors are missed."""
    first, last = servers[0], servers[-1]
    floors = table.Floors("floors (quorate/etcd, and proxies/one proxy)")
    for row in results.loads:
        if isinstance(row, Fanout) and not row.rate:
            floors.check(f"{row.name}: events/s", results.ratio(row, "rate", (first, last)), ">=", MORE_RATE)
            floors.check(f"{row.name}: memory", results.ratio(row, "memory", (first, last)), "<=", LESS_MEMORY)
            for other in servers[1:-1]:
                floors.check(f"{row.name}: events/s, {other}", results.ratio(row, "rate", (other, first)), ">", 1.0)
        elif isinstance(row, Puts):
            floors.check(f"{row.name}: requests/s", results.ratio(row, "rate", (first, last)), ">=", 2.5)
    return floors.short
