"""What the conformance driver, the fault campaigns and ops/bench share: starting and observing a server."""
