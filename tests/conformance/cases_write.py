"""Put and DeleteRange: etcd-api.md 1.5."""

from harness.api import Delete, Put, Range
from cases import case
from cases_range import ALL_KEYS, EMPTY_KEY, FUTURE, fill

KEY_NOT_FOUND = (3, "etcdserver: key not found")
VALUE_PROVIDED = (3, "etcdserver: value is provided")
LEASE_PROVIDED = (3, "etcdserver: lease is provided")
LEASE_NOT_FOUND = (5, "etcdserver: requested lease not found")
TOO_LARGE = (3, "etcdserver: request is too large")


# --- put ---


@case("put: an empty key is refused")
def _(c):
    c.refused(Put(value=b"x"), *EMPTY_KEY)
    c.refused(Put(value=b"x", ignore_value=True), *EMPTY_KEY)


@case("put: each takes one revision, named in the header")
def _(c):
    c.check([c.put(b"k", b"v").header.revision for _ in range(3)] == [c.base + i for i in (1, 2, 3)], "one each")


@case("put: version grows, creation stays; after a delete both start anew")
def _(c):
    c.put(b"k", b"1")
    c.put(b"k", b"2")
    kv = c.range(b"k").kvs[0]
    c.check((kv.version, kv.create_revision, kv.mod_revision) == (2, c.base + 1, c.base + 2), "second version")
    c.delete(b"k")
    c.put(b"k", b"3")
    kv = c.range(b"k").kvs[0]
    c.check((kv.version, kv.create_revision, kv.mod_revision) == (1, c.base + 4, c.base + 4), "a new key")


@case("put: an empty value is a value")
def _(c):
    c.put(b"k", b"")
    c.check(c.range(b"k").count == 1, "it exists")
    c.put(b"k", b"", prev_kv=True)


@case("put: prev_kv is what was there, absent for a new key")
def _(c):
    c.check(not c.put(b"k", b"1", prev_kv=True).HasField("prev_kv"), "nothing was there")
    answer = c.put(b"k", b"2", prev_kv=True)
    c.check(answer.prev_kv.value == b"1" and answer.prev_kv.mod_revision == c.base + 1, "the first")
    c.delete(b"k")
    c.check(not c.put(b"k", b"3", prev_kv=True).HasField("prev_kv"), "deleted before")


@case("put: the same value again is a new revision")
def _(c):
    c.put(b"k", b"same")
    c.check(c.put(b"k", b"same", prev_kv=True).header.revision == c.base + 2, "counted")


@case("put: ignore_value with a value is refused")
def _(c):
    c.put(b"k", b"1")
    c.refused(Put(key=b"k", value=b"x", ignore_value=True), *VALUE_PROVIDED)


@case("put: ignore_lease with a lease is refused")
def _(c):
    c.put(b"k", b"1")
    c.refused(Put(key=b"k", value=b"x", lease=5, ignore_lease=True), *LEASE_PROVIDED)
    c.refused(Put(key=b"k", value=b"x", lease=5, ignore_lease=True, ignore_value=True), *VALUE_PROVIDED)
    c.refused(Put(key=b"k", lease=5, ignore_lease=True, ignore_value=True), *LEASE_PROVIDED)


@case("put: ignore_value or ignore_lease on a missing key is refused")
def _(c):
    c.refused(Put(key=b"k", ignore_value=True), *KEY_NOT_FOUND)
    c.refused(Put(key=b"k", value=b"x", ignore_lease=True), *KEY_NOT_FOUND)
    c.put(b"k", b"1")
    c.delete(b"k")
    c.refused(Put(key=b"k", ignore_value=True), *KEY_NOT_FOUND)
    c.refused(Put(key=b"k", ignore_value=True, ignore_lease=True, prev_kv=True), *KEY_NOT_FOUND)
    c.check(c.range(b"k").header.revision == c.base + 2, "refusals take no revision")


