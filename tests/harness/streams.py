"""A bidirectional stream with a server: Watch, LeaseKeepAlive.

Everything received is kept in the order it came, so that a test can wait for the number of messages it expects
and never needs to sleep.
"""

import queue
import threading
import time

import grpc

CODE_NUMBER = {code: code.value[0] for code in grpc.StatusCode}


class Stream:
    """One RPC. `received` only grows; `end` is (code, text) once the stream is over."""

    def __init__(self, channel, method, answer_type, metadata=None):
        self.received = []
        self.end = None
        self._answer_type = answer_type
        self._changed = threading.Condition()
        self._requests = queue.SimpleQueue()
        self._call = channel.stream_stream(method)(iter(self._requests.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        end = (0, "")
        try:
            for body in self._call:
                messages = self.decode(body)
                with self._changed:
                    self.received.extend(messages)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            end = (CODE_NUMBER[error.code()], error.details())
        with self._changed:
            self.end = end
            self._changed.notify_all()

    def decode(self, body):
        """The message, as a list: a test of the tests may put other things into it."""
        return [self._answer_type.FromString(body)]

    def send(self, message):
        self.send_raw(message.SerializeToString())

    def send_raw(self, body):
        self._requests.put(body)

    def half_close(self):
        """No more requests; answers may still come."""
        self._requests.put(None)

    def wait(self, count, timeout):
        """Waits until that many messages have come. False: the stream has ended before, or the time is over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self.received) < count:
                left = deadline - time.monotonic()
                if self.end is not None or left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def wait_end(self, timeout):
        """Waits until the stream is over. Returns (code, text); None when it goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self.end is not None, timeout)
            return self.end

    def close(self):
        """Cancels the RPC, and waits until its threads are done with it."""
        self._call.cancel()
        self._requests.put(None)
        self._reader.join()
