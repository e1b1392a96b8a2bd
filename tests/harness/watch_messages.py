"""etcd's Watch messages, whole: python3-etcd3's stubs are older than watch ids, fragments and progress requests.

Described here by field numbers (etcd-api.md 1.2) on top of the stubs, so that headers and events are theirs.
"""

from etcd3.etcdrpc import kv_pb2, rpc_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "quorate.tests"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"int64": _FIELD.TYPE_INT64, "bool": _FIELD.TYPE_BOOL, "bytes": _FIELD.TYPE_BYTES,
            "string": _FIELD.TYPE_STRING}
_HEADER = "etcdserverpb.ResponseHeader"
_CREATE, _CANCEL, _PROGRESS = (f"{_PACKAGE}.Watch{what}Request" for what in ("Create", "Cancel", "Progress"))

# message: [(name, number, type)]; a type with a dot is a message's or an enum's, "*" before it means repeated,
# "|" a member of the message's oneof.
_MESSAGES = {
    "WatchCreateRequest": [("key", 1, "bytes"), ("range_end", 2, "bytes"), ("start_revision", 3, "int64"),
                           ("progress_notify", 4, "bool"), ("filters", 5, "*enum"), ("prev_kv", 6, "bool"),
                           ("watch_id", 7, "int64"), ("fragment", 8, "bool")],
    "WatchCancelRequest": [("watch_id", 1, "int64")],
    "WatchProgressRequest": [],
    "WatchRequest": [("create_request", 1, "|" + _CREATE), ("cancel_request", 2, "|" + _CANCEL),
                     ("progress_request", 3, "|" + _PROGRESS)],
    "WatchResponse": [("header", 1, _HEADER), ("watch_id", 2, "int64"), ("created", 3, "bool"),
                      ("canceled", 4, "bool"), ("compact_revision", 5, "int64"), ("cancel_reason", 6, "string"),
                      ("fragment", 7, "bool"), ("events", 11, "*mvccpb.Event")],
}


def _describe(message, fields):
    for name, number, kind in fields:
        field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
        if kind[0] == "|":
            if not message.oneof_decl:
                message.oneof_decl.add(name="request_union")
            field.oneof_index = 0
        elif kind[0] == "*":
            field.label = _FIELD.LABEL_REPEATED
        kind = kind.lstrip("|*")
        if kind == "enum":
            field.type, field.type_name = _FIELD.TYPE_ENUM, f".{_PACKAGE}.FilterType"
        elif "." in kind:
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, "." + kind
        else:
            field.type = _SCALARS[kind]


def _build():
    file = descriptor_pb2.FileDescriptorProto(
        name="quorate/tests/watch.proto", package=_PACKAGE, syntax="proto3",
        dependency=[kv_pb2.DESCRIPTOR.name, rpc_pb2.DESCRIPTOR.name])
    filters = file.enum_type.add(name="FilterType")
    filters.value.add(name="NOPUT", number=0)
    filters.value.add(name="NODELETE", number=1)
    for name, fields in _MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    factory = message_factory.MessageFactory(pool)
    return [factory.GetPrototype(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES]


WatchCreateRequest, WatchCancelRequest, WatchProgressRequest, WatchRequest, WatchResponse = _build()
NOPUT, NODELETE = 0, 1