@case("put: ignore_value keeps the value and makes a version")
def _(c):
    c.put(b"k", b"keep")
    answer = c.put(b"k", ignore_value=True, prev_kv=True)
    c.check(answer.prev_kv.value == b"keep", "what was there")
    kv = c.range(b"k").kvs[0]
    c.check((kv.value, kv.version, kv.mod_revision) == (b"keep", 2, c.base + 2), "a second version of it")
    c.put(b"k", ignore_value=True, ignore_lease=True)
    c.put(b"k", b"new", ignore_lease=True)
    c.range(b"k")


@case("put: a lease that does not exist is refused and takes no revision")
def _(c):
    for lease in (1, 0x7fffffffffffffff, -1):
        c.refused(Put(key=b"k", value=b"x", lease=lease), *LEASE_NOT_FOUND)
    c.put(b"k", b"1")
    c.refused(Put(key=b"k", value=b"x", lease=77, prev_kv=True), *LEASE_NOT_FOUND)
    c.refused(Put(key=b"k", lease=77, ignore_value=True), *LEASE_NOT_FOUND)
    answer = c.range(b"k")
    c.check(answer.kvs[0].version == 1 and answer.header.revision == c.base + 1, "nothing happened")


@case("put: ignore_value on a missing key comes before the missing lease")
def _(c):
    c.either(Put(key=b"k", lease=77, ignore_value=True))


@case("put: a request above max-request-bytes is refused")
def _(c):
    c.refused(Put(key=b"k", value=b"x" * 1600000), *TOO_LARGE)
    c.refused(Put(key=b"k" * 1600000), *TOO_LARGE)
    c.put(b"k", b"x" * 1500000)
    c.check(len(c.range(b"k").kvs[0].value) == 1500000, "what fits is stored")
    c.put(b"k" * 30000, b"long key")
    c.check(c.range(b"k" * 30000).count == 1, "long keys are keys")


# --- delete ---


@case("delete: an empty key is refused")
def _(c):
    c.refused(Delete(), *EMPTY_KEY)
    c.refused(Delete(range_end=b"\0", prev_kv=True), *EMPTY_KEY)


@case("delete: no match takes no revision")
def _(c):
    fill(c)
    for key, end in ((b"x", b""), (b"x", b"z"), (b"d", b"b"), (b"c", b"c"), (b"x", b"\0")):
        answer = c.delete(key, end, prev_kv=True)
        c.check(answer.deleted == 0 and answer.header.revision == c.base + 5, "nothing")


@case("delete: one key, an interval, from a key on, everything")
def _(c):
    fill(c, b"abcdefgh")
    c.check(c.delete(b"a").deleted == 1, "a")
    c.check(c.delete(b"b", b"d").deleted == 2, "b, c")
    c.check(c.delete(b"g", b"\0").deleted == 2, "g, h")
    answer = c.delete(*ALL_KEYS)
    c.check(answer.deleted == 3 and answer.header.revision == c.base + 12, "the rest in one revision")
    c.range(*ALL_KEYS)


@case("delete: prev_kvs are what was deleted, in order")
def _(c):
    fill(c)
    c.put(b"b", b"second")
    answer = c.delete(b"a", b"d", prev_kv=True)
    c.check([kv.value for kv in answer.prev_kvs] == [b"va", b"second", b"vc"], "three")
    c.check(not c.delete(b"d").prev_kvs, "not asked for")


@case("delete: twice")
def _(c):
    c.put(b"k", b"1")
    c.delete(b"k")
    c.check(c.delete(b"k").header.revision == c.base + 2, "the second does nothing")


@case("delete: history stays readable")
def _(c):
    fill(c)
    c.delete(*ALL_KEYS)
    c.check(c.range(*ALL_KEYS, revision=c.base + 5).count == 5, "before")
    c.check(c.range(*ALL_KEYS, revision=c.base + 6).count == 0, "after")


@case("a new store: its first revision is 1", initial=True)
def _(c):
    c.check(c.range(*ALL_KEYS).header.revision == 1, "1")
    c.check(c.range(b"a", revision=1).count == 0, "readable at it")
    c.refused(Range(key=b"a", revision=2), *FUTURE)
    c.check(c.put(b"a", b"1").header.revision == 2, "the first write is 2")
