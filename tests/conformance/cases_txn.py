"""Txn: etcd-api.md 1.2 (headers) and 1.5."""

from harness.api import Compare, Delete, Op, Put, Range, Txn
from cases import case, op, txn
from cases_range import ALL_KEYS, COMPACTED, EMPTY_KEY, FUTURE, fill
from cases_write import KEY_NOT_FOUND, LEASE_NOT_FOUND, LEASE_PROVIDED, TOO_LARGE, VALUE_PROVIDED

TOO_MANY = (3, "etcdserver: too many operations in txn request")
DUPLICATE = (3, "etcdserver: duplicate key given in txn request")
EQUAL, GREATER, LESS, NOT_EQUAL = range(4)
RESULTS = (EQUAL, GREATER, LESS, NOT_EQUAL)


def version(key, number, result=EQUAL, end=b""):
    return Compare(result=result, target=Compare.VERSION, key=key, version=number, range_end=end)


def create(key, number, result=EQUAL, end=b""):
    return Compare(result=result, target=Compare.CREATE, key=key, create_revision=number, range_end=end)


def mod(key, number, result=EQUAL, end=b""):
    return Compare(result=result, target=Compare.MOD, key=key, mod_revision=number, range_end=end)


def value(key, content, result=EQUAL, end=b""):
    return Compare(result=result, target=Compare.VALUE, key=key, value=content, range_end=end)


def lease(key, number, result=EQUAL, end=b""):
    return Compare(result=result, target=Compare.LEASE, key=key, lease=number, range_end=end)


def nested(depth, innermost):
    """A put-free tower of txns around one operation."""
    request = txn(success=[innermost])
    for _ in range(depth - 1):
        request = txn(success=[request])
    return request


@case("txn: empty succeeds and takes no revision")
def _(c):
    answer = c.txn()
    c.check(answer.succeeded and answer.header.revision == c.base and not answer.responses, "nothing done")


@case("txn: headers: outer full, inner the revision only, a nested txn's empty")
def _(c):
    c.put(b"k", b"1")
    answer = c.txn(success=[Put(key=b"a"), Range(key=b"k"), Delete(key=b"k"), txn(success=[Put(key=b"b")])])
    put, get, delete, inner = answer.responses
    revision = c.base + 2
    c.check(answer.header.revision == revision and answer.header.cluster_id, "outer")
    for one in (put.response_put, get.response_range, delete.response_delete_range):
        c.check(one.header.revision == revision and not one.header.cluster_id, "inner: revision only")
    header = inner.response_txn.header
    c.check(inner.response_txn.HasField("header") and not header.revision and not header.member_id, "nested: empty")


@case("txn: headers of a read-only and of a failed txn")
def _(c):
    fill(c)
    c.txn(success=[Range(key=b"a"), Range(key=b"a", range_end=b"d", revision=c.base + 2)])
    c.txn([version(b"a", 9)], [Put(key=b"x")], [Range(key=b"b")])
    c.txn([version(b"a", 9)], [Put(key=b"x")])


@case("txn: all writes share one revision")
def _(c):
    answer = c.txn(success=[Put(key=b"a"), Put(key=b"b"), Put(key=b"c")])
    c.check(answer.header.revision == c.base + 1, "one")
    c.check({kv.mod_revision for kv in c.range(*ALL_KEYS).kvs} == {c.base + 1}, "the same for all")
    c.put(b"d")


@case("txn: operations see those before them")
def _(c):
    c.put(b"k", b"old")
    answer = c.txn(success=[Range(key=b"k"), Delete(key=b"k", prev_kv=True), Range(key=b"k"),
                            Put(key=b"j", value=b"new", prev_kv=True), Range(key=b"a", range_end=b"z")])
    c.check(answer.responses[0].response_range.kvs[0].value == b"old", "before")
    c.check(answer.responses[2].response_range.count == 0, "after the delete")
    c.check([kv.key for kv in answer.responses[4].response_range.kvs] == [b"j"], "after the put")


