"""History that comes and goes: millions of puts over few keys with auto-compaction, disk usage and latency."""

import os
import time
from statistics import median

from harness import api
from measure import loads, table

KEYS = 10000
PUTS = 2000       # a second: the steady ones whose latency counts, beside those that fill
WINDOW = 5.0
SAMPLE_S = 1.0
RECORD = loads.KEY_SIZE + loads.VALUE_SIZE + 24  # key, value, three revisions: what a version of a key has to cost
DISK = 3.0
DISTURBED = 2.0

COLUMNS = (
    ("rate", "puts/s", "{:.0f}"),
    ("quiet", "p99 quiet", "{:.0f}"),
    ("filling", "p99 filling", "{:.0f}"),
    ("compacting", "p99 comp.", "{:.0f}"),
    ("worst", "worst", "{:.0f}"),
    ("live", "live MB", "{:.0f}"),
    ("disk", "most MB", "{:.0f}"),
    ("wal", "of it log", "{:.0f}"),
    ("disk_ratio", "disk/live", "{:.2f}"),
    ("compactions", "compactions", "{:.0f}"),
)


class Revisions:
    """The store's revision, and the one it is compacted at, asked by reads of the past."""

    def __init__(self, node):
        self.server = api.Server(node.endpoint)
        self.compacted = 0
        self.compactions = 0

    def _read(self, revision):
        answer = self.server.call(api.RANGE, api.Range(key=b"/", revision=revision, serializable=True)
                                  .SerializeToString())
        if not answer.ok and "compacted" not in answer.text:
            raise loads.LoadError(f"reading at revision {revision}: {answer}")
        return answer

    def sample(self):
        """(revision, compacted revision)."""
        revision = self._read(0).message.header.revision
        if self.compacted > 0 and self._read(self.compacted).ok or self.compacted == 0 and self._read(1).ok:
            return revision, self.compacted
        low, high = self.compacted, revision  # reads at low fail, at high they do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._read(middle).ok else (middle, high)
        self.compacted = high
        self.compactions += 1
        return revision, high

    def close(self):
        self.server.close()


def disk_usage(directory):
    """Bytes allocated below a directory, and those of the log among them."""
    total = log = 0
    for path, _, files in os.walk(directory):
        for name in files:
            try:
                size = os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # it went meanwhile
            total += size
            log += size if os.path.basename(path) == "wal" else 0
    return total, log


class Sample:
    def __init__(self, node, revisions):
        self.at = time.monotonic()
        self.revision, self.compacted = revisions.sample()
        self.disk, self.log = disk_usage(node.data_directory)
        self.live = (KEYS + self.revision - self.compacted) * RECORD


def watch_disk(node, fill, revisions):
    """A sample a second while the filling goes on; says how it is every 20."""
    samples = []
    while fill.running():
        samples.append(Sample(node, revisions))
        if len(samples) % 20 == 0:
            now = samples[-1]
            print(f"  {node.kind:8} revision {now.revision}, compacted {now.compacted}, disk {now.disk / 1e6:.0f} MB, "
                  f"live {now.live / 1e6:.0f} MB", flush=True)
        time.sleep(SAMPLE_S)
    return samples


def measure(node, puts, rate, quiet_s):
    revisions = Revisions(node)
    loads.quorate_load(node, *loads.key_options(KEYS), "--prefill-only")
    with loads.Running(node, *loads.key_options(KEYS), "--workload", "put", "--rate", PUTS, "--window", WINDOW,
                       "--warmup", 1, "--connections", 10, "--streams", 20, "--duration", 1e6) as steady:
        time.sleep(quiet_s + 1)  # the steady puts alone
        began = time.monotonic()
        with loads.Running(node, *loads.key_options(KEYS), "--workload", "put", "--requests", puts, "--rate", rate,
                           "--connections", 20, "--streams", 20) as fill:
            samples = watch_disk(node, fill, revisions)
            filled = fill.result()["latency_us"]["all"]
        ended = time.monotonic()
        latencies = steady.stop()
    revisions.close()
    # The first compaction may be one of next to nothing: of what was written before the filling began.
    first = next((sample.at for sample in samples if sample.compacted > samples[0].revision), None)
    if first is None:
        raise loads.LoadError(f"{node.kind}: nothing was compacted in {ended - began:.0f} s: more --puts, less --retention")
    compacted = [sample for sample in samples if sample.at >= first]
    fullest = max(compacted, key=lambda sample: sample.disk / sample.live)
    quiet, filling, compacting = (loads.windows(latencies, *span, "p99") for span in
                                  ((0, began), (began + 1, first), (first, ended)))
    if not quiet or not filling or not compacting:
        raise loads.LoadError(f"{node.kind}: a phase was shorter than a window of {WINDOW:g} s (filled {ended - began:.0f} s, "
                              f"first compaction after {first - began:.0f} s): more --puts, or another --retention")
    return {"rate": filled["rate"], "quiet": median(quiet), "filling": median(filling),
            "compacting": median(compacting), "worst": max(compacting), "live": fullest.live, "disk": fullest.disk,
            "wal": fullest.log, "disk_ratio": fullest.disk / fullest.live, "compactions": revisions.compactions}


def compare(nodes, puts, rate, quiet_s):
    """nodes: not started yet; each has the machine to itself. A table.Results.

    """
    results = table.Results()
    row = table.Row(f"{puts} puts, {KEYS} keys")
    for name, node in nodes.items():
        print(f"{row.name}: {name} ...", flush=True)
        node.start()
        results.add(row, name, measure(node, puts, rate, quiet_s))
        node.stop(timeout=120.0)
    return results


def print_floors(results):
    table.print_table(results, COLUMNS)
    print(f"p99 (us) of {PUTS} puts/s in windows of {WINDOW:g} s, medians: quiet: alone; filling: beside the other puts,\n"
          "before the first compaction; comp.: from then on, with its worst window. disk/live: the worst second from\n"
          f"the first compaction on; live: {RECORD} bytes for each key and each revision not compacted")
    floors = table.Floors("floors (quorate)")
    for row in results.loads:
        mine = results.medians(row, table.SERVERS[0])
        floors.check("disk usage, of live data, at its worst", mine["disk_ratio"], "<", DISK)
        floors.check("put p99, worst window with compaction/filling", mine["worst"] / mine["filling"], "<=", DISTURBED)
        print(f"  for information: worst window with compaction/quiet {mine['worst'] / mine['quiet']:.2f}x")
    return floors.short
