"""Does the driver notice? Answers of the subject are tampered with, one small way at a time; each must be caught."""

from harness import api


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


PLANTS = {
    "header revision": _revision,
    "count": _count,
    "more": _more,
    "a key left out": _drop_key,
    "version": _each_kv(lambda kv: setattr(kv, "version", kv.version + 1)),
    "create revision": _each_kv(lambda kv: setattr(kv, "create_revision", kv.create_revision + 1)),
    "mod revision": _each_kv(lambda kv: setattr(kv, "mod_revision", kv.mod_revision - 1)),
    "value": _each_kv(lambda kv: setattr(kv, "value", kv.value + b"x")),
    "lease": _each_kv(lambda kv: setattr(kv, "lease", 1)),
    "previous value left out": _previous,
    "number of deleted keys": _deleted,
    "member id left out": _member,
    "empty header of a nested txn left out": _nested_header,
    "identity in an inner header": _inner_identity,
    "unknown field": _unknown_field,
}
ERROR_PLANTS = {
    "error text": lambda answer: setattr(answer, "text", answer.text + "."),
    "error code": lambda answer: setattr(answer, "code", answer.code + 1),
    "success instead of an error": lambda answer: answer.__init__(message=api.rpc_pb2.PutResponse()),
}


class Tampered(api.Server):
    """A Server whose answers to direct questions are honest and whose compared ones are tampered with."""

    plant = None
    error_plant = None

    def finish(self, method, call):
        answer = super().finish(method, call)
        if answer.ok and answer.message is not None and self.plant is not None:
            self.plant(answer)
        elif not answer.ok and self.error_plant is not None:
            self.error_plant(answer)
        return answer

    def call(self, method, body):
        return api.Server.finish(self, method, self.start(method, body))


def all_plants():
    """(name, plant, error_plant) of each."""
    return [(name, plant, None) for name, plant in PLANTS.items()] + \
           [(name, None, plant) for name, plant in ERROR_PLANTS.items()]
