#!/usr/bin/python3
"""Bad input: hostile clients at one node while a well-behaved one goes on. Ends with "N passed, N failed".

What is asked of the node after every case: harness/hostile.py. Watches and leases: hostile_watch_test.py. What an
operator can break: damage_test.py.
"""

import gzip
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import api, hostile  # noqa: E402
from harness.hostile import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RESET,  # noqa: E402
                             SETTINGS, WINDOW, frame, grpc_message, header, request_headers, text)

CASES, case = hostile.cases_of()


# --- connections that never get far; first, because the server takes its time with them ---

@case("half a preface, half a head: left alone until their time is over")
def _(t):
    for data in (b"", b"PR", PREFACE[:20], PREFACE, b"GET /health HTTP/1.1\r\nX-Slow: "):
        connection = t.connect(http2=False)
        connection.send(data)
        t.slow.append((connection, data))


@case("garbage bytes")
def _(t):
    for number in range(100):
        connection = t.connect(http2=False)
        connection.send(bytes([number + 128]) + os.urandom(4096) + b"\r\n\r\n")
        said = connection.until_closed()
        assert said == b"" or said.startswith(b"HTTP/1.1 4"), said
        connection.close()


@case("garbage behind a good preface")
def _(t):
    for _ in range(50):
        connection = t.connect()
        connection.send(b"\xff" * 4096)
        assert connection.goaway() not in (0,)
        connection.close()


@case("TLS hello at a plaintext port")
def _(t):
    connection = t.connect(http2=False)
    connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(506) + b"\n")
    assert connection.until_closed().startswith(b"HTTP/1.1 400")


# --- frames ---

@case("an oversized frame ends its connection with FRAME_SIZE_ERROR")
def _(t):
    connection = t.connect()
    connection.send(frame(DATA, 0, 1, b"x" * (1 << 20)))
    assert connection.goaway() in (6, 1, None)


@case("frames where none belong end the connection")
def _(t):
    for wrong in (frame(DATA, 0, 0, b"x"), frame(HEADERS, END_HEADERS, 2, request_headers(api.PUT)),
                  frame(CONTINUATION, END_HEADERS, 1, b"x"), frame(SETTINGS, 0, 0, b"12345"),
                  frame(WINDOW, 0, 0, b"\0\0\0\0"), frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
                  frame(PING, 0, 0, b"short"), frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
                  frame(5, END_HEADERS, 1, b"\0\0\0\2")):
        connection = t.connect()
        connection.send(wrong)
        assert connection.goaway() != 0, wrong[:20]
        connection.close()


@case("frames of unknown types are ignored")
def _(t):
    connection = t.connect()
    connection.send(frame(200, 255, 0, b"x" * 1000) * 100)
    assert connection.ping()


@case("a flood of pings is told to calm down")
def _(t):
    connection = t.connect()
    connection.send(frame(PING, 0, 0, b"12345678") * 1000)
    assert connection.goaway() in (11, None)  # None: it was still sending, and TCP dropped the word


@case("settings and pings from one who never reads")
def _(t):
    connection = t.connect()
    t.kept.append(connection)
    connection.send_what_fits(frame(SETTINGS, 0, 0, b"\0\3\0\0\0\1") * 500000)


# --- headers ---

@case("too many header bytes: this request is refused")
def _(t):
    connection = t.connect()
    block = request_headers(api.PUT) + header(b"x", b"v" * 3000) * 8
    for first in range(0, len(block), 16000):
        kind = HEADERS if first == 0 else CONTINUATION
        flags = END_HEADERS if first + 16000 >= len(block) else 0
        connection.send(frame(kind, flags, 1, block[first:first + 16000]))
    said = next(((kind, payload) for kind, _, stream, payload in connection.frames() if stream == 1), None)
    assert said is not None and said[0] in (RESET, HEADERS), said


@case("headers that never end: the connection is closed")
def _(t):
    connection = t.connect()
    connection.send(frame(HEADERS, 0, 1, request_headers(api.PUT)))
    for _ in range(20000):
        if not connection.send(frame(CONTINUATION, 0, 1, header(b"x", b"y" * 1000))):
            return
    raise AssertionError("20 MB of headers were taken")


