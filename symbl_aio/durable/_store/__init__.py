"""SQL over the items of an outbox. Every function here blocks."""
