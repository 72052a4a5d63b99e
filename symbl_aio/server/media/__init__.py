"""Media headers: whether a file contains sound, and its duration. Start at ``probe.probe()``."""