@case("headers that never end, without a byte in them")
def _(t):
    connection = t.connect()
    connection.send(frame(HEADERS, 0, 1, request_headers(api.PUT)))
    for _ in range(2000):
        if not connection.send(frame(CONTINUATION, 0, 1) * 100):
            return
    connection.until_closed()  # all of them may lie in the kernel's buffers by now


@case("a header table as a bomb: 4 KB repeated 100,000 times")
def _(t):
    connection = t.connect()
    connection.send(frame(HEADERS, 0, 1, request_headers(api.PUT) + b"\x40" + text(b"x") + text(b"y" * 4000)))
    for _ in range(10):
        connection.send(frame(CONTINUATION, 0, 1, b"\xbe" * 10000))
    connection.send(frame(CONTINUATION, END_HEADERS, 1))
    said = next((kind for kind, _, stream, _ in connection.frames() if stream == 1 or kind == GOAWAY), None)
    assert said in (RESET, HEADERS, GOAWAY, None), said


@case("nonsense in the headers gRPC looks at")
def _(t):
    connection = t.connect()
    for number, more in enumerate([header(b"grpc-timeout", b"99999999999999999999H"), header(b"grpc-timeout", b"-1S"),
                                   header(b"grpc-timeout", b""), header(b"grpc-encoding", b"\xff" * 300),
                                   header(b"content-type", b"\0" * 300), header(b":path", b"/" * 5000),
                                   header(b":method", b"\xff" * 1000), header(b"", b"")]):
        connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, request_headers(api.PUT, more)))
    assert len(connection.ends(8)) == 8


# --- streams ---

@case("20,000 open streams: refused above the limit, or the connection is closed")
def _(t):
    connection = t.connect()
    block = request_headers(api.PUT)
    for first in range(0, 20000, 500):
        if not connection.send(b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, block)
                                        for number in range(first, first + 500))):
            break
    ended = connection.ends(10000)
    assert all(how == "reset" for how in ended.values())
    assert len(ended) == 10000 or not connection.ping(), len(ended)


@case("10,000 requests on one connection, 500 at a time, are answered")
def _(t):
    connection = t.connect()
    block = request_headers(api.RANGE)
    body = grpc_message(api.Range(key=b"nothing").SerializeToString())
    connection.send(frame(WINDOW, 0, 0, b"\x7f\0\0\0"))
    for first in range(0, 10000, 500):
        connection.send(b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, block) +
                                 frame(DATA, END_STREAM, 2 * number + 1, body)
                                 for number in range(first, first + 500)))
        ended = connection.ends(500)
        assert len(ended) == 500 and set(ended.values()) == {"trailers"}, len(ended)


@case("streams opened and reset in one breath")
def _(t):
    connection = t.connect()
    block = request_headers(api.RANGE)
    body = grpc_message(api.Range(key=b"a", range_end=b"\0").SerializeToString())
    for first in range(0, 30000, 500):
        if not connection.send(b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, block) +
                                        frame(DATA, END_STREAM, 2 * number + 1, body) +
                                        frame(RESET, 0, 2 * number + 1, b"\0\0\0\x08")
                                        for number in range(first, first + 500))):
            break
    connection.close()


@case("messages begun on 1,000 streams and never ended")
def _(t):
    connection = t.connect()
    t.kept.append(connection)
    block = request_headers(api.PUT)
    data = b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, block) +
                    frame(DATA, 0, 2 * number + 1, struct.pack(">BI", 0, 1 << 20) + b"x" * 16000)
                    for number in range(1000))
    connection.send_what_fits(frame(WINDOW, 0, 0, b"\x7f\0\0\0") + data * 2)


# --- messages ---

def raw_call(t, path, data, *more):
    """Sends DATA bytes as they are; returns whether the stream was ended by the server."""
    connection = t.connect()
    connection.send(frame(HEADERS, END_HEADERS, 1, request_headers(path, *more)) + frame(DATA, END_STREAM, 1, data))
    ended = connection.ends(1)
    connection.close()
    return ended


