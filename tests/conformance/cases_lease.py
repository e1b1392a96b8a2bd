"""The five lease RPCs: etcd-api.md 1.7. What leases do to keys, and expiry: cases_lease_keys.py."""

import time

from harness import api
from harness.api import Grant, Put, Revoke, TimeToLive
from cases import IMPATIENT, case
from cases_range import ALL_KEYS
from cases_write import LEASE_NOT_FOUND

EXISTS = (9, "etcdserver: lease already exists")
TTL_TOO_LARGE = (11, "etcdserver: too large lease TTL")
LARGEST_TTL = 9000000000


# --- grant ---


@case("lease grant: the id and TTL asked for; no revision is taken")
def _(c):
    c.put(b"k")
    answer = c.grant(7, 100)
    c.check((answer.ID, answer.TTL, answer.error) == (7, 100, ""), "as asked for")
    c.check(answer.header.revision == c.base + 1, "the current revision")
    c.check(c.put(b"k").header.revision == c.base + 2, "the next is the next")


@case("lease grant: any id but 0, negative ones too")
def _(c):
    ids = (1, 2 ** 63 - 1, -1, -(2 ** 63), 1 << 40, -7)
    for lease in ids:
        c.check(c.grant(lease).ID == lease, "as asked for")
        c.check(c.time_to_live(lease).grantedTTL == 1000, "it is there")
        c.put(b"k%d" % lease, lease=lease)
    c.check(sorted(c.leases()) == sorted(ids), "all of them")
    c.check([kv.lease for kv in c.range(*ALL_KEYS).kvs if kv.lease < 0], "also in keys")
    for lease in ids:
        c.revoke(lease)


@case("lease grant: id 0: the server picks one that is positive and new")
def _(c):
    def many(server):
        answers = [server.call(api.GRANT, Grant(TTL=50).SerializeToString()) for _ in range(20)]
        c.check(all(answer.ok and answer.message.TTL == 50 for answer in answers), "granted")
        return {answer.message.ID for answer in answers}

    for picked in c.each(many):
        c.check(len(picked) == 20 and min(picked) > 0, "positive, and each once")


@case("lease grant: a lease whose id the server picked works as any other")
def _(c):
    def use(server):
        lease = server.call(api.GRANT, Grant(TTL=60).SerializeToString()).message.ID
        put = server.call(api.PUT, Put(key=b"k", value=b"v", lease=lease).SerializeToString())
        kept = server.call(api.RANGE, api.Range(key=b"k").SerializeToString()).message.kvs[0].lease
        again = server.call(api.GRANT, Grant(ID=lease, TTL=60).SerializeToString())
        gone = server.call(api.REVOKE, Revoke(ID=lease).SerializeToString())
        return put.ok, kept == lease, (again.code, again.text) == EXISTS, gone.ok

    c.check(c.each(use) == [(True, True, True, True)] * 2, "put, kept, exists, revoked")
    c.check(c.range(b"k").count == 0, "and its key is gone")


@case("lease grant: a TTL below the minimum is raised to it")
def _(c):
    for lease, ttl in enumerate((0, 1, 2, -5, -(2 ** 63)), 1):
        answer = c.grant(lease, ttl)
        c.check(answer.TTL == 2, "the minimum: one and a half election timeouts")
        c.revoke(lease)
    c.check(c.grant(9, 3).TTL == 3, "above it stays")


@case("lease grant: the minimum follows the election timeout", flags=IMPATIENT)
def _(c):
    c.check(c.grant(1, 0).TTL == 1 and c.grant(2, 1).TTL == 1 and c.grant(3, 2).TTL == 2, "1 s with 250 ms")
    for lease in (1, 2, 3):
        c.revoke(lease)


