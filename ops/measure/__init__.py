"""The parts of ops/bench."""
