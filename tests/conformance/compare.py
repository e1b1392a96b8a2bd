"""Are two answers the same? Field by field, with the server's own identity put aside.

cluster_id, member_id and raft_term differ between two servers by nature: they are compared by presence only.
Everything else, revisions included, must be equal: both servers started empty and were asked the same. Only the
seconds a lease has left may differ by one (the second may end between two answers), and its keys come in any
order (etcd's is that of a Go map).
"""

from harness.api import Range, show

SORT_FIELD = {Range.VERSION: "version", Range.CREATE: "create_revision", Range.MOD: "mod_revision",
              Range.VALUE: "value"}


def normalise_header(header):
    """Replaces what identifies a server by whether it is there."""
    for field in ("cluster_id", "member_id", "raft_term"):
        if getattr(header, field):
            setattr(header, field, 1)


def normalise(message):
    """Normalises the headers of a response in place, those inside a txn too."""
    if message.HasField("header"):
        normalise_header(message.header)
    if message.DESCRIPTOR.name == "TxnResponse":
        for response in message.responses:
            kind = response.WhichOneof("response")
            if kind is not None:
                normalise(getattr(response, kind))


class Mismatch(Exception):
    """The two servers answered differently, or an expectation did not hold."""


def compared(left, right, what):
    """Two messages with headers, normalised; Mismatch unless they are equal. Returns the first."""
    for message in (left, right):
        normalise_header(message.header)
    if left != right:
        raise Mismatch(f"different {what}\n  reference {show(left)[:4000]}\n  subject   {show(right)[:4000]}")
    return left


def _unknown_bytes(message):
    """How many bytes of fields we don't know a message holds."""
    before = message.ByteSize()
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return before - copy.ByteSize()


def _same_but_for_ties(request, left, right):
    """Equal, except that keys which tie in the sorted-by field may come in any order (etcd's sort isn't stable).

    With a limit, the last group of ties may have been cut at different members of it.
    """
    field = SORT_FIELD.get(request.sort_target)
    if field is None or len(left.kvs) != len(right.kvs):
        return False
    order = [getattr(kv, field) for kv in left.kvs]
    if order != [getattr(kv, field) for kv in right.kvs]:
        return False
    last = order[-1] if order and left.more else None
    groups = [sorted(kv.SerializeToString() for kv in side.kvs if getattr(kv, field) != last)
              for side in (left, right)]
    if groups[0] != groups[1]:
        return False
    rest = [type(side)() for side in (left, right)]
    for copy, side in zip(rest, (left, right)):
        copy.CopyFrom(side)
        del copy.kvs[:]
    return rest[0] == rest[1]


def _same_lease(left, right, seconds):
    """Two LeaseTimeToLiveResponses, but for what time and Go's maps do to them."""
    copy = type(left)()
    copy.CopyFrom(left)
    if min(left.TTL, right.TTL) >= 0 and abs(left.TTL - right.TTL) <= seconds:
        copy.TTL = right.TTL
    if sorted(left.keys) == sorted(right.keys):
        copy.ClearField("keys")
        copy.keys.extend(right.keys)
    return copy == right


def _same_message(request, left, right, seconds=1):
    if left == right:
        return True
    if left.DESCRIPTOR.name == "LeaseTimeToLiveResponse":
        return _same_lease(left, right, seconds)
    if isinstance(request, Range):
        return _same_but_for_ties(request, left, right)
    if left.DESCRIPTOR.name != "TxnResponse" or left.succeeded != right.succeeded:
        return False
    if left.header != right.header or left.HasField("header") != right.HasField("header"):
        return False
    operations = request.success if left.succeeded else request.failure
    if not len(operations) == len(left.responses) == len(right.responses):
        return False
    for operation, mine, theirs in zip(operations, left.responses, right.responses):
        kind = mine.WhichOneof("response")
        if kind != theirs.WhichOneof("response"):
            return False
        inner = getattr(operation, operation.WhichOneof("request"))
        if not _same_message(inner, getattr(mine, kind), getattr(theirs, kind)):
            return False
    return True


def difference(request, left, right, exact_text=True, seconds=1):
    """None when two Answers agree, else a sentence saying how they don't.

    seconds: by which the time that a lease has left may differ.
    """
    if left.code != right.code:
        return "one succeeded" if 0 in (left.code, right.code) else "different codes"
    if not left.ok:
        return "different texts" if exact_text and left.text != right.text else None
    if left.message is None:
        return "different bytes" if left.body != right.body else None
    for answer in (left, right):
        normalise(answer.message)
    if not _same_message(request, left.message, right.message, seconds):
        return "different messages"
    if _unknown_bytes(left.message) != _unknown_bytes(right.message):
        return "fields that etcd's API does not have"
    return None