@case("txn: a key put by it is seen with its revision, version and count")
def _(c):
    c.put(b"a", b"1")
    c.txn(success=[Put(key=b"a", value=b"2"), Put(key=b"b", value=b"1"), Range(key=b"\0", range_end=b"\0"),
                   Range(key=b"\0", range_end=b"\0", count_only=True),
                   Range(key=b"\0", range_end=b"\0", limit=1),
                   Range(key=b"\0", range_end=b"\0", sort_order=Range.DESCEND, sort_target=Range.VERSION),
                   Range(key=b"\0", range_end=b"\0", revision=c.base + 1)])


@case("txn: a key deleted and put by it in the same revision")
def _(c):
    c.put(b"a", b"1")
    c.put(b"a", b"2")
    c.refused(txn(success=[Delete(key=b"a"), Put(key=b"a")]), *DUPLICATE)
    # A from-key delete is not seen by etcd's check when its end is the zero byte.
    c.either(txn(success=[Delete(key=b"a", range_end=b"\0", prev_kv=True), Put(key=b"a", value=b"3"),
                          Range(key=b"a")]))
    c.range(b"a")
    c.either(txn(success=[Put(key=b"a", value=b"4"), Delete(key=b"a", range_end=b"\0", prev_kv=True),
                          Range(key=b"a")]))
    c.range(b"a")
    c.put(b"a", b"5")
    for revision in range(c.base, c.base + 5):
        c.either(Range(key=b"a", revision=revision))


@case("txn: deletes that find nothing take no revision")
def _(c):
    answer = c.txn(success=[Delete(key=b"a"), Delete(key=b"b", range_end=b"z", prev_kv=True)])
    c.check(answer.header.revision == c.base, "no bump")
    c.txn(success=[Delete(key=b"a"), Put(key=b"c"), Delete(key=b"x")])


@case("txn: compare: every target and operator, key present")
def _(c):
    c.put(b"k", b"m")
    c.put(b"k", b"m")
    for result in RESULTS:
        for delta in (-1, 0, 1):
            c.txn([version(b"k", 2 + delta, result)])
            c.txn([create(b"k", c.base + 1 + delta, result)])
            c.txn([mod(b"k", c.base + 2 + delta, result)])
            c.txn([lease(b"k", delta, result)])
        for content in (b"", b"l", b"m", b"m\0", b"n"):
            c.txn([value(b"k", content, result)])


@case("txn: compare on a missing key: VALUE is false, the rest compare with 0")
def _(c):
    for result in RESULTS:
        for content in (b"", b"x"):
            c.check(not c.txn([value(b"k", content, result)]).succeeded, "value: always false")
        for number in (-1, 0, 1):
            for make in (version, create, mod, lease):
                c.txn([make(b"k", number, result)])
    c.check(c.txn([version(b"k", 0), create(b"k", 0), mod(b"k", 0)]).succeeded, "zero")


@case("txn: compare on a deleted key")
def _(c):
    c.put(b"k", b"")
    c.delete(b"k")
    c.check(c.txn([version(b"k", 0)]).succeeded, "as if it had never been")
    c.check(not c.txn([value(b"k", b"")]).succeeded, "no value")


@case("txn: compare over an interval: all keys must satisfy")
def _(c):
    fill(c, b"abc")
    c.put(b"b", b"vb")
    c.check(not c.txn([version(b"a", 1, EQUAL, b"d")]).succeeded, "b is at 2")
    c.check(c.txn([version(b"a", 0, GREATER, b"d")]).succeeded, "all above 0")
    c.check(c.txn([value(b"a", b"v", GREATER, b"d")]).succeeded, "all above v")
    c.txn([mod(b"a", c.base + 4, LESS, b"d")])
    c.txn([create(b"b", c.base + 1, GREATER, b"\0")])
    c.txn([create(b"\0", c.base, GREATER, b"\0")])


