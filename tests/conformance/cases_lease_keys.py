"""Leases and the keys attached to them, what watches see of it, expiry: etcd-api.md 1.5 and 1.7."""

import time

from harness.api import Delete, Grant, Put, Range
from harness.watch_messages import NOPUT
from cases import IMPATIENT, case, txn
from cases_lease import EXISTS
from cases_range import ALL_KEYS
from cases_txn import lease as lease_is
from cases_txn import version
from cases_watch import keys_of
from cases_watch_events import DELETE, kinds_of
from cases_write import KEY_NOT_FOUND, LEASE_NOT_FOUND, LEASE_PROVIDED


def attached(c, lease):
    return sorted(c.time_to_live(lease).keys)


# --- attach and detach ---


@case("lease keys: a put with a lease attaches, and the key says so")
def _(c):
    c.grant(7)
    c.put(b"k", b"v", lease=7)
    c.check(c.range(b"k").kvs[0].lease == 7, "in the key")
    c.check(attached(c, 7) == [b"k"], "and in the lease")
    c.check(c.put(b"k", b"w", lease=7, prev_kv=True).prev_kv.lease == 7, "again")
    c.check(attached(c, 7) == [b"k"], "once")


@case("lease keys: a put without a lease detaches")
def _(c):
    c.grant(7)
    c.put(b"k", b"v", lease=7)
    c.put(b"k", b"w")
    c.check(c.range(b"k").kvs[0].lease == 0 and attached(c, 7) == [], "detached")
    c.revoke(7)
    c.check(c.range(b"k").count == 1, "it stays")
    c.check(c.range(b"k", revision=c.base + 1).kvs[0].lease == 7, "the past says what was")


@case("lease keys: a put with another lease moves the key")
def _(c):
    c.grant(7)
    c.grant(8)
    c.put(b"k", lease=7)
    c.put(b"k", lease=8)
    c.check(attached(c, 7) == [] and attached(c, 8) == [b"k"], "moved")
    c.check(c.revoke(7).header.revision == c.base + 2, "nothing to delete")
    c.check(c.range(b"k").kvs[0].lease == 8, "it stays")
    c.revoke(8)
    c.check(c.range(b"k").count == 0, "gone with the other")


@case("lease keys: ignore_lease keeps what is attached")
def _(c):
    c.grant(7)
    c.put(b"k", b"v", lease=7)
    c.put(b"k", b"w", ignore_lease=True)
    c.check(c.range(b"k").kvs[0].lease == 7 and attached(c, 7) == [b"k"], "kept")
    c.put(b"k", ignore_lease=True, ignore_value=True)
    c.check(c.range(b"k").kvs[0].lease == 7, "kept")
    c.put(b"free", b"v")
    c.put(b"free", b"w", ignore_lease=True)
    c.check(c.range(b"free").kvs[0].lease == 0, "none is kept as none")
    c.refused(Put(key=b"k", lease=7, ignore_lease=True), *LEASE_PROVIDED)
    c.refused(Put(key=b"missing", ignore_lease=True), *KEY_NOT_FOUND)


@case("lease keys: ignore_value with a lease changes the lease only")
def _(c):
    c.grant(7)
    c.put(b"k", b"v")
    c.put(b"k", lease=7, ignore_value=True)
    kv = c.range(b"k").kvs[0]
    c.check((kv.value, kv.lease, kv.version) == (b"v", 7, 2), "attached")
    c.refused(Put(key=b"k", lease=9, ignore_value=True), *LEASE_NOT_FOUND)


@case("lease keys: a delete detaches; a new key of that name is free")
def _(c):
    c.grant(7)
    for key in (b"a", b"b", b"c", b"d"):
        c.put(key, lease=7)
    c.delete(b"a")
    c.check(attached(c, 7) == [b"b", b"c", b"d"], "one")
    c.delete(b"b", b"d")
    c.check(attached(c, 7) == [b"d"], "a range")
    c.put(b"a")
    c.check(attached(c, 7) == [b"d"], "not attached again")
    c.revoke(7)
    c.check(c.keys(c.range(*ALL_KEYS)) == [b"a"], "it stays")


@case("lease keys: in a txn: puts attach, move and detach, deletes detach")
def _(c):
    c.grant(7)
    c.grant(8)
    c.txn(success=[Put(key=b"a", lease=7), Put(key=b"b", lease=8), Put(key=b"c"),
                   txn(success=[Put(key=b"d", lease=7)])])
    c.check(attached(c, 7) == [b"a", b"d"] and attached(c, 8) == [b"b"], "attached")
    c.txn(success=[Put(key=b"a", lease=8), Put(key=b"b"), Put(key=b"c", lease=7), Delete(key=b"d"), Range(key=b"a")])
    c.check(attached(c, 7) == [b"c"] and attached(c, 8) == [b"a"], "moved")
    c.txn([version(b"a", 99)], [Put(key=b"a")], [Put(key=b"c", ignore_lease=True)])
    c.check(attached(c, 7) == [b"c"] and attached(c, 8) == [b"a"], "only the branch that is taken")


