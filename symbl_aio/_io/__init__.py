"""Performance of the decisions of ``_core``: bytes, connections and every task."""