@case("txn: compare over an empty interval is as over one missing key")
def _(c):
    for end in (b"z", b"\0", b"a", b"k"):
        for result in RESULTS:
            c.txn([version(b"k", 0, result, end)])
            c.txn([value(b"k", b"", result, end)])


@case("txn: all compares must hold")
def _(c):
    fill(c)
    c.check(not c.txn([version(b"a", 1), version(b"b", 2)], [Put(key=b"t")], [Put(key=b"f")]).succeeded, "one fails")
    c.check(c.txn([version(b"a", 1), version(b"b", 1)], [Put(key=b"t")], [Put(key=b"g")]).succeeded, "both hold")
    c.range(*ALL_KEYS)


@case("txn: a compare whose operand does not fit its target compares with zero")
def _(c):
    c.put(b"k", b"m")
    for target in range(5):
        for result in RESULTS:
            c.txn([Compare(result=result, target=target, key=b"k")])
            c.txn([Compare(result=result, target=target, key=b"k", version=1)])
            c.txn([Compare(result=result, target=target, key=b"k", value=b"m")])
            c.txn([Compare(result=result, target=target, key=b"missing", mod_revision=0)])


@case("txn: a compare without a key is refused")
def _(c):
    c.refused(txn([version(b"", 0)]), *EMPTY_KEY)
    c.refused(txn([version(b"a", 0), value(b"", b"")], [Put(key=b"k")]), *EMPTY_KEY)


@case("txn: an operation that holds nothing is refused")
def _(c):
    c.refused(Txn(success=[Op()]), *KEY_NOT_FOUND)
    c.refused(Txn(failure=[Op()]), *KEY_NOT_FOUND)
    c.refused(Txn(success=[op(txn(success=[Op()]))]), *KEY_NOT_FOUND)


@case("txn: every operation is checked, in both branches")
def _(c):
    for bad, error in ((Put(), EMPTY_KEY), (Range(), EMPTY_KEY), (Delete(), EMPTY_KEY),
                       (Put(key=b"k", value=b"v", ignore_value=True), VALUE_PROVIDED),
                       (Put(key=b"k", lease=1, ignore_lease=True), LEASE_PROVIDED),
                       (txn(success=[Put()]), EMPTY_KEY), (txn([version(b"", 1)]), EMPTY_KEY)):
        c.refused(txn(success=[Range(key=b"a"), bad]), *error)
        c.refused(txn(failure=[bad]), *error)


@case("txn: put with ignore_value or ignore_lease on a missing key")
def _(c):
    c.refused(txn(success=[Put(key=b"k", ignore_value=True)]), *KEY_NOT_FOUND)
    c.refused(txn(success=[Put(key=b"other"), Put(key=b"k", ignore_lease=True)]), *KEY_NOT_FOUND)
    c.check(c.range(b"other").count == 0, "nothing of it was done")
    c.check(c.txn(failure=[Put(key=b"k", ignore_value=True)]).succeeded, "only the branch that is taken")
    c.put(b"k", b"keep")
    c.txn(success=[Put(key=b"k", ignore_value=True, prev_kv=True), Range(key=b"k")])


@case("txn: put with an unknown lease fails the whole txn")
def _(c):
    c.refused(txn(success=[Put(key=b"a"), Put(key=b"k", lease=5)]), *LEASE_NOT_FOUND)
    c.refused(txn(success=[Put(key=b"a"), txn(success=[Put(key=b"k", lease=5)])]), *LEASE_NOT_FOUND)
    c.check(c.range(*ALL_KEYS).header.revision == c.base, "nothing was done")
    c.txn(failure=[Put(key=b"k", lease=5)])


