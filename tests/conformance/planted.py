"""Does the driver notice? Answers of the subject are tampered with, one small way at a time; each must be caught."""

from dataclasses import dataclass
from typing import Callable, Optional

from harness import api
from harness.streams import Stream
from harness.watch_messages import WatchResponse


def _each_kv(change):
    def tamper(answer):
        for kv in getattr(answer.message, "kvs", ()):
            change(kv)

    return tamper


def _revision(answer):
    answer.message.header.revision += 1


def _count(answer):
    if hasattr(answer.message, "count"):
        answer.message.count += 1


def _more(answer):
    if hasattr(answer.message, "more"):
        answer.message.more = not answer.message.more


def _drop_key(answer):
    if getattr(answer.message, "kvs", ()):
        del answer.message.kvs[-1]


def _previous(answer):
    if answer.message.DESCRIPTOR.name == "PutResponse":
        answer.message.ClearField("prev_kv")


def _deleted(answer):
    if hasattr(answer.message, "deleted"):
        answer.message.deleted += 1


def _member(answer):
    answer.message.header.member_id = 0


def _nested_header(answer):
    for response in getattr(answer.message, "responses", ()):
        if response.WhichOneof("response") == "response_txn":
            response.response_txn.ClearField("header")


def _inner_identity(answer):
    for response in getattr(answer.message, "responses", ()):
        if response.WhichOneof("response") == "response_put":
            response.response_put.header.member_id = 7


def _unknown_field(answer):
    answer.message.MergeFromString(b"\xf8\x07\x01")


# --- leases ---


def _in(name, change):
    """A change to one kind of answer only."""
    return lambda answer: change(answer.message) if answer.message.DESCRIPTOR.name == name else None


def _swap_leases(message):
    if len(message.leases) > 1:
        message.leases[0].ID, message.leases[1].ID = message.leases[1].ID, message.leases[0].ID


def _drop(field):
    def tamper(message):
        if getattr(message, field):
            del getattr(message, field)[-1]

    return tamper


def _add(field, amount=1):
    return lambda message: setattr(message, field, getattr(message, field) + amount)


# --- streams: a response becomes a list of responses ---


def _changed(change):
    """A response, changed in place."""

    def tamper(message):
        change(message)
        return [message]

    return tamper


def _each_event(change):
    return _changed(lambda message: [change(event) for event in message.events])


def _drop_last_event(message):
    if not message.events:
        return [message]
    del message.events[-1]
    return [message] if message.events else []


def _repeat_events(message):
    return [message, message] if message.events else [message]


def _reverse_events(message):
    events = list(message.events)
    del message.events[:]
    message.events.extend(reversed(events))
    return [message]


def _tear(message):
    """One response as two, without saying that they are fragments."""
    if len(message.events) < 2:
        return [message]
    parts = [WatchResponse(header=message.header, watch_id=message.watch_id) for _ in range(2)]
    parts[0].events.extend(message.events[:1])
    parts[1].events.extend(message.events[1:])
    return parts


def _swallow(condition):
    return lambda message: [] if condition(message) else [message]


def _echo(condition):
    return lambda message: [message, message] if condition(message) else [message]


def _when(condition, change):
    return _changed(lambda message: change(message) if condition(message) else None)


def _kv(field, change):
    return _each_event(lambda event: setattr(event.kv, field, change(getattr(event.kv, field))))


def _kind(event):
    event.type = 1 - event.type


def _tombstone_value(event):
    if event.type == 1:
        event.kv.version = 1


_created = lambda message: message.created and not message.canceled
_refused = lambda message: message.created and message.canceled
_ended = lambda message: message.canceled and not message.created
_compacted = lambda message: message.compact_revision != 0

