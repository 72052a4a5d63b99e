"""Performance of what the core decides: bytes, connections and every task."""