@case("a message that claims 4 GiB, one cut off, one too many, a wrong flag")
def _(t):
    good = grpc_message(api.Put(key=b"k").SerializeToString())
    for data in (struct.pack(">BI", 0, 0xffffffff), good[:-1], good[:3], b"", good + good, b"\x07" + good[1:],
                 grpc_message(b"\x1f\x8b" + os.urandom(100), 1)):
        assert raw_call(t, api.PUT, data), data[:20]


@case("oversized messages get etcd's errors")
def _(t):
    answer = t.call(api.PUT, api.Put(key=b"big", value=b"x" * 1700000))
    assert (answer.code, answer.text) == (3, "etcdserver: request is too large"), answer
    answer = t.call(api.PUT, api.Put(key=b"big", value=b"x" * 4000000))
    assert answer.code == 8 and "larger than max" in answer.text, answer


@case("a gzip bomb is refused")
def _(t):
    bomb = gzip.compress(b"\0" * (100 << 20), 1)
    connection = t.connect()
    connection.send(frame(HEADERS, END_HEADERS, 1, request_headers(api.PUT, header(b"grpc-encoding", b"gzip"))))
    data = grpc_message(bomb, 1)
    for first in range(0, len(data), 16000):
        connection.send(frame(DATA, 0, 1, data[first:first + 16000]))
    assert connection.ends(1)


def nested(depth):
    heads, length = [], 0
    for _ in range(depth):
        for tag in (b"\x22", b"\x12"):  # RequestOp.request_txn in TxnRequest.success
            heads.append(tag + varint(length))
            length += len(heads[-1])
    return b"".join(reversed(heads))


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + bytes([value]))


@case("a Txn nested 10,000 deep, and 100,000 deep")
def _(t):
    for depth in (10000, 100000):
        answer = t.call(api.TXN, nested(depth))
        assert answer.code == 3 and answer.text == "etcdserver: too many operations in txn request", answer


@case("enum values out of range")
def _(t):
    for field in (b"\x28", b"\x30"):  # sort_order, sort_target
        for value in (99, 1 << 31, (1 << 64) - 1):
            answer = t.call(api.RANGE, b"\x0a\x01k" + field + varint(value))
            assert (answer.code, answer.text) == (3, "etcdserver: invalid sort option"), answer
    for field in (b"\x08", b"\x10"):  # Compare.result, Compare.target
        compare = b"\x1a\x01k" + field + varint(99)
        t.call(api.TXN, b"\x0a" + varint(len(compare)) + compare)
    t.call(api.ALARM, b"\x08\x63\x18\x63")


@case("empty oneofs")
def _(t):
    answer = t.call(api.TXN, b"\x12\x00")
    assert (answer.code, answer.text) == (3, "etcdserver: key not found"), answer
    assert t.call(api.TXN, b"\x0a\x03\x1a\x01k").ok
    assert t.call(api.TXN, b"").ok
    assert t.call(api.TXN, b"\x12\x02\x22\x00").ok


@case("random protobuf at every method")
def _(t):
    calls = []
    for number in range(300):
        method = (api.RANGE, api.PUT, api.DELETE, api.TXN, api.COMPACT, api.MEMBER_LIST, api.STATUS, api.ALARM)[number % 8]
        calls.append((method, t.server.start(method, os.urandom(number % 64))))
    for method, call in calls:
        answer = t.server.finish(method, call)
        assert answer.code in (0, 3, 5, 11, 12, 13), (method, answer)


@case("revisions, limits and leases at the ends of their range")
def _(t):
    ends = (-1 << 63, -1, (1 << 63) - 1)
    for value in ends:
        for message in (api.Range(key=b"k", revision=value), api.Range(key=b"k", range_end=b"\0", limit=value),
                        api.Range(key=b"k", range_end=b"\0", min_mod_revision=value, max_create_revision=value),
                        api.Compaction(revision=value), api.Put(key=b"leased", value=b"", lease=value)):
            answer = t.call(api.METHOD_OF[type(message)], message)
            assert answer.code in (0, 3, 5, 11, 12), (message, answer)
    assert t.call(api.RANGE, api.Range(key=b"\xff" * 1000, range_end=b"\0")).ok
    assert t.call(api.DELETE, api.Delete(key=b"z", range_end=b"a")).ok