@case("txn: a read at a compacted or future revision fails it, on the branch taken")
def _(c):
    fill(c)
    c.compact(c.base + 3)
    for revision, error in ((c.base + 2, COMPACTED), (c.base + 100, FUTURE)):
        bad = Range(key=b"a", revision=revision)
        c.refused(txn(success=[bad]), *error)
        c.refused(txn(success=[Put(key=b"x"), bad]), *error)
        c.refused(txn(success=[Put(key=b"x"), txn(success=[bad])]), *error)
        c.check(c.txn(success=[Range(key=b"a")], failure=[bad]).succeeded, "not taken")
        c.check(c.txn(success=[Put(key=b"y")], failure=[bad]).succeeded, "not taken")
        c.delete(b"y")
    now = c.range(*ALL_KEYS).header.revision
    c.refused(txn(success=[Put(key=b"y"), Range(key=b"y", revision=now + 1)]), *FUTURE)
    c.range(*ALL_KEYS)


@case("txn: a read at a negative revision")
def _(c):
    fill(c)
    for revision in (-1, -(2 ** 63)):
        c.either(txn(success=[Range(key=b"a", revision=revision)]))
        c.either(txn(success=[Put(key=b"x"), Range(key=b"a", revision=revision)]))


@case("txn: reads at earlier revisions within it")
def _(c):
    fill(c)
    c.txn(success=[Put(key=b"a", value=b"new"), Range(key=b"a", revision=c.base + 1),
                   Range(key=b"\0", range_end=b"\0", revision=c.base + 2), Range(key=b"a")])
    c.txn(success=[Delete(key=b"\0", range_end=b"\0"), Range(key=b"a", revision=c.base + 6),
                   Range(key=b"a", range_end=b"\0", revision=c.base + 3, limit=2)])


@case("txn: the same key put twice is refused")
def _(c):
    c.refused(txn(success=[Put(key=b"k"), Put(key=b"k")]), *DUPLICATE)
    c.refused(txn(failure=[Put(key=b"k"), Put(key=b"j"), Put(key=b"k")]), *DUPLICATE)
    c.check(c.txn(success=[Put(key=b"k")], failure=[Put(key=b"k")]).succeeded, "once in each branch is fine")


@case("txn: a put inside an interval it deletes is refused, in either order")
def _(c):
    c.refused(txn(success=[Delete(key=b"a", range_end=b"m"), Put(key=b"k")]), *DUPLICATE)
    c.refused(txn(success=[Put(key=b"k"), Delete(key=b"k")]), *DUPLICATE)
    c.check(c.txn(success=[Put(key=b"m"), Delete(key=b"a", range_end=b"m")]).succeeded, "the end is outside")
    c.check(c.txn(success=[Put(key=b"n"), Delete(key=b"o", range_end=b"z")]).succeeded, "outside")


@case("txn: overlapping deletes are allowed")
def _(c):
    fill(c)
    answer = c.txn(success=[Delete(key=b"a", range_end=b"c"), Delete(key=b"b", range_end=b"e"), Delete(key=b"a")])
    c.check([one.response_delete_range.deleted for one in answer.responses] == [2, 2, 0], "each what was left")


@case("txn: duplicates are found across nested txns")
def _(c):
    inner = txn(success=[Put(key=b"k")])
    c.refused(txn(success=[Put(key=b"k"), inner]), *DUPLICATE)
    c.refused(txn(success=[inner, Put(key=b"k")]), *DUPLICATE)
    c.refused(txn(success=[inner, inner]), *DUPLICATE)
    c.refused(txn(success=[inner, txn(failure=[Put(key=b"k")])]), *DUPLICATE)
    c.refused(txn(success=[inner, Delete(key=b"a", range_end=b"z")]), *DUPLICATE)
    c.refused(txn(success=[txn(success=[Delete(key=b"k")]), Put(key=b"k")]), *DUPLICATE)
    c.refused(txn(success=[txn(success=[txn(failure=[Delete(key=b"a", range_end=b"z")])]), Put(key=b"k")]), *DUPLICATE)
    c.either(txn(success=[txn(success=[Delete(key=b"k")]), txn(success=[Put(key=b"k")])]))
    c.either(txn(success=[txn(success=[Put(key=b"k")]), txn(success=[Delete(key=b"k")])]))


