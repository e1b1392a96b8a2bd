"""The results side by side: medians over the rounds, ratios, and the floors they are held to."""

from statistics import median

COLUMNS = (  # key, title, format, ratio is quorate over etcd in every case
    ("rate", "requests/s", "{:.0f}"),
    ("mean", "mean us", "{:.0f}"),
    ("p50", "p50 us", "{:.0f}"),
    ("p99", "p99 us", "{:.0f}"),
    ("p99.9", "p99.9 us", "{:.0f}"),
    ("cpu_us", "CPU us/req", "{:.1f}"),
    ("written", "bytes/1000", "{:.0f}"),
    ("fsyncs", "fsync/1000", "{:.1f}"),
    ("rss", "RSS MB", "{:.0f}"),
)
WRITES_ONLY = ("written", "fsyncs")
SERVERS = ("quorate", "etcd")

# (connections, streams, workload) -> column -> floor for quorate/etcd ("at least" or "at most")
FLOORS = {
    (50, 20, "put"): (("rate", ">=", 2.5), ("cpu_us", "<=", 0.35)),
    (50, 20, "range"): (("rate", ">=", 3.0), ("cpu_us", "<=", 0.35)),
    (10, 10, "put"): (("rate", ">=", 1.5),),
    (10, 10, "range"): (("rate", ">=", 1.5),),
    (1, 1, "put"): (("mean", "<=", 1.25),),
    (1, 1, "range"): (("mean", "<=", 1.8),),
}


class Results:
    """Figures by load and server, one entry a round."""

    def __init__(self):
        self.rounds = {}
        self.loads = []

    def add(self, load, kind, figures):
        if load.name not in self.rounds:
            self.rounds[load.name] = {}
            self.loads.append(load)
        self.rounds[load.name].setdefault(kind, []).append(figures)

    def medians(self, load, kind):
        rounds = self.rounds[load.name].get(kind, [])
        keys = {key for figures in rounds for key in figures}
        return {key: median(figures[key] for figures in rounds if key in figures) for key in keys}

    def ratio(self, load, key):
        mine, theirs = (self.medians(load, kind).get(key) for kind in SERVERS)
        return mine / theirs if mine is not None and theirs else None


def _cell(figures, key, form):
    value = figures.get(key)
    if value is None:
        return "-"
    return form.format(value / 1e6 if key == "rss" else value)


def print_table(results):
    print(f"\n{'load':28}{'':9}" + "".join(f"{title:>12}" for _, title, _ in COLUMNS))
    for load in results.loads:
        hidden = () if load.workload in ("put", "mixed") else WRITES_ONLY
        for kind in SERVERS:
            figures = {key: value for key, value in results.medians(load, kind).items() if key not in hidden}
            cells = "".join(f"{_cell(figures, key, form):>12}" for key, _, form in COLUMNS)
            print(f"{load.name if kind == SERVERS[0] else '':28}{kind:9}{cells}")
        ratios = [None if key in hidden else results.ratio(load, key) for key, _, _ in COLUMNS]
        print(f"{'':28}{'ratio':9}" + "".join(f"{'-' if one is None else f'{one:.2f}x':>12}" for one in ratios))


def print_daemons(results):
    """Where quorate's CPU time goes, microseconds a request and daemon."""
    print("\nCPU us a request, by daemon")
    for load in results.loads:
        figures = results.medians(load, SERVERS[0])
        parts = [f"{key[15:]} {value:.1f}" for key, value in sorted(figures.items()) if key.startswith("cpu_us quorate-")]
        print(f"  {load.name:28}{', '.join(parts)}")


def print_floors(results):
    """Each floor with its ratio, ok or short. Returns how many are short."""
    print("\nfloors (quorate/etcd)")
    short = 0
    for load in results.loads:
        if load.rate:
            continue
        for key, sense, floor in FLOORS.get((load.connections, load.streams, load.workload), ()):
            ratio = results.ratio(load, key)
            if ratio is None:
                continue
            good = ratio >= floor if sense == ">=" else ratio <= floor
            short += not good
            title = next(title for column, title, _ in COLUMNS if column == key)
            print(f"  {load.name:24}{title:12}{ratio:7.2f}x  {sense} {floor:g}x  {'ok' if good else 'SHORT'}")
    return short


def as_data(results):
    """Everything, for --json."""
    return {load.name: results.rounds[load.name] for load in results.loads}
