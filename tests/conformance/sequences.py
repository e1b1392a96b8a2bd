"""Seeded random sequences of operations over a small key space, each asked of both servers.

The generator never makes what genuine etcd dies of (etcd-api.md 6.6): enum values of Range are valid, and a put
with ignore_value or ignore_lease never shares a txn with a delete (etcd checks it before the txn and panics when
it fails in the middle of it).
"""

import random

from harness.api import Compaction, Compare, Delete, Op, Put, Range, show
from cases import txn
from compare import Mismatch

KEYS = [b"k%02d" % index for index in range(18)] + [b"\0", b"\xff"]
ENDS = [b"", b"", b"\0", b"k1", b"k05", b"k11", b"k13", b"l", b"\xff\xff", b"a"]
VALUES = [b"", b"a", b"b", b"value", b"x" * 300]
MAX_DEPTH = 3


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.revision = 0   # the servers' current one, from their answers
        self.compacted = 0
        self.count = 0

    def next(self):
        self.count += 1
        kind = self.random.choices(
            (self.put, self.delete, self.range, self.txn, self.compaction), weights=(34, 8, 32, 24, 2))[0]
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
        if self._chance(0.01):
            request.lease = 12345
        return request

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
            request.lease = self.random.randint(0, 1)
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
        return self.range()

    def txn(self, depth=1, deletes=None):
        if deletes is None:
            deletes = self._chance(0.6)
        sizes = [self.random.choices((0, 1, 2, 3, 4), weights=weights)[0]
                 for weights in ((3, 4, 2, 1, 0), (1, 4, 3, 2, 1), (3, 3, 2, 1, 1))]
        return txn([self._compare() for _ in range(sizes[0])],
                   [self._operation(depth, deletes) for _ in range(sizes[1])],
                   [self._operation(depth, deletes) for _ in range(sizes[2])])


def run_sequence(pair, seed, operations):
    """Runs one sequence from an empty store. Mismatch names seed, position and the operation."""
    pair.fresh()
    generator = Generator(seed)
    generator.revision = generator.compacted = pair.base
    everything = Range(key=b"\0", range_end=b"\0")
    for position in range(operations):
        request = generator.next()
        try:
            generator.learn(request, pair.ask(request))
            if position % 50 == 49 or position == operations - 1:
                pair.ask(everything)
        except Mismatch as mismatch:
            raise Mismatch(f"seed {seed}, operation {position}: {mismatch}") from None
        except Exception as error:
            raise Mismatch(f"seed {seed}, operation {position}: {error!r}\n  request   {show(request)}") from error
