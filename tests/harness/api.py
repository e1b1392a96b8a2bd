"""etcd's messages (python3-etcd3's stubs) and raw calls to a server.

Requests travel as bytes and answers come back as bytes, so that a test may also send what no client library
would, and may look at every byte of an answer.
"""

import re

import grpc
from etcd3.etcdrpc import kv_pb2, rpc_pb2
from google.protobuf.message import DecodeError

from harness.streams import CODE_NUMBER, Stream
from harness.watch_messages import WatchResponse

KeyValue = kv_pb2.KeyValue
Range = rpc_pb2.RangeRequest
Put = rpc_pb2.PutRequest
Delete = rpc_pb2.DeleteRangeRequest
Txn = rpc_pb2.TxnRequest
Compaction = rpc_pb2.CompactionRequest
Compare = rpc_pb2.Compare
Op = rpc_pb2.RequestOp
Grant = rpc_pb2.LeaseGrantRequest
Revoke = rpc_pb2.LeaseRevokeRequest
KeepAlive = rpc_pb2.LeaseKeepAliveRequest
TimeToLive = rpc_pb2.LeaseTimeToLiveRequest
Leases = rpc_pb2.LeaseLeasesRequest

RANGE = "/etcdserverpb.KV/Range"
RANGE_STREAM = "/etcdserverpb.KV/RangeStream"
PUT = "/etcdserverpb.KV/Put"
DELETE = "/etcdserverpb.KV/DeleteRange"
TXN = "/etcdserverpb.KV/Txn"
COMPACT = "/etcdserverpb.KV/Compact"
GRANT = "/etcdserverpb.Lease/LeaseGrant"
REVOKE = "/etcdserverpb.Lease/LeaseRevoke"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
TIME_TO_LIVE = "/etcdserverpb.Lease/LeaseTimeToLive"
LEASES = "/etcdserverpb.Lease/LeaseLeases"
WATCH = "/etcdserverpb.Watch/Watch"
MEMBER_LIST = "/etcdserverpb.Cluster/MemberList"
HASH = "/etcdserverpb.Maintenance/Hash"
STATUS = "/etcdserverpb.Maintenance/Status"
ALARM = "/etcdserverpb.Maintenance/Alarm"
HEALTH = "/grpc.health.v1.Health/Check"

METHOD_OF = {Range: RANGE, Put: PUT, Delete: DELETE, Txn: TXN, Compaction: COMPACT,
             Grant: GRANT, Revoke: REVOKE, TimeToLive: TIME_TO_LIVE, Leases: LEASES}
ANSWER_OF = {
    RANGE: rpc_pb2.RangeResponse,
    PUT: rpc_pb2.PutResponse,
    DELETE: rpc_pb2.DeleteRangeResponse,
    TXN: rpc_pb2.TxnResponse,
    COMPACT: rpc_pb2.CompactionResponse,
    GRANT: rpc_pb2.LeaseGrantResponse,
    REVOKE: rpc_pb2.LeaseRevokeResponse,
    TIME_TO_LIVE: rpc_pb2.LeaseTimeToLiveResponse,
    LEASES: rpc_pb2.LeaseLeasesResponse,
    MEMBER_LIST: rpc_pb2.MemberListResponse,
    STATUS: rpc_pb2.StatusResponse,
    ALARM: rpc_pb2.AlarmResponse,
}

TIMEOUT = 15.0
LONG_VALUE = re.compile(r'("[^"]{80})[^"]{40,}(?=")')


class Answer:
    """How a call ended: code 0 with a message (and its bytes), or a gRPC code with its text."""

    def __init__(self, code=0, text="", body=b"", message=None):
        self.code = code
        self.text = text
        self.body = body
        self.message = message

    @property
    def ok(self):
        return self.code == 0

    def __str__(self):
        if not self.ok:
            return f"error {self.code} {self.text!r}"
        return show(self.message) if self.message is not None else f"{len(self.body)} bytes"


def show(message):
    """A message on one line, in protobuf's text form, long values cut."""
    text = LONG_VALUE.sub(r"\1...", str(message)).replace("\n", " ").replace("  ", " ").strip()
    return f"{type(message).__name__} {{{text}}}"


def _without_header(body):
    """An answer nested deeper than python-protobuf follows (100 levels): its bytes but for the first field."""
    if body[:1] != b"\x0a" or body[1] >= 0x80:
        return body
    return body[2 + body[1]:]


class Server:
    """One channel to one server."""

    def __init__(self, endpoint):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(endpoint, options=options)
        self.methods = {}

    def start(self, method, body):
        """Starts a unary call; finish() waits for it. Two servers are asked at the same time this way."""
        if method not in self.methods:
            self.methods[method] = self.channel.unary_unary(method)
        return self.methods[method].future(body, timeout=TIMEOUT)

    def finish(self, method, call):
        try:
            body = call.result()
        except grpc.RpcError as error:
            return Answer(CODE_NUMBER[error.code()], error.details())
        answer_type = ANSWER_OF.get(method)
        if answer_type is None:
            return Answer(body=body)
        try:
            return Answer(body=body, message=answer_type.FromString(body))
        except DecodeError:
            return Answer(body=_without_header(body))

    def call(self, method, body):
        return self.finish(method, self.start(method, body))

    def stream(self, method, body):
        """A server stream: the list of its messages as bytes, and how it ended."""
        parts = []
        try:
            for part in self.channel.unary_stream(method)(body, timeout=TIMEOUT):
                parts.append(part)
        except grpc.RpcError as error:
            return parts, Answer(CODE_NUMBER[error.code()], error.details())
        return parts, Answer()

    def watch(self, metadata=None):
        """A Watch stream: send it WatchRequests."""
        return Stream(self.channel, WATCH, WatchResponse, metadata)

    def keep_alive(self):
        """A LeaseKeepAlive stream: send it KeepAlives."""
        return Stream(self.channel, KEEP_ALIVE, rpc_pb2.LeaseKeepAliveResponse)

    def close(self):
        self.channel.close()


def range_stream_part(body):
    """The RangeResponse in a RangeStreamResponse (field 1; the stubs are older than this message)."""
    if not body:
        return rpc_pb2.RangeResponse()
    holder = rpc_pb2.ResponseOp.FromString(body)  # field 1 is a RangeResponse there, too
    return holder.response_range