# --- clients that do not read ---

# Each reader in progress holds at least one value, in apply and on its way.
VALUE_BYTES = int(os.environ.get("HOSTILE_VALUE_BYTES", "100000"))


def large_values(t):
    calls = [t.server.start(api.PUT, api.Put(key=b"large/%d" % number, value=b"v" * VALUE_BYTES).SerializeToString())
             for number in range(20000000 // VALUE_BYTES)]
    assert all(t.server.finish(api.PUT, call).ok for call in calls)


def mute_client(t, path, streams):
    """Asks for 20 MB on every stream, with windows wide open, and reads nothing."""
    connection = t.connect(settings=b"\0\4\x7f\xff\xff\xff")
    t.kept.append(connection)
    body = grpc_message(api.Range(key=b"large/", range_end=b"large0").SerializeToString())
    block = request_headers(path)
    connection.send_what_fits(frame(WINDOW, 0, 0, b"\x7f\0\0\0") + b"".join(
        frame(HEADERS, END_HEADERS, 2 * number + 1, block) + frame(DATA, END_STREAM, 2 * number + 1, body)
        for number in range(streams)))


@case("a client that never reads: 20 MB asked for on 900 streams")
def _(t):
    large_values(t)
    mute_client(t, api.RANGE, 900)


@case("the same with RangeStream")
def _(t):
    mute_client(t, api.RANGE_STREAM, 900)


@case("100 such clients")
def _(t):
    for _ in range(100):
        mute_client(t, api.RANGE, 20)


@case("and when they are gone, so is what they held")
def _(t):
    for connection in t.kept:
        connection.close()
    t.kept = []
    assert t.call(api.DELETE, api.Delete(key=b"large/", range_end=b"large0")).ok


# --- HTTP/1 ---

@case("HTTP/1: an endless head is refused")
def _(t):
    connection = t.connect(http2=False)
    connection.send(b"GET /health HTTP/1.1\r\n" + b"X: " + b"y" * 40000)
    assert connection.until_closed().startswith(b"HTTP/1.1 431")


@case("HTTP/1: malformed requests are refused")
def _(t):
    for data in (b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n", b"GET health HTTP/1.1\r\n\r\n",
                 b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", b"GET /\0 HTTP/1.1\r\n: x\r\n\r\n"):
        connection = t.connect(http2=False)
        connection.send(data)
        assert connection.until_closed().startswith(b"HTTP/1.1 400"), data
        connection.close()


@case("HTTP/1: thousands of pages asked for by one who reads none")
def _(t):
    for page in (b"/metrics", b"/health", b"/version"):
        connection = t.connect(http2=False)
        t.kept.append(connection)
        connection.send_what_fits((b"GET " + page + b" HTTP/1.1\r\n\r\n") * 20000)


@case("HTTP/1: pages asked for in one breath are all answered")
def _(t):
    connection = t.connect(http2=False)
    connection.send(b"GET /metrics HTTP/1.1\r\n\r\n" * 49 + b"GET /version HTTP/1.0\r\n\r\n")
    said = connection.until_closed()
    assert said.count(b"HTTP/1.1 200 OK") == 50 and b"etcdserver" in said[-200:], said[-300:]


# --- many ---

@case("3,000 connections that say nothing")
def _(t):
    idle = [t.connect(http2=False) for _ in range(3000)]
    assert t.node.healthy()
    for connection in idle:
        connection.close()


@case("3,000 connections opened and closed at once")
def _(t):
    for _ in range(3000):
        socket.create_connection(("127.0.0.1", t.port)).close()


@case("half a preface, half a head: now they are closed")
def _(t):
    for connection, data in t.slow:
        connection.socket.settimeout(max(1.0, 24 - (time.monotonic() - t.began)))
        try:
            said = connection.until_closed()
        except socket.timeout:
            raise AssertionError(f"still open: {data!r}") from None
        assert b"200 OK" not in said, said


if __name__ == "__main__":
    sys.exit(hostile.main(CASES))
