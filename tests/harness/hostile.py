"""What the tests of bad input share: raw connections, a well-behaved neighbour, and how a case is judged.

After every case the node must consist of the same processes, within its memory, and the well-behaved client
must have been served, in time, without a failure.
"""

import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

# The library's generated messages are older than Debian's protobuf.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

from harness import api  # noqa: E402
from harness.node import Node, temporary_directory  # noqa: E402


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# Resident, of each process; what is asked for at most is 76 GB. Sanitizers keep what was freed, and shadows.
SANITIZED = "san" in os.path.basename(os.environ.get("QUORATE_BUILD", ""))
PROCESS_RSS_LIMIT = (1536 if SANITIZED else 448) << 20
SLOWEST = 10.0 if SANITIZED else 3.0  # seconds a round of the well-behaved client may take


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value):
    """A string of HPACK, not Huffman coded."""
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    out, length = [127], length - 127
    while length >= 128:
        out.append(length % 128 | 128)
        length //= 128
    return bytes(out + [length]) + value


def header(name, value):
    return b"\0" + text(name) + text(value)


def request_headers(path, *more):
    return b"".join([header(b":method", b"POST"), header(b":scheme", b"http"), header(b":path", path.encode()),
                     header(b":authority", b"x"), header(b"te", b"trailers"),
                     header(b"content-type", b"application/grpc"), *more])


def grpc_message(body, compressed=0):
    return struct.pack(">BI", compressed, len(body)) + body


class Raw:
    """A connection that says what it likes."""

    def __init__(self, port, http2=True, settings=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.buffer = b""
        if http2:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False when the server has closed the connection."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def send_what_fits(self, data):
        """Sends until the server takes no more for a moment."""
        self.socket.settimeout(0.3)
        sent = 0
        try:
            while sent < len(data):
                sent += self.socket.send(data[sent:sent + 65536])
        except (socket.timeout, BrokenPipeError, ConnectionResetError):
            pass
        self.socket.settimeout(5)
        return sent

    def _take(self, length):
        while len(self.buffer) < length:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionResetError
            self.buffer += part
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def frames(self):
        """Frames until the server closes; socket.timeout when it says nothing for 5 s."""
        try:
            while True:
                head = self._take(9)
                length = int.from_bytes(head[:3], "big")
                stream = int.from_bytes(head[5:9], "big")
                yield head[3], head[4], stream, self._take(length)
        except ConnectionResetError:
            return

    def until_closed(self):
        """Everything the server says until it closes the connection."""
        try:
            while True:
                part = self.socket.recv(1 << 16)
                if not part:
                    return self.buffer
                self.buffer += part
        except ConnectionResetError:
            return self.buffer

    def ping(self):
        """True when the server answers: the connection lives."""
        if not self.send(frame(PING, 0, 0, b"hostile!")):
            return False
        return any(kind == PING and flags & ACK for kind, flags, _, _ in self.frames())

    def ends(self, count):
        """{stream: "reset" or "trailers"} of the next streams that end; fewer when the connection is closed."""
        ended = {}
        for kind, flags, stream, _ in self.frames():
            if kind == RESET:
                ended[stream] = "reset"
            elif kind == HEADERS and flags & END_STREAM:
                ended.setdefault(stream, "trailers")
            if len(ended) >= count:
                break
        return ended

    def goaway(self):
        """Error code of the GOAWAY with which the server ends the connection; None: just closed."""
        code = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return code

    def close(self):
        self.socket.close()


class Neighbour(threading.Thread):
    """The well-behaved client: a put and a get with etcdctl, over and over."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.endpoint = endpoint
        self.rounds = 0
        self.slowest = 0.0
        self.failures = []
        self.running = True
        self.changed = threading.Condition()

    def _ctl(self, *words):
        done = subprocess.run(["/usr/bin/etcdctl", "--endpoints", self.endpoint, "--command-timeout", "10s", *words],
                              env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def run(self):
        while self.running:
            began = time.monotonic()
            said = self._ctl("put", "well-behaved", str(self.rounds)), self._ctl("get", "well-behaved")
            with self.changed:
                if said != ("OK\n", f"well-behaved\n{self.rounds}\n"):
                    self.failures.append(said)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.rounds += 1
                self.changed.notify_all()

    def check(self):
        """A whole round from now on goes well, and all before it did."""
        with self.changed:
            enough = self.rounds + 2
            assert self.changed.wait_for(lambda: self.rounds >= enough, 20), "the other client is not served"
            assert not self.failures, self.failures
            slowest, self.slowest = self.slowest, 0.0
        assert slowest < SLOWEST, f"the other client waited for {slowest:.2f} s"


class Target:
    """The node under attack and what the cases share."""

    def __init__(self, node):
        self.node = node
        self.port = node.client_port
        self.server = api.Server(node.endpoint)
        self.kept = []  # connections that stay open from case to case
        self.slow = []  # (connection, what it is): to be closed by the server in its own time
        self.began = time.monotonic()

    def call(self, method, message):
        body = message if isinstance(message, bytes) else message.SerializeToString()
        return self.server.call(method, body)

    def connect(self, **options):
        return Raw(self.port, **options)

    def memory(self):
        """{process: resident bytes} of the node's processes, by role."""
        found = {}
        for role, pids in self.node.roles().items():
            for pid in pids:
                with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                    found[role] = int(file.read().split()[1]) * 4096
        return found


def _run(name, function, target, neighbour, pids):
    """One case, and that nobody else was harmed by it."""
    try:
        function(target)
        neighbour.check()
        now = target.node.roles()
        assert now == pids, f"daemons were restarted: {pids} became {now}"
        memory = target.memory()
        assert max(memory.values()) < PROCESS_RSS_LIMIT, f"resident: {memory}"
        print(f"ok - {name}", flush=True)
        return True
    except Exception:
        print(f"not ok - {name}")
        traceback.print_exc(file=sys.stdout)
        return False


def cases_of():
    """(list of cases, decorator that adds one)."""
    found = []

    def case(name):
        def add(function):
            found.append((name, function))
            return function
        return add

    return found, case


def main(cases):
    """Runs the cases against one node; the exit status."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 20000 else max(soft, 20000), hard))
    directory = temporary_directory("hostile")
    node = Node("quorate", directory)
    passed = failed = 0
    try:
        node.start()
        target = Target(node)
        neighbour = Neighbour(node.endpoint)
        neighbour.start()
        for name, function in cases:
            began = time.monotonic()
            good = _run(name, function, target, neighbour, node.roles())
            if os.environ.get("HOSTILE_VERBOSE"):
                memory = {role: size >> 20 for role, size in target.memory().items()}
                print(f"#   {time.monotonic() - began:.2f} s, MB {memory}", flush=True)
            passed += good
            failed += not good
        neighbour.running = False
        neighbour.join()
        target.server.close()
    finally:
        node.stop()
        with open(node.log_path, encoding="utf-8", errors="replace") as log:
            report = re.search("(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|.*runtime error:)"
                               "(.*\n){60}", log.read() + "\n" * 60)
            if report:
                failed += 1
                print("not ok - a daemon was reported by a sanitizer", report.group(0), sep="\n")
        if failed:
            print(node.log_tail(15))
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1
