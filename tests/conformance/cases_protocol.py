"""What surrounds KV: headers, unknown methods, undecodable and oversized messages, the other unary services.

Also the rules of releases later than the reference (RangeStream, Alarm's header, the advertised version): the
server under test alone is held to them.
"""

from harness import api
from harness.api import Put, Range
from cases import case
from cases_range import ALL_KEYS, EMPTY_KEY, FUTURE, fill


@case("protocol: every header names cluster, member and term, always the same")
def _(c):
    headers = [c.put(b"k", b"v").header, c.range(b"k").header, c.delete(b"k").header, c.txn().header]
    c.check(all(h.cluster_id and h.member_id and h.raft_term for h in headers), "all filled")
    answer = c.subject_answers(api.RANGE, Range(key=b"k").SerializeToString())
    if answer is not None:
        again = c.subject_answers(api.PUT, Put(key=b"k").SerializeToString())
        same = [(a.message.header.cluster_id, a.message.header.member_id) for a in (answer, again)]
        c.check(same[0] == same[1], "ids do not change")


@case("protocol: an unknown method or service is unimplemented")
def _(c):
    for method, text in (("/etcdserverpb.KV/Nothing", "unknown method Nothing for service etcdserverpb.KV"),
                         ("/no.such.Service/Call", "unknown service no.such.Service")):
        c.refused_raw(method, b"", 12, text)


@case("protocol: a message that is not protobuf is an internal error")
def _(c):
    for body in (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x05ab", b"\x0a", b"\x0f", b"\x08"):
        for method in (api.RANGE, api.PUT, api.DELETE, api.TXN):
            c.refused_raw(method, body, 13)
    c.refused_raw(api.TXN, b"\x12\x04\x12\x09ab", 13)


@case("protocol: unknown fields are ignored")
def _(c):
    c.put(b"k", b"v")
    for extra in (b"\xf8\x07\x05", b"\xfa\x07\x03abc", b"\xf9\x07" + bytes(8), b"\xfd\x07" + bytes(4)):
        c.pair.ask_raw(api.RANGE, extra + Range(key=b"k").SerializeToString() + extra)
        c.pair.ask_raw(api.PUT, Put(key=b"k", value=b"w").SerializeToString() + extra)
    c.range(b"k")


@case("protocol: of a field given twice the last counts")
def _(c):
    c.put(b"a", b"1")
    c.put(b"b", b"2")
    c.pair.ask_raw(api.RANGE, b"\x0a\x01a\x0a\x01b")
    c.pair.ask_raw(api.PUT, b"\x0a\x01a\x12\x01x\x12\x01y")
    c.range(*ALL_KEYS)


@case("protocol: a message above the gRPC limit is refused")
def _(c):
    c.refused_raw(api.PUT, Put(key=b"k", value=b"x" * 2200000).SerializeToString(), 8,
                  "grpc: received message larger than max (2200008 vs. 2097152)")
    c.put(b"k", b"still fine")


@case("protocol: the member list, without a revision in its header")
def _(c):
    answers = [server.call(api.MEMBER_LIST, b"") for server in (c.pair.reference, c.pair.subject)]
    for answer in answers:
        c.check(answer.ok and answer.message.header.cluster_id and not answer.message.header.revision, "its header")
        c.check(len(answer.message.members) == 1, "one member")
        member = answer.message.members[0]
        c.check(member.name == "default" and member.ID == answer.message.header.member_id, "itself")
        c.check(len(member.peerURLs) == 1 and len(member.clientURLs) == 1, "its addresses")


@case("protocol: status names leader, term and indexes; the version is 3.7.1")
def _(c):
    c.put(b"k", b"v")
    answer = c.subject_answers(api.STATUS, b"")
    if answer is None:
        return
    status = answer.message
    c.check(status.version == "3.7.1", f"version {status.version}")
    c.check(status.leader == status.header.member_id and status.raftTerm == status.header.raft_term, "it leads")
    c.check(status.raftIndex >= status.header.revision and status.dbSize > 0, "index and size")
    c.check(status.header.revision == c.base + 1, "the current revision")


@case("protocol: no alarms")
def _(c):
    answer = c.subject_answers(api.ALARM, b"")
    if answer is not None:
        c.check(not answer.message.alarms and answer.message.header.member_id, "none, with a header (3.5)")


@case("protocol: health is SERVING for the empty service")
def _(c):
    answer = c.pair.ask_raw(api.HEALTH, b"")
    c.check(answer.ok and answer.body == b"\x08\x01", "SERVING")


# --- RangeStream (3.7) ---


def _stream(c, request):
    """The stream's parts merged; None without a subject. Checks the shape of the parts."""
    result = c.subject_streams(request)
    if result is None:
        return None
    parts, end = result
    c.check(end.ok and parts, f"the stream ends well, not with {end}")
    for part in parts[:-1]:
        c.check(not part.HasField("header") and not part.more and not part.count, "chunks hold keys only")
    merged = type(parts[0])()
    for part in parts:
        merged.MergeFrom(part)
    return merged


@case("range stream: merged, it is the unary answer")
def _(c):
    for index in range(250):
        c.put(b"s/%03d" % index, b"value %d" % index)
    for options in ({}, {"limit": 7}, {"limit": 120}, {"keys_only": True}, {"count_only": True},
                    {"revision": c.base + 100}, {"serializable": True}, {"limit": 250}, {"sort_order": Range.NONE}):
        request = Range(key=b"s/", range_end=b"s0", **options)
        merged = _stream(c, request)
        if merged is None:
            return
        unary = c.pair.subject.call(api.RANGE, request.SerializeToString()).message
        c.check(merged == unary, f"equal with {options}")


@case("range stream: one key, no key, a big value")
def _(c):
    c.put(b"k", b"x" * 1000000)
    for key in (b"k", b"missing"):
        merged = _stream(c, Range(key=key))
        if merged is None:
            return
        c.check(merged == c.pair.subject.call(api.RANGE, Range(key=key).SerializeToString()).message, "as unary")


@case("range stream: refusals")
def _(c):
    fill(c)
    for request, code, text in (
            (Range(), *EMPTY_KEY),
            (Range(key=b"a", revision=c.base + 9), *FUTURE),
            (Range(key=b"a", sort_target=9), 3, "etcdserver: invalid sort option"),
            (Range(key=b"a", sort_order=Range.DESCEND), 12, "RangeStream does not support custom sort orders"),
            (Range(key=b"a", sort_target=Range.MOD), 12, "RangeStream does not support custom sort orders"),
            (Range(key=b"a", min_mod_revision=1), 12, "RangeStream does not support revision filters"),
            (Range(key=b"a", max_create_revision=1), 12, "RangeStream does not support revision filters")):
        result = c.subject_streams(request)
        if result is None:
            return
        end = result[1]
        c.check((end.code, end.text) == (code, text), f"{api.show(request)}: expected {code} {text!r}, got {end}")
