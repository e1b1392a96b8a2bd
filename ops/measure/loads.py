"""One measurement: a load generator against one server, and what the server spent on it."""

import json
import os
import re
import signal
import struct
import subprocess

from harness import api
from harness.node import executable

KEYS = 100000
KEY_SIZE = 24
VALUE_SIZE = 256
FSYNCS = "etcd_disk_wal_fsync_duration_seconds_count"


class Load:
    """What is asked: connections x streams of one workload; rate 0 is a closed loop."""

    def __init__(self, workload, connections, streams, rate=0):
        self.workload = workload
        self.connections = connections
        self.streams = streams
        self.rate = rate

    @property
    def name(self):
        shape = f"{self.connections}x{self.streams}"
        return f"{shape} {self.workload}" + (f" at {self.rate}/s" if self.rate else "")

    @property
    def hidden(self):
        """Columns of a table that mean nothing for a load that does not write."""
        return () if self.workload in ("put", "mixed") else ("written", "fsyncs")


class LoadError(Exception):
    """The load generator failed, or requests did."""


class Running:
    """Our generator, running in the background; a context manager, so that none is left behind."""

    def __init__(self, node, *options):
        self.node = node
        self.command = [executable("quorate-load"), "--endpoint", node.endpoint, "--json", *map(str, options)]
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait_ready(self):
        """Until it says so: workloads that prepare something."""
        if self.process.stdout.readline().strip() != "ready":
            raise self._error()

    def result(self):
        """Its JSON once it has ended. Failed requests are an error: they would falsify the figures."""
        output = self.process.stdout.read().strip()
        if self.process.wait() != 0:
            raise self._error(output)
        return json.loads(output)

    def stop(self):
        """Ends it early; what it has measured until now."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()

    def running(self):
        return self.process.poll() is None

    def _error(self, output=""):
        return LoadError(f"{self.node.kind}: {' '.join(self.command)} ended with {self.process.wait()}: {output}\n"
                         f"{self.node.log_tail()}")


def key_options(keys=KEYS, value_size=VALUE_SIZE):
    return ("--keys", keys, "--key-size", KEY_SIZE, "--value-size", value_size)


def quorate_load(node, *options):
    """Runs our generator and returns its JSON."""
    with Running(node, *key_options(), *options) as load:
        return load.result()


def turns(nodes, rounds):
    """(round, name, node) for A B B A ...: what drifts meets both alike."""
    for turn in range(rounds):
        order = list(nodes.items())
        for name, node in order if turn % 2 == 0 else reversed(order):
            yield turn, name, node


def windows(result, begin, end, key):
    """A figure of each window (--window) that lies wholly between two moments of the monotonic clock, s."""
    width = result["window_s"]
    starts = (result["began_s"] + index * width for index in range(len(result["windows"])))
    return [window[key] for start, window in zip(starts, result["windows"])
            if start >= begin and start + width <= end and window["count"] > 0]


def _with_quorate_load(node, load, seconds, warmup, options):
    result = quorate_load(node, "--connections", load.connections, "--streams", load.streams,
                          "--workload", load.workload, "--rate", load.rate, "--duration", seconds,
                          "--warmup", warmup, *options)
    latency = result["latency_us"]["all"]
    figures = {name: latency[name] for name in ("rate", "mean", "p50", "p99", "p99.9", "max")}
    return figures, result["completed"]


def _grpc_body(message):
    body = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(body)) + body


def _with_h2load(node, load, seconds, warmup, _options):
    """The second opinion: nghttp2's own tool, which sends one and the same request over and over."""
    key = b"/load/%0*d" % (KEY_SIZE - 6, 12345)
    if load.workload == "put":
        method, message = api.PUT, api.Put(key=key, value=os.urandom(VALUE_SIZE))
    else:
        method, message = api.RANGE, api.Range(key=key, serializable=load.workload == "serializable")
    body_path = os.path.join(node.directory, "body")
    log_path = os.path.join(node.directory, "h2load.log")
    with open(body_path, "wb") as file:
        file.write(_grpc_body(message))
    if os.path.exists(log_path):
        os.remove(log_path)
    before = node.metric("grpc_server_handled_total")
    done = subprocess.run(
        ["h2load", "-D", str(max(1, round(seconds))), "--warm-up-time", f"{round(warmup * 1000)}ms", "-c", str(load.connections),
         "-m", str(load.streams), "-t", "1", "-d", body_path, "--log-file", log_path,
         "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{node.endpoint}{method}"],
        stdout=subprocess.PIPE, text=True, check=False)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored", done.stdout)
    if rate is None or failed is None or int(failed[1]) + int(failed[2]) > 0:
        raise LoadError(f"{node.kind}: h2load: {done.stdout.strip()}")
    with open(log_path, encoding="ascii") as file:
        times = sorted(int(line.split()[2]) for line in file)
    os.remove(log_path)
    at = lambda quantile: times[min(len(times) - 1, int(quantile * len(times)))]
    figures = {"rate": float(rate[1]), "mean": sum(times) / len(times), "p50": at(0.5), "p99": at(0.99),
               "p99.9": at(0.999), "max": times[-1]}
    handled = node.metric("grpc_server_handled_total")
    completed = handled - before if before is not None and handled is not None else len(times)
    return figures, completed


def measure(node, load, seconds, warmup, tool, options=()):
    """Runs the load; {rate, mean, p50, p99, p99.9, max (us), cpu_us, cpu_us_<process>, written, fsyncs}.

    cpu_us is the CPU time of all the server's processes for one request, warm-up included; written and fsyncs
    are bytes (on the disk, so an idle machine is assumed) and fdatasyncs per 1000 requests.
    """
    fsyncs = node.metric(FSYNCS)
    written = node.device_written()
    before = node.usage()
    run = _with_h2load if tool == "h2load" else _with_quorate_load
    figures, completed = run(node, load, seconds, warmup, options)
    after = node.usage()
    if completed == 0:
        raise LoadError(f"{node.kind}: no request was answered")
    figures["cpu_us"] = (after["cpu_s"] - before["cpu_s"]) * 1e6 / completed
    for name, spent in after["by_process"].items():
        if name.startswith("quorate"):
            figures[f"cpu_us {name}"] = (spent - before["by_process"].get(name, 0)) * 1e6 / completed
    figures["rss"] = after["rss_bytes"]
    if written is not None:
        figures["written"] = (node.device_written() - written) * 1000 / completed
    if fsyncs is not None:
        figures["fsyncs"] = (node.metric(FSYNCS) - fsyncs) * 1000 / completed
    return figures
