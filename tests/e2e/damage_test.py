#!/usr/bin/python3
"""What an operator or a disk can break: damaged files, full and read-only disks, odd flags, poison in the log.

A refusal names the file, where, and a remedy, and leaves every file as it was; what is no refusal serves.
Cases that need mount(2) or wal_tool are left out, with a word, where those are missing.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# The library's generated messages are older than Debian's protobuf.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

from harness import api  # noqa: E402
from harness.node import Node, NodeError, build_directory, executable, temporary_directory, wait_until_dead  # noqa: E402

REMEDY = r"restore|move|rejoin|remove|Check|choose"
WAL_TOOL = os.path.join(build_directory(), "tests", "wal_tool")


class Left(Exception):
    """This machine lacks what the case needs."""


class World:
    """A model node with some history, copied for every case."""

    def __init__(self, directory):
        self.directory = directory
        self.count = 0
        self.model = Node("quorate", os.path.join(directory, "model"))
        self.model.start()
        server = api.Server(self.model.endpoint)
        for number in range(300):
            assert server.call(api.PUT, api.Put(key=b"key/%03d" % number, value=b"v" * 1000).SerializeToString()).ok
        server.close()
        self.model.stop()

    def copy(self):
        """A node of its own on a copy of the model's data, not started."""
        self.count += 1
        node = Node("quorate", os.path.join(self.directory, f"copy-{self.count}"))
        # A member's id follows from its peer URL.
        node.peer_port = self.model.peer_port
        shutil.rmtree(node.data_directory, ignore_errors=True)
        subprocess.run(["cp", "-a", "--sparse=always", self.model.data_directory, node.data_directory], check=True)
        return node


def member(node, *names):
    return os.path.join(node.data_directory, "member", *names)


def segments(node):
    return sorted(glob.glob(member(node, "wal", "*.wal")))


