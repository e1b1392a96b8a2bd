"""quorate-load as a campaign's client: started, told marks, listened to. See ops/load/tagged.h and witness.h."""

import queue
import subprocess
import threading

CLASSES = ("write", "linearizable", "serializable")


class ClientError(Exception):
    """The client ended early or did not see the server recover."""


class LoadClient:
    """classes: what recovers after a mark, each on its own."""

    def __init__(self, binary, endpoint, classes, options):
        self.classes = classes
        self.violations = []
        self.gaps = []  # (class, client, last success us, next success us)
        self.total = {}
        self._recovered = queue.Queue()
        self._process = subprocess.Popen(
            [binary, "--endpoint", endpoint, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self):
        for line in self._process.stdout:
            words = line.split()
            if words[0] == "recovered":
                self._recovered.put((words[1], words[2], int(words[3]), int(words[4])))
            elif words[0] == "gap":
                self.gaps.append((words[1], int(words[2]), int(words[3]), int(words[4])))
            elif words[0] == "violation":
                self.violations.append(line.strip())
            elif words[0] in ("total", "history"):
                part = "" if words[0] == "total" else "history "
                self.total.update((part + name, int(number)) for name, number in zip(words[1::2], words[2::2]))
        self._recovered.put(None)

    def _say(self, line):
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ClientError("the load client has ended") from None

    def mark(self, name):
        """From now on, successes of requests started later count as recovery."""
        self._say(f"mark {name}")

    def wait_recovered(self, name, timeout):
        """{class: monotonic us at which the last client of the class had succeeded again}."""
        times = {}
        while len(times) < len(self.classes):
            try:
                event = self._recovered.get(timeout=timeout)
            except queue.Empty:
                missing = ", ".join(one for one in self.classes if one not in times)
                raise ClientError(f"after {name}: no recovery within {timeout} s of: {missing}") from None
            if event is None:
                raise ClientError("the load client has ended")
            if event[0] == name:
                times[event[1]] = event[3]
        return times

    def stop(self, timeout=60):
        """Ends the run: waits for what is outstanding, so that what it says is complete. Returns the exit status."""
        self._say("stop")
        try:
            self._process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ClientError(f"the load client did not end within {timeout} s of being told") from None
        self._listener.join(timeout=10)
        return self._process.returncode

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class TaggedClient(LoadClient):
    """Writers and readers whose log verify.py reads."""

    def __init__(self, binary, endpoint, log_path, writers, readers):
        super().__init__(binary, endpoint, CLASSES,
                         ("--tagged", log_path, "--writers", writers, "--readers", readers))
        self.log_path = log_path


class WitnessClient(LoadClient):
    """Writers and watchers; it compares what the watchers saw with the store's history itself."""

    def __init__(self, binary, endpoint, options):
        super().__init__(binary, endpoint, ("watch",), ("--witness", *options))
