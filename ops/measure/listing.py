"""A client that lists 100,000 keys over and over, and what a steady stream of puts feels of it."""

from measure import loads, table

PUTS = 2000  # a second
SETTLE_S = 1.0
DISTURBED = 2.0

COLUMNS = (
    ("before", "p99 before", "{:.0f}"),
    ("during", "p99 during", "{:.0f}"),
    ("raised", "raised", "{:.2f}"),
    ("p50_before", "p50 before", "{:.0f}"),
    ("p50_during", "p50 during", "{:.0f}"),
    ("lists", "lists/s", "{:.2f}"),
    ("list_p50", "list p50 us", "{:.0f}"),
    ("rss", "RSS MB", "{:.0f}"),
)


def steady_puts(node, seconds):
    result = loads.quorate_load(node, "--workload", "put", "--rate", PUTS, "--duration", seconds, "--warmup", SETTLE_S,
                                "--connections", 10, "--streams", 20)
    return result["latency_us"]["all"]


def measure(node, seconds):
    before = steady_puts(node, seconds)
    with loads.Running(node, *loads.key_options(), "--workload", "list", "--connections", 1, "--streams", 1,
                       "--duration", 1e6) as lists:
        during = steady_puts(node, seconds)
        rss = node.usage()["rss_bytes"]
        listed = lists.stop()["latency_us"]["all"]
    return {"before": before["p99"], "during": during["p99"], "raised": during["p99"] / before["p99"],
            "p50_before": before["p50"], "p50_during": during["p50"], "lists": listed["rate"],
            "list_p50": listed["p50"], "rss": rss}


def compare(nodes, rounds, seconds):
    results = table.Results()
    row = table.Row(f"list of {loads.KEYS} keys")
    for name, node in nodes.items():
        loads.quorate_load(node, "--prefill-only", "--connections", 50, "--streams", 20)
        print(f"{name} is up and holds {loads.KEYS} keys", flush=True)
    for turn, name, node in loads.turns(nodes, rounds):
        figures = measure(node, seconds)
        results.add(row, name, figures)
        print(f"[round {turn + 1}/{rounds}] {name:8} p99 of {PUTS} puts/s: {figures['before']:.0f} us, with lists "
              f"{figures['during']:.0f} us; {figures['lists']:.2f} lists/s", flush=True)
    return results


def print_floors(results):
    table.print_table(results, COLUMNS)
    print(f"p99, p50: of {PUTS} puts/s, us")
    floors = table.Floors("floor (quorate)")
    for row in results.loads:
        floors.check(f"{row.name} in a loop: put p99, during/before",
                     results.medians(row, table.SERVERS[0])["raised"], "<", DISTURBED)
    return floors.short