@case("lease grant: a TTL above 9,000,000,000 is refused")
def _(c):
    for ttl in (LARGEST_TTL + 1, 2 ** 40, 2 ** 63 - 1):
        c.refused(Grant(ID=5, TTL=ttl), *TTL_TOO_LARGE)
        c.refused(Grant(TTL=ttl), *TTL_TOO_LARGE)
    c.check(c.grant(5, LARGEST_TTL).TTL == LARGEST_TTL, "the largest")
    c.check(c.time_to_live(5).grantedTTL == LARGEST_TTL, "lives that long")
    c.keep_alive().ask(5)
    c.grant(6, LARGEST_TTL - 1)
    c.grant(7, 10)
    c.check(c.leases() == [7, 6, 5], "in order of expiry")


@case("lease grant: an id in use is refused, and the lease keeps its TTL")
def _(c):
    c.grant(7, 100)
    c.refused(Grant(ID=7, TTL=100), *EXISTS)
    c.refused(Grant(ID=7, TTL=5000), *EXISTS)
    c.refused(Grant(ID=7, TTL=2 ** 40), *TTL_TOO_LARGE)
    c.check(c.time_to_live(7).grantedTTL == 100, "unchanged")


# --- revoke ---


@case("lease revoke: one that does not exist")
def _(c):
    for lease in (7, 0, -7, 2 ** 63 - 1):
        c.refused(Revoke(ID=lease), *LEASE_NOT_FOUND)
    c.grant(7)
    c.revoke(7)
    c.refused(Revoke(ID=7), *LEASE_NOT_FOUND)


@case("lease revoke: without keys takes no revision")
def _(c):
    c.grant(7)
    c.check(c.revoke(7).header.revision == c.base, "nothing was written")
    c.check(c.time_to_live(7).TTL == -1 and c.leases() == [], "it is gone")


@case("lease revoke: its keys go in one revision")
def _(c):
    c.grant(7)
    c.put(b"stays")
    for key in (b"c", b"a", b"b"):
        c.put(key, lease=7)
    c.check(c.revoke(7).header.revision == c.base + 5, "one revision")
    c.check(c.keys(c.range(*ALL_KEYS)) == [b"stays"], "only its own")
    c.check(c.range(*ALL_KEYS, revision=c.base + 4).count == 4, "the past stays")


# --- keepalive ---


@case("lease keepalive: answers the TTL it was granted; the revision is the current one")
def _(c):
    c.grant(7, 100)
    c.put(b"k", lease=7)
    stream = c.keep_alive()
    for _ in range(3):
        answer = stream.ask(7)
        c.check((answer.ID, answer.TTL, answer.header.revision) == (7, 100, c.base + 1), "renewed")


@case("lease keepalive: of a lease that does not exist: TTL 0, and the stream goes on")
def _(c):
    c.grant(7, 100)
    stream = c.keep_alive()
    for lease in (5, 0, -1, 2 ** 63 - 1, -(2 ** 63)):
        answer = stream.ask(lease)
        c.check((answer.ID, answer.TTL) == (lease, 0), "no error")
    c.check(stream.ask(7).TTL == 100, "one that exists")
    c.revoke(7)
    c.check(stream.ask(7).TTL == 0, "revoked")


@case("lease keepalive: many leases on one stream, in order")
def _(c):
    for lease in range(1, 30):
        c.grant(lease, 100 + lease)
    stream = c.keep_alive()
    asked = [(index * 7) % 40 for index in range(100)]
    for lease in asked:
        stream.send(lease)
    for lease in asked:
        answer = stream.answer()
        c.check((answer.ID, answer.TTL) == (lease, 100 + lease if 0 < lease < 30 else 0), "in order")


@case("lease keepalive: several streams")
def _(c):
    c.grant(7, 100)
    streams = [c.keep_alive() for _ in range(4)]
    for stream in streams:
        stream.send(7)
        stream.send(8)
    for stream in streams:
        c.check([stream.answer().TTL, stream.answer().TTL] == [100, 0], "each its own answers")


@case("lease keepalive: the stream ends well when the client is done")
def _(c):
    c.grant(7)
    stream = c.keep_alive()
    stream.ask(7)
    stream.half_close()
    c.check(stream.end() == (0, ""), "OK")
    stream = c.keep_alive()
    stream.send(7)
    stream.half_close()
    c.check(stream.answer().TTL == 1000 and stream.end() == (0, ""), "after the answer")
    stream = c.keep_alive()
    stream.half_close()
    c.check(stream.end() == (0, ""), "also when it asked nothing")


