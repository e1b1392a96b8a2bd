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
MEGABYTES = ("rss", "memory", "live", "disk", "wal", "grown")
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


class Row:
    """Something measured that is not one of loads.Load: only its name matters to a table."""

    hidden = ()  # columns that mean nothing for it

    def __init__(self, name):
        self.name = name


class Results:
    """Figures by row (a load or a Row) and server, one entry a round."""

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

    def ratio(self, load, key, servers=SERVERS):
        """Of the first server to the second."""
        mine, theirs = (self.medians(load, kind).get(key) for kind in servers)
        return mine / theirs if mine is not None and theirs else None


def _cell(figures, key, form):
    value = figures.get(key)
    if value is None:
        return "-"
    return form.format(value / 1e6 if key in MEGABYTES else value)


def print_table(results, columns=COLUMNS, servers=SERVERS):
    """One line a server, and one with the ratio of each but the last to the last."""
    width = max([28] + [len(load.name) + 2 for load in results.loads])
    print(f"\n{'load':{width}}{'':11}" + "".join(f"{title:>12}" for _, title, _ in columns))
    for load in results.loads:
        name = load.name
        for kind in servers:
            figures = {key: value for key, value in results.medians(load, kind).items() if key not in load.hidden}
            cells = "".join(f"{_cell(figures, key, form):>12}" for key, _, form in columns)
            print(f"{name:{width}}{kind:11}{cells}")
            name = ""
        for kind in servers[:-1]:
            ratios = [None if key in load.hidden else results.ratio(load, key, (kind, servers[-1]))
                      for key, _, _ in columns]
            label = "ratio" if kind == servers[0] else f"  {kind}"
            print(f"{'':{width}}{label:11}" + "".join(f"{'-' if one is None else f'{one:.2f}x':>12}" for one in ratios))


class Floors:
    """Prints each floor with what was reached; `short` counts those that were missed."""

    def __init__(self, title="floors (quorate/etcd)"):
        self.short = 0
        print(f"\n{title}")

    def check(self, name, value, sense, floor, unit="x"):
        """A value of None was not measured and counts as missed."""
        good = value is not None and {"<=": value <= floor, ">=": value >= floor, "<": value < floor,
                                      ">": value > floor}[sense]
        self.short += not good
        shown = "-" if value is None else f"{value:.2f}{unit}"
        print(f"  {name:58}{shown:>12}  {sense} {floor:g}{unit}  {'ok' if good else 'SHORT'}")


def print_daemons(results):
    """Where quorate's CPU time goes, microseconds a request and daemon."""
    print("\nCPU us a request, by daemon")
    for load in results.loads:
        figures = results.medians(load, SERVERS[0])
        parts = [f"{key[15:]} {value:.1f}" for key, value in sorted(figures.items()) if key.startswith("cpu_us quorate-")]
        print(f"  {load.name:28}{', '.join(parts)}")


def print_floors(results):
    """Each floor with its ratio, ok or short. Returns how many are short."""
    floors = Floors()
    for load in results.loads:
        if load.rate:
            continue
        for key, sense, floor in FLOORS.get((load.connections, load.streams, load.workload), ()):
            title = next(title for column, title, _ in COLUMNS if column == key)
            floors.check(f"{load.name}: {title}", results.ratio(load, key), sense, floor)
    return floors.short


def as_data(results):
    """Everything, for --json."""
    return {load.name: results.rounds[load.name] for load in results.loads}