def last_byte(path):
    """Offset of the last byte that is not zero."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0")) - 1


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def content(path):
    with open(path, "rb") as file:
        return file.read()


def refused(node, *patterns):
    """The node does not start, ends with status 1 and says this; nobody is left."""
    node.launch()
    try:
        status = node.process.wait(20)
    except subprocess.TimeoutExpired:
        node.kill()
        raise AssertionError(f"it runs: {node.log_tail()}") from None
    with open(node.log_path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    assert status == 1, (status, log[-1500:])
    for pattern in patterns:
        assert re.search(pattern, log), f"no {pattern!r} in: {log[-1500:]}"


@contextlib.contextmanager
def serving(node):
    """The node starts, and takes and gives back a key."""
    node.start()
    server = api.Server(node.endpoint)
    try:
        put_and_get(server)
        yield server
    finally:
        server.close()
        node.stop()


def put_and_get(server):
    answer = server.call(api.PUT, api.Put(key=b"after", value=b"damage").SerializeToString())
    assert answer.ok, answer
    answer = server.call(api.RANGE, api.Range(key=b"after").SerializeToString())
    assert answer.ok and answer.message.kvs[0].value == b"damage", answer


def keys(server):
    request = api.Range(key=b"key/", range_end=b"key0", count_only=True)
    return server.call(api.RANGE, request.SerializeToString()).message.count


CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


# --- the log ---

@case("a byte flipped in the middle of the log: refused, with file and offset; the file is left as it was")
def _(w):
    node = w.copy()
    path = segments(node)[-1]
    flip(path, last_byte(path) // 2)
    before = content(path)
    refused(node, os.path.basename(path), r"offset \d+", REMEDY)
    assert content(path) == before


@case("a byte flipped in the head of a segment: refused")
def _(w):
    node = w.copy()
    flip(segments(node)[0], 20)
    refused(node, os.path.basename(segments(node)[0]), r"offset \d+", REMEDY)


@case("a byte flipped in the last mark after an orderly stop: nothing is lost, it serves")
def _(w):
    node = w.copy()
    path = segments(node)[-1]
    flip(path, last_byte(path))
    with serving(node) as server:
        assert keys(server) == 300


@case("a torn end after kill -9: it serves")
def _(w):
    node = w.copy()
    node.start()
    node.kill()
    path = segments(node)[-1]
    with open(path, "r+b") as file:
        file.seek(last_byte(path) + 1)
        file.write(b"\x50\0\0\0\0\0\0\0" + b"torn" * 5)
    with serving(node) as server:
        assert keys(server) == 300


@case("a segment cut short: refused")
def _(w):
    node = w.copy()
    path = segments(node)[-1]
    os.truncate(path, last_byte(path) // 2)
    refused(node, os.path.basename(path) + r"|write-ahead log|lost its end|WAL", REMEDY)


@case("a segment cut to nothing: refused")
def _(w):
    node = w.copy()
    os.truncate(segments(node)[-1], 0)
    refused(node, os.path.basename(segments(node)[-1]), r"offset \d+", REMEDY)


@case("a segment missing: refused, and named")
def _(w):
    if not os.access(WAL_TOOL, os.X_OK):
        raise Left("wal_tool is not built")
    node = w.copy()
    shutil.move(member(node, "wal"), member(node, "long"))
    subprocess.run([WAL_TOOL, "copy", member(node, "long"), member(node, "wal")], check=True, capture_output=True)
    shutil.rmtree(member(node, "long"))
    found = segments(node)
    assert len(found) >= 3, found
    os.unlink(found[1])
    refused(node, "segment 0000000000000001 is missing", REMEDY)


@case("all segments missing, the database still there: refused")
def _(w):
    node = w.copy()
    for path in segments(node):
        os.unlink(path)
    node.launch()
    # Raft learns of it from apply, perhaps only after both were ready: then it is started again and again.
    deadline = time.monotonic() + 10
    while "the log has lost acknowledged entries" not in content(node.log_path).decode():
        assert time.monotonic() < deadline, node.log_tail()
        time.sleep(0.02)
    assert not node.running() or not node.healthy()
    if node.running():
        node.kill()


@case("a foreign file in the log's directory: refused, and named")
def _(w):
    node = w.copy()
    with open(member(node, "wal", "notes.txt"), "w", encoding="ascii") as file:
        file.write("mine")
    refused(node, "notes.txt", REMEDY)
    assert content(member(node, "wal", "notes.txt")) == b"mine"


@case("the log of another member: refused")
def _(w):
    node = w.copy()
    node.peer_port += 1
    refused(node, "belongs to member", "choose another data directory")


# --- the rest of the data directory ---

@case("a damaged pointer to the generation: refused, and named")
def _(w):
    for data in (b"", b"generation 7\n", b"\xff" * 100, b"x" * 100000):
        node = w.copy()
        with open(member(node, "generation"), "wb") as file:
            file.write(data)
        refused(node, "member/generation", REMEDY)


@case("the pointer is gone: refused, and named")
def _(w):
    node = w.copy()
    os.unlink(member(node, "generation"))
    refused(node, "member/generation", REMEDY)


@case("a damaged members file: refused, and named")
def _(w):
    for data in (b"", b"\xff" * 100, b"quorate-members 1 1\n" + b"x" * 50):
        node = w.copy()
        with open(member(node, "members"), "wb") as file:
            file.write(data)
        refused(node, "member/members", REMEDY)


@case("a damaged database: refused")
def _(w):
    node = w.copy()
    current = glob.glob(member(node, "gen-*", "CURRENT"))[0]
    with open(current, "w", encoding="ascii") as file:
        file.write("garbage\n")
    refused(node, r"cannot open the database.*gen-1.*restore this member")


@case("the database is gone: replayed from the log")
def _(w):
    node = w.copy()
    for path in glob.glob(member(node, "gen-*")):
        shutil.rmtree(path)
    with serving(node) as server:
        assert keys(server) == 300


@case("the data directory is a file")
def _(w):
    node = w.copy()
    shutil.rmtree(node.data_directory)
    with open(node.data_directory, "w", encoding="ascii"):
        pass
    refused(node, "copy-.*/data", "directory")


# --- disks ---

@contextlib.contextmanager
def mounted(directory, size):
    os.makedirs(directory, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", directory],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Left("this user may not mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@case("a disk too small to begin with: refused, in words")
def _(w):
    node = w.copy()
    shutil.rmtree(node.data_directory)
    with mounted(node.data_directory, "20m"):
        refused(node, "No space left on device", "member")


@case("a read-only disk: refused, in words")
def _(w):
    node = w.copy()
    kept = node.data_directory + "-kept"
    shutil.move(node.data_directory, kept)
    with mounted(node.data_directory, "200m"):
        subprocess.run(["cp", "-a", f"{kept}/.", node.data_directory], check=True)
        subprocess.run(["mount", "-o", "remount,ro", node.data_directory], check=True)
        refused(node, "Read-only file system", "copy-")


@case("a disk without room for the next segment: it serves on; with room again, it goes on")
def _(w):
    node = w.copy()
    shutil.rmtree(node.data_directory)
    with mounted(node.data_directory, "100m"):
        with serving(node) as server:
            deadline = time.monotonic() + 5
            while "No space left" not in content(node.log_path).decode():
                assert time.monotonic() < deadline, "the full disk is not mentioned"
                time.sleep(0.02)
            put_and_get(server)
        assert '"daemon died' not in content(node.log_path).decode(), node.log_tail()
        subprocess.run(["mount", "-o", "remount,size=300m", node.data_directory], check=True)
        with serving(node):
            pass


# --- poison ---

def append(node, data):
    path = os.path.join(node.directory, "poison")
    with open(path, "wb") as file:
        file.write(data)
    subprocess.run([WAL_TOOL, "append", member(node, "wal"), path], check=True, capture_output=True)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + bytes([value]))


def nested(depth):
    heads, length = [], 0
    for _ in range(depth):
        for tag in (b"\x22", b"\x12"):
            heads.append(tag + varint(length))
            length += len(heads[-1])
    return b"".join(reversed(heads))


@case("poison in the log: every entry is executed as an error, after a replay too, and the node lives")
def _(w):
    if not os.access(WAL_TOOL, os.X_OK):
        raise Left("wal_tool is not built")
    node = w.copy()
    put, delete, txn, compaction = 4, 5, 6, 7
    for data in (b"\xff" * 50, os.urandom(200), b"\x0a\xff\xff\xff\xff\x0f", field(99, b"a newer release's"),
                 field(put, b"\xff" * 20), field(put, b""), field(delete, b"\x0a\xff"), field(delete, b""),
                 field(txn, nested(10000)), field(txn, nested(101)), field(txn, b"\x12\x00"), field(txn, b"\xff"),
                 field(compaction, b"\x08" + b"\xff" * 9 + b"\x01"), field(compaction, b"\x08\x7f\x10\x63"),
                 field(put, api.Put(key=b"x" * 2000000).SerializeToString()), field(put, b"\x0a\x01k") + field(put, b"\xff"),
                 field(txn, b"\x12" + varint(6) + b"\x0a\x04\x0a\x01k\x28" + b"\x63")):
        append(node, data)
    with serving(node) as server:
        assert keys(server) == 300
        first = server.call(api.RANGE, api.Range(key=b"\0", range_end=b"\0", count_only=True).SerializeToString())
        for pid in node.roles()["apply"]:
            os.kill(pid, 9)
            wait_until_dead(pid)
        again = server.call(api.RANGE, api.Range(key=b"\0", range_end=b"\0", count_only=True).SerializeToString())
        assert again.ok and again.message.header.revision == first.message.header.revision, (first, again)
        assert again.message.count == first.message.count
    for path in glob.glob(member(node, "gen-*")):
        shutil.rmtree(path)
    with serving(node) as server:
        last = server.call(api.RANGE, api.Range(key=b"\0", range_end=b"\0", count_only=True).SerializeToString())
        assert last.message.count == first.message.count
        assert last.message.header.revision == first.message.header.revision + 1


# --- a clumsy operator ---

@case("flags that cannot be: an error that names the flag, nothing started, nothing made")
def _(w):
    quorate = executable("quorate")
    directory = os.path.join(w.directory, "clumsy")
    os.makedirs(directory)
    client = ["--listen-client-urls", "http://127.0.0.1:1", "--advertise-client-urls", "http://127.0.0.1:1"]
    for words, said in (
            (["--listen-client-urls", "http://127.0.0.1:99999", *client[2:]], "listen-client-urls"),
            (["--listen-client-urls", "", *client[2:]], "listen-client-urls"),
            (["--listen-client-urls", "ftp://127.0.0.1:1", *client[2:]], "listen-client-urls"),
            (["--heartbeat-interval", "-1"], "heartbeat-interval"), (["--heartbeat-interval", "0"], "heartbeat"),
            (["--max-txn-ops", "99999999999999999999"], "max-txn-ops"), (["--proxies", "0"], "proxies"),
            (["--data-dir"], "data-dir"), (["--data-dir", "x", "--", "--name"], "--"), (["-"], "-"), (["---name"], "name"),
            (["--name=", "--initial-cluster", "=http://127.0.0.1:1"], "initial-cluster|name"),
            (["--initial-cluster", "default"], "initial-cluster"), (["--initial-cluster", ","], "initial-cluster"),
            (["--config-file", "/dev/null/x"], "config"), (["--name", "x" * 100000, "--nme", "y"], "unknown flag")):
        done = subprocess.run([quorate, *words], cwd=directory, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode in (1, 2), (words, done.returncode, done.stderr[-300:])
        assert re.search(said, done.stderr), (words, done.stderr[-300:])
    assert os.listdir(directory) == [], os.listdir(directory)


def main():
    directory = temporary_directory("damage")
    passed = failed = 0
    try:
        world = World(directory)
        for name, function in CASES:
            began = time.monotonic()
            try:
                function(world)
                print(f"ok - {name}", flush=True)
                passed += 1
            except Left as reason:
                print(f"left out: {reason} - {name}", flush=True)
            except Exception:
                print(f"not ok - {name}")
                traceback.print_exc(file=sys.stdout)
                failed += 1
            if os.environ.get("HOSTILE_VERBOSE"):
                print(f"#   {time.monotonic() - began:.2f} s", flush=True)
            for path in glob.glob(os.path.join(directory, "copy-*")):
                shutil.rmtree(path, ignore_errors=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
