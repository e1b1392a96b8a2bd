"""Cases for python3-etcd3 (Debian) against one node: each is a function of a client and the node."""

import os
import re
import shutil
import sys
import threading
import traceback
import types

# The library's generated messages are older than Debian's protobuf.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import etcd3  # noqa: E402
import tenacity  # noqa: E402

from harness.node import Node, temporary_directory  # noqa: E402


def _retry(wait, **options):
    """etcd3's lock waits by a function of the older tenacity, which Debian's refuses to call."""
    return tenacity.retry(wait=lambda state: wait(state.attempt_number, state.seconds_since_start), **options)


etcd3.locks.tenacity = types.SimpleNamespace(**{**vars(tenacity), "retry": _retry})


def _thread_failed(failure):
    """etcd3's watching threads end with an exception when their client is closed."""
    if not failure.thread.name.startswith("etcd3_watch"):
        threading.__excepthook__(failure)


threading.excepthook = _thread_failed


def connect(node):
    return etcd3.client(port=node.client_port, timeout=10)


def run(name, cases):
    """Prints a line a case and the tally; the exit status."""
    directory = temporary_directory(name)
    node = Node("quorate", directory)
    passed = failed = 0
    try:
        node.start()
        for case in cases:
            client = connect(node)
            try:
                case(client, node)
                passed += 1
                print(f"ok - {case.__name__}")
            except Exception:
                failed += 1
                print(f"not ok - {case.__name__}")
                traceback.print_exc(file=sys.stdout)
            client.close()
    finally:
        node.stop()
        with open(node.log_path, encoding="utf-8", errors="replace") as log:
            if re.search("ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:", log.read()):
                failed += 1
                print("not ok - a daemon was reported by a sanitizer")
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1