@case("lease keys: compared in a txn")
def _(c):
    c.grant(7)
    c.put(b"k", lease=7)
    c.put(b"free")
    c.check(c.txn([lease_is(b"k", 7)]).succeeded and not c.txn([lease_is(b"k", 0)]).succeeded, "7")
    c.check(c.txn([lease_is(b"free", 0)]).succeeded and c.txn([lease_is(b"missing", 0)]).succeeded, "0")
    for result in range(4):
        for number in (-1, 0, 6, 7, 8):
            c.txn([lease_is(b"k", number, result)])
            c.txn([lease_is(b"a", number, result, b"z")])
    c.revoke(7)
    c.check(c.txn([lease_is(b"k", 0)]).succeeded, "gone")


@case("lease keys: an unknown lease is refused in put and txn, and changes nothing")
def _(c):
    c.grant(7)
    c.put(b"k", b"v", lease=7)
    c.refused(Put(key=b"k", lease=8), *LEASE_NOT_FOUND)
    c.refused(txn(success=[Put(key=b"a"), Put(key=b"k", lease=8)]), *LEASE_NOT_FOUND)
    c.refused(txn(success=[Put(key=b"a", lease=7), txn(success=[Put(key=b"b", lease=8)])]), *LEASE_NOT_FOUND)
    c.refused(txn(failure=[Put(key=b"k", lease=8)], compare=[version(b"k", 5)]), *LEASE_NOT_FOUND)
    c.check(attached(c, 7) == [b"k"] and c.range(*ALL_KEYS).header.revision == c.base + 1, "nothing")
    c.revoke(7)
    c.refused(Put(key=b"k", lease=7), *LEASE_NOT_FOUND)
    c.refused(txn(success=[Put(key=b"k", lease=7)]), *LEASE_NOT_FOUND)


@case("lease keys: granted again after its end it has no keys")
def _(c):
    c.grant(7, 100)
    c.put(b"k", lease=7)
    c.revoke(7)
    c.check(c.grant(7, 200).TTL == 200, "granted again")
    c.check(attached(c, 7) == [], "no keys")
    c.put(b"k", b"again")
    c.check(c.revoke(7).header.revision == c.base + 3, "no revision")
    c.check(c.range(b"k").count == 1, "it stays")


@case("lease keys: compaction leaves them attached")
def _(c):
    c.grant(7)
    c.grant(8)
    for index in range(4):
        c.put(b"k%d" % index, lease=7 + index % 2)
        c.put(b"k%d" % index, b"2", lease=7 + index % 2)
    c.compact(c.base + 8, physical=True)
    c.check(attached(c, 7) == [b"k0", b"k2"], "attached")
    c.put(b"k0", b"3")
    c.revoke(7)
    c.compact(c.base + 10, physical=True)
    c.check(c.keys(c.range(*ALL_KEYS)) == [b"k0", b"k1", b"k3"], "k2 is gone")
    c.revoke(8)
    c.check(c.keys(c.range(*ALL_KEYS)) == [b"k0"], "what is free stays")


