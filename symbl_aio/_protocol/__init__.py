"""The wire: calls of the API, how a submission is encoded, and how an answer is decoded. No I/O."""
