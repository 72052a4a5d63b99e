"""Decisions: which submission may start, which job is asked next, what is tried again. No I/O."""
