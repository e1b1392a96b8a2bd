"""Leases: keepalives and grants a second, and how punctually a hundred thousand of them end."""

from statistics import median

from measure import loads, table

KEPT = 10000  # leases that keepalives go to
TTL = 36000   # of those: none ends meanwhile
SHAPES = ((50, 20), (10, 10), (1, 1))
PUTS = 2000   # a second, while leases end
WINDOW = 2.0
MORE_KEEPALIVES = 2.0
LATE_S = 1.0   # etcd looks for ended leases every half second; 99 % must be gone within twice that
DISTURBED = 2.0

SPEED_COLUMNS = (
    ("rate", "requests/s", "{:.0f}"),
    ("mean", "mean us", "{:.0f}"),
    ("p50", "p50 us", "{:.0f}"),
    ("p99", "p99 us", "{:.0f}"),
    ("cpu_us", "CPU us/req", "{:.1f}"),
    ("rss", "RSS MB", "{:.0f}"),
)
EXPIRY_COLUMNS = (
    ("grant_rate", "grants/s", "{:.0f}"),
    ("delay_p50", "late p50 s", "{:.3f}"),
    ("delay_p99", "late p99 s", "{:.3f}"),
    ("delay_max", "late max s", "{:.3f}"),
    ("before", "put before", "{:.0f}"),
    ("before_worst", "worst", "{:.0f}"),
    ("during", "put during", "{:.0f}"),
    ("during_worst", "worst", "{:.0f}"),
)


def compare_speed(nodes, rounds, seconds):
    """Keepalives and grants; a table.Results."""
    results = table.Results()
    chosen = [loads.Load("keepalive", *shape) for shape in SHAPES] + [loads.Load("grant", 50, 20)]
    for name, node in nodes.items():
        loads.quorate_load(node, "--workload", "keepalive", "--prefill-only", "--keys", KEPT, "--ttl", TTL,
                           "--connections", 10, "--streams", 10)
        print(f"{name} is up and holds {KEPT} leases", flush=True)
    for index, load in enumerate(chosen):
        for turn, name, node in loads.turns(nodes, rounds):
            figures = loads.measure(node, load, seconds, min(1.0, seconds / 4), "quorate-load",
                                    ("--keys", KEPT, "--ttl", TTL))
            results.add(load, name, figures)
            print(f"[{index + 1}/{len(chosen)} round {turn + 1}/{rounds}] {load.name:26}{name:8}"
                  f"{figures['rate']:9.0f}/s  p99 {figures['p99']:7.0f} us", flush=True)
    return results


class Expiry(table.Row):
    def __init__(self, leases, keys_each, ttl, spread):
        super().__init__(f"{leases} leases x {keys_each} keys")
        self.leases = leases
        self.keys_each = keys_each
        self.ttl = ttl
        self.spread = spread

    def measure(self, node):
        """Lets them end while puts go on; {late: s, put p99 before and during: us}."""
        with loads.Running(node, "--expiry", self.leases, "--keys-each", self.keys_each, "--ttl", self.ttl,
                           "--spread", self.spread, "--connections", 10, "--streams", 20) as expiry:
            expiry.wait_ready()
            with loads.Running(node, *loads.key_options(), "--workload", "put", "--rate", PUTS, "--window", WINDOW,
                               "--connections", 10, "--streams", 20, "--duration", 1e6) as puts:
                ended = expiry.result()
                steady = puts.stop()
        delay = ended["delay_us"]
        quiet = (ended["last_due_s"] - self.ttl + 1, ended["first_due_s"])  # all renewed, none due yet
        before = loads.windows(steady, *quiet, "p99")
        during = loads.windows(steady, ended["first_due_s"], ended["last_deleted_s"], "p99")
        if not before or not during:
            raise loads.LoadError(f"too short to tell before from during: raise --ttl ({self.ttl} s)")
        return {"grant_rate": ended["leases"] / ended["grant_s"], "delay_p50": delay["p50"] / 1e6,
                "delay_p99": delay["p99"] / 1e6, "delay_max": delay["max"] / 1e6,
                "before": median(before), "before_worst": max(before),
                "during": median(during), "during_worst": max(during)}


def compare_expiry(nodes, row):
    """Each server on its own; a table.Results."""
    results = table.Results()
    for name, node in nodes.items():
        print(f"{row.name}: {name} ...", flush=True)
        results.add(row, name, row.measure(node))
    return results


def print_floors(speed, expiry):
    servers = table.SERVERS
    table.print_table(speed, SPEED_COLUMNS)
    table.print_table(expiry, EXPIRY_COLUMNS)
    print(f"late: from the moment a lease was due until its last key's deletion reached a watcher; put: p99 (us) of "
          f"{PUTS} puts/s in windows of {WINDOW:g} s, median and worst window")
    floors = table.Floors()
    for load in speed.loads:
        if load.workload == "keepalive" and load.connections > 1:
            floors.check(f"{load.name}: requests/s", speed.ratio(load, "rate"), ">=", MORE_KEEPALIVES)
    for row in expiry.loads:
        mine = expiry.medians(row, servers[0])
        floors.check(f"{row.name}: late p99", mine["delay_p99"], "<", LATE_S, " s")
        floors.check(f"{row.name}: put p99, during/before", mine["during"] / mine["before"], "<", DISTURBED)
    return floors.short
