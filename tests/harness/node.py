"""A server under test: quorate or genuine etcd, started on free ports with a data directory of its own.

Both take the same flags, so one class serves both. A Node is started, waited for by asking /health, observed
through /proc and /metrics, and stopped or killed; everything it wrote lies below `directory`.
"""

import ctypes
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROLES = ("proxy", "raft", "apply", "maint")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class NodeError(Exception):
    """The server did not start, died, or did not answer in time."""


def build_directory():
    """Where the executables are: $QUORATE_BUILD or build/ in the tree."""
    return os.environ.get("QUORATE_BUILD") or os.path.join(ROOT, "build")


def executable(name):
    """The path of one of our executables; NodeError says how to build it."""
    path = os.path.join(build_directory(), "bin", name)
    if not os.access(path, os.X_OK):
        raise NodeError(f"{path} is missing: cmake --preset release && cmake --build --preset release "
                        "(or set QUORATE_BUILD)")
    return path


def temporary_directory(name):
    """A fresh directory on a real disk: $TMPDIR or /var/tmp, never the tmpfs that /tmp may be."""
    return tempfile.mkdtemp(prefix=f"quorate-{name}-", dir=os.environ.get("TMPDIR") or "/var/tmp")


def free_ports(count):
    """Ports nobody listens on now. Held open together, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def wait_until_dead(pid, timeout=10.0):
    """Waits (by pidfd, not by polling) until a process has ended; a zombie counts as ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise NodeError(f"process {pid} is still alive after {timeout} s")
    finally:
        os.close(descriptor)


def end_with_parent():
    """In the child: a test that is killed leaves nothing behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Node:
    """One server. kind is "quorate" or "etcd"."""

    def __init__(self, kind, directory, flags=()):
        self.kind = kind
        self.directory = directory
        self.flags = list(flags)
        self.client_port, self.peer_port = free_ports(2)
        self.process = None
        os.makedirs(directory, exist_ok=True)

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def data_directory(self):
        return os.path.join(self.directory, "data")

    @property
    def log_path(self):
        return os.path.join(self.directory, "log")

    def _command(self):
        client = f"http://127.0.0.1:{self.client_port}"
        peer = f"http://127.0.0.1:{self.peer_port}"
        if self.kind == "etcd":
            binary = shutil.which("etcd")
            if binary is None:
                raise NodeError("etcd is not installed (Debian: etcd-server)")
            own = ["--logger", "zap", "--log-level", "error"]
        else:
            binary = executable("quorate")
            own = []
        return [binary, "--data-dir", self.data_directory,
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}"] + own + self.flags

    def start(self, timeout=30.0):
        """Starts the server and waits until it says it is healthy. Returns the seconds that took."""
        began = time.monotonic()
        self.launch()
        self.wait_healthy(timeout)
        return time.monotonic() - began

    def launch(self):
        """Starts the server without waiting for anything."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=end_with_parent)

    def wait_healthy(self, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not self.healthy():
            if self.process.poll() is not None:
                raise NodeError(f"{self.kind} ended with {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise NodeError(f"{self.kind} is not healthy after {timeout} s: {self.log_tail()}")
            time.sleep(0.005)

    def healthy(self):
        try:
            answer = json.loads(self.http_get("/health"))
        except (OSError, ValueError, http.client.HTTPException):
            return False
        return answer.get("health") == "true"

    def http_get(self, path, timeout=5.0):
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=timeout)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def log_tail(self, lines=5):
        return "\n".join(_read(self.log_path).splitlines()[-lines:]) or "(no log)"

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=20.0):
        """Orderly end; kills what does not go. Returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self):
        """kill -9 on every process of the node, and waits until all are gone."""
        pids = self.pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in pids:
            wait_until_dead(pid)
        self.process.wait()

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- what it consists of and what it uses ---

    def children(self):
        """Pids of the processes the launcher started; empty for etcd."""
        pids = []
        try:
            threads = os.listdir(f"/proc/{self.process.pid}/task")
        except FileNotFoundError:
            return pids
        for thread in threads:
            pids += map(int, _read(f"/proc/{self.process.pid}/task/{thread}/children").split())
        return pids

    def pids(self):
        return [self.process.pid] + self.children()

    def roles(self):
        """{role: [pid, ...]} of the daemons that run now."""
        found = {role: [] for role in ROLES}
        for pid in self.children():
            name = _read(f"/proc/{pid}/comm").strip()
            if name.startswith("quorate-") and name[8:] in found:
                found[name[8:]].append(pid)
        return found

    def usage(self):
        """{cpu_s, rss_bytes} summed over all processes, and by_process: {process name: its cpu_s}."""
        total = {"cpu_s": 0.0, "rss_bytes": 0, "by_process": {}}
        for pid in self.pids():
            stat = _read(f"/proc/{pid}/stat")
            if not stat:
                continue
            name = stat[stat.index("(") + 1:stat.rindex(")")]
            fields = stat[stat.rindex(")") + 2:].split()
            cpu = (int(fields[11]) + int(fields[12])) / TICKS
            total["cpu_s"] += cpu
            total["by_process"][name] = total["by_process"].get(name, 0.0) + cpu
            total["rss_bytes"] += int(fields[21]) * PAGE_SIZE
        return total

    def memory_bytes(self):
        """Resident memory of all processes, what they share counted once (proportional set size)."""
        total = 0
        for pid in self.pids():
            for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def device_written(self):
        """Bytes written so far to the disk that holds the data, by anybody; None when it can't be told.

        Not write_bytes of /proc/<pid>/io: since ext4 has large folios, that counts a whole folio (up to a
        megabyte) for every few bytes overwritten in one, whatever reaches the disk.
        """
        os.sync()
        device = os.stat(self.directory).st_dev
        fields = _read(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").split()
        return int(fields[6]) * 512 if len(fields) > 6 else None

    def metric(self, name):
        """The sum of a metric's series on /metrics; None when it is not exported."""
        found = None
        for line in self.http_get("/metrics", timeout=20.0).splitlines():
            if line.startswith(name) and line[len(name):len(name) + 1] in (" ", "{"):
                found = (found or 0.0) + float(line.rsplit(" ", 1)[1])
        return found