@case("lease keepalive: what is not protobuf ends the stream")
def _(c):
    stream = c.keep_alive()
    stream.send_raw(b"\x08")
    c.check(stream.end()[0] == 13, "an internal error")


@case("lease keepalive: renews", flags=IMPATIENT)
def _(c):
    c.grant(7, 1)
    c.put(b"k", lease=7)
    stream = c.keep_alive()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        c.check(stream.ask(7).TTL == 1, "renewed")
        time.sleep(0.2)  # a client's pace: the lease would be gone without the renewals
    c.check(c.range(b"k").count == 1, "still there")
    c.check(c.time_to_live(7).TTL >= 0, "and alive")


# --- time to live, leases ---


@case("lease time to live: what was granted and what is left")
def _(c):
    c.grant(7, 1000)
    answer = c.time_to_live(7, keys=False)
    c.check((answer.ID, answer.grantedTTL) == (7, 1000) and 990 <= answer.TTL <= 1000, "nearly all of it")
    c.check(not answer.keys, "keys were not asked for")
    c.check(answer.header.revision == c.base, "the current revision")


@case("lease time to live: of one that does not exist: -1")
def _(c):
    for lease in (7, 0, -3, 2 ** 63 - 1):
        for keys in (True, False):
            answer = c.time_to_live(lease, keys)
            c.check((answer.ID, answer.TTL, answer.grantedTTL) == (lease, -1, 0) and not answer.keys, "-1, no error")


@case("lease time to live: its keys")
def _(c):
    c.grant(7)
    c.grant(8)
    for key in (b"b", b"a", b"c\0", b"c", b"\xff", b"\0"):
        c.put(key, lease=7)
    c.put(b"not", lease=8)
    answer = c.time_to_live(7)
    c.check(sorted(answer.keys) == [b"\0", b"a", b"b", b"c", b"c\0", b"\xff"], "its own")
    answer = c.subject_answers(api.TIME_TO_LIVE, TimeToLive(ID=7, keys=True).SerializeToString())
    if answer is not None:
        c.check(list(answer.message.keys) == sorted(answer.message.keys), "sorted")


@case("leases: none, then all, the one that ends first first")
def _(c):
    c.check(c.leases() == [], "none")
    for lease, ttl in ((1, 5000), (2, 1000), (3, 9000), (4, 3000), (5, 7000)):
        c.grant(lease, ttl)
    c.check(c.leases() == [2, 4, 1, 5, 3], "in order of expiry")
    c.revoke(4)
    c.grant(6, 2000)
    c.check(c.leases() == [2, 6, 1, 5, 3], "in order of expiry")


@case("leases: of equal TTLs the older first; a keepalive makes one younger")
def _(c):
    for lease in (5, 3, 9, 1):
        c.grant(lease, 1000)
    c.check(c.leases() == [5, 3, 9, 1], "as granted")
    stream = c.keep_alive()
    stream.ask(3)
    c.check(c.leases() == [5, 9, 1, 3], "3 has the most left")
    stream.ask(5)
    c.check(c.leases() == [9, 1, 3, 5], "then 5")


@case("leases: hundreds")
def _(c):
    for lease in range(1, 301):
        c.grant(lease, 1000 + 10 * (lease * 77 % 300))
    c.check(c.leases() == sorted(range(1, 301), key=lambda lease: lease * 77 % 300), "in order of expiry")


@case("lease: unknown fields, and messages that are not protobuf")
def _(c):
    c.pair.ask_raw(api.GRANT, Grant(ID=3, TTL=100).SerializeToString() + b"\xf8\x07\x05")
    c.pair.ask_raw(api.LEASES, b"\xf8\x07\x05")
    for method in (api.GRANT, api.REVOKE, api.TIME_TO_LIVE):
        c.refused_raw(method, b"\x08", 13)
        c.refused_raw(method, b"\x0f", 13)
    c.check(c.leases() == [3], "nothing else happened")
