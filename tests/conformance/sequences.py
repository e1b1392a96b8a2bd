"""Seeded random sequences of operations over a small key space, each asked of both servers.

Keys, txns, compactions and leases here; the watches beside them in watchers.py. Leases live longer than a sequence,
but for one in every tenth sequence, which ends with it: then its keys have to go. In some sequences both servers are
killed now and then, and go on with what they have on disk.

The generator never makes what genuine etcd dies of (etcd-api.md 6.6): enum values of Range are valid, and a put
with ignore_value or ignore_lease never shares a txn with a delete (etcd checks it before the txn and panics when
it fails in the middle of it).
"""

import random

from harness.api import LEASES as LEASE_LIST
from harness.api import RANGE
from harness.api import (Compaction, Compare, Delete, Grant, Leases, Op, Put, Range, Revoke, TimeToLive,
                         show)
from cases import txn
from compare import Mismatch
from leasing import KeepAlivePair
from watchers import Watchers

KEYS = [b"k%02d" % index for index in range(18)] + [b"\0", b"\xff"]
ENDS = [b"", b"", b"\0", b"k1", b"k05", b"k11", b"k13", b"l", b"\xff\xff", b"a"]
VALUES = [b"", b"a", b"b", b"value", b"x" * 300]
MAX_DEPTH = 3
FIRST_REVISION = 100  # or later: so that a seed's choices do not depend on how near 0 is
LEASES = (1, 2, 3, 4, 5, -6, 1 << 40)
TTLS = (1000, 3000, 3000, 9000, 500000, 9000000000)
SHORT_LEASE, SHORT_TTL = 77, 2


class Generator:
    def __init__(self, seed, old_reads_in_txns=True):
        self.random = random.Random(seed)
        self.old_reads_in_txns = old_reads_in_txns  # reads at a revision, as part of a txn
        self.revision = 0   # the servers' current one, from their answers
        self.compacted = 0
        self.count = 0

    def next(self):
        self.count += 1
        kind = self.random.choices(
            (self.put, self.delete, self.range, self.txn, self.compaction, self.lease),
            weights=(34, 8, 28, 20, 2, 8))[0]
        return kind()

    def learn(self, request, answer):
        """What the answer tells about revisions; later requests aim around them."""
        if not answer.ok:
            return
        self.revision = answer.message.header.revision
        if isinstance(request, Compaction):
            self.compacted = request.revision

    # --- the requests ---

    def _key(self):
        return b"" if self.random.random() < 0.005 else self.random.choice(KEYS)

    def _chance(self, probability):
        return self.random.random() < probability

    def _value(self):
        if self._chance(0.5):
            return b"v%d" % self.count
        return self.random.choice(VALUES)

    def _revision(self):
        """0 mostly; else around what is compacted, what exists, and just beyond it."""
        if self._chance(0.6):
            return 0
        if self._chance(0.03):
            return self.random.choice((-1, -(2 ** 63), 2 ** 63 - 1))
        return max(1, self.random.randint(self.compacted - 1, self.revision + 1))

    def put(self, allow_ignore=True):
        request = Put(key=self._key(), value=self._value(), prev_kv=self._chance(0.3))
        if allow_ignore and self._chance(0.08):
            request.ignore_value = True
            if self._chance(0.8):
                request.value = b""
        if allow_ignore and self._chance(0.05):
            request.ignore_lease = True
        if self._chance(0.15):
            request.lease = self.lease_id()
        return request

    def lease_id(self):
        return 12345 if self._chance(0.05) else self.random.choice(LEASES)

    def lease(self):
        """Any of the unary lease requests."""
        kind = self.random.random()
        if kind < 0.45:
            ttl = 9000000001 if self._chance(0.03) else self.random.choice(TTLS)
            return Grant(ID=self.lease_id(), TTL=ttl)
        if kind < 0.65:
            return Revoke(ID=self.lease_id())
        if kind < 0.9:
            return TimeToLive(ID=self.lease_id(), keys=self._chance(0.8))
        return Leases()

    def delete(self):
        key, end = self._key(), b""
        if self._chance(0.25):
            end = self.random.choice(ENDS)
        elif self._chance(0.2):
            end = key + b"\0"
        return Delete(key=key, range_end=end, prev_kv=self._chance(0.4))

    def range(self):
        request = Range(key=self._key(), range_end=self.random.choice(ENDS), revision=self._revision())
        if self._chance(0.4):
            request.limit = self.random.choice((-1, 1, 2, 3, 5, 100))
        if self._chance(0.4):
            request.sort_order = self.random.randint(0, 2)
            request.sort_target = self.random.randint(0, 4)
        request.serializable = self._chance(0.3)
        request.keys_only = self._chance(0.15)
        request.count_only = self._chance(0.1)
        for field in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            if self._chance(0.08):
                setattr(request, field, self.random.randint(max(0, self.revision - 40), self.revision + 1))
        return request

    def compaction(self):
        if self._chance(0.15):
            revision = self.random.choice((-1, 0, self.compacted, self.revision + 1))
        else:
            revision = self.random.randint(self.compacted, self.revision)
        return Compaction(revision=revision, physical=self._chance(0.2))

    def _compare(self):
        target = self.random.randint(0, 4)
        request = Compare(result=self.random.randint(0, 3), target=target, key=self._key())
        if self._chance(0.25):
            request.range_end = self.random.choice(ENDS)
        if target == Compare.VALUE:
            request.value = self._value()
        elif target == Compare.VERSION:
            request.version = self.random.randint(0, 4)
        elif target == Compare.LEASE:
            request.lease = self.random.choice((0, 0) + LEASES)
        else:
            revision = self.random.randint(max(0, self.revision - 30), self.revision + 1)
            setattr(request, "create_revision" if target == Compare.CREATE else "mod_revision",
                    0 if self._chance(0.3) else revision)
        return request

    def _operation(self, depth, deletes):
        if self._chance(0.004):
            return Op()
        kind = self.random.random()
        if depth < MAX_DEPTH and kind < 0.15:
            return self.txn(depth + 1, deletes)
        if kind < 0.55:
            return self.put(allow_ignore=not deletes)
        if kind < 0.7 and deletes:
            return self.delete()
        request = self.range()
        if not self.old_reads_in_txns:
            request.revision = 0
        return request

    def txn(self, depth=1, deletes=None):
        if deletes is None:
            deletes = self._chance(0.6)
        sizes = [self.random.choices((0, 1, 2, 3, 4), weights=weights)[0]
                 for weights in ((3, 4, 2, 1, 0), (1, 4, 3, 2, 1), (3, 3, 2, 1, 1))]
        return txn([self._compare() for _ in range(sizes[0])],
                   [self._operation(depth, deletes) for _ in range(sizes[1])],
                   [self._operation(depth, deletes) for _ in range(sizes[2])])