@case("txn: a key in then and else of the same nested txn is allowed")
def _(c):
    inner = txn([version(b"x", 0)], [Put(key=b"k", value=b"then")], [Put(key=b"k", value=b"else")])
    c.txn(success=[inner])
    c.either(txn(success=[txn(success=[Delete(key=b"k")], failure=[Put(key=b"k")])]))
    c.refused(txn(success=[inner, Put(key=b"k")]), *DUPLICATE)


@case("txn: duplicates and inverted or open intervals")
def _(c):
    fill(c)
    for key, end in ((b"m", b"a"), (b"k", b"k"), (b"a", b"\0"), (b"\0", b"\0"), (b"k", b"k\0"), (b"z", b"k")):
        c.either(txn(success=[Delete(key=key, range_end=end), Put(key=b"k")]))
        c.either(txn(success=[txn(success=[Put(key=b"k")]), Delete(key=key, range_end=end)]))
        c.range(*ALL_KEYS)


@case("txn: nested, with compares of its own")
def _(c):
    c.put(b"a", b"1")
    answer = c.txn([version(b"a", 1)],
                   [txn([version(b"a", 2)], [Put(key=b"then")], [Put(key=b"else"), txn(success=[Range(key=b"a")])]),
                    Range(key=b"a", range_end=b"z")])
    c.check(not answer.responses[0].response_txn.succeeded, "the inner compare fails")
    c.check(c.range(b"else").count == 1, "and its else branch is done")


@case("txn: a nested compare and the writes before it")
def _(c):
    c.either(txn(success=[Put(key=b"a", value=b"1"), txn([version(b"a", 0)], [Put(key=b"was-absent")],
                                                         [Put(key=b"was-present")])]))
    c.range(*ALL_KEYS)
    c.either(txn(success=[Delete(key=b"a"), txn([version(b"a", 1)], [Put(key=b"x")], [Put(key=b"y")])]))
    c.range(*ALL_KEYS)


@case("txn: nested reads only")
def _(c):
    fill(c)
    answer = c.txn(success=[txn(success=[Range(key=b"a"), Range(key=b"b", range_end=b"\0", limit=1)])])
    c.check(answer.header.revision == c.base + 5, "no revision")
    c.txn(success=[txn()])
    c.txn(success=[txn([version(b"a", 5)], [], [txn()])])


@case("txn: read-only, serializable and mixed")
def _(c):
    fill(c)
    c.txn(success=[Range(key=b"a", serializable=True), Range(key=b"b", serializable=True)])
    c.txn(success=[Range(key=b"a", serializable=True), Range(key=b"b")])
    c.txn([mod(b"a", c.base + 1)], [Range(key=b"a", serializable=True, keys_only=True)])


@case("txn: operations are bounded: the largest of compares, then and else")
def _(c):
    puts = [Put(key=b"k%03d" % index) for index in range(129)]
    compares = [version(b"k", 0)] * 129
    c.refused(txn(success=puts), *TOO_MANY)
    c.refused(txn(failure=puts), *TOO_MANY)
    c.refused(txn(compares), *TOO_MANY)
    answer = c.txn(compares[:128], puts[:128], [Range(key=b"a")] * 128)
    c.check(answer.succeeded and len(answer.responses) == 128, "128 of each are allowed: they are not summed")


@case("txn: a nested txn has what its parent left of the bound")
def _(c):
    reads = [Range(key=b"a")] * 128
    c.refused(txn(success=[txn(success=reads)]), *TOO_MANY)
    c.txn(success=[txn(success=reads[:127])])
    c.refused(txn(success=[txn(success=reads[:120])] + reads[:9]), *TOO_MANY)
    c.txn(success=[txn(success=reads[:119])] + reads[:8])
    c.refused(txn([version(b"a", 0)] * 100, [txn(success=reads[:29])]), *TOO_MANY)
    c.txn([version(b"a", 0)] * 100, [txn(success=reads[:28])])


