"""Decisions: who may start, which job is polled next, which call is retried. No I/O."""