class Sequence:
    """One run of a generator against both servers, with watches beside it."""

    def __init__(self, pair, seed, kills):
        self.pair = pair
        # When 3.4 starts and replays its log, it executes txns that it refused because of such reads.
        self.generator = Generator(seed, old_reads_in_txns=not kills)
        self.generator.revision = self.generator.compacted = pair.base
        self.watchers = Watchers(pair, self.generator.random)
        self.keep_alive = KeepAlivePair(pair)
        self.ends_with_expiry = seed % 10 == 0
        self.killed = False
        self.doing = ""

    def step(self):
        """The next operation, on keys and leases mostly, on watches or a keepalive otherwise."""
        kind = self.generator.random.random()
        if kind < 0.07:
            self.doing = "an operation on watches"
            self.watchers.step(lambda: self.generator.random.choice(KEYS), lambda: self.generator.random.choice(ENDS))
        elif kind < 0.09:
            lease = self.generator.lease_id()
            self.doing = f"keepalive of {lease}"
            self.keep_alive.ask(lease)
        else:
            self._ask(self.generator.next())

    def _ask(self, request):
        self.doing = show(request)
        if self.killed and isinstance(request, Leases):
            self._same_leases()
            return
        if isinstance(request, Compaction):
            self.watchers.before_compaction(min(request.revision, self.watchers.now))
        answer = self.pair.ask(request)
        self.generator.learn(request, answer)
        if answer.ok:
            self.watchers.learn(answer.message.header.revision)
            if isinstance(request, Compaction):
                self.watchers.compacted_to(request.revision)

    def look(self):
        """Compares everything there is: all keys, all leases, all events so far."""
        self.doing = "a look at everything"
        self.pair.ask(Range(key=b"\0", range_end=b"\0"))
        self._ask(Leases())
        self.watchers.sync()

    def _same_leases(self):
        """After a start leases of the same TTL end at the same time, and are listed in any order."""
        lists = [sorted(lease.ID for lease in server.call(LEASE_LIST, b"").message.leases)
                 for server in (self.pair.reference, self.pair.subject)]
        if lists[0] != lists[1]:
            raise Mismatch(f"different leases: {lists[0]} and {lists[1]}")

    def kill(self):
        """Both servers die and come back; clients begin anew."""
        self.look()
        self._ask(Put(key=KEYS[0], value=b"the last before a kill"))
        self.watchers.sync()
        self.doing = "a start after kill -9"
        self.close()
        self.pair.restart()
        self.pair.seconds = 10  # a lease has its whole TTL again, from when its server was up
        self.killed = True
        stand_at = [server.call(RANGE, Range(key=b"k").SerializeToString()).message.header.revision
                    for server in (self.pair.reference, self.pair.subject)]
        if stand_at != [self.watchers.now] * 2:
            raise Mismatch(f"both stood at {self.watchers.now}; after kill -9 reference and subject at {stand_at}")
        self.watchers.open()
        self.keep_alive = KeepAlivePair(self.pair)
        self.look()

    def finish(self):
        if self.ends_with_expiry:
            self._expire()
        self.look()
        self.watchers.quiet()

    def _expire(self):
        """A short lease with keys old and new: they go in one revision, and watches see it."""
        self._ask(Grant(ID=SHORT_LEASE, TTL=SHORT_TTL))
        for key in KEYS[3:9]:
            self._ask(Put(key=key, lease=SHORT_LEASE))
        self._ask(txn(success=[Put(key=KEYS[3]), Put(key=KEYS[12], lease=SHORT_LEASE), Delete(key=KEYS[4])]))
        self.doing = "waiting for a lease to expire"
        self.watchers.learn(self.watchers.now + 1)  # its keys go in the next revision
        self.watchers.sync()
        self.pair.ask(TimeToLive(ID=SHORT_LEASE, keys=True))

    def close(self):
        self.watchers.close()
        self.keep_alive.close()


def run_sequence(pair, seed, operations, kills=False):
    """Runs one sequence from an empty store. Mismatch names seed, position and the operation."""
    pair.fresh(FIRST_REVISION)
    sequence = Sequence(pair, seed, kills)
    position = 0
    try:
        for position in range(operations):
            sequence.step()
            if position % 50 == 49:
                sequence.look()
            if kills and position % (operations // 3) == operations // 3 - 1:
                sequence.kill()
        sequence.finish()
        sequence.keep_alive.quiet()
    except Mismatch as mismatch:
        raise Mismatch(f"seed {seed}, operation {position}: {sequence.doing}\n{mismatch}") from None
    except Exception as error:
        raise Mismatch(f"seed {seed}, operation {position}: {sequence.doing}\n{error!r}") from error
    finally:
        sequence.close()