@case("txn: towers of nested txns")
def _(c):
    for depth in (2, 10, 60, 127):
        c.agreed(txn(success=[nested(depth, Range(key=b"a"))]))
    c.either(nested(128, Range(key=b"a")))
    c.either(nested(129, Range(key=b"a")))
    c.either(nested(90, Put(key=b"deep")))
    c.range(b"deep")


@case("txn: too many operations comes before what is wrong with them")
def _(c):
    c.refused(txn(success=[Put()] * 129), *TOO_MANY)
    c.refused(txn([version(b"", 0)], [Put()]), *EMPTY_KEY)
    c.either(txn(success=[Put(key=b"k"), Put(key=b"k"), Put()]))


@case("txn: too large")
def _(c):
    c.refused(txn(success=[Put(key=b"a", value=b"x" * 800000), Put(key=b"b", value=b"x" * 800000)]), *TOO_LARGE)
    c.check(c.txn(success=[Put(key=b"a", value=b"x" * 700000), Put(key=b"b", value=b"y" * 700000)]).succeeded, "fits")
    c.range(*ALL_KEYS)


@case("txn: a lock: create if absent")
def _(c):
    request = txn([create(b"lock", 0)], [Put(key=b"lock", value=b"me")], [Range(key=b"lock")])
    c.check(c.ask(request).succeeded, "the first gets it")
    answer = c.ask(request)
    c.check(not answer.succeeded and answer.responses[0].response_range.kvs[0].value == b"me", "the second sees whose")


@case("txn: kube-apiserver's create, guarded update and delete")
def _(c):
    key = b"/registry/pods/default/p"
    first = c.txn([mod(key, 0)], [Put(key=key, value=b"v1")])
    revision = first.responses[0].response_put.header.revision
    c.check(revision == first.header.revision, "the put's header names the revision")
    c.txn([mod(key, 0)], [Put(key=key, value=b"v1")], [Range(key=key)])
    second = c.txn([mod(key, revision)], [Put(key=key, value=b"v2")], [Range(key=key)])
    c.check(second.succeeded, "nobody changed it")
    c.txn([mod(key, revision)], [Delete(key=key)], [Range(key=key)])
    c.txn([mod(key, second.header.revision)], [Delete(key=key, prev_kv=True)], [Range(key=key)])


@case("txn: values of all operations with prev_kv")
def _(c):
    fill(c)
    c.txn(success=[Put(key=b"a", value=b"A", prev_kv=True), Delete(key=b"b", range_end=b"d", prev_kv=True),
                   Put(key=b"z", prev_kv=True)])
    c.range(*ALL_KEYS)


@case("txn: a compare result or target out of range")
def _(c):
    c.put(b"k", b"1")
    for compare in (Compare(result=7, target=Compare.VERSION, key=b"k", version=1),
                    Compare(result=EQUAL, target=9, key=b"k", version=1),
                    Compare(result=GREATER, target=9, key=b"k", version=1)):
        c.either(txn([compare], [Put(key=b"t")], [Put(key=b"f")]))


@case("txn: sub-revisions order what one revision holds")
def _(c):
    c.txn(success=[Put(key=b"b"), Put(key=b"a"), Put(key=b"c")])
    c.range(*ALL_KEYS, sort_target=Range.KEY)
    c.txn(success=[Delete(key=b"a"), Put(key=b"d"), Delete(key=b"b", range_end=b"d")])
    for revision in (c.base + 1, c.base + 2):
        c.range(*ALL_KEYS, revision=revision)
    c.compact(c.base + 2)
    c.range(*ALL_KEYS, revision=c.base + 2)
