"""Memory and restart: many keys on each server in turn."""

import time

from harness import api
from measure import loads

FIRST_READ_TIMEOUT = 600.0
LIMIT_RSS = 400e6
LIMIT_RESTART_S = 2.0
LIMIT_GROWTH = 64e6  # more than this for half as many keys again: memory follows the number of keys

ROWS = (  # key, title, format, factor
    ("write_rate", "writes/s while filling", "{:.0f}", 1),
    ("peak", "RSS MB, most while filling", "{:.0f}", 1e-6),
    ("rss", "RSS MB, filled", "{:.0f}", 1e-6),
    ("restart", "restart to first read, s", "{:.2f}", 1),
    ("crash", "the same after kill -9, s", "{:.2f}", 1),
    ("rss_restarted", "RSS MB, restarted", "{:.0f}", 1e-6),
    ("rss_busy", "RSS MB, after random requests", "{:.0f}", 1e-6),
    ("rss_more", "RSS MB, with more keys", "{:.0f}", 1e-6),
)


def first_read(node, began):
    """Seconds from `began` until a linearizable read of a key was answered."""
    key = b"/load/%0*d" % (loads.KEY_SIZE - 6, 0)
    body = api.Range(key=key).SerializeToString()
    while time.monotonic() < began + FIRST_READ_TIMEOUT:
        server = api.Server(node.endpoint)  # a new channel each time: no backoff in the measured time
        try:
            answer = server.call(api.RANGE, body)
        finally:
            server.close()
        if answer.ok and answer.message.count == 1:
            return time.monotonic() - began
        if not node.running():
            raise loads.LoadError(f"{node.kind} ended: {node.log_tail()}")
        time.sleep(0.01)
    raise loads.LoadError(f"{node.kind}: no read within {FIRST_READ_TIMEOUT:.0f} s of its start")


def fill(node, first, keys, value_size):
    """Writes keys first .. first+keys-1 in parts; (writes per second, largest RSS between the parts)."""
    parts, spent, peak = 10, 0.0, 0
    for part in range(parts):
        begin, end = (first + keys * one // parts for one in (part, part + 1))
        result = loads.quorate_load(node, "--prefill-only", "--first-key", begin, "--keys", end - begin,
                                    "--value-size", value_size, "--connections", 50, "--streams", 20)
        spent += result["prefill_s"]
        peak = max(peak, node.usage()["rss_bytes"])
        print(f"  {node.kind:8} {end} keys, RSS {peak / 1e6:.0f} MB", flush=True)
    return keys / spent, peak


def restart(node, crash):
    """Ends the server (orderly, or by kill -9) and starts it again; seconds to the first read."""
    if crash:
        node.kill()
    else:
        node.stop(timeout=120.0)
    began = time.monotonic()
    node.launch()
    return first_read(node, began)


def examine(node, keys, more, value_size):
    """All the figures for one server, in the order of ROWS."""
    rss = lambda: node.usage()["rss_bytes"]
    node.start()
    figures = {}
    figures["write_rate"], figures["peak"] = fill(node, 0, keys, value_size)
    figures["rss"] = rss()
    figures["restart"] = restart(node, False)
    figures["crash"] = restart(node, True)
    figures["rss_restarted"] = rss()
    loads.quorate_load(node, "--workload", "mixed", "--reads", 0.5, "--keys", keys, "--requests", keys // 5,
                       "--value-size", value_size, "--connections", 50, "--streams", 20)
    figures["rss_busy"] = rss()  # caches and write buffers are in use again
    fill(node, keys, more, value_size)
    figures["rss_more"] = rss()
    return figures


def print_table(by_kind, keys, more, value_size):
    """Returns how many of quorate's figures are beyond their limit."""
    print(f"\n{keys} keys of {value_size} bytes, then {more} more")
    print(f"{'':30}" + "".join(f"{kind:>12}" for kind in by_kind))
    for key, title, form, factor in ROWS:
        print(f"{title:30}" + "".join(f"{form.format(figures[key] * factor):>12}" for figures in by_kind.values()))
    if "quorate" not in by_kind:
        return 0
    mine = by_kind["quorate"]
    growth = mine["rss_more"] - max(mine["rss"], mine["rss_busy"])
    checks = (("RSS < 400 MB, filled", max(mine["rss"], mine["rss_busy"]) < LIMIT_RSS),
              ("restart to first read < 2 s", mine["restart"] < LIMIT_RESTART_S),
              (f"RSS grows by {growth / 1e6:.0f} MB with more keys, < 64", growth < LIMIT_GROWTH))
    for title, good in checks:
        print(f"  {title:50} {'ok' if good else 'SHORT'}")
    return sum(not good for _, good in checks)
