"""LeaseKeepAlive streams on both servers, compared answer by answer."""

from harness.api import KeepAlive
from compare import Mismatch, compared


class KeepAlivePair:
    """The same keepalives on one stream to each server."""

    def __init__(self, pair):
        self.pair = pair
        self.streams = [server.keep_alive() for server in (pair.reference, pair.subject)]
        self._answered = 0

    def send(self, lease):
        self.send_raw(KeepAlive(ID=lease).SerializeToString())

    def send_raw(self, body):
        self.pair.asked += 1
        for stream in self.streams:
            stream.send_raw(body)

    def answer(self):
        """The next answer, which both must give alike."""
        self._answered += 1
        for stream, name in zip(self.streams, ("reference", "subject")):
            if not stream.wait(self._answered, self.pair.patience):
                raise Mismatch(f"{name}: keepalive {self._answered} was not answered; the stream's end: {stream.end}")
        return compared(*[stream.received[self._answered - 1] for stream in self.streams], "answers to a keepalive")

    def ask(self, lease):
        self.send(lease)
        return self.answer()

    def half_close(self):
        for stream in self.streams:
            stream.half_close()

    def end(self):
        """How both streams ended, (code, text); the code must be the same."""
        ends = [stream.wait_end(self.pair.patience) for stream in self.streams]
        if ends[0] is None or ends[1] is None or ends[0][0] != ends[1][0]:
            raise Mismatch(f"the keepalive streams ended differently: {ends[0]} and {ends[1]}")
        return ends[0]

    def quiet(self):
        """No more answers came than keepalives were sent."""
        self.half_close()
        self.end()
        for stream, name in zip(self.streams, ("reference", "subject")):
            if len(stream.received) > self._answered:
                raise Mismatch(f"{name}: more answers than keepalives")

    def close(self):
        for stream in self.streams:
            stream.close()