KV = {
    "header revision": _revision,
    "count": _count,
    "more": _more,
    "a key left out": _drop_key,
    "version": _each_kv(lambda kv: setattr(kv, "version", kv.version + 1)),
    "create revision": _each_kv(lambda kv: setattr(kv, "create_revision", kv.create_revision + 1)),
    "mod revision": _each_kv(lambda kv: setattr(kv, "mod_revision", kv.mod_revision - 1)),
    "value": _each_kv(lambda kv: setattr(kv, "value", kv.value + b"x")),
    "lease": _each_kv(lambda kv: setattr(kv, "lease", kv.lease + 1)),
    "previous value left out": _previous,
    "number of deleted keys": _deleted,
    "member id left out": _member,
    "empty header of a nested txn left out": _nested_header,
    "identity in an inner header": _inner_identity,
    "unknown field": _unknown_field,
}
LEASE = {
    "id granted": _in("LeaseGrantResponse", _add("ID")),
    "TTL granted": _in("LeaseGrantResponse", _add("TTL")),
    "an error in a grant": _in("LeaseGrantResponse", _add("error", "x")),
    "time left, by two seconds": _in("LeaseTimeToLiveResponse", _add("TTL", -2)),
    "TTL granted, asked later": _in("LeaseTimeToLiveResponse", _add("grantedTTL")),
    "a lease's key left out": _in("LeaseTimeToLiveResponse", _drop("keys")),
    "a lease left out of the list": _in("LeaseLeasesResponse", _drop("leases")),
    "order of the leases": _in("LeaseLeasesResponse", _swap_leases),
    "revision of a revoke": _in("LeaseRevokeResponse", lambda message: _add("revision")(message.header)),
    "revision of a time to live": _in("LeaseTimeToLiveResponse", lambda message: _add("revision")(message.header)),
}
KEEP_ALIVE = {
    "TTL renewed": _changed(_add("TTL")),
    "id renewed": _changed(_add("ID")),
    "revision of a keepalive": _changed(lambda message: _add("revision")(message.header)),
    "an answer left out": _swallow(lambda message: message.TTL == 0),
    "an answer twice": _echo(lambda message: message.TTL == 0),
}
WATCH = {
    "an event left out": _drop_last_event,
    "events twice": _repeat_events,
    "order within a revision": _reverse_events,
    "a revision torn apart": _tear,
    "a fragment without its mark": _changed(lambda message: message.ClearField("fragment")),
    "a mark on what is no fragment": _changed(lambda message: setattr(message, "fragment", bool(message.events))),
    "kind of an event": _each_event(_kind),
    "key of an event": _kv("key", lambda key: key + b"x"),
    "value of an event": _kv("value", lambda value: value + b"x"),
    "version of an event": _kv("version", lambda number: number + 1),
    "creation of an event": _kv("create_revision", lambda number: number - 1),
    "revision of an event": _kv("mod_revision", lambda number: number - 1),
    "lease of an event": _kv("lease", lambda number: number + 1),
    "more than key and revision in a delete": _each_event(_tombstone_value),
    "prev_kv left out": _each_event(lambda event: event.ClearField("prev_kv")),
    "prev_kv for a new key": _each_event(lambda event: event.prev_kv.SetInParent()),
    "prev_kv's revision": _each_event(lambda event: event.HasField("prev_kv") and
                                      _add("mod_revision")(event.prev_kv)),
    "header revision of events": _when(lambda message: message.events,
                                       lambda message: _add("revision")(message.header)),
    "header revision of created": _when(_created, lambda message: _add("revision")(message.header)),
    "header revision of canceled": _when(_ended, lambda message: _add("revision")(message.header)),
    "id of created": _when(_created, _add("watch_id")),
    "id of a refusal": _when(_refused, _add("watch_id")),
    "reason of a refusal": _when(_refused, _add("cancel_reason", ".")),
    "canceled left out of a refusal": _when(_refused, lambda message: message.ClearField("canceled")),
    "compacted revision": _when(_compacted, _add("compact_revision")),
    "compacted revision left out": _when(_compacted, lambda message: message.ClearField("compact_revision")),
    "a reason where there is none": _when(_ended, _add("cancel_reason", "x")),
    "the end left out": _swallow(_ended),
    "the end twice": _echo(_ended),
    "created left out": _swallow(_created),
    "progress with an id": _when(lambda message: message.watch_id == -1 and not message.created, _add("watch_id")),
    "progress left out": _swallow(lambda message: message.watch_id == -1 and not message.created),
    "member id left out": _changed(lambda message: message.header.ClearField("member_id")),
    "unknown field": _changed(lambda message: message.MergeFromString(b"\xf8\x07\x01")),
}
ERROR = {
    "error text": lambda answer: setattr(answer, "text", answer.text + "."),
    "error code": lambda answer: setattr(answer, "code", answer.code + 1),
    "success instead of an error": lambda answer: answer.__init__(message=api.rpc_pb2.PutResponse()),
}


@dataclass
class Plant:
    """One way to falsify. area: where the name of a case must begin that should notice."""

    name: str
    area: str = ""
    answer: Optional[Callable] = None
    error: Optional[Callable] = None
    watch: Optional[Callable] = None
    keep_alive: Optional[Callable] = None


ALL = [Plant(name, answer=change) for name, change in KV.items()] + \
      [Plant(name, error=change) for name, change in ERROR.items()] + \
      [Plant(name, "lease", answer=change) for name, change in LEASE.items()] + \
      [Plant(name, "lease", error=change) for name, change in ERROR.items()] + \
      [Plant(name, "lease keepalive", keep_alive=change) for name, change in KEEP_ALIVE.items()] + \
      [Plant(name, "watch", watch=change) for name, change in WATCH.items()]


class _TamperedStream(Stream):
    tamper = None

    def decode(self, body):
        messages = super().decode(body)
        return [one for message in messages for one in self.tamper(message)] if self.tamper else messages


class Tampered(api.Server):
    """A Server whose answers to direct questions are honest and whose compared ones are tampered with."""

    plant = Plant("none")

    def finish(self, method, call):
        answer = super().finish(method, call)
        if answer.ok and answer.message is not None and self.plant.answer is not None:
            self.plant.answer(answer)
        elif not answer.ok and self.plant.error is not None:
            self.plant.error(answer)
        return answer

    def call(self, method, body):
        return api.Server.finish(self, method, self.start(method, body))

    def watch(self, metadata=None):
        return self._tampered(api.WATCH, WatchResponse, metadata, self.plant.watch)

    def keep_alive(self):
        return self._tampered(api.KEEP_ALIVE, api.rpc_pb2.LeaseKeepAliveResponse, None, self.plant.keep_alive)

    def _tampered(self, method, answer_type, metadata, change):
        kind = type("TamperedStream", (_TamperedStream,), {"tamper": staticmethod(change) if change else None})
        return kind(self.channel, method, answer_type, metadata)