@case("lease keys: hundreds on one lease")
def _(c):
    c.grant(7)
    for index in range(5):
        c.txn(success=[Put(key=b"k%03d" % (index * 100 + one), lease=7) for one in range(100)])
    c.delete(b"k1", b"k2")
    watch = c.watching(b"k", b"l")
    c.check(len(attached(c, 7)) == 400, "400 left")
    c.revoke(7)
    c.check(keys_of(watch.response(0).events) == [b"k%03d" % index for index in range(500) if index // 100 != 1],
            "deleted in key order")
    c.check(c.range(b"k", b"l").count == 0, "gone")


# --- what watches see ---


@case("lease watch: events say the lease of a key")
def _(c):
    c.grant(7)
    watch = c.watching(b"k", prev_kv=True)
    c.put(b"k", lease=7)
    c.check(watch.response(0).events[0].kv.lease == 7, "7")
    c.put(b"k")
    event = watch.response(0).events[0]
    c.check(event.kv.lease == 0 and event.prev_kv.lease == 7, "what was before")
    watch.create(b"k", start_revision=c.base + 1, prev_kv=True)
    c.check([event.kv.lease for event in watch.events(1, 2)] == [7, 0], "the past too")


@case("lease watch: a revoke: deletes in key order, of one revision, in one response")
def _(c):
    c.grant(7)
    for key in (b"c", b"a", b"\xff", b"b", b"\0"):
        c.put(key, key, lease=7)
    watch = c.watching(*ALL_KEYS, prev_kv=True)
    watch.create(b"b", b"d", filters=[NOPUT])
    watch.create(b"a", filters=[1])
    revision = c.revoke(7).header.revision
    response = watch.response(0)
    c.check(keys_of(response.events) == [b"\0", b"a", b"b", b"c", b"\xff"], "in order")
    c.check(set(kinds_of(response.events)) == {DELETE} and response.header.revision == revision, "one revision")
    c.check([event.prev_kv.lease for event in response.events] == [7] * 5, "with what was there")
    c.check(keys_of(watch.response(1).events) == [b"b", b"c"], "its part")
    watch.create(*ALL_KEYS, start_revision=revision, prev_kv=True)
    c.check(keys_of(watch.events(3, 5)) == keys_of(response.events), "from history too")


@case("lease watch: granting, renewing and revoking one without keys are no events")
def _(c):
    watch = c.watching(*ALL_KEYS)
    c.grant(7)
    c.keep_alive().ask(7)
    c.time_to_live(7)
    c.revoke(7)


# --- expiry ---


@case("lease expiry: its keys go in one revision, in key order; the lease is no more", flags=IMPATIENT)
def _(c):
    watch = c.watching(*ALL_KEYS, prev_kv=True, filters=[NOPUT])
    c.grant(7, 1)
    c.put(b"stays")
    for key in (b"c", b"a", b"b"):
        c.put(key, lease=7)
    response = watch.response(0)
    c.check(keys_of(response.events) == [b"a", b"b", b"c"] and set(kinds_of(response.events)) == {DELETE}, "deleted")
    c.check(response.header.revision == c.base + 5, "one revision")
    c.check(c.keys(c.range(*ALL_KEYS)) == [b"stays"], "only its own")
    c.check(c.time_to_live(7).TTL == -1 and c.leases() == [], "gone")
    c.check(c.keep_alive().ask(7).TTL == 0, "cannot be renewed")
    c.refused(Put(key=b"k", lease=7), *LEASE_NOT_FOUND)
    c.check(c.grant(7, 100).TTL == 100 and attached(c, 7) == [], "granted anew")


@case("lease expiry: only what is attached at the end goes", flags=IMPATIENT)
def _(c):
    watch = c.watching(*ALL_KEYS, filters=[NOPUT])
    c.grant(7, 2)
    c.grant(8, 1000)
    for key in (b"detached", b"moved", b"deleted", b"kept", b"taken"):
        c.put(key, lease=8 if key == b"taken" else 7)
    c.put(b"detached")
    c.put(b"moved", lease=8)
    c.delete(b"deleted")
    c.put(b"kept", b"new", ignore_lease=True)
    c.txn(success=[Put(key=b"taken", lease=7)])
    c.check(keys_of(watch.response(0).events) == [b"deleted"], "by the client")
    c.check(keys_of(watch.response(0).events) == [b"kept", b"taken"], "two")
    c.check(attached(c, 8) == [b"moved"], "the other lease keeps its own")
    c.check(c.leases() == [8], "and lives on")


@case("lease expiry: several, each at its time", flags=IMPATIENT)
def _(c):
    watch = c.watching(*ALL_KEYS, filters=[NOPUT])
    for lease, ttl in ((1, 3), (2, 1), (3, 4)):
        c.grant(lease, ttl)
        c.put(b"k%d" % lease, lease=lease)
    c.check([keys_of(watch.response(0).events) for _ in range(3)] == [[b"k2"], [b"k1"], [b"k3"]], "in order of TTL")


@case("lease expiry: without keys takes no revision", flags=IMPATIENT)
def _(c):
    c.grant(7, 1)
    deadline = time.monotonic() + 10

    def gone(server):
        while server.call("/etcdserverpb.Lease/LeaseLeases", b"").message.leases:
            c.check(time.monotonic() < deadline, "it expires")
            time.sleep(0.02)
        return True

    c.each(gone)
    c.check(c.time_to_live(7).TTL == -1, "gone")
    c.check(c.range(b"k").header.revision == c.base, "no revision")


@case("lease expiry: not of a lease that is renewed, until it is renewed no more", flags=IMPATIENT)
def _(c):
    watch = c.watching(b"k", filters=[NOPUT])
    c.grant(7, 1)
    c.put(b"k", lease=7)
    stream = c.keep_alive()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        c.check(stream.ask(7).TTL == 1, "renewed")
        time.sleep(0.2)  # a client's pace
    c.check(c.range(b"k").count == 1, "still there")
    c.check(kinds_of(watch.response(0).events) == [DELETE], "then it goes")


@case("lease expiry: a hundred at about the same time", flags=IMPATIENT)
def _(c):
    watch = c.watching(b"k", b"l", filters=[NOPUT])
    for lease in range(1, 101):
        c.grant(lease, 3)
        c.put(b"k%03d" % lease, lease=lease)
    for side in watch.sides:
        deleted = side.next_events(0, 100)
        c.check(sorted(keys_of(deleted)) == [b"k%03d" % lease for lease in range(1, 101)], f"{side.name}: all")
        c.check(len({event.kv.mod_revision for event in deleted}) == 100, f"{side.name}: each in its own revision")
    c.check(c.leases() == [], "none is left")


@case("lease expiry: the id is refused while the lease lives", flags=IMPATIENT)
def _(c):
    c.grant(7, 2)
    c.refused(Grant(ID=7, TTL=2), *EXISTS)
    watch = c.watching(b"k", filters=[NOPUT])
    c.put(b"k", lease=7)
    watch.response(0)
    c.grant(7, 100)
