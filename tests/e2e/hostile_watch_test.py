#!/usr/bin/python3
"""Bad input at watches, leases and compaction, as hostile_test.py has it for everything else: what is asked of the
node after every case is in harness/hostile.py. Ends with "N passed, N failed"."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import api, hostile  # noqa: E402
from harness.hostile import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, RESET, SETTINGS, WINDOW, frame,  # noqa: E402
                             grpc_message, request_headers)
from harness.watch_messages import (WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,  # noqa: E402
                                    WatchRequest)

CASES, case = hostile.cases_of()
PATIENCE = 60.0  # seconds
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
EVERYTHING = {"key": b"\0", "range_end": b"\0"}


def create(**fields):
    return WatchRequest(create_request=WatchCreateRequest(**fields))


def cancel(watch_id):
    return WatchRequest(cancel_request=WatchCancelRequest(watch_id=watch_id))


def put(t, key, value=b""):
    answer = t.call(api.PUT, api.Put(key=key, value=value))
    assert answer.ok, answer
    return answer.message.header.revision


def responses(stream, count):
    assert stream.wait(count, PATIENCE), f"{len(stream.received)} of {count} responses, end {stream.end}"
    return stream.received[:count]


def only_response(t, request, count=1):
    stream = t.server.watch()
    stream.send(request)
    found = responses(stream, count)
    stream.close()
    return found[0] if count == 1 else found


def write_much(t, megabytes, prefix=b"much/"):
    """Values of 100 kB, which whoever watches everything gets."""
    calls = [t.server.start(api.PUT, api.Put(key=prefix + b"%d" % number, value=b"v" * 100000).SerializeToString())
             for number in range(megabytes * 10)]
    assert all(t.server.finish(api.PUT, call).ok for call in calls)


def raw_stream(t, path, *messages, window=65535):
    """A stream on a connection of its own, opened with these messages; what is said to them is not read."""
    connection = t.connect(settings=b"\0\4" + window.to_bytes(4, "big"))
    assert next(connection.frames())[0] == SETTINGS
    connection.send(frame(SETTINGS, ACK, 0))  # from now on the server's large windows hold
    if window > 65535:
        connection.send(frame(WINDOW, 0, 0, (window - 65535).to_bytes(4, "big")))
    connection.send(frame(HEADERS, END_HEADERS, 1, request_headers(path)))
    send_messages(connection, messages)
    return connection


def send_messages(connection, messages):
    data = b"".join(grpc_message(message if isinstance(message, bytes) else message.SerializeToString())
                    for message in messages)
    for first in range(0, len(data), 16000):
        connection.send(frame(DATA, 0, 1, data[first:first + 16000]))


def watching(t):
    """Watchers of the node, as its metrics count them."""
    return t.node.metric("etcd_debugging_mvcc_watcher_total")


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


# --- watches ---

@case("a client that watches everything and reads one byte a second")
def _(t):
    connection = raw_stream(t, api.WATCH, create(**EVERYTHING), create(prev_kv=True, **EVERYTHING))
    t.kept.append(connection)

    def read():
        try:
            while connection.socket.recv(1):
                time.sleep(1)
        except OSError:
            pass  # the case that closes it
    threading.Thread(target=read, daemon=True).start()
    write_much(t, 30)


@case("100 watchers of everything who read nothing, with windows wide open")
def _(t):
    for _ in range(100):
        t.kept.append(raw_stream(t, api.WATCH, create(**EVERYTHING), window=0x7fffffff))
    write_much(t, 20)


@case("50 who want all of history and read nothing")
def _(t):
    for _ in range(50):
        t.kept.append(raw_stream(t, api.WATCH, create(start_revision=1, **EVERYTHING), window=0x7fffffff))
    write_much(t, 2)


@case("who reads is not kept waiting by them")
def _(t):
    stream = t.server.watch()
    stream.send(create(key=b"read"))
    responses(stream, 1)
    for number in range(200):
        put(t, b"read", b"%d" % number)
    until("200 events", lambda: sum(len(one.events) for one in stream.received) == 200)
    stream.close()


@case("1,000,000 requests for progress by one who reads nothing")
def _(t):
    progress = WatchRequest(progress_request=WatchProgressRequest()).SerializeToString()
    for _ in range(7):
        connection = raw_stream(t, api.WATCH, create(key=b"k"))
        t.kept.append(connection)
        connection.send_what_fits(frame(DATA, 0, 1, grpc_message(progress) * 2000) * 72)  # a window full


@case("they go: what they held goes too")
def _(t):
    for connection in t.kept:
        connection.close()
    t.kept = []
    until("no watcher is left", lambda: watching(t) == 0)


@case("10,000 watches on one stream")
def _(t):
    stream = t.server.watch()
    for number in range(10000):
        stream.send(create(key=b"one/%d" % (number % 100)))
    created = responses(stream, 10000)
    assert all(one.created and not one.canceled for one in created)
    assert [one.watch_id for one in created] == list(range(10000))
    for number in range(100):
        put(t, b"one/%d" % number)
    told = responses(stream, 20000)[10000:]
    assert sorted(one.watch_id for one in told) == list(range(10000))
    assert all(len(one.events) == 1 for one in told)
    for number in range(10000):
        stream.send(cancel(number))
    assert all(one.canceled for one in responses(stream, 30000)[20000:])
    put(t, b"one/1")
    stream.send(create(key=b"last"))
    assert responses(stream, 30001)[-1].watch_id == 10000
    stream.close()


@case("10,000 streams, one after the other, each reset at once")
def _(t):
    request = create(key=b"short").SerializeToString()
    connection = t.connect()
    for first in range(0, 10000, 100):
        connection.send(b"".join(
            frame(HEADERS, END_HEADERS, 2 * number + 1, request_headers(api.WATCH)) +
            frame(DATA, 0, 2 * number + 1, grpc_message(request)) + frame(RESET, 0, 2 * number + 1, b"\0\0\0\x08")
            for number in range(first, first + 100)))
    connection.close()
    until("no watcher is left", lambda: watching(t) == 0)


@case("watch ids: twice the same, and at the ends of their range")
def _(t):
    ids = (7, 7, -1, (1 << 63) - 1, -1 << 63, (1 << 63) - 1)
    stream = t.server.watch()
    for one in ids:
        stream.send(create(key=b"id", watch_id=one))
    answers = responses(stream, len(ids))
    for again in (1, 5):
        assert answers[again].created and answers[again].canceled and answers[again].watch_id == -1
        assert answers[again].cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    assert [answers[number].watch_id for number in (0, 2, 3, 4)] == [7, -1, (1 << 63) - 1, -1 << 63]
    for one in (8, 1 << 62, 0):
        stream.send(cancel(one))  # nobody's
    stream.send(cancel(-1 << 63))
    assert responses(stream, len(ids) + 1)[-1].canceled
    stream.close()


@case("start revisions at the ends of their range")
def _(t):
    for revision in (1 << 62, (1 << 63) - 1):
        stream = t.server.watch()
        stream.send(create(key=b"start", start_revision=revision))
        assert responses(stream, 1)[0].created
        put(t, b"start")
        stream.send(cancel(0))
        answers = responses(stream, 2)
        assert answers[1].canceled and not answers[1].events, answers
        stream.close()
    for revision in (-1, -1 << 63):
        answer = only_response(t, create(key=b"start", start_revision=revision))
        assert answer.created and answer.canceled and answer.watch_id == -1 and answer.cancel_reason == COMPACTED


@case("ranges that are empty, keys of a megabyte, messages too large")
def _(t):
    answer = only_response(t, create(key=b"z", range_end=b"a"))
    assert answer.created and answer.canceled and answer.cancel_reason == "mvcc: watcher range is empty", answer
    assert only_response(t, create(key=b"k" * 1000000, range_end=b"l" * 1000000)).created
    stream = t.server.watch()
    stream.send(create(key=b"k" * 3000000))
    code, text = stream.wait_end(PATIENCE)
    assert code == 8 and "larger than max" in text, (code, text)
    stream = t.server.watch()
    stream.send_raw(b"\x0a\xff")
    assert stream.wait_end(PATIENCE)[0] == 13


@case("random bytes and random protobuf on streams")
def _(t):
    for number in range(200):
        path = (api.WATCH, api.KEEP_ALIVE)[number % 2]
        data = os.urandom(200) if number % 4 < 2 else b"".join(grpc_message(os.urandom(n)) for n in range(20))
        connection = t.connect()
        connection.send(frame(HEADERS, END_HEADERS, 1, request_headers(path)) + frame(DATA, END_STREAM, 1, data))
        if number % 8 == 0:
            connection.ping()
        connection.close()


@case("300 watch everything from the beginning and read")
def _(t):
    last = put(t, b"end")
    streams = [t.server.watch() for _ in range(300)]
    for number, stream in enumerate(streams):
        stream.send(create(key=b"one/", range_end=b"one0", start_revision=1 + number % 3))
        stream.send(create(key=b"end", start_revision=last))
    for stream in streams:
        until("the last event", lambda stream=stream: any(
            event.kv.mod_revision == last for one in stream.received for event in one.events))
    for stream in streams:
        stream.close()


# --- leases ---

def answers(connection):
    """After each frame of stream 1: how many whole messages have come so far. Ends with the stream."""
    count, received = 0, bytearray()
    for kind, flags, stream, payload in connection.frames():
        if stream != 1:
            continue
        if kind == RESET or (kind == HEADERS and flags & END_STREAM):
            return
        if kind == DATA:
            received += payload
        at = 0
        while at + 5 <= len(received) and at + 5 + int.from_bytes(received[at + 1:at + 5], "big") <= len(received):
            at += 5 + int.from_bytes(received[at + 1:at + 5], "big")
            count += 1
        del received[:at]
        yield count


@case("keepalives of unknown leases at full speed")
def _(t):
    batches, batch = 20, 10000
    connection = raw_stream(t, api.KEEP_ALIVE, window=0x7fffffff)
    data = grpc_message(api.KeepAlive(ID=123456789).SerializeToString()) * batch
    frames = b"".join(frame(DATA, 0, 1, data[at:at + 16000]) for at in range(0, len(data), 16000))
    began = time.monotonic()
    connection.send(frames)
    sent = batch
    for answered in answers(connection):
        if answered == batches * batch:
            break
        while sent < batches * batch and sent < answered + batch:  # never more than the windows hold
            connection.send(frames)
            sent += batch
    assert answered == batches * batch, answered
    print(f"#   {batches * batch / (time.monotonic() - began):.0f} keepalives a second")
    connection.close()


@case("keepalives by one who never reads an answer")
def _(t):
    connection = raw_stream(t, api.KEEP_ALIVE)
    t.kept.append(connection)
    data = grpc_message(api.KeepAlive(ID=1).SerializeToString()) * 2000
    connection.send_what_fits(b"".join(frame(DATA, 0, 1, data[at:at + 16000])
                                       for at in range(0, len(data), 16000)) * 70)  # a window full


@case("1,000 keepalive streams on one connection, reset while they are answered")
def _(t):
    connection = t.connect()
    data = grpc_message(api.KeepAlive(ID=1).SerializeToString()) * 20
    for number in range(1000):
        connection.send(frame(HEADERS, END_HEADERS, 2 * number + 1, request_headers(api.KEEP_ALIVE)) +
                        frame(DATA, 0, 2 * number + 1, data))
        if number >= 10:
            connection.send(frame(RESET, 0, 2 * (number - 10) + 1, b"\0\0\0\x08"))
    connection.close()


@case("lease TTLs of 0, -5 and 2^40, and at the ends of their range")
def _(t):
    for ttl in (0, -5, 1, -1 << 63):
        answer = t.call(api.GRANT, api.Grant(TTL=ttl))
        assert answer.ok and answer.message.TTL == 2 and answer.message.ID > 0, answer
    for ttl in (1 << 40, 9000000001, (1 << 63) - 1):
        answer = t.call(api.GRANT, api.Grant(TTL=ttl))
        assert (answer.code, answer.text) == (11, "etcdserver: too large lease TTL"), answer
    answer = t.call(api.GRANT, api.Grant(TTL=9000000000))
    assert answer.ok and answer.message.TTL == 9000000000, answer


@case("lease ids: twice the same, and at the ends of their range")
def _(t):
    for one in (-1, (1 << 63) - 1, -1 << 63):
        assert t.call(api.GRANT, api.Grant(ID=one, TTL=100)).ok
        answer = t.call(api.GRANT, api.Grant(ID=one, TTL=100))
        assert (answer.code, answer.text) == (9, "etcdserver: lease already exists"), answer
        answer = t.call(api.TIME_TO_LIVE, api.TimeToLive(ID=one, keys=True))
        assert answer.ok and answer.message.grantedTTL == 100, answer
        assert t.call(api.REVOKE, api.Revoke(ID=one)).ok
        answer = t.call(api.REVOKE, api.Revoke(ID=one))
        assert (answer.code, answer.text) == (5, "etcdserver: requested lease not found"), answer
        answer = t.call(api.TIME_TO_LIVE, api.TimeToLive(ID=one))
        assert answer.ok and answer.message.TTL == -1, answer


@case("20,000 leases that expire at the same time, half of them with a key")
def _(t):
    for first in range(0, 20000, 2000):
        calls = [t.server.start(api.GRANT, api.Grant(ID=first + number + 1000, TTL=2).SerializeToString())
                 for number in range(2000)]
        assert all(t.server.finish(api.GRANT, call).ok for call in calls)
        calls = [t.server.start(api.PUT, api.Put(key=b"leased/%d" % (first + number),
                                                 lease=first + number + 1000).SerializeToString())
                 for number in range(0, 2000, 2)]
        for call in calls:
            assert t.server.finish(api.PUT, call).code in (0, 5)
    until("they are gone", lambda: not [one for one in t.call(api.LEASES, api.Leases()).message.leases
                                        if one.ID in range(1000, 21000)])
    left = t.call(api.RANGE, api.Range(key=b"leased/", range_end=b"leased0", count_only=True))
    assert left.ok and left.message.count == 0, left


# --- compaction ---

@case("compaction of the future and of the past")
def _(t):
    now = put(t, b"compact")
    for revision, text in ((now + 1000000, FUTURE), ((1 << 63) - 1, FUTURE), (-1, COMPACTED), (-1 << 63, COMPACTED)):
        answer = t.call(api.COMPACT, api.Compaction(revision=revision, physical=True))
        assert (answer.code, answer.text) == (11, text), (revision, answer)
    assert t.call(api.COMPACT, api.Compaction(revision=now)).ok
    for revision in (now, now - 1, 1):
        answer = t.call(api.COMPACT, api.Compaction(revision=revision))
        assert (answer.code, answer.text) == (11, COMPACTED), (revision, answer)


@case("watches of what is compacted end, and say so")
def _(t):
    now = put(t, b"compact")
    assert t.call(api.COMPACT, api.Compaction(revision=now)).ok
    for revision in (1, now - 1):
        created, ended = only_response(t, create(key=b"compact", start_revision=revision), 2)
        assert created.created and not created.canceled, created
        assert ended.canceled and ended.compact_revision == now and ended.header.revision == 0, ended
    stream = t.server.watch()
    stream.send(create(key=b"compact", start_revision=now))
    until("its event", lambda: any(one.events for one in stream.received))
    stream.close()


@case("many compactions at once, physical and not, while others watch")
def _(t):
    first = put(t, b"compact")
    stream = t.server.watch()
    stream.send(create(key=b"compact", start_revision=first))
    for number in range(200):
        last = put(t, b"compact", b"%d" % number)
    until("all events", lambda: sum(len(one.events) for one in stream.received) >= 201)
    calls = [t.server.start(api.COMPACT, api.Compaction(revision=first + number % 200,
                                                        physical=number % 3 == 0).SerializeToString())
             for number in range(400)]
    ends = [t.server.finish(api.COMPACT, call) for call in calls]
    assert all(answer.ok or answer.text == COMPACTED for answer in ends), [str(a) for a in ends if not a.ok][:5]
    assert any(answer.ok for answer in ends)
    put(t, b"compact", b"after")
    until("the event behind them", lambda: stream.received[-1].events and
          stream.received[-1].events[-1].kv.mod_revision > last)
    stream.close()


@case("and when all are gone, so is what they held")
def _(t):
    for connection in t.kept:
        connection.close()
    t.kept = []
    until("no watcher is left", lambda: watching(t) == 0)
    assert t.call(api.DELETE, api.Delete(key=b"much/", range_end=b"much0")).ok


if __name__ == "__main__":
    sys.exit(hostile.main(CASES))
